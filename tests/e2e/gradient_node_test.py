"""ai.onnx.preview.training's Gradient inside models and among nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gradwire import Session, errors
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.dtypes import Array

TRAINING = "ai.onnx.preview.training"
OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid(TRAINING, 1), helper.make_opsetid("local", 1)]
A, B = np.float32(1.5), np.float32(-0.5)


def gradient(inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Gradient", inputs, outputs, domain=TRAINING, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[str], outputs: Sequence[str], weights: dict[str, Array] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> bytes:  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=10, functions=functions).SerializeToString()


def run(session: Session, program: bytes, fetch: Sequence[str], **feeds: Any) -> list[Array]:
    session.load_program("p", program)
    _, fetched = session.forward(program="p", feeds=feeds, fetch=fetch, no_grad=True)
    return fetched


# y = a^2 b + a
CUBIC = [
    helper.make_node("Mul", ["a", "a"], ["s"]),
    helper.make_node("Mul", ["s", "b"], ["m"]),
    helper.make_node("Add", ["m", "a"], ["y"]),
]


def test_first_order(session: Session) -> None:
    nodes = [*CUBIC, gradient(["a", "b"], ["da", "db"], xs=["a", "b"], y="y")]
    y, da, db = run(session, model(nodes, ["a", "b"], ["y", "da", "db"]), ["y", "da", "db"], a=A, b=B)
    np.testing.assert_allclose([y, da, db], [A * A * B + A, 2 * A * B + 1, A * A])


def test_one_output_only_and_what_is_held_fixed(session: Session) -> None:
    nodes = [*CUBIC, gradient(["b", "a"], ["db"], xs=["b"], zs=["a"], y="y"),
             gradient(["a", "b"], ["", "again"], xs=["a", "b"], y="y")]  # fmt: skip
    db, again = run(session, model(nodes, ["a", "b"], ["db", "again"]), ["db", "again"], a=A, b=B)
    np.testing.assert_allclose([db, again], [A * A, A * A])


def test_at_other_values_than_the_graphs(session: Session) -> None:
    nodes = [*CUBIC, gradient(["c", "b"], ["da"], xs=["a"], zs=["b"], y="y")]
    (da,) = run(session, model(nodes, ["a", "b", "c"], ["da"]), ["da"], a=A, b=B, c=np.float32(4))
    np.testing.assert_allclose(da, 2 * 4 * B + 1)


def test_with_respect_to_an_intermediate_value(session: Session) -> None:
    nodes = [*CUBIC, gradient(["s", "a"], ["ds"], xs=["s"], zs=["a"], y="y")]
    (ds,) = run(session, model(nodes, ["a", "b"], ["ds"]), ["ds"], a=A, b=B)
    np.testing.assert_allclose(ds, B)


def test_gradients_of_gradients(session: Session) -> None:
    nodes = [
        *CUBIC,
        gradient(["a", "b"], ["da"], xs=["a"], zs=["b"], y="y"),
        gradient(["a", "b"], ["daa", "dab"], xs=["a", "b"], y="da"),
        gradient(["a", "b"], ["", "daab"], xs=["a", "b"], y="daa"),
    ]
    daa, dab, daab = run(session, model(nodes, ["a", "b"], ["daa", "dab", "daab"]), ["daa", "dab", "daab"], a=A, b=B)
    np.testing.assert_allclose([daa, dab, daab], [2 * B, 2 * A, 2])


def test_y_of_many_elements_is_summed_and_what_does_not_matter_gets_zeros(session: Session) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [helper.make_node("Mul", ["a", "a"], ["y"]), gradient(["a", "b"], ["da", "db"], xs=["a", "b"], y="y")]
    da, db = run(session, model(nodes, ["a", "b"], ["da", "db"]), ["da", "db"], a=x, b=x)
    np.testing.assert_allclose(da, 2 * x)
    np.testing.assert_array_equal(db, np.zeros_like(x))


def test_a_loss_on_a_gradient_trains_a_weight(session: Session) -> None:
    """d/dw (dy/dx)^2 with y = w x^2: a gradient penalty."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["s"]),
        helper.make_node("Mul", ["s", "w"], ["y"]),
        gradient(["x"], ["dx"], xs=["x"], y="y"),
        helper.make_node("Mul", ["dx", "dx"], ["loss"]),
    ]
    w, x = np.float32(3), np.float32(2)
    session.load_program("p", model(nodes, ["x"], ["loss"], {"w": np.array(w)}), trainable=True)
    for checkpoint in (0, 2):
        session.forward(program="p", feeds={"x": x}, outputs=["loss"], checkpoint=checkpoint)
        session.backward(["loss"])
        np.testing.assert_allclose(session.fetch(["loss", "grad/p/w"]), [(2 * w * x) ** 2, 8 * w * x * x])
        session.delete(["grad/p/w"])


