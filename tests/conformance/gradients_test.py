"""Gradients of every differentiable ONNX operator, judged by numbers that are not gradwire's.

Each call of an operator in ONNX's node tests, cast to float64, is differentiated once and twice on the server and
compared with central differences: of the server's forward, of its gradient, and of ONNX's reference evaluator. One call
of each operator goes to third order. One is differentiated in each element type that the server's support matrix names.
Outcomes go to build/gradients.csv, the score to build/gradients.txt; gradcheck_test.py asks PyTorch's checkers, too.
Each operator of the default domain is in one of four groups: checked here; declared not differentiable by the server,
which differences are asked about; refused by the server, and listed in REFUSED; a rule of the trace, in STRUCTURED.
"""

from __future__ import annotations

import gradient_differences
import gradient_dtypes
import pytest
from gradient_cases import cases_by_op, schemas, tagged_ops
from gradient_outcomes import (
    REFUSED,
    STRUCTURED,
    TAGGED,
    Outcome,
    declared,
    differentiable_ops,
    other_ops,
    report,
    untagged_ops,
)
from gradient_server import spoil

from gradwire.client import Client


def test_score(differences: dict[str, Outcome]) -> None:
    print(report(differences))
    assert len(tagged_ops()) == TAGGED, "the pinned onnx tags this many operators"


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("op", differentiable_ops())
def test_order(differences: dict[str, Outcome], op: str, order: int) -> None:
    if differences[op].problems[order - 1]:
        pytest.fail("\n".join(differences[op].problems[order - 1]), pytrace=False)


@pytest.mark.parametrize("op", differentiable_ops())
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
    assert unknown <= set().union(STRUCTURED, *REFUSED.values())
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
    spoil(monkeypatch, order)
    with client.session() as session:
        case = cases_by_op()["Tanh"][0]
        verdict = gradient_differences.judge(session, case, orders=3)
    assert verdict.orders[order - 1] == "failed"
