"""Memory shared with a server on the same machine: arrays in without the network, and out without a copy."""

from __future__ import annotations

import mmap
import os
import socket
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from gradwire import commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.commands import Name
from gradwire.dtypes import Array

if TYPE_CHECKING:
    from gradwire.verbs import Verbs

_ALIGNMENT = 64
_TIMEOUT_S = 10.0


def _descriptors(path: str, ticket: str) -> list[int]:
    """Those of the tensors' segment and the inbox, from the server's socket. Raises OSError."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        for end in (ours, door):
            end.settimeout(_TIMEOUT_S)
        door.connect(path)
        socket.send_fds(door, [ticket.encode()], [theirs.fileno()])
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 2)
    if len(descriptors) != 2:
        raise OSError(f"the server gave no shared memory at {path}")
    return descriptors


class SharedMemory:
    """What a session shares with this process. Made by `Session.attach_memory`.

    Arrays that `fetch` returns stay valid while they, or views of them, exist, also after the session has ended.
    """

    def __init__(self, verbs: Verbs, tensor_bytes: int, inbox_bytes: int) -> None:
        """Raises InvalidArgument where the server shares no memory, QuotaExceeded, and OSError."""
        self._verbs = verbs
        request = pb.AttachMemoryRequest(tensor_bytes=tensor_bytes, inbox_bytes=inbox_bytes)
        answer: pb.AttachMemoryResponse = verbs._call("AttachMemory", request)
        tensors, inbox = _descriptors(answer.socket, answer.ticket)
        try:
            self._tensors = mmap.mmap(tensors, answer.tensor_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
            self._inbox = np.frombuffer(mmap.mmap(inbox, answer.inbox_bytes), np.uint8)
        finally:
            os.close(tensors)
            os.close(inbox)
        self._used = 0
        # Filled by finalizers, which may run at any time: nothing is sent from there.
        self._unread: deque[int] = deque()

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike = np.float32) -> Array:
        """An array in the inbox, to be filled and then `put`. Raises MemoryError when the inbox is full."""
        wanted = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * wanted.itemsize
        begin = -(-self._used // _ALIGNMENT) * _ALIGNMENT
        if begin + size > self._inbox.size:
            raise MemoryError(f"{size} bytes asked for, {max(0, self._inbox.size - begin)} of the inbox are free")
        self._used = begin + size
        return self._inbox[begin : begin + size].view(wanted).reshape(shape)

    def clear(self) -> None:
        """Makes room in the inbox again: arrays of `empty` so far are no longer to be used."""
        self._used = 0

    def put(self, arrays: Mapping[str, Array], *, requires_grad: bool = False) -> list[pb.TensorInfo]:
        """Binds each name to its array, which `empty` made. Raises ValueError for any other."""
        request = pb.PutSharedRequest(requires_grad=requires_grad)
        for name, array in arrays.items():
            request.arrays.add(name=name, spec=dtypes.spec_of(array), offset=self._offset(name, array))
        response: pb.PutSharedResponse = self._verbs._call("PutShared", request)
        return list(response.tensors)

    def fetch(self, names: Iterable[Name]) -> list[Array]:
        """Arrays under these names: in place and read-only where they lie in shared memory, copies where not."""
        wanted = [commands.name_of(name) for name in names]
        release = [self._unread.popleft() for _ in range(len(self._unread))]
        request = pb.FetchSharedRequest(names=wanted, release=release)
        try:
            answer: pb.FetchSharedResponse = self._verbs._call("FetchShared", request)
        except BaseException:
            self._unread.extend(release)
            raise
        arrays = {one.array.name: self._array(one) for one in answer.found if one.held}
        elsewhere = [name for name in wanted if name not in arrays]
        if elsewhere:
            arrays.update(self._verbs.fetch_stream(dict.fromkeys(elsewhere)))
        return [arrays[name] for name in wanted]

    def _array(self, found: pb.FetchSharedResponse.Found) -> Array:
        spec = found.array.spec
        size = dtypes.nbytes(dtypes.from_code(spec.data_type), tuple(spec.dims))
        payload = np.frombuffer(self._tensors, np.uint8, size, found.array.offset)
        weakref.finalize(payload, self._unread.append, found.held).atexit = False
        return dtypes.from_wire(payload, spec.data_type, tuple(spec.dims))

    def _offset(self, name: str, array: Any) -> int:
        offset = array.__array_interface__["data"][0] - self._inbox.__array_interface__["data"][0]
        if dtypes.nbytes(array.dtype, array.shape) != array.nbytes:
            raise ValueError(f"tensor '{name}': {array.dtype} is packed on the wire, and not in memory")
        if not array.flags.c_contiguous or not 0 <= offset <= self._inbox.size - array.nbytes:
            raise ValueError(f"tensor '{name}' is no contiguous array of the inbox: make it with empty()")
        return int(offset)
