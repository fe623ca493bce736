"""What a session promises: one round trip, all or nothing, safe retries, pipelines, leases, errors to switch on."""

from __future__ import annotations

import time
from typing import Any

import grpc
import numpy as np
import pytest

import gradwire
from gradwire import Client, Session, commands, errors
from gradwire import functional as F
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb


def test_a_training_step_is_one_round_trip(client: Client, session: Session) -> None:
    """At the size of the digits MLP: upload of the batch, forward, backward, step, and the loss back."""
    random = np.random.default_rng(0)
    params = []
    for fan_in, fan_out in ((64, 128), (128, 64), (64, 10)):
        weight = random.normal(scale=np.sqrt(2 / fan_in), size=(fan_out, fan_in))
        params.append(session.tensor(weight, np.float32, requires_grad=True))
        params.append(session.zeros(fan_out, requires_grad=True))
    optimizer = gradwire.optim.Adam(params, lr=1e-2)
    x, y = random.normal(size=(64, 64)).astype(np.float32), random.integers(0, 10, 64)
    losses = []
    for _ in range(20):
        before = client.rpc_count
        h = F.linear(x, params[0], params[1]).relu()
        h = F.linear(h, params[2], params[3]).relu()
        loss = F.cross_entropy(F.linear(h, params[4], params[5]), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        assert client.rpc_count == before + 1
    assert losses[-1] < 0.5 * losses[0]


def snapshot(session: Session) -> tuple[list[str], list[bytes]]:
    """All that can be seen of a session's tensors."""
    infos = session.list_tensors()
    arrays = session.fetch([info.name for info in infos])
    return [repr(info) for info in infos], [array.tobytes() for array in arrays]


def test_a_step_that_fails_in_its_fourth_command_changes_nothing(session: Session) -> None:
    session.put({"w": np.ones((3, 2), np.float32)}, requires_grad=True)
    session.put({"x": np.ones((4, 3), np.float32)})
    before = snapshot(session)
    with pytest.raises(errors.ShapeMismatch) as caught:
        session.run(
            [
                commands.put({"extra": np.zeros(5, np.float32)}),
                commands.forward([commands.node("MatMul", ["x", "w"], ["y"]), commands.node("ReduceSum", ["y"], ["s"], {"keepdims": 0})]),
                commands.backward(["s"]),
                commands.forward([commands.node("Relu", ["y"], ["r"]), commands.node("MatMul", ["r", "x"], ["z"], name="bad")]),
                commands.step(pb.Sgd(lr=0.1), ["w"]),
            ]
        )  # fmt: skip
    error = caught.value
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert (error.metadata["command"], error.metadata["node"]) == ("3", "1")
    assert (error.metadata["op"], error.metadata["node_name"]) == ("MatMul", "bad")
    for part in ("command 3", "node 1", "'bad'", "MatMul", "float32[4,2]", "float32[4,3]"):
        assert part in str(error)
    assert snapshot(session) == before


def test_a_lazy_step_that_fails_can_be_repaired(session: Session) -> None:
    w = session.tensor(np.ones((3, 2)), np.float32, requires_grad=True)
    x = session.tensor(np.ones((4, 3)), np.float32)
    good = (x @ w).sum()
    bad = x @ x
    with pytest.raises(errors.ShapeMismatch) as caught:
        bad.numpy()
    assert any(f"{__file__}:" in note for note in caught.value.__notes__)
    with pytest.raises(errors.NeverComputed):
        bad.sum()
    good.backward()
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.numpy(), np.full((3, 2), 4, np.float32))


def test_a_repeated_sequence_is_not_run_again(session: Session) -> None:
    session.put({"x": np.array([1.0], np.float32)})
    double = [commands.forward([commands.node("Add", ["x", "x"], ["x"])]), commands.fetch(["x"])]
    first = session.run(double, sequence=1000)
    again = session.run(double, sequence=1000)
    assert again == first
    assert session.fetch(["x"])[0].tolist() == [2.0]
    with pytest.raises(errors.SequenceReused) as caught:
        session.run([commands.delete(["x"])], sequence=1000)
    assert caught.value.code == grpc.StatusCode.ALREADY_EXISTS


def test_pipeline_replies_in_order(session: Session) -> None:
    with session.pipeline() as pipeline:
        pipeline.send(commands.put({"x": np.arange(3, dtype=np.float32)}))
        for _ in range(50):
            pipeline.send(commands.forward([commands.node("Add", ["x", "x"], ["x"])], no_grad=True))
            pipeline.send(commands.forward([commands.node("Mul", ["x", "h"], ["x"])], feeds={"h": np.float32(0.5)}))
        reply = pipeline.send(commands.fetch(["x"]))
        response: pb.FetchResponse = reply.result()
    assert gradwire.dtypes.from_proto(response.tensors[0]).tolist() == [0.0, 1.0, 2.0]


