"""Gradients of every differentiable ONNX operator, judged by numbers and checkers that are not gradwire's.

Each call of an operator in ONNX's node tests, cast to float64, is differentiated once and twice on the server and
compared with central differences: of the server's forward, of its gradient, and of ONNX's reference evaluator. One call
of each operator also goes through PyTorch's gradcheck and gradgradcheck, and to third order. One is differentiated in
each element type that the server's support matrix names. Outcomes go to build/gradients.csv, the score to
build/gradients.txt.
Each operator of the default domain is in one of three groups: checked here; declared not differentiable by the server,
which differences are asked about; refused by the server, and listed in REFUSED.
`python tests/conformance/gradients_test.py [OP...]` runs without pytest.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gradient_differences
import gradient_dtypes
import gradient_torch
import pytest
from gradient_cases import cases_by_op, schemas, tagged_ops
from gradient_server import Evaluator, Point

from gradwire.client import Client, connect
from gradwire.session import Session
from gradwire.testing import Server

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "gradients.csv"
SCORE = ROOT / "build" / "gradients.txt"
TAGGED = 119
HEADER = ["op", "test", "order 1", "order 2", "order 3", "reference", "gradcheck", "gradgradcheck", "reason"]
# What the server may refuse, as it has no gradient to be had or is not there yet.
REFUSED = {
    "strings and files": {"ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"},
    "control flow": {"If", "Loop", "Scan"},
    "sequences and optionals": {
        *("ConcatFromSequence", "SplitToSequence", "Optional", "OptionalGetElement", "OptionalHasElement"),
        *(f"Sequence{what}" for what in ("At", "Construct", "Empty", "Erase", "Insert", "Length", "Map")),
    },
}


@dataclass
class Outcome:
    """What the cases of one operator showed: problems of each order, and rows for the table."""

    op: str
    problems: list[list[str]] = field(default_factory=lambda: [[], [], []])
    rows: list[list[str]] = field(default_factory=list)


@cache
def declared() -> dict[str, list[int]]:
    """The element types in which the server declares gradients, for the newest row of each operator that it has."""
    newest: dict[str, tuple[int, list[int]]] = {}
    with Server(_binary()) as server, connect(server.target) as client:
        for row in client.server_info().operators:
            if row.domain == "" and row.since_version >= newest.get(row.op_type, (0, []))[0]:
                assert list(row.backward_types) == list(row.second_order_types)
                newest[row.op_type] = (row.since_version, list(row.backward_types))
    return {op: types for op, (_, types) in newest.items()}


def _check(session: Session, op: str) -> Outcome:
    outcome = Outcome(op)
    cases = cases_by_op().get(op, [])
    missing = "the server refuses the operator" if op not in declared() else "" if cases else "no case with gradients"
    if missing:
        outcome.problems = [[missing], [missing], [missing]]
        outcome.rows = [[op, "", *["missing"] * 3, "", "", "", missing]]
        return outcome
    for i, case in enumerate(cases):
        verdict = gradient_differences.judge(session, case, orders=2 if i else 3)
        checks = ("", "") if i else gradient_torch.check(session, case)
        failures = [verdict.reason, *(one for one in checks if one.startswith("failed"))]
        reason = "; ".join(one for one in failures if one)
        orders = [*verdict.orders, *[""] * (3 - len(verdict.orders))]
        shown = [one.split(":")[0] for one in (verdict.reference, *checks)]
        outcome.rows.append([op, case.name, *orders, *shown, reason])
        failed = [
            "failed" in (orders[0], *shown[:2]),
            "failed" in (orders[1], shown[2]),
            orders[2] == "failed",
        ]
        for problems, wrong in zip(outcome.problems, failed, strict=True):
            problems += [f"{case.name}: {reason}"] * wrong
    return outcome


@cache
def untagged_ops() -> list[str]:
    """Operators without the tag for which the server declares a gradient."""
    return sorted(op for op, types in declared().items() if types and op in schemas() and op not in tagged_ops())


@cache
def other_ops() -> list[str]:
    """Operators for which the server declares that they have no gradient."""
    return sorted(op for op, types in declared().items() if not types and op in schemas())


def _binary() -> str:
    return os.environ.get("GRADWIRE_SERVER", str(ROOT / "build" / "release" / "gradwire-server"))


def run(ops: list[str]) -> dict[str, Outcome]:
    """Checks operators on a server of their own; outcomes by operator."""
    with Server(_binary()) as server, connect(server.target, timeout=120) as client:
        outcomes = {}
        for op in ops:
            with client.session() as session:
                outcomes[op] = _check(session, op)
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
    good = {op for op, outcome in outcomes.items() if not outcome.problems[0]}
    second, third = (sum(not outcome.problems[k] for outcome in outcomes.values()) for k in (1, 2))
    score = (
        f"differentiable ops: {len(good.intersection(tagged))} of {TAGGED} tagged, "
        f"{len(good.difference(tagged))} untagged; second order: {second}; third order: {third}"
    )
    SCORE.write_text(f"{score}\n")
    print(score)


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with Server(_binary()) as server, connect(server.target) as connection:
        yield connection


@pytest.fixture(scope="session")
def outcomes() -> dict[str, Outcome]:
    return run([*tagged_ops(), *untagged_ops()])


def test_score(outcomes: dict[str, Outcome]) -> None:
    report(outcomes)
    assert len(tagged_ops()) == TAGGED, "the pinned onnx tags this many operators"


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("op", [*tagged_ops(), *untagged_ops()])
def test_order(outcomes: dict[str, Outcome], op: str, order: int) -> None:
    if outcomes[op].problems[order - 1]:
        pytest.fail("\n".join(outcomes[op].problems[order - 1]), pytrace=False)


@pytest.mark.parametrize("op", [*tagged_ops(), *untagged_ops()])
def test_element_types(client: Client, op: str) -> None:
    assert declared()[op]
    for code in declared()[op]:
        problems = []
        # A kink or the small range of 16 bits may spoil one.
        for case in cases_by_op()[op][:3]:
            with client.session() as session:
                problems.append(gradient_dtypes.check(session, case, code))
        assert "" in problems, problems


def test_every_operator_is_checked_or_has_no_gradient() -> None:
    unknown = set(schemas()) - set(untagged_ops()) - set(other_ops()) - set(tagged_ops())
    assert unknown <= set().union(*REFUSED.values())
    assert not set(other_ops()) & set(tagged_ops())


@pytest.mark.parametrize("op", other_ops())
def test_not_differentiable(client: Client, op: str) -> None:
    for case in cases_by_op().get(op, []):
        with client.session() as session:
            assert not gradient_differences.differentiable_after_all(session, case)


def test_differences_find_a_derivative(client: Client) -> None:
    with client.session() as session:
        assert gradient_differences.differentiable_after_all(session, cases_by_op()["Tanh"][0])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_wrong_gradient_fails(client: Client, monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    exact = Evaluator.at

    def wrong(*arguments: Any) -> list[Point]:
        points = exact(*arguments)
        for array in [array for one in points[0].gradients[order - 1 :] for array in one.values()]:
            array *= 1.01
        return points

    monkeypatch.setattr(Evaluator, "at", wrong)
    with client.session() as session:
        case = cases_by_op()["Tanh"][0]
        verdict = gradient_differences.judge(session, case, orders=3)
        checks = gradient_torch.check(session, case)
    assert verdict.orders[order - 1] == "failed"
    if order < 3:
        assert checks[order - 1].startswith("failed")


def main() -> int:
    found = run(sys.argv[1:] or [*tagged_ops(), *untagged_ops()])
    for outcome in found.values():
        for order, problems in enumerate(outcome.problems, 1):
            print("\n".join(f"{outcome.op}: order {order}: {problem}" for problem in problems[:3]), end="\n" * bool(problems))
    report(found)
    return int(any(any(outcome.problems) for outcome in found.values()))


if __name__ == "__main__":
    sys.exit(main())
