"""Values and gradients of a case on a server: for one point or many, each set in one round trip.

With outputs y, cotangents w, inputs x, and for each order above the first directions v and fixed numbers z:

    s0 = sum w * y                  g0 = ds0/dx
    s1 = sum g0 * v + x * z         g1 = ds1/d(x, w)
    s2 = sum g1 * v + x * z         g2 = ds2/d(x, w)    and so on, with other v and z

The terms x * z only give a number a graph where the gradient before it does not depend on x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from gradient_cases import Array, Case

from gradwire import commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.commands import Request
from gradwire.errors import NotDifferentiable
from gradwire.session import Session

Arrays = Mapping[str, Array]


@dataclass
class Further:
    """What an order above the first is taken along: v and z by name of input."""

    vs: Arrays
    zs: Arrays


@dataclass
class Point:
    """What is computed at a point: the numbers s, and arrays y and g by name (empty where they were not fetched)."""

    numbers: list[float]
    outputs: dict[str, Array]
    gradients: list[dict[str, Array]]


def _weighted(terms: Sequence[tuple[str, str]], result: str) -> Request:
    """Nodes for the sum of a * b over the pairs (a, b)."""
    nodes, sums = [], []
    for i, (a, b) in enumerate(terms):
        product, total = f"{result}/product{i}", f"{result}/sum{i}"
        nodes.append(commands.node("Mul", [a, b], [product]))
        nodes.append(commands.node("ReduceSum", [product], [total], {"keepdims": 0}))
        sums.append(total)
    nodes.append(commands.node("Sum", sums, [result]))
    return commands.forward(nodes, outputs=[result])


class Evaluator:
    """A case in a session of its own."""

    def __init__(self, session: Session, case: Case, arrays: Arrays) -> None:
        self._session = session
        self.case = case
        self._constants = {name: array for name, array in arrays.items() if name not in case.wrt}

    def forward(self, xs: Arrays) -> dict[str, Array]:
        """The differentiable outputs at a point."""
        case = self.case
        _, fetched = self._session.forward(
            [case.node], feeds={**self._constants, **xs}, fetch=case.outputs, opset=case.opset, no_grad=True
        )
        return dict(zip(case.outputs, fetched, strict=True))

    def _commands(self, xs: Arrays, ws: Arrays, orders: Sequence[Further]) -> list[Request]:
        """Binds the numbers and the gradients."""
        case = self.case
        leaves = {**xs, **{f"check/w/{name}": array for name, array in ws.items()}}
        done: list[Request] = [
            commands.put(leaves, requires_grad=True),
            commands.forward([case.node], outputs=case.outputs, opset=case.opset),
            _weighted([(name, f"check/w/{name}") for name in case.outputs], "check/s0"),
        ]
        for k in range(len(orders) + 1):
            if k:
                terms = [(f"check/g{k - 1}/{name}", f"check/v{k}/{name}") for name in case.wrt]
                terms += [(name, f"check/z{k}/{name}") for name in case.wrt]
                done.append(_weighted(terms, f"check/s{k}"))
            inputs, names = self._wanted(k)
            last = k == len(orders) and k > 0
            done.append(
                commands.gradients([f"check/s{k}"], inputs, names=names, create_graph=not last, allow_unused=True)
            )
        return done

    def _wanted(self, k: int) -> tuple[list[str], list[str]]:
        """What number k is differentiated by, and the names of its gradients."""
        inputs = [*self.case.wrt, *(f"check/w/{name}" for name in self.case.outputs if k)]
        return inputs, [f"check/g{k}/{name}" for name in inputs]

    def at(self, points: Sequence[Arrays], ws: Arrays, orders: Sequence[Further] = ()) -> list[Point]:
        """What is computed at each point, to order 1 + len(orders); arrays are fetched at the first only."""
        constants = dict(self._constants)
        for k, order in enumerate(orders, 1):
            constants.update({f"check/v{k}/{name}": array for name, array in order.vs.items()})
            constants.update({f"check/z{k}/{name}": array for name, array in order.zs.items()})
        requests: list[Request] = [commands.put(constants)] if constants else []
        count = len(orders) + 1
        numbers = [f"check/s{k}" for k in range(count)]
        wide = [*self.case.outputs, *(name for k in range(count) for name in self._wanted(k)[1])]
        for i, xs in enumerate(points):
            requests += self._commands(xs, ws, orders)
            requests.append(commands.fetch([*numbers, *([] if i else wide)]))
        answers = self._session.run(requests)
        forward = next(answer for answer in answers if isinstance(answer, pb.ForwardResponse))
        if not any(info.requires_grad for info in forward.outputs):
            raise NotDifferentiable("no output of the operator requires grad")
        fetched = [answer for answer in answers if isinstance(answer, pb.FetchResponse)]
        return [
            self._point({tensor.name: dtypes.from_proto(tensor) for tensor in answer.tensors}, count)
            for answer in fetched
        ]

    def _point(self, found: dict[str, Array], count: int) -> Point:
        def part(prefix: str) -> dict[str, Array]:
            return {name.removeprefix(prefix): array for name, array in found.items() if name.startswith(prefix)}

        return Point(
            numbers=[float(found[f"check/s{k}"]) for k in range(count)],
            outputs={name: found[name] for name in self.case.outputs if name in found},
            gradients=[part(f"check/g{k}/") for k in range(count)],
        )


def spoil(monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    """Makes the gradients of an order, and those above it, wrong by 1 %: for tests of the checkers."""
    exact = Evaluator.at

    def wrong(*arguments: Any) -> list[Point]:
        points = exact(*arguments)
        for array in [array for one in points[0].gradients[order - 1 :] for array in one.values()]:
            array *= 1.01
        return points

    monkeypatch.setattr(Evaluator, "at", wrong)