def test_a_failed_command_poisons_what_it_would_have_bound(session: Session) -> None:
    with session.pipeline() as pipeline:
        pipeline.send(commands.put({"x": np.ones((2, 3), np.float32)}))
        bad = pipeline.send(commands.forward([commands.node("MatMul", ["x", "x"], ["y"])]))
        dependent = pipeline.send(commands.forward([commands.node("Relu", ["y"], ["z"])]))
        unrelated = pipeline.send(commands.fetch(["x"]))
        with pytest.raises(errors.ShapeMismatch):
            bad.result()
        with pytest.raises(errors.DependencyFailed, match="y"):
            dependent.result()
        unrelated.result()
        pipeline.send(commands.put({"y": np.ones(1, np.float32)}))
        pipeline.send(commands.forward([commands.node("Relu", ["y"], ["z"])])).result()


def test_a_lease_expires(client: Client) -> None:
    session = client.session(lease=1.0)
    session.put({"x": np.zeros(1, np.float32)})
    assert session.keep_alive() == pytest.approx(1.0)
    deadline = time.monotonic() + 30
    with pytest.raises(errors.SessionExpired):
        while time.monotonic() < deadline:
            time.sleep(1.5)
            session.describe()


def test_sessions_are_isolated(client: Client, session: Session) -> None:
    session.put({"x": np.zeros(1, np.float32)})
    with client.session() as other, pytest.raises(errors.TensorNotFound) as caught:
        other.fetch(["x"])
    assert caught.value.metadata["tensor"] == "x"
    with pytest.raises(KeyError):
        other.describe()


def test_what_a_gpu_may_do_is_without_effect_on_a_cpu(client: Client) -> None:
    x = np.random.default_rng(0).standard_normal((64, 64), np.float32)
    allowed = client.session(allow_tf32=True, allow_half_sums=True, allow_nondeterministic=True)
    with client.session() as exact, allowed:
        products = [session.tensor(x) @ session.tensor(x) for session in (exact, allowed)]
        np.testing.assert_array_equal(*(product.numpy() for product in products))


def test_same_seed_same_numbers(client: Client) -> None:
    def draw() -> Any:
        with client.session(seed=3) as session:
            return session.randn(5).numpy()

    np.testing.assert_array_equal(draw(), draw())


def test_a_quota_is_kept(client: Client) -> None:
    with client.session(max_bytes=1 << 20) as session:
        with pytest.raises(errors.QuotaExceeded) as caught:
            session.put({"x": np.zeros(1 << 20, np.float32)})
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert {"limit", "used", "requested"} <= set(caught.value.metadata)
        assert session.list_tensors() == []


def test_errors_have_reasons(client: Client, session: Session) -> None:
    session.put({"f": np.ones(2, np.float32), "d": np.ones(2, np.float64)})
    cases: list[tuple[type[errors.GradwireError], list[Any]]] = [
        (errors.OpUnsupported, [commands.forward([commands.node("NoSuchOp", ["f"], ["y"])])]),
        (errors.DtypeMismatch, [commands.forward([commands.node("Add", ["f", "d"], ["y"])])]),
        (errors.TensorNotFound, [commands.fetch(["missing"])]),
        (errors.ProgramNotFound, [commands.forward(program="missing")]),
        (errors.NoGraph, [commands.backward(["f"])]),
        (errors.InvalidArgument, [commands.forward([commands.node("Softmax", ["f"], ["y"], {"axis": 7})])]),
    ]
    for kind, request in cases:
        with pytest.raises(kind) as caught:
            session.run(request)
        assert caught.value.reason
    with pytest.raises(errors.DeviceNotFound, match="cpu"):
        client.session("cuda:77")


def test_names_die_with_their_objects(session: Session) -> None:
    x = session.tensor(np.ones(4), np.float32, requires_grad=True)
    optimizer = gradwire.optim.Adam([x])
    for _ in range(3):
        loss = (x * x).sum()
        loss.backward()
        optimizer.step()
        loss.item()
    assert {info.name for info in session.list_tensors()} >= {x.name, f"grad/{x.name}", f"optim/{x.name}/v"}
    del x, loss, optimizer
    session.flush()
    assert session.list_tensors() == []
    assert session.describe().used_bytes == 0
