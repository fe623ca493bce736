"""Every seed and every input that was ever found to do harm, through the fuzz targets of this build, without libFuzzer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import seeds

ROOT = Path(__file__).resolve().parents[2]
CRASHERS = Path(__file__).resolve().parent / "crashers"
TARGETS = ("calls", "chunk", "external", "model", "operators", "request", "run", "safetensors", "tensor", "tokens", "traceparent")
TARGET_S = 300


def binary() -> Path:
    """Beside the server that is tested."""
    server = Path(os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server"))
    return server.with_name("gradwire_fuzz")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    seeds.write(folder)
    return folder


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_breaks(target: str, inputs: Path) -> None:
    files = sorted((inputs / target).iterdir())
    crashers = CRASHERS / target
    files += sorted(crashers.iterdir()) if crashers.exists() else []
    done = subprocess.run([binary(), target, *files], capture_output=True, text=True, timeout=TARGET_S)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == f"{len(files)} files\n"


def test_every_target_is_replayed(inputs: Path) -> None:
    listed = subprocess.run([binary()], capture_output=True, text=True, check=True, timeout=TARGET_S)
    assert tuple(listed.stdout.split()) == TARGETS
    assert {folder.name for folder in inputs.iterdir()} == set(TARGETS)
    assert {folder.name for folder in CRASHERS.glob("*/")} <= set(TARGETS)
