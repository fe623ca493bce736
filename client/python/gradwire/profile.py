"""What the server ran for a session, operator by operator, for Perfetto (https://ui.perfetto.dev)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradwire.verbs import Verbs


class Profile:
    """Of the commands that a session sends within a block. Made by `Session.profile`.

    `events` are those of the Trace Event Format; what they hold, gradwire.proto says (ForwardRequest).
    """

    def __init__(self, session: Verbs, path: str | os.PathLike[str] | None) -> None:
        self.events: list[dict[str, Any]] = []
        self.left_out = 0
        self._session = session
        self._path = path

    @property
    def operators(self) -> list[dict[str, Any]]:
        """The events of operators, in the order in which they ran."""
        return [event for event in self.events if event["ph"] == "X"]

    def add(self, profile: str) -> None:
        """Takes in a response's `profile`. All are of one clock."""
        trace = json.loads(profile)
        self.events.extend(event for event in trace["traceEvents"] if event["ph"] != "M" or event not in self.events)
        self.left_out += trace.get("otherData", {}).get("left_out", 0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file that Perfetto and Chrome's tracing page open."""
        trace = {"traceEvents": self.events, "displayTimeUnit": "ns", "otherData": {"left_out": self.left_out}}
        Path(path).write_text(json.dumps(trace))

    def __enter__(self) -> Profile:
        self._session.begin_profile(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.end_profile(send=kind is None)
        if self._path is not None:
            self.save(self._path)
