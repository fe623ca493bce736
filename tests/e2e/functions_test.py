"""Local functions of a model: expanded into nodes, with the onnx reference evaluator as the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import gradwire
from gradwire import Session, errors

FLOAT = TensorProto.FLOAT
OPSET = helper.make_opsetid("", 21)
LOCAL = helper.make_opsetid("local", 1)
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


def reference(op_type: str, name: str, attribute: str, kind: int) -> onnx.NodeProto:
    """A node y = op_type(x) whose attribute is that of the call."""
    node = helper.make_node(op_type, ["x"], ["y"], name)
    node.attribute.add(name=attribute, ref_attr_name=attribute, type=kind)
    return node


def function(
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    nodes: Sequence[onnx.NodeProto],
    attributes: Sequence[str] = (),
    defaults: Sequence[onnx.AttributeProto] = (),
    opsets: Sequence[Any] = (OPSET, LOCAL),
) -> onnx.FunctionProto:
    return helper.make_function("local", name, inputs, outputs, nodes, opsets, attributes, defaults)


def model(
    nodes: Sequence[onnx.NodeProto],
    functions: Sequence[onnx.FunctionProto],
    initializers: Sequence[onnx.TensorProto] = (),
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """A model of float arrays from "x" to `outputs`."""
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(name, FLOAT, ["n", "m"]) for name in outputs],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[OPSET, LOCAL], functions=functions, ir_version=10)


def call(op_type: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, outputs, name, domain="local", **attributes)


def run(session: Session, proto: onnx.ModelProto) -> list[Any]:
    """The model's outputs."""
    session.load_program("m", proto.SerializeToString())
    return session.forward(program="m", feeds={"x": X}, fetch=[output.name for output in proto.graph.output])[1]


def check(session: Session, proto: onnx.ModelProto) -> list[Any]:
    """Runs the model here and in the reference evaluator, which must agree; returns the outputs."""
    got = run(session, proto)
    for one, expected in zip(got, ReferenceEvaluator(proto).run(None, {"x": X}), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-6)
    return got


def test_attributes_come_from_the_call_or_a_default(session: Session) -> None:
    leaky = function(
        "Leaky",
        ["x"],
        ["y"],
        [reference("LeakyRelu", "leak", "alpha", onnx.AttributeProto.FLOAT)],
        defaults=[helper.make_attribute("alpha", 0.25)],
    )
    nodes = [call("Leaky", ["x"], ["a"]), call("Leaky", ["a"], ["y"], alpha=0.5)]
    (y,) = run(session, model(nodes, [leaky]))
    np.testing.assert_array_equal(y, np.where(X < 0, X * 0.25 * 0.5, X).astype(np.float32))


def test_an_attribute_that_nobody_gives_is_absent(session: Session) -> None:
    elu = function("E", ["x"], ["y"], [reference("Elu", "", "alpha", onnx.AttributeProto.FLOAT)], ["alpha"])
    (y,) = run(session, model([call("E", ["x"], ["y"])], [elu]))
    np.testing.assert_allclose(y, np.where(X < 0, np.expm1(X), X), rtol=1e-6)


def test_functions_call_functions(session: Session) -> None:
    square = function("Square", ["x"], ["y"], [helper.make_node("Mul", ["x", "x"], ["y"])])
    # Uses the names of its caller for values of its own.
    twice = function("Twice", ["x"], ["z"], [call("Square", ["x"], ["y"]), call("Square", ["y"], ["z"])])
    nodes = [call("Twice", ["x"], ["z"]), call("Square", ["z"], ["t"]), helper.make_node("Add", ["t", "z"], ["y"])]
    check(session, model(nodes, [square, twice], outputs=["y", "t"]))
    leaky = function(
        "Leaky",
        ["x"],
        ["y"],
        [call("Twice", ["x"], ["t"]), reference("LeakyRelu", "", "alpha", onnx.AttributeProto.FLOAT)],
        ["alpha"],
    )
    outer = reference("Leaky", "", "alpha", onnx.AttributeProto.FLOAT)
    outer.domain = "local"
    wrapper = function("Wrapper", ["x"], ["y"], [outer], ["alpha"])
    (y,) = run(session, model([call("Wrapper", ["x"], ["y"], alpha=0.5)], [wrapper, leaky, twice, square]))
    np.testing.assert_array_equal(y, np.where(X < 0, X * np.float32(0.5), X))


