"""Programs as derivatives of programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire
from gradwire import Client, Session, commands, errors
from gradwire._proto.gradwire.v1 import onnx_pb2

X = np.array([-1.3, 0.2, 0.6, 2.4])


def value(name: str, dtype: int = 0, dims: list[int] | None = None) -> onnx_pb2.ValueInfoProto:
    info = onnx_pb2.ValueInfoProto(name=name)
    if dtype:
        info.type.tensor_type.elem_type = dtype
    for extent in dims or []:
        info.type.tensor_type.shape.dim.add(dim_value=extent)
    return info


def load(session: Session, name: str, inputs: Any, outputs: Any, *nodes: Any, **options: Any) -> None:
    """A program of nodes (operator, inputs, outputs); inputs and outputs are names or infos."""
    graph = onnx_pb2.GraphProto(
        node=[commands.node(op, reads, makes) for op, reads, makes in nodes],
        input=[value(i) if isinstance(i, str) else i for i in inputs],
        output=[value(o) if isinstance(o, str) else o for o in outputs],
        **options,
    )
    session.load_program(name, graph=graph)


def near(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def fetch(session: Session, name: str) -> Any:
    return session.fetch([name])[0]


@pytest.fixture
def rounding(session: Session) -> Session:
    """A straight-through estimator: Round forward, the identity backward."""
    load(session, "round", ["x"], ["y"], ("Round", ["x"], ["y"]))
    load(session, "through", ["grad/y"], ["grad/x"], ("Identity", ["grad/y"], ["grad/x"]))
    session.put({"x": X}, requires_grad=True)
    return session


def test_a_straight_through_estimator(rounding: Session) -> None:
    info = rounding.set_vjp("round", "through")
    assert (info.program, info.vjp) == ("round", "through")
    rounding.forward(program="round")
    assert rounding.describe_tensor("y").requires_grad
    rounding.backward(["y"], seeds={"y": np.arange(4.0)})
    near(fetch(rounding, "y"), np.round(X))
    near(fetch(rounding, "grad/x"), np.arange(4.0))
    assert rounding.set_vjp("round", None).vjp == ""
    rounding.zero_grad()
    rounding.forward(program="round")
    rounding.backward(["y"], seeds={"y": np.arange(4.0)})
    near(fetch(rounding, "grad/x"), np.zeros(4))


def test_no_gradient_no_graph(rounding: Session) -> None:
    rounding.set_vjp("round", "through")
    rounding.forward(program="round", no_grad=True)
    assert not rounding.describe_tensor("y").requires_grad
    rounding.forward(program="round", feeds={"x": X})
    assert not rounding.describe_tensor("y").requires_grad


# y = log(1 + exp(x)), whose operators overflow; the VJP reads input, output and output gradient:
# dx = dy * exp(x - y).
SOFTPLUS = [("Exp", ["x"], ["e"]), ("Add", ["e", "one"], ["t"]), ("Log", ["t"], ["y"])]
STABLE = [("Sub", ["x", "y"], ["d"]), ("Exp", ["d"], ["s"]), ("Mul", ["grad/y", "s"], ["grad/x"])]


def softplus(session: Session) -> None:
    one = onnx_pb2.TensorProto(name="one", data_type=11, dims=[], double_data=[1.0])
    load(session, "softplus", ["x"], ["y"], *SOFTPLUS, initializer=[one])
    load(session, "stable", ["x", "y", "grad/y"], ["grad/x"], *STABLE)
    session.set_vjp("softplus", "stable")


def test_every_order_comes_from_the_vjp_programs_operators(session: Session) -> None:
    softplus(session)
    session.put({"x": X}, requires_grad=True)
    session.forward(program="softplus")
    session.gradients(["y"], ["x"], seeds={"y": np.ones(4)}, names=["first"], create_graph=True)
    session.gradients(["first"], ["x"], seeds={"first": np.ones(4)}, names=["second"], create_graph=True)
    session.gradients(["second"], ["x"], seeds={"second": np.ones(4)}, names=["third"])
    s = 1 / (1 + np.exp(-X))
    near(fetch(session, "first"), s)
    near(fetch(session, "second"), s * (1 - s))
    near(fetch(session, "third"), s * (1 - s) * (1 - 2 * s))


def test_products_and_several_calls(session: Session) -> None:
    softplus(session)
    session.put({"x": X}, requires_grad=True)
    session.forward(program="softplus", bindings={"y": "h"})
    session.forward(program="softplus", bindings={"x": "h"})
    _, [tangent] = session.jvp(["y"], {"x": np.ones(4)}, fetch=True, retain_graph=True)
    h = np.log1p(np.exp(X))
    slope = 1 / (1 + np.exp(-h)) / (1 + np.exp(-X))
    near(tangent, slope)
    session.backward(["y"], seeds={"y": np.ones(4)})
    near(fetch(session, "grad/x"), slope)
    with pytest.raises(errors.GraphFreed):
        session.backward(["y"], seeds={"y": np.ones(4)})


def test_only_what_is_read_is_kept(client: Client) -> None:
    used = []
    for reads in (["grad/y"], ["x", "y", "grad/y"]):
        with client.session() as session:
            load(session, "cube", ["x"], ["y"], ("Mul", ["x", "x"], ["xx"]), ("Mul", ["xx", "x"], ["y"]))
            load(session, "vjp", reads, ["grad/x"], *STABLE if "x" in reads else [("Identity", ["grad/y"], ["grad/x"])])
            session.set_vjp("cube", "vjp")
            programs = session.describe().used_bytes
            session.put({"x": np.ones(1 << 16)}, requires_grad=True)
            session.forward([commands.node("Neg", ["x"], ["h"])])
            session.forward(program="cube", bindings={"x": "h"})
            session.forward([commands.node("ReduceSum", ["y"], ["s"])])
            session.delete(["h", "y"])
            used.append(session.describe().used_bytes - programs)
    assert used[1] - used[0] == 2 * 8 * (1 << 16)


def test_parameters_have_gradients_and_may_be_read(session: Session) -> None:
    scale = onnx_pb2.TensorProto(name="scale", data_type=11, dims=[], double_data=[3.0])
    load(session, "scaled", ["x"], ["y"], ("Mul", ["x", "scale"], ["y"]), initializer=[scale])
    ten = onnx_pb2.TensorProto(name="ten", data_type=11, dims=[], double_data=[10.0])
    load(
        session,
        "vjp",
        ["x", "scale", "grad/y"],
        ["grad/x", "grad/scale"],
        ("Mul", ["grad/y", "scale"], ["dx"]),
        ("Mul", ["dx", "ten"], ["grad/x"]),
        ("Mul", ["grad/y", "x"], ["dw"]),
        ("ReduceSum", ["dw"], ["total"]),
        ("Squeeze", ["total"], ["grad/scale"]),
        initializer=[ten],
    )
    session.set_vjp("scaled", "vjp")
    session.put({"x": X}, requires_grad=True)
    session.detach("scaled/scale", requires_grad=True)
    session.forward(program="scaled")
    session.backward(["y"], seeds={"y": np.ones(4)})
    near(fetch(session, "grad/x"), np.full(4, 30.0))
    near(fetch(session, "grad/scaled/scale"), X.sum())


def test_a_vjp_program_may_have_one_itself(session: Session) -> None:
    softplus(session)
    session.set_vjp("softplus", None)
    # Of dx = dy * exp(x - y): a second order that is wrong on purpose.
    load(
        session,
        "odd",
        ["x", "y", "grad/y", "grad/grad/x"],
        ["grad/x", "grad/grad/y"],
        ("Neg", ["grad/grad/x"], ["grad/x"]),
        ("Identity", ["grad/grad/x"], ["grad/grad/y"]),
    )
    session.set_vjp("stable", "odd")
    session.set_vjp("softplus", "stable")
    session.put({"x": X}, requires_grad=True)
    session.forward(program="softplus")
    session.gradients(["y"], ["x"], seeds={"y": np.ones(4)}, names=["first"], create_graph=True)
    session.gradients(["first"], ["x"], seeds={"first": np.ones(4)}, names=["second"])
    near(fetch(session, "first"), 1 / (1 + np.exp(-X)))
    near(fetch(session, "second"), np.full(4, -1.0))


CONTRACT: list[tuple[Any, Any, type[errors.GradwireError], str]] = [
    (["grad/y", "z"], ["grad/x"], errors.InvalidArgument, "it reads 'z', which is no input, parameter or output"),
    (["grad/x"], ["grad/x"], errors.InvalidArgument, "it reads 'grad/x'"),
    (["grad/y"], ["grad/y"], errors.InvalidArgument, "it makes 'grad/y', which is not 'grad/' and an input"),
    (["grad/y"], [], errors.InvalidArgument, "it has no outputs"),
    ([value("grad/y", 1, [4])], ["grad/x"], errors.DtypeMismatch, r"'grad/y' is declared as float32\[4\], 'y' as float64\[4\]"),
    ([value("grad/y", 11, [3])], ["grad/x"], errors.ShapeMismatch, r"'grad/y' is declared as float64\[3\]"),
    (["grad/y"], [value("grad/x", 11, [2, 2])], errors.ShapeMismatch, r"'grad/x' is declared as float64\[2,2\]"),
]


@pytest.mark.parametrize(("inputs", "outputs", "kind", "text"), CONTRACT)
def test_the_contract_is_checked_when_it_is_set(
    session: Session, inputs: Any, outputs: Any, kind: type[errors.GradwireError], text: str
) -> None:
    load(session, "f", [value("x", 11, [4])], [value("y", 11, [4])], ("Round", ["x"], ["y"]))
    names = [i if isinstance(i, str) else i.name for i in inputs]
    makes = [o if isinstance(o, str) else o.name for o in outputs]
    load(session, "g", inputs, outputs, *[("Identity", [names[0]], [m]) for m in makes if m not in names])
    with pytest.raises(kind, match="program 'g' cannot be the VJP of 'f': .*" + text) as caught:
        session.set_vjp("f", "g")
    assert caught.value.metadata["program"] == "g"


def test_what_was_not_declared_is_checked_in_the_walk(session: Session) -> None:
    load(session, "f", ["x"], ["y"], ("Round", ["x"], ["y"]))
    load(session, "g", ["grad/y"], ["grad/x"], ("ReduceSum", ["grad/y"], ["grad/x"]))
    session.set_vjp("f", "g")
    session.put({"x": X}, requires_grad=True)
    session.forward(program="f")
    text = r"program 'g', the VJP of 'f': 'grad/x' is float64\[1\], 'x' is float64\[4\]"
    with pytest.raises(errors.ShapeMismatch, match=text):
        session.backward(["y"], seeds={"y": np.ones(4)})


def test_programs_in_use_stay(rounding: Session) -> None:
    with pytest.raises(errors.ProgramNotFound):
        rounding.set_vjp("round", "nowhere")
    rounding.set_vjp("round", "through")
    text = "program 'through' is the VJP of 'round': take that back first"
    with pytest.raises(errors.InvalidArgument, match=text):
        rounding.unload_program("through")
    with pytest.raises(errors.InvalidArgument, match=text):
        load(rounding, "through", ["grad/y"], ["grad/x"], ("Neg", ["grad/y"], ["grad/x"]))
    with pytest.raises(errors.InvalidArgument, match=text):
        rounding.set_vjp("through", "round")
    rounding.forward(program="round")
    rounding.set_vjp("round", None)
    rounding.unload_program("through")
    rounding.backward(["y"], seeds={"y": np.ones(4)})  # a graph keeps what it was made with
    near(fetch(rounding, "grad/x"), np.ones(4))


def test_a_saved_session_keeps_it(rounding: Session, client: Client, tmp_path: Path) -> None:
    rounding.set_vjp("round", "through")
    rounding.save(tmp_path)
    with client.session() as other:
        restored = other.restore(tmp_path)
        assert {info.program: info.vjp for info in restored.programs} == {"round": "through", "through": ""}
        other.forward(program="round")
        other.backward(["y"], seeds={"y": np.ones(4)})
        near(fetch(other, "grad/x"), np.ones(4))


def test_its_graph_is_one_node(rounding: Session) -> None:
    rounding.set_vjp("round", "through")
    rounding.forward(program="round")
    rounding.forward([commands.node("Mul", ["y", "y"], ["z"])])
    graph = rounding.get_graph("z").model.graph
    assert [(node.op_type, node.domain, node.name) for node in graph.node] == [
        ("Function", "gradwire", "round"),
        ("Mul", "", ""),
    ]


def test_in_python(session: Session) -> None:
    load(session, "round", ["x"], ["y"], ("Round", ["x"], ["y"]))
    load(session, "through", ["grad/y"], ["grad/x"], ("Identity", ["grad/y"], ["grad/x"]))
    infos = {info.program: info for info in session.list_programs()}
    estimator = gradwire.Program(session, infos["round"], {})
    estimator.set_vjp(gradwire.Program(session, infos["through"], {}))
    x = session.tensor(X, requires_grad=True)
    (estimator(x) * 2).sum().backward()
    assert x.grad is not None
    near(x.grad.numpy(), np.full(4, 2.0))