def test_inside_a_local_function(session: Session) -> None:
    slope = helper.make_function(
        "local", "Slope", ["p"], ["q"],
        [helper.make_node("Sin", ["p"], ["r"]), gradient(["p"], ["q"], xs=["p"], y="r")], OPSETS[:2],
    )  # fmt: skip
    nodes = [helper.make_node("Slope", ["a"], ["y"], domain="local")]
    (y,) = run(session, model(nodes, ["a"], ["y"], functions=[slope]), ["y"], a=A)
    np.testing.assert_allclose(y, np.cos(A), rtol=1e-6)


def test_among_inline_nodes(session: Session) -> None:
    nodes = [onnx_pb2.NodeProto.FromString(n.SerializeToString()) for n in
             [*CUBIC, gradient(["a", "b"], ["da"], xs=["a"], zs=["b"], y="y")]]  # fmt: skip
    _, (da,) = session.forward(nodes, feeds={"a": A, "b": B}, fetch=["da"])
    np.testing.assert_allclose(da, 2 * A * B + 1)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (gradient(["a"], ["d"], xs=["a"], y="nowhere"), "nothing before it makes y, 'nowhere'"),
        (gradient(["a"], ["d"], xs=["a", "b"], y="y"), "has 1 inputs for 2 xs and 0 zs"),
        (gradient(["a"], ["d", "e"], xs=["a"], y="y"), "has 2 outputs for 1 xs"),
        (gradient(["a"], ["d"], xs=["a"]), "attribute 'y' is required"),
        (gradient(["", "b"], ["d"], xs=["a", "b"], y="y"), "an input is left out"),
    ],
)
def test_malformed_nodes(session: Session, node: onnx.NodeProto, message: str) -> None:
    with pytest.raises(errors.InvalidModel, match=rf"node 3 \(Gradient\): .*{message}"):
        session.load_program("p", model([*CUBIC, node], ["a", "b"], ["d"]))


def test_integers_have_no_gradient(session: Session) -> None:
    nodes = [*CUBIC, gradient(["a", "b"], ["d"], xs=["a"], zs=["b"], y="y")]
    program = helper.make_model(
        helper.make_graph(nodes, "g", [helper.make_tensor_value_info(n, TensorProto.INT64, []) for n in "ab"],
                          [helper.make_empty_tensor_value_info("d")]),
        opset_imports=OPSETS, ir_version=10,
    )  # fmt: skip
    session.load_program("p", program.SerializeToString())
    with pytest.raises(errors.DtypeMismatch, match="an input of xs is int64"):
        session.forward(program="p", feeds={"a": np.int64(1), "b": np.int64(2)}, fetch=["d"])


def test_chains_of_gradients_are_limited(session: Session) -> None:
    nodes = [helper.make_node("Sin", ["a"], ["y0"])]
    nodes += [gradient(["a"], [f"y{i + 1}"], xs=["a"], y=f"y{i}") for i in range(40)]
    with pytest.raises(errors.InvalidModel, match="Gradients are limited"):
        session.load_program("p", model(nodes, ["a"], ["y40"]))
