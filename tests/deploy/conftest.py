"""What the tests of deploy/ share."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def server_binary() -> Path:
    """GRADWIRE_SERVER, or the release build."""
    return Path(os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server"))


def wait_for(target: str, seconds: float = 30) -> None:
    """Returns once something listens at "host:port". Raises OSError when nothing does for so long."""
    host, port = target.rsplit(":", 1)
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=seconds).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
