"""Commands that come again run from their plans: clients see no difference but speed."""

from __future__ import annotations

import numpy as np

import gradwire
from conftest import server_binary
from gradwire import Session, commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.dtypes import Array
from gradwire.testing import Server

CALL_S = 30
STEPS = 8


def training(session: Session) -> list[Array]:
    """Losses and parameters of a small classifier with dropout, one Run a step; its last steps come in two parts."""
    random = np.random.default_rng(0)
    session.put({"ratio": np.float32(0.25), "training": np.bool_(True)})
    session.put(
        {"w": random.normal(size=(6, 8)).astype(np.float32), "v": random.normal(size=(8, 3)).astype(np.float32)},
        requires_grad=True,
    )
    nodes = [
        commands.node("MatMul", ["x", "w"], ["h"]),
        commands.node("Relu", ["h"], ["r"]),
        commands.node("Dropout", ["r", "ratio", "training"], ["d"]),
        commands.node("MatMul", ["d", "v"], ["logits"]),
        commands.node("SoftmaxCrossEntropyLoss", ["logits", "y"], ["loss"]),
    ]
    seen = []
    for step in range(STEPS):
        feeds = {"x": random.normal(size=(5, 6)).astype(np.float32), "y": random.integers(0, 3, 5)}
        if step == STEPS - 2:
            nodes = nodes[:1] + [commands.node("Tanh", ["h"], ["r"])] + nodes[2:]
        forward = commands.forward(nodes, feeds=feeds, outputs=["loss"], fetch=["loss"])
        results = session.run([forward, commands.backward(["loss"]), commands.step(pb.Adam(lr=0.01), zero_grad=True)])
        seen.append(dtypes.from_proto(results[0].fetched[0]))
    return [*seen, *session.fetch(["w", "v", "optim/w/v", "optim/v/t"])]


def test_training_is_the_same_without_plans() -> None:
    results = []
    for flags in ([], ["--nofuse_plans"], ["--max_session_plans=0"]):
        with Server(server_binary(), flags) as server, gradwire.connect(server.target, timeout=CALL_S) as client:
            with client.session(seed=3) as session:
                results.append([array.tobytes() for array in training(session)])
    assert results[0] == results[1] == results[2]
