"""The RPCs of a session under their own names: thin, immediate, arrays in and out."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradwire import commands, dtypes, transfer, wire
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.commands import Name, Optimizer, Request, names_of
from gradwire.dtypes import Array
from gradwire.pipeline import Pipeline
from gradwire.profile import Profile
from gradwire.shared import SharedMemory

if TYPE_CHECKING:
    from gradwire.client import Client

# Arrays above this travel by PutStream and FetchStream.
INLINE_BYTES = 4 << 20


def _has_strings(arrays: Mapping[str, Array]) -> bool:
    return any(dtypes.category(array.dtype) == dtypes.STRING for array in arrays.values())


class Verbs:
    """Verbs of one session. Each sends what the session still has to send first, then itself.

    Where an RPC takes names, a `Tensor` may stand for its own. Failures raise a GradwireError, and change nothing.
    """

    def __init__(self, client: Client, session_id: str, device: str) -> None:
        self.client = client
        self.id = session_id
        self.device = device
        self._lock = threading.RLock()
        # Numbers begin anywhere, so that clients that share a session do not take each other's.
        self._sequence = secrets.randbits(48)
        self._profile: Profile | None = None

    def _before_call(self) -> None:
        """Sends what waits. `Session` has such work."""

    def _next_sequence(self) -> int:
        with self._lock:
            self._sequence += 1
            return self._sequence

    def _send(self, method: str, request: Any) -> Any:
        message = wire.message_of(request)
        message.session_id = self.id
        if "sequence" in message.DESCRIPTOR.fields_by_name and not message.sequence:
            message.sequence = self._next_sequence()
        profile = self._profile if "profile" in message.DESCRIPTOR.fields_by_name else None
        if profile is not None:
            message.profile = True
        response = self.client.unary(method, request, self.id)
        if profile is not None:
            profile.add(response.profile)
        return response

    def _call(self, method: str, request: Any) -> Any:
        with self._lock:
            self._before_call()
            return self._send(method, request)

    # ------------------------------------------------------------ the session itself

    def keep_alive(self) -> float:
        """Renews the lease; returns its length in seconds."""
        response: pb.KeepAliveResponse = self._call("KeepAlive", pb.KeepAliveRequest())
        return float(response.lease.ToTimedelta().total_seconds())

    def describe(self) -> pb.DescribeSessionResponse:
        """Device, lease, bytes used and allowed, counts of tensors and programs."""
        response: pb.DescribeSessionResponse = self._call("DescribeSession", pb.DescribeSessionRequest())
        return response

    def move(self, device: str) -> str:
        """Has all of the session on another device of the server ("cpu" or "cuda:N"), graphs too; returns its name.

        Tensors keep their names, elements and gradients, random numbers go on. Raises DeviceNotFound, OutOfMemory,
        OpUnsupported for strings on a GPU, InvalidArgument where memory is shared; nothing has moved then.
        """
        response: pb.MoveSessionResponse = self._call("MoveSession", pb.MoveSessionRequest(device=device))
        self.device = response.device
        return self.device

    # ------------------------------------------------------------ arrays

    def put(self, tensors: Mapping[str, Any], *, requires_grad: bool = False) -> list[pb.TensorInfo]:
        """Binds each name to its array. Large ones are streamed, unless there are strings among them."""
        arrays = {name: dtypes.as_array(value) for name, value in tensors.items()}
        if not _has_strings(arrays) and sum(array.nbytes for array in arrays.values()) > INLINE_BYTES:
            return self.put_stream(arrays, requires_grad=requires_grad)
        request = wire.Feeding(pb.PutRequest(requires_grad=requires_grad), arrays)
        response: pb.PutResponse = self._call("Put", request)
        return list(response.tensors)

    def put_stream(
        self, tensors: Mapping[str, Any], *, requires_grad: bool = False, progress: bool | None = None
    ) -> list[pb.TensorInfo]:
        """Binds each name to its array, of any size; a progress bar counts bytes (None: only on a terminal).

        Raises TypeError for strings, which have no bytes to stream: `put` sends them.
        """
        arrays = {name: dtypes.as_array(value) for name, value in tensors.items()}
        if _has_strings(arrays):
            raise TypeError("arrays of strings cannot be streamed: send them with put")
        with self._lock:
            self._before_call()
            return self._put_stream(arrays, requires_grad, progress)

    def _put_stream(
        self, arrays: Mapping[str, Array], requires_grad: bool, progress: bool | None
    ) -> list[pb.TensorInfo]:
        sequence = self._next_sequence()
        response: pb.PutResponse = self.client.send_stream(
            "PutStream",
            lambda: transfer.put_chunks(self.id, sequence, arrays, requires_grad, progress),
            self.id,
        )
        return list(response.tensors)

    def put_chunks(self, chunks: Iterable[pb.PutChunk]) -> list[pb.TensorInfo]:
        """PutStream from messages made by the caller, who need not hold the array at once. Not tried again."""
        with self._lock:
            self._before_call()
            messages = iter(chunks)
            first = next(messages)
            first.session_id, first.sequence = self.id, self._next_sequence()

            def stream() -> Iterator[pb.PutChunk]:
                yield first
                yield from messages

            response: pb.PutResponse = self.client.send_stream("PutStream", stream, self.id, attempts=1)
            return list(response.tensors)

    def fetch(self, names: Iterable[Name]) -> list[Any]:
        """Arrays under these names, of at most a message's size together, as the caller's own.

        A sequence comes as a list of arrays, an optional without an element as None.
        """
        request = commands.fetch(names)
        return commands.fetched(request, self._call("Fetch", request))

    def fetch_stream(
        self, names: Iterable[Name], *, total: int = 0, progress: bool | None = None
    ) -> dict[str, Array]:
        """Arrays by name, of any size; each is allocated once. `total`: their bytes, for the progress bar."""
        return transfer.assemble(self.fetch_chunks(names), total, progress)

    def fetch_chunks(self, names: Iterable[Name], chunk_bytes: int = 0) -> Iterator[pb.FetchChunk]:
        """The messages of a FetchStream, for a caller who does not want to hold the array at once."""
        with self._lock:
            self._before_call()
            request = pb.FetchRequest(session_id=self.id, names=names_of(names), chunk_bytes=chunk_bytes)
            return self.client.receive_stream("FetchStream", request, self.id)

    def attach_memory(self, tensor_bytes: int, inbox_bytes: int) -> SharedMemory:
        """Memory shared with a server on this machine that runs with --shared_memory; once in a session's life.

        `tensor_bytes`: room for arrays that the session makes from now on and that are read in place. `inbox_bytes`:
        room for arrays on their way in; counts with the session's memory at once.
        """
        return SharedMemory(self, tensor_bytes, inbox_bytes)

    # ------------------------------------------------------------ compute

    def forward(self, nodes: Iterable[Any] = (), **options: Any) -> tuple[list[pb.TensorInfo], list[Any]]:
        """Runs nodes or a program; returns what was bound, and the arrays of `fetch`, sequences and optionals as `fetch`.

        Options: `commands.forward`.
        """
        feeds = dict(options.pop("feeds", None) or {})
        others = {name: value for name, value in feeds.items() if value is None or dtypes.is_sequence(value)}
        request = commands.forward(nodes, feeds=others, **options)
        arrays = {name: value for name, value in feeds.items() if name not in others}
        response: pb.ForwardResponse = self._call("Forward", commands.feeding(request, arrays))
        return list(response.outputs), commands.fetched(request, response)

    def backward(self, roots: Iterable[Name], **options: Any) -> list[pb.TensorInfo]:
        """Accumulates gradients; returns those that were written. Options: `commands.backward`."""
        response: pb.BackwardResponse = self._call("Backward", commands.backward(roots, **options))
        return list(response.gradients)

    def gradients(self, outputs: Iterable[Name], inputs: Iterable[Name], **options: Any) -> list[pb.TensorInfo]:
        """Binds gradients of the outputs with respect to the inputs. Options: `commands.gradients`."""
        response: pb.GradientsResponse = self._call("Gradients", commands.gradients(outputs, inputs, **options))
        return list(response.gradients)

    def jvp(
        self, outputs: Iterable[Name], tangents: Mapping[str, Any], **options: Any
    ) -> tuple[list[pb.TensorInfo], list[Array]]:
        """How the outputs move when inputs move along `tangents`; returns what was bound, and with `fetch` the arrays.

        Options: `commands.jvp`.
        """
        response: pb.JvpResponse = self._call("Jvp", commands.jvp(outputs, tangents, **options))
        return list(response.tangents), [dtypes.from_proto(tensor) for tensor in response.fetched]

    def hvp(
        self, output: Name, inputs: Iterable[Name], vectors: Mapping[str, Any], **options: Any
    ) -> tuple[list[pb.TensorInfo], list[Array]]:
        """The Hessian of a scalar times `vectors`; returns what was bound, and with `fetch` the arrays.

        Options: `commands.hvp`.
        """
        response: pb.HvpResponse = self._call("Hvp", commands.hvp(output, inputs, vectors, **options))
        return list(response.products), [dtypes.from_proto(tensor) for tensor in response.fetched]

    # ------------------------------------------------------------ bindings

    def detach(self, source: Name, to: Name | None = None, *, requires_grad: bool = False) -> pb.TensorInfo:
        """Binds `to` to a leaf that shares the storage of `source`."""
        response: pb.DetachResponse = self._call("Detach", commands.detach(source, to, requires_grad=requires_grad))
        return response.tensor

    def copy(self, source: Name, to: Name) -> pb.TensorInfo:
        """Binds `to` to the very tensor of `source`, graph included."""
        response: pb.CopyResponse = self._call("Copy", commands.copy(source, to))
        return response.tensor

    def delete(self, names: Iterable[Name], *, missing_ok: bool = False) -> None:
        """Unbinds names."""
        self._call("Delete", commands.delete(names, missing_ok=missing_ok))

    def list_tensors(self, prefix: str = "") -> list[pb.TensorInfo]:
        """What is bound under names that begin with `prefix`, in order of name."""
        response: pb.ListTensorsResponse = self._call("ListTensors", pb.ListTensorsRequest(prefix=prefix))
        return list(response.tensors)

    def describe_tensor(self, name: Name) -> pb.TensorInfo:
        """Dtype, shape and autograd state of one tensor."""
        request = pb.DescribeTensorRequest(name=commands.name_of(name))
        response: pb.DescribeTensorResponse = self._call("DescribeTensor", request)
        return response.tensor

    # ------------------------------------------------------------ optimizers

    def step(self, optimizer: Optimizer, parameters: Iterable[Name] = (), **options: Any) -> int:
        """Moves parameters along their gradients; returns how many moved. Options: `commands.step`."""
        response: pb.StepResponse = self._call("Step", commands.step(optimizer, parameters, **options))
        return response.stepped

    def zero_grad(self, parameters: Iterable[Name] = ()) -> None:
        """Unbinds gradients, all where none are named."""
        self._call("ZeroGrad", commands.zero_grad(parameters))

    # ------------------------------------------------------------ programs

    def load_program(
        self,
        program: str,
        model: bytes | None = None,
        *,
        graph: onnx_pb2.GraphProto | None = None,
        opset: Mapping[str, int] | None = None,
        parameter_prefix: str | None = None,
        trainable: bool = False,
        external: Mapping[str, Path] | None = None,
        progress: bool | None = None,
    ) -> pb.ProgramInfo:
        """Loads a serialized ONNX model, or a graph of nodes, under a name.

        `external`: files by the location under which initializers are kept there (`gradwire.external.files` finds them).
        Raises InvalidModel.
        """
        sequence = self._next_sequence()

        def messages() -> Iterator[pb.LoadProgramRequest]:
            first = pb.LoadProgramRequest(
                session_id=self.id,
                sequence=sequence,
                program=program,
                graph=graph,
                opset_import=commands.opset_ids(opset),
                parameter_prefix=parameter_prefix,
                trainable=trainable,
            )
            return transfer.model_chunks(first, model or b"", external or {}, progress)

        with self._lock:
            self._before_call()
            response: pb.LoadProgramResponse = self.client.send_stream("LoadProgram", messages, self.id)
            return response.program

    def list_programs(self) -> list[pb.ProgramInfo]:
        """The loaded programs."""
        response: pb.ListProgramsResponse = self._call("ListPrograms", pb.ListProgramsRequest())
        return list(response.programs)

    def describe_program(
        self, program: str, *, inputs: Mapping[str, pb.TensorSpec] | None = None, dims: Mapping[str, int] | None = None
    ) -> pb.DescribeProgramResponse:
        """What a program is and needs, and the shapes in it, given those of inputs and the extents of named dimensions."""
        request = pb.DescribeProgramRequest(program=program, inputs=inputs, dims=dims)
        response: pb.DescribeProgramResponse = self._call("DescribeProgram", request)
        return response

    def unload_program(self, program: str) -> None:
        """Forgets a program; its parameters stay bound."""
        self._call("UnloadProgram", pb.UnloadProgramRequest(program=program))

    def set_vjp(self, program: str, vjp: str | None) -> pb.ProgramInfo:
        """Makes the program `vjp` the derivative of another, whose operators give it again where None."""
        response: pb.SetVjpResponse = self._call("SetVjp", pb.SetVjpRequest(program=program, vjp=vjp or ""))
        return response.program

    # ------------------------------------------------------------ many at once

    def run(self, requests: Iterable[Request], *, sequence: int = 0) -> list[Any]:
        """Runs commands (made by `gradwire.commands`) in one round trip, all or none; returns their responses.

        `sequence`: repeats an earlier call's number, to send that call again safely; 0 takes the next.
        """
        request = wire.Run(pb.RunRequest(sequence=sequence), list(requests))
        response: pb.RunResponse = self._call("Run", request)
        return [commands.result_of(result) for result in response.results]

    def pipeline(self) -> Pipeline:
        """Commands without waiting, as a context manager: see `Pipeline`."""
        with self._lock:
            self._before_call()
            return Pipeline(self.client, self.id, self._next_sequence)

    def profile(self, path: str | os.PathLike[str] | None = None) -> Profile:
        """Records the operators behind what is done in a block, and writes them to `path` in its end.

            with session.profile("step.json") as profile:
                loss.backward()
                optimizer.step()

        A pipeline's commands are not in it: give each `profile=True`, and read its reply's `profile`.
        """
        return Profile(self, path)

    def begin_profile(self, profile: Profile) -> None:
        """Sends what waits, then profiles."""
        with self._lock:
            if self._profile is not None:
                raise RuntimeError("this session is being profiled already")
            self._before_call()
            self._profile = profile

    def end_profile(self, *, send: bool) -> None:
        """Profiles no more; with `send` only after what waits is sent."""
        with self._lock:
            try:
                if send:
                    self._before_call()
            finally:
                self._profile = None

    # ------------------------------------------------------------ graphs and files

    def get_graph(self, name: Name) -> pb.GetGraphResponse:
        """The autograd graph behind a tensor, as an ONNX model and as DOT. Raises NoGraph."""
        request = pb.GetGraphRequest(name=commands.name_of(name))
        response: pb.GetGraphResponse = self._call("GetGraph", request)
        return response

    def save(self, directory: str | os.PathLike[str], names: Iterable[Name] = ()) -> list[Path]:
        """SaveSession into a directory: `tensors.safetensors` and one `programs/NAME.onnx` a program."""
        with self._lock:
            self._before_call()
            request = pb.SaveSessionRequest(session_id=self.id, names=names_of(names))
            return transfer.write_files(self.client.receive_stream("SaveSession", request, self.id), Path(directory))

    def restore(self, directory: str | os.PathLike[str]) -> pb.RestoreSessionResponse:
        """RestoreSession from a directory that `save` wrote; its tensors become leaves."""
        sequence = self._next_sequence()
        with self._lock:
            self._before_call()
            response: pb.RestoreSessionResponse = self.client.send_stream(
                "RestoreSession", lambda: transfer.file_chunks(self.id, sequence, Path(directory)), self.id
            )
            return response
