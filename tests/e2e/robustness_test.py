"""Bad input gets a clear error, nothing is lost, and the server lives on.

Broken requests are drawn from a seed, which is printed. GRADWIRE_FUZZ_REQUESTS sends more than the usual number and
GRADWIRE_FUZZ_SEED draws others.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import gradwire
from conftest import ROOT, server_binary
from gradwire import Client, Session, commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.testing import Server
from mutations import Case, Mutator, cases

REQUESTS = int(os.environ.get("GRADWIRE_FUZZ_REQUESTS", "10000"))
SEED = int(os.environ.get("GRADWIRE_FUZZ_SEED", "0"))
CALL_S = 60
QUOTA = 64 << 20
REASONS = {
    "INVALID_ARGUMENT", "SHAPE_MISMATCH", "DTYPE_MISMATCH", "OP_UNSUPPORTED", "TENSOR_NOT_FOUND", "INVALID_MODEL", "NO_GRAPH",
    "NOT_DIFFERENTIABLE", "GRAPH_FREED", "QUOTA_EXCEEDED", "OUT_OF_MEMORY",
}  # fmt: skip


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server of this module's own: others go on when it dies."""
    with Server(server_binary()) as running:
        yield running


@pytest.fixture(scope="module")
def own_client(own_server: Server) -> Iterator[Client]:
    with gradwire.connect(own_server.target, timeout=CALL_S) as connection:
        yield connection


def corpus() -> list[Case]:
    names = (ROOT / "tests" / "conformance" / "onnx_passing.txt").read_text().split()
    return cases(sorted({re.sub("_cpu$", "", name) for name in names}))


def assert_sound(client: Client) -> None:
    """The server is healthy and still computes right."""
    health = health_pb2_grpc.HealthStub(client.channel)  # type: ignore[no-untyped-call]
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    with client.session() as session:
        session.put({"a": a}, requires_grad=True)
        nodes = [commands.node("MatMul", ["a", "b"], ["c"]), commands.node("ReduceSum", ["c"], ["s"], {"keepdims": 0})]
        session.put({"b": np.ones((4, 2), np.float32)})
        session.run([commands.forward(nodes), commands.backward(["s"])])
        c, gradient = session.fetch(["c", "grad/a"])
        np.testing.assert_array_equal(c, a @ np.ones((4, 2), np.float32))
        np.testing.assert_array_equal(gradient, np.full((3, 4), 2, np.float32))


def test_broken_requests_get_clear_errors(own_server: Server, own_client: Client) -> None:
    seed = SEED
    operators = sorted({(op.domain, op.op_type) for op in own_client.server_info().operators})
    session = own_client.session(max_bytes=QUOTA, seed=0)
    session.put({"kept": np.arange(5)})
    print(f"seed {seed}, {REQUESTS} requests")
    requests = Mutator(seed, corpus(), operators).requests(session.id)
    outcomes: dict[str, int] = {}
    slowest: tuple[float, str, Any] = (0, "", None)
    for count, (name, request) in enumerate(itertools.islice(requests, REQUESTS), start=1):
        outcome = "OK"
        began = time.monotonic()
        try:
            own_client.unary("Run", request, session.id)
        except errors.GradwireError as error:
            outcome = error.reason
            described = f"seed {seed}, request {count} ({name}): {error.code} {error.reason!r}: {error.message}\n{request}"
            assert own_server.process.poll() is None, f"the server is dead\n{described}\n{own_server.log()}"
            assert outcome in REASONS, described
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        slowest = max(slowest, (time.monotonic() - began, f"request {count} ({name})", request), key=lambda entry: entry[0])
    print(f"{outcomes}\nthe slowest took {slowest[0]:.2f} s: {slowest[1]}\n{slowest[2]}")
    assert outcomes.get("OK", 0) > REQUESTS // 20, "the mutations break nearly everything: they prove little"
    assert session.fetch(["kept"])[0].tolist() == list(range(5))
    session.close()
    assert_sound(own_client)


def refusal(client: Client, session: gradwire.Session, nodes: list[Any], feeds: dict[str, Any], fetch: str = "y") -> str:
    """The reason why the server refuses a Forward."""
    with pytest.raises(errors.GradwireError) as caught:
        session.forward(nodes, feeds=feeds, fetch=[fetch])
    assert caught.value.code != grpc.StatusCode.INTERNAL, caught.value.message
    return caught.value.reason


