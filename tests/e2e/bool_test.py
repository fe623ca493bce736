"""Bools whose bytes are not 0 or 1: any but 0 is true, by whatever way they come, and is 1 from then on."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gradwire import Session, commands
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2

RAW = bytes([0, 1, 2, 218, 255, 0])
SPEC = pb.TensorSpec(dims=[6], data_type=TensorProto.BOOL)


def by_put(session: Session, folder: Path) -> None:
    tensor = onnx_pb2.TensorProto(name="b", data_type=TensorProto.BOOL, dims=[6], raw_data=RAW)
    session._call("Put", pb.PutRequest(tensors=[tensor]))


def by_typed_field(session: Session, folder: Path) -> None:
    tensor = onnx_pb2.TensorProto(name="b", data_type=TensorProto.BOOL, dims=[6], int32_data=[0, 1, 2, 256, -1, 0])
    session._call("Put", pb.PutRequest(tensors=[tensor]))


def by_stream(session: Session, folder: Path) -> None:
    session.put_chunks([pb.PutChunk(name="b", spec=SPEC, data=RAW[:3]), pb.PutChunk(data=RAW[3:])])


def by_feed(session: Session, folder: Path) -> None:
    request = commands.forward([commands.node("Identity", ["f"], ["b"])])
    request.feeds.add(name="f", data_type=TensorProto.BOOL, dims=[6], raw_data=RAW)
    session.run([request])


def by_attribute(session: Session, folder: Path) -> None:
    value = onnx_pb2.TensorProto(data_type=TensorProto.BOOL, dims=[6], raw_data=RAW)
    node = commands.node("Constant", [], ["b"])
    node.attribute.add(name="value", type=onnx_pb2.AttributeProto.TENSOR, t=value)
    session.forward([node])


def by_bit_cast(session: Session, folder: Path) -> None:
    session.put({"bytes": np.frombuffer(RAW, np.uint8)})
    session.forward([commands.node("BitCast", ["bytes"], ["b"], {"to": TensorProto.BOOL})])


def by_restore(session: Session, folder: Path) -> None:
    header = json.dumps({"b": {"dtype": "BOOL", "shape": [6], "data_offsets": [0, 6]}}).encode()
    (folder / "tensors.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + RAW)
    session.restore(folder)


def by_model(session: Session, folder: Path, external: bool = False) -> None:
    tensor = TensorProto(name="b", data_type=TensorProto.BOOL, dims=[6])
    if external:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="b.bin")
        (folder / "b.bin").write_bytes(RAW)
    else:
        tensor.raw_data = RAW
    output = helper.make_tensor_value_info("y", TensorProto.BOOL, [6])
    graph = helper.make_graph([helper.make_node("Not", ["b"], ["y"])], "g", [], [output], [tensor])
    model = helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    files = {"b.bin": folder / "b.bin"} if external else None
    session.load_program("m", model.SerializeToString(), parameter_prefix="", external=files)


def by_external_data(session: Session, folder: Path) -> None:
    by_model(session, folder, external=True)


WAYS = [by_put, by_typed_field, by_stream, by_feed, by_attribute, by_bit_cast, by_restore, by_model, by_external_data]


@pytest.mark.parametrize("way", WAYS)
def test_any_byte_but_0_is_true(session: Session, tmp_path: Path, way: Callable[[Session, Path], None]) -> None:
    way(session, tmp_path)
    nodes = [
        commands.node("Cast", ["b"], ["numbers"], {"to": TensorProto.INT32}),
        commands.node("Not", ["b"], ["inverse"]),
        commands.node("Xor", ["b", "b"], ["none"]),
        commands.node("BitCast", ["b"], ["bytes"], {"to": TensorProto.UINT8}),
    ]
    session.forward(nodes)
    numbers, inverse, none, raw = session.fetch(["numbers", "inverse", "none", "bytes"])
    assert numbers.tolist() == raw.tolist() == [0, 1, 1, 1, 1, 0]
    assert inverse.tolist() == [True, False, False, False, False, True]
    assert not none.any()
