"""Small calls: an empty one, and a Forward that adds four floats, against raw gRPC. Both sides are called by the same
client, which sends bytes and knows no meaning (raw/calls.cc)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import gradwire
from gradwire import commands
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.testing import Server
from measure import Metric, Row, rows_of, sampled
from report import Result
from setting import RawClient, Setting, cpu_seconds, listening_flags

Sample = Callable[[], Mapping[str, float]]
OURS, RAW = "/gradwire.v1.Gradwire/", "/gradwire.bench.Raw/"
CALLS = 2000
CALLS_IN_FLIGHT = 10000
IN_FLIGHT = 64


def sample(client: RawClient, server: Server, number: int, **measurement: Any) -> Sample:
    def take() -> Mapping[str, float]:
        before = cpu_seconds(server.pid)
        found = client(**measurement)
        cpu = cpu_seconds(server.pid) - before
        group = found["groups"][0] if "groups" in found else found
        return {
            "p50, us": group["p50"] * 1e6,
            "p99, us": group["p99"] * 1e6,
            "calls a second": number / found["seconds"],
            "server CPU, us a call": cpu / number * 1e6,
            "client CPU, us a call": found["cpu"] / number * 1e6,
        }

    return take


def unary(client: RawClient, server: Server, method: str, request: bytes, in_flight: int = 1) -> Sample:
    calls = CALLS if in_flight == 1 else CALLS_IN_FLIGHT
    group = {"target": server.target, "method": method, "requests": [request.hex()], "in_flight": in_flight}
    return sample(client, server, calls, do="calls", groups=[group], calls=calls)


def stream(client: RawClient, server: Server, method: str, first: bytes, request: bytes) -> Sample:
    return sample(
        client, server, CALLS_IN_FLIGHT, do="stream", target=server.target, method=method, first=first.hex(),
        request=request.hex(), count=CALLS_IN_FLIGHT, window=IN_FLIGHT,
    )  # fmt: skip


def forward(session_id: str = "") -> pb.ForwardRequest:
    """Adds four floats to themselves; the array comes with the call and goes with the answer."""
    feed = onnx_pb2.TensorProto(name="x", data_type=onnx_pb2.TensorProto.FLOAT, dims=[4], raw_data=struct.pack("<4f", 1, 2, 3, 4))
    node = commands.node("Add", ["x", "x"], ["y"])
    return pb.ForwardRequest(session_id=session_id, nodes=[node], feeds=[feed], fetch=["y"], no_grad=True)


def check(answer: pb.ForwardResponse) -> None:
    if struct.unpack("<4f", answer.fetched[0].raw_data) != (2, 4, 6, 8):
        raise AssertionError(f"not the sum: {answer}")


METRICS = {
    "p50, us": Metric(),
    "p99, us": Metric(),
    "calls a second": Metric(better="higher"),
    "server CPU, us a call": Metric(),
    "client CPU, us a call": Metric(),
}


def compare(client: RawClient, setting: Setting, transport: str, flags: list[str]) -> list[Row]:
    with setting.server(*flags) as ours, gradwire.connect(ours.target) as connected, connected.session() as session:
        alone = forward(session.id)
        request = alone.SerializeToString()
        answer = connected.unary("Forward", alone)
        check(answer)
        keep_alive = pb.KeepAliveRequest(session_id=session.id).SerializeToString()
        nothing = pb.RunRequest(session_id=session.id).SerializeToString()
        first = pb.PipelineRequest(session_id=session.id, command=pb.Command(forward=forward())).SerializeToString()
        piped = pb.PipelineRequest(command=pb.Command(forward=forward())).SerializeToString()
        # The raw server's own socket is beside ours.
        raw_flags = [flag.replace("/socket", "/raw") for flag in flags]
        with setting.raw_server(f"--reply={answer.ByteSize()}", *raw_flags) as raw:

            floor = f"{len(request)} bytes there, {answer.ByteSize()} back"

            def both(case: str, *sides: Sample, metrics: Mapping[str, Metric] = METRICS, floor: str = floor) -> list[Row]:
                taken = sampled(sides, pairs=setting.pairs)
                return rows_of(f"{transport}, {case}", taken[0], taken[1], metrics, floor)

            empty = unary(client, raw, RAW + "Unary", b"")
            same = unary(client, raw, RAW + "Unary", request)
            add = unary(client, ours, OURS + "Forward", request)
            adds, raws, empties = sampled((add, same, empty), pairs=setting.pairs)
            return [
                *both("KeepAlive over empty raw call", unary(client, ours, OURS + "KeepAlive", keep_alive), empty, floor=""),
                *both("empty Run over empty raw call", unary(client, ours, OURS + "Run", nothing), empty, floor=""),
                *rows_of(f"{transport}, Forward over empty raw call", adds, empties, {"p50, us": Metric(1.3)}, floor),
                *rows_of(f"{transport}, Forward over raw call", adds, raws, METRICS, floor),
                *both(
                    f"Forward, {IN_FLIGHT} calls in flight",
                    unary(client, ours, OURS + "Forward", request, IN_FLIGHT),
                    unary(client, raw, RAW + "Unary", request, IN_FLIGHT),
                ),
                *both(
                    f"Pipeline, {IN_FLIGHT} in flight",
                    stream(client, ours, OURS + "Pipeline", first, piped),
                    stream(client, raw, RAW + "Stream", first, piped),
                    metrics={**METRICS, "calls a second": Metric(0.7, "higher")},
                ),
            ]  # fmt: skip


def run(setting: Setting) -> Result:
    rows: list[Row] = []
    with setting.raw_client() as client:
        for transport in ("TCP", "UNIX"):
            with listening_flags(transport) as flags:
                rows += compare(client, setting, transport, flags)
                client("disconnect")
    return Result(rows)
