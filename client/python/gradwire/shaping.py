"""Shapes: views and rearrangements. The server copies only where it must."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradwire import indexing
from gradwire.base import TensorBase

if TYPE_CHECKING:
    from gradwire.tensor import Tensor


def _extents(shape: tuple[Any, ...]) -> list[int]:
    """A shape given as one sequence or as separate numbers."""
    return [int(v) for v in (shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)]


class Shaping(TensorBase):
    """Rearrangements of a tensor."""

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; -1 stands for what is left."""
        return self._op("Reshape", self, self.session.constant(_extents(shape)), allowzero=1)

    def view(self, *shape: Any) -> Tensor:
        """`reshape`."""
        return self.reshape(*shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Dimensions from `start_dim` to `end_dim` as one."""
        if start_dim == 0 and end_dim == -1:
            return self.reshape(-1)
        if start_dim == 1 and end_dim == -1:
            return self._op("Flatten", self, axis=1)
        start, end = start_dim % self.ndim, end_dim % self.ndim
        return self.reshape(*self.shape[:start], -1, *self.shape[end + 1 :])

    def permute(self, *dims: Any) -> Tensor:
        """Its dimensions in another order."""
        order = _extents(dims)
        if any(dim < 0 for dim in order):
            order = [dim % self.ndim for dim in order]
        return self._op("Transpose", self, perm=order)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged."""
        order = list(range(self.ndim))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        return self._op("Transpose", self, perm=order)

    def t(self) -> Tensor:
        """A matrix transposed; itself with less than two dimensions."""
        if self.ndim > 2:
            raise ValueError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
        return self._op("Transpose", self)

    @property
    def T(self) -> Tensor:
        """Its dimensions in reverse order."""
        return self._op("Transpose", self)

    @property
    def mT(self) -> Tensor:
        """Its last two dimensions exchanged."""
        return self.transpose(-2, -1)

    def squeeze(self, dim: int | tuple[int, ...] | None = None) -> Tensor:
        """Without dimensions of extent 1: all, or those named that have it."""
        if dim is None:
            return self._op("Squeeze", self)
        picked = [d for d in ([dim] if isinstance(dim, int) else dim) if self.shape[d] == 1]
        return self._op("Squeeze", self, self.session.constant(picked)) if picked else self._itself()

    def unsqueeze(self, dim: int) -> Tensor:
        """With a new dimension of extent 1 at `dim`."""
        return self._op("Unsqueeze", self, self.session.constant([dim]))

    def expand(self, *shape: Any) -> Tensor:
        """Broadcast to a shape; -1 leaves a dimension as it is."""
        extents = _extents(shape)
        if -1 in extents:
            own = (1,) * (len(extents) - self.ndim) + self.shape
            extents = [own[i] if v == -1 else v for i, v in enumerate(extents)]
        return self._op("Expand", self, self.session.constant(extents))

    def repeat(self, *counts: Any) -> Tensor:
        """Copies of itself along each dimension."""
        times = _extents(counts)
        source = self.reshape((1,) * (len(times) - self.ndim) + self.shape) if len(times) > self.ndim else self
        return self._op("Tile", source, self.session.constant(times))

    def split(self, size: int | list[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Parts of `size` (the last may be smaller), or of the sizes listed, along a dimension."""
        extent = self.shape[dim]
        sizes = [min(size, extent - i) for i in range(0, extent, size)] if isinstance(size, int) else size
        parts = self.session.op("Split", [self, self.session.constant(sizes)], {"axis": dim}, outputs=len(sizes))
        return parts if isinstance(parts, tuple) else (parts,)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most `chunks` parts along a dimension."""
        return self.split(-(-self.shape[dim] // chunks), dim)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """Its slices along a dimension, without it."""
        return tuple(self.select(dim, i) for i in range(self.shape[dim]))

    def select(self, dim: int, index: int) -> Tensor:
        """One slice along a dimension, without it."""
        return self._op("Gather", self, self.session.constant(index), axis=dim)

    def index_select(self, dim: int, index: Any) -> Tensor:
        """Slices along a dimension, by position."""
        return self._op("Gather", self, index, axis=dim)

    def gather(self, dim: int, index: Any) -> Tensor:
        """Elements along a dimension, by position; of the shape of `index`."""
        return self._op("GatherElements", self, index, axis=dim)

    def tril(self, diagonal: int = 0) -> Tensor:
        """Its lower triangle, zeros above."""
        return self._op("Trilu", self, self.session.constant(diagonal), upper=0)

    def triu(self, diagonal: int = 0) -> Tensor:
        """Its upper triangle, zeros below."""
        return self._op("Trilu", self, self.session.constant(diagonal), upper=1)

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
        """The k largest (or smallest) along a dimension, in order, and their indices (int64)."""
        attributes = {"axis": dim, "largest": int(largest), "sorted": 1}
        values, indices = self.session.op("TopK", [self, self.session.constant([k])], attributes, outputs=2)
        return values, indices

    def contiguous(self) -> Tensor:
        """Itself: the server's tensors are in order as far as anybody can see."""
        return self._itself()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.get(self._itself(), index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._itself()._replace(indexing.put(self._itself(), index, np.asarray(value) if _plain(value) else value))


def _plain(value: Any) -> bool:
    return not isinstance(value, TensorBase)
