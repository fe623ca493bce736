"""deploy/ by the linters of those who will read it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from conftest import DEPLOY, ROOT, server_binary

KUBERNETES = "1.34"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*/*.yaml"))
YAMLLINT = "{extends: default, rules: {line-length: {max: 128}, document-start: disable, comments: disable, braces: {max-spaces-inside: 0}}}"


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def check(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_yaml() -> None:
    check(sys.executable, "-m", "yamllint", "--strict", "-d", YAMLLINT, DEPLOY)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_kubernetes_manifests(path: Path) -> None:
    """Each object fits the schema of its kind, and has nothing that the schema does not know."""
    for document in documents(path):
        kind = document.get("kind", "")
        if kind == "Kustomization":
            for name in [*document["resources"], *(patch["path"] for patch in document.get("patches", []))]:
                assert (path.parent / name).exists(), f"{path} names {name}"
        elif path.parent.name == "base" and path.name != "envoy.yaml":
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        elif kind:  # A patch: a part of an object of the base.
            base = [other for other in documents(path.parents[1] / "base" / path.name) if other["kind"] == kind]
            assert [other["metadata"]["name"] for other in base] == [document["metadata"]["name"]]


def test_the_validator_finds_mistakes() -> None:
    document = documents(DEPLOY / "kubernetes" / "base" / "servers.yaml")[0]
    document["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_ports_and_names_agree() -> None:
    """What the manifests say of ports is what the image does."""
    entrypoint = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("ENTRYPOINT"))
    container = documents(DEPLOY / "kubernetes" / "base" / "servers.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["grpc"] == 50051 and f"--health_port={ports['health']}" in entrypoint
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == ports["health"]


def test_dockerfile() -> None:
    check(Path(sys.executable).parent / "hadolint", "Dockerfile")


def test_shell_scripts() -> None:
    check("shellcheck", "-x", *sorted([*(ROOT / "scripts").glob("*.sh"), *(DEPLOY / "image").glob("*.sh")]))


def test_systemd_unit(tmp_path: Path) -> None:
    unit = (DEPLOY / "systemd" / "gradwire.service").read_text()
    assert "ExecStart=/usr/bin/gradwire-server " in unit
    copy = tmp_path / "gradwire.service"  # systemd-analyze wants the binary to be there
    copy.write_text(unit.replace("/usr/bin/gradwire-server", str(server_binary())))
    check("systemd-analyze", "verify", "--man=no", copy)


def test_prometheus() -> None:
    check("promtool", "check", "config", "--lint=all", "--lint-fatal", DEPLOY / "compose" / "prometheus.yaml")


def test_the_dashboards_queries(tmp_path: Path) -> None:
    """They are PromQL, of metrics that the server has."""
    dashboard = json.loads((DEPLOY / "compose" / "grafana" / "dashboards" / "gradwire.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 10
    alerts = documents(DEPLOY / "compose" / "alerts.yaml")[0]
    rules = [{"record": f"panel:{i}", "expr": query.replace("$__rate_interval", "1m")} for i, query in enumerate(queries)]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    check("promtool", "check", "rules", path)
    queries += [rule["expr"] for rule in alerts["groups"][0]["rules"]]
    names = {re.sub("_(bucket|sum|count)$", "", name) for query in queries for name in re.findall(r"\bgradwire_\w+", query)}
    source = (ROOT / "server" / "rpc" / "metrics.cc").read_text()
    assert {name for name in names if f'"{name}"' not in source} == set()


def test_compose() -> None:
    """Each port is published on loopback, and each file that is mounted is there."""
    compose = documents(DEPLOY / "compose" / "compose.yaml")[0]
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / "compose" / source).exists(), volume
