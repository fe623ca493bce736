"""Gradient checkpointing: the same numbers and gradients, from less memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire
from gradwire import Client, Session, Tensor, commands, errors
from gradwire import functional as F
from gradwire._proto.gradwire.v1 import onnx_pb2

LAYERS = 48
BATCH, WIDTH = 1024, 64


def mlp(layers: int = LAYERS) -> list[onnx_pb2.NodeProto]:
    """x -> tanh(h @ w_i) through all layers -> y, the mean square."""
    nodes = []
    for i in range(layers):
        nodes.append(commands.node("MatMul", [f"h{i}" if i else "x", f"w{i}"], [f"a{i}"]))
        nodes.append(commands.node("Tanh", [f"a{i}"], [f"h{i + 1}"]))
    square = commands.node("Mul", [f"h{layers}", f"h{layers}"], ["square"])
    return [*nodes, square, commands.node("ReduceMean", ["square"], ["y"], {"keepdims": 0})]


def arrays(layers: int = LAYERS, batch: int = BATCH, width: int = WIDTH) -> dict[str, Any]:
    random = np.random.default_rng(0)
    weights = {f"w{i}": (random.normal(size=(width, width)) / np.sqrt(width)).astype(np.float32) for i in range(layers)}
    return {"x": random.normal(size=(batch, width)).astype(np.float32), **weights}


def train(client: Client, checkpoint: int, *, one_run: bool = False) -> tuple[int, dict[str, Any]]:
    """Peak bytes of a forward and a backward pass, and the gradients."""
    with client.session() as session:
        given = arrays()
        x = given.pop("x")
        session.put(given, requires_grad=True)
        session.put({"x": x})
        calls = [
            commands.forward(mlp(), outputs=["y"], checkpoint=checkpoint),
            commands.backward(["y"]),
        ]
        for batch in [calls] if one_run else [[call] for call in calls]:
            session.run(batch)
        peak = session.describe().peak_bytes
        return peak, {name: session.fetch([f"grad/{name}"])[0] for name in given}


@pytest.mark.parametrize("one_run", [False, True], ids=["separate calls", "one Run"])
def test_a_deep_mlp_takes_less_than_half_the_memory(client: Client, one_run: bool) -> None:
    plain, expected = train(client, 0, one_run=one_run)
    saved, gradients = train(client, 7, one_run=one_run)
    print(f"peak bytes of {LAYERS} layers: {plain} plain, {saved} in 7 spans")
    assert saved < plain / 2
    for name, gradient in expected.items():
        np.testing.assert_array_equal(gradients[name], gradient)


def test_a_program_in_spans(client: Client) -> None:
    peaks = []
    for checkpoint in (0, 7):
        with client.session() as session:
            given = arrays()
            x = given.pop("x")
            graph = onnx_pb2.GraphProto(node=mlp())
            for name in ("x", *given):
                graph.input.add(name=name)
            graph.output.add(name="y")
            session.load_program("mlp", graph=graph)
            session.put(given, requires_grad=True)
            session.forward(program="mlp", feeds={"x": x}, outputs=["y"], checkpoint=checkpoint)
            session.backward(["y"])
            peaks.append(session.describe().peak_bytes)
    assert peaks[1] < peaks[0] / 2


def test_every_order_and_every_number_of_spans_agree(session: Session) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(3, 4))
    weights = {f"w{i}": random.normal(size=(4, 4)) / 2 for i in range(4)}
    tangent = random.normal(size=(4, 4))
    found = []
    for checkpoint in (0, 1, 2, 3, 100):
        session.put({"x": x, **weights}, requires_grad=True)
        session.forward(mlp(4), outputs=["y", "h2"], checkpoint=checkpoint)
        session.gradients(["y"], ["x", "w0", "h2"], names=["dx", "dw", "dh"], create_graph=True)
        session.forward([commands.node("ReduceSum", ["dw"], ["s"], {"keepdims": 0})])
        session.gradients(["s"], ["w1", "x"], names=["second", "mixed"], retain_graph=True)
        _, [jvp] = session.jvp(["y"], {"w1": tangent}, fetch=True, retain_graph=True)
        _, [hvp] = session.hvp("y", ["w0"], {"w0": tangent}, fetch=True)
        found.append([*session.fetch(["y", "h2", "dx", "dw", "dh", "second", "mixed"]), jvp, hvp])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14)


def test_random_operators_give_the_same_numbers_again(session: Session) -> None:
    x = np.ones(10_000)
    session.put({"x": x}, requires_grad=True)
    session.put({"ratio": np.array(0.5), "training": np.array(True)})
    nodes = [
        commands.node("Dropout", ["x", "ratio", "training"], ["kept"]),
        commands.node("RandomUniformLike", ["x"], ["noise"]),
        commands.node("Mul", ["kept", "noise"], ["y"]),
        commands.node("ReduceSum", ["y"], ["s"]),
    ]
    session.forward(nodes, outputs=["y", "s"], checkpoint=1)
    session.backward(["s"], retain_graph=True)
    (y, first) = session.fetch(["y", "grad/x"])
    np.testing.assert_array_equal(first, y)  # as x is 1
    session.zero_grad()
    session.backward(["s"])
    np.testing.assert_array_equal(session.fetch(["grad/x"])[0], first)
    session.forward(nodes, outputs=["y"], checkpoint=1)
    assert (session.fetch(["y"])[0] != y).any()


def test_the_graph_is_freed_as_any(session: Session) -> None:
    session.put({"x": np.ones(3)}, requires_grad=True)
    nodes = [commands.node("Mul", ["x", "x"], ["y"]), commands.node("ReduceSum", ["y"], ["s"])]
    session.forward(nodes, outputs=["s"], checkpoint=1)
    session.backward(["s"])
    with pytest.raises(errors.GraphFreed):
        session.backward(["s"])


def test_errors_name_the_node(session: Session) -> None:
    session.put({"x": np.ones(3)}, requires_grad=True)
    nodes = [commands.node("Mul", ["x", "x"], ["y"]), commands.node("MatMul", ["y", "nowhere"], ["z"], name="fc")]
    with pytest.raises(errors.TensorNotFound, match="nowhere"):
        session.forward(nodes, checkpoint=2)
    session.put({"nowhere": np.ones((2, 2))})
    with pytest.raises(errors.ShapeMismatch, match=r"node 1 'fc' \(MatMul\)"):
        session.forward(nodes, checkpoint=2)
    with pytest.raises(errors.InvalidArgument, match="checkpoint is -1, must not be negative"):
        session.forward(nodes, checkpoint=-1)


# ---------------------------------------------------------------- the function


def block(x: Tensor, w: Tensor) -> Tensor:
    for _ in range(8):
        x = F.dropout((x @ w).tanh(), 0.1)
    return x


def test_checkpoint_of_a_function(client: Client) -> None:
    def peak(call: Callable[..., Tensor]) -> tuple[int, Any, Any]:
        with client.session(seed=3) as session:
            w = session.tensor(np.eye(64, dtype=np.float32), requires_grad=True)
            x = session.tensor(np.full((512, 64), 0.5, np.float32), requires_grad=True)
            y = x
            for _ in range(6):
                y = call(block, y, w)
            loss = (y**2).mean()
            loss.backward()
            session.flush()
            assert w.grad is not None and x.grad is not None
            return session.describe().peak_bytes, w.grad.numpy(), x.grad.numpy()

    plain = peak(lambda function, *args: function(*args))
    saved = peak(gradwire.checkpoint)
    assert saved[0] < plain[0] / 2
    # The sum over the uses of w has another order.
    np.testing.assert_allclose(saved[1], plain[1], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(saved[2], plain[2], rtol=1e-5)
