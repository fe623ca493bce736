"""Metrics in Prometheus's form, and the log of calls."""

from __future__ import annotations

import datetime
import json
import re
import signal
import time
import urllib.request
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

import gradwire
from conftest import server_binary
from gradwire import commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.testing import Server

CALL_S = 30
# A call has ended, and is counted, a moment after its answer has come.
SETTLE_S = 0.3
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([-+.\w]+)$")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Metered(Server):
    """A server that also says where its metrics are."""

    metrics = ""

    def _listening(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("metrics on "):
                self.metrics = line.split()[2]
            if line.startswith("listening on "):
                return line.split()[2]
        raise RuntimeError(f"the server ended before it listened:\n{self.log()}")

    def log(self) -> str:
        time.sleep(SETTLE_S)
        return super().log()

    def text(self) -> str:
        time.sleep(SETTLE_S)
        with urllib.request.urlopen(self.metrics, timeout=CALL_S) as answer:
            return str(answer.read().decode())

    def samples(self) -> Samples:
        found: Samples = {}
        for line in self.text().splitlines():
            if not line.startswith("#") and line:
                match = SAMPLE.match(line)
                assert match is not None, line
                labels = re.findall(r'(\w+)="([^"]*)"', match.group(2) or "")
                found[match.group(1), frozenset(labels)] = float(match.group(3))
        return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0)


@pytest.fixture(scope="module")
def metered() -> Iterator[Metered]:
    with Metered(server_binary(), ["--metrics_port=0", "--log_calls"]) as running:
        yield running


@pytest.fixture
def connection(metered: Metered) -> Iterator[gradwire.Client]:
    with gradwire.connect(metered.target, timeout=CALL_S) as client:
        yield client


def test_calls_are_counted_by_verb_and_code(metered: Metered, connection: gradwire.Client) -> None:
    before = metered.samples()
    with connection.session(max_bytes=1 << 20) as session:
        for _ in range(5):
            session.put({"x": np.zeros(1000, np.uint8)})
        with pytest.raises(errors.TensorNotFound):
            session.fetch(["missing"])
        with pytest.raises(errors.QuotaExceeded):
            session.put({"y": np.zeros(2 << 20, np.uint8)})
    after = metered.samples()

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("gradwire_calls_total", verb="OpenSession", code="OK") == 1
    assert grown("gradwire_calls_total", verb="Put", code="OK") == 5
    assert grown("gradwire_calls_total", verb="Put", code="RESOURCE_EXHAUSTED") == 1
    assert grown("gradwire_calls_total", verb="Fetch", code="NOT_FOUND") == 1
    assert grown("gradwire_errors_total", reason="TENSOR_NOT_FOUND") == 1
    assert grown("gradwire_errors_total", reason="QUOTA_EXCEEDED") == 1
    assert grown("gradwire_quota_refusals_total", quota="max_session_bytes") == 1
    assert grown("gradwire_call_seconds_count", verb="Put") == 6
    for phase in ("queue", "decode", "compute", "encode", "send", "receive"):
        assert grown("gradwire_phase_seconds_count", phase=phase) >= 5, phase
    assert 2 << 20 < grown("gradwire_message_bytes_total", direction="received") < 3 << 20


def test_errors_in_pipelines_are_counted(metered: Metered, connection: gradwire.Client) -> None:
    before = metered.samples()
    with connection.session(max_bytes=1 << 20) as session, session.pipeline() as pipeline:
        missing = pipeline.send(commands.forward([commands.node("Neg", ["missing"], ["n"])]))
        dependent = pipeline.send(commands.fetch(["n"]))
        large = pipeline.send(commands.put({"y": np.zeros(2 << 20, np.uint8)}))
        for reply in (missing, dependent, large):
            with pytest.raises(errors.GradwireError):
                reply.result()
    after = metered.samples()
    for reason in ("TENSOR_NOT_FOUND", "DEPENDENCY_FAILED", "QUOTA_EXCEEDED"):
        assert value(after, "gradwire_errors_total", reason=reason) - value(before, "gradwire_errors_total", reason=reason) == 1
    refusals = [value(s, "gradwire_quota_refusals_total", quota="max_session_bytes") for s in (before, after)]
    assert refusals[1] - refusals[0] == 1
    calls = [value(s, "gradwire_calls_total", verb="Pipeline", code="OK") for s in (before, after)]
    assert calls[1] - calls[0] == 1, "the stream itself went well"


