"""Makers of random calls: images, regions, signals, attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from random_ops_draw import F32, FLOATS, HALVES, Array, Draw, Made, op

REAL = (*FLOATS, *HALVES)


@op("Resize", since=11, types=REAL, weight=3)
def resize(d: Draw) -> Made:
    rank = d.int(1, 3)
    extents = [d.int(2, 6) for _ in range(rank)]
    mode = d.one_of("nearest", "linear", *(["cubic"] if rank == 2 else []))
    attributes: dict[str, Any] = {"mode": mode}
    places = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    attributes |= d.attributes(coordinate_transformation_mode=d.one_of(*places))
    if mode == "nearest":
        attributes |= d.attributes(nearest_mode=d.one_of("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
    if mode == "cubic":
        attributes |= d.attributes(exclude_outside=d.int(0, 1), cubic_coeff_a=d.one_of(-0.5, -0.75))
    x, none = d.x([d.int(1, 2), d.int(1, 2), *extents]), np.zeros(0, np.float32)
    roi = none if d.opset < 13 else None
    if d.flag():
        sizes = d.ints([*x.shape[:2], *(d.int(1, 9) for _ in extents)])
        return [x, roi, none if d.opset < 13 else None, sizes], attributes
    scales = np.array([1, 1, *(d.one_of(0.5, 0.6, 1.0, 1.5, 2.0, 3.0) for _ in extents)], np.float32)
    return [x, roi, scales], attributes


@op("Upsample", since=9, until=9, types=REAL)
def upsample(d: Draw) -> Made:
    x = d.x([1, d.int(1, 2), d.int(1, 4), d.int(1, 4)])
    return [x, np.array([1, 1, d.int(1, 3), d.int(1, 3)], np.float32)], {}


@op("GridSample", types=REAL, weight=3)
def grid_sample(d: Draw) -> Made:
    rank = d.int(2, 3) if d.opset >= 20 else 2
    old = {"linear": "bilinear", "cubic": "bicubic"} if d.opset < 20 else {}
    mode = d.one_of("linear", "nearest", *(["cubic"] if rank == 2 else []))
    n = d.int(1, 2)
    x = d.x([n, d.int(1, 2), *(d.int(2, 5) for _ in range(rank))])
    grid = d.x([n, *(d.int(1, 4) for _ in range(rank)), rank], -1.3, 1.3)
    rest = d.attributes(align_corners=d.int(0, 1), padding_mode=d.one_of("zeros", "border", "reflection"))
    return [x, grid], {"mode": old.get(mode, mode)} | rest


@op("AffineGrid", types=REAL)
def affine_grid(d: Draw) -> Made:
    n, rank = d.int(1, 3), d.int(2, 3)
    size = d.ints([n, d.int(1, 2), *(d.int(2, 4) for _ in range(rank))])
    return [d.x([n, rank, rank + 1]), size], d.attributes(align_corners=d.int(0, 1))


@op("RoiAlign", types=REAL)
def roi_align(d: Draw) -> Made:
    n, rois = d.int(1, 2), d.int(1, 3)
    x = d.x([n, d.int(1, 2), d.int(3, 6), d.int(3, 6)])
    corner = d.x([rois, 2], 0, 3)
    boxes = np.concatenate([corner, corner + d.x([rois, 2], 1, 4)], 1).astype(d.dtype)
    attributes = d.attributes(output_height=d.int(1, 3), output_width=d.int(1, 3), spatial_scale=d.one_of(0.5, 1.0))
    attributes |= d.attributes(mode=d.one_of("avg", "max"), sampling_ratio=d.int(0, 2))
    if d.opset >= 16:
        attributes |= d.attributes(coordinate_transformation_mode=d.one_of("half_pixel", "output_half_pixel"))
    return [x, boxes, d.rng.integers(0, n, [rois])], attributes


@op("DeformConv", types=REAL)
def deform_conv(d: Draw) -> Made:
    n, group, channels = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    kernel, extents = [d.int(1, 2), d.int(1, 2)], [d.int(3, 5), d.int(3, 5)]
    out = [extent - k + 1 for extent, k in zip(extents, kernel, strict=True)]
    x = d.x([n, group * channels, *extents])
    w = d.x([group * d.int(1, 2), channels, *kernel])
    offset = d.x([n, 2 * kernel[0] * kernel[1], *out], -1, 1)
    mask = d.optional(d.x([n, kernel[0] * kernel[1], *out], 0, 1))
    bias = d.optional(d.x(w.shape[:1]))
    return [x, w, offset, bias, mask], {"group": group, "kernel_shape": kernel}


@op("MaxUnpool", since=11, types=REAL)
def max_unpool(d: Draw) -> Made:
    dims = [d.int(1, 2), d.int(1, 2), d.int(1, 3), d.int(1, 3)]
    places = int(np.prod(dims[:2])) * dims[2] * 2 * dims[3] * 2
    indices = d.rng.permutation(places)[: int(np.prod(dims))].reshape(dims)
    return [d.x(dims), indices], {"kernel_shape": [2, 2], "strides": [2, 2]}


@op("NonMaxSuppression", types=(F32,))
def non_max_suppression(d: Draw) -> Made:
    batch, classes, boxes = d.int(1, 2), d.int(1, 3), d.int(1, 6)
    center = d.attributes(center_point_box=d.int(0, 1))
    corner, size = d.x([batch, boxes, 2], 0, 1), d.x([batch, boxes, 2], 0.1, 1)
    ends = [corner, size] if center.get("center_point_box") else [corner, corner + size]
    scores = d.distinct([batch, classes, boxes]) / np.float32(50)
    limits = [np.array([d.int(1, 5)]), np.array([d.number(0.1, 0.9)], np.float32), np.array([d.number(-0.3, 0)], np.float32)]
    return [np.concatenate(ends, 2), scores, *limits], center


@op("DFT", since=20, types=REAL)
def dft(d: Draw) -> Made:
    dims = [*d.dims(1, 3, empty=False), 1]
    axis = d.int(0, len(dims) - 2)
    inverse, onesided = d.one_of((0, 0), (0, 1), (1, 0))
    if d.flag() and not onesided:
        dims[-1] = 2
    dims[axis] = d.int(1, 20)
    length = np.asarray(d.int(1, 24)) if d.flag(0.4) else None
    axis = np.asarray(axis if d.flag() else axis - len(dims))
    return [d.x(dims), length, axis], {"inverse": inverse, "onesided": onesided}


@op("STFT", types=REAL)
def stft(d: Draw) -> Made:
    length, step = d.int(2, 8), d.int(1, 4)
    signal = d.x([d.int(1, 2), length + d.int(0, 20), 1])
    window = d.optional(d.x([length], 0.1, 1))
    return [signal, np.asarray(step), window, np.asarray(length)], d.attributes(onesided=d.int(0, 1))


@op("MelWeightMatrix", types=(np.dtype(np.int64),))
def mel_weights(d: Draw) -> Made:
    bins, length, rate = d.int(2, 8), d.int(16, 64), d.int(4000, 9000)
    low = np.asarray(d.number(0, 100), np.float32)
    return [np.asarray(bins), np.asarray(length), np.asarray(rate), low, np.asarray(rate / 2, np.float32)], {}


# ---------------------------------------------------------------- attention


@op("Attention", types=REAL, weight=3)
def attention(d: Draw) -> Made:
    batch, shared, repeat = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    heads, queries, keys = shared * repeat, d.int(1, 4), d.int(1, 4)
    size, values = d.int(1, 4), d.int(1, 4)
    q, k, v = ([batch, heads, queries, size], [batch, shared, keys, size], [batch, shared, keys, values])
    attributes = d.attributes(is_causal=d.int(0, 1), scale=d.number(0.1, 1), softcap=d.one_of(0.0, 2.0))
    mask: Array | None = None
    if d.flag():
        mask = d.x([queries, keys]) if d.flag() else d.x([batch, 1, queries, keys], dtype=np.bool_)
        if mask.dtype == np.bool_:
            mask[..., 0] = True
    return [d.x(q), d.x(k), d.x(v), mask], attributes


@op("Attention", types=REAL)
def attention_3d(d: Draw) -> Made:
    batch, heads, queries, keys, size = d.int(1, 2), d.int(1, 3), d.int(1, 4), d.int(1, 4), d.int(1, 4)
    inputs = [d.x([batch, n, heads * size]) for n in (queries, keys, keys)]
    return inputs, {"q_num_heads": heads, "kv_num_heads": heads} | d.attributes(is_causal=d.int(0, 1))


@op("RotaryEmbedding", types=REAL)
def rotary_embedding(d: Draw) -> Made:
    batch, heads, steps, half = d.int(1, 2), d.int(1, 3), d.int(1, 4), d.int(1, 3)
    attributes = d.attributes(interleaved=d.int(0, 1))
    x = d.x([batch, heads, steps, 2 * half])
    if d.flag():
        return [x, d.x([batch, steps, half]), d.x([batch, steps, half])], attributes
    positions = d.rng.integers(0, 9, [batch, steps])
    return [x, d.x([9, half]), d.x([9, half]), positions], attributes


@op("LinearAttention", outputs=2, types=REAL)
def linear_attention(d: Draw) -> Made:
    batch, heads, steps, size, values = d.int(1, 2), d.int(1, 2), d.int(1, 4), d.int(1, 3), d.int(1, 3)
    rule = d.one_of("linear", "gated", "delta", "gated_delta")
    q, k, v = ([batch, steps, heads * n] for n in (size, size, values))
    past = d.optional(d.x([batch, heads, size, values]))
    decay = d.x([batch, steps, heads * size], -1, 0) if "gated" in rule else None
    beta = d.x([batch, steps, heads], 0, 1) if "delta" in rule else None
    attributes = {"q_num_heads": heads, "kv_num_heads": heads, "update_rule": rule} | d.attributes(scale=d.number(0.1, 1))
    return [d.x(q), d.x(k, -1, 1), d.x(v), past, decay, beta], attributes


@op("CausalConvWithState", outputs=2, types=REAL)
def causal_conv(d: Draw) -> Made:
    batch, channels, steps, k = d.int(1, 2), d.int(1, 3), d.int(1, 5), d.int(2, 4)
    inputs = [d.x([batch, channels, steps]), d.x([channels, 1, k]), d.optional(d.x([channels]))]
    past = d.optional(d.x([batch, channels, k - 1]))
    return [*inputs, past], d.attributes(activation=d.one_of("none", "silu", "swish"))


@op("TfIdfVectorizer", types=(np.dtype(np.int32), np.dtype(np.int64)))
def tf_idf(d: Draw) -> Made:
    dims = [d.int(1, 8)] if d.flag() else [d.int(1, 3), d.int(1, 8)]
    attributes = {
        "mode": d.one_of("TF", "IDF", "TFIDF"),
        "min_gram_length": 1,
        "max_gram_length": 2,
        "max_skip_count": d.int(0, 2),
        "ngram_counts": [0, 3],
        "ngram_indexes": [0, 1, 2, 3, 4],
        "pool_int64s": [0, 1, 2, 0, 1, 1, 2],
    }
    # Without weights, which default to 1, the reference fails.
    return [d.x(dims, 0, 3)], attributes | {"weights": [d.number() for _ in range(5)]}
