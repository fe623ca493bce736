"""What the tests of gradients share: a server, and the outcomes of differences for every operator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gradient_outcomes import Outcome, differentiable_ops, run, server_binary

from gradwire.client import Client, connect
from gradwire.testing import Server


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with Server(server_binary()) as server, connect(server.target, timeout=300) as connection:
        yield connection


@pytest.fixture(scope="session")
def differences() -> dict[str, Outcome]:
    return run(differentiable_ops())
