"""Element types that ONNX's schemas do not allow, in each input but the first: an error that says so, or the numbers that
the right type gives; never others, and never the end of the server.

A random call that is right (random_ops_*.py) gets another element type in one input at a time. Strings, complex and
sub-byte elements, which no kernel could take for numbers, are always refused. (What the first input may be is in the
support matrix: support_test.py.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

import gradwire
import random_ops_test  # noqa: F401  (it fills the table)
from gradwire import Session
from gradwire.testing import Server
from random_ops_draw import BOOL, F32, F64, INTS, ROWS, STRING, Array, Case, Row
from random_ops_run import ask_server, difference, make_case
from random_ops_test import binary

COMPLEX, INT4 = np.dtype(np.complex64), np.dtype(ml_dtypes.int4)
NEVER_NUMBERS = (STRING, COMPLEX, INT4)
TRIED = (F32, F64, *INTS[:5], BOOL, *NEVER_NUMBERS)
SEEDS = int(os.environ.get("GRADWIRE_WRONG_TYPE_CASES", "2"))
# An error of the shape may come first.
REFUSALS = ("DTYPE_MISMATCH", "OP_UNSUPPORTED", "INVALID_ARGUMENT", "SHAPE_MISMATCH")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Server(binary()) as server, gradwire.connect(server.target, timeout=20) as client, client.session() as opened:
        yield opened


def allowed(case: Case, i: int) -> set[str]:
    """The types of input i in the schema."""
    schema = onnx.defs.get_schema(case.op, case.opset)
    parameter = schema.inputs[min(i, len(schema.inputs) - 1)]
    types = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    return types.get(parameter.type_str, {parameter.type_str})


def type_string(dtype: np.dtype[Any]) -> str:
    return f"tensor({onnx.TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(dtype)).lower()})"


def converted(x: Array, dtype: np.dtype[Any]) -> Array:
    if dtype == STRING:
        return np.full(x.shape, "1", object)
    if x.dtype == STRING:
        return np.ones(x.shape, dtype)
    with np.errstate(all="ignore"):
        return x.astype(np.float32).astype(dtype)


def with_input(case: Case, i: int, x: Array) -> Case:
    return replace(case, inputs=[*case.inputs[:i], x, *case.inputs[i + 1 :]])


def wrong_cases(row: Row, index: int) -> list[tuple[Case, Case | None]]:
    """Calls with a wrong type, each with the call of the same numbers in the right one where there is one."""
    pairs: list[tuple[Case, Case | None]] = []
    for k in range(SEEDS):
        case = make_case(row, (0, index, k))
        for i, x in enumerate(case.inputs):
            for dtype in TRIED:
                if i == 0 or x is None or x.dtype == dtype or type_string(dtype) in allowed(case, i):
                    continue
                wrong = converted(x, dtype)
                right = None if dtype in NEVER_NUMBERS else with_input(case, i, converted(wrong, x.dtype))
                pairs.append((with_input(case, i, wrong), right))
    return pairs


def complaint(wrong: Case, got: list[Array] | str, right: list[Array] | str) -> str:
    if isinstance(got, str):
        return "" if got.startswith(REFUSALS) else got
    if isinstance(right, str):
        return "it is taken"
    narrowed = [y.astype(expected.dtype) for y, expected in zip(got, right, strict=True)]
    return difference(wrong, narrowed, right, 1)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=lambda i: f"{ROWS[i].op}-{ROWS[i].since}-{ROWS[i].make.__name__}")
def test_wrong_types_are_refused_or_mean_the_same(session: Session, index: int) -> None:
    pairs = wrong_cases(ROWS[index], index)
    answers = ask_server(session, [wrong for wrong, _ in pairs])
    rights = iter(ask_server(session, [right for _, right in pairs if right is not None]))
    found = []
    for (wrong, right), got in zip(pairs, answers, strict=True):
        text = complaint(wrong, got, "" if right is None else next(rights))
        if text:
            found.append(f"{wrong}: {text}")
    assert not found, f"{len(found)} of {len(pairs)}:\n" + "\n".join(found[:20])
