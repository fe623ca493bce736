"""If, Loop, Scan and SequenceMap: values, and gradients through what is unrolled."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

import gradwire
from gradwire import Session, commands, errors

HEAD = '<ir_version: 10, opset_import: ["": 21]>'


def load(session: Session, text: str, name: str = "p", **options: Any) -> Any:
    """Loads a model written in ONNX's textual syntax."""
    return session.load_program(name, onnx.parser.parse_model(f"{HEAD} {text}").SerializeToString(), **options)


def run(session: Session, *fetch: str, **feeds: Any) -> list[Any]:
    return session.forward(program="p", feeds=feeds, fetch=fetch)[1]


def gradient(session: Session, x: Any, *, order: int = 1, program: str = "p", **options: Any) -> Any:
    """The derivative of that order of the program's output `y`, a scalar, by its input `x`, summed in between."""
    session.put({"x": x}, requires_grad=True)
    session.forward(program=program, outputs=["y"], **options)
    root = "y"
    for k in range(order):
        last = k == order - 1
        session.gradients([root], ["x"], names=[f"d{k}"], create_graph=not last)
        root = f"s{k}"
        if not last:
            axes = {"keepdims": 0}
            session.forward([commands.node("ReduceSum", [f"d{k}"], [root], axes)])
    return session.fetch([f"d{order - 1}"])[0]


def difference(f: Callable[[Any], float], x: Any, step: float = 1e-6) -> Any:
    """The central difference of f at x, element by element."""
    result = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        result[i] = (f(up) - f(down)) / (2 * step)
    return result


# ---------------------------------------------------------------- If

IF = """agraph (double[n] x) => (double y) {
  total = ReduceSum<keepdims = 0>(x)
  zero = Constant<value = double {0.0}>()
  positive = Greater(total, zero)
  y = If(positive) <
    then_branch = cubes () => (double r) { a = Mul(x, x)  b = Mul(a, x)  r = ReduceSum<keepdims = 0>(b) },
    else_branch = squares () => (double r) { a = Mul(x, x)  r = ReduceSum<keepdims = 0>(a) }
  >
}"""


@pytest.mark.parametrize(("x", "first", "second"), [([1.0, 2.0], [3, 12], [6, 12]), ([-1.0, -2.0], [-2, -4], [2, 2])])
def test_if_takes_the_branch_that_its_data_asks_for(
    session: Session, x: Any, first: Any, second: Any
) -> None:
    load(session, IF)
    np.testing.assert_allclose(gradient(session, np.array(x)), first, rtol=1e-12)
    np.testing.assert_allclose(gradient(session, np.array(x), order=2), second, rtol=1e-12)
    np.testing.assert_allclose(gradient(session, np.array(x), checkpoint=2), first, rtol=1e-12)


def test_a_branch_reads_names_of_the_session(session: Session) -> None:
    """In a Forward without a program, too; the branch that is not taken is not looked at."""
    model = onnx.parser.parse_model(
        HEAD
        + """agraph (bool c, float[n] x) => (float[n] y) {
          y = If(c) <then_branch = a () => (float[n] r) { r = Neg(x) },
                     else_branch = b () => (float[n] r) { r = Neg(nowhere) }>
        }"""
    )
    session.put({"c": np.array(True), "x": np.array([1, 2], np.float32)})
    session.forward(list(model.graph.node), outputs=["y"])
    np.testing.assert_array_equal(session.fetch(["y"])[0], [-1, -2])
    session.put({"c": np.array(False)})
    with pytest.raises(errors.TensorNotFound, match=r"node 0 'If/else_branch/0' \(Neg\): there is no tensor 'nowhere'"):
        session.forward(list(model.graph.node), outputs=["y"])


# ---------------------------------------------------------------- Loop

POWER = """agraph (double x, int64 n) => (double y, double[m] steps) {
  yes = Constant<value = bool {1}>()
  one = Constant<value = double {1.0}>()
  y, steps = Loop(n, yes, one) <body = body (int64 i, bool c, double p) => (bool c2, double q, double s) {
    c2 = Identity(c)
    q = Mul(p, x)
    s = Identity(q)
  }>
}"""


def test_a_loop_as_often_as_its_data_says(session: Session) -> None:
    load(session, POWER)
    for n in (1, 2, 5):
        session.put({"n": np.array(n)})
        x = np.array(1.5)
        np.testing.assert_allclose(gradient(session, x), n * 1.5 ** (n - 1), rtol=1e-12)
        if n > 1:
            np.testing.assert_allclose(gradient(session, x, order=2), n * (n - 1) * 1.5 ** (n - 2), rtol=1e-12)
        np.testing.assert_allclose(gradient(session, x, checkpoint=1), n * 1.5 ** (n - 1), rtol=1e-12)
    (steps,) = run(session, "steps", x=np.array(2.0), n=np.array(4))
    np.testing.assert_array_equal(steps, [2, 4, 8, 16])


