"""Gradients of whole models against PyTorch's on the same weights: 1e-4 relative in float32, 1e-9 in float64.

A gradient's difference is relative to the gradient's norm. Each gradient of the loss is compared: of every trainable
parameter and of the floating inputs; of the models with small weights the Hessian's product with a vector, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import models
import numpy as np
import onnx
import pytest
import torch
import torch_program

from gradwire.client import Client
from gradwire.session import Session

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
CASES: dict[str, Callable[..., onnx.ModelProto]] = {
    "resnet50": models.resnet50,
    # By the statistics of 8 x 4 x 4 and more elements.
    "resnet50 in training": partial(models.resnet50, batch=8, size=128, width=16, training=True),
    "transformer": models.transformer,
    "lstm": models.lstm,
}

Array = Any


def _trained(model: onnx.ModelProto, arrays: dict[str, Array]) -> list[str]:
    """The names of what the loss is differentiated by."""
    statistics = {name for node in model.graph.node if node.op_type == "BatchNormalization" for name in node.input[3:]}
    weights = {t.name: t for t in model.graph.initializer if t.data_type != onnx.TensorProto.INT64}
    return [*(n for n in weights if n not in statistics), *(n for n, a in arrays.items() if a.dtype.kind == "f")]


def by_torch(model: onnx.ModelProto, arrays: dict[str, Array], vs: dict[str, Array]) -> list[dict[str, Array]]:
    """The loss; its gradients; with directions, those of their sum along these."""
    values = {**torch_program.initializers(model), **{name: torch.from_numpy(array) for name, array in arrays.items()}}
    names = _trained(model, arrays)
    leaves = [values[name].requires_grad_() for name in names]
    loss = torch_program.evaluate(model, values)["loss"]
    first = torch.autograd.grad(loss, leaves, create_graph=bool(vs))
    found = [{"loss": loss}, dict(zip(names, first, strict=True))]
    if vs:
        product = torch.stack([(g * torch.from_numpy(vs[n])).sum() for n, g in found[1].items()]).sum()
        found.append(dict(zip(names, torch.autograd.grad(product, leaves), strict=True)))
    return [{name: tensor.numpy(force=True) for name, tensor in part.items()} for part in found]


def by_gradwire(
    session: Session, model: onnx.ModelProto, arrays: dict[str, Array], vs: dict[str, Array]
) -> list[dict[str, Array]]:
    """As `by_torch`."""
    session.load_program("model", model.SerializeToString(), trainable=True, parameter_prefix="")
    session.put({n: a for n, a in arrays.items() if a.dtype.kind == "f"}, requires_grad=True)
    session.put({n: a for n, a in arrays.items() if a.dtype.kind != "f"})
    session.forward(program="model", outputs=["loss"])
    names = _trained(model, arrays)
    first = [f"g/{name}" for name in names]
    session.gradients(["loss"], names, names=first, create_graph=bool(vs))
    wanted = [["loss"], first]
    if vs:
        second = [f"h/{name}" for name in names]
        session.put({f"v/{name}": array for name, array in vs.items()})
        session.gradients(first, names, seeds={f"g/{n}": f"v/{n}" for n in names}, names=second)
        wanted.append(second)
    return [
        {name.removeprefix("g/").removeprefix("h/"): array for name, array in session.fetch_stream(part).items()}
        for part in wanted
    ]


def gaps(got: list[dict[str, Array]], wanted: list[dict[str, Array]]) -> list[float]:
    """The largest difference of each order, relative to the norm of the array that differs.

    Some gradients are zero, and both sides' are rounding errors: that of a bias of attention's keys. They are taken
    relative to what their order's largest gradient may be off by.
    """
    worst = []
    for ours, theirs in zip(got, wanted, strict=True):
        norms = {name: float(np.linalg.norm(array)) for name, array in theirs.items()}
        epsilon = float(np.finfo(next(iter(theirs.values())).dtype).eps)
        noise = 16 * epsilon * max(norms.values())
        differences = {name: float(np.linalg.norm(ours[name] - array)) for name, array in theirs.items()}
        assert all(np.isfinite(norm) for norm in norms.values())
        worst.append(max(gap / norms[n] for n, gap in differences.items() if not (norms[n] <= noise and gap <= noise)))
    return worst


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", CASES)
def test_gradients(client: Client, name: str, dtype: str) -> None:
    model = CASES[name](dtype=dtype)
    arrays = models.inputs_of(model)
    rng = np.random.default_rng(1)
    weights = torch_program.initializers(model)
    vs = {}
    if not name.startswith("resnet50"):
        shapes = {n: weights[n].shape if n in weights else arrays[n].shape for n in _trained(model, arrays)}
        vs = {n: np.asarray(rng.standard_normal(tuple(shape))).astype(dtype) for n, shape in shapes.items()}
    with client.session() as session:
        got = by_gradwire(session, model, arrays, vs)
    worst = gaps(got, by_torch(model, arrays, vs))
    print(f"{name} in {dtype}: loss, gradients, second order off by {', '.join(f'{gap:.2g}' for gap in worst)}")
    assert max(worst) <= TOLERANCES[dtype]


def test_a_wrong_gradient_is_found(client: Client) -> None:
    model = models.lstm(batch=2, length=3, layers=1, width=4, hidden=4, dtype="float64")
    arrays = models.inputs_of(model)
    with client.session() as session:
        got = by_gradwire(session, model, arrays, {})
    wanted = by_torch(model, arrays, {})
    assert max(gaps(got, wanted)) <= TOLERANCES["float64"]
    got[1]["lstm0.r"] = got[1]["lstm0.r"] * (1 + 1e-8)
    assert gaps(got, wanted)[1] > TOLERANCES["float64"]
