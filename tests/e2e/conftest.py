"""One server for all tests of a run, a session for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradwire
from gradwire.testing import Server

ROOT = Path(__file__).resolve().parents[2]


def server_binary() -> Path:
    """GRADWIRE_SERVER, or the release build."""
    return Path(os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server"))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server(server_binary()) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[gradwire.Client]:
    with gradwire.connect(server.target, timeout=60) as connection:
        yield connection


@pytest.fixture
def session(client: gradwire.Client) -> Iterator[gradwire.Session]:
    with client.session(seed=7) as opened:
        yield opened
