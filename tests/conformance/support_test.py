"""The server's support matrix against ONNX's own schemas: each operator of the default domain, in each of its versions,
takes every element type that ONNX allows its first input, but for what is listed here. (That 16-bit floats are computed
rightly is for random_ops_test.py.)"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

import gradwire
from gradwire.testing import Server

ROOT = Path(__file__).resolve().parents[2]
NAMES = {code: name.lower() for name, code in onnx.TensorProto.DataType.items()}

# Operators that the server lacks.
ABSENT = {
    "image files": {"ImageDecoder"},
}
# Element types that only operators which change no element take, or none.
EVERYWHERE = {"complex64", "complex128"}
FLOAT8 = {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"}
INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
# Element types that an operator lacks.
LACKS = {
    "Col2Im": {"bool", "string"},  # it sums
    "Dropout": FLOAT8,
    "Erf": INTEGERS,  # its results are 0 and 1
    "GridSample": {"bool", "string"},  # it interpolates
    "IsInf": FLOAT8,
    "IsNaN": FLOAT8,
    "QLinearMatMul": FLOAT8,
    "RandomNormalLike": {"string"},  # numbers cannot be of its element type
    "RandomUniformLike": {"string"},
    "Resize": {"string"},  # it interpolates
    "Upsample": {"string"},
}


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, dict[int, set[str]]]]:
    """Of each operator, by the version from which a row holds: the element types that it takes."""
    binary = os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server")
    found: dict[str, dict[int, set[str]]] = {}
    with Server(binary) as server, gradwire.connect(server.target) as client:
        for row in client.server_info().operators:
            if row.domain == "" and row.device == "cpu":
                kinds = {NAMES[code] for code in row.data_types}
                found.setdefault(row.op_type, {})[row.since_version] = kinds
    yield found


def schemas() -> list[onnx.defs.OpSchema]:
    """Every version of every operator up to the newest opset."""
    newest = onnx.defs.onnx_opset_version()
    return [
        s
        for s in onnx.defs.get_all_schemas_with_history()
        if s.domain == "" and s.since_version <= newest and not s.deprecated
    ]


def allowed(schema: onnx.defs.OpSchema) -> set[str]:
    """Element types of the first input, or of the first output where there is none."""
    first = (list(schema.inputs) or list(schema.outputs))[0]
    types = {first.type_str}
    for constraint in schema.type_constraints:
        if constraint.type_param_str == first.type_str:
            types = set(constraint.allowed_type_strs)
    return {t[len("tensor(") : -1] for t in types if t.startswith("tensor(")}


def test_every_operator_is_there(rows: dict[str, dict[int, set[str]]]) -> None:
    missing = {schema.name for schema in schemas()} - set(rows)
    assert missing == set().union(*ABSENT.values())


def test_every_version_is_there(rows: dict[str, dict[int, set[str]]]) -> None:
    early = [
        f"{schema.name}-{schema.since_version}"
        for schema in schemas()
        if schema.name in rows and min(rows[schema.name]) > schema.since_version
    ]
    assert early == []


def test_every_element_type_is_taken(rows: dict[str, dict[int, set[str]]]) -> None:
    lacks: dict[str, set[str]] = {}
    for schema in schemas():
        if schema.name not in rows:
            continue
        since = max((v for v in rows[schema.name] if v <= schema.since_version), default=None)
        taken = set() if since is None else rows[schema.name][since]
        lacking = allowed(schema) - taken - EVERYWHERE
        if lacking:
            lacks.setdefault(schema.name, set()).update(lacking)
    assert lacks == LACKS
