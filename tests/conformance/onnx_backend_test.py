"""ONNX's own backend test suite (onnx 1.22.0), through `gradwire.onnx_backend`.

All of it is run; each test's outcome goes to build/onnx_backend_results.csv. What is listed in onnx_passing.txt must
pass, and is what this file counts as test cases. `python tests/conformance/onnx_backend_test.py --update` adds what
passes now to the list, from which it never takes a line away, and writes docs/onnx.md.
"""

from __future__ import annotations

import csv
import os
import sys
import unittest
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx.backend.base
import pytest

import onnx_table

ROOT = Path(__file__).resolve().parents[2]
PASSING = Path(__file__).with_name("onnx_passing.txt")
RESULTS = ROOT / "build" / "onnx_backend_results.csv"
TOTAL = 1914


@dataclass
class Outcome:
    """How one test ended; `reason` says why it did not pass."""

    name: str
    passed: bool
    reason: str = ""


class _Recorder(unittest.TestResult):
    """Keeps outcomes, and no tracebacks: they would keep arrays and sessions alive."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, Outcome] = {}

    def _keep(self, test: unittest.TestCase, error: object = None) -> None:
        name = test.id().rsplit(".", 1)[1]
        self.outcomes[name] = Outcome(name, error is None, _describe(error))

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._keep(test)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._keep(test, f"skipped: {reason}")

    def addError(self, test: unittest.TestCase, err: tuple) -> None:  # type: ignore[type-arg,override]
        self._keep(test, err[1])

    addFailure = addError


def _describe(error: object) -> str:
    if error is None or isinstance(error, str):
        return str(error or "")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = getattr(error, "reason", "") or type(error).__name__
    return f"{kind}: {' '.join(lines[:3])}"[:300]


def _bits(value: object) -> object:
    """What two equal outputs have in common, down to the sign of zero."""
    if isinstance(value, (list, tuple)):
        return [_bits(item) for item in value]
    if not isinstance(value, np.ndarray) or value.dtype == object:
        return str(value)
    return value.dtype.str, value.shape, value.tobytes()


def _require_same(first: Sequence[Any], third: Sequence[Any], convolves: bool) -> None:
    """Plans change no bit but in convolutions, which may add up in another order (--channels_last)."""
    if _bits(first) == _bits(third):
        return
    assert convolves, "the plan gives other bits than the trace"
    for one, other in zip(first, third, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def _repeating_backend() -> type[onnx.backend.base.Backend]:
    """Ours, with each model run three times: the third time the server runs the plan that it kept of the second."""
    from gradwire.onnx_backend import GradwireBackend

    class Repeating(GradwireBackend):
        @classmethod
        def prepare(cls, *arguments: Any, **options: object) -> onnx.backend.base.BackendRep:
            prepared = super().prepare(*arguments, **options)
            once = prepared.run
            convolves = any("Conv" in node.op_type for node in arguments[0].graph.node)

            def thrice(*inputs: object, **more: object) -> tuple[object, ...]:
                first, _, third = (once(*inputs, **more) for _ in range(3))
                _require_same(first, third, convolves)
                return first

            prepared.run = thrice
            return prepared

    return Repeating


def run_suite() -> dict[str, Outcome]:
    """Runs the CPU tests, in order of name; their outcomes by name."""
    os.environ.setdefault("GRADWIRE_SERVER", str(ROOT / "build" / "release" / "gradwire-server"))
    # Where the suite keeps inputs that it makes for its larger models.
    os.environ["ONNX_HOME"] = str(ROOT / "build" / "onnx_home")
    import onnx.backend.test

    cases = onnx.backend.test.BackendTest(_repeating_backend(), __name__).test_cases
    recorder = _Recorder()
    for case in cases.values():
        for name in sorted(unittest.TestLoader().getTestCaseNames(case)):
            if name.endswith("_cpu"):
                case(name).run(recorder)
    return recorder.outcomes


def read_passing() -> list[str]:
    """The tests that passed once, and may never fail again."""
    return PASSING.read_text().split()


def report(outcomes: dict[str, Outcome]) -> None:
    """Writes each outcome to the results file, and prints the score."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["test", "outcome", "reason"])
        for outcome in sorted(outcomes.values(), key=lambda one: one.name):
            writer.writerow([outcome.name, "passed" if outcome.passed else "failed", outcome.reason])
    passed = sum(outcome.passed for outcome in outcomes.values())
    print(f"onnx backend suite: {passed} passed of {len(outcomes)}")


@pytest.fixture(scope="session")
def outcomes() -> dict[str, Outcome]:
    return run_suite()


def test_score(outcomes: dict[str, Outcome]) -> None:
    report(outcomes)
    assert len(outcomes) == TOTAL, "the pinned suite has this many CPU tests"


def test_the_table_of_failures_is_current(outcomes: dict[str, Outcome]) -> None:
    page = onnx_table.page((one.name, one.passed, one.reason) for one in outcomes.values())
    assert page == onnx_table.PAGE.read_text(), "python tests/conformance/onnx_table.py writes it anew"


@pytest.mark.parametrize("name", read_passing())
def test_still_passes(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].passed, outcomes[name].reason


def main() -> None:
    found = run_suite()
    report(found)
    lost = [name for name in read_passing() if not found[name].passed]
    print("\n".join(f"no longer passes: {name}: {found[name].reason}" for name in lost))
    if "--update" in sys.argv[1:]:
        names = {*read_passing(), *(one.name for one in found.values() if one.passed)}
        PASSING.write_text("".join(f"{name}\n" for name in sorted(names)))
        onnx_table.main()


if __name__ == "__main__":
    main()
