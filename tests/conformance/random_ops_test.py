"""Random calls of every deterministic operator on dense arrays, against onnx's reference evaluator.

Shapes have zeros, ones, high ranks and what broadcasts; axes are counted from either end; optional inputs and attributes
come and go; opset versions and element types are drawn. A difference is a defect of gradwire, or one of the reference
that random_ops_oracles.py names. What is drawn is the same in every run: GRADWIRE_SEED (0) and GRADWIRE_CASES, the
number of cases, draw others. A failure prints the seed of its case; `python tests/conformance/random_ops_test.py SEED`
shows that case again: its inputs, and both answers.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator

import onnx
import pytest

import gradwire
import random_ops_elementwise  # noqa: F401  (they fill the table)
import random_ops_layers  # noqa: F401
import random_ops_legacy  # noqa: F401
import random_ops_shaping  # noqa: F401
import random_ops_strings  # noqa: F401
import random_ops_vision  # noqa: F401
from gradwire.testing import Server
from gradient_outcomes import STRUCTURED
from random_ops_draw import MAX_OPSET, ROWS, versions_of
from random_ops_run import ask_reference, ask_server, differences, make_case

BASE = int(os.environ.get("GRADWIRE_SEED", "0"))
CASES = int(os.environ.get("GRADWIRE_CASES", "30000"))
WEIGHT = sum(row.weight for row in ROWS)

# Operators without random calls.
WITHOUT = dict.fromkeys(
    ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), "it is random"
) | {"MaxRoiPool": "the reference evaluator lacks it"}
WITHOUT |= dict.fromkeys(STRUCTURED, "it takes or makes sequences, or takes graphs")


# Versions without random calls: the reference evaluator knows no form of them.
WITHOUT_VERSIONS = {
    "AveragePool": {1},
    "Dropout": {1, 6},
    "GRU": {1, 3},
    "GlobalLpPool": {1},
    "LSTM": {1},
    "LpPool": {1},
    "MaxUnpool": {9},
    "Pad": {1},
    "RNN": {1},
    "Split": {1},
    "Upsample": {1, 10},
}


def binary() -> str:
    """The server under test."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.environ.get("GRADWIRE_SERVER", os.path.join(root, "build", "release", "gradwire-server"))


@pytest.fixture(scope="module")
def client() -> Iterator[gradwire.Client]:
    with Server(binary()) as server, gradwire.connect(server.target, timeout=120) as connection:
        yield connection


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda i: f"{ROWS[i].op}-{ROWS[i].since}-{ROWS[i].make.__name__}")
def test_agrees_with_the_reference(client: gradwire.Client, index: int) -> None:
    row = ROWS[index]
    count = round(CASES * row.weight / WEIGHT)
    with client.session() as session:
        found = differences(session, row, ((BASE, index, k) for k in range(count)))
    shown = "\n\n".join(f"{case}\n{text}" for case, text in found[:5])
    assert not found, f"{len(found)} of {count} cases differ; the first:\n{shown}"


def test_every_operator_is_drawn(client: gradwire.Client) -> None:
    known = {row.op_type for row in client.server_info().operators if row.domain == ""}
    drawn = {row.op for row in ROWS}
    assert known == drawn | set(WITHOUT)
    assert not drawn & set(WITHOUT)


def test_every_version_is_drawn() -> None:
    drawn: dict[str, set[int]] = {}
    for row in ROWS:
        drawn.setdefault(row.op, set()).update(row.versions())
    missing = {op: {v for v in versions_of(op) if v <= MAX_OPSET} - versions for op, versions in drawn.items()}
    assert {op: versions for op, versions in missing.items() if versions} == WITHOUT_VERSIONS


def show(seed: tuple[int, ...]) -> None:
    """Prints one case with both answers."""
    case = make_case(ROWS[seed[1]], seed)
    with Server(binary()) as server, gradwire.connect(server.target) as connection, connection.session() as session:
        print(case, *case.inputs, "the server:", *ask_server(session, [case])[0], sep="\n")
    print("the reference:", *ask_reference(case), sep="\n")


if __name__ == "__main__":
    show(ast.literal_eval(sys.argv[1]))
