"""What the benchmarks run with: the programs, servers of one's own, and the measuring client."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import gradwire
from gradwire.testing import Server


class RawClient:
    """The measuring client (raw/client.cc): one measurement a line."""

    def __init__(self, binary: Path) -> None:
        self.process = subprocess.Popen([str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, do: str, **values: Any) -> dict[str, Any]:
        """What raw/measure.h says of `do`. Raises RuntimeError."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"do": do, **values}), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline() or '{"error": "the client died"}')
        if "error" in answer:
            raise RuntimeError(f"{do}: {answer['error']}")
        return answer

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    return time.clock_gettime((~pid << 3) | 2)  # the clock id of a process: clock_getcpuclockid(3)


def resident_bytes(pid: int) -> int:
    """What a process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))


@dataclass
class Setting:
    """Where the programs are, and how much is asked of them."""

    build: Path
    pairs: int = 20
    large: bool = False

    def server(self, *flags: str) -> Server:
        return Server(self.build / "gradwire-server", flags)

    def raw_server(self, *flags: str) -> Server:
        return Server(self.build / "gradwire-raw-server", flags)

    def raw_client(self) -> RawClient:
        return RawClient(self.build / "gradwire-raw-client")

    @contextmanager
    def client(self) -> Iterator[gradwire.Client]:
        """A client of a server that is its own."""
        with self.server() as server, gradwire.connect(server.target) as client:
            yield client


@contextmanager
def listening_flags(transport: str) -> Iterator[list[str]]:
    """Flags with which a server, ours or raw, listens on "TCP" (loopback) or at a "UNIX" socket."""
    if transport == "TCP":
        yield []
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield [f"--host=unix:{folder}/socket"]
