"""The CUDA library: that it is built for every GPU it is for, fits the server, and that the server does without it."""

from __future__ import annotations

import os
import pathlib
import shutil
import struct
import subprocess

import pytest

import gradwire
from gradwire import errors
from gradwire.testing import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build" / "cuda" / "libgradwire_cuda.so"
BUILD_S = 1800
LIST_S = 120
FATBIN_MAGIC = struct.pack("<I", 0xBA55ED50)

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")


def server_binary() -> pathlib.Path:
    """GRADWIRE_SERVER, or the release build."""
    return pathlib.Path(os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server"))


def refusal(*flags: str) -> str:
    """What a server with these flags says to who opens a session on its first GPU; "" where that works."""
    with Server(server_binary(), flags) as server, gradwire.connect(server.target) as client:
        try:
            client.session(device="cuda:0").close()
        except errors.DeviceNotFound as error:
            return str(error)
    return ""


@pytest.fixture(scope="session")
def library() -> pathlib.Path:
    """The library, built by `make cuda`. A warning is an error there."""
    subprocess.run(["make", "--no-print-directory", "cuda"], cwd=ROOT, check=True, timeout=BUILD_S)
    return LIBRARY


def codes(library: pathlib.Path, tmp_path: pathlib.Path) -> dict[str, set[int]]:
    """For which architectures the library holds "ptx" and "elf" code, by CUDA's fat binaries in it."""
    section = tmp_path / "fatbin"
    copy = ["objcopy", "-O", "binary", "--only-section=.nv_fatbin", "--set-section-flags", ".nv_fatbin=alloc"]
    subprocess.run([*copy, library, section], check=True, timeout=LIST_S)
    data = section.read_bytes()
    found: dict[str, set[int]] = {"ptx": set(), "elf": set()}
    at = data.find(FATBIN_MAGIC)
    while at >= 0:
        header, size = struct.unpack_from("<HQ", data, at + 6)
        end = at + header + size
        at += header
        while at < end:
            kind, _, entry_header, payload = struct.unpack_from("<HHIQ", data, at)
            (architecture,) = struct.unpack_from("<I", data, at + 28)
            found[{1: "ptx", 2: "elf"}[kind]].add(architecture)
            at += entry_header + payload
        at = data.find(FATBIN_MAGIC, end)
    return found


@needs_nvcc
def test_it_holds_code_for_each_architecture(library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert codes(library, tmp_path) == {"ptx": {80}, "elf": {80, 90, 100}}


@needs_nvcc
def test_the_server_opens_it(library: pathlib.Path) -> None:
    # All symbols are bound when it is opened; without a GPU it then says so itself.
    message = refusal(f"--cuda_library={library}")
    assert message == "" or "no CUDA device: " in message


@needs_nvcc
def test_generated_kernels_compile_for_a_gpu() -> None:
    tests = server_binary().parent / "gradwire_cuda_tests"
    run = [tests, "--gtest_filter=CudaChainTest.NvrtcCompilesThem", "--gtest_brief=1"]
    library = pathlib.Path(shutil.which("nvcc") or "").resolve().parents[1] / "lib64"
    environment = {**os.environ, "GRADWIRE_TEST_NVRTC": "1", "LD_LIBRARY_PATH": str(library)}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=LIST_S, check=False)
    assert done.returncode == 0 and "PASSED" in done.stdout, done.stdout


def test_without_it_the_server_says_why_there_is_no_gpu() -> None:
    assert "no CUDA: libgradwire_no_such.so: cannot open" in refusal("--cuda_library=libgradwire_no_such.so")
    assert "it has: cpu (no CUDA: --cuda_library is empty)" in refusal("--cuda_library=")


def test_its_absence_is_told_by_server_info() -> None:
    with Server(server_binary(), ["--cuda_library="]) as server, gradwire.connect(server.target) as client:
        info = client.server_info()
        assert [device.name for device in info.devices] == ["cpu"]
        assert info.missing_devices == "no CUDA: --cuda_library is empty"
        assert not any(row.host_types for row in info.operators)
