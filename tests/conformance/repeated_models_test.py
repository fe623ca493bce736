"""Networks of the ONNX suite, with weights that differ, called until they run from their plans.

The suite's own weights are equal numbers, so that a convolution that mixes up its filters gives the same: what a plan
does to constant weights (packed, absorbed, transformed for Winograd's algorithm) shows only here. Judged by the ONNX
package's reference implementation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import models
from gradwire.client import Client
from gradwire.dtypes import Array

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CALLS = 6
# Images computed together, and where among them the one lies that the reference computes.
BATCH, PLACE = 4, 2
# Of the largest logit.
TOLERANCE = 1e-5


class LRN(OpRun):  # type: ignore[misc]
    """Of all channels, as the operator's text says; the package's own leaves out all but the first (1.22)."""

    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        squares = np.pad(x**2, ((0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0)))
        sums = sum(squares[:, i : i + x.shape[1]] for i in range(size))
        return (x / (np.float32(bias) + np.float32(alpha / size) * sums) ** np.float32(beta),)


class BatchNormalization(OpRun):  # type: ignore[misc]
    """By the running statistics; the package's own takes the batch's in models as old as these (1.22)."""

    def _run(
        self, x: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: float, **_: object
    ) -> tuple[Array]:
        slope = (scale / np.sqrt(var + np.float32(epsilon)))[:, None, None]
        return (slope * (x - mean[:, None, None]) + bias[:, None, None],)


def weight(role: str, shape: list[int], random: np.random.Generator) -> Array:
    """Numbers with which the values of a deep network keep their size; `role`: what a batch norm calls it."""
    if role in ("scale", "var"):
        array = random.uniform(0.5, 1.5, shape)
    elif len(shape) <= 1:
        array = random.normal(0, 0.1, shape)
    else:
        array = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    return array.astype(np.float32)


def with_weights(name: str) -> tuple[onnx.ModelProto, str, str]:
    """A network with weights of its own in the place of each ConstantOfShape; its input, and its output before a Softmax."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    random = np.random.default_rng(len(name))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    roles = {
        used: role
        for node in graph.node
        if node.op_type == "BatchNormalization"
        for used, role in zip(node.input[1:], ("scale", "bias", "mean", "var"), strict=True)
    }
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        made = weight(roles.get(node.output[0], ""), constants[node.input[0]].tolist(), random)
        graph.initializer.append(numpy_helper.from_array(made, node.output[0]))
        graph.node.remove(node)
    (feed,) = (value.name for value in graph.input if value.name not in constants)
    last = graph.node[-1]
    output = last.input[0] if last.op_type == "Softmax" else last.output[0]
    graph.output[0].CopyFrom(helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    return model, feed, output


@pytest.mark.parametrize("name", sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("*.onnx")))
def test_planned_calls_are_as_exact_as_the_reference(client: Client, name: str) -> None:
    model, feed, output = with_weights(name)
    random = np.random.default_rng(0)
    x = random.standard_normal((1, 3, 224, 224), np.float32)
    (expected,) = ReferenceEvaluator(model, new_ops=[LRN, BatchNormalization]).run([output], {feed: x})
    largest = np.abs(expected).max()
    assert expected.std() > 0.01 * largest  # the logits differ
    with client.session() as session:
        session.load_program("network", model.SerializeToString())
        calls = [
            session.forward(program="network", feeds={feed: x}, fetch=[output], no_grad=True)[1][0] for _ in range(CALLS)
        ]
    for number, found in enumerate(calls, start=1):
        assert np.abs(found - expected).max() <= TOLERANCE * largest, f"call {number}"
    assert not np.array_equal(calls[0], calls[-1]), "a plan adds up in another order (--channels_last): none has run"
    models.set_batch(model, BATCH)
    images = random.standard_normal((BATCH, *x.shape[1:]), np.float32)
    images[PLACE] = x[0]
    with client.session() as session:
        session.load_program("network", model.SerializeToString())
        for number in range(1, CALLS + 1):
            (found,) = session.forward(program="network", feeds={feed: images}, fetch=[output], no_grad=True)[1]
            assert np.abs(found[PLACE] - expected[0]).max() <= TOLERANCE * largest, f"call {number} of a batch"
