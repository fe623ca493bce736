"""The Go client, with Debian's Go packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import HERE, ROOT, output

from gradwire.testing import Server


@pytest.fixture(scope="session")
def go(build: Path) -> dict[str, str]:
    """The environment in which `go` finds the client as `gradwire`."""
    folder = build / "go"
    output([str(ROOT / "scripts" / "go_stubs.sh"), str(folder)])
    return {"GO111MODULE": "off", "GOFLAGS": "", "GOPATH": f"{folder}:/usr/share/gocode"}


def test_the_source_is_formatted_and_vetted(go: dict[str, str]) -> None:
    assert output(["gofmt", "-l", str(ROOT / "client" / "go")]) == ""
    output(["go", "vet", "gradwire/..."], **go)


def test_the_clients_own_tests_pass(go: dict[str, str], server: Server, secured: dict[str, str]) -> None:
    command = ["go", "test", "-count=1", "-timeout=5m", "gradwire/..."]
    print(output(command, GRADWIRE_TARGET=server.target, **secured, **go))


def test_the_scenario_gives_the_numbers_of_the_python_client(
    go: dict[str, str], server: Server, expected: str
) -> None:
    scenario = str(HERE / "scenario.json")
    assert output(["go", "run", "gradwire/internal/scenario", server.target, scenario], **go) == expected
