"""Makers of random calls: products, convolutions, pooling, normalisation, losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from random_ops_draw import F32, F64, FLOATS, HALVES, INTS, Array, Draw, Made, op

INT8S = (np.dtype(np.int8), np.dtype(np.uint8))


def _product_dims(d: Draw, ranks: tuple[int, int] = (1, 4)) -> tuple[list[int], list[int]]:
    n, k, m = d.extent(), d.extent(), d.extent()
    lead_a, lead_b = d.broadcast(2)
    a = [*lead_a[-2:], n, k] if d.flag(0.85) else [k]
    b = [*lead_b[-2:], k, m] if d.flag(0.85) else [k]
    return a, b


@op("MatMul")
def matmul(d: Draw) -> Made:
    a, b = _product_dims(d)
    return [d.x(a), d.x(b)], {}


@op("MatMulInteger", types=INT8S)
def matmul_integer(d: Draw) -> Made:
    a, b = _product_dims(d)
    other = d.one_of(*INT8S)
    points: list[Any] = [d.optional(d.x([], high=9)), d.optional(d.x([], high=9, dtype=other))]
    return [d.x(a, -128, 255 if d.dtype.kind == "u" else 127), d.x(b, dtype=other), *points], {}


@op("Gemm", since=7)
def gemm(d: Draw) -> Made:
    n, k, m = d.extent(), d.extent(), d.extent()
    attributes = d.attributes(transA=d.int(0, 1), transB=d.int(0, 1))
    if d.dtype in (*FLOATS, *HALVES):
        attributes |= d.attributes(alpha=d.number(), beta=d.number())
    a = [k, n] if attributes.get("transA") else [n, k]
    b = [m, k] if attributes.get("transB") else [k, m]
    c = d.one_of([], [1], [m], [1, m], [n, 1], [n, m])
    return [d.x(a), d.x(b), None if d.opset >= 11 and d.flag(0.3) else d.x(c)], attributes


@op("Einsum")
def einsum(d: Draw) -> Made:
    size = {letter: d.extent() for letter in "ijkb"}
    equation = d.one_of("ij,jk->ik", "bij,bjk->bik", "ij->ji", "ij->", "ij,ij->i", "bij->b", "i,j->ij", "ij,jk", "ijk,k->ji",
                        "b...i,b...i->b...", "ii->i")  # fmt: skip
    if "..." in equation:
        shape = [size["b"], size["j"], size["i"]]
        return [d.x(shape), d.x(shape)], {"equation": equation}
    terms = equation.split("->", maxsplit=1)[0].split(",")
    return [d.x([size[letter] for letter in term]) for term in terms], {"equation": equation}


@op("Det")
def det(d: Draw) -> Made:
    n = d.int(1, 4)
    return [d.x([*d.dims(high=2, empty=False), n, n])], {}


# ---------------------------------------------------------------- windows over images


class Window:
    """Attributes of a window over random extents, such that it fits."""

    def __init__(self, d: Draw, dilated: bool = True) -> None:
        self.rank = d.int(1, 3)
        self.kernel = [d.int(1, 3) for _ in range(self.rank)]
        self.strides = [d.int(1, 3) for _ in range(self.rank)]
        self.dilations = [d.int(1, 2) if dilated else 1 for _ in range(self.rank)]
        self.pads = [d.int(0, k - 1) for k in (*self.kernel, *self.kernel)]
        reach = [(k - 1) * step + 1 for k, step in zip(self.kernel, self.dilations, strict=True)]
        self.extents = [n + d.int(0, 4) for n in reach]
        self.attributes: dict[str, Any] = d.attributes(strides=self.strides)
        if any(step > 1 for step in self.dilations):
            self.attributes["dilations"] = self.dilations
        if d.flag():
            self.attributes["pads"] = self.pads
        elif d.flag(0.4):
            self.attributes["auto_pad"] = d.one_of("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")


@op("Conv", weight=3)
def conv(d: Draw) -> Made:
    w = Window(d)
    group = d.int(1, 3)
    channels, features = group * d.int(1, 2), group * d.int(1, 2)
    weights = d.x([features, channels // group, *w.kernel])
    bias = d.optional(d.x([features]))
    return [d.x([d.int(1, 3), channels, *w.extents]), weights, bias], w.attributes | {"group": group}


@op("ConvTranspose", weight=3)
def conv_transpose(d: Draw) -> Made:
    w = Window(d)
    group = d.int(1, 2)
    channels, features = group * d.int(1, 2), d.int(1, 2)
    w.attributes.pop("auto_pad", None)
    strides = w.attributes.get("strides", [1] * w.rank)
    extra = d.attributes(output_padding=[d.int(0, s - 1) for s in strides])
    bias = d.optional(d.x([group * features]))
    x = d.x([d.int(1, 2), channels, *w.extents])
    return [x, d.x([channels, features, *w.kernel]), bias], w.attributes | extra | {"group": group}


@op("ConvInteger", types=(np.dtype(np.uint8),))
def conv_integer(d: Draw) -> Made:
    w = Window(d)
    channels = d.int(1, 3)
    points = [d.optional(np.asarray(d.x([], high=9))), None]
    x = d.x([1, channels, *w.extents], high=200)
    return [x, d.x([d.int(1, 3), channels, *w.kernel], dtype=np.uint8), *points], w.attributes


@op("AveragePool", since=7)
def padded_average_pool(d: Draw) -> Made:
    w = Window(d, dilated=False)
    return [d.x([d.int(1, 2), d.int(1, 2), *w.extents])], w.attributes | {"kernel_shape": w.kernel, "count_include_pad": 1}


@op("AveragePool", since=7, weight=2)
@op("MaxPool", weight=2)
@op("LpPool", since=18)
def pool(d: Draw) -> Made:
    w = Window(d, dilated=False)
    attributes = w.attributes | {"kernel_shape": w.kernel}
    if d.opset >= 10 and d.flag(0.3) and "auto_pad" not in attributes:
        attributes["ceil_mode"] = 1
    return [d.x([d.extent(), d.int(1, 2), *w.extents])], attributes


@op("MaxPool", since=8, outputs=2)
def max_pool_indices(d: Draw) -> Made:
    (x,), attributes = pool(d)
    attributes.pop("ceil_mode", None)
    return [d.distinct(x.shape)], attributes


@op("GlobalAveragePool", "GlobalMaxPool")
def global_pool(d: Draw) -> Made:
    return [d.x(d.dims(3, 5, empty=False))], {}


@op("LRN")
def lrn(d: Draw) -> Made:
    attributes = d.attributes(alpha=d.number(0, 1), beta=d.number(0, 1), bias=d.number(1, 2))
    return [d.x(d.dims(4, 4, empty=False))], attributes | {"size": d.one_of(1, 3, 5)}


@op("Col2Im", types=(*FLOATS, *HALVES, *INTS))
def col2im(d: Draw) -> Made:
    image, block = [d.int(3, 5), d.int(3, 5)], [d.int(1, 3), d.int(1, 3)]
    columns = (image[0] - block[0] + 1) * (image[1] - block[1] + 1)
    return [d.x([d.int(1, 2), d.int(1, 2) * block[0] * block[1], columns]), d.ints(image), d.ints(block)], {}


# ---------------------------------------------------------------- normalisation


@op("BatchNormalization", since=9)
def batch_norm(d: Draw) -> Made:
    dims = d.dims(2, 5, empty=False)
    c = dims[1:2]
    return [d.x(dims), d.x(c), d.x(c), d.x(c), d.x(c, low=0.1)], d.attributes(epsilon=d.number(0.001, 0.1))


@op("InstanceNormalization", since=6)
def instance_norm(d: Draw) -> Made:
    dims = d.dims(3, 5, empty=False)
    return [d.x(dims), d.x(dims[1:2]), d.x(dims[1:2])], d.attributes(epsilon=d.number(0.001, 0.1))


@op("LayerNormalization", outputs=3)
def layer_norm(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    axis = d.axis(len(dims))
    tail = dims[axis % len(dims) :]
    return [d.x(dims), d.x(tail), d.optional(d.x(tail))], {"axis": axis} | d.attributes(epsilon=d.number(0.001, 0.1))


@op("RMSNormalization")
def rms_norm(d: Draw) -> Made:
    (x, scale, _), attributes = layer_norm(d)
    return [x, scale], attributes


@op("GroupNormalization", since=21)
def group_norm(d: Draw) -> Made:
    groups = d.int(1, 3)
    channels = groups * d.int(1, 2)
    dims = [d.int(1, 2), channels, *d.dims(1, 3, empty=False)]
    return [d.x(dims), d.x([channels]), d.x([channels])], {"num_groups": groups} | d.attributes(epsilon=0.01)


# ---------------------------------------------------------------- quantisation


@op("QuantizeLinear", types=(F32,))
def quantize(d: Draw) -> Made:
    dims = d.dims(1, 4)
    axis = d.axis(len(dims))
    count = [dims[axis]] if d.opset >= 13 and d.flag() else []
    to = d.one_of(*INT8S)
    point = d.x(count, 0, 20, dtype=to) if d.flag() else None
    attributes = {"axis": axis} if count else {}
    return [d.x(dims, -50, 50), d.x(count, 0.1, 2), point], attributes


@op("DequantizeLinear", types=INT8S)
def dequantize(d: Draw) -> Made:
    dims = d.dims(1, 4)
    axis = d.axis(len(dims))
    count = [dims[axis]] if d.opset >= 13 and d.flag() else []
    attributes = {"axis": axis} if count else {}
    return [d.x(dims, -100, 100), d.x(count, 0.1, 2, dtype=F32), d.optional(d.x(count, 0, 20))], attributes


@op("QuantizeLinear", since=19, types=HALVES)
def quantize_halves(d: Draw) -> Made:
    scale = np.asarray(d.one_of(0.25, 0.5, 1, 2)).astype(d.dtype)  # quotients are exact: nothing hangs on their rounding
    return [d.x(low=-50, high=50), scale, d.optional(np.asarray(d.one_of(3, 7), d.one_of(*INT8S)))], {}


@op("DequantizeLinear", since=19, types=INT8S)
def dequantize_to_halves(d: Draw) -> Made:
    return [d.x(low=-100, high=100), np.asarray(d.number(0.1, 2)).astype(d.one_of(*HALVES))], {}


@op("DynamicQuantizeLinear", outputs=3)
def dynamic_quantize(d: Draw) -> Made:
    return [d.x(d.dims(empty=False))], {}


@op("QLinearMatMul", types=INT8S)
def qlinear_matmul(d: Draw) -> Made:
    a, b = _product_dims(d)
    scale = [np.asarray(d.number(0.01, 0.1), np.float32) for _ in range(3)]
    point = [np.asarray(d.x([], 0, 9)) for _ in range(3)]
    return [d.x(a, 0, 50), scale[0], point[0], d.x(b, 0, 50), scale[1], point[1], scale[2], point[2]], {}


@op("QLinearConv", types=INT8S)
def qlinear_conv(d: Draw) -> Made:
    w = Window(d)
    channels, features = d.int(1, 3), d.int(1, 3)
    scale = [np.asarray(d.number(0.01, 0.1), np.float32) for _ in range(3)]
    point = [np.asarray(d.x([], 0, 9)) for _ in range(3)]
    x, weights = d.x([1, channels, *w.extents], 0, 50), d.x([features, channels, *w.kernel], 0, 50)
    return [x, scale[0], point[0], weights, scale[1], point[1], scale[2], point[2]], w.attributes


# ---------------------------------------------------------------- losses


@op("NegativeLogLikelihoodLoss")
@op("SoftmaxCrossEntropyLoss", outputs=2)
def loss(d: Draw) -> Made:
    n, classes, rest = d.int(1, 3), d.int(1, 4), d.dims(0, 2, empty=False)
    target = d.rng.integers(0, classes, [n, *rest]).astype(d.one_of(np.int32, np.int64))
    weights = d.optional(d.x([classes], 0.1, 2))
    attributes = d.attributes(reduction=d.one_of("none", "sum", "mean"))
    return [d.x([n, classes, *rest], -3, 0), target, weights], attributes


# ---------------------------------------------------------------- recurrence


def _recurrent(d: Draw, gates: int, states: int, extra: int) -> Made:
    steps, batch, size, hidden = d.int(1, 4), d.int(1, 3), d.int(1, 3), d.int(1, 3)
    direction = d.one_of("forward", "reverse", "bidirectional")
    n = 2 if direction == "bidirectional" else 1
    x = d.x([steps, batch, size])
    inputs: list[Array | None] = [x, d.x([n, gates * hidden, size]), d.x([n, gates * hidden, hidden])]
    inputs += [d.optional(d.x([n, 2 * gates * hidden])), None]
    inputs += [d.optional(d.x([n, batch, hidden])) for _ in range(states)]
    if extra and d.flag(0.3):
        inputs.append(d.x([n, extra * hidden]))
    return inputs, {"hidden_size": hidden, "direction": direction}


@op("RNN", since=7, outputs=2)
def rnn(d: Draw) -> Made:
    return _recurrent(d, 1, 1, 0)


@op("GRU", since=7, outputs=2)
def gru(d: Draw) -> Made:
    inputs, attributes = _recurrent(d, 3, 1, 0)
    return inputs, attributes | d.attributes(linear_before_reset=d.int(0, 1))


@op("LSTM", since=7, outputs=2)
def lstm(d: Draw) -> Made:
    return _recurrent(d, 4, 2, 3)


@op("GlobalLpPool", since=2)
def global_lp_pool(d: Draw) -> Made:
    return [d.x(d.dims(3, 5, empty=False))], d.attributes(p=d.int(1, 3))


@op("HannWindow", "HammingWindow", "BlackmanWindow", types=(np.dtype(np.int64), np.dtype(np.int32)))
def window(d: Draw) -> Made:
    types = d.attributes(output_datatype=d.one_of(F32, F64))
    return [np.asarray(d.int(2, 20), d.dtype)], d.attributes(periodic=d.int(0, 1)) | types
