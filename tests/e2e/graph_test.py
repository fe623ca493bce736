"""The autograd graph through the bare verbs: seeds, roots, inputs, retained and created graphs, and where graphs end."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import gradwire
from gradwire import Session, commands, errors

X = np.array([0.5, -1.25, 2.0])


def near(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def put(session: Session, **arrays: Any) -> None:
    session.put(arrays, requires_grad=True)


def forward(session: Session, *nodes: Any, **options: Any) -> None:
    session.forward([commands.node(op, inputs, outputs) for op, inputs, outputs in nodes], **options)


def fetch(session: Session, name: str) -> Any:
    return session.fetch([name])[0]


# ---------------------------------------------------------------- seeds and roots


def test_seeds_for_any_set_of_roots(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["y"]), ("Exp", ["x"], ["e"]))
    session.put({"seed": np.array([1.0, 2.0, 3.0])})
    session.backward(["y", "e"], seeds={"y": "seed", "e": np.ones(3)})
    near(fetch(session, "grad/x"), 2 * X * [1, 2, 3] + np.exp(X))


def test_a_seed_of_the_wrong_shape_names_both(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["y"]), ("Exp", ["x"], ["e"]))
    text = "Mismatch in shape: grad_output[1] has a shape of [2] and output[1] has a shape of [3]."
    with pytest.raises(errors.ShapeMismatch, match=re.escape(text)):
        session.backward(["y", "e"], seeds={"y": np.ones(3), "e": np.ones(2)})
    with pytest.raises(errors.ShapeMismatch, match="grad can be implicitly created only for scalar outputs"):
        session.backward(["y"])
    with pytest.raises(errors.InvalidArgument, match="a seed is given for 'z', which is not among the roots"):
        session.backward(["y"], seeds={"z": np.ones(3)})
    with pytest.raises(errors.InvalidArgument, match="'roots' cannot be empty"):
        session.backward([])
    session.backward(["y"], seeds={"y": np.ones(3)})  # nothing was freed


def test_a_scalar_may_have_any_shape(session: Session) -> None:
    put(session, x=np.array([[3.0]]))
    forward(session, ("Mul", ["x", "x"], ["y"]))
    session.backward(["y"])
    near(fetch(session, "grad/x"), [[6.0]])


# ---------------------------------------------------------------- with respect to what


def test_gradient_of_an_intermediate_by_name(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["h"]), ("Exp", ["h"], ["e"]), ("ReduceSum", ["e"], ["y"]))
    infos = session.backward(["y"], retain_grad=["h"], retain_graph=True)
    assert {info.name for info in infos} == {"grad/x", "grad/h"}
    near(fetch(session, "grad/h"), np.exp(X * X))
    session.zero_grad()
    infos = session.backward(["y"], inputs=["h"], retain_graph=True)
    assert [info.name for info in infos] == ["grad/h"]
    session.gradients(["y"], ["h", "e"], names=["dh", "de"])
    near(fetch(session, "dh"), np.exp(X * X))
    near(fetch(session, "de"), np.ones(3))


def test_gradients_reach_through_an_input_to_those_behind_it(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["h"]), ("Mul", ["h", "x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    session.gradients(["s"], ["x", "h"])
    near(fetch(session, "grad/x"), 3 * X**2)
    near(fetch(session, "grad/h"), X)


def test_a_failed_backward_poisons_the_gradients_that_it_would_have_bound(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["h"]), ("Mul", ["h", "x"], ["y"]))
    with session.pipeline() as pipeline:
        failed = pipeline.send(commands.backward(["y"], inputs=["x"], retain_grad=["h"]))
        reader = pipeline.send(commands.fetch(["grad/h"]))
        with pytest.raises(errors.ShapeMismatch):
            failed.result()
        with pytest.raises(errors.DependencyFailed):
            reader.result()


def test_accumulation_over_calls_and_names(session: Session) -> None:
    put(session, x=X)
    for _ in range(3):
        forward(session, ("Mul", ["x", "x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
        session.backward(["s"])
    near(fetch(session, "grad/x"), 6 * X)
    session.zero_grad(["x"])
    with pytest.raises(errors.TensorNotFound):
        session.fetch(["grad/x"])


def test_a_gradient_of_another_shape_is_not_added(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    session.backward(["s"])
    put(session, x=np.array([2.0]))
    forward(session, ("Mul", ["x", "x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    with pytest.raises(errors.ShapeMismatch, match=r"'grad/x' is float64\[3\], a gradient of float64\[1\] cannot be added"):
        session.backward(["s"])
    near(fetch(session, "grad/x"), 2 * X)


# ---------------------------------------------------------------- retained and created graphs


FREED = "Trying to backward through the graph a second time (or directly access saved tensors after they have already"


@pytest.mark.parametrize("options", [{"retain_graph": True}, {"create_graph": True}])
def test_a_graph_lives_while_it_is_asked_to(session: Session, options: dict[str, bool]) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    for _ in range(2):
        session.gradients(["s"], ["x"], **options)
    session.backward(["s"])
    with pytest.raises(errors.GraphFreed, match=re.escape(FREED)):
        session.backward(["s"])
    with pytest.raises(errors.GraphFreed, match=re.escape(FREED)):
        session.gradients(["s"], ["x"])


def test_a_graph_that_saves_nothing_is_never_freed(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Add", ["x", "x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    session.backward(["s"])
    session.backward(["s"])
    near(fetch(session, "grad/x"), np.full(3, 4.0))


def test_backward_with_create_graph_gives_gradients_a_graph(session: Session) -> None:
    put(session, x=X)
    forward(session, ("Mul", ["x", "x"], ["xx"]), ("Mul", ["xx", "x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    (info,) = session.backward(["s"], create_graph=True)
    assert info.requires_grad and info.grad_fn
    forward(session, ("ReduceSum", ["grad/x"], ["t"]))
    session.gradients(["t"], ["x"], names=["second"], create_graph=True)
    forward(session, ("ReduceSum", ["second"], ["u"]))
    session.gradients(["u"], ["x"], names=["third"])
    near(fetch(session, "second"), 6 * X)
    near(fetch(session, "third"), np.full(3, 6.0))


def test_unused_inputs_are_named(session: Session) -> None:
    put(session, x=X, w=X)
    forward(session, ("ReduceSum", ["x"], ["s"]))
    with pytest.raises(errors.NoGraph, match="One of the differentiated Tensors appears to not have been used.*'w'"):
        session.gradients(["s"], ["w"])
    session.gradients(["s"], ["w"], allow_unused=True)
    near(fetch(session, "grad/w"), np.zeros(3))
    session.put({"plain": X})
    with pytest.raises(errors.NoGraph, match="One of the differentiated Tensors does not require grad: 'plain'"):
        session.gradients(["s"], ["plain"])


# ---------------------------------------------------------------- where graphs end


def test_integers_and_constants_have_no_graph(session: Session) -> None:
    put(session, x=X)
    forward(
        session,
        ("ArgMax", ["x"], ["i"]),
        ("Greater", ["x", "x"], ["b"]),
        ("Shape", ["x"], ["n"]),
        ("RandomNormalLike", ["x"], ["r"]),
    )
    for name in ("i", "b", "n", "r"):
        assert not session.describe_tensor(name).requires_grad
    session.forward([commands.node("Cast", ["i"], ["f"], {"to": np.float32})])
    with pytest.raises(errors.NoGraph, match="element 0 of tensors does not require grad and does not have a grad_fn: 'f'"):
        session.backward(["f"])


@pytest.mark.parametrize("op", ["Sign", "Floor", "Ceil", "Round"])
def test_steps_have_zero_gradients(session: Session, op: str) -> None:
    put(session, x=np.array([-1.5, 0.0, 0.5, 2.0]))
    forward(session, (op, ["x"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    session.backward(["s"])
    near(fetch(session, "grad/x"), np.zeros(4))


def test_an_operator_without_a_derivative_is_named(session: Session) -> None:
    put(session, x=np.array([1.5], np.float16))
    session.forward(
        [
            commands.node("BitCast", ["x"], ["bits"], {"to": 16}),  # of a float16 as a bfloat16
            commands.node("BitCast", ["x"], ["integer"], {"to": 5}),
            commands.node("Exp", ["bits"], ["y"]),
        ]
    )
    assert session.describe_tensor("bits").requires_grad
    assert not session.describe_tensor("integer").requires_grad
    for walk in (lambda: session.backward(["y"]), lambda: session.gradients(["y"], ["x"])):
        with pytest.raises(errors.NotDifferentiable, match="the derivative for 'BitCast' is not implemented") as caught:
            walk()
        assert caught.value.reason == "NOT_DIFFERENTIABLE" and caught.value.metadata["op"] == "BitCast"


def test_a_walk_that_goes_another_way_is_not_refused(session: Session) -> None:
    put(session, x=np.array([1.5], np.float16), w=np.array([2.0]))
    session.forward(
        [
            commands.node("BitCast", ["x"], ["bits"], {"to": 16}),
            commands.node("Cast", ["bits"], ["scale"], {"to": np.float64}),
            commands.node("Mul", ["scale", "w"], ["y"]),
        ]
    )
    session.gradients(["y"], ["w"])
    near(fetch(session, "grad/w"), fetch(session, "scale"))


def test_detached_arrays_are_constants(session: Session) -> None:
    put(session, x=X)
    session.detach("x", "d")
    forward(session, ("Mul", ["x", "d"], ["y"]), ("ReduceSum", ["y"], ["s"]))
    session.backward(["s"])
    near(fetch(session, "grad/x"), X)


# ---------------------------------------------------------------- row 20: anomalies


def test_an_anomaly_in_the_forward_pass_names_its_node(session: Session) -> None:
    put(session, x=np.array([1.0, -1.0]))
    nodes = [
        commands.node("Mul", ["x", "x"], ["a"]),
        commands.node("Log", ["x"], ["b"], name="entropy"),
        commands.node("Add", ["a", "b"], ["c"]),
    ]
    session.forward(nodes)  # off: nothing is looked at
    text = "node 1 'entropy' (Log): Log(float64[2]) -> float64[2]: output 0 holds NaN, its inputs are finite"
    with pytest.raises(errors.NonFinite, match=re.escape(text)) as caught:
        session.forward(nodes, detect_anomaly=True)
    assert caught.value.reason == "NON_FINITE"
    assert caught.value.metadata == {"node": "1", "node_name": "entropy", "op": "Log"}


def test_an_anomaly_in_the_backward_pass_names_the_forward_node(session: Session) -> None:
    put(session, x=np.array([0.0, 4.0]))
    nodes = [
        commands.node("Mul", ["x", "x"], ["a"]),
        commands.node("Sqrt", ["a"], ["b"], name="length"),
        commands.node("ReduceSum", ["b"], ["s"]),
    ]
    session.forward(nodes, outputs=["s"], detect_anomaly=True)  # the values themselves are fine
    text = (
        "the derivative of node 1 'length' (Sqrt), Sqrt(float64[2]) -> float64[2]: the gradient of input 0 holds Inf, "
        "its inputs are finite"
    )
    for walk in (session.backward, lambda roots, **options: session.gradients(roots, ["x"], **options)):
        with pytest.raises(errors.NonFinite, match=re.escape(text)) as caught:
            walk(["s"], detect_anomaly=True)
        assert caught.value.metadata == {"node": "1", "node_name": "length", "op": "Sqrt"}
    session.backward(["s"])  # off; and nothing was freed
    assert np.isnan(fetch(session, "grad/x")[0])


def test_an_operator_made_of_others_keeps_its_name_in_anomalies(session: Session) -> None:
    put(session, x=np.full((2, 3), 1e200), w=np.full((3, 2), 1e200))
    session.put({"c": np.zeros(2)})
    nodes = [commands.node("Gemm", ["x", "w", "c"], ["y"], name="fc1")]
    with pytest.raises(errors.NonFinite, match=re.escape("node 0 'fc1' (Gemm): Gemm(float64[2,3]")) as caught:
        session.run([commands.forward(nodes, detect_anomaly=True)])
    assert caught.value.metadata == {"command": "0", "node": "0", "node_name": "fc1", "op": "Gemm"}


def test_infinities_put_on_purpose_are_no_anomaly(session: Session) -> None:
    put(session, x=np.array([1.0, 2.0, 3.0]))
    session.put({"mask": np.array([0.0, -np.inf, 0.0])})
    forward(
        session, ("Add", ["x", "mask"], ["a"]), ("Softmax", ["a"], ["p"]), ("ReduceSum", ["p"], ["s"]), detect_anomaly=True
    )
    session.backward(["s"], detect_anomaly=True)
    near(fetch(session, "grad/x"), np.zeros(3))


def test_nan_put_by_the_client_is_named_where_it_first_passes(session: Session) -> None:
    put(session, x=np.array([np.nan, 2.0]))
    with pytest.raises(errors.NonFinite, match=re.escape("node 0 (Mul)") + ".*NaN, which was among its inputs"):
        forward(session, ("Mul", ["x", "x"], ["y"]), ("Exp", ["y"], ["z"]), detect_anomaly=True)


def test_anomaly_mode_in_python(session: Session) -> None:
    x = session.tensor([0.0, 1.0], np.float64, requires_grad=True)
    with gradwire.detect_anomaly():
        y = (x.sqrt() * 2).sum()
        with pytest.raises(errors.NonFinite, match=r"the derivative of node \d+ \(Sqrt\)"):
            y.backward()
            session.flush()
    assert not gradwire.is_anomaly_enabled()
    gradwire.set_detect_anomaly(True)
    try:
        with pytest.raises(errors.NonFinite, match="Log"):
            (x - 1).log().numpy(force=True)
    finally:
        gradwire.set_detect_anomaly(False)
