"""`x[index]` as ONNX operators, with NumPy's meaning.

Integers, slices, None and an ellipsis become Gather, Slice and Unsqueeze. Everything else (index arrays, masks, any mix)
becomes a Gather from the flattened tensor, by positions that NumPy works out from the shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradwire.base import TensorBase
from gradwire.dtypes import Array

if TYPE_CHECKING:
    from gradwire.tensor import Tensor

_END = np.iinfo(np.int64).max


def get(x: Tensor, index: Any) -> Tensor:
    """The elements of `x` at `index`, in a new tensor; differentiable."""
    parts = index if isinstance(index, tuple) else (index,)
    if all(part is None or part is Ellipsis or _is_int(part) or isinstance(part, slice) for part in parts):
        return _basic(x, _without_ellipsis(x, parts))
    if len(parts) == 1 and _is_integer_array(parts[0]):
        return x.index_select(0, parts[0] if isinstance(parts[0], TensorBase) else np.asarray(parts[0], np.int64))
    positions = _positions(x, parts)
    return x._op("Gather", x.reshape(-1), positions, axis=0)


def put(x: Tensor, index: Any, value: Any) -> Tensor:
    """`x` with the elements at `index` replaced by `value`, broadcast; differentiable in both."""
    parts = index if isinstance(index, tuple) else (index,)
    positions = _positions(x, parts)
    new = x.session.as_tensor(value).to(x.dtype).expand(*positions.shape).reshape(-1)
    flat = x._op("ScatterElements", x.reshape(-1), positions.reshape(-1), new, axis=0)
    return flat.reshape(x.shape)


def _is_int(part: Any) -> bool:
    return isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_))


def _is_integer_array(part: Any) -> bool:
    if isinstance(part, TensorBase):
        return part.dtype.kind in "iu"
    return isinstance(part, (list, np.ndarray)) and np.asarray(part).dtype.kind in "iu"


def _positions(x: Tensor, parts: tuple[Any, ...]) -> Array:
    """The flat positions that an index picks."""
    plain = tuple(part._itself().numpy(force=True) if isinstance(part, TensorBase) else part for part in parts)
    result: Array = np.arange(x.numel(), dtype=np.int64).reshape(x.shape)[plain]
    return np.asarray(result, np.int64)


def _without_ellipsis(x: Tensor, parts: tuple[Any, ...]) -> list[Any]:
    places = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(places) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if not places:
        return list(parts)
    before, after = parts[: places[0]], parts[places[0] + 1 :]
    if all(part is None for part in after) and not after:
        return list(before)
    taken = sum(part is not None for part in (*before, *after))
    return [*before, *[slice(None)] * (x.ndim - taken), *after]


def _basic(x: Tensor, parts: list[Any]) -> Tensor:
    known = x.binding.spec.shape
    if known is not None and sum(part is not None for part in parts) > len(known):
        raise IndexError(f"too many indices for tensor of dimension {len(known)}")
    cuts: list[tuple[int, slice]] = []
    axis, dropped = 0, []
    for part in parts:
        if part is None:
            continue
        if _is_int(part):
            if known is not None and not -known[axis] <= part < known[axis]:
                raise IndexError(f"index {part} is out of bounds for dimension {axis} with size {known[axis]}")
            dropped.append((axis, int(part)))
        elif part != slice(None):
            cuts.append((axis, part))
        axis += 1
    result = _sliced(x, cuts) if cuts else x
    for axis, position in reversed(dropped):
        result = result.select(axis, position)
    added = [i for i, part in enumerate(part for part in parts if not _is_int(part)) if part is None]
    if added:
        result = result._op("Unsqueeze", result, x.session.constant(added))
    return result if result is not x else x.alias()


def _sliced(x: Tensor, cuts: list[tuple[int, slice]]) -> Tensor:
    starts, ends, axes, steps = [], [], [], []
    for axis, cut in cuts:
        step = 1 if cut.step is None else int(cut.step)
        if step == 0:
            raise ValueError("slice step cannot be zero")
        backwards = step < 0
        starts.append((_END if backwards else 0) if cut.start is None else int(cut.start))
        ends.append((-_END if backwards else _END) if cut.stop is None else int(cut.stop))
        axes.append(axis)
        steps.append(step)
    return x._op("Slice", x, *(x.session.constant(values) for values in (starts, ends, axes, steps)))
