"""What libraries read before the server's main() begins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import server_binary

from gradwire.testing import Server


def environment(server: Server) -> dict[str, str]:
    pairs = Path(f"/proc/{server.process.pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


@pytest.mark.files
def test_the_server_starts_with_what_openmp_and_jemalloc_are_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADWIRE_THREADS", "1")
    with Server(server_binary()) as server:
        found = environment(server)
    assert found["OMP_WAIT_POLICY"] == "active" and int(found["GOMP_SPINCOUNT"]) > 0
    assert "background_thread:true" in found["MALLOC_CONF"] and "narenas:1" in found["MALLOC_CONF"].split(",")


@pytest.mark.files
def test_what_the_server_allocates_is_jemallocs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_CONF", "stats_print:true")
    ended = subprocess.run([server_binary(), "--version"], capture_output=True, text=True)
    assert "jemalloc statistics" in ended.stderr


@pytest.mark.files
@pytest.mark.parametrize("name, value", [("OMP_WAIT_POLICY", "passive"), ("GOMP_SPINCOUNT", "0"), ("MALLOC_CONF", "narenas:3")])
def test_what_is_set_already_stays(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for other in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MALLOC_CONF"} - {name}:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with Server(server_binary()) as server:
        found = environment(server)
    assert found[name] == value
    assert "MALLOC_CONF" in found
    assert len({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & found.keys()) == (2 if name == "MALLOC_CONF" else 1)
