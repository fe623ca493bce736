"""Values and gradients of a case on a server: for one point or many, each set in one round trip.

With outputs y, cotangents w, inputs x, directions v and fixed numbers z:

    L = sum w * y           g = dL/dx
    s = sum g * v + x * z   h = ds/d(x, w)

The term x * z only gives s a graph where g does not depend on x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from gradient_cases import Array, Case

from gradwire import commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.commands import Request
from gradwire.errors import NotDifferentiable
from gradwire.session import Session

Arrays = Mapping[str, Array]


@dataclass
class Point:
    """What is computed at a point: numbers L and s, arrays y, g and h by name (what was not asked for is empty)."""

    loss: float
    second: float
    outputs: dict[str, Array]
    gradients: dict[str, Array]
    seconds: dict[str, Array]


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

    def _commands(self, xs: Arrays, ws: Arrays, vs: Arrays | None, zs: Arrays) -> list[Request]:
        """Binds L and g, and with directions also s and h."""
        case = self.case
        leaves = {**xs, **{f"check/w/{name}": array for name, array in ws.items()}}
        done: list[Request] = [
            commands.put(leaves, requires_grad=True),
            commands.forward([case.node], outputs=case.outputs, opset=case.opset),
            _weighted([(name, f"check/w/{name}") for name in case.outputs], "check/L"),
        ]
        names = [f"check/g/{name}" for name in case.wrt]
        done.append(commands.gradients(["check/L"], case.wrt, names=names, create_graph=True, allow_unused=True))
        if vs is not None:
            terms = [(f"check/g/{name}", f"check/v/{name}") for name in case.wrt]
            terms += [(name, f"check/z/{name}") for name in case.wrt]
            inputs = list(leaves)
            done += [
                commands.put({f"check/v/{name}": array for name, array in vs.items()}),
                commands.put({f"check/z/{name}": array for name, array in zs.items()}),
                _weighted(terms, "check/s"),
                commands.gradients(
                    ["check/s"], inputs, names=[f"check/h/{name}" for name in inputs], allow_unused=True
                ),
            ]
        return done

    def at(
        self, points: Sequence[Arrays], ws: Arrays, vs: Arrays | None = None, zs: Arrays | None = None
    ) -> list[Point]:
        """What is computed at each point; arrays are fetched at the first only. Without directions, first order only."""
        case = self.case
        requests: list[Request] = [commands.put(self._constants)] if self._constants else []
        numbers = ["check/L", *(["check/s"] if vs is not None else [])]
        wide = [*case.outputs, *(f"check/g/{name}" for name in case.wrt)]
        if vs is not None:
            wide += [f"check/h/{name}" for name in [*case.wrt, *(f"check/w/{name}" for name in case.outputs)]]
        for i, xs in enumerate(points):
            requests += self._commands(xs, ws, vs, zs or {})
            requests.append(commands.fetch([*numbers, *([] if i else wide)]))
        answers = self._session.run(requests)
        forward = next(answer for answer in answers if isinstance(answer, pb.ForwardResponse))
        if not any(info.requires_grad for info in forward.outputs):
            raise NotDifferentiable("no output of the operator requires grad")
        fetched = [answer for answer in answers if isinstance(answer, pb.FetchResponse)]
        return [
            self._point({tensor.name: dtypes.from_proto(tensor) for tensor in answer.tensors}, vs is not None)
            for answer in fetched
        ]

    def _point(self, found: dict[str, Array], second: bool) -> Point:
        def part(prefix: str) -> dict[str, Array]:
            return {name.removeprefix(prefix): array for name, array in found.items() if name.startswith(prefix)}

        return Point(
            loss=float(found["check/L"]),
            second=float(found["check/s"]) if second else np.nan,
            outputs={name: found[name] for name in self.case.outputs if name in found},
            gradients=part("check/g/"),
            seconds=part("check/h/"),
        )
