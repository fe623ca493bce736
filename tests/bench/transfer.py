"""Arrays in and out: GB/s, CPU and memory, against raw gRPC and memcpy. The same client sends and takes the bytes of both
sides (raw/transfer.cc), from warm memory into warm memory; GB is 1e9 bytes."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gradwire
from gradwire import dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.testing import Server
from measure import Metric, Row, row_of, rows_of, sampled, seconds
from report import Curve, Result
from rpc import OURS, RAW
from setting import RawClient, Setting, cpu_seconds, listening_flags, resident_bytes

Sample = Callable[[], Mapping[str, float]]
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
UNARY = (4 * KIB, 64 * KIB, MIB, 16 * MIB)
STREAMED = (4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB, 256 * MIB, GIB)
LARGE = 3 * GIB
SHARED = (MIB, 16 * MIB, 64 * MIB, 256 * MIB, GIB)
# What gradwire's clients send; and what is best for raw gRPC.
CHUNK, RAW_CHUNK = 2 * MIB, 4 * MIB
# From here on the limit on GB/s holds.
HELD_BYTES = MIB
# A sample moves at least so much.
SAMPLE_BYTES = 16 * MIB
MOST_REPEATS = 256
PEAKS = 5


def name_of(size: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def unary_put_prefix(session_id: str, size: int) -> bytes:
    """A PutRequest up to the payload of its only tensor, which ends it."""
    tensor = onnx_pb2.TensorProto(name="x", data_type=onnx_pb2.TensorProto.UINT8, dims=[size]).SerializeToString()
    payload = bytes([onnx_pb2.TensorProto.RAW_DATA_FIELD_NUMBER << 3 | 2]) + varint(size)
    tensors = bytes([pb.PutRequest.TENSORS_FIELD_NUMBER << 3 | 2]) + varint(len(tensor) + len(payload) + size)
    return pb.PutRequest(session_id=session_id).SerializeToString() + tensors + tensor + payload


class Side:
    """Transfers of one size with one server."""

    def __init__(self, client: RawClient, server: Server, size: int) -> None:
        self.client, self.server, self.size = client, server, size
        self.repeats = max(1, min(MOST_REPEATS, SAMPLE_BYTES // size))

    def sample(self, do: str, **values: Any) -> Sample:
        def take() -> Mapping[str, float]:
            before = cpu_seconds(self.server.pid)
            found = [self.client(do, target=self.server.target, bytes=self.size, **values) for _ in range(self.repeats)]
            cpu = cpu_seconds(self.server.pid) - before + sum(one["cpu"] for one in found)
            return {
                "GB/s": self.size / 1e9 / statistics.median(one["seconds"] for one in found),
                "CPU, s/GB": cpu / (self.size * self.repeats / 1e9),
            }

        return take

    def ours(self, session_id: str, unary: bool) -> tuple[Sample, Sample]:
        """Put and Fetch of the array "x"."""
        spec = pb.TensorSpec(dims=[self.size], data_type=onnx_pb2.TensorProto.UINT8)
        chunk = pb.PutChunk(session_id=session_id, name="x", spec=spec)
        first = unary_put_prefix(session_id, self.size) if unary else chunk.SerializeToString()
        request = pb.FetchRequest(session_id=session_id, names=["x"]).SerializeToString()
        stream = "" if unary else "Stream"
        return (
            self.sample(
                "put", method=f"{OURS}Put{stream}", first=first.hex(), framed=not unary,
                chunk=self.size if unary else CHUNK,
            ),
            self.sample("fetch", method=f"{OURS}Fetch{stream}", request=request.hex(), framed=not unary),
        )  # fmt: skip

    def raw(self, unary: bool) -> tuple[Sample, Sample]:
        chunk = self.size if unary else min(self.size, RAW_CHUNK)
        request = self.size.to_bytes(8, "little") + chunk.to_bytes(8, "little")
        return (
            self.sample("put", method=RAW + "Put", first="", framed=False, chunk=chunk),
            self.sample("fetch", method=RAW + "Fetch", request=request.hex(), framed=False),
        )

    def memcpy(self) -> Sample:
        def take() -> Mapping[str, float]:
            found = [self.client("memcpy", bytes=self.size)["seconds"] for _ in range(self.repeats)]
            return {"GB/s": self.size / 1e9 / statistics.median(found)}

        return take


def compare(setting: Setting, client: RawClient, case: str, ours: Side, raw: Side, session: gradwire.Session,
            unary: bool) -> list[Row]:  # fmt: skip
    sides = (*ours.ours(session.id, unary), *raw.raw(unary), ours.memcpy())
    put, fetch, raw_put, raw_fetch, copied = sampled(sides, pairs=setting.pairs)
    limit = 0.9 if ours.size >= HELD_BYTES else None
    metrics = {"GB/s": Metric(limit, "higher"), "CPU, s/GB": Metric()}
    rows: list[Row] = []
    for verb, mine, theirs in (("Put", put, raw_put), ("Fetch", fetch, raw_fetch)):
        named = f"{case}, {'unary' if unary else 'streamed'} {verb} of {name_of(ours.size)}"
        rows += rows_of(f"{named} over raw gRPC", mine, theirs, metrics, name_of(ours.size))
        if limit is not None and not unary:
            rows += rows_of(f"{named} over memcpy", mine, copied, {"GB/s": Metric(better="higher")}, name_of(ours.size))
    return rows


def shared_memory(setting: Setting) -> list[Row]:
    """Put from the inbox over memcpy, and Fetch in place, whose time must not grow with the array."""
    rows: list[Row] = []
    fetches: dict[int, Sample] = {}
    with tempfile.TemporaryDirectory() as folder, setting.server(f"--shared_memory={folder}/door") as server:
        with gradwire.connect(server.target) as client, client.session() as session:
            memory = session.attach_memory(4 * GIB, SHARED[-1])
            for size in SHARED:
                memory.clear()
                array, target = memory.empty(size, np.uint8), np.zeros(size, np.uint8)
                array[:] = np.arange(size, dtype=np.uint8)

                def timed(call: Callable[[], object], size: int = size) -> Sample:
                    return lambda: {"GB/s": size / 1e9 / seconds(call, max(1, SAMPLE_BYTES // size))}

                put = timed(partial(memory.put, {name_of(size): array}))
                copy = timed(partial(np.copyto, target, array))
                puts, copies = sampled((put, copy), pairs=setting.pairs)
                case = f"shared memory, Put of {name_of(size)} over memcpy"
                rows += rows_of(case, puts, copies, {"GB/s": Metric(0.8, "higher")}, name_of(size))
                found = memory.fetch([name_of(size)])[0]
                if found.flags.owndata or found.flags.writeable:
                    raise AssertionError("the array was copied")
                np.testing.assert_array_equal(found, array)
                fetches[size] = lambda size=size: {"us": 1e6 * seconds(partial(memory.fetch, [name_of(size)]), 100)}
            large, small = sampled((fetches[SHARED[-1]], fetches[SHARED[0]]), pairs=setting.pairs)
    case = f"shared memory, Fetch of {name_of(SHARED[-1])} over one of {name_of(SHARED[0])}"
    return [*rows, *rows_of(case, large, small, {"us": Metric()})]


def peak(setting: Setting, client: RawClient, size: int) -> Row:
    """The most memory that a fresh server ever had for one array, over 1.02 of the array and 64 MiB; of several servers,
    since what has come and is not yet copied depends on who was faster."""
    allowed = 1.02 * size + 64 * MIB
    most, started = [], []
    for _ in range(PEAKS):
        with setting.server() as server, gradwire.connect(server.target) as connected, connected.session() as session:
            started.append(resident_bytes(server.pid))
            put, _ = Side(client, server, size).ours(session.id, unary=False)
            put()
            most.append((float(server.peak_rss()), allowed))
        client("disconnect")
    name = "peak server bytes over 1.02 payload + 64 MiB"
    return row_of(f"TCP, streamed Put of {name_of(size)}", name, most, Metric(1.0), f"{min(started) >> 20} MiB before")


def check(session: gradwire.Session) -> None:
    """The bytes that the raw client puts are those that it says."""
    words = dtypes.from_proto(session.client.unary("Fetch", pb.FetchRequest(session_id=session.id, names=["x"])).tensors[0])
    expected = np.arange(words.size // 8, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    np.testing.assert_array_equal(words.view(np.uint64), expected)


def curves(rows: list[Row]) -> list[Curve]:
    """GB/s by size, of both sides; a panel for each transport."""
    sizes = {name_of(size): size for size in (*STREAMED, LARGE)}
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in (row for row in rows if row.metric == "GB/s"):
        way, _, rest = row.case.partition(" of ")
        transport, _, verb = way.partition(", ")
        size, _, peer = rest.partition(" over ")
        found.setdefault((transport, f"{verb}, {peer}"), []).append((sizes[size], row.peer))
        if peer != "memcpy":
            found.setdefault((transport, f"{verb}, gradwire"), []).append((sizes[size], row.ours))
    made = []
    for (transport, name), points in found.items():
        x, y = zip(*sorted(points), strict=True)
        made.append(Curve(name, x, y, "bytes", f"GB/s over {transport}", fitted=False))
    return made


def run(setting: Setting) -> Result:
    streamed = (*STREAMED, LARGE) if setting.large else STREAMED
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    if congestion.exists():
        print(f"TCP's congestion control, for both sides: {congestion.read_text().strip()}")
    rows: list[Row] = []
    with setting.raw_client() as client:
        for transport in ("TCP", "UNIX"):
            with listening_flags(transport) as flags:
                raw_flags = [flag.replace("/socket", "/raw") for flag in flags]
                with setting.server(*flags) as ours, setting.raw_server(*raw_flags) as raw:
                    with gradwire.connect(ours.target) as connected, connected.session() as session:
                        for unary, sizes in ((True, UNARY), (False, streamed)):
                            for size in sizes:
                                mine, theirs = Side(client, ours, size), Side(client, raw, size)
                                rows += compare(setting, client, transport, mine, theirs, session, unary)
                                if size == MIB:
                                    check(session)
                client("disconnect")
        rows.append(peak(setting, client, GIB))
    return Result([*rows, *shared_memory(setting)], curves(rows))
