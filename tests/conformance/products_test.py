"""Jvp and Hvp against PyTorch's own; and of every operator, Jvp and recomputation against its gradient."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradient_cases import cases_by_op, tagged_ops

import gradwire
import gradwire.torch
from gradwire.testing import Server

X = np.random.default_rng(0).normal(size=(2, 3, 4))
W = np.random.default_rng(1).normal(size=(4, 4))
TX = np.random.default_rng(2).normal(size=X.shape)
TW = np.random.default_rng(3).normal(size=W.shape)


def attention(t: Any, x: Any, w: Any) -> Any:
    scores = x @ w @ x.transpose(1, 2)
    return t.nn.functional.softmax(scores, -1) @ x


def network(t: Any, x: Any, w: Any) -> Any:
    h = t.tanh(x @ w)
    return t.nn.functional.layer_norm(h * t.sigmoid(h), [4])


def activations(t: Any, x: Any, w: Any) -> Any:
    f = t.nn.functional
    return f.gelu(x @ w) + f.silu(x) + f.softplus(x) * f.elu(x) + f.leaky_relu(x) + x.abs().sqrt()


def products(t: Any, x: Any, w: Any) -> Any:
    return (x**3).prod(2) + (x @ w).amax(2) + x.logsumexp(2) + (x * x).mean(2).sqrt()


ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS: list[Callable[..., Any]] = [attention, network, activations, products]


@pytest.fixture(scope="module")
def session() -> Iterator[gradwire.Session]:
    binary = Path(os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server"))
    with Server(binary) as server, gradwire.connect(server.target) as client, client.session() as opened:
        gradwire.torch.use(opened)
        yield opened


def _both(*arrays: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    ours: Any = gradwire.torch
    return tuple(map(torch.tensor, arrays)), tuple(ours.tensor(a) for a in arrays)


def near(actual: Any, expected: Any) -> None:
    # ONNX's attributes are float32: an epsilon of 1e-5 or a slope of 0.01 differs in the eighth digit.
    np.testing.assert_allclose(actual.numpy(force=True), expected.detach().numpy(), rtol=2e-7, atol=1e-8)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("recomputed", [False, True], ids=["", "checkpointed"])
def test_jvp(session: gradwire.Session, function: Callable[..., Any], recomputed: bool) -> None:
    ours: Any = gradwire.torch
    (points, mine), (tangents, along) = _both(X, W), _both(TX, TW)

    def called(*xs: Any) -> Any:
        return gradwire.checkpoint(function, ours, *xs) if recomputed else function(ours, *xs)

    expected = torch.func.jvp(lambda *xs: function(torch, *xs), points, tangents)
    for got, want in zip(ours.func.jvp(called, mine, along), expected, strict=True):
        near(got, want)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("recomputed", [False, True], ids=["", "checkpointed"])
def test_hvp(session: gradwire.Session, function: Callable[..., Any], recomputed: bool) -> None:
    ours: Any = gradwire.torch
    (points, mine), (vectors, along) = _both(X, W), _both(TX, TW)

    def called(*xs: Any) -> Any:
        y = gradwire.checkpoint(function, ours, *xs) if recomputed else function(ours, *xs)
        return (y**2).sum()

    expected = torch.autograd.functional.hvp(lambda *xs: (function(torch, *xs) ** 2).sum(), points, vectors)
    value, found = ours.autograd.functional.hvp(called, mine, along)
    near(value, expected[0])
    for got, want in zip(found, expected[1], strict=True):
        near(got, want)


# PyTorch's layer_norm is wrong in forward mode of forward mode: central differences of the first order say so.
@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function is not network])
def test_jvp_of_jvp(session: gradwire.Session, function: Callable[..., Any]) -> None:
    ours: Any = gradwire.torch
    (points, mine), (tangents, along) = _both(X, W), _both(TX, TW)

    def second(t: Any, jvp: Any, xs: Any, ts: Any) -> Any:
        return jvp(lambda *a: jvp(lambda *b: function(t, *b), a, ts)[1], xs, ts)[1]

    near(second(ours, ours.func.jvp, mine, along), second(torch, torch.func.jvp, points, tangents))


@pytest.mark.parametrize("op", tagged_ops())
def test_every_operator_forward_and_recomputed(session: gradwire.Session, op: str) -> None:
    generator = np.random.default_rng(4)
    for case in cases_by_op().get(op, []):
        arrays = case.nudged()
        session.put(arrays)
        session.put({name: arrays[name] for name in case.wrt}, requires_grad=True)
        tangents = {name: generator.normal(size=arrays[name].shape) for name in case.wrt}
        seeds: dict[str, Any] = {}
        found = []
        for checkpoint in (0, 1):
            session.forward([case.node], outputs=case.outputs, opset=case.opset, checkpoint=checkpoint)
            live = [name for name in case.outputs if session.describe_tensor(name).requires_grad]
            if not seeds:
                seeds = {name: generator.normal(size=session.fetch([name])[0].shape) for name in live}
            options: dict[str, Any] = {"seeds": seeds, "allow_unused": True, "retain_graph": True}
            session.gradients(live, case.wrt, **options)
            found.append(session.fetch([f"grad/{name}" for name in case.wrt]))
            _, moved = session.jvp(live, tangents, fetch=True)
            forward = sum((seeds[name] * along).sum() for name, along in zip(live, moved, strict=True))
            reverse = sum((tangents[n] * g).sum() for n, g in zip(case.wrt, found[-1], strict=True))
            np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-9, err_msg=case.name)
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14, err_msg=case.name)
