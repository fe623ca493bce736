"""What random programs of one operator are made of: the table of operators, and what their makers draw from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx

Array = npt.NDArray[Any]

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
FLOATS = (F32, F64)
INTS = tuple(np.dtype(t) for t in ("int32", "int64", "int8", "int16", "uint8", "uint16", "uint32", "uint64"))
BOOL = np.dtype(np.bool_)
STRING = np.dtype(object)
ALL = (*FLOATS, *HALVES, *INTS, BOOL, STRING)
WORDS = ("", "a", "A", "b", "ab", "Straße", "ÀÉ", "łódź", "日本語", "😀", "a b", " a  b\t", "a,b,,c", "x" * 40)
MAX_OPSET = 27


@dataclass
class Case:
    """One node and its inputs; None for an optional input that is left out."""

    op: str
    opset: int
    seed: tuple[int, ...]
    inputs: list[Array | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1

    def __str__(self) -> str:
        shapes = [None if x is None else f"{x.dtype}{list(x.shape)}" for x in self.inputs]
        return f"{self.op}-{self.opset} {shapes} {self.attributes} seed {self.seed}"


class Draw:
    """A source of random shapes, arrays and attributes for one case."""

    def __init__(self, seed: Sequence[int], dtype: np.dtype[Any], opset: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.opset = opset

    def int(self, low: int, high: int) -> int:
        """Of low .. high, both included."""
        return int(self.rng.integers(low, high + 1))

    def flag(self, chance: float = 0.5) -> bool:
        return bool(self.rng.random() < chance)

    def one_of(self, *values: Any) -> Any:
        return values[self.int(0, len(values) - 1)]

    def number(self, low: float = -2, high: float = 2) -> float:
        """A float that float32 holds."""
        return float(np.float32(self.rng.uniform(low, high)))

    def attributes(self, **values: Any) -> dict[str, Any]:
        """Each of them, or not: then its default is meant."""
        return {name: value for name, value in values.items() if self.flag()}

    def extent(self, empty: bool = True) -> int:
        """0 now and then, often 1."""
        return int(self.rng.choice(6, p=[0.06, 0.24, 0.25, 0.2, 0.15, 0.1])) or (0 if empty else 3)

    def dims(self, low: int = 0, high: int = 5, empty: bool = True) -> list[int]:
        """A shape of rank low .. high; now and then three dimensions of extent 1 or 2 more, where any rank will do."""
        more = [self.int(1, 2) for _ in range(3)] if high == 5 and low < 2 and self.flag(0.1) else []
        return more + [self.extent(empty) for _ in range(self.int(low, high))]

    def broadcast(self, count: int) -> list[list[int]]:
        """Shapes that broadcast together."""
        full = self.dims()
        shapes = []
        for _ in range(count):
            cut = self.int(0, len(full)) if self.flag(0.3) else 0
            shapes.append([1 if self.flag(0.25) else extent for extent in full[cut:]])
        shapes[self.int(0, count - 1)] = full
        return shapes

    def axis(self, rank: int) -> int:
        """Of a rank, counted from either end."""
        return self.int(-rank, rank - 1)

    def axes(self, rank: int, low: int = 0) -> list[int]:
        """Different ones, in any order."""
        count = self.int(min(low, rank), rank)
        chosen = self.rng.permutation(rank)[:count]
        return [int(axis) - (rank if self.flag() else 0) for axis in chosen]

    def x(self, dims: Sequence[int] | None = None, low: float = -3, high: float = 3, dtype: Any = None) -> Array:
        """Numbers between the bounds, as far as the type has them."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        dims = self.dims() if dims is None else dims
        if dtype == BOOL:
            return np.asarray(self.rng.random(dims) < 0.5)
        if dtype == STRING:
            words = np.array(WORDS, object)
            return np.asarray(words[self.rng.integers(0, len(words), dims)], object)
        if dtype in FLOATS or dtype in HALVES:
            return np.asarray(self.rng.uniform(low, high, dims)).astype(dtype)
        bottom = max(int(np.ceil(low)), int(np.iinfo(dtype).min))
        return np.asarray(self.rng.integers(bottom, max(int(high), bottom) + 1, dims)).astype(dtype)

    def distinct(self, dims: Sequence[int]) -> Array:
        """Numbers of which no two are alike, so that an order has no ties; as far as the type has them."""
        count = int(np.prod(dims, dtype=np.int64))
        numbers = self.rng.permutation(count) - count // 2
        return numbers.reshape(dims).astype(self.dtype)

    def special(self, dims: Sequence[int] | None = None, low: float = -3, high: float = 3) -> Array:
        """Like x, now and then with NaN, infinities and negative zero among floats."""
        array = self.x(dims, low, high)
        if array.size and self.dtype in (*FLOATS, *HALVES) and self.flag(0.15):
            flat = array.reshape(-1)
            for value in (np.nan, np.inf, -np.inf, -0.0):
                flat[self.int(0, flat.size - 1)] = value
        return array

    def ints(self, values: Sequence[int] | int, dtype: Any = np.int64) -> Array:
        return np.asarray(values, dtype)

    def optional(self, array: Array) -> Array | None:
        return array if self.flag() else None


Made = tuple[list[Any], dict[str, Any]]
Maker = Callable[[Draw], Made]


@functools.cache
def versions_of(op: str) -> frozenset[int]:
    """Opset versions of the default domain in which an operator has a meaning of its own."""
    every = onnx.defs.get_all_schemas_with_history()
    return frozenset(s.since_version for s in every if s.domain == "" and s.name == op)


@functools.cache
def types_of(op: str, version: int) -> tuple[np.dtype[Any], ...]:
    """Element types of the first input, or else output, that ONNX allows there and Draw can draw."""
    schema = onnx.defs.get_schema(op, version)
    first = (schema.inputs or schema.outputs)[0]
    names = {name for c in schema.type_constraints if c.type_param_str == first.type_str for name in c.allowed_type_strs}
    names |= {first.type_str}
    return tuple(t for t in ALL if f"tensor({_ONNX_NAMES.get(t.name, t.name)})" in names)


_ONNX_NAMES = {"float32": "float", "float64": "double", "object": "string"}


@dataclass
class Row:
    """How cases of an operator are made, in each of its versions from `since` to `until`."""

    make: Maker
    op: str
    since: int
    until: int
    outputs: int
    types: tuple[np.dtype[Any], ...] | None
    weight: float
    scale: float

    def versions(self) -> list[int]:
        """Opset versions that the maker draws from."""
        found = versions_of(self.op)
        oldest = max((v for v in found if v <= self.since), default=min(found))
        return sorted(max(v, self.since) for v in found if oldest <= v <= self.until)

    def types_at(self, version: int) -> tuple[np.dtype[Any], ...]:
        """Element types of the first input, or else output, that the maker is asked for."""
        allowed = types_of(self.op, version)
        return allowed if self.types is None else tuple(t for t in self.types if t in allowed) or self.types


ROWS: list[Row] = []


def op(
    *names: str,
    since: int = 1,
    until: int = MAX_OPSET,
    outputs: int = 1,
    types: Sequence[np.dtype[Any]] | None = None,
    weight: float = 1,
    scale: float = 1,
) -> Callable[[Maker], Maker]:
    """Enters a maker into the table.

    `weight`: share of the cases. `scale`: the size of the numbers that small results may be differences of.
    """

    def enter(make: Maker) -> Maker:
        for name in names:
            kinds = None if types is None else tuple(types)
            ROWS.append(Row(make, name, since, until, outputs, kinds, weight, scale))
        return make

    return enter