@pytest.mark.parametrize("n", [0, -3])
def test_a_loop_without_a_trip(session: Session, n: int) -> None:
    load(session, POWER)
    y, steps = run(session, "y", "steps", x=np.array(2.0), n=np.array(n))
    assert y == 1
    assert steps.shape == (0,) and steps.dtype == np.float64


def test_extents_of_a_scan_output_without_a_trip_are_those_that_the_body_would_make(session: Session) -> None:
    load(
        session,
        """agraph (float[a, b] x, int64 n) => (float[m, a, b] y) {
          y = Loop(n, "") <body = body (int64 i, bool c) => (bool c2, float[a, b] s) { c2 = Identity(c)  s = Neg(x) }>
        }""",
    )
    (y,) = run(session, "y", x=np.zeros((2, 3), np.float32), n=np.array(0))
    assert y.shape == (0, 2, 3)


NEWTON = """agraph (double x) => (double y) {
  yes = Constant<value = bool {1}>()
  one = Constant<value = double {1.0}>()
  y = Loop("", yes, one) <body = body (int64 i, bool c, double p) => (bool go, double q) {
    half = Constant<value = double {0.5}>()
    small = Constant<value = double {1e-10}>()
    r = Div(x, p)
    t = Add(p, r)
    q = Mul(t, half)
    d = Sub(q, p)
    e = Abs(d)
    go = Greater(e, small)
  }>
}"""


def test_a_loop_until_its_data_says_stop(session: Session) -> None:
    """Newton's square root: the derivative of the iteration is that of the root."""
    load(session, NEWTON)
    np.testing.assert_allclose(run(session, "y", x=np.array(7.0))[0], np.sqrt(7), rtol=1e-12)
    np.testing.assert_allclose(gradient(session, np.array(7.0)), 0.5 / np.sqrt(7), rtol=1e-9)
    np.testing.assert_allclose(gradient(session, np.array(7.0), order=2), -0.25 * 7**-1.5, rtol=1e-6)


def test_random_numbers_of_each_trip_are_others_and_the_same_when_computed_again(session: Session) -> None:
    load(
        session,
        """agraph (double[k] x, int64 n) => (double y) {
          zero = Constant<value = double {0.0}>()
          y = Loop(n, "", zero) <body = body (int64 i, bool c, double p) => (bool go, double q) {
            go = Identity(c)
            r = RandomNormalLike(x)
            s = Mul(r, x)
            t = ReduceSum<keepdims = 0>(s)
            q = Add(p, t)
          }>
        }""",
    )
    session.put({"x": np.ones(50), "n": np.array(3)}, requires_grad=False)
    grad = gradient(session, np.ones(50), checkpoint=1)
    assert len(np.unique(grad)) == 50
    (value,) = session.fetch(["y"])
    np.testing.assert_allclose(grad.sum(), value, rtol=1e-9)


def test_the_loop_that_the_suite_cannot_compare(session: Session) -> None:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node" / "test_loop16_seq_none"
    session.load_program("p", (folder / "model.onnx").read_bytes())
    expected = onnx.SequenceProto.FromString((folder / "test_data_set_0" / "output_0.pb").read_bytes())
    for given in (None, [np.array(0, np.float32)]):
        (made,) = run(session, "seq_res", trip_count=np.array(5), cond=np.array(True), opt_seq=given)
        for one, other in zip(made, onnx.numpy_helper.to_list(expected), strict=True):
            np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------- Scan

RNN = """agraph (double[t, k] x, double[k, k] w, double[k] h0) => (double y, double[t, k] hs) {
  h, hs = Scan(h0, x) <num_scan_inputs = 1, body = cell (double[k] a, double[k] e) => (double[k] b, double[k] o) {
    m = MatMul(a, w)
    s = Add(m, e)
    b = Tanh(s)
    o = Identity(b)
  }>
  z = Mul(hs, hs)
  y = ReduceSum<keepdims = 0>(z)
}"""


def rnn(x: Any, w: Any, h: Any) -> float:
    total = 0.0
    for row in x:
        h = np.tanh(h @ w + row)
        total += float((h * h).sum())
    return total


