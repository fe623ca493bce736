"""Functions of tensors: layers, losses, and joining. Names and arguments as in torch.nn.functional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.arithmetic import unify
from gradwire.arithmetic import where as where
from gradwire.tensor import Tensor

_Sizes = int | Sequence[int]


def _spatial(value: _Sizes, rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value)


def _first_tensor(*values: Any) -> Tensor:
    return next(value for value in values if isinstance(value, Tensor))


# ---------------------------------------------------------------- activations


def relu(x: Tensor) -> Tensor:
    """max(x, 0)"""
    return x.relu()


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x, times `negative_slope` below 0."""
    return x._op("LeakyRelu", x, alpha=float(negative_slope))


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x, alpha * (exp(x) - 1) below 0."""
    return x._op("Elu", x, alpha=float(alpha))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x * P(X <= x) for a standard normal X; `approximate` "tanh" is faster."""
    return x._op("Gelu", x, approximate=approximate)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)"""
    return x * x.sigmoid()


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))"""
    return x._op("Softplus", x)


def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x))"""
    return x._op("Mish", x)


def softmax(x: Tensor, dim: int) -> Tensor:
    """exp(x) / sum(exp(x)) along a dimension."""
    return x.softmax(dim)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """log(softmax(x)) along a dimension."""
    return x.log_softmax(dim)


# ---------------------------------------------------------------- layers


def linear(x: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: x [..., in], weight [out, in], bias [out]."""
    data: Tensor = weight.session.as_tensor(x)
    known = data.binding.spec.shape
    if known is not None and len(known) == 2:
        return data._op("Gemm", data, weight, *([] if bias is None else [bias]), transB=1)
    product = data @ weight.t()
    return product if bias is None else product + bias


def _conv(
    rank: int, x: Any, weight: Tensor, bias: Tensor | None, stride: _Sizes, padding: _Sizes, dilation: _Sizes, groups: int
) -> Tensor:
    pads = _spatial(padding, rank)
    return weight._op(
        "Conv",
        x,
        weight,
        *([] if bias is None else [bias]),
        strides=_spatial(stride, rank),
        pads=pads + pads,
        dilations=_spatial(dilation, rank),
        group=groups,
    )


