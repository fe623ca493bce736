"""A session: its tensors as Python objects, and their operations sent in batches.

An operation on tensors is only noted down. What is noted travels in one Run when something is asked for: an array, a
number, a shape that cannot be known here, `flush()`, or any verb of `Verbs`. An error of a noted operation surfaces
then, with a note that names the line it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakSet

from gradwire import commands, errors
from gradwire.autograd import is_anomaly_enabled
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.batch import Entry, call_site
from gradwire.dtypes import Array
from gradwire.lazy import clears
from gradwire.operations import Operations
from gradwire.tensor import Tensor
from gradwire.verbs import INLINE_BYTES

if TYPE_CHECKING:
    from gradwire.client import Client


class Session(Operations):
    """An isolated namespace of tensors on a server. Made by `Client.session`."""

    def __init__(self, client: Client, session_id: str, device: str) -> None:
        super().__init__(client, session_id, device)
        # Intermediate tensors whose gradient is to be kept.
        self.retaining: WeakSet[Tensor] = WeakSet()

    # ------------------------------------------------------------ arrays

    def fetch_tensors(self, tensors: Sequence[Tensor], *, progress: bool | None = None) -> list[Array]:
        """Arrays of several tensors, with all that waits, in one round trip; large ones come by FetchStream.

        With strings among them all come in one message.
        """
        with self._lock:
            if any(t.checked().local_nbytes() is None for t in tensors):
                self.flush()
            total = sum(t.resolved_nbytes() for t in tensors)
            names = [t.name for t in tensors]
            strings = any(t.dtype == object for t in tensors)
            if total <= INLINE_BYTES or strings:
                return self._flush(names)
            arrays = self.fetch_stream(dict.fromkeys(names), total=total, progress=progress)
            return [arrays[name] for name in names]

    # ------------------------------------------------------------ gradients

    def lazy_backward(
        self,
        root: Tensor,
        seed: Tensor | None,
        inputs: Sequence[Tensor],
        *,
        retain_graph: bool,
        create_graph: bool,
    ) -> None:
        """Notes down a Backward."""
        with self._lock:
            kept = [t for t in self.retaining if t.binding.requires_grad and t.binding.error is None]
            request = commands.backward(
                [root.checked()],
                seeds=None if seed is None else {root.name: seed.name},
                retain_graph=retain_graph,
                create_graph=create_graph,
                inputs=inputs,
                retain_grad=kept,
                detect_anomaly=is_anomaly_enabled(),
            )
            reads = [root, *([] if seed is None else [seed]), *inputs, *kept]
            self._walk(request, reads, [root], retain_graph or create_graph, ())

    def lazy_gradients(
        self,
        roots: Sequence[Tensor],
        inputs: Sequence[Tensor],
        seeds: Sequence[Tensor | None],
        *,
        retain_graph: bool,
        create_graph: bool,
        allow_unused: bool,
    ) -> list[Tensor]:
        """Notes down a Gradients; its results."""
        with self._lock:
            results = self._derivatives("Gradient", inputs, create_graph)
            request = commands.gradients(
                roots,
                inputs,
                names=results,
                seeds={r.name: s.name for r, s in zip(roots, seeds, strict=True) if s is not None},
                retain_graph=retain_graph,
                create_graph=create_graph,
                allow_unused=allow_unused,
                detect_anomaly=is_anomaly_enabled(),
            )
            reads = [*roots, *inputs, *(s for s in seeds if s is not None)]
            self._walk(request, reads, roots, retain_graph or create_graph, tuple(r.name for r in results))
            return results

    def lazy_jvp(
        self, outputs: Sequence[Tensor], inputs: Sequence[Tensor], tangents: Sequence[Tensor], *, create_graph: bool
    ) -> list[Tensor]:
        """Notes down a Jvp; its results."""
        with self._lock:
            results = self._derivatives("Jvp", outputs, create_graph)
            request = commands.jvp(
                outputs,
                {i.name: t.name for i, t in zip(inputs, tangents, strict=True)},
                names=results,
                create_graph=create_graph,
                detect_anomaly=is_anomaly_enabled(),
            )
            reads = [*outputs, *inputs, *tangents]
            self._walk(request, reads, outputs, create_graph, tuple(r.name for r in results))
            return results

    def lazy_hvp(
        self, output: Tensor, inputs: Sequence[Tensor], vectors: Sequence[Tensor], *, create_graph: bool
    ) -> list[Tensor]:
        """Notes down an Hvp; its results."""
        with self._lock:
            results = self._derivatives("Hvp", inputs, create_graph)
            request = commands.hvp(
                output,
                inputs,
                {i.name: v.name for i, v in zip(inputs, vectors, strict=True)},
                names=results,
                create_graph=create_graph,
                detect_anomaly=is_anomaly_enabled(),
            )
            reads = [output, *inputs, *vectors]
            self._walk(request, reads, [output], create_graph, tuple(r.name for r in results))
            return results

    def _derivatives(self, kind: str, of: Iterable[Tensor], create_graph: bool) -> list[Tensor]:
        """Results of the specs of `of`."""
        return [
            Tensor(
                self,
                self._binding(
                    None, t.binding.spec, requires_grad=create_graph, grad_fn=kind if create_graph else ""
                ),
            )
            for t in of
        ]

    def _walk(
        self,
        request: commands.Request,
        reads: Iterable[Tensor],
        roots: Iterable[Tensor],
        keeps_graph: bool,
        writes: tuple[str, ...],
    ) -> None:
        stale = any(root.binding.epoch < self._epoch for root in roots)
        self._add(Entry(request, tuple(t.name for t in reads), writes, call_site(), pure=False))
        if not keeps_graph:
            self._epoch += 1
        if stale:  # A part of the graph may be freed: the error belongs to this line.
            self.flush()

    def gradient_of(self, leaf: Tensor) -> Tensor | None:
        """The gradient that `leaf` has collected, None where it has none; asks the server only where it must."""
        with self._lock:
            bound = leaf.name in self._gradients
            for entry in self._batch.entries:
                if isinstance(entry.work, pb.BackwardRequest) and not bound:
                    self.flush()
                    bound = leaf.name in self._gradients
                    break
                if clears(entry.work, leaf.name):
                    bound = False
            if not bound:
                return None
            info = self._gradients.get(leaf.name)
            name, spec = f"grad/{leaf.name}", leaf.binding.spec
            return Tensor(self, self._binding(name, spec, requires_grad=info is not None and info.requires_grad))

    def lazy_step(self, request: pb.StepRequest, parameters: Iterable[Tensor]) -> None:
        """Notes down a Step."""
        with self._lock:
            names = tuple(t.name for t in parameters)
            self._stepped.update(names)
            self._add(Entry(request, names, (), call_site(), pure=False))

    def lazy_zero_grad(self, parameters: Iterable[Tensor]) -> None:
        """Notes down a ZeroGrad."""
        with self._lock:
            request = commands.zero_grad(parameters)
            if request.parameters:
                self._add(Entry(request, tuple(request.parameters), (), call_site(), pure=False))

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Frees all that the session holds on the server. What waits is not sent."""
        self._batch.clear()
        self._send("CloseSession", pb.CloseSessionRequest())

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except errors.GradwireError:
            if kind is None:
                raise
