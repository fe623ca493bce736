"""One server for all clients."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import certificates
import pytest
from commands import HERE, ROOT, output

from gradwire.testing import Server

TOKEN = "a user's token"


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
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server that asks for a certificate and a token, as clients' own tests find it in their environment: its address,
    the folder that has ca.pem, client.pem and client.key, and the token."""
    folder = certificates.make(tmp_path_factory.mktemp("secured"))
    tokens = folder / "tokens.json"
    tokens.write_text(json.dumps({"tenants": {"us": {"sha256": [hashlib.sha256(TOKEN.encode()).hexdigest()]}}}))
    (folder / "token").write_text(TOKEN + "\n")
    flags = [f"--tls_cert={folder / 'server.pem'}", f"--tls_key={folder / 'server.key'}",
             f"--tls_client_ca={folder / 'ca.pem'}", f"--tokens_file={tokens}"]  # fmt: skip
    with Server(server_binary(), flags) as running:
        yield {
            "GRADWIRE_SECURED_TARGET": running.target,
            "GRADWIRE_CERTIFICATES": str(folder),
            "GRADWIRE_TOKEN": TOKEN,
        }


@pytest.fixture(scope="session")
def expected(server: Server) -> str:
    """What the scenario prints through the Python client: the other clients must print the same."""
    return output([sys.executable, str(HERE / "scenario.py"), server.target, str(HERE / "scenario.json")])
