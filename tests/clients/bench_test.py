"""gradwire-bench: what it measures, what it finds wrong, and how it says so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT

import gradwire
from gradwire.testing import Server

MIXED = ROOT / "client" / "bench" / "scenarios" / "mixed.txt"
PING = """
scenario ping
  call start
    put x float32[4] random 1
  loop 300
    call add
      y = Add x x
      fetch y
"""


class Bench:
    """Runs the load generator on one server."""

    def __init__(self, binary: Path, server: Server, folder: Path) -> None:
        self.binary, self.server, self.folder = binary, server, folder

    def __call__(self, *flags: str, scenario: str | None = None) -> tuple[int, dict[str, Any], str]:
        """Exit status, the report, and all that was printed."""
        path = MIXED
        if scenario is not None:
            path = self.folder / "scenario.txt"
            path.write_text(scenario, encoding="utf-8")
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            [self.binary, f"--target={self.server.target}", f"--scenario={path}", f"--json={report}",
             f"--html={self.folder / 'report.html'}", *flags],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        content = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        return done.returncode, content, done.stdout + done.stderr


@pytest.fixture
def bench(build: Path, server: Server, tmp_path: Path) -> Bench:
    return Bench(build / "gradwire-bench", server, tmp_path)


def test_it_says_its_version(bench: Bench) -> None:
    ended = subprocess.run([bench.binary, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"gradwire-bench \d+\.\d+\.\d+\n", ended.stdout)


def test_users_are_simulated_and_their_answers_verified(bench: Bench, server: Server) -> None:
    status, report, printed = bench("--duration=3s", "--ramp=1s", "--sessions=20", f"--server_pid={server.pid}")
    assert status == 0, printed
    assert report["verified"] > 100
    assert report["wrong"] == 0
    assert report["errors"] == {}
    assert {name.split("/")[0] for name in report["calls"]} >= {"line-fit", "classifier", "inference", "open", "close"}
    calls = [call["calls"] for name, call in report["calls"].items() if "/" in name]
    assert report["total"]["calls"] == sum(calls)
    assert report["total"]["rate"] == pytest.approx(sum(calls) / 3)
    assert max(second["sessions"] for second in report["timeline"]) == 20
    assert report["server_memory"]["end"] > 1 << 20
    assert printed.count("sessions") >= 3  # one line a second
    page = (bench.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 5


def test_open_loop_counts_the_time_that_calls_had_to_wait(bench: Bench, server: Server) -> None:
    """A server that stands still for a second delays all calls that were due meanwhile, not one a session."""

    def stall() -> None:
        time.sleep(3)
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(server.pid, signal.SIGCONT)

    thread = threading.Thread(target=stall)
    thread.start()
    _, report, printed = bench("--duration=4s", "--ramp=1s", "--sessions=4", "--rate=200", scenario=PING)
    thread.join()
    assert report["total"]["rate"] == pytest.approx(200, rel=0.2), printed
    assert report["total"]["p90"] > 300  # 800 calls, 200 of them up to a second late
    assert report["unserved"] <= 4  # due in the very last moment; not the 200 that waited


@pytest.mark.parametrize("flag", ["--max_p99=1us", "--min_rate=1e9", "--max_rss_growth=0.1"])
def test_a_threshold_that_does_not_hold_is_exit_status_1(bench: Bench, flag: str) -> None:
    status, report, printed = bench("--duration=1s", "--ramp=0s", "--sessions=2", flag, scenario=PING)
    assert status == 1
    assert len(report["violations"]) == 1
    assert f"FAILED: {report['violations'][0]}" in printed


def test_answers_that_change_are_wrong(bench: Bench) -> None:
    """Without a seed the session draws other numbers than the reference did."""
    random = """
    scenario random
      loop 3
        call draw
          x = RandomUniform shape=4,4
          fetch x
    """
    status, report, printed = bench("--duration=1s", "--ramp=0s", "--sessions=2", scenario=random)
    assert status == 1
    assert report["wrong"] == report["verified"] > 0
    assert "wrong answer: random/draw" in printed


def test_errors_are_counted_by_reason(bench: Bench) -> None:
    """Calls that come later than their deadline."""
    slow = """
    scenario slow
      call start
        put x float32[64,64] random 1
      loop 100
        call multiply
          y = MatMul x x
          fetch y
    """
    _, report, printed = bench("--duration=2s", "--ramp=0s", "--sessions=300", "--timeout=20ms", scenario=slow)
    assert report["errors"].get("DEADLINE_EXCEEDED", 0) > 0, printed
    assert any("DEADLINE_EXCEEDED" in example for example in report["examples"])


def test_what_clients_that_died_left_behind_is_freed(bench: Bench, server: Server) -> None:
    with gradwire.connect(server.target) as client:

        def live() -> int:
            return sum(device.live_bytes for device in client.server_info().devices)

        before = live()
        status, report, printed = bench("--duration=2s", "--ramp=0s", "--sessions=50", "--die=0.1", "--lease=1s")
        assert status == 0, printed
        assert report["died"] > 20
        assert report["wrong"] == 0
        deadline = time.monotonic() + 30
        while live() > before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert live() <= before


def test_thousands_of_sessions(bench: Bench) -> None:
    status, report, printed = bench(
        "--duration=3s", "--ramp=5s", "--sessions=3000", "--rate=200", "--timeout=20s", scenario=PING
    )
    assert status == 0, printed
    assert report["timeline"][-1]["sessions"] == 3000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no scenario"),
        ("scenario a\n", "line 2: scenario a loops over no call"),
        ("scenario a\nloop 1\ncall c\nput x float32[2 zeros", "line 4: TYPE[DIMS] is expected"),
        ("scenario a\nloop 1\ncall c\nput x float32[-2] zeros", "line 4: '-2' is no count"),
        ("scenario a\nloop 1\ncall c\nput x float32[100000,100000] zeros", "line 4: the array does not fit a message"),
        ("scenario a\nloop 1\ncall c\nput x float32[2] wild", "line 4: 'wild' is no fill"),
        ("scenario a\nloop 1\nfetch x", "line 3: `fetch` stands in no call"),
        ("scenario a\nloop 1\ncall c\njump x", "line 4: no such statement: jump"),
        ("scenario a\nloop 1\nthink often 1s", "line 3: think fixed|exponential TIME"),
    ],
)
def test_a_scenario_that_cannot_be_read_is_exit_status_2(bench: Bench, text: str, complaint: str) -> None:
    status, _, printed = bench(scenario=text)
    assert status == 2
    assert complaint in printed


def test_wrong_usage_is_exit_status_2(bench: Bench) -> None:
    assert bench("--sessions=10001")[0] == 2
    for path in ("/nowhere", "/tmp"):
        status, _, printed = bench(f"--scenario={path}")
        assert status == 2
        assert path in printed
    assert bench("--die=2")[0] == 2


def test_a_flag_that_is_none_is_exit_status_2(bench: Bench) -> None:
    for flag in ("--sesions=3", "--sessions=many", "--tls_cert=nowhere"):
        status, report, printed = bench(flag)
        assert (status, report) == (2, {}), printed
        assert flag.split("=")[0].strip("-") in printed
    status, _, printed = bench("--help")
    assert status == 0
    assert "--sessions" in printed


def test_a_secured_server(bench: Bench, secured: dict[str, str]) -> None:
    folder = secured["GRADWIRE_CERTIFICATES"]
    target, token = f"--target={secured['GRADWIRE_SECURED_TARGET']}", f"--token_file={folder}/token"
    run = (target, "--duration=1s", "--ramp=0s", "--sessions=4", "--timeout=5s")
    tls = [f"--tls_ca={folder}/ca.pem", f"--tls_cert={folder}/client.pem", f"--tls_key={folder}/client.key"]
    status, report, printed = bench(*run, *tls, token, scenario=PING)
    assert status == 0, printed
    assert report["verified"] > 0
    assert bench(*run, *tls, token, "--tls_server_name=gradwire.test", scenario=PING)[0] == 0
    for flags, complaint in [(tls, "UNAUTHENTICATED"), ([tls[0], token], "no server can be reached"), ([], "no server")]:
        status, _, printed = bench(*run, *flags, scenario=PING)
        assert status == 3
        assert complaint in printed
    status, _, printed = bench(*run, "--tls_ca=/nowhere", scenario=PING)
    assert status == 2
    assert "/nowhere" in printed


def test_a_run_that_cannot_be_made_is_exit_status_3(bench: Bench) -> None:
    status, report, printed = bench("--target=127.0.0.1:1", "--timeout=1s")
    assert (status, report) == (3, {})
    assert "no server can be reached at 127.0.0.1:1" in printed
    status, _, printed = bench(scenario="scenario a\nloop 1\ncall c\nfetch nowhere")
    assert status == 3
    assert "TENSOR_NOT_FOUND" in printed
