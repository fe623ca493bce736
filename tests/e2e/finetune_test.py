"""Loaded models of real shapes are fine-tuned at once: Forward, Backward, Step, and the loss falls."""

from __future__ import annotations

from typing import Any

import models
import numpy as np
import onnx
import pytest

import gradwire
from gradwire import Session, commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb

STEPS = 6

# A model and a learning rate.
CASES: dict[str, tuple[onnx.ModelProto, float]] = {
    "resnet50": (models.resnet50(batch=4, size=32, classes=10), 1e-4),
    "resnet50 in training": (models.resnet50(batch=4, size=32, classes=10, width=8, training=True), 1e-3),
    "transformer": (models.transformer(batch=4, length=12, vocabulary=100), 1e-3),
    "lstm": (models.lstm(batch=4, length=9), 1e-2),
}


def training_step(feeds: dict[str, Any], optimizer: commands.Optimizer) -> list[commands.Request]:
    """One step as commands: one round trip."""
    return [
        commands.forward(program="net", feeds=feeds, outputs=["loss"]),
        commands.backward(["loss"]),
        commands.step(optimizer, zero_grad=True),
        commands.fetch(["loss"]),
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_fine_tuned(session: Session, name: str) -> None:
    model, rate = CASES[name]
    net = gradwire.load_model(session, model, name="net")
    trained = {tensor.name for tensor in net.parameters()}
    statistics = {f"net/{i}" for node in model.graph.node if node.op_type == "BatchNormalization" for i in node.input[3:]}
    floats = {f"net/{t.name}" for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    assert trained == floats - statistics
    assert not net.info.unsupported

    some = sorted(key for key in trained if key.endswith("bias"))[:10]
    before = dict(zip(some, session.fetch(some), strict=True))
    feeds = models.inputs_of(model)
    losses = []
    for _ in range(STEPS):
        *_, fetched = session.run(training_step(feeds, pb.Adam(lr=rate)))
        losses.append(float(dtypes.from_proto(fetched.tensors[0])))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0], losses
    for key, value in before.items():
        assert np.abs(session.fetch([key])[0] - value).max() > 0, f"{key} did not move"


def test_the_client_library_does_the_same(session: Session) -> None:
    model, rate = CASES["transformer"]
    net = gradwire.load_model(session, model, name="bert")
    optimizer = gradwire.optim.AdamW(net.parameters(), lr=rate)
    losses = []
    for _ in range(STEPS):
        _, loss = net(**models.inputs_of(model))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0], losses
