"""What tests/run.py counts, and that nothing is lost."""

import pathlib
import sys

import pytest
import run

SUITE = """<testsuites><testsuite>
  <testcase classname="C" name="good" status="run"/>
  <testcase classname="C" name="bad"><failure message="x"/></testcase>
  <testcase classname="C" name="broken"><error message="x"/></testcase>
  <testcase classname="C" name="skipped"><skipped message="no device"/></testcase>
  <testcase classname="C" name="off" status="notrun"/>
</testsuite></testsuites>"""


def run_command(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, code: str) -> run.Outcome:
    """Runs a Python snippet as a part; `xml` is where its results belong."""
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(
        run, "command_of", lambda part, preset, xml, targets: [sys.executable, "-c", f"xml = {str(xml)!r}\n{code}"]
    )
    return run.run_part("unit", "release")


def test_counts_every_kind_of_case(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    outcome = run_command(monkeypatch, tmp_path, f"open(xml, 'w').write({SUITE!r}); raise SystemExit(1)")
    assert outcome.passed == 1
    assert outcome.failed == ["C.bad", "C.broken"]
    assert outcome.not_run == ["C.skipped: no device", "C.off: disabled"]


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.abort()",  # crashed before it could report
        "pass",  # reported nothing
        "open(xml, 'w').write('<testsuite/>')",  # ran nothing
        "open(xml, 'w').write('<testsuite>')",  # was cut off while it reported
        "open(xml, 'w').write('<a><testcase/></a>'); raise SystemExit(3)",  # failed after its tests
    ],
)
def test_a_part_that_breaks_off_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, code: str
) -> None:
    assert len(run_command(monkeypatch, tmp_path, code).failed) == 1


def test_old_results_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "release-unit.xml").write_text(SUITE)
    assert run_command(monkeypatch, tmp_path, "pass").passed == 0
