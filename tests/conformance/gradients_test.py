"""Gradients of every differentiable ONNX operator, judged by numbers and checkers that are not gradwire's.

Each call of an operator in ONNX's node tests, cast to float64, is differentiated once and twice on the server and
compared with central differences: of the server's forward, of its gradient, and of ONNX's reference evaluator. One call
of each operator also goes through PyTorch's gradcheck and gradgradcheck. Outcomes go to build/gradients.csv, the score
to build/gradients.txt.
An operator that the server refuses has failed. `python tests/conformance/gradients_test.py [OP...]` runs without pytest.
"""

from __future__ import annotations

import csv
import os
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gradient_differences
import gradient_torch
import pytest
from gradient_cases import cases_by_op, schemas, tagged_ops
from gradient_server import Evaluator, Point

from gradwire.client import connect
from gradwire.session import Session
from gradwire.testing import Server

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "gradients.csv"
SCORE = ROOT / "build" / "gradients.txt"
TAGGED = 119
HEADER = ["op", "test", "order 1", "reference", "order 2", "gradcheck", "gradgradcheck", "reason"]


@dataclass
class Outcome:
    """What the cases of one operator showed: problems of first and of second order, and rows for the table."""

    op: str
    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def _declared(session: Session) -> dict[str, bool]:
    """For each operator of the default domain, whether the server declares a gradient for its newest row."""
    newest: dict[str, tuple[int, bool]] = {}
    for row in session.client.server_info().operators:
        if row.domain == "" and row.since_version >= newest.get(row.op_type, (0, False))[0]:
            newest[row.op_type] = (row.since_version, row.backward)
    return {op: backward for op, (_, backward) in newest.items()}


def _check(session: Session, op: str, declared: dict[str, bool]) -> Outcome:
    outcome = Outcome(op)
    cases = cases_by_op().get(op, [])
    missing = "the server refuses the operator" if op not in declared else "" if cases else "no case with gradients"
    if missing:
        outcome.first, outcome.second = [missing], [missing]
        outcome.rows = [[op, "", "missing", "", "missing", "", "", missing]]
        return outcome
    for i, case in enumerate(cases):
        verdict = gradient_differences.judge(session, case)
        checks = ("", "") if i else gradient_torch.check(session, case)
        failures = [verdict.reason, *(one for one in checks if one.startswith("failed"))]
        reason = "; ".join(one for one in failures if one)
        shown = [one.split(":")[0] for one in checks]
        outcome.rows.append([op, case.name, verdict.first, verdict.reference, verdict.second, *shown, reason])
        if "failed" in (verdict.first, verdict.reference.split(":")[0], checks[0].split(":")[0]):
            outcome.first.append(f"{case.name}: {reason}")
        if "failed" in (verdict.second, checks[1].split(":")[0]):
            outcome.second.append(f"{case.name}: {reason}")
    return outcome


@cache
def untagged_ops() -> list[str]:
    """Operators without the tag for which the server declares a gradient."""
    with Server(_binary()) as server, connect(server.target) as client, client.session() as session:
        declared = _declared(session)
    known = schemas()
    return sorted(op for op, backward in declared.items() if backward and op in known and op not in tagged_ops())


def _binary() -> str:
    return os.environ.get("GRADWIRE_SERVER", str(ROOT / "build" / "release" / "gradwire-server"))


def run(ops: list[str]) -> dict[str, Outcome]:
    """Checks operators on a server of their own; outcomes by operator."""
    with Server(_binary()) as server, connect(server.target, timeout=120) as client:
        with client.session() as session:
            declared = _declared(session)
        outcomes = {}
        for op in ops:
            with client.session() as session:
                outcomes[op] = _check(session, op, declared)
    return outcomes


def report(outcomes: dict[str, Outcome]) -> None:
    """Writes the table and the score, and prints the score."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for outcome in outcomes.values():
            writer.writerows(outcome.rows)
    tagged = [op for op in tagged_ops() if op in outcomes]
    good = {op for op, outcome in outcomes.items() if not outcome.first}
    second = sum(not outcome.second for outcome in outcomes.values())
    score = (
        f"differentiable ops: {len(good.intersection(tagged))} of {TAGGED} tagged, "
        f"{len(good.difference(tagged))} untagged; second order: {second}"
    )
    SCORE.write_text(f"{score}\n")
    print(score)


@pytest.fixture(scope="session")
def outcomes() -> dict[str, Outcome]:
    return run([*tagged_ops(), *untagged_ops()])


def test_score(outcomes: dict[str, Outcome]) -> None:
    report(outcomes)
    assert len(tagged_ops()) == TAGGED, "the pinned onnx tags this many operators"


@pytest.mark.parametrize("op", [*tagged_ops(), *untagged_ops()])
def test_first_order(outcomes: dict[str, Outcome], op: str) -> None:
    if outcomes[op].first:
        pytest.fail("\n".join(outcomes[op].first), pytrace=False)


@pytest.mark.parametrize("op", [*tagged_ops(), *untagged_ops()])
def test_second_order(outcomes: dict[str, Outcome], op: str) -> None:
    if outcomes[op].second:
        pytest.fail("\n".join(outcomes[op].second), pytrace=False)


@pytest.mark.parametrize("part", ["gradients", "seconds"])
def test_a_wrong_gradient_fails(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    exact = Evaluator.at

    def wrong(*arguments: Any) -> list[Point]:
        points = exact(*arguments)
        for array in getattr(points[0], part).values():
            array *= 1.01
        return points

    monkeypatch.setattr(Evaluator, "at", wrong)
    with Server(_binary()) as server, connect(server.target) as client, client.session() as session:
        case = cases_by_op()["Tanh"][0]
        verdict = gradient_differences.judge(session, case)
        checks = gradient_torch.check(session, case)
    order = ["gradients", "seconds"].index(part)
    assert [verdict.first, verdict.second][order] == "failed"
    assert checks[order].startswith("failed")


def main() -> int:
    found = run(sys.argv[1:] or [*tagged_ops(), *untagged_ops()])
    for outcome in found.values():
        for order, problems in (("first", outcome.first), ("second", outcome.second)):
            print("\n".join(f"{outcome.op}: {order} order: {problem}" for problem in problems[:3]), end="\n" * bool(problems))
    report(found)
    return int(any(outcome.first or outcome.second for outcome in found.values()))


if __name__ == "__main__":
    sys.exit(main())