def test_a_body_means_its_own_opset(session: Session) -> None:
    """ReduceSum's axes are an attribute in opset 11, an input in opset 21."""
    old = function(
        "Old",
        ["x"],
        ["y"],
        [helper.make_node("ReduceSum", ["x"], ["y"], axes=[1], keepdims=1)],
        opsets=[helper.make_opsetid("", 11)],
    )
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    nodes = [call("Old", ["x"], ["rows"]), helper.make_node("ReduceSum", ["rows", "axes"], ["y"], keepdims=0)]
    (y,) = run(session, model(nodes, [old], [axes]))
    np.testing.assert_allclose(y, [X.sum()], atol=1e-6)


def test_omitted_inputs_and_outputs(session: Session) -> None:
    clip = function(
        "Both",
        ["x", "low", "high"],
        ["y", "z"],
        [helper.make_node("Clip", ["x", "low", "high"], ["y"]), helper.make_node("Neg", ["y"], ["z"])],
    )
    high = numpy_helper.from_array(np.float32(1), "one")
    nodes = [call("Both", ["x", "", "one"], ["a", ""]), call("Both", ["a"], ["", "y"])]
    (y,) = run(session, model(nodes, [clip], [high]))
    np.testing.assert_array_equal(y, -np.minimum(X, 1))


def test_an_output_that_is_an_input(session: Session) -> None:
    same = function("Same", ["x"], ["x", "y"], [helper.make_node("Neg", ["x"], ["y"])])
    check(session, model([call("Same", ["x"], ["a", "b"]), helper.make_node("Sub", ["a", "b"], ["y"])], [same]))


def test_a_function_of_the_model_goes_before_an_operator(session: Session) -> None:
    relu = function("Relu", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])])
    relu.domain = ""
    (y,) = run(session, model([helper.make_node("Relu", ["x"], ["y"])], [relu]))
    np.testing.assert_array_equal(y, -X)


def test_overloads(session: Session) -> None:
    one = function("F", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])])
    two = function("F", ["x"], ["y"], [helper.make_node("Abs", ["x"], ["y"])])
    two.overload = "abs"
    nodes = [call("F", ["x"], ["a"]), call("F", ["a"], ["y"])]
    nodes[1].overload = "abs"
    (y,) = run(session, model(nodes, [one, two]))
    np.testing.assert_array_equal(y, np.abs(X))


def test_values_in_a_function_have_names_and_gradients(session: Session) -> None:
    dense = function(
        "Dense", ["x", "w"], ["y"], [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Relu", ["p"], ["y"])]
    )
    w = numpy_helper.from_array(np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2), "w")
    net = gradwire.load_model(session, model([call("Dense", ["x", "w"], ["y"], "fc")], [dense], [w]), name="net")
    assert list(net.info.operators) == ["MatMul", "Relu"]
    p = X @ numpy_helper.to_array(w)
    np.testing.assert_allclose(session.forward(program="net", feeds={"x": X}, fetch=["fc/p"])[1][0], p, rtol=1e-6)
    net(X).sum().backward()
    np.testing.assert_allclose(session.fetch(["grad/net/w"])[0], X.T @ (p > 0).astype(np.float32), rtol=1e-6)


def test_an_error_in_a_function_says_where(session: Session) -> None:
    bad = function("Bad", ["x"], ["y"], [helper.make_node("MatMul", ["x", "x"], ["y"], "mm")])
    outer = function("Outer", ["x"], ["y"], [call("Bad", ["x"], ["y"])])
    nodes = [helper.make_node("Neg", ["x"], ["a"]), call("Outer", ["a"], ["y"], "block")]
    session.load_program("m", model(nodes, [bad, outer]).SerializeToString())
    with pytest.raises(errors.ShapeMismatch, match=r"node 1 'block/0/mm' \(MatMul\)") as caught:
        session.forward(program="m", feeds={"x": X}, fetch=["y"])
    assert caught.value.metadata["node"] == "1"


def test_a_saved_program_keeps_its_functions(client: gradwire.Client, session: Session, tmp_path: Any) -> None:
    double = function("Double", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])])
    session.load_program("m", model([call("Double", ["x"], ["y"])], [double]).SerializeToString())
    session.save(tmp_path)
    onnx.checker.check_model(onnx.load(tmp_path / "programs" / "m.onnx"))
    with client.session() as other:
        other.restore(tmp_path)
        np.testing.assert_array_equal(other.forward(program="m", feeds={"x": X}, fetch=["y"])[1][0], 2 * X)


