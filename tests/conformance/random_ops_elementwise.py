"""Makers of random calls: elementwise operators, reductions, comparisons."""

from __future__ import annotations

import functools

import numpy as np

from random_ops_draw import BOOL, F32, F64, FLOATS, HALVES, INTS, Draw, Made, op

REAL = (*FLOATS, *HALVES)
NUMBERS = (*REAL, *INTS, BOOL)
# Where each element is computed by itself small results are as exact as large ones.
each = functools.partial(op, scale=1e-6)


@each("Erf", types=REAL)  # of integers it says nothing that would be of use
@each("Abs", "Neg", "Sign", "Ceil", "Floor", "Round", "Exp", "Sin", "Cos", "Tan", "Tanh", "Sigmoid", "Relu")
@each("Softplus", "Softsign", "Mish", "HardSwish", "Sinh", "Cosh", "Asinh", "Atan", "Identity", "Not", "BitwiseNot")
@each("IsNaN", "Size")
def unary(d: Draw) -> Made:
    return [d.special()], {}


@each("Sqrt", "Log")
def positive(d: Draw) -> Made:
    return [d.special(low=0, high=9)], {}


@each("Acos", "Asin", "Atanh")
def within_one(d: Draw) -> Made:
    return [d.special(low=-0.99, high=0.99)], {}


@each("Acosh")
def above_one(d: Draw) -> Made:
    return [d.special(low=1, high=9)], {}


@each("Reciprocal")
def reciprocal(d: Draw) -> Made:
    return [d.x(low=0.1) * d.one_of(-1, 1)], {}


@each("Elu", "LeakyRelu", "ThresholdedRelu", "Celu", "Swish")
def with_alpha(d: Draw) -> Made:
    return [d.special()], d.attributes(alpha=d.number(0.1, 2))


@each("Selu")
def selu(d: Draw) -> Made:
    return [d.special()], d.attributes(alpha=d.number(), gamma=d.number())


@op("HardSigmoid")
def hard_sigmoid(d: Draw) -> Made:
    return [d.special()], d.attributes(alpha=d.number(), beta=d.number())


@each("Shrink")
def shrink(d: Draw) -> Made:
    return [d.special()], d.attributes(lambd=d.number(0, 2), bias=d.number())


@each("Gelu")
def gelu(d: Draw) -> Made:
    return [d.special()], d.attributes(approximate=d.one_of("none", "tanh"))


@each("IsInf")
def is_inf(d: Draw) -> Made:
    return [d.special()], d.attributes(detect_negative=d.int(0, 1), detect_positive=d.int(0, 1))


@each("Shape")
def shape(d: Draw) -> Made:
    return [d.x()], d.attributes(start=d.int(-6, 6), end=d.int(-6, 6)) if d.opset >= 15 else {}