def test_streams_count_their_bytes(metered: Metered, connection: gradwire.Client) -> None:
    before = metered.samples()
    with connection.session() as session:
        session.put_stream({"x": np.zeros(5 << 20, np.uint8)})
        session.fetch_stream(["x"])
        with session.pipeline() as pipeline:
            pipeline.send(commands.fetch(["x"])).result()
    after = metered.samples()
    for direction, count in (("received", 1), ("sent", 2)):
        name = "gradwire_message_bytes_total"
        grown = value(after, name, direction=direction) - value(before, name, direction=direction)
        assert count * (5 << 20) < grown < count * (6 << 20)


def test_what_is_held_is_there_and_goes(metered: Metered, connection: gradwire.Client) -> None:
    before = metered.samples()
    session = connection.session()
    session.put({"a": np.zeros(1 << 20, np.uint8), "b": np.zeros(1, np.uint8)})
    during = metered.samples()
    session.close()
    after = metered.samples()
    for name, grown in (("gradwire_sessions", 1), ("gradwire_tensors", 2)):
        labels = {"tenant": "", "device": "cpu"}
        assert value(during, name, **labels) - value(before, name, **labels) == grown
        assert value(after, name, **labels) == value(before, name, **labels)
    assert value(during, "gradwire_live_bytes", device="cpu") - value(before, "gradwire_live_bytes", device="cpu") >= 1 << 20
    assert value(during, "gradwire_tenant_bytes", tenant="") >= 1 << 20
    assert value(after, "gradwire_live_bytes", device="cpu") == value(before, "gradwire_live_bytes", device="cpu")
    assert value(after, "gradwire_pooled_bytes", device="cpu") >= 1 << 20


def test_large_memory_that_nobody_wants_goes_back(metered: Metered, connection: gradwire.Client) -> None:
    with connection.session() as session:
        session.put({"a": np.zeros(8 << 20, np.uint8)})
    pooled = [value(metered.samples(), "gradwire_pooled_bytes", device="cpu")]
    until = time.monotonic() + CALL_S
    while pooled[-1] > pooled[0] - (8 << 20) and time.monotonic() < until:
        time.sleep(0.5)
        pooled.append(value(metered.samples(), "gradwire_pooled_bytes", device="cpu"))
    assert pooled[0] >= 8 << 20
    assert pooled[-1] <= pooled[0] - (8 << 20)


def test_a_training_loop_takes_no_new_memory(metered: Metered, connection: gradwire.Client) -> None:
    forward = commands.forward([commands.node("MatMul", ["x", "w"], ["y"]), commands.node("ReduceMean", ["y"], ["loss"])])
    commands_of_a_step = [forward, commands.backward(["loss"]), pb.StepRequest(zero_grad=True, adam=pb.Adam(lr=1e-3))]

    def allocations() -> float:
        return value(metered.samples(), "gradwire_system_allocations_total", device="cpu")

    with connection.session() as session:
        start = allocations()
        session.put({"x": np.ones((300, 400), np.float32)})
        session.put({"w": np.ones((400, 500), np.float32)}, requires_grad=True)
        for _ in range(10):
            session.run(commands_of_a_step)
        settled = allocations()
        for _ in range(50):
            session.run(commands_of_a_step)
        assert start < settled == allocations()
        assert [device.system_allocations for device in connection.server_info().devices] == [settled]


