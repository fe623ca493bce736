"""The connection to a server: channel, retries, errors, and a count of the calls made."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration

from gradwire import errors, heap, wire
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import gradwire_pb2_grpc
from gradwire.credentials import Tls
from gradwire.session import Session

_T = TypeVar("_T")

_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Retries are ours: they reuse a command's sequence number.
    ("grpc.enable_retries", 0),
]
_FIRST_BACKOFF_S = 0.05


class Client:
    """A connection to a server. Closes with `close()` or as a context manager; may be shared by threads."""

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | bool = False,
        token: str | None = None,
        timeout: float | None = None,
        attempts: int = 4,
    ) -> None:
        """`tls`: speak TLS, with the system's authorities where it is just True. `token`: shown to the server with each
        call; who reads the network reads it too, but for TLS. `timeout`: seconds that one call may take. `attempts`: how
        often a call is tried while UNAVAILABLE. The process's memory: see `heap.keep_freed_memory`.
        """
        heap.keep_freed_memory()
        if tls is False:
            self._channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
        else:
            tls = Tls() if tls is True else tls
            self._channel = grpc.secure_channel(target, tls.credentials(), options=_CHANNEL_OPTIONS + tls.options())
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        make_stub: Any = gradwire_pb2_grpc.GradwireStub
        self._stub = make_stub(_Wire(self._channel))
        self._attempts = attempts
        self.target = target
        self.timeout = timeout
        self.calls: Counter[str] = Counter()

    @property
    def channel(self) -> grpc.Channel:
        """The gRPC channel, for health checks, reflection or a bare stub."""
        return self._channel

    @property
    def rpc_count(self) -> int:
        """Calls sent so far, retries included; `calls` has them by name."""
        return self.calls.total()

    def session(
        self,
        device: str = "cpu",
        *,
        lease: float | None = None,
        max_bytes: int = 0,
        seed: int | None = None,
        allow_tf32: bool = False,
        allow_half_sums: bool = False,
        allow_nondeterministic: bool = False,
    ) -> Session:
        """Opens a session, which closes as a context manager.

        `lease`: seconds that it lives without a call (None: the server's default). `max_bytes`: limit of its tensor
        memory (0: the server's). `seed`: of its random generator. What a GPU may do to be faster: round the
        factors of float32 products to 10 bits of mantissa (`allow_tf32`), partial sums of 16-bit products to 16 bits
        (`allow_half_sums`), add up in another order each time (`allow_nondeterministic`). Raises DeviceNotFound,
        QuotaExceeded.
        """
        # The id is ours, so that a balancer in between sends this call already where the session will be.
        session_id = secrets.token_hex(16)
        request = pb.OpenSessionRequest(
            device=device,
            max_bytes=max_bytes,
            seed=seed,
            session_id=session_id,
            allow_tf32=allow_tf32,
            allow_half_sums=allow_half_sums,
            allow_nondeterministic=allow_nondeterministic,
        )
        if lease is not None:
            request.lease.CopyFrom(duration(lease))
        return Session(self, self.unary("OpenSession", request, session_id).session_id, device)

    def server_info(self) -> pb.GetServerInfoResponse:
        """Version, devices, limits and the support matrix."""
        response: pb.GetServerInfoResponse = self.unary("GetServerInfo", pb.GetServerInfoRequest())
        return response

    def unary(self, method: str, request: Any, session_id: str = "") -> Any:
        """Calls `method` with what `wire.serialize` takes; again while the server is UNAVAILABLE. Raises a GradwireError."""
        data = wire.serialize(request)
        return self._try(method, lambda rpc, options: rpc(data, **options), session_id)

    def send_stream(
        self, method: str, requests: Callable[[], Iterable[Any]], session_id: str = "", *, attempts: int | None = None
    ) -> Any:
        """Calls a client-streaming method; `requests` makes the messages anew for each try."""
        return self._try(method, lambda rpc, options: rpc(iter(requests()), **options), session_id, attempts)

    def receive_stream(self, method: str, request: Any, session_id: str = "") -> Iterator[Any]:
        """Calls a streaming method at once, with one request or an iterator of them; the responses come as they arrive."""
        self.calls[method] += 1
        return _responses(getattr(self._stub, method)(request, **self._options(session_id)))

    def close(self) -> None:
        """Closes the channel. Sessions that are open live on until their lease ends."""
        self._channel.close()

    def _options(self, session_id: str) -> dict[str, Any]:
        session = (("gradwire-session", session_id),) if session_id else ()
        return {"timeout": self.timeout, "metadata": (*session, *self._metadata)}

    def _try(
        self, method: str, send: Callable[[Any, dict[str, Any]], _T], session_id: str, attempts: int | None = None
    ) -> _T:
        attempts = attempts or self._attempts
        for attempt in range(attempts):
            self.calls[method] += 1
            try:
                return send(getattr(self._stub, method), self._options(session_id))
            except grpc.RpcError as error:
                failure = errors.from_rpc_error(error)
                if failure.code != grpc.StatusCode.UNAVAILABLE or attempt == attempts - 1:
                    raise failure from error
            time.sleep(max(_FIRST_BACKOFF_S * 2**attempt, failure.retry_after or 0))
        raise ValueError("a client needs at least one attempt a call")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Wire:
    """A channel whose unary calls take bytes."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, **options: Any) -> Any:
        return self._channel.unary_unary(method, **{**options, "request_serializer": None})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def _responses(call: Any) -> Iterator[Any]:
    try:
        yield from call
    except grpc.RpcError as error:
        raise errors.from_rpc_error(error) from error
    finally:
        call.cancel()


def duration(seconds: float) -> Duration:
    """Seconds as a google.protobuf.Duration."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def connect(
    target: str = "127.0.0.1:50051",
    *,
    tls: Tls | bool = False,
    token: str | None = None,
    timeout: float | None = None,
    attempts: int = 4,
) -> Client:
    """A client of the server at `target` ("host:port"); see `Client` for the options. Connects at the first call."""
    return Client(target, tls=tls, token=token, timeout=timeout, attempts=attempts)
