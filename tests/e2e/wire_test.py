"""Wire compatibility with ONNX, and a client that has only what the server tells it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import onnx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from onnx import helper, numpy_helper

from gradwire import Client, Session


def call(client: Client, method: str, request: bytes) -> bytes:
    """A call of bytes for bytes: no stub, no message class."""
    response: bytes = client.channel.unary_unary(f"/gradwire.v1.Gradwire/{method}")(request, timeout=30)
    return response


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    size, length = len(payload), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message that has no others."""
    at = 0
    while at < len(message):
        number, at, size, shift = message[at] >> 3, at + 1, 0, 0
        while True:
            byte, at = message[at], at + 1
            size, shift = size | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        yield number, message[at : at + size]
        at += size


def test_onnx_bytes_go_in_and_out_unchanged(client: Client, session: Session) -> None:
    sid = field(1, session.id.encode())
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    raw = numpy_helper.from_array(array, "a")
    typed = helper.make_tensor("b", onnx.TensorProto.FLOAT, [3, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    call(client, "Put", sid + field(3, raw.SerializeToString()) + field(3, typed.SerializeToString()))
    node = helper.make_node("Gemm", ["a", "b"], ["c"], "product", alpha=2.0)
    feed = numpy_helper.from_array(np.float32(1), "one")
    add = helper.make_node("Add", ["c", "one"], ["d"])
    call(
        client,
        "Forward",
        sid + field(3, node.SerializeToString()) + field(3, add.SerializeToString()) + field(6, feed.SerializeToString()),
    )
    response = call(client, "Fetch", sid + field(2, b"d") + field(2, b"a"))
    tensors = [onnx.TensorProto.FromString(payload) for number, payload in fields(response) if number == 1]
    assert [tensor.name for tensor in tensors] == ["d", "a"]
    np.testing.assert_allclose(numpy_helper.to_array(tensors[0]), 2 * array @ numpy_helper.to_array(typed) + 1)
    np.testing.assert_array_equal(numpy_helper.to_array(tensors[1]), array)


def test_every_typed_payload_field_is_read(client: Client, session: Session) -> None:
    kinds = onnx.TensorProto
    values = {
        kinds.FLOAT: [1.5, -2.0], kinds.DOUBLE: [1.5, -2.0], kinds.INT32: [1, -2], kinds.INT64: [1, -2],
        kinds.INT8: [1, -2], kinds.UINT8: [1, 200], kinds.INT16: [1, -300], kinds.UINT16: [1, 60000],
        kinds.UINT32: [1, 1 << 31], kinds.UINT64: [1, 1 << 40], kinds.BOOL: [True, False],
        kinds.FLOAT16: [1.5, -2.0], kinds.BFLOAT16: [1.5, -2.0], kinds.COMPLEX64: [1 + 2j, -1j],
    }  # fmt: skip
    for kind, value in values.items():
        tensor = helper.make_tensor("t", kind, [2], value)
        call(client, "Put", field(1, session.id.encode()) + field(3, tensor.SerializeToString()))
        response = call(client, "Fetch", field(1, session.id.encode()) + field(2, b"t"))
        (back,) = (onnx.TensorProto.FromString(payload) for _, payload in fields(response))
        assert back.data_type == kind
        np.testing.assert_array_equal(numpy_helper.to_array(back), numpy_helper.to_array(tensor))


def test_external_data_is_refused(client: Client, session: Session) -> None:
    tensor = onnx.TensorProto(name="t", dims=[1], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    with pytest.raises(grpc.RpcError) as caught:
        call(client, "Put", field(1, session.id.encode()) + field(3, tensor.SerializeToString()))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_garbage_is_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError):
        call(client, "Put", b"\xff\xff\xff\xff")
    assert call(client, "GetServerInfo", b""), "the server lives on"


def test_health(client: Client) -> None:
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "gradwire.v1.Gradwire"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_is_enough_for_a_call(client: Client) -> None:
    database = ProtoReflectionDescriptorDatabase(client.channel)
    assert "gradwire.v1.Gradwire" in database.get_services()
    pool = DescriptorPool(database)
    method = pool.FindServiceByName("gradwire.v1.Gradwire").methods_by_name["GetServerInfo"]
    answer = GetMessageClass(method.output_type).FromString(call(client, "GetServerInfo", b""))
    assert answer.version
