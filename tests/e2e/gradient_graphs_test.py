"""ai.onnx.preview.training's Gradient of nodes with graphs, and inside such graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest

from gradwire import Session, errors

HEAD = '<ir_version: 10, opset_import: ["": 21, "ai.onnx.preview.training": 1, "local": 1]>'
GRADIENT = "ai.onnx.preview.training.Gradient"


def load(session: Session, text: str) -> Any:
    model = onnx.parser.parse_model(f"{HEAD} {text.replace('GRADIENT', GRADIENT)}")
    return session.load_program("p", model.SerializeToString())


def run(session: Session, *fetch: str, **feeds: Any) -> list[float]:
    arrays = {name: np.array(value) for name, value in feeds.items()}
    return [item.item() for item in session.forward(program="p", feeds=arrays, fetch=fetch)[1]]


def test_of_a_branch(session: Session) -> None:
    """The branch reads x from outside, by a name that is none of the node's inputs."""
    load(
        session,
        """agraph (double x) => (double y, double dx, double ddx) {
          zero = Constant<value = double {0.0}>()
          positive = Greater(x, zero)
          y = If(positive) <
            then_branch = a () => (double r) { xx = Mul(x, x)  r = Mul(xx, x) },
            else_branch = b () => (double r) { r = Mul(x, x) }
          >
          dx = GRADIENT<xs = ["x"], y = "y">(x)
          ddx = GRADIENT<xs = ["x"], y = "dx">(x)
        }""",
    )
    for x in (2.0, -3.0, 2.5):
        assert run(session, "y", "dx", "ddx", x=x) == ([x**3, 3 * x * x, 6 * x] if x > 0 else [x * x, 2 * x, 2])


def test_of_a_branch_at_another_value(session: Session) -> None:
    """The condition is that of the value which takes the place of x."""
    load(
        session,
        """agraph (double x, double z) => (double dz) {
          zero = Constant<value = double {0.0}>()
          positive = Greater(x, zero)
          y = If(positive) <then_branch = a () => (double r) { r = Mul(x, x) },
                            else_branch = b () => (double r) { r = Neg(x) }>
          dz = GRADIENT<xs = ["x"], y = "y">(z)
        }""",
    )
    assert run(session, "dz", x=1.0, z=3.0) == [6]
    assert run(session, "dz", x=1.0, z=-3.0) == [-1]


POWER = """agraph (double x, int64 n) => (double y, double dx) {
  one = Constant<value = double {1.0}>()
  y = Loop(n, "", one) <body = body (int64 i, bool c, double p) => (bool c2, double q) { c2 = Identity(c)  q = Mul(p, x) }>
  dx = GRADIENT<xs = ["x"], zs = ["n"], y = "y">(x, n)
}"""


def test_of_a_loop(session: Session) -> None:
    load(session, POWER)
    for n in (3, 1, 0, 4):
        assert run(session, "y", "dx", x=2.0, n=n) == [2.0**n, n * 2.0 ** (n - 1)]


def test_through_a_sequence(session: Session) -> None:
    load(
        session,
        """agraph (double[n] x) => (double[n] dx) {
          s = SplitToSequence(x)
          t = SequenceMap(s) <body = b (double[k] e) => (double[k] r) { r = Mul(e, e) }>
          y = ConcatFromSequence<axis = 0>(t)
          dx = GRADIENT<xs = ["x"], y = "y">(x)
        }""",
    )
    x = np.array([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(session.forward(program="p", feeds={"x": x}, fetch=["dx"])[1][0], 2 * x)


DESCENT = """agraph (double x, int64 n) => (double y) {
  rate = Constant<value = double {0.25}>()
  y = Loop(n, "", x) <body = body (int64 i, bool c, double p) => (bool c2, double q) {
    c2 = Identity(c)
    loss = Mul(p, p)
    slope = GRADIENT<xs = ["p"], y = "loss">(p)
    step = Mul(slope, rate)
    q = Sub(p, step)
  }>
}"""


def test_inside_a_loop(session: Session) -> None:
    """Gradient descent as one node; and the derivative of its end with respect to its beginning."""
    load(session, DESCENT)
    assert run(session, "y", x=8.0, n=3) == [1]
    session.put({"x": np.array(8.0)}, requires_grad=True)
    session.put({"n": np.array(3)})
    session.forward(program="p", outputs=["y"])
    session.backward(["y"])
    assert session.fetch(["grad/x"])[0] == 0.125


def test_inside_a_branch_of_what_is_outside(session: Session) -> None:
    """x and w are the outer graph's; checkpoints compute the branch again."""
    load(
        session,
        """agraph (bool c, double x, double w) => (double y) {
          v = Mul(w, w)
          y = If(c) <
            then_branch = a () => (double r) { xx = Mul(x, x)  f = Mul(xx, v)  r = GRADIENT<xs = ["x"], y = "f">(x) },
            else_branch = b () => (double r) { r = Identity(x) }
          >
        }""",
    )
    session.put({"c": np.array(True), "x": np.array(2.0)})
    session.put({"w": np.array(3.0)}, requires_grad=True)
    for checkpoint in (0, 1, 2):
        session.forward(program="p", outputs=["y"], checkpoint=checkpoint)
        session.backward(["y"])
        assert session.fetch(["y", "grad/w"]) == [2 * 2 * 9, 2 * 2 * 2 * 3]
        session.delete(["grad/w"])
    assert run(session, "y", c=False, x=5.0) == [5]


def test_inside_a_graph_of_a_function(session: Session) -> None:
    """Names of the function's body become new ones, also those in the attributes of a Gradient."""
    load(
        session,
        """agraph (bool c, double x) => (double y, double z) {
          f = Neg(x)
          y = local.slope(c, x)
          z = local.slope(c, f)
        }
        <domain: "local", opset_import: ["": 21, "ai.onnx.preview.training": 1]>
        slope (b, x) => (r) {
          r = If(b) <
            then_branch = p () => (double d) { f = Mul(x, x)  d = GRADIENT<xs = ["x"], y = "f">(x) },
            else_branch = q () => (double d) { d = Identity(x) }
          >
        }""",
    )
    assert run(session, "y", "z", c=True, x=3.0) == [6, -6]
    assert run(session, "y", "z", c=False, x=3.0) == [3, -3]


# ---------------------------------------------------------------- refusals and limits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('y = "loss"', 'y = "q"'), "nothing before it makes y, 'q'"),
        (('y = "loss"', 'y = "x"'), "nothing before it makes y, 'x'"),
        (('xs = ["p"]', 'xs = ["p", "p2"]'), "has 1 inputs for 2 xs"),
    ],
)
def test_malformed_nodes_of_graphs(session: Session, change: tuple[str, str], message: str) -> None:
    assert change[0] in DESCENT
    with pytest.raises(errors.InvalidModel, match=rf"node 1 'Loop/body/2' \(Gradient\): .*{message}"):
        load(session, DESCENT.replace(*change))
    assert list(session.list_programs()) == []


