"""Shapes that DescribeProgram infers, against the outputs that ONNX's own tests expect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from conftest import ROOT
from gradwire import Session
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb

PASSING = ROOT / "tests" / "conformance" / "onnx_passing.txt"
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
# The share of outputs whose shape is known; of the others, most depend on axes or shapes that the tests give as inputs.
KNOWN = 0.8


def spec(tensor: TensorProto) -> pb.TensorSpec:
    return pb.TensorSpec(data_type=tensor.data_type, dims=tensor.dims)


def arrays(folder: Path, kind: str, values: Any) -> dict[str, TensorProto]:
    """The dense arrays of a test's data set, by name."""
    found = {}
    for i, value in enumerate(values):
        path = folder / "test_data_set_0" / f"{kind}_{i}.pb"
        if path.exists() and value.type.HasField("tensor_type"):
            found[value.name] = onnx.load_tensor(path)
    return found


def folders() -> list[Path]:
    """Of the node tests that pass here."""
    names = PASSING.read_text().split()
    found = [DATA / "node" / re.sub("_cpu$", "", name) for name in names]
    return [folder for folder in found if (folder / "model.onnx").exists()]


def test_inferred_shapes_are_those_of_the_outputs(session: Session) -> None:
    known = total = 0
    for folder in folders():
        model = onnx.load(folder / "model.onnx")
        session.load_program("m", model.SerializeToString())
        inputs = {name: spec(tensor) for name, tensor in arrays(folder, "input", model.graph.input).items()}
        values = {value.name: value for value in session.describe_program("m", inputs=inputs).values}
        for name, expected in arrays(folder, "output", model.graph.output).items():
            total += 1
            if not values[name].HasField("type"):
                continue
            known += 1
            inferred = values[name].type.tensor_type
            dims = [dim.dim_value for dim in inferred.shape.dim]
            assert (inferred.elem_type, dims) == (expected.data_type, list(expected.dims)), f"{folder.name}: {name}"
    print(f"{known} of {total} known")
    assert total > 1500 and known > KNOWN * total, f"{known} of {total}"