@pytest.mark.parametrize("extents", [[1 << 59], [1 << 31, 1 << 31], [1 << 40], [1 << 45, 0, 1 << 45], [-1], [1] * 65])
def test_absurd_sizes_are_refused_without_a_quota(own_client: Client, extents: list[int]) -> None:
    shape = np.array(extents, np.int64)
    with own_client.session() as session:
        session.put({"kept": np.arange(3)})
        node = commands.node("ConstantOfShape", ["s"], ["y"])
        reduced = commands.node("ReduceSum", ["y"], ["z"], {"keepdims": 0})
        reason = refusal(own_client, session, [node, reduced], {"s": shape}, "z")
        assert reason in ("INVALID_ARGUMENT", "OUT_OF_MEMORY")
        assert session.fetch(["kept"])[0].tolist() == [0, 1, 2]
    assert_sound(own_client)


def test_an_answer_that_fits_no_message_is_refused(own_client: Client) -> None:
    with own_client.session() as session:
        node = commands.node("ConstantOfShape", ["s"], ["y"])
        assert refusal(own_client, session, [node], {"s": np.array([1 << 29], np.int64)}) == "INVALID_ARGUMENT"


def test_a_long_error_is_shortened(own_client: Client) -> None:
    """A status is metadata, of which gRPC takes 8 KiB: past that, the reason would be lost."""
    with own_client.session() as session:
        node = commands.node("Col2Im", ["x", "image", "block"], ["y"])
        feeds = {"x": np.ones((1, 1, 1), np.float32), "image": np.arange(5000), "block": np.ones(2, np.int64)}
        assert refusal(own_client, session, [node], feeds) == "INVALID_ARGUMENT"


def test_a_table_too_large_is_refused_at_once(own_client: Client) -> None:
    """Deadlines hold between operators: what one of them computes while tracing must be bounded."""
    with own_client.session(max_bytes=QUOTA) as session:
        huge = {"n": np.array(1 << 36)}
        nodes = [commands.node("HammingWindow", ["n"], ["w"]), commands.node("ReduceSum", ["w"], ["y"])]
        assert refusal(own_client, session, nodes, huge) == "QUOTA_EXCEEDED"
        mel = {"n": np.array(8), "l": np.array(1 << 36), "r": np.array(16000), "f": np.array(0.0), "g": np.array(8000.0)}
        node = commands.node("MelWeightMatrix", ["n", "l", "r", "f", "g"], ["y"])
        assert refusal(own_client, session, [node], mel) == "INVALID_ARGUMENT"


def test_names_are_utf_8_and_errors_too(own_client: Client) -> None:
    node = onnx_pb2.NodeProto.FromString(b"\x0a\x01x\x12\x02\xff\xfe\x22\x04Relu")
    unknown = onnx_pb2.NodeProto.FromString(b"\x0a\x01x\x12\x01y\x22\x03\xff\x00R")
    with own_client.session() as session:
        session.put({"x": np.ones(2, np.float32)})
        for nodes in ([node], [unknown]):
            request = pb.ForwardRequest(session_id=session.id, nodes=nodes)
            with pytest.raises(errors.GradwireError) as caught:
                own_client.unary("Forward", request)
            assert caught.value.reason in ("INVALID_ARGUMENT", "OP_UNSUPPORTED")
        assert [info.name for info in session.list_tensors()] == ["x"]


def test_a_lease_beyond_all_numbers_is_refused(own_client: Client) -> None:
    for seconds in (1 << 62, -(1 << 62)):
        request = pb.OpenSessionRequest()
        request.lease.seconds = seconds
        with pytest.raises(errors.InvalidArgument):
            own_client.unary("OpenSession", request)


def test_a_deep_graph_overflows_no_stack(own_client: Client) -> None:
    depth = 50_000
    nodes = [commands.node("Neg", [f"n{i}" if i else "x"], [f"n{i + 1}"]) for i in range(depth)]
    with own_client.session() as session:
        session.put({"x": np.float32(3)}, requires_grad=True)
        session.run([commands.forward(nodes, outputs=["n50000"]), commands.backward(["n50000"])])
        value, gradient = session.fetch(["n50000", "grad/x"])
        assert (value, gradient) == (3, 1)
    assert_sound(own_client)


