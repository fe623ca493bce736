"""What a session has not sent yet, and what it knows: the batch, the bindings, and the answers that update them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from gradwire import commands, dtypes, errors, wire
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.batch import Batch, Entry
from gradwire.binding import OWN_PREFIX, Binding
from gradwire.dtypes import Array
from gradwire.infer import Spec
from gradwire.verbs import INLINE_BYTES, Verbs

if TYPE_CHECKING:
    from gradwire.client import Client

# A batch is sent by itself when it has this many commands, or bytes of arrays.
_MAX_ENTRIES = 2000
_MAX_PUT_BYTES = 4 * INLINE_BYTES


class LazySession(Verbs):
    """Notes commands down, and sends them together."""

    def __init__(self, client: Client, session_id: str, device: str) -> None:
        super().__init__(client, session_id, device)
        self._batch = Batch()
        self._numbers = itertools.count(1)
        self._bindings: WeakValueDictionary[str, Binding] = WeakValueDictionary()
        # Names of our making that the server holds, and those that nobody can read any more.
        self._bound: set[str] = set()
        self._dropped: deque[str] = deque()
        # Gradients that are bound, and parameters that have optimizer state, by the leaf's name.
        self._gradients: dict[str, pb.TensorInfo] = {}
        self._stepped: set[str] = set()
        # Counts the backward passes that freed a graph.
        self._epoch = 0

    def _alive(self, name: str) -> bool:
        """Whether somebody may still read a name: one that the user gave, or one that an object stands for."""
        return not name.startswith(OWN_PREFIX) or name in self._bindings

    def _binding(self, name: str | None, spec: Spec, *, requires_grad: bool = False, grad_fn: str = "") -> Binding:
        """What stands for a name; a new name where None."""
        binding = self._bindings.get(name) if name is not None else None
        if binding is None:
            binding = Binding(name if name is not None else f"{OWN_PREFIX}{next(self._numbers)}", self._dropped)
            self._bindings[binding.name] = binding
        binding.spec, binding.requires_grad, binding.grad_fn = spec, requires_grad, grad_fn
        binding.epoch, binding.error = self._epoch, None
        return binding

    # ------------------------------------------------------------ sending

    def _add(self, entry: Entry) -> None:
        self._batch.add(entry)
        self._flush_if_large()

    def _flush_if_large(self) -> None:
        if len(self._batch.entries) >= _MAX_ENTRIES or self._batch.put_bytes >= _MAX_PUT_BYTES:
            self.flush()

    def _before_call(self) -> None:
        if self._batch:
            self.flush()

    def move(self, device: str) -> str:
        """As `Verbs.move`. Tensors that nobody can read any more are deleted first."""
        with self._lock:
            self.flush()
            return super().move(device)

    def flush(self) -> None:
        """Sends what waits, in one round trip. Raises the GradwireError of the operation that failed."""
        self._flush(())

    def _flush(self, fetch: Sequence[str]) -> list[Array]:
        with self._lock:
            stale = self._drain_dropped()
            if not self._batch and not fetch and not stale:
                return []
            built = self._batch.build(fetch, self._alive, stale)
            if not built.request.requests:
                self._batch.clear()
                return []
            try:
                response: pb.RunResponse = self._send("Run", built.request)
            except errors.GradwireError as error:
                failed = built.failed_entry(error.metadata)
                if failed is not None:
                    error.add_note("the operation was called at {}:{}".format(*failed.site))
                self._poison(self._batch.give_up(failed), error)
                self._dropped.extend(stale)
                raise
            self._batch.clear()
            fetched = (result.fetch.tensors for result in response.results if result.WhichOneof("result") == "fetch")
            return [dtypes.from_proto(tensor) for tensors in fetched for tensor in tensors]

    def _poison(self, names: Iterable[str], error: errors.GradwireError) -> None:
        """Marks what will not be bound; a name that the server holds, or will, keeps its earlier tensor."""
        for name in names:
            binding = self._bindings.get(name)
            if binding is not None and name.startswith(OWN_PREFIX):
                if name not in self._bound and name not in self._batch.puts:
                    binding.error = error

    def _drain_dropped(self) -> list[str]:
        """Names to delete of objects that are gone, with the gradients and optimizer state kept under them."""
        stale: list[str] = []
        while self._dropped:
            name = self._dropped.popleft()
            if name in self._bound and name not in self._bindings:
                stale.append(name)
                if name in self._gradients:
                    stale.append(f"grad/{name}")
                if name in self._stepped:
                    stale.extend(f"optim/{name}/{state}" for state in "vht")
                    self._stepped.discard(name)
            elif not name.startswith(OWN_PREFIX):
                stale.append(name)
        return stale

    # ------------------------------------------------------------ learning from answers

    def _send(self, method: str, request: Any) -> Any:
        response = super()._send(method, request)
        if isinstance(request, wire.Run):
            for command, result in zip(request.requests, response.results, strict=True):
                self._absorb(wire.message_of(command), commands.result_of(result))
        else:
            self._absorb(wire.message_of(request), response)
        return response

    def _absorb(self, request: Any, response: Any) -> None:
        if isinstance(response, pb.PutResponse):
            self._learn(response.tensors)
        elif isinstance(response, pb.ForwardResponse):
            self._learn(response.outputs)
        elif isinstance(response, (pb.DetachResponse, pb.CopyResponse)):
            self._learn([response.tensor])
        elif isinstance(response, (pb.BackwardResponse, pb.GradientsResponse)):
            self._learn(response.gradients)
        elif isinstance(response, pb.JvpResponse):
            self._learn(response.tangents)
        elif isinstance(response, pb.HvpResponse):
            self._learn(response.products)
        elif isinstance(request, pb.DeleteRequest):
            self._bound.difference_update(request.names)
            for name in request.names:
                self._gradients.pop(name.removeprefix("grad/"), None)
        elif isinstance(request, (pb.StepRequest, pb.ZeroGradRequest)):
            for name in [name for name in self._gradients if clears(request, name)]:
                del self._gradients[name]

    def _learn(self, infos: Iterable[pb.TensorInfo]) -> None:
        for info in infos:
            if info.name.startswith(OWN_PREFIX):
                self._bound.add(info.name)
            binding = self._bindings.get(info.name)
            if binding is not None:
                binding.spec = Spec(dtypes.from_code(info.spec.data_type), tuple(info.spec.dims), binding.spec.value)
                binding.requires_grad, binding.grad_fn = info.requires_grad, info.grad_fn
            if info.name.startswith("grad/"):
                leaf = info.name.removeprefix("grad/")
                self._gradients[leaf] = info
                if leaf.startswith(OWN_PREFIX) and leaf not in self._bindings:
                    self._dropped.append(info.name)


def clears(request: onnx_pb2.NodeProto | commands.Request, leaf: str) -> bool:
    """Whether a command unbinds the gradient of `leaf`."""
    if isinstance(request, pb.ZeroGradRequest) or (isinstance(request, pb.StepRequest) and request.zero_grad):
        return not request.parameters or leaf in request.parameters
    return False
