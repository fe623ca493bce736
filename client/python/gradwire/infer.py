"""Dtypes and shapes of results, as far as they can be known without asking the server.

A rule gets what is known of each input and returns what is known of each output; None stands for unknown. An operator
without a rule, or an input of unknown shape, costs nothing but a round trip when somebody asks. Rules never refuse:
what does not fit is the server's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradwire import dtypes

Shape = tuple[int, ...]


@dataclass(slots=True)
class Spec:
    """What is known of a tensor; `value` for the integers of a constant that says a shape, axes or indices."""

    dtype: dtypes.DType | None = None
    shape: Shape | None = None
    value: tuple[int, ...] | None = None


Inputs = Sequence[Spec | None]
Attributes = Mapping[str, Any]
Rule = Callable[[Inputs, Attributes], list[Spec]]

_BOOL = np.dtype(np.bool_)
_INT64 = np.dtype(np.int64)
_RULES: dict[str, Rule] = {}


def infer(op_type: str, inputs: Inputs, attributes: Attributes, outputs: int) -> list[Spec]:
    """What is known of the outputs of an operator of the default domain."""
    rule = _RULES.get(op_type)
    specs: list[Spec] = []
    if rule is not None:
        try:
            specs = rule(inputs, attributes)
        except (IndexError, TypeError, ValueError):
            specs = []  # The inputs do not fit; the server's message names them.
    return (specs + [Spec() for _ in range(outputs)])[:outputs]


def _rule(*op_types: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(op_types, rule))
        return rule

    return register


def _at(inputs: Inputs, index: int) -> Spec:
    spec = inputs[index] if index < len(inputs) else None
    return spec if spec is not None else Spec()


def broadcast(*shapes: Shape | None) -> Shape | None:
    """The common shape, None where one is unknown."""
    known = [shape for shape in shapes if shape is not None]
    return np.broadcast_shapes(*known) if len(known) == len(shapes) else None


# fmt: off
@_rule("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh", "CumSum", "Elu",
       "Erf", "Exp", "Floor", "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
       "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "Mish", "Neg", "Not", "PRelu",
       "RandomNormalLike", "RandomUniformLike", "Reciprocal", "Relu", "Round", "ScatterElements", "ScatterND", "Selu",
       "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
       "ThresholdedRelu", "Trilu")
# fmt: on
def _like_first(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(_at(inputs, 0).dtype, _at(inputs, 0).shape)]


@_rule("BatchNormalization")
def _batch_norm(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x, mean, variance = _at(inputs, 0), _at(inputs, 3), _at(inputs, 4)
    return [Spec(x.dtype, x.shape), Spec(mean.dtype, mean.shape), Spec(variance.dtype, variance.shape)]


@_rule("Dropout")
def _dropout(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x = _at(inputs, 0)
    return [Spec(x.dtype, x.shape), Spec(_BOOL, x.shape)]


@_rule("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "Sum", "Mean", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
def _elementwise(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(_at(inputs, 0).dtype, broadcast(*(_at(inputs, i).shape for i in range(len(inputs)))))]


@_rule("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "IsNaN", "IsInf")
def _predicate(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(_BOOL, broadcast(*(_at(inputs, i).shape for i in range(len(inputs)))))]


@_rule("Where")
def _where(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(_at(inputs, 1).dtype, broadcast(*(_at(inputs, i).shape for i in range(3))))]


@_rule("Cast")
def _cast(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    to = attributes["to"]
    return [Spec(dtypes.from_code(to) if isinstance(to, int) else np.dtype(to), _at(inputs, 0).shape)]


@_rule("MatMul")
def _matmul(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    a, b = _at(inputs, 0), _at(inputs, 1)
    if not a.shape or not b.shape:
        return [Spec(a.dtype)]
    left = a.shape if len(a.shape) > 1 else (1, *a.shape)
    right = b.shape if len(b.shape) > 1 else (*b.shape, 1)
    rows = left[-2:-1] if len(a.shape) > 1 else ()
    columns = right[-1:] if len(b.shape) > 1 else ()
    return [Spec(a.dtype, (*np.broadcast_shapes(left[:-2], right[:-2]), *rows, *columns))]


@_rule("Gemm")
def _gemm(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    a, b = _at(inputs, 0), _at(inputs, 1)
    if a.shape is None or b.shape is None:
        return [Spec(a.dtype)]
    rows = a.shape[1 if attributes.get("transA") else 0]
    return [Spec(a.dtype, (rows, b.shape[0 if attributes.get("transB") else 1]))]


def _reduced(x: Spec, axes: Sequence[int] | None, keepdims: bool) -> Shape | None:
    if axes is None:
        return (1,) * len(x.shape) if keepdims and x.shape is not None else None if keepdims else ()
    if x.shape is None:
        return None
    gone = {axis % len(x.shape) for axis in axes}
    if keepdims:
        return tuple(1 if i in gone else extent for i, extent in enumerate(x.shape))
    return tuple(extent for i, extent in enumerate(x.shape) if i not in gone)


@_rule(*(f"Reduce{kind}" for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp", "LogSum")))
def _reduce(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x = _at(inputs, 0)
    axes = _at(inputs, 1).value if len(inputs) > 1 and inputs[1] is not None else None
    unknown = axes is None and len(inputs) > 1 and inputs[1] is not None
    return [Spec(x.dtype, None if unknown else _reduced(x, axes, bool(attributes.get("keepdims", 1))))]


@_rule("ArgMax", "ArgMin")
def _arg_reduce(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    axes = [attributes.get("axis", 0)]
    return [Spec(_INT64, _reduced(_at(inputs, 0), axes, bool(attributes.get("keepdims", 1))))]


@_rule("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
def _loss(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x, target = _at(inputs, 0), _at(inputs, 1)
    reduced = attributes.get("reduction", "mean") != "none"
    return [Spec(x.dtype, () if reduced else target.shape), Spec(x.dtype, x.shape)]


@_rule("Reshape")
def _reshape(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x, wanted = _at(inputs, 0), _at(inputs, 1).value
    if wanted is None or (x.shape is None and any(extent <= 0 for extent in wanted)):
        return [Spec(x.dtype)]
    zero_copies = not attributes.get("allowzero")
    shape = [x.shape[i] if v == 0 and zero_copies and x.shape else v for i, v in enumerate(wanted)]
    if -1 in shape and x.shape is not None:
        rest = int(np.prod([v for v in shape if v != -1], dtype=np.int64))
        shape[shape.index(-1)] = int(np.prod(x.shape, dtype=np.int64)) // rest if rest else 0
    return [Spec(x.dtype, tuple(shape))]


@_rule("Transpose")
def _transpose(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x = _at(inputs, 0)
    if x.shape is None:
        return [Spec(x.dtype)]
    order = attributes.get("perm") or range(len(x.shape))[::-1]
    return [Spec(x.dtype, tuple(x.shape[i] for i in order))]


@_rule("Squeeze")
def _squeeze(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x = _at(inputs, 0)
    axes = _at(inputs, 1).value
    if axes is None and x.shape is not None:
        axes = tuple(i for i, extent in enumerate(x.shape) if extent == 1)
    return [Spec(x.dtype, _reduced(x, axes, keepdims=False) if axes is not None else None)]


@_rule("Unsqueeze")
def _unsqueeze(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x, axes = _at(inputs, 0), _at(inputs, 1).value
    if x.shape is None or axes is None:
        return [Spec(x.dtype)]
    rank = len(x.shape) + len(axes)
    new = {axis % rank for axis in axes}
    rest = iter(x.shape)
    return [Spec(x.dtype, tuple(1 if i in new else next(rest) for i in range(rank)))]


@_rule("Expand")
def _expand(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(_at(inputs, 0).dtype, broadcast(_at(inputs, 0).shape, _at(inputs, 1).value))]


@_rule("Flatten")
def _flatten(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x, axis = _at(inputs, 0), attributes.get("axis", 1)
    if x.shape is None:
        return [Spec(x.dtype)]
    sizes = [int(np.prod(part, dtype=np.int64)) for part in (x.shape[:axis], x.shape[axis:])]
    return [Spec(x.dtype, tuple(sizes))]


@_rule("Gather")
def _gather(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x, indices = _at(inputs, 0), _at(inputs, 1)
    if x.shape is None or indices.shape is None:
        return [Spec(x.dtype)]
    axis = attributes.get("axis", 0) % len(x.shape)
    return [Spec(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))]


@_rule("GatherElements")
def _gather_elements(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(_at(inputs, 0).dtype, _at(inputs, 1).shape)]


@_rule("Slice")
def _slice(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x = _at(inputs, 0)
    starts, ends, axes, steps = (_at(inputs, i).value for i in range(1, 5))
    if x.shape is None or starts is None or ends is None or axes is None or steps is None:
        return [Spec(x.dtype)]
    shape = list(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        shape[axis] = len(range(x.shape[axis])[start:end:step])
    return [Spec(x.dtype, tuple(shape))]


@_rule("Concat")
def _concat(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    first = _at(inputs, 0)
    shapes = [_at(inputs, i).shape for i in range(len(inputs))]
    known = [shape for shape in shapes if shape is not None]
    if first.shape is None or len(known) != len(shapes):
        return [Spec(first.dtype)]
    shape = list(first.shape)
    shape[attributes["axis"]] = sum(other[attributes["axis"]] for other in known)
    return [Spec(first.dtype, tuple(shape))]


@_rule("Conv")
def _conv(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(_at(inputs, 0).dtype, _windows(inputs, attributes, _at(inputs, 1).shape))]


@_rule("MaxPool", "AveragePool")
def _pool(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x = _at(inputs, 0)
    kernel = (0, 0, *attributes["kernel_shape"])
    shape = _windows(inputs, attributes, kernel)
    return [Spec(x.dtype, (shape[0], x.shape[1], *shape[2:]) if shape and x.shape else None), Spec(_INT64)]


def _windows(inputs: Inputs, attributes: Attributes, kernel: Shape | None) -> Shape | None:
    """Shape of a convolution's result, for explicit pads."""
    x = _at(inputs, 0).shape
    if x is None or kernel is None or attributes.get("auto_pad") or attributes.get("ceil_mode"):
        return None
    rank = len(x) - 2
    strides = attributes.get("strides") or [1] * rank
    dilations = attributes.get("dilations") or [1] * rank
    pads = attributes.get("pads") or [0] * (2 * rank)
    spatial = (
        (x[i + 2] + pads[i] + pads[i + rank] - dilations[i] * (kernel[i + 2] - 1) - 1) // strides[i] + 1
        for i in range(rank)
    )
    return (x[0], kernel[0], *spatial)


@_rule("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    x = _at(inputs, 0)
    return [Spec(x.dtype, (*x.shape[:2], *(1,) * (len(x.shape) - 2)) if x.shape is not None else None)]


@_rule("ConstantOfShape")
def _constant_of_shape(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    value = attributes.get("value")
    return [Spec(value.dtype if value is not None else np.dtype(np.float32), _at(inputs, 0).value)]


@_rule("RandomNormal", "RandomUniform")
def _random(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    return [Spec(np.dtype(attributes["dtype"]), tuple(attributes["shape"]))]


@_rule("Constant")
def _constant(inputs: Inputs, attributes: Attributes) -> list[Spec]:
    value = attributes["value"]
    small = value.dtype == _INT64 and value.ndim <= 1
    return [Spec(value.dtype, value.shape, tuple(int(v) for v in value.reshape(-1)) if small else None)]
