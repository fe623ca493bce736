"""How cost grows: with idle sessions, busy clients, tensors in a session, and nodes in a program.

Where a limit is a figure and no peer's, `peer` is that figure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import gradwire
from gradwire import commands
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.testing import Server
from measure import Metric, Row, row_of, seconds
from report import Curve, Result
from rpc import OURS, RAW, forward
from setting import RawClient, Setting, resident_bytes

SESSIONS = (1, 10, 100, 1000, 10000)
IDLE_LIMIT = 16 << 10
CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
HELD_CLIENTS = 64
TENSORS = (1, 10, 100, 1000, 10000, 100000, 1000000)
PUT_AT_ONCE = 10000
NODES = (10, 100, 1000, 10000, 100000)
SAMPLE_S = 0.5


def repeated(take: Callable[[], float], times: int) -> float:
    """The median, after a warm-up."""
    take()
    return statistics.median(take() for _ in range(times))


def growth(curve: Curve, unit: str) -> Row:
    """The last point over the first."""
    first, last = curve.y[0], curve.y[-1]
    case = f"{curve.name}: {curve.x_label} {curve.x[0]} to {curve.x[-1]}"
    return Row(case, unit, last, first, last / first, (last / first,) * 2, floor=f"slope {curve.slope:.2f}")


# ---------------------------------------------------------------- idle sessions


def each_once(client: RawClient, server: Server, method: str, requests: list[Any]) -> None:
    """Sends all requests over one connection, some at a time."""
    for start in range(0, len(requests), 500):
        part = [request.SerializeToString().hex() for request in requests[start : start + 500]]
        group = {"target": server.target, "method": OURS + method, "requests": part}
        client("calls", groups=[group], calls=len(part), share=True)


def idle_sessions(setting: Setting, client: RawClient) -> tuple[list[Row], list[Curve]]:
    """Memory of a server with so many sessions: that were only opened, and that ran a small command."""
    rows, curves = [], []
    for case, used in (("opened", False), ("with a Forward behind them", True)):
        growth: list[float] = []
        with setting.server() as server:

            def add(first: int, last: int) -> None:
                ids = [f"{i:032x}" for i in range(first, last)]
                each_once(client, server, "OpenSession", [pb.OpenSessionRequest(session_id=one) for one in ids])
                if used:
                    each_once(client, server, "Forward", [forward(one) for one in ids])

            add(0, 1)
            before = resident_bytes(server.pid)
            for first, last in zip(SESSIONS, SESSIONS[1:], strict=False):
                add(first, last)
                growth.append(max(1.0, resident_bytes(server.pid) - before))
        client("disconnect")
        each = growth[-1] / (SESSIONS[-1] - 1)
        rows.append(Row(f"10,000 idle sessions, {case}", "bytes each, over 16 KiB", each, IDLE_LIMIT, each / IDLE_LIMIT,
                        (each / IDLE_LIMIT,) * 2, 1.0))  # fmt: skip
        curves.append(Curve(case, SESSIONS[1:], growth, "idle sessions", "resident bytes more than with one"))
    return rows, curves


# ---------------------------------------------------------------- busy clients


def group_of(server: Server, requests: list[pb.ForwardRequest], in_flight: int = 1) -> dict[str, Any]:
    packed = [request.SerializeToString().hex() for request in requests]
    return {"target": server.target, "method": f"{OURS}Forward", "requests": packed, "in_flight": in_flight}


def busy_clients(setting: Setting, client: RawClient) -> tuple[list[Row], list[Curve]]:
    """Small calls of many clients, each with a session and a connection of its own. The raw peer gets as many: what many
    connections cost gRPC, the kernel, and the client, which has one thread, is no session's doing."""
    with (
        setting.server() as server,
        gradwire.connect(server.target) as connected,
        setting.raw_server("--reply=60") as raw,
    ):
        sessions = [connected.session() for _ in range(max(CLIENTS))]
        requests = [forward(session.id) for session in sessions]
        sides = {f"{OURS}Forward": server, f"{RAW}Unary": raw}

        def take(method: str, count: int) -> Mapping[str, float]:
            group = {**group_of(sides[method], requests[:count]), "method": method}
            found = client("calls", groups=[group], seconds=SAMPLE_S)
            return {"rate": found["groups"][0]["calls"] / found["seconds"], "p99": found["groups"][0]["p99"]}

        for method in sides:
            for count in CLIENTS:
                take(method, count)
        times = range(max(3, setting.pairs // 2))
        rounds = [{(method, count): take(method, count) for method in sides for count in CLIENTS} for _ in times]
        for session in sessions:
            session.close()
    client("disconnect")
    rows, curves = [], []
    for (method, name), held in zip(
        {f"{OURS}Forward": "Forward of 4 floats", f"{RAW}Unary": "raw gRPC"}.items(), (0.9, None), strict=True
    ):
        rates = {count: statistics.median(taken[method, count]["rate"] for taken in rounds) for count in CLIENTS}
        best = max(rates, key=rates.__getitem__)
        pairs = [(taken[method, HELD_CLIENTS]["rate"], taken[method, best]["rate"]) for taken in rounds]
        case = f"{name}: {HELD_CLIENTS} busy clients over the best number"
        rows.append(row_of(case, "calls a second", pairs, Metric(held, "higher"), f"best with {best}"))
        p99 = [statistics.median(taken[method, count]["p99"] for taken in rounds) for count in CLIENTS]
        curves.append(Curve(name, CLIENTS, list(rates.values()), "busy clients", "calls a second"))
        curves.append(Curve(name, CLIENTS, p99, "busy clients", "p99, seconds"))
    return rows, curves


def fairness(setting: Setting, client: RawClient) -> list[Row]:
    """Small calls alone, and beside a session that keeps every core busy with matrix products."""
    with setting.server() as server, gradwire.connect(server.target) as connected:
        with connected.session() as small, connected.session() as heavy:
            heavy.put({"a": np.ones((1024, 1024), np.float32)})
            nodes = [commands.node("MatMul", ["a", "a"], ["b"]), commands.node("ReduceSum", ["b"], ["c"])]
            product = pb.ForwardRequest(session_id=heavy.id, nodes=nodes, fetch=["c"], no_grad=True)
            load = group_of(server, [product], in_flight=4)
            alone = group_of(server, [forward(small.id)])

            def take(groups: list[dict[str, Any]]) -> Mapping[str, float]:
                found = client("calls", groups=groups, seconds=2 * SAMPLE_S)["groups"]
                if found[-1]["calls"] < 4:
                    raise AssertionError("the heavy session did not saturate the server")
                return {"p50, us": found[0]["p50"] * 1e6, "p99, us": found[0]["p99"] * 1e6}

            beside = [(take([alone, load]), take([alone])) for _ in range(setting.pairs)]
    client("disconnect")
    limits = {"p50, us": Metric(), "p99, us": Metric(10.0)}
    return [
        row_of("small call beside a heavy session over alone", name, [(a[name], b[name]) for a, b in beside], held)
        for name, held in limits.items()
    ]


# ---------------------------------------------------------------- tensors and nodes


def tensors(setting: Setting, client: RawClient) -> tuple[list[Row], list[Curve]]:
    """What a call costs in a session that holds many tensors, and what each takes."""
    small = onnx_pb2.TensorProto(data_type=onnx_pb2.TensorProto.FLOAT, dims=[1], raw_data=bytes(4))
    costs: dict[str, list[float]] = {"Forward of 4 floats": [], "Put of a tensor": [], "Put and Delete of a new name": []}
    memory: list[float] = []
    with setting.server() as server, gradwire.connect(server.target) as connected, connected.session() as session:

        def put(first: int, last: int) -> None:
            request = pb.PutRequest()
            for i in range(first, last):
                small.name = f"t{i}"
                request.tensors.append(small)
            session.run([request])

        def call(request: Any) -> float:
            return seconds(lambda: session.run([request] if not isinstance(request, list) else request), 20)

        small.name = "t0"
        one = pb.PutRequest(tensors=[small])
        small.name = "new"
        new = [pb.PutRequest(tensors=[small]), pb.DeleteRequest(names=["new"])]
        before, count = resident_bytes(server.pid), 0
        for wanted in TENSORS:
            while count < wanted:
                last = min(count + PUT_AT_ONCE, wanted)
                put(count, last)
                count = last
            memory.append(max(1.0, resident_bytes(server.pid) - before))
            for name, request in zip(costs, (forward(), one, new), strict=True):
                costs[name].append(repeated(partial(call, request), 5))
    found = [Curve(name, TENSORS, y, "tensors in a session", "seconds a call") for name, y in costs.items()]
    rows = [growth(curve, "seconds a call") for curve in found]
    found.append(Curve("tensors of 1 float", TENSORS, memory, "tensors in a session", "resident bytes more"))
    each = memory[-1] / TENSORS[-1]
    rows.append(Row("1,000,000 tensors of 4 bytes", "bytes each, over the payload", each, 4, each / 4, (each / 4,) * 2))
    return rows, found


def chain(nodes: int) -> onnx_pb2.GraphProto:
    """x + x, again and again, halved in between: nothing overflows."""
    graph = onnx_pb2.GraphProto(name="chain")
    graph.input.add(name="x")
    graph.input.add(name="half")
    for i in range(nodes):
        last = f"v{i - 1}" if i else "x"
        inputs = [last, last] if i % 2 == 0 else [last, "half"]
        graph.node.append(commands.node("Add" if i % 2 == 0 else "Mul", inputs, [f"v{i}"]))
    graph.output.add(name=f"v{nodes - 1}")
    return graph


def programs(setting: Setting, client: RawClient) -> tuple[list[Row], list[Curve]]:
    """Loading, running and differentiating programs of many nodes; seconds a node."""
    costs: dict[str, list[float]] = {"LoadProgram": [], "Forward": [], "Forward and Backward": []}
    with setting.client() as connected, connected.session() as session:

        def steps_of(nodes: int) -> tuple[Callable[[], object], ...]:
            graph, out = chain(nodes), f"v{nodes - 1}"
            alone = pb.ForwardRequest(program="chain", outputs=[out], no_grad=True)
            walk = pb.ForwardRequest(program="chain", outputs=[out])
            backward = pb.BackwardRequest(roots=[out], seeds=[pb.Seed(root=out, tensor="half")])
            return (
                lambda: session.load_program("chain", graph=graph),
                lambda: session.run([alone]),
                lambda: session.run([walk, backward, pb.ZeroGradRequest()]),
            )

        session.put({"half": np.full(4, 0.5, np.float32)})
        session.put({"x": np.ones(4, np.float32)}, requires_grad=True)
        for nodes in NODES:
            repeat = max(1, 1000 // nodes)
            for name, step in zip(costs, steps_of(nodes), strict=True):
                costs[name].append(repeated(partial(seconds, step, repeat), 5) / nodes)
    found = [Curve(name, NODES, y, "nodes of a program", "seconds a node") for name, y in costs.items()]
    return [growth(curve, "seconds a node") for curve in found], found


def run(setting: Setting) -> Result:
    rows: list[Row] = []
    found: list[Curve] = []
    with setting.raw_client() as client:
        for part in (idle_sessions, busy_clients, tensors, programs):
            print(f"{part.__name__} ...", flush=True)
            more, curves = part(setting, client)
            rows += more
            found += curves
        rows += fairness(setting, client)
    return Result(rows, found)
