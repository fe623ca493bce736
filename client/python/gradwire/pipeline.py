"""Commands sent without waiting for one another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gradwire import commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb

if TYPE_CHECKING:
    from gradwire.client import Client


class Reply:
    """The answer to one pipelined command, once it is there."""

    def __init__(self, pipeline: Pipeline, sequence: int) -> None:
        self._pipeline = pipeline
        self.sequence = sequence
        self.seen = False
        self.outcome: pb.PipelineResponse | None = None

    def result(self) -> Any:
        """Waits for the command's response. Raises its GradwireError, DependencyFailed where an earlier one failed."""
        self.seen = True
        while self.outcome is None:
            self._pipeline.receive()
        if self.outcome.WhichOneof("outcome") == "error":
            raise errors.from_status(self.outcome.error)
        return commands.result_of(self.outcome.result)


class Pipeline:
    """A stream of commands. Leaving its `with` block waits for all of them and raises the first error nobody looked at.

    Each command is atomic by itself; one that fails poisons the names that it would have bound.
    """

    def __init__(self, client: Client, session_id: str, next_sequence: Callable[[], int]) -> None:
        self._requests: SimpleQueue[pb.PipelineRequest | None] = SimpleQueue()
        self._session_id = session_id
        self._next_sequence = next_sequence
        self._waiting: deque[Reply] = deque()
        self._failed: list[Reply] = []
        self._started = False
        self._responses = client.receive_stream("Pipeline", self._sending(), session_id)

    def _sending(self) -> Iterator[pb.PipelineRequest]:
        while (request := self._requests.get()) is not None:
            yield request

    def send(self, request: commands.Request) -> Reply:
        """Sends a command (made by `gradwire.commands`)."""
        message = pb.PipelineRequest(sequence=self._next_sequence())
        if not self._started:
            message.session_id = self._session_id
            self._started = True
        commands.set_command(message.command, request)
        reply = Reply(self, message.sequence)
        self._waiting.append(reply)
        self._requests.put(message)
        return reply

    def receive(self) -> None:
        """Waits for the next reply."""
        response = next(self._responses, None)
        if response is None:
            raise errors.Unavailable("the server ended the pipeline early")
        reply = self._waiting.popleft()
        reply.outcome = response
        if response.WhichOneof("outcome") == "error":
            self._failed.append(reply)

    def close(self) -> None:
        """Ends the stream and waits for what is under way."""
        self._requests.put(None)
        while self._waiting:
            self.receive()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None:
            for reply in self._failed:
                if not reply.seen:
                    reply.result()