def test_scan_as_a_recurrent_network(session: Session) -> None:
    generator = np.random.default_rng(0)
    x, w, h = generator.normal(size=(5, 3)), generator.normal(size=(3, 3)), generator.normal(size=3)
    load(session, RNN)
    session.put({"w": w, "h0": h}, requires_grad=True)
    for spans in (0, 2):
        found = gradient(session, x, checkpoint=spans)
        np.testing.assert_allclose(found, difference(lambda v: rnn(v, w, h), x), rtol=1e-6)
    session.forward(program="p", outputs=["y"])
    session.gradients(["y"], ["w", "h0"], names=["dw", "dh"])
    dw, dh = session.fetch(["dw", "dh"])
    np.testing.assert_allclose(dw, difference(lambda v: rnn(x, v, h), w), rtol=1e-6)
    np.testing.assert_allclose(dh, difference(lambda v: rnn(x, w, v), h), rtol=1e-6)

    def first(v: Any) -> float:
        return float(difference(lambda u: rnn(u, w, h), v, 1e-4).sum())

    np.testing.assert_allclose(gradient(session, x, order=2), difference(first, x, 1e-4), rtol=1e-3, atol=1e-5)


def test_scan_along_other_axes_and_backwards(session: Session) -> None:
    load(
        session,
        """agraph (float[a, t] x) => (float[a, t] y) {
          zero = Constant<value = float[2] {0.0, 0.0}>()
          last, y = Scan(zero, x) <num_scan_inputs = 1, scan_input_axes = [-1], scan_input_directions = [1],
            scan_output_axes = [1], scan_output_directions = [1],
            body = body (float[a] s, float[a] e) => (float[a] r, float[a] o) { r = Add(s, e)  o = Identity(r) }>
        }""",
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (y,) = run(session, "y", x=x)
    np.testing.assert_array_equal(y, x[:, ::-1].cumsum(1)[:, ::-1])


def test_scan_of_opset_8_has_a_batch_of_sequences_of_their_own_lengths(session: Session) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 3, opset_import: ["": 8]>
        agraph (int64[b] lengths, float[b, k] h, float[b, t, k] x) => (float[b, k] last, float[b, t, k] y) {
          last, y = Scan(lengths, h, x) <num_scan_inputs = 1, directions = [1],
            body = body (float[k] s, float[k] e) => (float[k] r, float[k] o) { r = Add(s, e)  o = Identity(r) }>
        }"""
    )
    session.load_program("p", model.SerializeToString())
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    feeds = {"lengths": np.array([3, 1]), "h": np.zeros((2, 2), np.float32), "x": x}
    last, y = run(session, "last", "y", **feeds)
    np.testing.assert_array_equal(last, [x[0].sum(0), x[1, 0]])
    np.testing.assert_array_equal(y[0], x[0, ::-1].cumsum(0))
    np.testing.assert_array_equal(y[1], [x[1, 0], [0, 0], [0, 0]])
    with pytest.raises(errors.InvalidArgument, match=r"sequence_lens\[1\] is 4, must be in \[0, 3\]"):
        run(session, "last", **{**feeds, "lengths": np.array([3, 4])})


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


# ---------------------------------------------------------------- FlexAttention

FLEX = """agraph (double[1, 2, l, e] x, double[1, 1, s, e] k, double[1, 1, s, f] v) => (double y) {
  a = ai.onnx.preview.FlexAttention<
    score_mod = cap (double[b, h, l, s] p) => (double[b, h, l, s] q) { q = Tanh(p) },
    prob_mod = square (double[b, h, l, s] p) => (double[b, h, l, s] q) { q = Mul(p, p) }
  >(x, k, v)
  z = Mul(a, a)
  y = ReduceSum<keepdims = 0>(z)
}"""


def test_gradients_of_attention_with_graphs_of_its_own(session: Session) -> None:
    generator = np.random.default_rng(1)
    x, k, v = (generator.normal(size=shape) for shape in ((1, 2, 3, 4), (1, 1, 5, 4), (1, 1, 5, 2)))
    text = '<ir_version: 10, opset_import: ["": 21, "ai.onnx.preview": 1]> ' + FLEX
    session.load_program("p", onnx.parser.parse_model(text).SerializeToString())
    session.put({"k": k, "v": v})

    def value(q: Any) -> float:
        scores = np.tanh(q @ np.swapaxes(k, -1, -2) / 2)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        return float(((weights**2 @ v) ** 2).sum())

    np.testing.assert_allclose(gradient(session, x), difference(value, x), rtol=1e-6)
    np.testing.assert_allclose(run(session, "y", x=x)[0], value(x), rtol=1e-12)
    with pytest.raises(errors.ShapeMismatch, match=r"Q is float64\[1,2,3,4\], K is float64\[1,1,5,3\]"):
        run(session, "y", x=x, k=k[..., :3])
