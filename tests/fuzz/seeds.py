"""Inputs for the fuzz targets to start from: what is well-formed, and a little that is not.

Usage: seeds.py FOLDER   (writes FOLDER/TARGET/NUMBER; the same each time)
"""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save

from gradwire import commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from mutations import DATA, Mutator, cases  # noqa: E402

SESSION = "0" * 32
# Of the node tests of ONNX's suite, each so many'th.
STRIDE = 9
ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.zeros((0, 4), np.float64),
    np.array(7, np.int64),
    np.array([True, False]),
    np.ones((2, 1, 2), np.complex64),
    np.arange(5, dtype=np.uint8),
    np.ones(3, ml_dtypes.bfloat16),
    np.ones(3, ml_dtypes.int4),
    np.ones(3, ml_dtypes.float8_e4m3fn),
]


def chunk(name: str, array: np.ndarray[Any, Any], begin: int, end: int) -> pb.PutChunk:
    """Bytes [begin, end) of an array; the first begin it."""
    spec = pb.TensorSpec(dims=array.shape, data_type=dtypes.to_code(array.dtype))
    data = array.tobytes()[begin:end]
    if begin == 0:
        return pb.PutChunk(session_id=SESSION, sequence=1, name=name, spec=spec, data=data)
    return pb.PutChunk(session_id=SESSION, data=data)


def suite() -> Iterator[Path]:
    """Folders of node tests."""
    yield from sorted(path.parent for path in DATA.glob("*/model.onnx"))[::STRIDE]


def models() -> Iterator[bytes]:
    """Small models."""
    for folder in suite():
        data = (folder / "model.onnx").read_bytes()
        if len(data) < 4000:
            yield data


def external_model() -> onnx_pb2.ModelProto:
    """A model whose weight is kept in the file "w"."""
    weight = onnx_pb2.TensorProto(name="w", data_type=1, dims=[2], data_location=onnx_pb2.TensorProto.EXTERNAL)
    for key, value in (("location", "w"), ("offset", "4"), ("length", "8")):
        weight.external_data.add(key=key, value=value)
    graph = onnx_pb2.GraphProto(name="g", initializer=[weight], node=[commands.node("Neg", ["w"], ["y"])])
    graph.output.add(name="y")
    return onnx_pb2.ModelProto(ir_version=10, graph=graph, opset_import=commands.opset_ids({"": 21}))


FILE = [pb.FileChunk(path="w", data=bytes(7)), pb.FileChunk(data=bytes(9))]


def safetensors() -> bytes:
    """A file of arrays, as SaveSession writes it."""
    arrays = {f"t{i}": array for i, array in enumerate(ARRAYS) if array.dtype.kind in "fiub"}
    metadata = {"gradwire.requires_grad": '["t0"]', "gradwire.vjps": '{"a": "b"}'}
    return save(arrays, metadata)


def runs() -> Iterator[pb.RunRequest]:
    """A training step, and requests made of node tests."""
    x = np.ones((2, 3), np.float32)
    step = pb.RunRequest(profile=True)
    for one in (
        commands.put({"w": x}, requires_grad=True),
        commands.forward([commands.node("Mul", ["w", "x"], ["y"])], feeds={"x": x}, fetch=["y"]),
        commands.forward([commands.node("ReduceSum", ["y"], ["z"])], checkpoint=1),
        commands.backward(["z"], create_graph=True),
        commands.gradients(["z"], ["w"], seeds={"z": np.ones((1, 1), np.float32)}, allow_unused=True),
        commands.jvp(["z"], {"w": x}, fetch=True),
        commands.hvp("z", ["w"], {"w": x}),
        commands.step(pb.AdamW(lr=0.1), clip_norm=1.0),
        commands.detach("w", "v", requires_grad=True),
        commands.copy("v", "u"),
        commands.delete(["u"]),
        commands.zero_grad(["w"]),
        commands.fetch(["w", "grad/kept"]),
    ):
        commands.set_command(step.commands.add(), one)
    yield step
    corpus = cases([folder.name for folder in suite()])
    mutator = Mutator(0, corpus, [("", case.model.graph.node[0].op_type) for case in corpus])
    for (_, request), _ in zip(mutator.requests(""), range(200), strict=False):
        yield request


