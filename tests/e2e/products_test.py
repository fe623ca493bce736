"""Jvp and Hvp: the RPCs and their spellings in Python, against closed forms and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradwire
import gradwire.torch
from gradwire import Session, Tensor, commands, errors


def near(actual: Any, expected: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(actual, np.float64), np.asarray(expected, np.float64), rtol=rtol, atol=1e-9)


X = np.array([0.5, -1.25, 2.0])
W = np.array([1.5, 0.25, -0.5])
T = np.array([1.0, 10.0, -3.0])

# y = x**2 * w, s = sum(x**3)
NODES = [
    commands.node("Mul", ["x", "x"], ["xx"]),
    commands.node("Mul", ["xx", "w"], ["y"]),
    commands.node("Mul", ["xx", "x"], ["xxx"]),
    commands.node("ReduceSum", ["xxx"], ["s"], {"keepdims": 0}),
]


@pytest.fixture
def graph(session: Session) -> Session:
    session.put({"x": X, "w": W}, requires_grad=True)
    session.forward(NODES, outputs=["y", "s", "xx"])
    return session


# ---------------------------------------------------------------- RPCs


def test_jvp_returns_tangents_in_one_call(graph: Session) -> None:
    before = graph.client.rpc_count
    infos, (dy, ds) = graph.jvp(["y", "s"], {"x": T}, fetch=True)
    assert graph.client.rpc_count == before + 1 and infos == []
    near(dy, 2 * X * W * T)
    near(ds, (3 * X**2 * T).sum())
    assert graph.list_tensors("jvp/") == []


def test_jvp_binds_tangents_under_names(graph: Session) -> None:
    graph.put({"t": T})
    infos, arrays = graph.jvp(["y"], {"x": "t", "w": W}, retain_graph=True)
    assert [info.name for info in infos] == ["jvp/y"] and arrays == []
    assert not infos[0].requires_grad
    near(graph.fetch(["jvp/y"])[0], 2 * X * W * T + X**2 * W)
    infos, (again,) = graph.jvp(["y"], {"x": "t", "w": W}, names=["dy"], fetch=True)
    assert [info.name for info in infos] == ["dy"]
    near(again, 2 * X * W * T + X**2 * W)


def test_jvp_frees_the_graph_unless_it_is_retained(graph: Session) -> None:
    graph.jvp(["y"], {"x": T}, retain_graph=True)
    graph.jvp(["y"], {"x": T})
    with pytest.raises(errors.GraphFreed):
        graph.jvp(["y"], {"x": T})


def test_jvp_along_an_intermediate(graph: Session) -> None:
    _, (dy,) = graph.jvp(["y"], {"xx": T}, fetch=True)
    near(dy, W * T)


def test_jvp_of_what_does_not_depend_is_zero(graph: Session) -> None:
    _, (ds,) = graph.jvp(["s"], {"w": T}, fetch=True)
    near(ds, 0)


def test_jvp_checks_its_request(graph: Session) -> None:
    graph.put({"plain": X})
    for bad, kind, text in [
        ((["y"], {"x": T[:2]}), errors.ShapeMismatch, r"the vector for 'x' is float64\[2\], 'x' is float64\[3\]"),
        ((["y"], {"x": T.astype(np.float32)}), errors.DtypeMismatch, "float32"),
        ((["y"], {"plain": T}), errors.NoGraph, "does not require grad: 'plain'"),
        ((["plain"], {"x": T}), errors.NoGraph, "does not require grad and does not have a grad_fn: 'plain'"),
        ((["nowhere"], {"x": T}), errors.TensorNotFound, "nowhere"),
        (([], {"x": T}), errors.InvalidArgument, "'outputs' cannot be empty"),
        ((["y"], {}), errors.InvalidArgument, "'tangents' cannot be empty"),
    ]:
        with pytest.raises(kind, match=text):
            graph.jvp(*bad)
    with pytest.raises(errors.InvalidArgument, match="2 names are given for 1 products"):
        graph.jvp(["y"], {"x": T}, names=["a", "b"])
    graph.jvp(["y"], {"x": T})  # nothing was freed


def test_hvp_returns_products_in_one_call(graph: Session) -> None:
    before = graph.client.rpc_count
    infos, (hx,) = graph.hvp("s", ["x"], {"x": T}, fetch=True)
    assert graph.client.rpc_count == before + 1 and infos == []
    near(hx, 6 * X * T)


def test_hvp_couples_inputs(session: Session) -> None:
    session.put({"x": X, "w": W}, requires_grad=True)
    session.forward([*NODES[:2], commands.node("ReduceSum", ["y"], ["z"], {"keepdims": 0})], outputs=["z"])
    infos, _ = session.hvp("z", ["x", "w"], {"x": T}, retain_graph=True)
    assert [info.name for info in infos] == ["hvp/x", "hvp/w"]
    near(session.fetch(["hvp/x"])[0], 2 * W * T)
    near(session.fetch(["hvp/w"])[0], 2 * X * T)
    with pytest.raises(errors.InvalidArgument, match="a vector is given for 'z', which is not among the inputs"):
        session.hvp("z", ["x"], {"z": T})
    session.forward([commands.node("Mul", ["x", "w"], ["v"])], outputs=["v"])
    with pytest.raises(errors.ShapeMismatch, match="grad can be implicitly created only for scalar outputs"):
        session.hvp("v", ["x"], {"x": T})


def test_products_in_a_run(session: Session) -> None:
    results = session.run(
        [
            commands.put({"x": X, "w": W}, requires_grad=True),
            commands.forward(NODES, outputs=["y", "s"]),
            commands.jvp(["y"], {"x": T}, retain_graph=True, fetch=True),
            commands.hvp("s", ["x"], {"x": T}),
            commands.fetch(["hvp/x"]),
        ]
    )
    near(gradwire.dtypes.from_proto(results[2].fetched[0]), 2 * X * W * T)
    near(gradwire.dtypes.from_proto(results[4].tensors[0]), 6 * X * T)


def test_products_in_a_pipeline(session: Session) -> None:
    with session.pipeline() as pipeline:
        pipeline.send(commands.put({"x": X, "w": W}, requires_grad=True))
        pipeline.send(commands.forward(NODES, outputs=["y", "s"]))
        jvp = pipeline.send(commands.jvp(["y"], {"x": T}, retain_graph=True, fetch=True))
        pipeline.send(commands.hvp("s", ["x"], {"x": T}))
        products = pipeline.send(commands.fetch(["hvp/x"]))
        failed = pipeline.send(commands.jvp(["nowhere"], {"x": T}, names=["lost"]))
        reader = pipeline.send(commands.fetch(["lost"]))
        near(gradwire.dtypes.from_proto(jvp.result().fetched[0]), 2 * X * W * T)
        near(gradwire.dtypes.from_proto(products.result().tensors[0]), 6 * X * T)
        with pytest.raises(errors.TensorNotFound):
            failed.result()
        with pytest.raises(errors.DependencyFailed):
            reader.result()


def test_products_name_an_operator_that_has_no_derivative(session: Session) -> None:
    session.put({"x": X[:1].astype(np.float16)}, requires_grad=True)
    session.forward([commands.node("BitCast", ["x"], ["y"], {"to": 16})])
    with pytest.raises(errors.NotDifferentiable, match="the derivative for 'BitCast' is not implemented") as caught:
        session.jvp(["y"], {"x": T[:1].astype(np.float16)})
    assert caught.value.metadata["op"] == "BitCast"
    with pytest.raises(errors.NotDifferentiable):
        session.hvp("y", ["x"], {"x": T[:1].astype(np.float16)})


# ---------------------------------------------------------------- functions


def smooth(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    h = ((x * w).sin() + x.exp()).softmax(0)
    return h, (h * x).sum()


def numeric(step: float = 1e-6) -> tuple[Any, Any]:
    def f(x: Any) -> tuple[Any, Any]:
        e = np.exp(np.sin(x * W) + np.exp(x))
        return e / e.sum(), (e / e.sum() * x).sum()

    up, down = f(X + step * T), f(X - step * T)
    return tuple((a - b) / (2 * step) for a, b in zip(up, down, strict=True))


def test_functional_jvp(session: Session) -> None:
    x, w = session.tensor(X, np.float64), session.tensor(W, np.float64)
    (h, s), (dh, ds) = gradwire.jvp(smooth, (x, w), (T, np.zeros(3)))
    for actual, expected in zip((dh, ds), numeric(), strict=True):
        near(actual.numpy(), expected, rtol=1e-6)
    assert not h.requires_grad and not dh.requires_grad
    near(s.numpy(), (h.numpy() * X).sum())
    value, tangent = gradwire.jvp(lambda x: (x**2).sum(), x, session.tensor(T, np.float64))
    near([value.item(), tangent.item()], [(X**2).sum(), (2 * X * T).sum()])
    constant, zero = gradwire.jvp(lambda x: w * 2, x, T)
    near(constant.numpy(), 2 * W)
    near(zero.numpy(), np.zeros(3))


def test_functional_hvp(session: Session) -> None:
    x = session.tensor(X, np.float64)
    value, product = gradwire.hvp(lambda x: (x**4).sum(), x, T)
    near(value.item(), (X**4).sum())
    near(product.numpy(), 12 * X**2 * T)
    _, (hx, hw) = gradwire.hvp(lambda x, w: (x**2 * w).sum(), (x, session.tensor(W)), (T, np.zeros(3)))
    near(hx.numpy(), 2 * W * T)
    near(hw.numpy(), 2 * X * T)


def test_functional_vjp(session: Session) -> None:
    x = session.tensor(X, np.float64)
    y, pull = gradwire.vjp(lambda x: x**3, x)
    near(y.numpy(), X**3)
    for seed in (T, W):
        near(pull(seed)[0].numpy(), 3 * X**2 * seed)


def test_transforms_nest(session: Session) -> None:
    x = session.tensor(X, np.float64, requires_grad=True)
    base = x * 1.0  # a point that has a graph itself

    def slope(v: Tensor) -> Tensor:
        return gradwire.jvp(lambda u: u**4, v, np.ones(3))[1]

    _, curvature = gradwire.jvp(slope, base, T)
    near(curvature.numpy(force=True), 12 * X**2 * T)
    (third,) = gradwire.grad(curvature.sum(), x)
    near(third.numpy(), 24 * X * T)


def test_pytorchs_spelling(session: Session) -> None:
    torch: Any = gradwire.torch
    torch.use(session)
    x = torch.tensor(X, dtype=torch.float64)
    _, tangent = torch.func.jvp(lambda x: x**2, (x,), (torch.tensor(T, dtype=torch.float64),))
    near(tangent.numpy(), 2 * X * T)
    _, product = torch.autograd.functional.hvp(lambda x: (x**3).sum(), x, torch.tensor(T, dtype=torch.float64))
    near(product.numpy(), 6 * X * T)