def test_operators_are_timed(metered: Metered, connection: gradwire.Client) -> None:
    with connection.session() as session:
        session.put({"m": np.ones((300, 300), np.float32)})
        session.run([commands.forward([commands.node("MatMul", ["m", "m"], ["p"])])])
    samples = metered.samples()
    runs = {dict(labels)["op"]: count for (name, labels), count in samples.items() if name == "gradwire_op_runs_total"}
    seconds = {dict(labels)["op"]: time for (name, labels), time in samples.items() if name == "gradwire_op_seconds_total"}
    assert runs["MatMul"] >= 1 and 0 < seconds["MatMul"] < CALL_S


def test_the_log_names_session_request_and_trace(metered: Metered, connection: gradwire.Client) -> None:
    with connection.session() as session:
        call = connection.channel.unary_unary(
            "/gradwire.v1.Gradwire/Fetch", pb.FetchRequest.SerializeToString, pb.FetchResponse.FromString
        )
        metadata = [
            ("gradwire-session", session.id),
            ("x-request-id", 'r"1'),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ]
        call(pb.FetchRequest(session_id=session.id), timeout=CALL_S, metadata=metadata)
        call(pb.FetchRequest(session_id=session.id), timeout=CALL_S, metadata=[("traceparent", "00-zz-1"), ("x-request-id", "2")])
        with pytest.raises(errors.TensorNotFound):
            session.fetch(["missing"])
    lines = [json.loads(line.split(" call ", 1)[1]) for line in metered.log().splitlines() if " call {" in line]
    by_request = {line.get("request_id"): line for line in lines}
    traced = by_request['r"1']
    assert (traced["verb"], traced["code"], traced["session_id"]) == ("Fetch", "OK", session.id)
    assert (traced["trace_id"], traced["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert 0 < traced["seconds"] < CALL_S
    assert "trace_id" not in by_request["2"] and "session_id" not in by_request["2"]
    (failed,) = (line for line in lines if line.get("session_id") == session.id and line["code"] != "OK")
    assert (failed["code"], failed["reason"]) == ("NOT_FOUND", "TENSOR_NOT_FOUND") and "missing" in failed["error"]


def test_a_log_of_json_lines() -> None:
    with Metered(server_binary(), ["--metrics_port=0", "--log_calls", "--log_format=json"]) as server:
        with gradwire.connect(server.target, timeout=CALL_S) as client, client.session() as session:
            with pytest.raises(errors.TensorNotFound):
                session.fetch(['mis"sing\n'])
            raw = client.channel.unary_unary("/gradwire.v1.Gradwire/Fetch")
            with pytest.raises(grpc.RpcError):
                raw(b"\x0a\x02\xff\xfe", timeout=CALL_S)  # not UTF-8: Protocol Buffers would say so on stderr
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(CALL_S)
        lines = [json.loads(line) for line in server.log().splitlines()]
    for line in lines:
        assert line["level"] in ("info", "warning") and line["message"]
        assert abs(datetime.datetime.fromisoformat(line["time"]).timestamp() - time.time()) < CALL_S
    calls = [line for line in lines if line["message"] == "call"]
    assert [line["verb"] for line in calls][:2] == ["OpenSession", "Fetch"]
    assert calls[1]["session_id"] == session.id and calls[1]["code"] == "NOT_FOUND" and 'mis"sing\n' in calls[1]["error"]
    assert any("running calls may finish" in line["message"] for line in lines)


def test_a_log_of_another_form_is_refused() -> None:
    with pytest.raises(RuntimeError, match="text or json"):
        Server(server_binary(), ["--log_format=xml"])


def test_metrics_need_a_free_port(metered: Metered) -> None:
    port = metered.metrics.split(":")[2].split("/")[0]
    with pytest.raises(RuntimeError, match="metrics cannot be served"):
        Server(server_binary(), [f"--metrics_port={port}"])
