"""What a failed call raises: one exception type for each reason of `status.proto`.

Every type is a `GradwireError`, itself a `RuntimeError` (what PyTorch raises), and also the built-in type that a Python
user would expect: a missing name is a `KeyError`, a shape that does not fit a `ValueError`, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

from gradwire._proto.gradwire.v1 import status_pb2

_DETAILS_KEY = "grpc-status-details-bin"

_SECOND_BACKWARD = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


class GradwireError(RuntimeError):
    """A call that the server, or the way to it, refused.

    `reason` is the stable name from `status.proto` ("" where there is none), `code` the gRPC status code, and `metadata`
    the details: `command`, `node`, `node_name`, `op`, `tensor`, `program`, `limit`, `used`, `requested`. `retry_after`:
    seconds after which the server thinks another attempt worth while, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.code = code
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class SessionNotFound(GradwireError, KeyError):
    """No session has this id."""


class SessionExpired(GradwireError, KeyError):
    """The session's lease ran out."""


class Unauthenticated(GradwireError, PermissionError):
    """The server asks for a token, and this was none of its tokens."""


class TensorNotFound(GradwireError, KeyError):
    """No tensor is bound to this name."""


class ProgramNotFound(GradwireError, KeyError):
    """No program has this name."""


class InvalidArgument(GradwireError, ValueError):
    """A field or attribute is malformed."""


class ShapeMismatch(GradwireError, ValueError):
    """Shapes do not fit together."""


class DtypeMismatch(GradwireError, TypeError):
    """Element types do not fit together."""


class InvalidModel(GradwireError, ValueError):
    """Not a well-formed ONNX model."""


class OpUnsupported(GradwireError, NotImplementedError):
    """The server has no such operator, opset version or element type."""


class DeviceNotFound(GradwireError, ValueError):
    """The server has no such device."""


class NotDifferentiable(GradwireError):
    """A gradient was asked of an operator that has none."""


class NoGraph(GradwireError):
    """The tensor has no autograd graph."""


class GraphFreed(GradwireError):
    """The graph was used up by an earlier backward pass without `retain_graph`."""

    def __str__(self) -> str:
        return f"{_SECOND_BACKWARD}\n{self.message}"


class NonFinite(GradwireError, ArithmeticError):
    """Anomaly detection found NaN or Inf; `metadata` names the node that made it."""


class SequenceReused(GradwireError):
    """Another payload came earlier under this sequence number."""


class DependencyFailed(GradwireError):
    """A pipelined command that this one depends on failed."""


class QuotaExceeded(GradwireError, MemoryError):
    """A limit of the session, its tenant or the server is reached."""


class OutOfMemory(GradwireError, MemoryError):
    """The device has no memory left."""


class DeviceFailed(GradwireError):
    """The session's device broke down."""


class Cancelled(GradwireError):
    """The call was cancelled."""


class DeadlineExceeded(GradwireError, TimeoutError):
    """The call's deadline passed."""


class Unavailable(GradwireError, ConnectionError):
    """The server cannot be reached, or is stopping; retries did not help."""


class InternalError(GradwireError):
    """A defect of the server."""


class NeverComputed(GradwireError):
    """The tensor's operation was given up when an earlier one, which it may depend on, failed."""


_BY_REASON: dict[str, type[GradwireError]] = {
    "SESSION_NOT_FOUND": SessionNotFound,
    "SESSION_EXPIRED": SessionExpired,
    "UNAUTHENTICATED": Unauthenticated,
    "TENSOR_NOT_FOUND": TensorNotFound,
    "PROGRAM_NOT_FOUND": ProgramNotFound,
    "INVALID_ARGUMENT": InvalidArgument,
    "SHAPE_MISMATCH": ShapeMismatch,
    "DTYPE_MISMATCH": DtypeMismatch,
    "INVALID_MODEL": InvalidModel,
    "OP_UNSUPPORTED": OpUnsupported,
    "DEVICE_NOT_FOUND": DeviceNotFound,
    "NOT_DIFFERENTIABLE": NotDifferentiable,
    "NO_GRAPH": NoGraph,
    "NON_FINITE": NonFinite,
    "GRAPH_FREED": GraphFreed,
    "SEQUENCE_REUSED": SequenceReused,
    "DEPENDENCY_FAILED": DependencyFailed,
    "QUOTA_EXCEEDED": QuotaExceeded,
    "OUT_OF_MEMORY": OutOfMemory,
    "DEVICE_FAILED": DeviceFailed,
    "CANCELLED": Cancelled,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "SHUTTING_DOWN": Unavailable,
    "INTERNAL": InternalError,
}

# For failures that gRPC itself reports, without details of ours.
_BY_CODE: dict[grpc.StatusCode, type[GradwireError]] = {
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.RESOURCE_EXHAUSTED: QuotaExceeded,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.INTERNAL: InternalError,
}

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def from_status(data: bytes) -> GradwireError:
    """The exception for a serialized google.rpc.Status."""
    status = status_pb2.RpcStatus.FromString(data)
    info = status_pb2.ErrorInfo()
    retry_after = None
    for detail in status.details:
        if detail.type_url.endswith("google.rpc.ErrorInfo"):
            info.ParseFromString(detail.value)
        elif detail.type_url.endswith("google.rpc.RetryInfo"):
            delay = status_pb2.RetryInfo.FromString(detail.value).retry_delay
            retry_after = delay.seconds + delay.nanos / 1e9
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, GradwireError)
    return kind(status.message, reason=info.reason, code=code, metadata=info.metadata, retry_after=retry_after)


def from_rpc_error(error: grpc.RpcError) -> GradwireError:
    """The exception for a failed gRPC call."""
    call: Any = error  # Every error of a call is also its grpc.Call.
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return from_status(value)
    code: grpc.StatusCode = call.code()
    return _BY_CODE.get(code, GradwireError)(call.details() or code.name, code=code)
