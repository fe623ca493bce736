"""PyTorch's unmodified gradcheck and gradgradcheck on every differentiable operator, and the score of all checks.

`python tests/conformance/gradcheck_test.py [OP...]` runs these and the differences of gradients_test.py without pytest.
"""

from __future__ import annotations

import sys

import gradient_torch
import pytest
from gradient_cases import cases_by_op
from gradient_outcomes import Outcome, differentiable_ops, report, run, server_binary
from gradient_server import spoil

from gradwire.client import Client, connect
from gradwire.testing import Server


def check(client: Client, op: str) -> tuple[str, ...]:
    """How gradcheck and gradgradcheck of an operator's first case ended."""
    cases = cases_by_op().get(op)
    if not cases:
        return ("failed: no case with gradients",) * 2
    with client.session() as session:
        return gradient_torch.check(session, cases[0])


def add(outcome: Outcome, found: tuple[str, ...]) -> None:
    """Adds what PyTorch's checkers found to an operator's problems."""
    for problems, one in zip(outcome.problems, found, strict=False):
        problems += [one] * (one != "passed")


@pytest.fixture(scope="module")
def checked(client: Client) -> dict[str, tuple[str, ...]]:
    return {op: check(client, op) for op in differentiable_ops()}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("op", differentiable_ops())
def test_gradcheck(checked: dict[str, tuple[str, ...]], op: str, order: int) -> None:
    assert checked[op][order - 1] == "passed"


def test_score(differences: dict[str, Outcome], checked: dict[str, tuple[str, ...]]) -> None:
    for op, outcome in differences.items():
        add(outcome, checked[op])
    print(report(differences))


@pytest.mark.parametrize("order", [1, 2])
def test_a_wrong_gradient_fails(client: Client, monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    spoil(monkeypatch, order)
    assert check(client, "Tanh")[order - 1].startswith("failed")


def main() -> int:
    found = run(sys.argv[1:] or differentiable_ops())
    with Server(server_binary()) as server, connect(server.target) as client:
        for op, outcome in found.items():
            add(outcome, check(client, op))
    for outcome in found.values():
        for order, problems in enumerate(outcome.problems, 1):
            print("\n".join(f"{outcome.op}: order {order}: {problem}" for problem in problems[:3]), end="\n" * bool(problems))
    print(report(found))
    return int(any(any(outcome.problems) for outcome in found.values()))


if __name__ == "__main__":
    sys.exit(main())
