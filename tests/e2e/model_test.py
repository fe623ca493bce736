"""Programs, optimizers, graphs, files, and what the server says about itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from conftest import server_binary
from onnx import TensorProto, helper, numpy_helper

import gradwire
from gradwire import Client, Session, commands, errors

Array = np.ndarray[Any, Any]


def linear_model(opset: int = 21) -> onnx.ModelProto:
    """y = relu(x @ w + b)"""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["q"]),
        helper.make_node("Relu", ["q"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2) - 2, "w"),
            numpy_helper.from_array(np.array([0.5, -0.5], np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_a_model_runs_and_trains(client: Client, session: Session) -> None:
    model = gradwire.load_model(session, linear_model(), name="net")
    assert {p.name for p in model.parameters()} == {"net/w", "net/b"}
    x = np.array([[1, 2, 3], [0, 1, 0]], np.float32)
    w, b = (numpy_helper.to_array(t) for t in linear_model().graph.initializer)
    y = model(x)
    np.testing.assert_allclose(y.numpy(force=True), np.maximum(x @ w + b, 0), rtol=1e-6)
    before = client.rpc_count
    loss = (model(x=x) ** 2).mean()
    loss.backward()
    gradwire.optim.SGD(model.parameters(), lr=0.01).step()
    first = loss.item()
    assert client.rpc_count == before + 1
    assert (model(x) ** 2).mean().item() < first


def test_a_model_from_a_file_and_frozen(session: Session, tmp_path: Path) -> None:
    onnx.save(linear_model(), tmp_path / "net.onnx")
    model = gradwire.load_model(session, tmp_path / "net.onnx", trainable=False)
    assert model.parameters() == [] and len(model.named_parameters()) == 2
    x = session.tensor(np.ones((1, 3)), np.float32, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    # w is [[-2, -1], [0, 1], [2, 3]], and both outputs are above 0 only in the second column's case.
    np.testing.assert_allclose(x.grad.numpy(), [[-3.0, 1.0, 5.0]])


def test_programs_are_listed_and_unloaded(session: Session) -> None:
    gradwire.load_model(session, linear_model(), name="a")
    graph = linear_model().graph
    recorded = gradwire._proto.gradwire.v1.onnx_pb2.GraphProto.FromString(graph.SerializeToString())
    session.load_program("b", graph=recorded, opset={"": 21}, parameter_prefix="mine.")
    programs = {info.program: info for info in session.list_programs()}
    assert set(programs) == {"a", "b"}
    assert set(programs["b"].parameters) == {"mine.w", "mine.b"}
    assert sorted(programs["a"].operators) == ["Add", "MatMul", "Relu"]
    assert list(programs["a"].unsupported) == []
    session.unload_program("a")
    with pytest.raises(errors.ProgramNotFound):
        session.forward(program="a", feeds={"x": np.ones((1, 3), np.float32)})
    assert {info.name for info in session.list_tensors("a/")} == {"a/w", "a/b"}


def test_a_malformed_model_is_refused(session: Session) -> None:
    with pytest.raises(errors.InvalidModel):
        session.load_program("bad", b"\xff\xffnot a model")


def reference(name: str, steps: int, g: Array, x: Array) -> Array:
    """The update rules of gradwire.proto, in NumPy's float64."""
    v, h = np.zeros_like(x), np.zeros_like(x)
    for t in range(steps):
        if name == "sgd":
            x = x - 0.1 * (g + 0.01 * x)
        elif name in ("momentum", "nesterov"):
            d = g + 0.01 * x
            v = 0.9 * v + (1 if t == 0 or name == "nesterov" else 0.7) * d
            x = x - 0.1 * (d + 0.9 * v if name == "nesterov" else v)
        elif name in ("adam", "adamw"):
            d = g + 0.01 * x if name == "adam" else g
            x = x * (1 - 0.1 * 0.01) if name == "adamw" else x
            v, h = 0.9 * v + 0.1 * d, 0.999 * h + 0.001 * d * d
            x = x - 0.1 * (v / (1 - 0.9 ** (t + 1))) / (np.sqrt(h / (1 - 0.999 ** (t + 1))) + 1e-8)
        else:
            d = g + 0.01 * x
            h = h + d * d
            x = x - 0.1 / (1 + t * 0.05) * d / (np.sqrt(h) + 1e-10)
    return x


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: gradwire.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: gradwire.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "nesterov": lambda p: gradwire.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: gradwire.optim.Adam(p, lr=0.1, weight_decay=0.01),
    "adamw": lambda p: gradwire.optim.AdamW(p, lr=0.1, weight_decay=0.01),
    "adagrad": lambda p: gradwire.optim.Adagrad(p, lr=0.1, lr_decay=0.05, weight_decay=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_follow_their_rules(session: Session, name: str) -> None:
    start, slope = np.array([1.0, -2.0, 3.0]), np.array([0.5, 1.0, -0.25])
    x = session.tensor(start, requires_grad=True)
    optimizer = OPTIMIZERS[name]([x])
    for _ in range(5):
        (x * slope).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_allclose(x.detach().numpy(), reference(name, 5, slope, start), rtol=1e-6)


def test_clipping(session: Session) -> None:
    slope = np.array([3.0, -4.0])
    for clip, moved in (({"clip_value": 1.0}, [-1.0, 1.0]), ({"clip_norm": 1.0}, [-0.6, 0.8])):
        x = session.tensor(np.zeros(2), requires_grad=True)
        (x * slope).sum().backward()
        gradwire.optim.SGD([x], lr=1.0, **clip).step()
        np.testing.assert_allclose(x.detach().numpy(), moved, rtol=1e-6)


def test_graphs_open_in_onnx_tools(session: Session) -> None:
    w = session.tensor(np.ones((3, 2)), np.float32, requires_grad=True, name="w")
    x = session.tensor(np.ones((4, 3)), np.float32, requires_grad=True, name="x")
    y = (x @ w).relu().sum(0)
    answer = session.get_graph(y)
    model = onnx.ModelProto.FromString(answer.model.SerializeToString())
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Relu", "ReduceSum"]
    assert {value.name for value in model.graph.input} >= {"w", "x"}
    assert answer.dot.startswith("digraph") and "MatMul" in answer.dot
    with pytest.raises(errors.NoGraph):
        session.get_graph(session.tensor([1.0]))


def test_a_session_is_saved_and_restored(client: Client, session: Session, tmp_path: Path) -> None:
    model = gradwire.load_model(session, linear_model(), name="net")
    session.put({"plain": np.arange(5, dtype=np.int64)})
    optimizer = gradwire.optim.Adam(model.parameters(), lr=0.1)
    x = np.ones((2, 3), np.float32)
    model(x).sum().backward()
    optimizer.step()
    session.flush()
    names = {info.name for info in session.list_tensors()}
    session.save(tmp_path)

    arrays = safetensors.numpy.load_file(tmp_path / "tensors.safetensors")
    assert set(arrays) == names
    np.testing.assert_array_equal(arrays["plain"], np.arange(5))
    saved = onnx.load(tmp_path / "programs" / "net.onnx")
    onnx.checker.check_model(saved)

    with client.session() as other:
        restored = other.restore(tmp_path)
        assert {info.name for info in restored.tensors} == names
        assert [info.program for info in restored.programs] == ["net"]
        for name in names:
            np.testing.assert_array_equal(other.fetch([name])[0], session.fetch([name])[0])
        np.testing.assert_array_equal(
            other.forward(program="net", feeds={"x": x}, fetch=["y"])[1][0],
            session.forward(program="net", feeds={"x": x}, fetch=["y"])[1][0],
        )


def test_some_tensors_are_saved(session: Session, tmp_path: Path) -> None:
    session.put({"a": np.zeros(2, np.float32), "b": np.ones(2, np.float32)})
    session.save(tmp_path, ["b"])
    assert list(safetensors.numpy.load_file(tmp_path / "tensors.safetensors")) == ["b"]


def test_the_server_says_its_version_without_listening(client: Client) -> None:
    ended = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"gradwire-server {client.server_info().version}\n"


def test_the_server_describes_itself(client: Client) -> None:
    info = client.server_info()
    assert info.version.count(".") == 2
    assert "cpu" in [device.name for device in info.devices]
    assert info.limits.max_message_bytes > 0 and info.limits.max_sessions > 0
    assert info.limits.default_lease.ToTimedelta().total_seconds() == 600
    assert info.max_opset_version >= 21
    rows = {(row.domain, row.op_type, row.since_version, row.device): row for row in info.operators}
    assert len(rows) == len(info.operators), "one row an operator, version and device"
    ops = {row.op_type for row in info.operators}
    assert {"Add", "MatMul", "Conv", "Softmax", "LayerNormalization", "SoftmaxCrossEntropyLoss"} <= ops
    for row in info.operators:
        assert row.data_types, row.op_type
        assert row.backward or not row.second_order, row.op_type
        assert row.backward == bool(row.backward_types), row.op_type
        assert row.second_order == bool(row.second_order_types), row.op_type
    matmul = [row for row in info.operators if row.op_type == "MatMul"]
    assert all({TensorProto.FLOAT, TensorProto.DOUBLE} <= set(row.data_types) for row in matmul)
    assert all(row.backward and row.second_order for row in matmul)


def test_opset_versions_are_respected(session: Session) -> None:
    session.put({"x": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)})
    old = commands.node("ReduceSum", ["x"], ["y"], {"axes": [0], "keepdims": 0})
    _, (y,) = session.forward([old], opset={"": 11}, fetch=["y"])
    assert y.tolist() == [4.0, 6.0]
    with pytest.raises(errors.InvalidArgument):
        session.forward([old], opset={"": 13}, fetch=["y"])
