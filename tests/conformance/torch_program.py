"""ONNX graphs in PyTorch: operators by its own functions, so that its autograd can be compared with.

Only what the models and random programs of these tests use; attributes that they do not use are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

Tensor = torch.Tensor
Attributes = Mapping[str, Any]
Function = Callable[[Sequence[Any], Attributes], Any]


def _list(x: Tensor | None) -> list[int]:
    return [] if x is None else [int(v) for v in x.reshape(-1).tolist()]


# ------------------------------------------------------------ reductions


def _reduction(f: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Function:
    def apply(i: Sequence[Any], a: Attributes) -> Tensor:
        axes = _list(i[1]) if len(i) > 1 and i[1] is not None else range(i[0].dim())
        return f(i[0], tuple(axis % i[0].dim() for axis in axes), bool(a.get("keepdims", 1)))

    return apply


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


REDUCTIONS: dict[str, Function] = {
    "ReduceSum": _reduction(lambda x, d, k: x.sum(d, k)),
    "ReduceMean": _reduction(lambda x, d, k: x.mean(d, k)),
    "ReduceMax": _reduction(lambda x, d, k: x.amax(d, k)),
    "ReduceMin": _reduction(lambda x, d, k: x.amin(d, k)),
    "ReduceProd": _reduction(_product),
    "ReduceL1": _reduction(lambda x, d, k: x.abs().sum(d, k)),
    "ReduceL2": _reduction(lambda x, d, k: torch.linalg.vector_norm(x, 2, d, k)),
    "ReduceSumSquare": _reduction(lambda x, d, k: x.square().sum(d, k)),
    "ReduceLogSum": _reduction(lambda x, d, k: x.sum(d, k).log()),
    "ReduceLogSumExp": _reduction(lambda x, d, k: x.logsumexp(d, k)),
}

# ------------------------------------------------------------ elementwise

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs, "Neg": torch.neg, "Relu": F.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh,
    "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan, "Asin": torch.asin, "Acos": torch.acos,
    "Atan": torch.atan, "Sinh": torch.sinh, "Cosh": torch.cosh, "Asinh": torch.asinh, "Acosh": torch.acosh,
    "Atanh": torch.atanh, "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal,
    "Erf": torch.erf, "Softsign": F.softsign, "Mish": F.mish, "HardSwish": F.hardswish, "Identity": torch.clone,
    # F.softplus is linear from a threshold on.
    "Softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "Not": torch.logical_not,
}  # fmt: skip
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Pow": torch.pow,
    "Greater": torch.gt, "Less": torch.lt, "MatMul": torch.matmul,
    "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
    "Equal": torch.eq,
}  # fmt: skip


def _pairwise(f: Callable[[Tensor, Tensor], Tensor]) -> Function:
    def apply(i: Sequence[Any], _: Attributes) -> Tensor:
        result: Tensor = i[0]
        for other in i[1:]:
            result = f(result, other)
        return result

    return apply


def _selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


ELEMENTWISE: dict[str, Function] = {
    "LeakyRelu": lambda i, a: F.leaky_relu(i[0], a["alpha"]),
    "Elu": lambda i, a: F.elu(i[0], a["alpha"]),
    "Celu": lambda i, a: F.celu(i[0], a["alpha"]),
    "Selu": lambda i, a: _selu(i[0], a["alpha"], a["gamma"]),
    "HardSigmoid": lambda i, a: torch.clamp(a["alpha"] * i[0] + a["beta"], 0, 1),
    "ThresholdedRelu": lambda i, a: F.threshold(i[0], a["alpha"], 0),
    "Gelu": lambda i, a: F.gelu(i[0], approximate=a.get("approximate", b"none").decode()),
    "Swish": lambda i, a: i[0] * torch.sigmoid(a["alpha"] * i[0]),
    "Clip": lambda i, _: torch.clamp(i[0], i[1], i[2]),
    "Where": lambda i, _: torch.where(i[0], i[1], i[2]),
    "Max": _pairwise(torch.maximum),
    "Min": _pairwise(torch.minimum),
    "Sum": _pairwise(torch.add),
    "Mean": lambda i, a: _pairwise(torch.add)(i, a) / len(i),
    "Cast": lambda i, a: i[0].to(torch.from_numpy(helper.tensor_dtype_to_np_dtype(a["to"]).type(0).reshape(1)).dtype),
}

# ------------------------------------------------------------ shapes and indices


def _reshape(i: Sequence[Any], _: Attributes) -> Tensor:
    x: Tensor = i[0]
    return x.reshape([x.shape[k] if n == 0 else n for k, n in enumerate(_list(i[1]))])


def _squeeze(i: Sequence[Any], _: Attributes) -> Tensor:
    axes = {axis % i[0].dim() for axis in _list(i[1])}
    return i[0].reshape([n for k, n in enumerate(i[0].shape) if k not in axes])


def _unsqueeze(i: Sequence[Any], _: Attributes) -> Tensor:
    axes = _list(i[1])
    rank = i[0].dim() + len(axes)
    x: Tensor = i[0]
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _slice(i: Sequence[Any], _: Attributes) -> Tensor:
    x: Tensor = i[0]
    for start, end, axis, step in zip(*(_list(part) for part in i[1:5]), strict=True):
        x = x.index_select(axis, torch.tensor(range(x.shape[axis])[start:end:step], dtype=torch.int64))
    return x


def _gather(i: Sequence[Any], a: Attributes) -> Tensor:
    axis = a.get("axis", 0) % i[0].dim()
    shape = [*i[0].shape[:axis], *i[1].shape, *i[0].shape[axis + 1 :]]
    return i[0].index_select(axis, (i[1] % i[0].shape[axis]).reshape(-1)).reshape(shape)


def _pad(i: Sequence[Any], a: Attributes) -> Tensor:
    pads, rank = _list(i[1]), i[0].dim()
    mode = a.get("mode", b"constant").decode()
    x: Tensor = i[0]
    if mode == "constant":
        flat = [n for k in reversed(range(rank)) for n in (pads[k], pads[k + rank])]
        return F.pad(x, flat, value=float(i[2]) if len(i) > 2 else 0.0)
    for k in range(rank):
        at = torch.arange(-pads[k], x.shape[k] + pads[k + rank])
        last = x.shape[k] - 1
        at = at.clamp(0, last) if mode == "edge" else last - (at.abs() - last).abs()
        x = x.index_select(k, at)
    return x


def _scatter_elements(i: Sequence[Any], a: Attributes) -> Tensor:
    if a.get("reduction", b"none") == b"add":
        return i[0].scatter_add(a["axis"], i[1], i[2])
    return i[0].scatter(a["axis"], i[1], i[2])


SHAPES: dict[str, Function] = {
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "ScatterElements": _scatter_elements,
    "Flatten": lambda i, a: i[0].reshape(i[0].shape[: a.get("axis", 1)].numel(), -1),
    "Transpose": lambda i, a: i[0].permute(a.get("perm") or list(reversed(range(i[0].dim())))),
    "Expand": lambda i, _: i[0] * torch.ones(_list(i[1]), dtype=i[0].dtype),
    "Tile": lambda i, _: i[0].tile(_list(i[1])),
    "Concat": lambda i, a: torch.cat(list(i), a["axis"]),
    "Split": lambda i, a: torch.split(i[0], _list(i[1]), a.get("axis", 0)),
    "GatherElements": lambda i, a: i[0].gather(a.get("axis", 0), i[1]),
    "CumSum": lambda i, _: i[0].cumsum(int(i[1])),
    "Trilu": lambda i, a: (torch.triu if a.get("upper", 1) else torch.tril)(i[0], int(i[1]) if len(i) > 1 else 0),
    "TopK": lambda i, a: i[0].topk(int(i[1]), a.get("axis", -1), bool(a.get("largest", 1))),
    "DepthToSpace": lambda i, a: F.pixel_shuffle(i[0], a["blocksize"]),
}

# ------------------------------------------------------------ layers


def _spatial(x: Tensor, a: Attributes, fill: float) -> Tensor:
    """x with the node's pads around it."""
    pads = a.get("pads", [])
    half = len(pads) // 2
    flat = [n for k in reversed(range(half)) for n in (pads[k], pads[k + half])]
    return F.pad(x, flat, value=fill) if any(flat) else x


