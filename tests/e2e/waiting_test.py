"""Commands that wait behind others, and an orderly end of the server while they do."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import gradwire
from conftest import server_binary
from gradwire import commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.testing import Server

CALL_S = 30


def chain(length: int) -> list[object]:
    """Cosines, each of the one before and in its place: the last is "q". Once it runs, it takes no more memory."""
    ends = ["m", *(f"q{i}" for i in range(1, length)), "q"]
    return [commands.node("Cos", [ends[i]], [ends[i + 1]]) for i in range(length)]


def slow_forward(seconds: float, session: gradwire.Session) -> pb.ForwardRequest:
    """A command that takes about so long."""
    session.put({"m": np.random.default_rng(0).normal(size=(400, 400))})
    session.run([commands.forward(chain(20), outputs=["q"])])
    began = time.monotonic()
    session.run([commands.forward(chain(20), outputs=["q"])])
    length = int(seconds / ((time.monotonic() - began) / 20)) + 1
    return commands.forward(chain(length), outputs=["q"])


def test_what_waits_counts_as_memory() -> None:
    with Server(server_binary()) as server, gradwire.connect(server.target, timeout=CALL_S, attempts=1) as client:
        with client.session(max_bytes=12 << 20) as session:
            slow = slow_forward(2, session)
            used = session.describe().used_bytes
            session.put({"small": np.zeros(1)})
            stubs = {
                name: client.channel.unary_unary(
                    f"/gradwire.v1.Gradwire/{name}",
                    getattr(pb, f"{name}Request").SerializeToString,
                    getattr(pb, f"{name}Response").FromString,
                )
                for name in ("Forward", "Put", "Delete")
            }
            slow.session_id = session.id
            running = stubs["Forward"].future(slow, timeout=CALL_S)
            time.sleep(0.2)
            put = commands.put({"x": np.zeros(1 << 20, np.uint8)})
            put.session_id = session.id
            waiting = [stubs["Put"].future(put, timeout=CALL_S) for _ in range(10)]
            small = stubs["Delete"].future(pb.DeleteRequest(session_id=session.id, names=["small"]), timeout=CALL_S)
            refused = [errors.from_rpc_error(call.exception()) for call in waiting if call.exception() is not None]
            assert 1 <= len(refused) < 10
            assert all(isinstance(error, errors.QuotaExceeded) for error in refused)
            assert all(error.metadata["quota"] == "max_session_bytes" for error in refused)
            assert running.exception() is None and small.exception() is None
            session.delete(["x"])
            assert session.describe().used_bytes == used


def test_a_sessions_queue_is_bounded() -> None:
    with Server(server_binary(), ["--max_session_queued=3"]) as server:
        with gradwire.connect(server.target, timeout=CALL_S, attempts=1) as client, client.session() as session:
            slow = slow_forward(2, session)
            stub = client.channel.unary_unary(
                "/gradwire.v1.Gradwire/Forward", pb.ForwardRequest.SerializeToString, pb.ForwardResponse.FromString
            )
            slow.session_id = session.id
            running = stub.future(slow, timeout=CALL_S)
            time.sleep(0.2)
            quick = pb.ForwardRequest(session_id=session.id, nodes=[commands.node("Neg", ["m"], ["n"])])
            waiting = [stub.future(quick, timeout=CALL_S) for _ in range(8)]
            refused = [errors.from_rpc_error(call.exception()) for call in waiting if call.exception() is not None]
            assert len(refused) == 5
            assert all(isinstance(error, errors.QuotaExceeded) and error.metadata["limit"] == "3" for error in refused)
            assert running.exception() is None
            # A pipeline waits instead.
            with session.pipeline() as pipeline:
                replies = [pipeline.send(commands.forward([commands.node("Neg", ["m"], ["m"])])) for _ in range(50)]
            assert all(reply.result() is not None for reply in replies)


# ---------------------------------------------------------------- the end


def test_sigterm_drains() -> None:
    """Health turns, new sessions are refused with a hint, what runs finishes, and the server ends well."""
    with Server(server_binary(), ["--grace=20s", "--drain_delay=1s", "--health_port=0"]) as server:
        with gradwire.connect(server.target, timeout=CALL_S, attempts=1) as client:
            session = client.session()
            slow = slow_forward(3, session)
            health = health_pb2_grpc.HealthStub(client.channel)  # type: ignore[no-untyped-call]
            results: list[object] = []
            thread = threading.Thread(target=lambda: results.append(session.run([slow])))
            thread.start()
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(errors.Unavailable) as caught:
                client.session()
            assert (caught.value.reason, caught.value.retry_after) == ("SHUTTING_DOWN", 1.0)
            thread.join(CALL_S)
            assert len(results) == 1
            assert server.process.wait(CALL_S) == 0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_health_can_be_watched() -> None:
    """At both listeners."""
    status = health_pb2.HealthCheckResponse
    port = free_port()
    with Server(server_binary(), ["--drain_delay=1s", f"--health_port={port}"]) as server:
        watched = []
        for target in (server.target, f"127.0.0.1:{port}"):
            health = health_pb2_grpc.HealthStub(grpc.insecure_channel(target))  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError) as caught:
                health.Check(health_pb2.HealthCheckRequest(service="unheard-of"), timeout=CALL_S)
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
            unknown = health.Watch(health_pb2.HealthCheckRequest(service="unheard-of"), timeout=CALL_S)
            assert next(unknown).status == status.SERVICE_UNKNOWN
            unknown.cancel()
            watched.append(health.Watch(health_pb2.HealthCheckRequest(), timeout=CALL_S))
            assert next(watched[-1]).status == status.SERVING
        server.process.send_signal(signal.SIGTERM)
        for answers in watched:
            assert next(answers).status == status.NOT_SERVING
            answers.cancel()
        assert server.process.wait(CALL_S) == 0


def test_what_does_not_finish_is_cancelled_within_the_grace_period() -> None:
    with Server(server_binary(), ["--grace=2s"]) as server:
        with gradwire.connect(server.target, timeout=CALL_S, attempts=1) as client:
            session = client.session()
            slow = slow_forward(60, session)
            thread = threading.Thread(target=lambda: pytest.raises(errors.GradwireError, session.run, [slow]))
            thread.start()
            time.sleep(0.5)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(CALL_S) == 0
            assert time.monotonic() - began < 10
            thread.join(CALL_S)


def test_the_probe_tells_whether_a_server_serves() -> None:
    def probe(target: str) -> int:
        return subprocess.run([str(server_binary()), f"--probe={target}"], capture_output=True, timeout=CALL_S).returncode

    with Server(server_binary()) as server:
        target = server.target
        assert probe(target) == 0
    assert probe(target) == 1


def test_a_server_that_polled_for_small_calls_sleeps_when_none_comes() -> None:
    with Server(server_binary()) as server, gradwire.connect(server.target, timeout=CALL_S) as client, client.session() as session:
        session.put({"x": np.ones(4, np.float32)})
        clock = (~server.process.pid << 3) | 2  # clock_getcpuclockid(3)
        for _ in range(200):
            session.fetch(["x"])
        before = time.clock_gettime(clock)
        time.sleep(1)
        assert time.clock_gettime(clock) - before < 0.2
        np.testing.assert_array_equal(session.fetch(["x"])[0], np.ones(4, np.float32))
