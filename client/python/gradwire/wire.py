"""Requests on their way to gRPC: each array that they carry is copied once.

A message owns its arrays, and so holds a copy; another is made when it is put into a message, and one when that is
serialized. Fresh memory for each costs more than the copying. Protocol Buffers' wire format is put together here instead:
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradwire import dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.dtypes import Array

Piece = bytes | Array  # of bytes

_COMMAND: Any = pb.Command.DESCRIPTOR
# By the name of the request's message.
COMMAND_FIELDS = {one.message_type.name: one for one in _COMMAND.oneofs_by_name["command"].fields}
_COMMANDS: int = pb.RunRequest.COMMANDS_FIELD_NUMBER
_ARRAYS = {"PutRequest": pb.PutRequest.TENSORS_FIELD_NUMBER, "ForwardRequest": pb.ForwardRequest.FEEDS_FIELD_NUMBER}
_LENGTH_DELIMITED = 2


@dataclass(frozen=True, slots=True)
class Feeding:
    """A Put or Forward, and arrays by name that it binds or is fed with besides. They are read when it is sent."""

    message: Any  # pb.PutRequest or pb.ForwardRequest
    arrays: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Run:
    """A RunRequest, and its commands."""

    message: pb.RunRequest = field(default_factory=pb.RunRequest)
    requests: list[Any] = field(default_factory=list)  # messages, or `Feeding`


def message_of(request: Any) -> Any:
    """The message that a request consists of, or the one that has all of it but its arrays or commands."""
    return request.message if isinstance(request, (Feeding, Run)) else request


def serialize(request: Any) -> bytes:
    """A message, a `Feeding` or a `Run` as bytes."""
    pieces = _pieces(request)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _pieces(request: Any) -> list[Any]:
    pieces: list[Piece] = [message_of(request).SerializeToString()]
    if isinstance(request, Feeding):
        number = _ARRAYS[type(request.message).__name__]
        for name, array in request.arrays.items():
            pieces += _field(number, _tensor(name, array))
    elif isinstance(request, Run):
        for command in request.requests:
            number = COMMAND_FIELDS[type(message_of(command)).__name__].number
            pieces += _field(_COMMANDS, _field(number, _pieces(command)))
    return pieces


def _tensor(name: str, array: Array) -> list[Piece]:
    if dtypes.category(array.dtype) == dtypes.STRING:
        return [dtypes.to_proto(array, name).SerializeToString()]
    head = onnx_pb2.TensorProto(name=name, data_type=dtypes.to_code(array.dtype), dims=array.shape)
    data = dtypes.wire_bytes(array)
    return [head.SerializeToString(), *_field(onnx_pb2.TensorProto.RAW_DATA_FIELD_NUMBER, [data])]


def _field(number: int, pieces: Sequence[Piece]) -> list[Piece]:
    return [_varint(number << 3 | _LENGTH_DELIMITED) + _varint(sum(map(len, pieces))), *pieces]


def _varint(number: int) -> bytes:
    low = bytearray()
    while number > 0x7F:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*low, number))
