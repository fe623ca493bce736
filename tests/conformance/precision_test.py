"""float32 results within 1e-5 relative of a float64 run of the same operator.

Over every single-node test of ONNX's suite that takes float32 and answers it: the server runs the node on the stored
inputs as they are and cast to float64, with its graphs made to suit, and each float output must agree, element by
element. Where a result is a sum whose terms cancel, the format forbids that: partial sums are rounded in proportion
to their own size. Such operators are named, and held to four roundings of the largest number in the output; a name
that is not needed fails, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

import gradwire
from gradwire import commands, errors
from gradwire.testing import Server

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parents[2]
NODES = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
TOLERANCE = 1e-5
ROUNDINGS = 4 * float(np.finfo(np.float32).eps)

# Operators whose results are sums of terms that cancel in some test.
CANCELLING = {
    "AffineGrid",
    "AveragePool",
    "CausalConvWithState",
    "GRU",
    "LayerNormalization",
    "LinearAttention",
    "RotaryEmbedding",
}
# Operators that are not compared.
WITHOUT = {"Bernoulli": "random", "RandomUniformLike": "random"}


def _load(path: Path) -> Array:
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def _model(name: str) -> onnx.ModelProto:
    return onnx.load(NODES / name / "model.onnx")


def candidates() -> list[str]:
    """Tests of one node that take float32 and answer float32."""
    found = []
    for folder in sorted(NODES.iterdir()):
        graph = _model(folder.name).graph
        types = [{value.type.tensor_type.elem_type for value in values} for values in (graph.input, graph.output)]
        if len(graph.node) == 1 and all(onnx.TensorProto.FLOAT in kinds for kinds in types):
            found.append(folder.name)
    return found


@pytest.fixture(scope="module")
def session() -> Iterator[gradwire.Session]:
    binary = os.environ.get("GRADWIRE_SERVER", ROOT / "build" / "release" / "gradwire-server")
    with Server(binary) as server, gradwire.connect(server.target, timeout=60) as client, client.session(seed=1) as opened:
        yield opened


def _widen(graph: onnx.GraphProto) -> None:
    """Makes float64 of what a graph among a node's attributes says of float32."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for tensor in (*graph.initializer, *(attribute.t for attribute in attributes if attribute.HasField("t"))):
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for attribute in attributes:
        if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
            attribute.i = onnx.TensorProto.DOUBLE
        if attribute.HasField("g"):
            _widen(attribute.g)


def _run(session: gradwire.Session, model: onnx.ModelProto, inputs: list[Array]) -> list[Array]:
    (node,) = model.graph.node
    feeds = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
    versions = {entry.domain: entry.version for entry in model.opset_import}
    fetch = [value.name for value in model.graph.output]
    (response,) = session.run([commands.forward([node], feeds=feeds, fetch=fetch, no_grad=True, opset=versions)])
    return [gradwire.dtypes.from_proto(tensor) for tensor in response.fetched]


def _excess(narrow: Array, wide: Array) -> tuple[float, float]:
    """The largest error relative to the element itself, and to the largest element."""
    wide = np.where(np.abs(wide) > np.finfo(np.float32).max, np.copysign(np.inf, wide), wide)
    with np.errstate(all="ignore"):
        alike = (narrow == wide) | (np.isnan(narrow) & np.isnan(wide))
        error = np.where(alike, 0, np.abs(narrow.astype(np.float64) - wide))
        finite = np.abs(wide[np.isfinite(wide)])
        smallest = float(np.finfo(np.float32).tiny)
        own = np.where(error == 0, 0, error / np.maximum(np.abs(wide), smallest))
        return float(own.max(initial=0)), float(error.max(initial=0)) / max(finite.max(initial=0), smallest)


def _errors(session: gradwire.Session, name: str) -> tuple[float, float]:
    """Of one test's float32 outputs. Outputs that are float32 in the float64 run, too, say nothing and are left out."""
    model, data = _model(name), NODES / name / "test_data_set_0"
    inputs = [_load(data / f"input_{i}.pb") for i in range(len(model.graph.input))]
    doubles = [x.astype(np.float64) if x.dtype == np.float32 else x for x in inputs]
    wide = _model(name)
    for attribute in wide.graph.node[0].attribute:
        if attribute.HasField("g"):
            _widen(attribute.g)
    pairs = zip(_run(session, model, inputs), _run(session, wide, doubles), strict=True)
    found = [_excess(x, y) for x, y in pairs if x.dtype == np.float32 and y.dtype == np.float64]
    return max((own for own, _ in found), default=0.0), max((largest for _, largest in found), default=0.0)


def test_float32_agrees_with_float64(session: gradwire.Session) -> None:
    problems, cancelling, compared = [], set(), 0
    passing = set((ROOT / "tests" / "conformance" / "onnx_passing.txt").read_text().split())
    for name in candidates():
        op = _model(name).graph.node[0].op_type
        if op in WITHOUT or f"{name}_cpu" not in passing:
            continue
        try:
            own, largest = _errors(session, name)
        except errors.GradwireError as error:
            problems.append(f"{name}: {error}")
            continue
        compared += 1
        if own <= TOLERANCE:
            continue
        cancelling.add(op)
        if op not in CANCELLING or largest > ROUNDINGS:
            problems.append(f"{name}: off by {own:.1e} of an element, {largest:.1e} of the largest")
    print(f"{compared} tests compared")
    assert not problems, "\n".join(problems)
    assert compared > 700
    assert cancelling == CANCELLING
