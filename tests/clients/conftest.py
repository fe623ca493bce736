"""One server for all clients."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import HERE, ROOT, output

from gradwire.testing import Server



def server_binary() -> Path:
    """GRADWIRE_SERVER, or the release build."""
    return Path(os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server"))


@pytest.fixture(scope="session")
def build() -> Path:
    """The build folder that the server is from."""
    return server_binary().parent


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server(server_binary()) as running:
        yield running


@pytest.fixture(scope="session")
def expected(server: Server) -> str:
    """What the scenario prints through the Python client: the other clients must print the same."""
    return output([sys.executable, str(HERE / "scenario.py"), server.target, str(HERE / "scenario.json")])
