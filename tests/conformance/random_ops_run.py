"""Runs random calls through a server and through onnx's reference evaluator, and says where they differ."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import RuntimeContextError

from gradwire import Session, commands, dtypes, errors
from gradwire.dtypes import as_array
import random_ops_oracles_layers  # noqa: F401  (it fills the table)
from random_ops_draw import FLOATS, HALVES, Array, Case, Draw, Row
from random_ops_legacy import translated
from random_ops_oracles import IN_FLOAT32, ORACLES

BATCH = 250

# What float results may differ by: of their own size, and of the largest number in the result, where sums cancel.
TOLERANCE = {"float32": 2e-5, "float64": 1e-10, "float16": 2e-3, "bfloat16": 1.6e-2}


def make_case(row: Row, seed: tuple[int, ...]) -> Case:
    """A case of the row: version and element type drawn first, the rest by its maker."""
    rng = np.random.default_rng(seed)
    versions = row.versions()
    version = versions[int(rng.integers(len(versions)))]
    types = row.types_at(version)
    # Half of the cases where floats are allowed are of float32 and float64.
    floats = [t for t in types if t in FLOATS]
    chosen = floats if floats and rng.random() < 0.5 else types
    draw = Draw(seed, chosen[int(rng.integers(len(chosen)))], version)
    inputs, attributes = row.make(draw)
    while inputs and inputs[-1] is None:
        inputs.pop()
    return Case(row.op, version, seed, inputs, attributes, row.outputs)


def node_of(case: Case, tag: str = "") -> Any:
    """The call as a node; its inputs and outputs are named after `tag`."""
    names = [None if x is None else f"{tag}x{i}" for i, x in enumerate(case.inputs)]
    return commands.node(case.op, names, [f"{tag}y{i}" for i in range(case.outputs)], case.attributes)


def feeds_of(case: Case, tag: str = "") -> dict[str, Array]:
    return {f"{tag}x{i}": x for i, x in enumerate(case.inputs) if x is not None}


def ask_server(session: Session, cases: Sequence[Case]) -> list[list[Array] | str]:
    """The outputs of each case, or the server's complaint. Many calls travel in one round trip."""
    results: list[list[Array] | str] = []
    for start in range(0, len(cases), BATCH):
        results += _ask(session, cases[start : start + BATCH])
    return results


def _ask(session: Session, cases: Sequence[Case]) -> list[list[Array] | str]:
    requests = []
    for i, case in enumerate(cases):
        node = node_of(case, f"{i}.")
        feeds, fetch = feeds_of(case, f"{i}."), list(node.output)
        requests.append(commands.forward([node], feeds=feeds, fetch=fetch, no_grad=True, opset={"": case.opset}))
    try:
        responses = session.run(requests)
    except errors.GradwireError as error:
        if len(cases) == 1:
            return [f"{error.reason}: {error}"]
        half = len(cases) // 2
        return _ask(session, cases[:half]) + _ask(session, cases[half:])
    return [[dtypes.from_proto(tensor) for tensor in response.fetched] for response in responses]


def ask_reference(case: Case) -> list[Array] | str:
    """What the outputs should be, 16-bit floats computed in float32; or the complaint of the reference evaluator."""
    if case.op not in ("BitCast", "CastLike"):
        inputs = [x.astype(np.float32) if x is not None and x.dtype in HALVES else x for x in case.inputs]
        case = replace(case, inputs=inputs)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            case = translated(case)
            oracle = ORACLES.get(case.op)
            answer = oracle(case, _evaluate) if oracle is not None else None
            return _evaluate(case) if answer is None else answer
    except Exception as error:  # whatever it may be: it is reported
        return f"{type(error).__name__}: {error}"


def _evaluate(case: Case) -> list[Array]:
    node = onnx.NodeProto.FromString(node_of(case).SerializeToString())
    feeds = {f"x{i}": x for i, x in enumerate(case.inputs) if x is not None}
    try:
        evaluator = ReferenceEvaluator(node, opsets={"": case.opset})
    except RuntimeContextError:  # a function whose body depends on the types of its inputs
        inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in feeds.items()]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        graph = helper.make_graph([node], "one", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)])
        evaluator = ReferenceEvaluator(onnx.shape_inference.infer_shapes(model))
    return [as_array(np.asarray(y)) for y in evaluator.run(None, feeds)]


def difference(case: Case, got: list[Array], wanted: list[Array], scale: float) -> str:
    """Where the server's outputs differ from the reference's; "" where they agree."""
    narrow = next((x.dtype for x in case.inputs if x is not None and x.dtype in HALVES), None)
    for i, (y, expected) in enumerate(zip(got, wanted, strict=True)):
        if narrow is not None and expected.dtype == np.float32 and y.dtype == narrow:
            kind = narrow
        elif y.dtype == expected.dtype:
            kind = y.dtype
        else:
            return f"output {i} is {y.dtype}, {expected.dtype} is expected"
        if y.shape != expected.shape:
            return f"output {i} has shape {list(y.shape)}, {list(expected.shape)} is expected"
        if kind == np.float64 and case.op in IN_FLOAT32:
            kind = np.dtype(np.float32)
        apart = _apart(y, expected, TOLERANCE.get(kind.name, 0), scale)
        if apart.any():
            places = [tuple(int(k) for k in place) for place in np.argwhere(apart)[:5]]
            shown = ", ".join(f"{list(place)}: {y[place]} for {expected[place]}" for place in places)
            return f"output {i}: {int(apart.sum())} of {y.size} elements differ: {shown}"
    return ""


def _apart(y: Array, expected: Array, tolerance: float, scale: float) -> Array:
    """Where two arrays differ by more than is allowed."""
    if tolerance == 0:
        return np.asarray(y != expected)
    with np.errstate(all="ignore"):
        y, expected = y.astype(np.float64), expected.astype(y.dtype).astype(np.float64)
        finite = np.abs(expected[np.isfinite(expected)])
        largest = float(finite.max()) if finite.size else 0.0
        return ~np.isclose(y, expected, rtol=tolerance, atol=tolerance * max(largest, scale), equal_nan=True)


def differences(session: Session, row: Row, seeds: Iterable[tuple[int, ...]]) -> list[tuple[Case, str]]:
    """The cases of a row on which server and reference differ, and how."""
    cases = [make_case(row, seed) for seed in seeds]
    found = []
    for case, got in zip(cases, ask_server(session, cases), strict=True):
        wanted = ask_reference(case)
        if isinstance(got, str) and isinstance(wanted, str):
            found.append((case, f"refused by both: {got}\n{wanted}"))
        elif isinstance(got, str):
            found.append((case, f"the server: {got}"))
        elif isinstance(wanted, str):
            found.append((case, f"the reference: {wanted}"))
        elif text := difference(case, got, wanted, row.scale):
            found.append((case, text))
    return found