def test_a_sequence_has_no_gradient(session: Session) -> None:
    load(session, 'agraph (double x) => (double d) { s = SequenceConstruct(x)  d = GRADIENT<xs = ["x"], y = "s">(x) }')
    with pytest.raises(errors.InvalidArgument, match=r"node 1 \(Gradient\): 's' is seq\(float64\) of 1, not a tensor"):
        run(session, "d", x=1.0)


def test_gradients_in_nested_graphs_are_limited(session: Session) -> None:
    """Each graph would be within the limits, and what they come to is not."""
    chain = " ".join(f'y{i + 1} = GRADIENT<xs = ["x"], y = "y{i}">(x)' for i in range(6))
    graph = "agraph (bool c, double x) => (double y) { BODY y = Identity(y6) }"
    body = f"y0 = Sin(x) {chain}"
    for levels in range(8):
        if levels == 2:
            load(session, graph.replace("BODY", body))
            np.testing.assert_allclose(run(session, "y", c=True, x=0.5), [-np.sin(0.5)])  # of order 18
        branch = f"then_branch = a () => (double r) {{ {body} r = Identity(y6) }}, "
        body = f"y0 = If(c) <{branch} else_branch = b () => (double e) {{ e = Neg(x) }}> {chain}"
    load(session, graph.replace("BODY", body))
    with pytest.raises(errors.QuotaExceeded, match="unrolled into at most 1000000 nodes"):
        run(session, "y", c=True, x=0.5)
    many = " ".join(f'd{i} = GRADIENT<xs = ["x"], y = "y0">(x)' for i in range(200))
    branch = "BRANCH = a () => (double r) { y0 = Sin(x) " + many + " r = Identity(d0) }"
    both = branch.replace("BRANCH", "then_branch") + ", " + branch.replace("BRANCH", "else_branch")
    with pytest.raises(errors.InvalidModel, match=r"node 0 'If/\w+/\d+' \(Gradient\): Gradients are limited to 256"):
        load(session, f"agraph (bool c, double x) => (double y) {{ y = If(c) <{both}> }}")


def test_what_a_gradient_cannot_know_is_not_described(session: Session) -> None:
    load(
        session,
        """agraph (double x, double[n] w, double z) => (double dx, double dz, double dl) {
          v = Mul(x, w)
          y = ReduceSum<keepdims = 0>(v)
          dx = GRADIENT<xs = ["x"], y = "y">(x)
          u = Mul(z, z)
          dz = GRADIENT<xs = ["z"], y = "u">(z)
          l = Lp(z)
          dl = GRADIENT<xs = ["z"], y = "l">(z)
        }""",
    )
    described = {value.name: value.type.WhichOneof("value") for value in session.describe_program("p").values}
    assert {name for name, kind in described.items() if kind is None} == {"w", "v", "y", "dx", "l", "dl"}
    extent = {value.name: value.type for value in session.describe_program("p", dims={"n": 3}).values}
    assert extent["dx"].tensor_type.elem_type == 11