def test_a_put_stream_whose_client_dies_binds_nothing(own_client: Client) -> None:
    """Whole tensors came, but the client never said that this was all."""
    put_stream = own_client.channel.stream_unary("/gradwire.v1.Gradwire/PutStream", pb.PutChunk.SerializeToString)
    with own_client.session() as session:
        for i in range(50):
            sent = threading.Event()

            def chunks(name: str, sent: threading.Event) -> Iterator[pb.PutChunk]:
                spec = pb.TensorSpec(data_type=1, dims=[4])
                yield pb.PutChunk(session_id=session.id, name=name, spec=spec, data=bytes(16))
                sent.wait()

            call = put_stream.future(chunks(f"t{i}", sent))
            time.sleep(0.005)
            call.cancel()
            sent.set()
        time.sleep(0.2)
        assert session.list_tensors() == []


def test_a_pipeline_ends_with_its_session(own_client: Client) -> None:
    session = own_client.session()
    closed = threading.Event()

    def requests() -> Iterator[pb.PipelineRequest]:
        put = pb.PutRequest(tensors=[onnx_pb2.TensorProto(name="a", data_type=1, dims=[0], raw_data=b"")])
        yield pb.PipelineRequest(session_id=session.id, sequence=1, command=pb.Command(put=put))
        closed.wait()
        yield pb.PipelineRequest(session_id=session.id, sequence=2, command=pb.Command(put=put))

    answers = own_client.receive_stream("Pipeline", requests())
    assert next(answers).sequence == 1
    own_client.unary("CloseSession", pb.CloseSessionRequest(session_id=session.id))
    closed.set()
    with pytest.raises(errors.SessionNotFound):
        next(answers)


@pytest.mark.parametrize(
    "attributes",
    [
        {"axis": 1, "shape": [4, 3, 3]},
        {"axis": 0, "shape": [1, 1]},
        {"axis": 0, "shape": [4, 1 << 62]},
        {"axis": 7, "shape": [5]},
        {"shape": [-4, 4]},
        {"shape": []},
        {"shape": [1 << 62], "batch_dims": 1},
    ],
)
def test_indices_that_fit_no_target_are_refused(session: Session, attributes: dict[str, Any]) -> None:
    """Rows of gradwire's own domain can be called, too: this one wrote outside of its memory."""
    session.put({"i": np.ones(4, np.int64)})
    node = commands.node("IsLastWrite", ["i"], ["y"], attributes, domain="gradwire")
    with pytest.raises((errors.ShapeMismatch, errors.InvalidArgument)):
        session.run([commands.forward([node])])
    node = commands.node("IsLastWrite", ["i"], ["y"], {"axis": 0, "shape": [4]}, domain="gradwire")
    (answer,) = session.run([commands.forward([node], fetch=["y"])])
    assert list(answer.fetched[0].raw_data) == [0, 0, 0, 1]


@pytest.mark.parametrize("axis", [-(1 << 62), (1 << 62), 50, -7, (1 << 63) - 1, -(1 << 63)])
def test_axes_from_nowhere_are_refused_at_once(session: Session, axis: int) -> None:
    """Found by the fuzz target operators: shapes were padded up to such an axis, for ever."""
    session.put({"x": np.ones((2, 3), np.float32), "s": np.ones(3, np.float32)})
    add = commands.node("Add", ["x", "s"], ["y"], {"broadcast": 1, "axis": axis})
    with pytest.raises(errors.ShapeMismatch):
        session.run([commands.forward([add], opset={"": 6})])
    for inputs in (["x"], ["x", "s"], ["x", "s", "s"]):
        norm = commands.node("LayerNorm", inputs, ["y"], {"axis": axis, "center": 1, "epsilon": 1e-5}, domain="gradwire")
        with pytest.raises(errors.InvalidArgument, match="axis is"):
            session.run([commands.forward([norm])])
        grad = commands.node("LayerNormGrad", ["x", "x", "x", "x"], ["y"], {"axis": axis, "center": 1}, domain="gradwire")
        with pytest.raises(errors.InvalidArgument, match="axis is"):
            session.run([commands.forward([grad])])