def _ones(x: Tensor) -> list[int]:
    return [1] * (x.dim() - 2)


def _conv(i: Sequence[Any], a: Attributes) -> Tensor:
    f = {3: F.conv1d, 4: F.conv2d}[i[0].dim()]
    strides, dilations = a.get("strides", _ones(i[0])), a.get("dilations", _ones(i[0]))
    bias = i[2] if len(i) > 2 else None
    return f(_spatial(i[0], a, 0), i[1], bias, strides, 0, dilations, a.get("group", 1))


def _conv_transpose(i: Sequence[Any], a: Attributes) -> Tensor:
    f = {3: F.conv_transpose1d, 4: F.conv_transpose2d}[i[0].dim()]
    return f(i[0], i[1], i[2] if len(i) > 2 else None, a.get("strides", _ones(i[0])), groups=a.get("group", 1))


def _max_pool(i: Sequence[Any], a: Attributes) -> Tensor:
    f = {3: F.max_pool1d, 4: F.max_pool2d}[i[0].dim()]
    return f(_spatial(i[0], a, -float("inf")), a["kernel_shape"], a.get("strides", _ones(i[0])))


def _average_pool(i: Sequence[Any], a: Attributes) -> Tensor:
    f = {3: F.avg_pool1d, 4: F.avg_pool2d}[i[0].dim()]
    return f(i[0], a["kernel_shape"], a.get("strides", _ones(i[0])))