def methods() -> list[str]:
    """The service's methods, in the order by which a seed's first byte names one."""
    service: Any = pb.DESCRIPTOR.services_by_name["Gradwire"]
    return [method.name for method in service.methods]


def calls() -> Iterator[tuple[str, list[Any]]]:
    """Methods and their messages."""
    run = next(runs())
    run.session_id = SESSION
    pipeline = [pb.PipelineRequest(session_id=SESSION, sequence=i + 1, command=c) for i, c in enumerate(run.commands)]
    a = ARRAYS[0]
    yield "Run", [run]
    yield "Pipeline", pipeline
    yield "PutStream", [chunk("a", a, 0, 5), chunk("", a, 5, 24), chunk("b", ARRAYS[1], 0, 0)]
    yield "PutStream", [chunk("a", a, 0, 24)]
    external = external_model().SerializeToString()
    first = pb.LoadProgramRequest(session_id=SESSION, program="m", data=external[:20], trainable=True)
    rest = [pb.LoadProgramRequest(data=external[20:]), *(pb.LoadProgramRequest(external=part) for part in FILE)]
    yield "LoadProgram", [first, *rest]
    for data in list(models())[::8]:
        yield "LoadProgram", [pb.LoadProgramRequest(session_id=SESSION, program="m", data=data)]
    file = safetensors()
    program = next(models())
    parts = [("tensors.safetensors", file[:9]), ("", file[9:]), ("programs/a.onnx", program), ("programs/b.onnx", program)]
    yield "RestoreSession", [
        pb.RestoreSessionRequest(session_id=SESSION, chunk=pb.FileChunk(path=path, data=data)) for path, data in parts
    ]
    yield "OpenSession", [pb.OpenSessionRequest(device="cpu", max_bytes=1000, seed=1)]
    for name in ("Fetch", "FetchStream"):
        yield name, [pb.FetchRequest(session_id=SESSION, names=["a"], chunk_bytes=1 << 16)]
    for name in methods():
        request = getattr(pb, f"{name}Request", None)
        if request is not None:
            fields = request.DESCRIPTOR.fields_by_name
            yield name, [request(session_id=SESSION) if "session_id" in fields else request()]


def framed(method: str, messages: Iterable[Any]) -> bytes:
    """As tests/fuzz/calls.cc reads it."""
    parts = [message.SerializeToString() for message in messages]
    return bytes([methods().index(method)]) + b"".join(struct.pack("<H", len(part)) + part for part in parts)


def seeds() -> Iterator[tuple[str, bytes]]:
    """Targets and inputs."""
    draw = random.Random(0)
    for array in ARRAYS:
        proto = dtypes.to_proto(array, "x")
        yield "tensor", proto.SerializeToString()
        if array.nbytes:
            yield "chunk", bytes([draw.randrange(8)]) + chunk("x", array, 0, array.nbytes).SerializeToString()
    yield "tensor", onnx_pb2.TensorProto(data_type=1, dims=[2], float_data=[1, 2]).SerializeToString()
    for data in models():
        yield "model", data
    model = external_model().SerializeToString()
    parts = [part.SerializeToString() for part in FILE]
    yield "external", struct.pack("<H", len(model)) + model + b"".join(bytes([len(part)]) + part for part in parts)
    for size in (0, 6, 255):
        yield "safetensors", bytes([size]) + safetensors()
    tenant = {"sha256": ["ab" * 32], "max_bytes": 1, "max_sessions": 2}
    yield "tokens", json.dumps({"tenants": {"a": tenant, "b": {"sha256": []}}}).encode()
    yield "traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    yield "traceparent", b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what"
    for request in runs():
        yield "run", request.SerializeToString()
        yield "request", bytes([draw.randrange(256)]) + request.SerializeToString()
    for _ in range(300):
        yield "operators", draw.randbytes(draw.choice((30, 100, 300)))
    for method, messages in calls():
        yield "calls", framed(method, messages)


def write(folder: Path) -> None:
    """Writes each seed into its target's folder."""
    for number, (target, data) in enumerate(seeds()):
        path = folder / target / f"{number:04}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
