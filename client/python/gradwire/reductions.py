"""Over dimensions: sums, extremes, distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradwire import dtypes
from gradwire.base import TensorBase

if TYPE_CHECKING:
    from gradwire.tensor import Tensor

Dims = int | tuple[int, ...] | list[int] | None


class Extreme(NamedTuple):
    """Extreme values along a dimension, and where they are (int64)."""

    values: Tensor
    indices: Tensor


class Reductions(TensorBase):
    """Reductions of a tensor; `dim` None means all dimensions, and `keepdim` keeps them with extent 1."""

    def _reduce(self, op_type: str, dim: Dims, keepdim: bool) -> Tensor:
        axes = self._axes(dim)
        return self._op(op_type, self, *([] if axes is None else [axes]), keepdims=int(keepdim))

    def sum(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The sum; of integers and bool as int64."""
        if dtypes.category(self.dtype) in (dtypes.BOOL, dtypes.INT):
            return self.to(np.int64)._reduce("ReduceSum", dim, keepdim)
        return self._reduce("ReduceSum", dim, keepdim)

    def mean(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The mean, of floating dtypes."""
        return self._reduce("ReduceMean", dim, keepdim)

    def prod(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The product."""
        return self._reduce("ReduceProd", dim, keepdim)

    def amax(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The largest elements."""
        return self._reduce("ReduceMax", dim, keepdim)

    def amin(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The smallest elements."""
        return self._reduce("ReduceMin", dim, keepdim)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element; along a dimension, an `Extreme` of values and indices."""
        if dim is None:
            return self.amax()
        return Extreme(self.amax(dim, keepdim), self.argmax(dim, keepdim))

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element; along a dimension, an `Extreme` of values and indices."""
        if dim is None:
            return self.amin()
        return Extreme(self.amin(dim, keepdim), self.argmin(dim, keepdim))

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Where the largest element is, the first of equals (int64); without `dim` in the flattened tensor."""
        return self._arg("ArgMax", dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Where the smallest element is, the first of equals (int64); without `dim` in the flattened tensor."""
        return self._arg("ArgMin", dim, keepdim)

    def _arg(self, op_type: str, dim: int | None, keepdim: bool) -> Tensor:
        if dim is None:
            flat = self._op("Reshape", self, self.session.constant([-1]))
            return self._op(op_type, flat, axis=0, keepdims=0)
        return self._op(op_type, self, axis=dim, keepdims=int(keepdim))

    def var(self, dim: Dims = None, keepdim: bool = False, *, correction: int = 1) -> Tensor:
        """The variance, with `correction` taken from the number of elements (1: Bessel's)."""
        centered = self._itself() - self.mean(dim, keepdim=True)
        total = centered.square().sum(dim, keepdim)
        picked = range(self.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
        count = int(np.prod([self.shape[i] for i in picked], dtype=np.int64))
        return total / (count - correction)

    def std(self, dim: Dims = None, keepdim: bool = False, *, correction: int = 1) -> Tensor:
        """The square root of the variance."""
        return self.var(dim, keepdim, correction=correction).sqrt()

    def norm(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """The 2-norm."""
        return self._reduce("ReduceL2", dim, keepdim)

    def logsumexp(self, dim: Dims, keepdim: bool = False) -> Tensor:
        """log(sum(exp(x))), without overflow."""
        return self._reduce("ReduceLogSumExp", dim, keepdim)

    def cumsum(self, dim: int) -> Tensor:
        """Running sums along a dimension."""
        return self._op("CumSum", self, self.session.constant(dim))

    def softmax(self, dim: int) -> Tensor:
        """exp(x) / sum(exp(x)) along a dimension."""
        return self._op("Softmax", self, axis=dim)

    def log_softmax(self, dim: int) -> Tensor:
        """log(softmax(x)) along a dimension."""
        return self._op("LogSoftmax", self, axis=dim)

    def all(self) -> Tensor:
        """Whether every element is true (bool)."""
        return self.to(np.bool_).to(np.int32).amin().to(np.bool_)

    def any(self) -> Tensor:
        """Whether some element is true (bool)."""
        return self.to(np.bool_).to(np.int32).amax().to(np.bool_)
