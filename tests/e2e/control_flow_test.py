"""If, Loop, Scan and SequenceMap: values, and gradients through what is unrolled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from gradwire import Session, commands, errors
from graphs import HEAD, IF, POWER, load, run


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


def test_strings_in_a_loop_and_a_branch(session: Session) -> None:
    load(
        session,
        """agraph (string[k] words, int64 n, bool c) => (string[k] y, string[m, k] steps) {
          joined, steps = Loop(n, "", words) <
            body = b (int64 i, bool go, string[k] w) => (bool d, string[k] v, string[k] s) {
              d = Identity(go)
              v = StringConcat(w, words)
              s = Identity(w)
            }
          >
          y = If(c) <then_branch = t () => (string[k] r) { r = Identity(joined) },
                     else_branch = e () => (string[k] r) { r = Identity(words) }>
        }""",
    )
    words = np.array(["a", "", "ö"], object)
    for n, c in ((2, True), (2, False), (0, True)):
        y, steps = run(session, "y", "steps", words=words, n=np.array(n), c=np.array(c))
        assert y.tolist() == [word * ((n if c else 0) + 1) for word in words]
        assert steps.shape == (n, 3)
        assert steps.tolist() == [[word * (k + 1) for word in words] for k in range(n)]


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
