"""A server of one's own, on a free port of the loopback interface, for tests and examples."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from types import TracebackType

_STOP_S = 30


class Server:
    """A server process. Stops with `stop()` or as a context manager."""

    def __init__(self, binary: str | os.PathLike[str], flags: Sequence[str] = ()) -> None:
        """Starts `binary` and waits until it listens. Raises RuntimeError, with what it printed, if it ends instead."""
        self._log = tempfile.TemporaryFile(mode="w+b")
        self.process = subprocess.Popen(
            [os.fspath(binary), "--host", "127.0.0.1", "--port", "0", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            self.target = self._listening()
        except BaseException:
            self.stop()
            raise

    def _listening(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("listening on "):
                return line.split()[2]
        raise RuntimeError(f"the server ended before it listened:\n{self.log()}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def log(self) -> str:
        """What it wrote to stderr so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def peak_rss(self) -> int:
        """The most memory it ever had resident, in bytes (Linux)."""
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))

    def stop(self) -> int:
        """Asks it to end (SIGTERM), waits for it, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()
        return status

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
