"""Gradients of first and second order at edges against PyTorch's: zeros, ties, huge numbers, infinities, in float64.

A row names where gradwire's numbers are others than PyTorch's, with the reason; they are held, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch_program import FUNCTIONS

from gradwire import commands
from gradwire.client import Client
from gradwire.session import Session

INF, NAN = np.inf, np.nan
Array = Any
POINTS = [0.0, -0.0, 1e-20, 0.25, -0.25, 0.5, -0.5, 1, -1, 2, -2, 3, -3, 30, -30, 800, -800, 1e30, -1e30, INF, -INF]


@dataclass(frozen=True)
class Edge:
    """A call; the inputs that it is differentiated by; the same in PyTorch where torch_program's is not meant."""

    op: str
    inputs: Sequence[Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    by: Sequence[int] = (0,)
    torch: Callable[..., Any] | None = None
    # By order: a flat index of the first input's gradient, and gradwire's number there.
    but: dict[int, dict[int, float]] = field(default_factory=dict)
    why: str = ""

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.op} {self.attributes or ''} {self.why}"


def _function(edge: Edge) -> Callable[..., Any]:
    if edge.torch is not None:
        return edge.torch
    node = helper.make_node(edge.op, ["x"], ["y"], **edge.attributes)
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return lambda *inputs: FUNCTIONS[edge.op](inputs, attributes)


