"""What stands in for the reference evaluator, continued: windows, recurrence, images, attention."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from random_ops_draw import F32, F64, Array, Case
from random_ops_oracles import Evaluate, Outputs, array, given, instead

# ---------------------------------------------------------------- windows


def explicit_pads(case: Case, extents: Sequence[int], kernel: Sequence[int]) -> Case:
    """The same call with `auto_pad` written out as pads."""
    attributes = dict(case.attributes)
    mode = attributes.pop("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = [], []
        for i, (n, k) in enumerate(zip(extents, kernel, strict=True)):
            stride, step = (attributes.get(name, [1] * len(kernel))[i] for name in ("strides", "dilations"))
            total = max((-(-n // stride) - 1) * stride + (k - 1) * step + 1 - n, 0)
            begins.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
            ends.append(total - begins[-1])
        attributes["pads"] = begins + ends
    return replace(case, attributes=attributes)


@instead("Conv", "ConvInteger", because="auto_pad ignores dilations, and VALID pads")
def conv(case: Case, evaluate: Evaluate) -> Outputs:
    return evaluate(explicit_pads(case, array(case).shape[2:], array(case, 1).shape[2:]))


@instead("QLinearConv", because="auto_pad ignores dilations, and VALID pads")
def qlinear_conv(case: Case, evaluate: Evaluate) -> Outputs:
    return evaluate(explicit_pads(case, array(case).shape[2:], array(case, 3).shape[2:]))


def _windows(case: Case) -> tuple[Array, Array, tuple[int, ...]]:
    """For each output place the indices into the flat image that its window covers, and which of them are inside."""
    x, kernel = array(case), case.attributes["kernel_shape"]
    rank = len(kernel)
    attributes = explicit_pads(case, x.shape[2:], kernel).attributes
    strides, dilations = (attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
    pads = attributes.get("pads", [0] * 2 * rank)
    flat, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    out = []
    for i, (n, k) in enumerate(zip(x.shape[2:], kernel, strict=True)):
        room = n + pads[i] + pads[rank + i] - (k - 1) * dilations[i] - 1
        count = (-(-room // strides[i]) if attributes.get("ceil_mode") else room // strides[i]) + 1
        if (count - 1) * strides[i] >= n + pads[i]:
            count -= 1
        at = np.arange(count)[:, None] * strides[i] - pads[i] + np.arange(k) * dilations[i]
        ok = (at >= 0) & (at < n)
        flat = (flat[:, None, :, None] * n + at.clip(0, n - 1)[None, :, None, :]).reshape(flat.shape[0] * count, -1)
        inside = (inside[:, None, :, None] & ok[None, :, None, :]).reshape(flat.shape)
        out.append(count)
    return flat, inside, (*x.shape[:2], *out)


def _images(x: Array) -> Array:
    """Each image as one row."""
    return x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))


@instead("MaxPool", because="wrong shapes with ceil_mode and uneven pads; fails where the batch is empty")
def max_pool(case: Case, _: Evaluate) -> Outputs:
    x = array(case)
    flat, inside, dims = _windows(case)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    image = _images(x)[:, :, flat]
    values = np.where(inside, image, np.array(lowest).astype(x.dtype))
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1) * int(np.prod(x.shape[2:]))
    best = np.where(inside, image, np.array(lowest).astype(x.dtype)).argmax(-1)
    places = np.take_along_axis(np.broadcast_to(flat, values.shape), best[..., None], -1)[..., 0] + planes
    return [values.max(-1).reshape(dims), places.reshape(dims)][: case.outputs]


@instead("AveragePool", because="auto_pad fails where the window is shorter than the stride, ceil_mode in three dimensions")
def average_pool(case: Case, evaluate: Evaluate) -> Outputs:
    if case.attributes.get("count_include_pad"):
        return evaluate(explicit_pads(case, array(case).shape[2:], case.attributes["kernel_shape"]))
    flat, inside, dims = _windows(case)
    sums = np.where(inside, _images(array(case).astype(F64))[:, :, flat], 0).sum(-1)
    return [(sums / inside.sum(-1)).reshape(dims).astype(array(case).dtype)]


@instead("LpPool", because="with ceil_mode windows count more than once")
def lp_pool(case: Case, _: Evaluate) -> Outputs:
    x, p = array(case).astype(F64), case.attributes.get("p", 2)
    flat, inside, dims = _windows(case)
    powers = np.where(inside, np.abs(_images(x)[:, :, flat]) ** p, 0)
    return [(powers.sum(-1) ** (1 / p)).reshape(dims).astype(array(case).dtype)]


@instead("GlobalMaxPool", because="keeps wrong axes but for images")
def global_max_pool(case: Case, _: Evaluate) -> Outputs:
    x = array(case)
    return [x.max(tuple(range(2, x.ndim)), keepdims=True)]


@instead("GlobalLpPool", because="does not have it")
def global_lp_pool(case: Case, _: Evaluate) -> Outputs:
    x, p = array(case), case.attributes.get("p", 2)
    powers = (np.abs(x.astype(F64)) ** p).sum(tuple(range(2, x.ndim)), keepdims=True)
    return [(powers ** (1 / p)).astype(x.dtype)]


@instead("LRN", because="fails where the window is wider than the channels, and windows of even sizes are wrong")
def lrn(case: Case, _: Evaluate) -> Outputs:
    x, size = array(case).astype(F64), case.attributes["size"]
    alpha, beta, bias = (case.attributes.get(*entry) for entry in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    sums = np.zeros_like(x)
    for c in range(x.shape[1]):
        low, high = max(0, c - (size - 1) // 2), min(x.shape[1] - 1, c + size // 2)
        sums[:, c] = (x[:, low : high + 1] ** 2).sum(1)
    return [(x / (bias + float(np.float32(alpha)) / size * sums) ** beta).astype(array(case).dtype)]


@instead("ConvTranspose", because="fails with groups, and misplaces output_padding")
def conv_transpose(case: Case, _: Evaluate) -> Outputs:
    x, w, bias = array(case).astype(F64), array(case, 1).astype(F64), given(case, 2)
    rank, group = x.ndim - 2, case.attributes["group"]
    strides, dilations = (case.attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
    pads, extra = case.attributes.get("pads", [0] * 2 * rank), case.attributes.get("output_padding", [0] * rank)
    reach = [(n - 1) * s + (k - 1) * d + 1 + e
             for n, s, k, d, e in zip(x.shape[2:], strides, w.shape[2:], dilations, extra, strict=True)]  # fmt: skip
    full = np.zeros((x.shape[0], group * w.shape[1], *reach))
    for g, at in itertools.product(range(group), np.ndindex(*w.shape[2:])):
        per = x.shape[1] // group
        part = np.einsum("nc...,cm->nm...", x[:, g * per : (g + 1) * per], w[(slice(g * per, (g + 1) * per), slice(None), *at)])
        into = tuple(slice(i * d, i * d + (n - 1) * s + 1, s)
                     for i, d, n, s in zip(at, dilations, x.shape[2:], strides, strict=True))  # fmt: skip
        full[(slice(None), slice(g * w.shape[1], (g + 1) * w.shape[1]), *into)] += part
    if bias is not None:
        full += bias.reshape(-1, *[1] * rank)
    inner = tuple(slice(pads[i], reach[i] - pads[rank + i]) for i in range(rank))
    return [full[(..., *inner)].astype(array(case).dtype)]


# ---------------------------------------------------------------- others


@instead("LayerNormalization", because="its statistics have the input's type, where ONNX says stash_type's: float32")
def layer_norm(case: Case, evaluate: Evaluate) -> Outputs:
    y, *statistics = evaluate(case)
    return [y, *(value.astype(F32) for value in statistics)]


@instead("GroupNormalization", because="its definition computes in float32 whatever the element type")
def group_norm(case: Case, _: Evaluate) -> Outputs:
    x, scale, bias = (array(case, i).astype(F64) for i in range(3))
    groups = x.reshape(x.shape[0], case.attributes["num_groups"], -1)
    epsilon = float(np.float32(case.attributes.get("epsilon", 1e-5)))
    spread = np.sqrt(groups.var(-1, keepdims=True) + epsilon)
    y = ((groups - groups.mean(-1, keepdims=True)) / spread).reshape(x.shape)
    channel = (-1, *[1] * (x.ndim - 2))
    return [(y * scale.reshape(channel) + bias.reshape(channel)).astype(array(case).dtype)]


@instead("RNN", "GRU", "LSTM", because="reverse runs forward, bidirectional is refused")
def recurrent(case: Case, evaluate: Evaluate) -> Outputs:
    direction = case.attributes["direction"]
    made = []
    for i, backward in enumerate({"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]):
        x, *rest = case.inputs
        assert x is not None
        one = [x[::-1] if backward else x, *(None if v is None else v[i : i + 1] for v in rest)]
        (y, last) = evaluate(replace(case, inputs=one, attributes=case.attributes | {"direction": "forward"}))
        made.append((y[::-1] if backward else y, last))
    return [np.concatenate([y for y, _ in made], 1), np.concatenate([last for _, last in made], 0)]


@instead("RoiAlign", because="does not know that before opset 16 there was no half pixel")
def roi_align(case: Case, evaluate: Evaluate) -> Outputs | None:
    if case.opset >= 16:
        return None
    places = {"coordinate_transformation_mode": "output_half_pixel"}
    return evaluate(replace(case, opset=16, attributes=case.attributes | places))


@instead("AffineGrid", because="answers float64 in float32")
def affine_grid(case: Case, _: Evaluate) -> Outputs:
    theta, size = array(case), [int(n) for n in array(case, 1)[2:]]
    corners = case.attributes.get("align_corners", 0)
    axes = [np.linspace(-1, 1, n) if corners else (2 * np.arange(n) + 1) / n - 1 for n in size]
    places = np.meshgrid(*axes, indexing="ij")
    points = np.stack([*places[::-1], np.ones(size)], -1)
    return [np.einsum("...j,nij->n...i", points, theta.astype(F64)).astype(theta.dtype)]


@instead("GridSample", because="before opset 20, too, it knows only the names of the modes since")
def grid_sample(case: Case, evaluate: Evaluate) -> Outputs:
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = case.attributes["mode"]
    return evaluate(replace(case, opset=20, attributes=case.attributes | {"mode": names.get(mode, mode)}))


@instead("Attention", because="is_causal with a mask of bools gives NaN: 0 times infinity")
def attention(case: Case, evaluate: Evaluate) -> Outputs | None:
    mask = given(case, 3)
    if mask is None or mask.dtype != bool or not case.attributes.get("is_causal"):
        return None
    inputs = [*case.inputs[:3], mask & np.tri(*mask.shape[-2:], dtype=bool)]
    return evaluate(replace(case, inputs=inputs, attributes=case.attributes | {"is_causal": 0}))


@instead("Selu", because="opset 1 had other defaults")
def selu(case: Case, evaluate: Evaluate) -> Outputs:
    first = {"alpha": float(np.float32(1.6732)), "gamma": float(np.float32(1.0507))} if case.opset < 6 else {}
    return evaluate(replace(case, opset=6, attributes=first | case.attributes))


@instead("BitCast", because="has no 16-bit floats")
def bit_cast(case: Case, _: Evaluate) -> Outputs:
    return [array(case).view(case.attributes["to"])]