@each("Add", "Sub", "Mul", since=7)
@each("Equal", "Greater", "Less", "And", "Or", "Xor", since=7)
@each("GreaterOrEqual", "LessOrEqual", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
def binary(d: Draw) -> Made:
    a, b = d.broadcast(2)
    return [d.special(a), d.special(b)], {}


@each("Add", "Sub", "Mul", "Div", "Equal", "Greater", "Less", "And", "Or", "Xor", until=6)
def legacy_binary(d: Draw) -> Made:
    dims = d.dims()
    return [d.x(dims), d.x(dims, low=1)], {}


@each("Div", since=7)
def div(d: Draw) -> Made:
    a, b = d.broadcast(2)
    divisor = d.x(b, low=0.6)
    if d.dtype in (*FLOATS, *HALVES, *INTS[:4]) and d.flag():
        divisor = -divisor
    return [d.x(a, low=-100, high=100), divisor], {}


@each("Mod")
def mod(d: Draw) -> Made:
    a, b = d.broadcast(2)
    divisor = d.x(b, low=1, high=7)
    signed = d.dtype in (*FLOATS, *HALVES, *INTS[:4])
    if signed and d.flag():
        divisor = -divisor
    attributes = {"fmod": 1} if d.dtype in (*FLOATS, *HALVES) else d.attributes(fmod=d.int(0, 1))
    return [d.x(a, low=-100, high=100), divisor], attributes


@each("Pow", since=7)
def power(d: Draw) -> Made:
    a, b = d.broadcast(2)
    if d.dtype in (*FLOATS, *HALVES):
        return [d.x(a, low=0.1), d.x(b)], {}
    return [d.x(a), d.x(b, low=0)], {}


@each("Max", "Min", "Sum", "Mean", since=8)
def fold(d: Draw) -> Made:
    return [d.special(dims) for dims in d.broadcast(d.int(1, 4))], {}


@each("Max", "Min", "Sum", "Mean", until=7)
def legacy_fold(d: Draw) -> Made:
    dims = d.dims()
    return [d.x(dims) for _ in range(d.int(1, 4))], {}


@each("BitShift")
def bit_shift(d: Draw) -> Made:
    a, b = d.broadcast(2)
    return [d.x(a, high=200), d.x(b, high=d.dtype.itemsize * 8 - 1)], {"direction": d.one_of("LEFT", "RIGHT")}


@each("PRelu", since=7)
def prelu(d: Draw) -> Made:
    dims = d.dims()
    slope = [1 if d.flag(0.3) else extent for extent in dims[d.int(0, len(dims)) :]]
    return [d.x(dims), d.x(slope)], {}


@each("Where")
def where(d: Draw) -> Made:
    condition, a, b = d.broadcast(3)
    draw = Draw((d.int(0, 1 << 30),), d.one_of(*FLOATS, *HALVES, *INTS, BOOL), d.opset)
    return [d.x(condition, dtype=BOOL), draw.special(a), draw.special(b)], {}


@each("Clip", since=11)
def clip(d: Draw) -> Made:
    low, high = sorted([d.x([]), d.x([])])
    return [d.special(), d.optional(np.asarray(low)), d.optional(np.asarray(high))], {}


@each("Clip", until=10)
def legacy_clip(d: Draw) -> Made:
    return [d.x()], d.attributes(min=d.number(-2, 0), max=d.number(0, 2))


ARITHMETIC = [f"Reduce{kind}" for kind in ("L1", "L2", "Mean", "Prod", "SumSquare", "Sum")]
EXTREMES = ["ReduceMax", "ReduceMin"]


def _reduced(d: Draw, op_low: float = -3) -> Made:
    dims = d.dims(high=6, empty=d.dtype in REAL and d.flag(0.3))
    return [d.x(dims, low=op_low)], d.attributes(keepdims=d.int(0, 1))


# Logarithms of integers: the reference answers them in float64, or not at all.
LOGARITHMS = ["ReduceLogSum", "ReduceLogSumExp"]


@op(*LOGARITHMS, until=12, types=REAL)
@op(*ARITHMETIC, *EXTREMES, until=12)
def reduce_with_attribute(d: Draw) -> Made:
    inputs, attributes = _reduced(d, 0.1)
    if d.flag():
        attributes["axes"] = [axis % inputs[0].ndim if d.opset < 11 else axis for axis in d.axes(inputs[0].ndim, 1)]
        if not attributes["axes"]:
            del attributes["axes"]
    return [inputs[0]], attributes


@op(*LOGARITHMS, since=13, until=17, types=REAL)
@op(*(name for name in (*ARITHMETIC, *EXTREMES) if name != "ReduceSum"), since=13, until=17)
def reduce_with_attribute_13(d: Draw) -> Made:
    return reduce_with_attribute(d)


@op(*LOGARITHMS, since=18, types=REAL)
@op(*ARITHMETIC, *EXTREMES, since=18)
def reduce_with_input(d: Draw) -> Made:
    (x,), attributes = _reduced(d, 0.1)
    attributes |= d.attributes(noop_with_empty_axes=d.int(0, 1))
    axes = d.ints(d.axes(x.ndim)) if d.flag(0.8) else None
    return [x, axes], attributes


@op("ReduceSum", since=13, until=17)
def reduce_sum_13(d: Draw) -> Made:
    return reduce_with_input(d)


@op("ArgMax", "ArgMin", since=12)
def arg_extreme(d: Draw) -> Made:
    dims = d.dims(1, 5)
    attributes = d.attributes(keepdims=d.int(0, 1), select_last_index=d.int(0, 1))
    axis = d.axis(len(dims))
    dims[axis] = dims[axis] or 2
    return [d.x(dims)], attributes | {"axis": axis}


@op("ArgMax", "ArgMin", until=11)
def legacy_arg_extreme(d: Draw) -> Made:
    (x,), attributes = arg_extreme(d)
    attributes.pop("select_last_index", None)
    return [x], attributes | {"axis": attributes["axis"] % x.ndim if d.opset < 11 else attributes["axis"]}


@op("CumSum", "CumProd")
def cumulate(d: Draw) -> Made:
    dims = d.dims(1, 4)
    axis = d.ints(d.axis(len(dims)), d.one_of(np.int32, np.int64))
    return [d.x(dims), axis], d.attributes(exclusive=d.int(0, 1), reverse=d.int(0, 1))


@op("Softmax", "LogSoftmax", "Hardmax", since=13)
@op("LpNormalization")
def along_axis(d: Draw) -> Made:
    dims = d.dims(1, 5)
    return [d.distinct(dims) / d.dtype.type(4)], d.attributes(axis=d.axis(len(dims)))


@op("Softmax", "LogSoftmax", "Hardmax", until=12)
def flattened(d: Draw) -> Made:
    dims = d.dims(2, 4, empty=False)
    return [d.distinct(dims) / d.dtype.type(4)], {"axis": d.int(0, len(dims) - 1)}


@op("TopK", since=11, outputs=2)
def top_k(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    axis = d.axis(len(dims))
    attributes = d.attributes(largest=d.int(0, 1), sorted=1) | {"axis": axis}
    return [d.distinct(dims) % d.dtype.type(100), d.ints([d.int(0, dims[axis])])], attributes


@op("MeanVarianceNormalization")
def mean_variance(d: Draw) -> Made:
    dims = d.dims(4, 4, empty=False)
    return [d.x(dims)], d.attributes(axes=sorted(axis % 4 for axis in d.axes(4, 1)))


@op("Cast", since=6, types=NUMBERS)  # random_ops_strings.py has those of strings
def cast(d: Draw) -> Made:
    to = d.one_of(F32, F64, *HALVES, *INTS, BOOL)
    low = 0 if to.kind == "u" or d.dtype.kind == "u" else -100
    return [d.x(low=low, high=100)], {"to": to}


@op("CastLike", types=NUMBERS)
def cast_like(d: Draw) -> Made:
    (x,), attributes = cast(d)
    return [x, d.x([1], dtype=attributes["to"])], {}


@op("BitCast")
def bit_cast(d: Draw) -> Made:
    x = d.x()
    alike = [t for t in (F32, F64, *HALVES, *INTS) if t.itemsize == x.dtype.itemsize and BOOL != d.dtype]
    return [x], {"to": d.one_of(*alike) if alike else BOOL}