def _gemm(i: Sequence[Any], a: Attributes) -> Tensor:
    left = i[0].T if a.get("transA", 0) else i[0]
    right = i[1].T if a.get("transB", 0) else i[1]
    product = a.get("alpha", 1.0) * (left @ right)
    return product if len(i) < 3 else product + a.get("beta", 1.0) * i[2]


def _layer_norm(i: Sequence[Any], a: Attributes) -> Tensor:
    shape = i[0].shape[a.get("axis", -1) % i[0].dim() :]
    return F.layer_norm(i[0], shape, i[1], i[2] if len(i) > 2 else None, a.get("epsilon", 1e-5))


def _batch_norm(i: Sequence[Any], a: Attributes) -> Any:
    training = bool(a.get("training_mode", 0))
    mean, variance = i[3].clone(), i[4].clone()
    y = F.batch_norm(i[0], mean, variance, i[1], i[2], training, 1 - a.get("momentum", 0.9), a.get("epsilon", 1e-5))
    return (y, mean, variance) if training else y


def _lstm(i: Sequence[Any], a: Attributes) -> tuple[Tensor, Tensor, Tensor]:
    """One direction, with a bias, gates in ONNX's order: input, output, forget, cell."""
    x, w, r, b = i[0], i[1][0], i[2][0], i[3][0]
    hidden = a["hidden_size"]
    h = i[5][0] if len(i) > 5 else torch.zeros(x.shape[1], hidden, dtype=x.dtype)
    c = i[6][0] if len(i) > 6 else torch.zeros(x.shape[1], hidden, dtype=x.dtype)
    steps = []
    for step in x:
        gates = step @ w.T + h @ r.T + b[: 4 * hidden] + b[4 * hidden :]
        into, out, forget, cell = gates.split(hidden, 1)
        c = torch.sigmoid(forget) * c + torch.sigmoid(into) * torch.tanh(cell)
        h = torch.sigmoid(out) * torch.tanh(c)
        steps.append(h)
    return torch.stack(steps).unsqueeze(1), h.unsqueeze(0), c.unsqueeze(0)


LAYERS: dict[str, Function] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
    "LSTM": _lstm,
    "GlobalAveragePool": lambda i, _: i[0].mean(tuple(range(2, i[0].dim())), keepdim=True),
    "InstanceNormalization": lambda i, a: F.instance_norm(i[0], None, None, i[1], i[2], eps=a["epsilon"]),
    "GroupNormalization": lambda i, a: F.group_norm(i[0], a["num_groups"], i[1], i[2], a["epsilon"]),
    "Softmax": lambda i, a: F.softmax(i[0], a.get("axis", -1)),
    "LogSoftmax": lambda i, a: F.log_softmax(i[0], a.get("axis", -1)),
    "LpNormalization": lambda i, a: i[0] / i[0].norm(a.get("p", 2), a.get("axis", -1), keepdim=True),
    "Einsum": lambda i, a: torch.einsum(a["equation"].decode(), *i),
    "SoftmaxCrossEntropyLoss": lambda i, _: F.cross_entropy(i[0], i[1]),
}

FUNCTIONS: dict[str, Function] = {
    **REDUCTIONS,
    **{name: lambda i, _, f=f: f(i[0]) for name, f in UNARY.items()},  # type: ignore[misc]
    **{name: lambda i, _, f=f: f(i[0], i[1]) for name, f in BINARY.items()},  # type: ignore[misc]
    **ELEMENTWISE,
    **SHAPES,
    **LAYERS,
}


def initializers(model: onnx.ModelProto) -> dict[str, Tensor]:
    """The model's initializers, as arrays of their own."""
    return {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}


def evaluate(model: onnx.ModelProto, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's outputs by name. `values`: its inputs, and initializers that stand for its own."""
    known: dict[str, Any] = {**initializers(model), **values}
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found = FUNCTIONS[node.op_type]([known[name] if name else None for name in node.input], attributes)
        results = found if isinstance(found, (tuple, list)) else [found]
        known.update({name: result for name, result in zip(node.output, results, strict=False) if name})
    return {value.name: known[value.name] for value in model.graph.output}