NEG = helper.make_node("Neg", ["x"], ["y"])
SELF = function("F", ["x"], ["y"], [call("F", ["x"], ["y"])])
PING = function("Ping", ["x"], ["y"], [call("Pong", ["x"], ["y"])])
PONG = function("Pong", ["x"], ["y"], [call("Ping", ["x"], ["y"])])
MISTYPED = reference("Elu", "", "alpha", onnx.AttributeProto.FLOAT)
STRAY = helper.make_node("Elu", ["x"], ["y"])
STRAY.attribute.add(name="alpha", ref_attr_name="beta", type=onnx.AttributeProto.FLOAT)
OUTSIDE = helper.make_node("Elu", ["x"], ["y"])
OUTSIDE.attribute.add(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)
CHAIN = [
    function(f"F{i}", ["x"], ["y"], [call(f"F{i + 1}", ["x"], ["y"])] if i < 199 else [NEG]) for i in range(200)
]
BOMB = [
    function(f"F{i}", ["x"], ["y"], [call(f"F{i + 1}", [f"t{k}" if k else "x"], [f"t{k + 1}" if k < 99 else "y"]) for k in range(100)])
    for i in range(9)
]  # fmt: skip
BOMB.append(function("F9", ["x"], ["y"], [NEG]))

REFUSED: dict[str, tuple[onnx.NodeProto, list[onnx.FunctionProto], str]] = {
    "recursion": (call("F", ["x"], ["y"]), [SELF], r"node 0 'F/0' \(F\): .*calls local::F"),
    "mutual recursion": (call("Ping", ["x"], ["y"]), [PING, PONG], "local::Ping calls local::Pong calls local::Ping"),
    "too deep": (call("F0", ["x"], ["y"]), CHAIN, "nested more than 100 deep"),
    "too many": (call("F0", ["x"], ["y"]), BOMB, "come to more than"),
    "too many inputs": (call("F", ["x", "x"], ["y"]), [function("F", ["x"], ["y"], [NEG])], "the call 2 and 1"),
    "too many outputs": (call("F", ["x"], ["y", "z"]), [function("F", ["x"], ["y"], [NEG])], "the call 1 and 2"),
    "unknown attribute": (call("F", ["x"], ["y"], k=1), [function("F", ["x"], ["y"], [NEG])], "no attribute 'k'"),
    "attribute of another type": (
        call("F", ["x"], ["y"], alpha=1),
        [function("F", ["x"], ["y"], [MISTYPED], ["alpha"])],
        r"node 0 \S*\(F\): attribute 'alpha' is of type INT, the function takes FLOAT",
    ),
    "stray reference": (call("F", ["x"], ["y"]), [function("F", ["x"], ["y"], [STRAY])], "'alpha' refers to 'beta'"),
    "reference outside": (OUTSIDE, [], r"node 0 \(Elu\) refers to attribute 'alpha'"),
    "two of a name": (NEG, [function("F", ["x"], ["y"], [NEG])] * 2, "two functions local::F"),
    "undefined in a body": (
        NEG,
        [function("F", ["x"], ["y"], [helper.make_node("Neg", ["q"], ["y"], "n")])],
        r"function local::F: node 0 'n' \(Neg\) reads 'q', which nothing makes",
    ),
    "output not made": (NEG, [function("F", ["x"], ["z"], [NEG])], "nothing makes the output 'z'"),
    "domain not imported": (
        NEG,
        [function("F", ["x"], ["y"], [NEG], opsets=[])],
        r"function local::F: node 0 \(Neg\) is of domain ai.onnx, which is not imported",
    ),
    "opset too new": (
        NEG,
        [function("F", ["x"], ["y"], [NEG], opsets=[helper.make_opsetid("", 28)])],
        "opset 28 of domain ai.onnx is newer than 27",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(session: Session, case: str) -> None:
    node, functions, message = REFUSED[case]
    with pytest.raises(errors.InvalidModel, match=message):
        session.load_program("m", model([node], functions).SerializeToString())
    assert session.list_programs() == [] and session.list_tensors() == []
