"""What a program may be, and what is known of it before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import gradwire
from gradwire import Session, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
X = np.array([[1, -2, 3], [0, 1, 0]], np.float32)
W = np.arange(6, dtype=np.float32).reshape(3, 2) - 2

Dims = list[int | str]


def info(name: str, dims: Dims | None, code: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, code, dims)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
    ir_version: int = 10,
    opset: int = 21,
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def linear(ir_version: int = 10, also_inputs: bool = False) -> onnx.ModelProto:
    """y = relu(x @ w)"""
    inputs = [info("x", ["batch", 3])] + ([info("w", [3, 2])] if also_inputs else [])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Relu", ["p"], ["y"])]
    return model(nodes, inputs, [info("y", ["batch", 2])], {"w": W}, ir_version)


def run(session: Session, feeds: dict[str, Any], fetch: str = "y", **options: Any) -> np.ndarray[Any, Any]:
    (array,) = session.forward(program="m", feeds=feeds, fetch=[fetch], **options)[1]
    return array


# ---------------------------------------------------------------- what a program may be


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_dynamic_dimensions(session: Session, batch: int) -> None:
    loaded = session.load_program("m", linear().SerializeToString())
    assert list(loaded.dynamic_dims) == ["batch"]
    assert loaded.inputs[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    x = np.random.default_rng(0).normal(size=(batch, 3)).astype(np.float32)
    np.testing.assert_allclose(run(session, {"x": x}), np.maximum(x @ W, 0), rtol=1e-5, atol=1e-6)


def test_a_batch_other_than_the_one_exported(session: Session) -> None:
    fixed = linear()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    fixed.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    net = gradwire.load_model(session, fixed, name="m")
    assert net(np.ones((7, 3), np.float32)).shape == (7, 2)


def test_minus_one_is_an_open_dimension(session: Session) -> None:
    old = linear()
    old.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    loaded = session.load_program("m", old.SerializeToString())
    assert not loaded.inputs[0].type.tensor_type.shape.dim[0].HasField("dim_value")
    assert run(session, {"x": X}).shape == (2, 2)


def test_unused_and_omitted_inputs(session: Session) -> None:
    nodes = [helper.make_node("Clip", ["x", "", "high"], ["y"])]
    inputs = [info("x", ["n", 3]), info("nobody reads this", [4])]
    session.load_program("m", model(nodes, inputs, [info("y", ["n", 3])], {"high": np.float32(1)}).SerializeToString())
    np.testing.assert_array_equal(run(session, {"x": X}), np.minimum(X, 1))
    np.testing.assert_array_equal(run(session, {"x": X, "nobody reads this": np.zeros(4, np.float32)}), np.minimum(X, 1))


def test_unused_outputs(session: Session) -> None:
    nodes = [helper.make_node("TopK", ["x", "k"], ["", "y"]), helper.make_node("MaxPool", ["i"], ["p", ""], kernel_shape=[2])]
    inputs = [info("x", ["n", 3]), info("i", [1, 1, 4])]
    outputs = [info("y", ["n", 1], INT64), info("p", None)]
    session.load_program("m", model(nodes, inputs, outputs, {"k": np.array([1], np.int64)}).SerializeToString())
    assert run(session, {"x": X, "i": np.zeros((1, 1, 4), np.float32)}).tolist() == [[2], [1]]


def test_metadata_and_fields_that_nobody_knows(session: Session) -> None:
    rich = linear()
    rich.metadata_props.add(key="author", value="somebody")
    rich.doc_string, rich.producer_name, rich.domain = "a model", "a tool", "com.example"
    rich.graph.doc_string = "a graph"
    rich.graph.quantization_annotation.add(tensor_name="w")
    rich.graph.metadata_props.add(key="k", value="v")
    rich.graph.node[0].metadata_props.add(key="k", value="v")
    rich.graph.node[0].doc_string = "a node"
    rich.graph.value_info.append(info("p", ["batch", 2]))
    rich.graph.initializer[0].doc_string = "a weight"
    rich.training_info.add()
    rich.opset_import.append(helper.make_opsetid("ai.onnx", 21))
    unknown = b"\xc2\x3e\x05hello" + b"\xc8\x3e\x07"  # Fields 1000 and 1001.
    session.load_program("m", rich.SerializeToString() + unknown)
    np.testing.assert_allclose(run(session, {"x": X}), np.maximum(X @ W, 0), rtol=1e-6)


@pytest.mark.parametrize("ir_version, also_inputs", [(3, True), (10, True), (10, False)])
def test_initializers_can_be_overridden(session: Session, ir_version: int, also_inputs: bool) -> None:
    """Before IR version 4 every initializer is an input too; a default either way."""
    loaded = session.load_program("m", linear(ir_version, also_inputs).SerializeToString())
    assert [value.name for value in loaded.inputs] == ["x"]
    assert list(loaded.parameters) == ["m/w"]
    np.testing.assert_allclose(run(session, {"x": X}), np.maximum(X @ W, 0), rtol=1e-6)
    other = np.ones((3, 2), np.float32)
    np.testing.assert_allclose(run(session, {"x": X, "w": other}), np.maximum(X @ other, 0), rtol=1e-6)
    session.put({"mine": 2 * other})
    np.testing.assert_allclose(run(session, {"x": X}, bindings={"w": "mine"}), np.maximum(X @ (2 * other), 0), rtol=1e-6)
    np.testing.assert_array_equal(session.fetch(["m/w"])[0], W)


def test_parameters_are_leaves_at_once(session: Session) -> None:
    weights = {"w": W, "steps": np.array([1, 2], np.int64)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Mul", ["p", "p"], ["y"])]
    proto = model(nodes, [info("x", ["n", 3])], [info("y", ["n", 2])], weights)
    session.load_program("m", proto.SerializeToString(), trainable=True, parameter_prefix="mine.")
    assert {t.name: (t.requires_grad, t.is_leaf) for t in session.list_tensors()} == {
        "mine.w": (True, True),
        "mine.steps": (False, True),
    }
    session.forward(program="m", feeds={"x": X}, outputs=["y"])
    session.backward(["y"], seeds={"y": np.ones((2, 2), np.float32)})
    np.testing.assert_allclose(session.fetch(["grad/mine.w"])[0], X.T @ (2 * (X @ W)), rtol=1e-6)


def test_an_initializer_or_input_as_output(session: Session) -> None:
    proto = model([helper.make_node("Neg", ["x"], ["y"])], [info("x", ["n", 3])], [info("w", [3, 2]), info("x", ["n", 3])], {"w": W})
    session.load_program("m", proto.SerializeToString())
    _, (w, x) = session.forward(program="m", feeds={"x": X}, fetch=["w", "x"])
    np.testing.assert_array_equal(w, W)
    np.testing.assert_array_equal(x, X)


def test_the_first_models_had_no_imports(session: Session) -> None:
    """IR version 2, the first opset: Add broadcasts by attribute."""
    nodes = [helper.make_node("Add", ["x", "b"], ["y"], broadcast=1, axis=1)]
    proto = model(nodes, [info("x", [2, 3]), info("b", [3])], [info("y", [2, 3])], {"b": np.arange(3, dtype=np.float32)}, 2)
    del proto.opset_import[:]
    session.load_program("m", proto.SerializeToString())
    np.testing.assert_array_equal(run(session, {"x": X}), X + np.arange(3, dtype=np.float32))


@pytest.mark.parametrize("how", ["feed", "binding", "output"])
def test_declared_types_are_held(session: Session, how: str) -> None:
    proto = model([helper.make_node("Neg", ["x"], ["y"])], [info("x", [2])], [info("y", [2])])
    if how == "output":
        proto.graph.output[0].type.tensor_type.elem_type = INT64
    session.load_program("m", proto.SerializeToString())
    integers, floats = np.array([1, 2]), np.array([1, 2], np.float32)
    session.put({"integers": integers})
    with pytest.raises(errors.DtypeMismatch, match="(input 'x'|output 'y') is declared (float32|int64), got (float32|int64).2."):
        if how == "binding":
            session.forward(program="m", bindings={"x": "integers"}, fetch=["y"])
        else:
            run(session, {"x": integers if how == "feed" else floats})


# ---------------------------------------------------------------- what is known of it


def shapes(session: Session, **options: Any) -> dict[str, Any]:
    """(dtype code, extents) of each value of "m", None where they are unknown."""
    values = session.describe_program("m", **options).values
    return {
        v.name: (v.type.tensor_type.elem_type, [d.dim_value for d in v.type.tensor_type.shape.dim]) if v.HasField("type") else None
        for v in values
    }


def test_shapes_before_the_program_runs(session: Session) -> None:
    session.load_program("m", linear().SerializeToString())
    assert shapes(session) == {"x": None, "w": (FLOAT, [3, 2]), "p": None, "y": None}
    known = {"x": (FLOAT, [5, 3]), "w": (FLOAT, [3, 2]), "p": (FLOAT, [5, 2]), "y": (FLOAT, [5, 2])}
    assert shapes(session, dims={"batch": 5}) == known
    assert shapes(session, inputs={"x": pb.TensorSpec(data_type=FLOAT, dims=[5, 3])}) == known
    assert list(known) == list(shapes(session)), "in the order in which they are made"


def test_shapes_by_the_client_library(session: Session) -> None:
    net = gradwire.load_model(session, linear(), name="m")
    assert net.describe(batch=4)["y"] == gradwire.infer.Spec(np.dtype(np.float32), (4, 2))
    assert net.describe({"x": (np.float32, (9, 3))})["p"].shape == (9, 2)
    assert net.describe()["y"] == gradwire.infer.Spec()


def test_what_depends_on_elements_is_unknown(session: Session) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Transpose", ["where"], ["turned"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["same"]),
        helper.make_node("Reshape", ["x", "target"], ["other"]),
        helper.make_node("Neg", ["x"], ["y"]),
    ]
    inputs = [info("x", [2, 3]), info("target", [1], INT64)]
    outputs = [info("turned", None, INT64), info("same", None), info("other", None), info("y", [2, 3])]
    session.load_program("m", model(nodes, inputs, outputs).SerializeToString())
    assert shapes(session) == {
        "x": (FLOAT, [2, 3]),
        "target": (INT64, [1]),
        "where": None,
        "turned": None,
        "shape": (INT64, [2]),
        "same": (FLOAT, [2, 3]),
        "other": None,
        "y": (FLOAT, [2, 3]),
    }


def test_shapes_that_do_not_fit_are_named(session: Session) -> None:
    session.load_program("m", linear().SerializeToString())
    spec = pb.TensorSpec(data_type=FLOAT, dims=[5, 4])
    with pytest.raises(errors.ShapeMismatch, match=r"program 'm': node 0 \(MatMul\): .*float32\[5,4\].*float32\[3,2\]"):
        session.describe_program("m", inputs={"x": spec})
    with pytest.raises(errors.DtypeMismatch, match="input 'x' is declared float32, got int64"):
        session.describe_program("m", inputs={"x": pb.TensorSpec(data_type=INT64, dims=[5, 3])})
    with pytest.raises(errors.InvalidArgument, match="there is no input 'z'"):
        session.describe_program("m", inputs={"z": spec})
    with pytest.raises(errors.InvalidArgument, match="no input has a dimension 'z'"):
        session.describe_program("m", dims={"z": 3})
    with pytest.raises(errors.InvalidArgument, match="negative extent"):
        session.describe_program("m", dims={"batch": -3})
    with pytest.raises(errors.ProgramNotFound):
        session.describe_program("nothing")


def test_operators_and_what_they_can(session: Session) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Reshape", ["x", "s"], ["a"]),
        helper.make_node("ArgMax", ["a"], ["b"], axis=0, keepdims=0),
        helper.make_node("Sparkle", ["a"], ["y"], domain="com.example"),
        helper.make_node("Neg", ["y"], ["z"]),
        helper.make_node("Neg", ["a"], ["c"]),
    ]
    proto = model(nodes, [info("x", [2, 3])], [info("z", None), info("b", [3], INT64)])
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    loaded = session.load_program("m", proto.SerializeToString())
    described = session.describe_program("m")
    assert described.program == loaded == session.list_programs()[0]
    assert list(loaded.operators) == ["ArgMax", "Neg", "Reshape", "Shape", "com.example::Sparkle"]
    assert list(loaded.unsupported) == ["com.example::Sparkle"]
    assert list(loaded.not_differentiable) == ["ArgMax", "Shape"]
    known = shapes(session)
    assert known["y"] is None and known["z"] is None
    assert known["b"] == (INT64, [3]) and known["c"] == (FLOAT, [2, 3])


def test_describing_changes_nothing(session: Session) -> None:
    """Not even the random numbers that come next."""
    nodes = [helper.make_node("Dropout", ["x", "ratio", "train"], ["y"])]
    weights = {"ratio": np.float32(0.5), "train": np.array(True)}
    session.load_program("m", model(nodes, [info("x", [100])], [info("y", [100])], weights).SerializeToString())
    x = np.ones(100, np.float32)
    with session.client.session(seed=7) as other:
        other.load_program("m", model(nodes, [info("x", [100])], [info("y", [100])], weights).SerializeToString())
        for _ in range(3):
            assert shapes(session)["y"] == (FLOAT, [100])
        before = session.describe()
        np.testing.assert_array_equal(run(session, {"x": x}), run(other, {"x": x}))
        assert session.describe().used_bytes == before.used_bytes


def test_what_depends_on_shapes_alone_is_known(session: Session) -> None:
    """Positions are counted from the shape of the tokens, as exporters write it: by nodes that must run for that."""
    nodes = [
        helper.make_node("Shape", ["tokens"], ["extents"]),
        helper.make_node("Gather", ["extents", "one"], ["length"], axis=0),
        helper.make_node("Range", ["zero", "length", "one"], ["places"]),
        helper.make_node("Gather", ["table", "places"], ["position"], axis=0),
        helper.make_node("Gather", ["table", "tokens"], ["word"], axis=0),
        helper.make_node("Add", ["word", "position"], ["sum"]),
        helper.make_node("Unsqueeze", ["length", "axis"], ["last"]),
        helper.make_node("Concat", ["minus", "last"], ["target"], axis=0),
        helper.make_node("Reshape", ["sum", "target"], ["y"]),
    ]
    weights = {
        "zero": np.array(0),
        "one": np.array(1),
        "axis": np.array([0]),
        "minus": np.array([-1]),
        "table": np.ones((50, 4), np.float32),
    }
    inputs, outputs = [info("tokens", ["batch", "sequence"], INT64)], [info("y", None)]
    session.load_program("m", model(nodes, inputs, outputs, weights).SerializeToString())
    known = shapes(session, dims={"batch": 3, "sequence": 7})
    made = [name for name in known if name != "tokens"]
    _, arrays = session.forward(program="m", feeds={"tokens": np.ones((3, 7), np.int64)}, fetch=made)
    assert known["y"] == (FLOAT, [12, 7])
    for name, array in zip(made, arrays, strict=True):
        assert known[name] == (helper.np_dtype_to_tensor_dtype(array.dtype), list(array.shape)), name


def test_shapes_in_a_saved_program(session: Session, tmp_path: Path) -> None:
    gradwire.load_model(session, linear(), name="m")
    session.save(tmp_path)
    with session.client.session() as other:
        other.restore(tmp_path)
        assert shapes(other, dims={"batch": 2})["y"] == (FLOAT, [2, 2])
