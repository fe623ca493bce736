"""Graphs among the attributes of nodes: functions and files that hold them, their description, limits and refusals."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx.helper
import onnx.numpy_helper
import onnx.parser
import pytest

import gradwire
from gradwire import Session, commands, errors
from graphs import HEAD, IF, POWER, load, run

# ---------------------------------------------------------------- functions, files, descriptions

FUNCTION = """agraph (float[n] x, bool c) => (float[n] y, float[n] z)
{
  t = Neg(x)
  y = local.choose(x, c)
  z = local.choose(t, c)
}
<domain: "local", opset_import: ["": 21, "local": 1]>
choose (a, b) => (r) {
  t = Mul(a, a)
  r = If(b) <then_branch = p () => (float[n] x) { t2 = local.twice(t)  x = Add(t2, a) },
             else_branch = q () => (float[n] t) { x = Identity(a)  t = Neg(x) }>
}
<domain: "local", opset_import: ["": 21]>
twice (x) => (y) { y = Add(x, x) }
"""


def test_functions_with_graphs_keep_their_names_apart(session: Session) -> None:
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 21, "local": 1]> ' + FUNCTION)
    session.load_program("p", model.SerializeToString())
    x = np.array([1, -2], np.float32)
    y, z = run(session, "y", "z", x=x, c=np.array(True))
    np.testing.assert_array_equal(y, 2 * x * x + x)
    np.testing.assert_array_equal(z, 2 * x * x - x)
    y, z = run(session, "y", "z", x=x, c=np.array(False))
    np.testing.assert_array_equal(y, -x)
    np.testing.assert_array_equal(z, x)


def test_a_model_with_graphs_is_saved_and_restored(session: Session, client: gradwire.Client, tmp_path: Any) -> None:
    load(session, POWER)
    session.save(tmp_path)
    with client.session() as other:
        other.restore(tmp_path)
        np.testing.assert_array_equal(run(other, "steps", x=np.array(3.0), n=np.array(2))[0], [3, 9])


def test_what_is_in_the_graphs_is_described(session: Session) -> None:
    info = load(session, IF)
    assert list(info.operators) == ["Constant", "Greater", "If", "Mul", "ReduceSum"]
    assert list(info.unsupported) == []
    info = load(
        session,
        """agraph (int64 n, float[2] x) => (float[2] y, seq(float[2]) s, float[2] z) {
          three = Constant<value = int64 {3}>()
          y = Loop(three, "", x) <body = b (int64 i, bool c, float[2] p) => (bool d, float[2] q)
            { d = Identity(c)  q = Neg(p) }>
          s = SequenceConstruct(x, y)
          z = Loop(n, "", x) <body = b (int64 i, bool c, float[2] p) => (bool d, float[2] q)
            { d = Identity(c)  q = Lp(p) }>
        }""",
        name="q",
    )
    assert list(info.unsupported) == ["Lp"]
    described = {value.name: value.type for value in session.describe_program("q").values}
    assert [d.dim_value for d in described["y"].tensor_type.shape.dim] == [2]
    assert described["s"].sequence_type.elem_type.tensor_type.elem_type == 1
    assert described["z"].WhichOneof("value") is None


def test_get_graph_shows_what_was_unrolled(session: Session) -> None:
    load(session, POWER)
    session.put({"x": np.array(2.0)}, requires_grad=True)
    session.put({"n": np.array(3)})
    session.forward(program="p", outputs=["y"])
    nodes = [node.op_type for node in session.get_graph("y").model.graph.node]
    assert nodes.count("Mul") == 3


# ---------------------------------------------------------------- limits

ENDLESS = """agraph (int64 n, bool c, float[k] x) => (float[k] y) {
  y = Loop(n, c, x) <body = b (int64 i, bool go, float[k] p) => (bool d, float[k] q) { d = Identity(go)  q = Neg(p) }>
}"""
FEEDS = {"c": np.array(True), "x": np.ones(2, np.float32)}


def test_trips_without_end_are_a_quota_exceeded(session: Session) -> None:
    load(session, ENDLESS)
    with pytest.raises(errors.QuotaExceeded, match=r"node 0 \(Loop\): loops are unrolled into at most 1000000 nodes"):
        run(session, "y", n=np.array(1 << 60), **FEEDS)
    load(session, ENDLESS.replace("q = Neg(p)", "").replace("float[k] q)", "float[k] p)"), name="empty")
    with pytest.raises(errors.QuotaExceeded):
        session.forward(program="empty", feeds={"n": np.array(1 << 60), **FEEDS}, fetch=["y"])
    assert session.list_tensors() == []


def test_a_deadline_stops_a_loop(session: Session, client: gradwire.Client, server: Any) -> None:
    load(session, ENDLESS)
    started = time.monotonic()
    with gradwire.connect(server.target, timeout=0.3) as hasty:
        request = commands.forward(program="p", feeds={"n": np.array(1 << 60), **FEEDS}, fetch=["y"])
        request.session_id = session.id
        with pytest.raises(errors.DeadlineExceeded):
            hasty.unary("Forward", request, session.id)
    session.put({"after": np.zeros(1)})  # the session is free again
    assert time.monotonic() - started < 10


def test_a_scan_over_an_extent_of_nothing(session: Session) -> None:
    load(
        session,
        """agraph (float[t, k] x) => (float[t, k] y) {
          y = Scan(x) <num_scan_inputs = 1, body = b (float[k] e) => (float[k] o) { o = Neg(e) }>
        }""",
    )
    with pytest.raises(errors.QuotaExceeded, match="trips to come"):
        run(session, "y", x=np.zeros((1 << 40, 0), np.float32))
    assert run(session, "y", x=np.zeros((0, 3), np.float32))[0].shape == (0, 3)


def test_constants_of_graphs_are_booked(client: gradwire.Client) -> None:
    model = onnx.parser.parse_model(
        HEAD
        + """agraph (bool c) => (float[n] y) {
          y = If(c) <then_branch = a () => (float[n] r) { r = Identity(w) }, else_branch = b () => (float[n] r) { r = Neg(w) }>
        }"""
    )
    for attribute in model.graph.node[0].attribute:
        attribute.g.initializer.append(onnx.numpy_helper.from_array(np.ones(1 << 16, np.float32), "w"))
    with client.session() as session:
        before = session.describe().used_bytes
        session.load_program("p", model.SerializeToString())
        assert session.describe().used_bytes - before >= 2 * 2 * (4 << 16)  # the text, and what was made of it
        assert run(session, "y", c=np.array(False))[0].sum() == -(1 << 16)
        session.unload_program("p")
        assert session.describe().used_bytes == before
    with client.session(max_bytes=1 << 20) as session:
        with pytest.raises(errors.QuotaExceeded):
            session.load_program("p", model.SerializeToString())
        assert list(session.list_programs()) == []


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("q = Mul(p, x)", "q = Mul(p, nowhere)"), r"node 2 \(Loop\) has a graph 'body': node 1 \(Mul\) reads 'nowhere'"),
        (("q = Mul(p, x)", "q = Mul(q, x)"), "reads 'q', which it makes itself"),
        (("q = Mul(p, x)", "p = Mul(p, x)"), "makes 'p', which is an input"),
        (("double p)", "double i)"), "there are two inputs 'i'"),
        (("double s)", "double nothing)"), "nothing makes the output 'nothing'"),
        (("q = Mul(p, x)", "q = other.Mul(p, x)"), "is of domain other, which is not imported"),
        (("Loop(n, yes, one)", "Loop(n, yes, steps)"), "reads 'steps', which it makes itself"),
    ],
)
def test_a_malformed_graph_is_refused_when_it_is_loaded(
    session: Session, change: tuple[str, str], message: str
) -> None:
    assert change[0] in POWER
    with pytest.raises(errors.InvalidModel, match=message):
        load(session, POWER.replace(*change))
    assert list(session.list_programs()) == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("double p)", "float p)"), errors.DtypeMismatch, r"node 2 \(Loop\): the graph's input 'p' is declared float32"),
        (("double q,", "float q,"), errors.DtypeMismatch, "the graph's output 'q' is declared float32, got float64"),
        (("int64 i, bool c, double p", "bool c, double p"), errors.InvalidArgument, "the graph 'body' has 2 inputs"),
        (("(bool c2, double q, double s)", "(bool c2)"), errors.InvalidArgument, "has 3 inputs and 1 outputs"),
        (("c2 = Identity(c)", "c2 = Cast<to = 1>(c)"), errors.DtypeMismatch, "c2' is declared bool, got float32"),
        (("Loop(n, yes, one)", "Loop(yes, yes, one)"), errors.GradwireError, "element type bool is not supported"),
        (("Loop(n, yes, one)", "Loop(n, one, one)"), errors.DtypeMismatch, "the condition is float64"),
        (("q = Mul(p, x)", "q = MatMul(p, x)"), errors.GradwireError, r"node 2 'Loop/body/1' \(MatMul\): "),
    ],
)
def test_a_graph_that_does_not_fit_its_call_is_refused_when_it_is_run(
    session: Session, change: tuple[str, str], error: type[Exception], message: str
) -> None:
    assert change[0] in POWER
    load(session, POWER.replace(*change))
    with pytest.raises(error, match=message):
        run(session, "y", x=np.array(1.0), n=np.array(2))
    assert session.list_tensors() == []


def test_a_sparse_initializer_of_a_graph_is_refused(session: Session) -> None:
    model = onnx.parser.parse_model(f"{HEAD} {IF}")
    branch = next(a.g for node in model.graph.node for a in node.attribute if a.name == "then_branch")
    values, indices = (onnx.numpy_helper.from_array(np.array([1]), name) for name in ("w", ""))
    branch.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [4]))
    with pytest.raises(errors.OpUnsupported, match=r"node 3 \(If\) .*initializer 'w' is sparse"):
        session.load_program("p", model.SerializeToString())
    with pytest.raises(errors.OpUnsupported, match=r"node 3 \(If\): .*sparse initializer is not supported"):
        session.forward(list(model.graph.node), feeds={"x": np.ones(2)}, fetch=["y"])


def test_a_graph_that_its_operator_does_not_take(session: Session) -> None:
    load(
        session,
        "agraph (float[n] x) => (float[n] y) { y = Relu(x) <body = b () => (float[n] r) { r = Neg(x) }> }",
    )
    with pytest.raises(errors.InvalidArgument, match=r"node 0 \(Relu\): has no attribute 'body'"):
        run(session, "y", x=np.ones(1, np.float32))


def test_an_error_of_a_kernel_names_the_node_in_the_graph(session: Session) -> None:
    load(
        session,
        """agraph (float[n] x, int64[m] at) => (float[m] y) {
          yes = Constant<value = bool {1}>()
          y = If(yes) <then_branch = a () => (float[m] r) { g = Gather(x, at)  r = Neg(g) },
                       else_branch = b () => (float[n] r) { r = Neg(x) }>
        }""",
    )
    with pytest.raises(errors.GradwireError, match=r"node 1 'If/then_branch/0' \(Gather\)"):
        run(session, "y", x=np.ones(2, np.float32), at=np.array([5]))


def test_what_a_graph_captures_poisons_a_pipeline(session: Session) -> None:
    model = onnx.parser.parse_model(
        HEAD
        + """agraph (bool c, float[n] x) => (float[n] y) {
          y = If(c) <then_branch = a () => (float[n] r) { r = Neg(x) }, else_branch = b () => (float[n] r) { r = Neg(x) }>
        }"""
    )
    session.put({"c": np.array(True), "a": np.zeros((2, 3), np.float32)})
    with session.pipeline() as pipeline:
        bad = pipeline.send(commands.forward([commands.node("MatMul", ["a", "a"], ["x"])]))
        reads = pipeline.send(commands.forward(list(model.graph.node), outputs=["y"]))
        with pytest.raises(errors.ShapeMismatch):
            bad.result()
        with pytest.raises(errors.DependencyFailed):
            reads.result()


# ---------------------------------------------------------------- commands that come again


def test_a_command_that_comes_again_looks_at_its_data_again(session: Session) -> None:
    """The server keeps plans of repeated commands: not of one whose data decides what is traced."""
    load(session, IF)
    for k in range(8):
        x = np.array([1.0 + k, 2.0]) * (-1) ** k
        np.testing.assert_allclose(run(session, "y", x=x)[0], (x**3 if k % 2 == 0 else x**2).sum())
    for k in range(8):
        x = np.array([1.0, 2.0]) * (-1) ** (k // 4)
        session.put({"x": x})
        np.testing.assert_allclose(
            session.forward(program="p", fetch=["y"])[1][0], (x**3 if k < 4 else x**2).sum()
        )


def test_a_loop_that_comes_again_counts_anew(session: Session) -> None:
    load(session, POWER)
    for n in (2, 2, 2, 3, 3, 3, 3, 1):
        session.put({"n": np.array(n)})
        y, steps = session.forward(program="p", feeds={"x": np.array(2.0 + n)}, fetch=["y", "steps"])[1]
        assert y == (2.0 + n) ** n and steps.shape == (n,)


def test_sequences_of_a_command_that_comes_again(session: Session) -> None:
    """Fed, fetched and bound: the arrays are this time's."""
    append = [commands.node("SequenceInsert", ["s", "x"], ["t"]), commands.node("SequenceLength", ["t"], ["n"])]
    for k in range(6):
        x = np.full(2, float(k))
        n, t, same = session.forward(append, feeds={"s": [x + 1, x + 2], "x": x}, fetch=["n", "t", "x"])[1]
        assert n == 3
        np.testing.assert_array_equal(t, [x + 1, x + 2, x])
        np.testing.assert_array_equal(same, x)
    session.forward([commands.node("SequenceConstruct", ["x"], ["s"])], feeds={"x": np.zeros(2)}, outputs=["s"])
    for k in range(6):
        bind = commands.node("SequenceInsert", ["s", "x"], ["s"])
        session.forward([bind], feeds={"x": np.full(2, float(k))}, outputs=["s"])
    np.testing.assert_array_equal(session.fetch(["s"])[0][1:], [[k, k] for k in range(6)])
