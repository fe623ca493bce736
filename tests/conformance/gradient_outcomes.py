"""The outcomes of all checks of the operators' gradients, and which operators there are to check."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import gradient_differences
from gradient_cases import cases_by_op, schemas, tagged_ops

from gradwire.client import connect
from gradwire.session import Session
from gradwire.testing import Server

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "gradients.csv"
SCORE = ROOT / "build" / "gradients.txt"
TAGGED = 119
HEADER = ["op", "test", "order 1", "order 2", "order 3", "reference", "reason"]
# What the server may refuse, as it has no gradient to be had or is not there yet.
REFUSED = {
    "strings and files": {"ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"},
}
# Rules of the trace: a gradient is that of the operators in their graphs, or of the tensors in their sequences.
# tests/e2e/control_flow_test.py and sequences_test.py check it.
STRUCTURED = {
    *("If", "Loop", "Scan"),
    *("ConcatFromSequence", "SplitToSequence", "Optional", "OptionalGetElement", "OptionalHasElement"),
    *(f"Sequence{what}" for what in ("At", "Construct", "Empty", "Erase", "Insert", "Length", "Map")),
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
    with Server(server_binary()) as server, connect(server.target) as client:
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
        outcome.rows = [[op, "", *["missing"] * 3, "", missing]]
        return outcome
    for i, case in enumerate(cases):
        verdict = gradient_differences.judge(session, case, orders=2 if i else 3)
        orders = [*verdict.orders, *[""] * (3 - len(verdict.orders))]
        reference = verdict.reference.split(":")[0]
        outcome.rows.append([op, case.name, *orders, reference, verdict.reason])
        failed = ["failed" in (orders[0], reference), orders[1] == "failed", orders[2] == "failed"]
        for problems, wrong in zip(outcome.problems, failed, strict=True):
            problems += [f"{case.name}: {verdict.reason}"] * wrong
    return outcome


@cache
def untagged_ops() -> list[str]:
    """Operators without the tag for which the server declares a gradient."""
    judged = set(schemas()) - set(tagged_ops()) - STRUCTURED
    return sorted(op for op, types in declared().items() if types and op in judged)


@cache
def other_ops() -> list[str]:
    """Operators for which the server declares that they have no gradient."""
    return sorted(op for op, types in declared().items() if not types and op in schemas())


def server_binary() -> str:
    """GRADWIRE_SERVER, or the release build."""
    return os.environ.get("GRADWIRE_SERVER", str(ROOT / "build" / "release" / "gradwire-server"))


def run(ops: list[str]) -> dict[str, Outcome]:
    """Checks operators on a server of their own; outcomes by operator."""
    with Server(server_binary()) as server, connect(server.target, timeout=120) as client:
        outcomes = {}
        for op in ops:
            with client.session() as session:
                outcomes[op] = _check(session, op)
    return outcomes


def differentiable_ops() -> list[str]:
    """All that is to be checked: the tagged operators first."""
    return [*tagged_ops(), *untagged_ops()]


def report(outcomes: dict[str, Outcome]) -> str:
    """Writes the table and the score; the score."""
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
    return score
