"""Points at which a function has a kink, a jump or a pole, and the gradient that is chosen there: PyTorch's.

Each row is checked against its `expected` here, and those against PyTorch in `make test-gradients`
(tests/conformance/kinks_test.py). docs/gradients.md tells of the choices in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

INF, NAN = np.inf, np.nan


@dataclass(frozen=True)
class Kink:
    """One operator at one point. The output is weighted with ones, or with `seed`."""

    op: str
    inputs: Sequence[Any]
    # The gradient of each input, None for one that is not differentiated.
    expected: Sequence[Any]
    # The same in PyTorch: a function of the module and the differentiated inputs.
    torch: Callable[..., Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    seed: Any = None
    why: str = ""

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.op} {self.why}".strip()


def _unary(op: str, at: Any, slope: Any, torch: Callable[..., Any], **attributes: Any) -> Kink:
    return Kink(op, [at], [slope], torch, attributes)


MASKED = [[0.0, -INF, 1.0], [-INF, -INF, -INF]]
P = 1 / (1 + np.e)

KINKS = [
    # Corners
    _unary("Abs", [0.0, -0.0], [0.0, 0.0], lambda t, x: t.abs(x)),
    _unary("Relu", [0.0, -0.0], [0.0, 0.0], lambda t, x: t.relu(x)),
    _unary("LeakyRelu", [0.0], [0.25], lambda t, x: t.nn.functional.leaky_relu(x, 0.25), alpha=0.25),
    Kink("PRelu", [[0.0], [0.25]], [[0.25], [0.0]], lambda t, x, w: t.nn.functional.prelu(x, w)),
    _unary("Elu", [0.0], [0.5], lambda t, x: t.nn.functional.elu(x, 0.5), alpha=0.5),
    _unary("Selu", [0.0], [1.7580993463430303], lambda t, x: t.nn.functional.selu(x)),
    _unary("Celu", [0.0], [1.0], lambda t, x: t.nn.functional.celu(x, 0.5), alpha=0.5),
    _unary("ThresholdedRelu", [1.0], [0.0], lambda t, x: t.nn.functional.threshold(x, 1.0, 0.0), alpha=1.0),
    _unary("HardSigmoid", [-3.0, 3.0], [0.0, 0.0], lambda t, x: t.nn.functional.hardsigmoid(x), alpha=1 / 6, beta=0.5),
    _unary("HardSwish", [-3.0, 3.0], [0.0, 1.0], lambda t, x: t.nn.functional.hardswish(x)),
    _unary("Shrink", [-0.5, 0.5], [0.0, 0.0], lambda t, x: t.nn.functional.hardshrink(x, 0.5), lambd=0.5),
    _unary("Softsign", [0.0], [1.0], lambda t, x: t.nn.functional.softsign(x)),
    _unary("ReduceL1", [0.0, -2.0], [0.0, -1.0], lambda t, x: t.linalg.vector_norm(x, 1)),
    _unary("ReduceL2", [0.0, 0.0], [0.0, 0.0], lambda t, x: t.linalg.vector_norm(x, 2)),
    # Edges of an interval
    Kink("Clip", [[-1.0, 0.0, 1.0], -1.0, 1.0], [[0.0, 1.0, 0.0], None, None], lambda t, x: t.clamp(x, -1.0, 1.0)),
    Kink(
        "Clip",
        [[-1.0, 0.0, 1.0], -1.0, 1.0],
        [[0.5, 1.0, 0.5], 0.5, 0.5],
        lambda t, x, a, b: t.clamp(x, a, b),
        why="with differentiated bounds",
    ),
    Kink(
        "Clip", [[-2.0, 0.0, 3.0], -1.0, 1.0], [[0.0, 1.0, 0.0], 1.0, 1.0], lambda t, x, a, b: t.clamp(x, a, b), why="beyond"
    ),
    Kink(
        "Clip", [[0.0, 3.0], 2.0, 1.0], [[0.0, 0.0], 0.0, 2.0], lambda t, x, a, b: t.clamp(x, a, b), why="bounds crossed"
    ),
    # Ties
    Kink("Max", [[1.0], [1.0]], [[0.5], [0.5]], lambda t, x, y: t.maximum(x, y)),
    Kink("Min", [[1.0], [1.0]], [[0.5], [0.5]], lambda t, x, y: t.minimum(x, y)),
    _unary("ReduceMax", [2.0, 1.0, 2.0], [0.5, 0.0, 0.5], lambda t, x: t.amax(x)),
    _unary("ReduceMin", [1.0, 1.0, 1.0, 2.0], [1 / 3, 1 / 3, 1 / 3, 0.0], lambda t, x: t.amin(x)),
    _unary(
        "MaxPool",
        [[[1.0, 2.0, 2.0, 0.0]]],
        [[[0.0, 1.0, 0.0, 0.0]]],
        lambda t, x: t.nn.functional.max_pool1d(x, 4),
        kernel_shape=[4],
    ),
    # Jumps: the derivative is zero on both sides, and on the jump
    _unary("Sign", [-2.0, 0.0, 2.0], [0.0, 0.0, 0.0], lambda t, x: t.sign(x)),
    _unary("Floor", [0.0, 0.5], [0.0, 0.0], lambda t, x: t.floor(x)),
    _unary("Ceil", [0.0, 0.5], [0.0, 0.0], lambda t, x: t.ceil(x)),
    _unary("Round", [0.5, 1.0], [0.0, 0.0], lambda t, x: t.round(x)),
    Kink("Mod", [[4.0, -5.0], [2.0, 2.0]], [[1.0, 1.0], [-2.0, 2.0]], lambda t, x, y: t.fmod(x, y), {"fmod": 1}),
    # Poles and vertical tangents: the limit, which is infinite
    _unary("Sqrt", [0.0], [INF], lambda t, x: t.sqrt(x)),
    Kink("Sqrt", [[0.0]], [[NAN]], lambda t, x: t.sqrt(x), seed=[0.0], why="met by a zero"),
    _unary("Log", [0.0], [INF], lambda t, x: t.log(x)),
    _unary("Reciprocal", [0.0], [-INF], lambda t, x: t.reciprocal(x)),
    Kink("Div", [[1.0], [0.0]], [[INF], [-INF]], lambda t, x, y: t.div(x, y)),
    _unary("Asin", [1.0], [INF], lambda t, x: t.asin(x)),
    _unary("Acos", [1.0], [-INF], lambda t, x: t.acos(x)),
    _unary("Acosh", [1.0], [INF], lambda t, x: t.acosh(x)),
    _unary("Atanh", [1.0], [INF], lambda t, x: t.atanh(x)),
    # Powers
    Kink("Pow", [[0.0], [0.0]], [[0.0], [0.0]], lambda t, x, y: t.pow(x, y), why="0 to 0"),
    Kink("Pow", [[0.0], [1.0]], [[1.0], [0.0]], lambda t, x, y: t.pow(x, y), why="0 to 1"),
    Kink("Pow", [[0.0], [2.0]], [[0.0], [0.0]], lambda t, x, y: t.pow(x, y), why="0 to 2"),
    Kink("Pow", [[0.0], [0.5]], [[INF], [0.0]], lambda t, x, y: t.pow(x, y), why="0 to 0.5"),
    Kink("Pow", [[0.0], [-1.0]], [[-INF], [-INF]], lambda t, x, y: t.pow(x, y), why="0 to -1"),
    Kink("Pow", [[-2.0], [2.0]], [[-4.0], [NAN]], lambda t, x, y: t.pow(x, y), why="of a negative number"),
    # Products with zeros
    _unary("ReduceProd", [0.0, 2.0, 3.0], [6.0, 0.0, 0.0], lambda t, x: t.prod(x)),
    _unary("ReduceProd", [0.0, 2.0, 0.0], [0.0, 0.0, 0.0], lambda t, x: t.prod(x)),
    Kink("CumProd", [[2.0, 0.0, 3.0], np.array(0)], [[1.0, 8.0, 0.0], None], lambda t, x: t.cumprod(x, 0)),
    # Infinities
    Kink(
        "Softmax",
        [MASKED],
        [[[-P * (1 - P), 0.0, P * (1 - P)], [NAN, NAN, NAN]]],
        lambda t, x: t.softmax(x, 1),
        seed=[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]],
        why="with a mask of -Inf",
    ),
    Kink(
        "ReduceLogSumExp",
        [MASKED[0]],
        [[P, 0.0, 1 - P]],
        lambda t, x: t.logsumexp(x, 0),
        why="with a mask of -Inf",
    ),
    _unary("ReduceLogSumExp", [1000.0, 1000.0], [0.5, 0.5], lambda t, x: t.logsumexp(x, 0)),
    _unary("Sigmoid", [-1000.0, 1000.0], [0.0, 0.0], lambda t, x: t.sigmoid(x)),
    _unary("Softplus", [-1000.0, 1000.0], [0.0, 1.0], lambda t, x: t.nn.functional.softplus(x)),
    _unary("Tanh", [-INF, INF], [0.0, 0.0], lambda t, x: t.tanh(x)),
]
