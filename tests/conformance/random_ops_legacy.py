"""Makers of random calls in the forms of old opsets, which the reference evaluator does not know: each with its
translation into the form that it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from random_ops_draw import F32, F64, FLOATS, HALVES, Array, Case, Draw, Made, op

REAL = (*FLOATS, *HALVES)
Translation = Callable[[Case], Case]
TRANSLATIONS: dict[str, tuple[int, Translation]] = {}


def until(version: int, *ops: str) -> Callable[[Translation], Translation]:
    """Enters how calls of the operators are to be read, up to an opset version."""

    def enter(translation: Translation) -> Translation:
        TRANSLATIONS.update(dict.fromkeys(ops, (version, translation)))
        return translation

    return enter


def translated(case: Case) -> Case:
    """The case in a form that the reference evaluator knows."""
    version, translation = TRANSLATIONS.get(case.op, (0, None))
    return translation(case) if translation is not None and case.opset <= version else case


def _array(case: Case, i: int) -> Array:
    value = case.inputs[i]
    assert value is not None
    return value


def _without(case: Case, *names: str) -> dict[str, Any]:
    return {name: value for name, value in case.attributes.items() if name not in names}


# ---------------------------------------------------------------- broadcasting along an axis


@op("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less", until=6)
def along_an_axis(d: Draw) -> Made:
    dims = d.dims(1, 4)
    first = d.int(0, len(dims) - 1)
    last = d.int(first + 1, len(dims))
    axis = {} if last == len(dims) and d.flag() else {"axis": first}
    return [d.x(dims, low=1), d.x(dims[first:last], low=1)], {"broadcast": 1} | axis


@until(6, "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")
def spread(case: Case) -> Case:
    a, b = _array(case, 0), _array(case, 1)
    if case.attributes.get("broadcast"):
        axis = case.attributes.get("axis", a.ndim - b.ndim)
        b = b.reshape(*b.shape, *[1] * (a.ndim - axis - b.ndim))
    return replace(case, opset=7, inputs=[a, b], attributes={})


@op("PRelu", until=6, types=REAL)
def slope_by_channel(d: Draw) -> Made:
    dims = d.dims(2, 4)
    return [d.x(dims), d.x(dims[1:2] if d.flag() else [1])], {}


@until(6, "PRelu")
def slope(case: Case) -> Case:
    x, by_channel = _array(case, 0), _array(case, 1)
    return replace(case, opset=7, inputs=[x, by_channel.reshape(-1, *[1] * (x.ndim - 2))])


@op("Gemm", until=6, types=REAL)
def gemm(d: Draw) -> Made:
    n, k, m = d.extent(empty=False), d.extent(empty=False), d.extent(empty=False)
    attributes = d.attributes(alpha=d.number(), beta=d.number(), transA=d.int(0, 1), transB=d.int(0, 1))
    a, b = ([k, n] if attributes.get("transA") else [n, k]), ([m, k] if attributes.get("transB") else [k, m])
    broadcast = d.flag()
    c = d.one_of([m], [1], [n, m]) if broadcast else [n, m]
    return [d.x(a), d.x(b), d.x(c)], attributes | ({"broadcast": 1} if broadcast else {})


@until(6, "Gemm")
def gemm_7(case: Case) -> Case:
    return replace(case, opset=7, attributes=_without(case, "broadcast"))


# ---------------------------------------------------------------- attributes that became inputs


@op("Split", since=2, until=12, outputs=2)
def split(d: Draw) -> Made:
    dims = d.dims(1, 4)
    axis = d.int(0, len(dims) - 1)
    if d.flag():
        first = d.int(0, dims[axis])
        return [d.x(dims)], {"axis": axis, "split": [first, dims[axis] - first]}
    dims[axis] = 2 * d.int(1, 3)
    return [d.x(dims)], {"axis": axis}


@until(12, "Split")
def split_13(case: Case) -> Case:
    parts = case.attributes.get("split")
    inputs = [case.inputs[0], *([] if parts is None else [np.array(parts, np.int64)])]
    return replace(case, opset=13, inputs=inputs, attributes=_without(case, "split"))


@op("TopK", until=9, outputs=2)
def top_k_attribute(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    axis = d.int(0, len(dims) - 1)
    return [d.distinct(dims)], {"axis": axis, "k": d.int(1, dims[axis])}


@op("TopK", since=10, until=10, outputs=2)
def top_k_input(d: Draw) -> Made:
    (x,), attributes = top_k_attribute(d)
    return [x, d.ints([attributes.pop("k")])], attributes


@until(10, "TopK")
def top_k_11(case: Case) -> Case:
    k = case.attributes.get("k")
    inputs = case.inputs if k is None else [case.inputs[0], np.array([k])]
    return replace(case, opset=11, inputs=inputs, attributes=_without(case, "k"))


@op("Reshape", until=4, types=REAL)
def reshape(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    return [d.x(dims)], {"shape": [-1, *dims[2:]] if d.flag() else [*dims, 1]}


@until(4, "Reshape")
def reshape_5(case: Case) -> Case:
    return replace(case, opset=5, inputs=[case.inputs[0], np.array(case.attributes["shape"])], attributes={})


@op("Tile", until=5, types=REAL)
def tile(d: Draw) -> Made:
    dims = d.dims(1, 4)
    return [d.x(dims), np.asarray(d.int(1, 3)).astype(d.dtype), np.asarray(d.int(0, len(dims) - 1)).astype(d.dtype)], {}


@until(5, "Tile")
def tile_6(case: Case) -> Case:
    x = _array(case, 0)
    repeats = np.ones(x.ndim, np.int64)
    repeats[int(_array(case, 2))] = int(_array(case, 1))
    return replace(case, opset=6, inputs=[x, repeats])


@op("Concat", until=3, types=REAL)
def concat(d: Draw) -> Made:
    dims = d.dims(2, 4)
    parts = [d.x([dims[0], d.extent(), *dims[2:]]) for _ in range(d.int(1, 3))]
    return parts, d.attributes(axis=1)


@until(3, "Concat")
def concat_4(case: Case) -> Case:
    return replace(case, opset=4, attributes={"axis": 1})


@op("DFT", since=17, until=19, types=REAL)
def dft(d: Draw) -> Made:
    dims = [*d.dims(1, 3, empty=False), d.int(1, 2)]
    axis = d.int(1, len(dims) - 2) if len(dims) > 2 else 0
    dims[axis] = d.int(1, 20)
    onesided = d.flag() and dims[-1] == 1
    return [d.x(dims)], {"axis": axis, "onesided": int(onesided)} | ({} if onesided else d.attributes(inverse=1))


@until(19, "DFT")
def dft_20(case: Case) -> Case:
    axis = np.asarray(case.attributes["axis"])
    return replace(case, opset=20, inputs=[case.inputs[0], None, axis], attributes=_without(case, "axis"))


# ---------------------------------------------------------------- other changes of meaning


@op("BatchNormalization", until=8, types=REAL)
def batch_norm(d: Draw) -> Made:
    dims = d.dims(2, 4, empty=False)
    c = dims[1:2]
    test = {"is_test": 1} if d.opset < 7 else {}
    return [d.x(dims), d.x(c), d.x(c), d.x(c), d.x(c, low=0.1)], test | d.attributes(epsilon=d.number(0.001, 0.1))


@until(8, "BatchNormalization")
def batch_norm_9(case: Case) -> Case:
    return replace(case, opset=9, attributes=_without(case, "is_test"))


@op("GroupNormalization", since=18, until=20, types=REAL)
def group_norm(d: Draw) -> Made:
    groups = d.int(1, 3)
    dims = [d.int(1, 2), groups * d.int(1, 2), *d.dims(1, 3, empty=False)]
    return [d.x(dims), d.x([groups]), d.x([groups])], {"num_groups": groups} | d.attributes(epsilon=0.01)


@until(20, "GroupNormalization")
def group_norm_21(case: Case) -> Case:
    each = _array(case, 0).shape[1] // case.attributes["num_groups"]
    inputs = [case.inputs[0], *(np.repeat(_array(case, i), each) for i in (1, 2))]
    return replace(case, opset=21, inputs=inputs)


@op("Resize", since=10, until=10, types=REAL)
def resize(d: Draw) -> Made:
    scales = [1, 1, d.one_of(0.5, 1, 2, 3), d.one_of(0.5, 1, 1.5, 2)]
    x = d.x([1, d.int(1, 2), d.int(2, 5), d.int(2, 5)])
    return [x, np.array(scales, np.float32)], {"mode": d.one_of("nearest", "linear")}


@until(10, "Resize")
def resize_11(case: Case) -> Case:
    inputs = [case.inputs[0], np.zeros(0, np.float32), case.inputs[1]]
    places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return replace(case, opset=11, inputs=inputs, attributes=case.attributes | places)


@op("Upsample", since=7, until=7, types=REAL)
def upsample(d: Draw) -> Made:
    return [d.x([1, d.int(1, 2), d.int(1, 4), d.int(1, 4)])], {"scales": [1.0, 1.0, float(d.int(1, 3)), float(d.int(1, 3))]}


@until(7, "Upsample")
def upsample_9(case: Case) -> Case:
    return replace(case, opset=9, inputs=[case.inputs[0], np.array(case.attributes["scales"], np.float32)], attributes={})


@op("Cast", until=5)
def cast(d: Draw) -> Made:
    return [d.x(low=0, high=100)], {"to": d.one_of("FLOAT", "DOUBLE", "INT32", "INT64", "UINT8", "BOOL")}


@until(5, "Cast")
def cast_6(case: Case) -> Case:
    names = {"FLOAT": F32, "DOUBLE": F64, "INT32": np.dtype("int32"), "INT64": np.dtype("int64")}
    names |= {"UINT8": np.dtype("uint8"), "BOOL": np.dtype("bool")}
    return replace(case, opset=6, attributes={"to": names[case.attributes["to"]]})


@op("LpPool", since=2, until=17, types=REAL)
def lp_pool(d: Draw) -> Made:
    kernel = [d.int(1, 3), d.int(1, 3)]
    x = d.x([1, d.int(1, 2), *(k + d.int(0, 3) for k in kernel)])
    return [x], {"kernel_shape": kernel} | d.attributes(strides=[d.int(1, 2), d.int(1, 2)], p=d.int(1, 3))


@op("InstanceNormalization", until=5, types=REAL)
def instance_norm(d: Draw) -> Made:
    dims = d.dims(3, 4, empty=False)
    return [d.x(dims), d.x(dims[1:2]), d.x(dims[1:2])], {}


@until(5, "InstanceNormalization")
def instance_norm_6(case: Case) -> Case:
    return replace(case, opset=6)
