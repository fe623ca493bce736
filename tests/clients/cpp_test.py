"""The C++ client: installed, found by another project, and run against a server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from commands import HERE, ROOT, output

from gradwire.testing import Server


@pytest.fixture(scope="session")
def cpp(build: Path) -> Path:
    """A project that was built against an installed client."""
    prefix, project = build / "client-prefix", build / "client-tests"
    output(["cmake", "--install", str(build), "--component", "client", "--prefix", str(prefix)])
    output(["cmake", "-S", str(HERE / "cpp"), "-B", str(project), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_PREFIX_PATH={prefix}"])  # fmt: skip
    output(["cmake", "--build", str(project), "-j", str(len(os.sched_getaffinity(0)))])
    return project


def test_the_example_fits_a_line(cpp: Path, server: Server) -> None:
    fitted = dict(line.split() for line in output([str(cpp / "example" / "line_fit"), server.target]).splitlines())
    assert float(fitted["loss"]) < 1e-4
    assert float(fitted["w"]) == pytest.approx(3, abs=0.02)
    assert float(fitted["b"]) == pytest.approx(0.5, abs=0.02)


def test_the_clients_own_tests_pass(cpp: Path, server: Server, secured: dict[str, str]) -> None:
    print(output([str(cpp / "client_tests")], GRADWIRE_TARGET=server.target, **secured))


def test_the_scenario_gives_the_numbers_of_the_python_client(cpp: Path, server: Server, expected: str) -> None:
    assert output([str(cpp / "scenario"), server.target, str(HERE / "scenario.json")]) == expected


def test_the_client_can_be_built_without_the_server(tmp_path: Path) -> None:
    output(["cmake", "-S", str(ROOT), "-B", str(tmp_path), "-G", "Ninja", "-DGRADWIRE_SERVER=OFF"])
    done = subprocess.run(["ninja", "-C", str(tmp_path), "-t", "targets", "all"], capture_output=True, text=True)
    assert "libgradwire_client.a" in done.stdout
    assert "gradwire-server" not in done.stdout
