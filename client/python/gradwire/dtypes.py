"""Element types: NumPy's names for ONNX's codes, arrays as messages, and PyTorch's promotion rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from gradwire._proto.gradwire.v1 import gradwire_pb2, onnx_pb2

Array = npt.NDArray[Any]
Scalar = bool | int | float | complex
DType = np.dtype[Any]

_NUMPY: dict[int, DType] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    8: np.dtype(object),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    14: np.dtype(np.complex64),
    15: np.dtype(np.complex128),
    16: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(ml_dtypes.float8_e4m3fn),
    18: np.dtype(ml_dtypes.float8_e4m3fnuz),
    19: np.dtype(ml_dtypes.float8_e5m2),
    20: np.dtype(ml_dtypes.float8_e5m2fnuz),
    21: np.dtype(ml_dtypes.uint4),
    22: np.dtype(ml_dtypes.int4),
    23: np.dtype(ml_dtypes.float4_e2m1fn),
    24: np.dtype(ml_dtypes.float8_e8m0fnu),
    25: np.dtype(ml_dtypes.uint2),
    26: np.dtype(ml_dtypes.int2),
}
_CODES = {dtype: code for code, dtype in _NUMPY.items()}
_STRING = 8
# Codes of the types that share a byte, with their bits.
_PACKED_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}

BOOL, INT, FLOAT, COMPLEX, STRING = range(5)
_CATEGORY = {
    code: BOOL if code == 9 else COMPLEX if code in (14, 15) else INT if dtype.kind in "iu" else FLOAT
    for code, dtype in _NUMPY.items()
} | {21: INT, 22: INT, 25: INT, 26: INT, _STRING: STRING}
_DEFAULT = {
    BOOL: np.dtype(np.bool_),
    INT: np.dtype(np.int64),
    FLOAT: np.dtype(np.float32),
    COMPLEX: np.dtype(np.complex64),
}


def from_code(code: int) -> DType:
    """NumPy's dtype for a TensorProto.DataType; `ml_dtypes` has those that NumPy lacks."""
    try:
        return _NUMPY[code]
    except KeyError:
        raise TypeError(f"no NumPy dtype for ONNX's element type {code}") from None


def to_code(dtype: npt.DTypeLike) -> int:
    """TensorProto.DataType for a NumPy dtype, whatever its byte order."""
    native = np.dtype(dtype).newbyteorder("=")
    if native.kind in "SUT":
        return _STRING
    try:
        return _CODES[native]
    except KeyError:
        raise TypeError(f"arrays of {native} cannot be sent") from None


def is_floating(dtype: npt.DTypeLike) -> bool:
    """Whether tensors of this type may require gradients: real or complex floating point."""
    return category(dtype) in (FLOAT, COMPLEX)


def category(dtype: npt.DTypeLike) -> int:
    """BOOL, INT, FLOAT, COMPLEX or STRING."""
    return _CATEGORY[to_code(dtype)]


def nbytes(dtype: DType, shape: Sequence[int]) -> int:
    """Bytes of an array on the wire; 0 for strings, whose size is not known before."""
    count = int(np.prod(shape, dtype=np.int64))
    code = to_code(dtype)
    if code == _STRING:
        return 0
    return -(-count * _PACKED_BITS[code] // 8) if code in _PACKED_BITS else count * dtype.itemsize


# ---------------------------------------------------------------- promotion


def scalar_category(value: Scalar) -> int:
    """The category of a Python number."""
    if isinstance(value, bool):
        return BOOL
    return INT if isinstance(value, int) else FLOAT if isinstance(value, float) else COMPLEX


def promote(a: DType, b: DType) -> DType:
    """The type that holds both, as in PyTorch: an integer with a float gives the float."""
    if a == b:
        return a
    low, high = sorted((a, b), key=category)
    if category(high) == STRING:
        raise TypeError("strings have no arithmetic with numbers")
    if category(low) < category(high):
        wide = category(high) == COMPLEX and low == np.float64
        return np.dtype(np.complex128) if wide else high
    if category(high) == FLOAT:
        return a if a.itemsize > b.itemsize else b if b.itemsize > a.itemsize else np.dtype(np.float32)
    return np.promote_types(a, b)


def result_type(
    tensors: Iterable[DType], zero_dim: Iterable[DType] = (), scalars: Iterable[Scalar] = ()
) -> DType:
    """PyTorch's result type: 0-dim tensors and Python numbers count only where their category is higher."""
    result: DType | None = None
    for group in (tensors, zero_dim):
        joined: DType | None = None
        for dtype in group:
            joined = dtype if joined is None else promote(joined, dtype)
        if joined is not None and (result is None or category(joined) > category(result)):
            result = joined
    for value in scalars:
        kind = scalar_category(value)
        if result is None or kind > category(result):
            result = _DEFAULT[kind]
    if result is None:
        raise TypeError("an operator needs at least one operand")
    return result


# ---------------------------------------------------------------- arrays as messages


def as_array(value: Any, dtype: npt.DTypeLike | None = None) -> Array:
    """`value` as a NumPy array; Python floats become float32, as in PyTorch, unless `dtype` says otherwise.

    Strings of any kind become an object array, as in onnx.numpy_helper.
    """
    array = np.asarray(value, dtype=None if dtype is None else np.dtype(dtype))
    if array.dtype.kind in "SUT":
        return array.astype(object)
    if dtype is None and not isinstance(value, (np.ndarray, np.generic)):
        narrow = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}
        if array.dtype in narrow and not _holds_numpy(value):
            array = array.astype(narrow[array.dtype])
    return array