def conv1d(
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Sizes = 1,
    padding: _Sizes = 0,
    dilation: _Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """x [n, in, length], weight [out, in / groups, k], bias [out]."""
    return _conv(1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Sizes = 1,
    padding: _Sizes = 0,
    dilation: _Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """x [n, in, h, w], weight [out, in / groups, kh, kw], bias [out]."""
    return _conv(2, x, weight, bias, stride, padding, dilation, groups)


def _pool(op_type: str, x: Tensor, kernel: _Sizes, stride: _Sizes | None, padding: _Sizes, **more: Any) -> Tensor:
    pads = _spatial(padding, 2)
    sizes = _spatial(kernel, 2)
    strides = sizes if stride is None else _spatial(stride, 2)
    return x._op(op_type, x, kernel_shape=sizes, strides=strides, pads=pads + pads, **more)


def max_pool2d(x: Tensor, kernel_size: _Sizes, stride: _Sizes | None = None, padding: _Sizes = 0) -> Tensor:
    """The largest element in each window of x [n, c, h, w]; the stride is the window's size by default."""
    return _pool("MaxPool", x, kernel_size, stride, padding)


def avg_pool2d(x: Tensor, kernel_size: _Sizes, stride: _Sizes | None = None, padding: _Sizes = 0) -> Tensor:
    """The mean of each window of x [n, c, h, w], padding included; the stride is the window's size by default."""
    return _pool("AveragePool", x, kernel_size, stride, padding, count_include_pad=1)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """The mean of each channel: [n, c, h, w] to [n, c, 1, 1]."""
    return x._op("GlobalAveragePool", x)


def layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Mean 0 and variance 1 over the last dimensions, of `normalized_shape`; then times weight, plus bias."""
    scale = np.ones(tuple(normalized_shape), x.dtype) if weight is None else weight
    shift = [] if bias is None else [bias]
    return x._op("LayerNormalization", x, scale, *shift, axis=-len(normalized_shape), epsilon=float(eps))


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 for each channel of x [n, c, ...]; then times weight [c], plus bias [c].

    With `training` by the batch's own statistics, and `running_mean` and `running_var` [c] move towards them by
    `momentum` (the variance without Bessel's correction, as ONNX defines it).
    """
    operands = [x, weight, bias, running_mean, running_var]
    if not training:
        return x._op("BatchNormalization", *operands, epsilon=float(eps))
    attributes = {"epsilon": float(eps), "momentum": 1.0 - momentum, "training_mode": 1}
    result, mean, variance = x.session.op("BatchNormalization", operands, attributes, outputs=3)
    running_mean.data, running_var.data = mean, variance
    return result  # type: ignore[no-any-return]


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """With `training`, zeros elements with probability p and scales the others by 1 / (1 - p)."""
    if not training:
        return x
    return x._op("Dropout", x, x.session.constant(p, x.dtype), x.session.constant(True, np.bool_))


def embedding(indices: Any, weight: Tensor) -> Tensor:
    """Rows of weight [rows, width] by integer indices."""
    return weight.index_select(0, indices)


def one_hot(indices: Tensor, classes: int) -> Tensor:
    """int64 vectors with a single 1: shape [..., classes]."""
    values = indices.session.constant([0, 1])
    return indices._op("OneHot", indices, indices.session.constant(classes), values, axis=-1)


# ---------------------------------------------------------------- losses


def cross_entropy(
    logits: Tensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """The negative log-likelihood of classes: logits [n, classes, ...], target [n, ...] of int64, weight [classes]."""
    more = [] if weight is None else [weight]
    return logits._op(
        "SoftmaxCrossEntropyLoss", logits, target, *more, ignore_index=ignore_index, reduction=reduction
    )


def nll_loss(
    log_probabilities: Tensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """`cross_entropy` of logarithms of probabilities."""
    more = [] if weight is None else [weight]
    return log_probabilities._op(
        "NegativeLogLikelihoodLoss",
        log_probabilities,
        target,
        *more,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


def mse_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The squared difference."""
    return _reduced((x - target).square(), reduction)


def l1_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The absolute difference."""
    return _reduced((x - target).abs(), reduction)


def binary_cross_entropy_with_logits(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The cross-entropy of sigmoid(x) and targets in [0, 1]."""
    return _reduced(softplus(x) - x * target, reduction)


# ---------------------------------------------------------------- joining


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors one after the other along a dimension."""
    like = _first_tensor(*tensors)
    return like._op("Concat", *unify(like, list(tensors)), axis=dim)


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension."""
    like = _first_tensor(*tensors)
    return cat([like.session.as_tensor(tensor).unsqueeze(dim) for tensor in tensors], dim)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two, element by element."""
    like = _first_tensor(a, b)
    return like._op("Max", *unify(like, [a, b]))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two, element by element."""
    like = _first_tensor(a, b)
    return like._op("Min", *unify(like, [a, b]))


def pad(x: Tensor, padding: Sequence[int], value: float = 0.0) -> Tensor:
    """`value` around x: pairs (before, after), the last dimension first."""
    missing = x.ndim - len(padding) // 2
    before, after = ([0] * missing + list(padding[side::2])[::-1] for side in (0, 1))
    return x._op("Pad", x, x.session.constant(before + after), x.session.constant(value, x.dtype))


def matmul(a: Any, b: Any) -> Tensor:
    """The matrix product, broadcast over leading dimensions."""
    return _first_tensor(a, b)._op("MatMul", a, b)


def einsum(equation: str, *operands: Any) -> Tensor:
    """A sum of products, in Einstein's notation."""
    return _first_tensor(*operands)._op("Einsum", *operands, equation=equation)