def by_torch(edge: Edge) -> list[list[Array]]:
    """Gradients of the sum of outputs, and of the sum of these."""
    tensors = [torch.from_numpy(np.array(x)) for x in edge.inputs]
    leaves = [tensors[k].requires_grad_() for k in edge.by]
    y = _function(edge)(*tensors)
    y = y[0] if isinstance(y, (tuple, list)) else y
    seed = torch.ones_like(y).requires_grad_()
    options = {"allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad(y, leaves, seed, create_graph=True, **options)
    live = [g for g in first if g.requires_grad]
    second: Sequence[torch.Tensor] = [torch.zeros_like(leaf) for leaf in leaves]
    if live:
        second = torch.autograd.grad(live, leaves, [torch.ones_like(g) for g in live], **options)
    return [[g.numpy(force=True) for g in part] for part in (first, second)]


def by_gradwire(session: Session, edge: Edge) -> list[list[Array]]:
    """The same."""
    arrays = {f"x{k}": np.array(x) for k, x in enumerate(edge.inputs)}
    leaves = [f"x{k}" for k in edge.by]
    session.put({name: arrays.pop(name) for name in leaves}, requires_grad=True)
    if arrays:
        session.put(arrays)
    node = commands.node(edge.op, [f"x{k}" for k in range(len(edge.inputs))], ["y"], edge.attributes)
    session.forward([node], outputs=["y"])
    session.put({"w": np.ones_like(session.fetch(["y"])[0])}, requires_grad=True)
    names = [f"g{name}" for name in leaves]
    made = session.gradients(["y"], leaves, seeds={"y": "w"}, names=names, create_graph=True, allow_unused=True)
    first = session.fetch(names)
    live = {info.name: f"v{info.name}" for info in made if info.requires_grad}
    if not live:
        return [first, [np.zeros_like(g) for g in first]]
    session.put({live[name]: np.ones_like(g) for name, g in zip(names, first, strict=True) if name in live})
    names = [f"h{name}" for name in leaves]
    session.gradients(list(live), leaves, seeds=live, names=names, allow_unused=True)
    return [first, session.fetch(names)]


ROWS = np.array([
    [1, 1, 0], [2, 2, 2], [-1, 3, 3], [INF, 1, 2], [-INF, 1, 2], [-INF, -INF, -INF], [INF, INF, 1], [800, 1, -800],
    [0, 5, 0], [0, 0, 0], [INF, -INF, 1],
])  # fmt: skip
HUGE = [[1e200, 1e200, 1.0]]
PAIR = [[0.0, 1, -1, 0, INF, INF, -INF, 2], [0.0, 1, -1, 1, INF, 1, -INF, INF]]
IMAGE = np.arange(16.0).reshape(1, 1, 4, 4) ** 1.5
GRID = np.array([[[[-1, -1], [1, 1], [0, 0]], [[-2, 0], [2, 0.3], [1 / 3, -1 / 3]]]])
QUERY = np.arange(6.0).reshape(1, 1, 2, 3) / 3


def _attention(*inputs: torch.Tensor) -> torch.Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(*inputs)


UNARY = [
    Edge(op, [POINTS], torch=f, attributes=attributes, but=but or {}, why=why)
    for op, f, attributes, but, why in [
        *((op, None, {}, None, "") for op in (
            "Abs", "Neg", "Relu", "Sigmoid", "Tanh", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh",
            "Acosh", "Atanh", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Softsign", "HardSwish", "Gelu",
        )),
        ("Mish", None, {}, {2: {15: 0.0, 17: 0.0}}, "PyTorch's overflows"),
        ("Softplus", F.softplus, {}, None, ""),
        ("LeakyRelu", None, {"alpha": 0.25}, None, ""),
        ("Elu", None, {"alpha": 0.75}, None, ""),
        ("Celu", None, {"alpha": 1.5}, None, ""),
        ("Selu", F.selu, {}, None, ""),
        ("HardSigmoid", lambda x: torch.clamp(0.25 * x + 0.5, 0.0, 1.0), {"alpha": 0.25, "beta": 0.5}, None, ""),
        ("ThresholdedRelu", None, {"alpha": 0.5}, None, ""),
        ("Shrink", lambda x: F.hardshrink(x, 0.5), {"lambd": 0.5}, None, ""),
        ("Gelu", None, {"approximate": "tanh"}, None, ""),
        ("Swish", F.silu, {"alpha": 1.0}, None, ""),
        *((op, getattr(torch, op.lower()), {}, None, "") for op in ("Ceil", "Floor", "Round", "Sign")),
    ]
]  # fmt: skip

REDUCED = [
    Edge(f"Reduce{op}", [row, [0]], {"keepdims": 0}, but=but, why=f"{row} {why}")
    for op in ("Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSum", "LogSumExp", "Prod")
    for row in ROWS.tolist()
    for but, why in [
        ({2: {0: 0.0, 1: 0.0, 2: 0.0}}, "PyTorch's is 0 / 0")
        if op == "L2" and not any(row)
        else ({}, "")
    ]
    # 0 * Inf decides nothing.
    if not (op == "Prod" and INF in np.abs(row))
]  # fmt: skip

OTHERS = [
    *(Edge(op, [[row]], {"axis": -1}, why=str(row)) for op in ("Softmax", "LogSoftmax") for row in ROWS.tolist()),
    Edge("ReduceLogSumExp", [HUGE, [1]], {}, but={1: {0: 0.5, 1: 0.5}, 2: {0: 0.0, 1: 0.0}}, why="PyTorch's sum to 2"),
    *(Edge(op, PAIR, by=(0, 1)) for op in ("Max", "Min", "Add", "Sub", "Mul", "Div")),
    Edge("Max", [[1.0, 1, 0], [1.0, 1, 0], [1.0, 1, 1]], by=(0, 1, 2)),
    *(Edge("Pow", [[0.0, -0.0, 1, -2, INF], np.array(y)], why=f"to {y}") for y in (1.0, 2.0, 3.0, 0.5, -1.0)),
    Edge("Pow", [[0.0, -0.0, 1], np.array(0.0)], but={2: {0: 0.0, 1: 0.0}}, why="PyTorch's is 0 * Inf"),
    Edge("Clip", [[-1.0, 0, 0.5, 1, 2, INF, -INF], 0.0, 1.0], torch=lambda x, *_: torch.clamp(x, 0.0, 1.0)),
    Edge("Clip", [[-1.0, 0, 0.5, 1, 2], 0.0, 1.0], by=(0, 1, 2)),
    Edge("Where", [[True, False, True], [1.0, INF, 2], [INF, 2.0, 1]], by=(1, 2)),
    *(Edge("CumProd", [x, 0], torch=lambda x, _: x.cumprod(0)) for x in ([1.0, 0, 2, 3], [0.0, 0, 2, 3], [0.0, 0, 0, 3])),
    *(Edge("ReduceProd", [x, [0]]) for x in ([1.0, 0, 2, 3], [0.0, 0, 2, 3], [0.0, 0, 0, 3])),
    Edge("TopK", [[1.0, 3, 3, 2], [2]], {"axis": 0}),
    Edge("MaxPool", [[[[[0.0, 0, 1, 1], [0, 0, 1, 1], [2, 2, INF, 1], [2, 2, 1, -INF]]]]], {"kernel_shape": [2, 2]}),
    *(
        Edge("LpPool", [[[[[0.0, 0, 1, 2], [0, 0, 2, -3]]]]], {"kernel_shape": [2, 2], "strides": [2, 2], "p": p},
             torch=lambda x, p=p: F.lp_pool2d(x.abs(), p, 2))
        for p in (2, 3)
    ),
    *(Edge("GlobalLpPool", [np.zeros((1, 1, 2, 2))], {"p": p}, torch=lambda x, p=p: F.lp_pool2d(x, p, 2)) for p in (2, 3)),
    Edge("LayerNormalization", [np.ones((2, 3)), np.ones(3), np.zeros(3)], {"epsilon": 1e-5}, by=(0, 1, 2)),
    Edge("InstanceNormalization", [np.ones((1, 2, 3)), np.ones(2), np.zeros(2)], {"epsilon": 1e-5}, by=(0, 1, 2)),
    Edge("SoftmaxCrossEntropyLoss", [[[1000.0, -1000, 0], [0, 0, 0], [-INF, 1, 2]], [1, 0, 2]]),
    Edge("SoftmaxCrossEntropyLoss", [[[1000.0, -1000, 0], [-INF, 1, 2]], [1, 0]], why="of a masked class"),
    Edge("Mod", [[5.0, -5, 4, 0, 5], [3.0, 3, 2, 2, -3]], {"fmod": 1}, by=(0, 1), torch=torch.fmod),
    *(
        Edge("ScatterElements", [[1.0, 5, 0, 2], [0, 0, 1, 2, 3], [1.0, 1, 3, 0, 0]], {"axis": 0, "reduction": name},
             by=(0, 2), torch=lambda x, i, u, f=f: torch.scatter_reduce(x, 0, i, u, f))
        for name, f in (("max", "amax"), ("min", "amin"), ("mul", "prod"))
    ),
    *(
        Edge("GridSample", [IMAGE, GRID], {"mode": "linear", "padding_mode": padding, "align_corners": corners}, by=(0, 1),
             torch=lambda x, g, p=padding, c=corners: F.grid_sample(x, g, "bilinear", p, bool(c)))
        for padding in ("zeros", "border", "reflection") for corners in (0, 1)
    ),
    Edge("Attention", [QUERY * 1e3, QUERY * 1e3, QUERY], by=(0, 1, 2), torch=_attention),
    Edge("Attention", [QUERY, QUERY, QUERY, [[0, -INF], [0.5, 0]]], by=(0, 1, 2), torch=_attention),
    Edge("Attention", [QUERY, QUERY, QUERY, [[True, False], [True, True]]], by=(0, 1, 2), torch=_attention),
    *(Edge("Det", [x], torch=torch.linalg.det) for x in ([[1.0, 2], [3, 4]], [[1.0, 2], [2, 4]])),
    Edge("Det", [[[1.0, 2, 3], [4, 5, 7], [5, 7, 10]]], torch=torch.linalg.det, why="of rank 2"),
]  # fmt: skip


@pytest.mark.parametrize("edge", [*UNARY, *REDUCED, *OTHERS], ids=lambda edge: edge.label)
def test_edge(client: Client, edge: Edge) -> None:
    with client.session() as session:
        found = by_gradwire(session, edge)
    for order, (got, wanted) in enumerate(zip(found, by_torch(edge), strict=True), 1):
        for at, number in edge.but.get(order, {}).items():
            assert not np.isclose(wanted[0].flat[at], number, equal_nan=True), "this is PyTorch's number"
            wanted[0].flat[at] = number
        for k, ours, theirs in zip(edge.by, got, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12, err_msg=f"order {order} by input {k}")