def _holds_numpy(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(v, (np.ndarray, np.generic)) for v in value)


def _pack(array: Array, bits: int) -> Array:
    per_byte = 8 // bits
    codes = array.reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    codes = np.concatenate([codes, np.zeros(-codes.size % per_byte, np.uint8)]).reshape(-1, per_byte)
    result: Array = np.bitwise_or.reduce(codes << (np.arange(per_byte, dtype=np.uint8) * bits), axis=1).astype(np.uint8)
    return result


def _unpack(data: Array, bits: int, code: int, shape: Sequence[int]) -> Array:
    shifts = np.arange(8 // bits, dtype=np.uint8) * bits
    codes = ((data[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[: int(np.prod(shape, dtype=np.int64))]
    if code in (22, 26):
        sign = 1 << (bits - 1)
        return ((codes.astype(np.int8) ^ sign) - sign).astype(_NUMPY[code]).reshape(shape)
    return codes.view(_NUMPY[code]).reshape(shape)


def wire_bytes(array: Array) -> Array:
    """The payload of an array as bytes (uint8): little-endian, row-major, packed; a view where nothing has to change.

    Strings have none: they go in messages (`to_proto`).
    """
    code = to_code(array.dtype)
    flat = np.ascontiguousarray(array).reshape(-1)
    if code in _PACKED_BITS:
        return _pack(flat, _PACKED_BITS[code])
    # Types of ml_dtypes have no byte order of their own: they are always native.
    little = flat.dtype if code >= 16 else flat.dtype.newbyteorder("<")
    return flat.astype(little, copy=False).view(np.uint8)


def from_wire(data: Array, code: int, shape: Sequence[int]) -> Array:
    """The array whose payload is `data` (uint8); a view of it where nothing has to change."""
    if code in _PACKED_BITS:
        return _unpack(data, _PACKED_BITS[code], code, shape)
    return data.view(from_code(code)).reshape(shape)


def _utf8(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise TypeError(f"an array of objects is one of strings: str or bytes expected, got {type(text).__name__}")


def to_proto(array: Array, name: str = "") -> onnx_pb2.TensorProto:
    """A TensorProto with a copy of the array."""
    code = to_code(array.dtype)
    proto = onnx_pb2.TensorProto(name=name, data_type=code, dims=array.shape)
    if code == _STRING:
        proto.string_data.extend(_utf8(text) for text in array.reshape(-1))
    else:
        proto.raw_data = wire_bytes(array).tobytes()
    return proto


def from_proto(proto: onnx_pb2.TensorProto) -> Array:
    """The array of a TensorProto, writable and the caller's own. Strings come as an object array of `str`."""
    if proto.data_type == _STRING:
        strings = np.empty(len(proto.string_data), object)
        strings[:] = [s.decode("utf-8", "surrogateescape") for s in proto.string_data]
        return strings.reshape(tuple(proto.dims))
    data = np.frombuffer(bytearray(proto.raw_data), np.uint8)
    return from_wire(data, proto.data_type, tuple(proto.dims))


# What a name may stand for: an array, a sequence of arrays, or an optional without an element.
Item = Array | list[Array] | None


def is_sequence(value: Any) -> bool:
    """Whether a value is sent as a sequence: a list or tuple of arrays, or an empty one. Others become one array."""
    return isinstance(value, (list, tuple)) and all(isinstance(element, np.ndarray) for element in value)


def to_sequence(values: Sequence[Array], name: str) -> onnx_pb2.SequenceProto:
    """A SequenceProto with copies of the arrays."""
    kind = onnx_pb2.SequenceProto.TENSOR
    return onnx_pb2.SequenceProto(name=name, elem_type=kind, tensor_values=[to_proto(value) for value in values])


def items(
    tensors: Iterable[onnx_pb2.TensorProto],
    sequences: Iterable[onnx_pb2.SequenceProto],
    optionals: Iterable[onnx_pb2.OptionalProto],
) -> dict[str, Item]:
    """What an answer carries, by name."""
    found: dict[str, Item] = {tensor.name: from_proto(tensor) for tensor in tensors}
    found.update((s.name, [from_proto(tensor) for tensor in s.tensor_values]) for s in sequences)
    found.update((optional.name, None) for optional in optionals)
    return found


def spec_of(array: Array) -> gradwire_pb2.TensorSpec:
    """The TensorSpec of an array."""
    return gradwire_pb2.TensorSpec(dims=array.shape, data_type=to_code(array.dtype))
