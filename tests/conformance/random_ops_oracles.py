"""What stands in for onnx's reference evaluator (1.22.0) where it is wrong or refuses: each with its defect."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from random_ops_draw import F32, F64, Array, Case

Outputs = list[Array]
# Evaluates a case with the reference evaluator.
Evaluate = Callable[[Case], Outputs]
Oracle = Callable[[Case, Evaluate], Outputs | None]
ORACLES: dict[str, Oracle] = {}
# What it computes in float32, or with constants of that type, whatever the element type: there float64 results need
# only agree as far as float32 goes.
IN_FLOAT32 = {"Attention", "CausalConvWithState", "DeformConv", "GridSample", "LinearAttention", "Resize"}


def instead(*ops: str, because: str) -> Callable[[Oracle], Oracle]:
    """Enters what answers for the reference; None where the reference is to answer. `because`: the defect."""

    def enter(oracle: Oracle) -> Oracle:
        assert because
        for op in ops:
            ORACLES[op] = oracle
        return oracle

    return enter


def _given(case: Case, i: int) -> Array | None:
    return case.inputs[i] if i < len(case.inputs) else None


def _x(case: Case, i: int = 0) -> Array:
    value = case.inputs[i]
    assert value is not None
    return value


# ---------------------------------------------------------------- elementwise


@instead("Erf", because="computes in float32 whatever the element type")
def erf(case: Case, _: Evaluate) -> Outputs:
    x = _x(case)
    return [np.array([math.erf(v) for v in x.reshape(-1)]).reshape(x.shape).astype(x.dtype)]


@instead("HardSwish", because="its constant 1/6 is rounded to float32")
def hard_swish(case: Case, _: Evaluate) -> Outputs:
    x = _x(case)
    return [(x * np.clip(x.astype(F64) / 6 + 0.5, 0, 1)).astype(x.dtype)]


@instead("Softsign", because="fails on scalars")
def softsign(case: Case, _: Evaluate) -> Outputs:
    x = _x(case)
    return [np.asarray(x / (1 + np.abs(x)))]


@instead("Gelu", because="the constants of its definition are float32")
def gelu(case: Case, evaluate: Evaluate) -> Outputs:
    x = _x(case).astype(F64)
    if case.attributes.get("approximate", "none") == "tanh":
        inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    else:
        (inner,) = erf(replace(case, inputs=[x / math.sqrt(2)]), evaluate)
    return [(0.5 * x * (1 + inner)).astype(_x(case).dtype)]


@instead("CastLike", because="fails on 16-bit floats")
def cast_like(case: Case, evaluate: Evaluate) -> Outputs:
    return evaluate(replace(case, op="Cast", inputs=case.inputs[:1], attributes={"to": _x(case, 1).dtype}))


@instead("Shape", because="a negative `end` before the first axis counts from the end again")
def shape(case: Case, _: Evaluate) -> Outputs:
    rank = _x(case).ndim
    start, end = case.attributes.get("start", 0), case.attributes.get("end", rank)
    start, end = (min(max(v + rank if v < 0 else v, 0), rank) for v in (start, end))
    return [np.array(_x(case).shape[start:end], np.int64)]


@instead("Mean", because="adds in place into the first operand, which may be the smaller one")
def mean(case: Case, _: Evaluate) -> Outputs:
    return [np.asarray(sum(_x(case, i) for i in range(len(case.inputs))) / _x(case).dtype.type(len(case.inputs)))]


@instead("Clip", because="bounds as attributes are not known to it")
def clip(case: Case, _: Evaluate) -> Outputs | None:
    if case.opset >= 11:
        return None
    x = _x(case)
    return [np.clip(x, case.attributes.get("min", -np.inf), case.attributes.get("max", np.inf)).astype(x.dtype)]


@instead("ReduceSumSquare", because="answers integers in a wider type")
def reduce_sum_square(case: Case, evaluate: Evaluate) -> Outputs:
    return [y.astype(_x(case).dtype) for y in evaluate(case)]


@instead("ReduceLogSumExp", because="fails on scalars")
def reduce_log_sum_exp(case: Case, _: Evaluate) -> Outputs | None:
    return None if _x(case).ndim else [_x(case)]


@instead("Softmax", "Hardmax", because="before opset 13, too, it takes one axis where all that follow count")
def flattened(case: Case, evaluate: Evaluate) -> Outputs | None:
    x = _x(case)
    if case.opset >= 13:
        return None
    rows = x.reshape(int(np.prod(x.shape[: case.attributes["axis"]], dtype=np.int64)), -1)
    (y,) = evaluate(replace(case, opset=13, inputs=[rows], attributes={"axis": 1}))
    return [y.reshape(x.shape)]


@instead("LogSoftmax", because="takes the logarithm of what has become 0; and as Softmax")
def log_softmax(case: Case, _: Evaluate) -> Outputs:
    x, axis = _x(case).astype(F64), case.attributes.get("axis", -1)
    if case.opset < 13:
        x, axis = x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1), 1
    x = x - x.max(axis, keepdims=True, initial=-np.inf)
    return [(x - np.log(np.exp(x).sum(axis, keepdims=True))).reshape(_x(case).shape).astype(_x(case).dtype)]


@instead("MeanVarianceNormalization", because="the constants of its definition are float32")
def mean_variance(case: Case, _: Evaluate) -> Outputs:
    x = _x(case)
    axes = tuple(case.attributes.get("axes", (0, 2, 3)))
    return [(x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + x.dtype.type(1e-9))]


# ---------------------------------------------------------------- movement


@instead("Flatten", because="fails on empty arrays")
def flatten(case: Case, _: Evaluate) -> Outputs:
    x, axis = _x(case), case.attributes.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    lead, rest = (int(np.prod(part, dtype=np.int64)) for part in (x.shape[:axis], x.shape[axis:]))
    return [x.reshape(lead, rest)]


@instead("Squeeze", because="ignores axes given as an attribute")
def squeeze(case: Case, _: Evaluate) -> Outputs | None:
    if case.opset >= 13:
        return None
    axes = case.attributes.get("axes")
    return [_x(case).squeeze(None if axes is None else tuple(axes))]


@instead("Unsqueeze", because="refuses axes given as an attribute")
def unsqueeze(case: Case, _: Evaluate) -> Outputs | None:
    return None if case.opset >= 13 else [np.expand_dims(_x(case), tuple(case.attributes["axes"]))]


@instead("Gather", because="loses the shape where there are no indices")
def gather(case: Case, _: Evaluate) -> Outputs:
    return [np.take(_x(case), _x(case, 1), axis=case.attributes.get("axis", 0))]


@instead("GatherElements", because="fails where the indices are shorter than the array")
def gather_elements(case: Case, _: Evaluate) -> Outputs:
    return [np.take_along_axis(_x(case), _x(case, 1).astype(np.int64), case.attributes["axis"])]


@instead("Scatter", because="does not have it: ScatterElements answers")
def scatter(case: Case, evaluate: Evaluate) -> Outputs:
    return evaluate(replace(case, op="ScatterElements", opset=11))


@instead("ScatterND", because="reduces by max and min over wrong shapes")
def scatter_nd(case: Case, _: Evaluate) -> Outputs:
    data, indices, updates = _x(case).copy(), _x(case, 1), _x(case, 2)
    combine: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
    for at in np.ndindex(indices.shape[:-1]):
        place = tuple(indices[at])
        reduction = case.attributes.get("reduction")
        data[place] = combine[reduction](data[place], updates[at]) if reduction else updates[at]
    return [data]


@instead("TensorScatter", because="in circular mode the batch index, too, wraps at the sequence's length")
def tensor_scatter(case: Case, _: Evaluate) -> Outputs:
    cache, update, places = _x(case).copy(), _x(case, 1), _given(case, 2)
    axis = case.attributes["axis"] % cache.ndim
    for row, step in np.ndindex(cache.shape[0], update.shape[axis]):
        place = (0 if places is None else int(places[row])) + step
        into = np.moveaxis(cache[row], axis - 1, 0)
        into[place % cache.shape[axis]] = np.moveaxis(update[row], axis - 1, 0)[step]
    return [cache]


@instead("Pad", because="refuses negative pads, and pads given as an attribute")
def pad(case: Case, evaluate: Evaluate) -> Outputs | None:
    x = _x(case)
    if case.opset >= 11 and (_x(case, 1) >= 0).all():
        return None
    axes = _given(case, 3)
    numbers = case.attributes["pads"] if case.opset < 11 else [int(v) for v in _x(case, 1)]
    value = case.attributes.get("value", 0) if case.opset < 11 else _given(case, 2)
    where = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
    pairs = {axis: (numbers[i], numbers[len(numbers) // 2 + i]) for i, axis in enumerate(where)}
    cut = tuple(slice(max(-pairs.get(i, (0, 0))[0], 0), n + min(pairs.get(i, (0, 0))[1], 0)) for i, n in enumerate(x.shape))
    grown = [tuple(max(side, 0) for side in pairs.get(i, (0, 0))) for i in range(x.ndim)]
    return [np.pad(x[cut], grown, constant_values=x.dtype.type(0 if value is None else value))]


@instead("Unique", because="fails, or returns wrong shapes, where the result is not to be sorted")
def unique(case: Case, evaluate: Evaluate) -> Outputs | None:
    if case.attributes.get("sorted", 1):
        return None
    values, first, inverse, counts = evaluate(replace(case, attributes=case.attributes | {"sorted": 1}))
    order = np.argsort(first)
    axis = case.attributes.get("axis")
    return [np.take(values, order, axis or 0), first[order], np.argsort(order)[inverse.reshape(-1)], counts[order]]


@instead("Dropout", because="refuses the ratio as an attribute")
def dropout(case: Case, _: Evaluate) -> Outputs | None:
    return None if case.opset >= 12 else [_x(case)]


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
    return evaluate(explicit_pads(case, _x(case).shape[2:], _x(case, 1).shape[2:]))


@instead("QLinearConv", because="auto_pad ignores dilations, and VALID pads")
def qlinear_conv(case: Case, evaluate: Evaluate) -> Outputs:
    return evaluate(explicit_pads(case, _x(case).shape[2:], _x(case, 3).shape[2:]))


def _windows(case: Case) -> tuple[Array, Array, tuple[int, ...]]:
    """For each output place the indices into the flat image that its window covers, and which of them are inside."""
    x, kernel = _x(case), case.attributes["kernel_shape"]
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
    x = _x(case)
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
        return evaluate(explicit_pads(case, _x(case).shape[2:], case.attributes["kernel_shape"]))
    flat, inside, dims = _windows(case)
    sums = np.where(inside, _images(_x(case).astype(F64))[:, :, flat], 0).sum(-1)
    return [(sums / inside.sum(-1)).reshape(dims).astype(_x(case).dtype)]


@instead("LpPool", because="with ceil_mode windows count more than once")
def lp_pool(case: Case, _: Evaluate) -> Outputs:
    x, p = _x(case).astype(F64), case.attributes.get("p", 2)
    flat, inside, dims = _windows(case)
    powers = np.where(inside, np.abs(_images(x)[:, :, flat]) ** p, 0)
    return [(powers.sum(-1) ** (1 / p)).reshape(dims).astype(_x(case).dtype)]


@instead("GlobalMaxPool", because="keeps wrong axes but for images")
def global_max_pool(case: Case, _: Evaluate) -> Outputs:
    x = _x(case)
    return [x.max(tuple(range(2, x.ndim)), keepdims=True)]


@instead("GlobalLpPool", because="does not have it")
def global_lp_pool(case: Case, _: Evaluate) -> Outputs:
    x, p = _x(case), case.attributes.get("p", 2)
    powers = (np.abs(x.astype(F64)) ** p).sum(tuple(range(2, x.ndim)), keepdims=True)
    return [(powers ** (1 / p)).astype(x.dtype)]


@instead("LRN", because="fails where the window is wider than the channels, and windows of even sizes are wrong")
def lrn(case: Case, _: Evaluate) -> Outputs:
    x, size = _x(case).astype(F64), case.attributes["size"]
    alpha, beta, bias = (case.attributes.get(*entry) for entry in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    sums = np.zeros_like(x)
    for c in range(x.shape[1]):
        low, high = max(0, c - (size - 1) // 2), min(x.shape[1] - 1, c + size // 2)
        sums[:, c] = (x[:, low : high + 1] ** 2).sum(1)
    return [(x / (bias + float(np.float32(alpha)) / size * sums) ** beta).astype(_x(case).dtype)]


@instead("ConvTranspose", because="fails with groups, and misplaces output_padding")
def conv_transpose(case: Case, _: Evaluate) -> Outputs:
    x, w, bias = _x(case).astype(F64), _x(case, 1).astype(F64), _given(case, 2)
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
    return [full[(..., *inner)].astype(_x(case).dtype)]


# ---------------------------------------------------------------- others


@instead("LayerNormalization", because="its statistics have the input's type, where ONNX says stash_type's: float32")
def layer_norm(case: Case, evaluate: Evaluate) -> Outputs:
    y, *statistics = evaluate(case)
    return [y, *(value.astype(F32) for value in statistics)]


@instead("GroupNormalization", because="its definition computes in float32 whatever the element type")
def group_norm(case: Case, _: Evaluate) -> Outputs:
    x, scale, bias = (_x(case, i).astype(F64) for i in range(3))
    groups = x.reshape(x.shape[0], case.attributes["num_groups"], -1)
    epsilon = float(np.float32(case.attributes.get("epsilon", 1e-5)))
    spread = np.sqrt(groups.var(-1, keepdims=True) + epsilon)
    y = ((groups - groups.mean(-1, keepdims=True)) / spread).reshape(x.shape)
    channel = (-1, *[1] * (x.ndim - 2))
    return [(y * scale.reshape(channel) + bias.reshape(channel)).astype(_x(case).dtype)]


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
    theta, size = _x(case), [int(n) for n in _x(case, 1)[2:]]
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
    mask = _given(case, 3)
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
    return [_x(case).view(case.attributes["to"])]
