"""What stands in for onnx's reference evaluator (1.22.0) where it is wrong or refuses: each with its defect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from random_ops_draw import F64, STRING, Array, Case

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


def given(case: Case, i: int) -> Array | None:
    """Input i, which may have been left out."""
    return case.inputs[i] if i < len(case.inputs) else None


def array(case: Case, i: int = 0) -> Array:
    """Input i, which is there."""
    value = case.inputs[i]
    assert value is not None
    return value


@instead("Trilu", "CenterCropPad", because="puts the number 0 among strings")
def empty_strings(case: Case, evaluate: Evaluate) -> Outputs | None:
    if array(case).dtype != STRING:
        return None
    return [np.where(y == 0, "", y).astype(object) for y in evaluate(case)]


# ---------------------------------------------------------------- elementwise


@instead("Erf", because="computes in float32 whatever the element type")
def erf(case: Case, _: Evaluate) -> Outputs:
    x = array(case)
    return [np.array([math.erf(v) for v in x.reshape(-1)]).reshape(x.shape).astype(x.dtype)]


@instead("HardSwish", because="its constant 1/6 is rounded to float32")
def hard_swish(case: Case, _: Evaluate) -> Outputs:
    x = array(case)
    return [(x * np.clip(x.astype(F64) / 6 + 0.5, 0, 1)).astype(x.dtype)]


@instead("Softsign", because="fails on scalars")
def softsign(case: Case, _: Evaluate) -> Outputs:
    x = array(case)
    return [np.asarray(x / (1 + np.abs(x)))]


@instead("Gelu", because="the constants of its definition are float32")
def gelu(case: Case, evaluate: Evaluate) -> Outputs:
    x = array(case).astype(F64)
    if case.attributes.get("approximate", "none") == "tanh":
        inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    else:
        (inner,) = erf(replace(case, inputs=[x / math.sqrt(2)]), evaluate)
    return [(0.5 * x * (1 + inner)).astype(array(case).dtype)]


@instead("CastLike", because="fails on 16-bit floats")
def cast_like(case: Case, evaluate: Evaluate) -> Outputs:
    return evaluate(replace(case, op="Cast", inputs=case.inputs[:1], attributes={"to": array(case, 1).dtype}))


@instead("Shape", because="a negative `end` before the first axis counts from the end again")
def shape(case: Case, _: Evaluate) -> Outputs:
    rank = array(case).ndim
    start, end = case.attributes.get("start", 0), case.attributes.get("end", rank)
    start, end = (min(max(v + rank if v < 0 else v, 0), rank) for v in (start, end))
    return [np.array(array(case).shape[start:end], np.int64)]


@instead("Mean", because="adds in place into the first operand, which may be the smaller one")
def mean(case: Case, _: Evaluate) -> Outputs:
    return [np.asarray(sum(array(case, i) for i in range(len(case.inputs))) / array(case).dtype.type(len(case.inputs)))]


@instead("Clip", because="bounds as attributes are not known to it")
def clip(case: Case, _: Evaluate) -> Outputs | None:
    if case.opset >= 11:
        return None
    x = array(case)
    return [np.clip(x, case.attributes.get("min", -np.inf), case.attributes.get("max", np.inf)).astype(x.dtype)]


@instead("ReduceSumSquare", because="answers integers in a wider type")
def reduce_sum_square(case: Case, evaluate: Evaluate) -> Outputs:
    return [y.astype(array(case).dtype) for y in evaluate(case)]


@instead("ReduceLogSumExp", because="fails on scalars")
def reduce_log_sum_exp(case: Case, _: Evaluate) -> Outputs | None:
    return None if array(case).ndim else [array(case)]


@instead("Softmax", "Hardmax", because="before opset 13, too, it takes one axis where all that follow count")
def flattened(case: Case, evaluate: Evaluate) -> Outputs | None:
    x = array(case)
    if case.opset >= 13:
        return None
    rows = x.reshape(int(np.prod(x.shape[: case.attributes["axis"]], dtype=np.int64)), -1)
    (y,) = evaluate(replace(case, opset=13, inputs=[rows], attributes={"axis": 1}))
    return [y.reshape(x.shape)]


@instead("LogSoftmax", because="takes the logarithm of what has become 0; and as Softmax")
def log_softmax(case: Case, _: Evaluate) -> Outputs:
    x, axis = array(case).astype(F64), case.attributes.get("axis", -1)
    if case.opset < 13:
        x, axis = x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1), 1
    x = x - x.max(axis, keepdims=True, initial=-np.inf)
    return [(x - np.log(np.exp(x).sum(axis, keepdims=True))).reshape(array(case).shape).astype(array(case).dtype)]


@instead("MeanVarianceNormalization", because="the constants of its definition are float32")
def mean_variance(case: Case, _: Evaluate) -> Outputs:
    x = array(case)
    axes = tuple(case.attributes.get("axes", (0, 2, 3)))
    return [(x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + x.dtype.type(1e-9))]


# ---------------------------------------------------------------- movement


@instead("Flatten", because="fails on empty arrays")
def flatten(case: Case, _: Evaluate) -> Outputs:
    x, axis = array(case), case.attributes.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    lead, rest = (int(np.prod(part, dtype=np.int64)) for part in (x.shape[:axis], x.shape[axis:]))
    return [x.reshape(lead, rest)]


@instead("Squeeze", because="ignores axes given as an attribute")
def squeeze(case: Case, _: Evaluate) -> Outputs | None:
    if case.opset >= 13:
        return None
    axes = case.attributes.get("axes")
    return [array(case).squeeze(None if axes is None else tuple(axes))]


@instead("Unsqueeze", because="refuses axes given as an attribute")
def unsqueeze(case: Case, _: Evaluate) -> Outputs | None:
    return None if case.opset >= 13 else [np.expand_dims(array(case), tuple(case.attributes["axes"]))]


@instead("Gather", because="loses the shape where there are no indices")
def gather(case: Case, _: Evaluate) -> Outputs:
    return [np.take(array(case), array(case, 1), axis=case.attributes.get("axis", 0))]


@instead("GatherElements", because="fails where the indices are shorter than the array")
def gather_elements(case: Case, _: Evaluate) -> Outputs:
    return [np.take_along_axis(array(case), array(case, 1).astype(np.int64), case.attributes["axis"])]


@instead("Scatter", because="does not have it: ScatterElements answers")
def scatter(case: Case, evaluate: Evaluate) -> Outputs:
    return evaluate(replace(case, op="ScatterElements", opset=11))


@instead("ScatterND", because="reduces by max and min over wrong shapes")
def scatter_nd(case: Case, _: Evaluate) -> Outputs:
    data, indices, updates = array(case).copy(), array(case, 1), array(case, 2)
    combine: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
    for at in np.ndindex(indices.shape[:-1]):
        place = tuple(indices[at])
        reduction = case.attributes.get("reduction")
        data[place] = combine[reduction](data[place], updates[at]) if reduction else updates[at]
    return [data]


@instead("TensorScatter", because="in circular mode the batch index, too, wraps at the sequence's length")
def tensor_scatter(case: Case, _: Evaluate) -> Outputs:
    cache, update, places = array(case).copy(), array(case, 1), given(case, 2)
    axis = case.attributes["axis"] % cache.ndim
    for row, step in np.ndindex(cache.shape[0], update.shape[axis]):
        place = (0 if places is None else int(places[row])) + step
        into = np.moveaxis(cache[row], axis - 1, 0)
        into[place % cache.shape[axis]] = np.moveaxis(update[row], axis - 1, 0)[step]
    return [cache]


@instead("Pad", because="refuses negative pads, and pads given as an attribute")
def pad(case: Case, evaluate: Evaluate) -> Outputs | None:
    x = array(case)
    if case.opset >= 11 and (array(case, 1) >= 0).all():
        return None
    axes = given(case, 3)
    numbers = case.attributes["pads"] if case.opset < 11 else [int(v) for v in array(case, 1)]
    value = case.attributes.get("value", 0) if case.opset < 11 else given(case, 2)
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
    return None if case.opset >= 12 else [array(case)]
