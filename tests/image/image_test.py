"""The final stage of the image, as scripts/image_check.sh lays it out: how its server runs, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradwire
from gradwire.testing import Server

RUN = Path(os.environ["GRADWIRE_SERVER"])
ENTRYPOINT_FLAGS = ["--host=0.0.0.0", "--health_port=0"]
CALL_S = 30


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(RUN, [*ENTRYPOINT_FLAGS, "--insecure"]) as running:
        yield running


def test_it_serves(server: Server) -> None:
    with gradwire.connect(server.target, timeout=CALL_S) as client, client.session() as session:
        assert (session.tensor([1.0, 2.0]) @ session.tensor([3.0, 4.0])).item() == 11
        assert "oneDNN 3.7" in client.server_info().devices[0].library


@pytest.mark.skipif(os.environ["GRADWIRE_IMAGE"] != "cuda", reason="the image without CUDA")
def test_it_opens_the_cuda_library(server: Server) -> None:
    with gradwire.connect(server.target, timeout=CALL_S) as client:
        info = client.server_info()
    # What the library says itself, where there is no GPU; without the library there would be an error of the loader.
    assert "cuda:0" in [device.name for device in info.devices] or info.missing_devices.startswith("no CUDA device: ")


def test_it_is_nobody(server: Server) -> None:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"


def test_its_root_is_read_only(server: Server) -> None:
    mounts = [line.split() for line in Path(f"/proc/{server.pid}/mountinfo").read_text().splitlines()]
    root = [mount for mount in mounts if mount[4] == "/"]
    assert root and all("ro" in mount[5].split(",") for mount in root[-1:])


def test_the_health_check(server: Server) -> None:
    probe = subprocess.run([RUN, f"--probe=127.0.0.1:{server.target.rsplit(':')[-1]}"], timeout=CALL_S)
    assert probe.returncode == 0


def test_it_refuses_plaintext_to_the_world() -> None:
    done = subprocess.run([RUN, *ENTRYPOINT_FLAGS, "--port=0"], capture_output=True, text=True, timeout=CALL_S)
    assert done.returncode == 2 and "--insecure" in done.stderr


def test_it_stops_at_sigterm(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(CALL_S) == 0
