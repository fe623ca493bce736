"""A random program under construction: its nodes, parameters and constants, and the values that a next node may read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 24
# The most elements of a value, and the magnitude from which on it is squashed.
_MOST_ELEMENTS = 200
_TAME = 6.0

Shape = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Value:
    """A float64 array of the program; its elements are at most `bound` in magnitude."""

    name: str
    shape: Shape
    bound: float

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)


class Builder:
    """A program under construction. Parameters are float64 initializers; integers and statistics are constants."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.parameters: dict[str, npt.NDArray[np.float64]] = {}
        self.constants: dict[str, npt.NDArray[np.generic]] = {}
        self.values: list[Value] = []
        self.used: set[str] = set()

    def parameter(self, shape: Sequence[int], low: float = -1.5, high: float = 1.5) -> Value:
        """A fresh differentiated array of uniform numbers."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = np.asarray(self.rng.uniform(low, high, shape))
        return Value(name, tuple(shape), max(abs(low), abs(high)))

    def constant(self, array: npt.ArrayLike, dtype: npt.DTypeLike = np.int64) -> str:
        """The name of a fresh array that is not differentiated."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def node(self, op: str, inputs: Sequence[Value | str], **attributes: object) -> str:
        """Adds a node; the name of its first output. `outputs`: how many it has."""
        count = attributes.pop("outputs", 1)
        assert isinstance(count, int)
        names = [one if isinstance(one, str) else one.name for one in inputs]
        self.used.update(names)
        first = f"v{len(self.nodes)}"
        made = [first, *(f"{first}_{k}" for k in range(1, count))]
        self.nodes.append(helper.make_node(op, names, made, **attributes))
        return first

    def step(
        self, op: str, inputs: Sequence[Value | str], shape: Sequence[int], bound: float, **attributes: object
    ) -> Value:
        """Adds a node whose output is not for later nodes to pick."""
        return Value(self.node(op, inputs, **attributes), tuple(shape), bound)

    def add(
        self, op: str, inputs: Sequence[Value | str], shape: Sequence[int], bound: float, **attributes: object
    ) -> None:
        """Adds a node whose output later nodes may read, squashed where it may be large."""
        value = self.step(op, inputs, shape, bound, **attributes)
        if bound > _TAME:
            value = self.step(self.choice(["Tanh", "Sin", "Softsign", "Atan"]), [value], shape, 1.6)
        self.values.append(value)

    def choice(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[int(self.rng.integers(len(items)))]

    def chance(self) -> bool:
        """A coin."""
        return bool(self.rng.integers(2))

    def pick(self, fits: Callable[[Value], bool] = lambda _: True) -> Value | None:
        """A value that fits, rather a late one; None where there is none."""
        found = [value for value in self.values if fits(value)]
        if not found:
            return None
        return found[-1] if self.chance() else self.choice(found)

    def partner(self, value: Value) -> Value:
        """Another value that broadcasts with this one, or a parameter that does."""
        found = [v for v in self.values if v.name != value.name and _fits(v.shape, value.shape)]
        if found and self.chance():
            return self.choice(found)
        shape = [1 if self.rng.integers(4) == 0 else n for n in value.shape]
        return self.parameter(shape[int(self.rng.integers(len(shape) + 1)) if self.chance() else 0 :])

    def untied(self, value: Value) -> Value:
        """The value plus a fresh parameter of its shape."""
        return self.step("Add", [value, self.parameter(value.shape)], value.shape, value.bound + 1.5)

    def positive(self, value: Value) -> Value:
        """Its square plus a half."""
        square = self.step("Mul", [value, value], value.shape, value.bound**2)
        return self.step("Add", [square, self.constant(0.5, np.float64)], value.shape, value.bound**2 + 0.5)

    def inner(self, value: Value) -> Value:
        """0.9 times its hyperbolic tangent."""
        return self.step(
            "Mul",
            [self.step("Tanh", [value], value.shape, 1), self.constant(0.9, np.float64)],
            value.shape,
            0.9,
        )

    def axis(self, value: Value) -> int:
        """One of its axes, counted from either end."""
        return int(self.rng.integers(-value.rank, value.rank))

    def model(self) -> onnx.ModelProto:
        """The program; its outputs are the values that no node reads."""
        outputs = [v for v in self.values if v.name not in self.used]
        graph = helper.make_graph(
            self.nodes,
            f"program_{self.seed}",
            [helper.make_tensor_value_info(n, TensorProto.DOUBLE, a.shape) for n, a in self.parameters.items()],
            [helper.make_tensor_value_info(v.name, TensorProto.DOUBLE, v.shape) for v in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])


def _fits(a: Shape, b: Shape) -> bool:
    try:
        return math.prod(np.broadcast_shapes(a, b)) <= _MOST_ELEMENTS
    except ValueError:
        return False


def factored(rng: np.random.Generator, size: int, rank: int) -> Shape:
    """A random shape of so many elements and axes."""
    dims = [1] * rank
    for prime in (2, 3, 5, 7, 11, 13):
        while size % prime == 0:
            size //= prime
            dims[int(rng.integers(rank))] *= prime
    dims[-1] *= size
    return tuple(dims)
