"""Commands that come again run from their plans: clients see no difference but speed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from onnx import helper

import gradwire
from conftest import server_binary
from gradwire import Session, commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.dtypes import Array
from gradwire.testing import Server

CALL_S = 30
STEPS = 8
MIB = 1 << 20


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


def alike_with(scenario: Callable[[gradwire.Session], list[Array]]) -> list[Array]:
    """What a scenario gives without plans, and to rounding with every kind of plan."""
    results = []
    for flags in (["--max_session_plans=0"], [], ["--noabsorb_constants"], ["--nochannels_last"], ["--nowinograd"], ["--nosplit_batches"], ["--nofuse_plans"], ["--noplan_memory"]):
        with Server(server_binary(), flags) as server, gradwire.connect(server.target, timeout=CALL_S) as client:
            with client.session() as session:
                results.append(scenario(session))
    for others in results[1:]:
        for array, other in zip(results[0], others, strict=True):
            np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-5)
    return results[0]


def images(session: Session) -> list[Array]:
    """Losses and weights of a small network of convolutions, batch norm and poolings, one Run a step."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(8, 3, 3, 3)), "v": random.normal(size=(8, 8, 3, 3)) * 0.2,
        "scale": np.ones(8), "bias": np.zeros(8), "out": random.normal(size=(8, 5)),
    }  # fmt: skip
    session.put({name: array.astype(np.float32) for name, array in weights.items()}, requires_grad=True)
    session.put({"mean": np.zeros(8, np.float32), "var": np.ones(8, np.float32), "axes": np.array([2, 3])})
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "scale", "bias", "mean", "var"], ["b", "", ""], training_mode=1),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "v"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "d"], ["e"]),
        helper.make_node("AveragePool", ["e"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ReduceMean", ["f", "axes"], ["g"], keepdims=0),
        helper.make_node("MatMul", ["g", "out"], ["logits"]),
        helper.make_node("SoftmaxCrossEntropyLoss", ["logits", "y"], ["loss"]),
    ]
    seen = []
    for _ in range(STEPS):
        feeds = {"x": random.normal(size=(4, 3, 8, 8)).astype(np.float32), "y": random.integers(0, 5, 4)}
        forward = commands.forward(nodes, feeds=feeds, outputs=["loss"], fetch=["loss", "e"])
        results = session.run([forward, commands.backward(["loss"]), commands.step(pb.Adam(lr=0.01), zero_grad=True)])
        seen += [dtypes.from_proto(fetched) for fetched in results[0].fetched]
    return [*seen, *session.fetch([*weights])]


def test_images_come_to_the_same_whichever_way_they_lie() -> None:
    alike_with(images)


def inferences(session: gradwire.Session) -> list[Array]:
    """What an image model answers, call after call: its weights change in between, once they have been the same for
    several calls."""
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(16, 3, 3, 3)), "v": random.normal(size=(16, 16, 3, 3)) * 0.1}
    session.put({name: array.astype(np.float32) for name, array in weights.items()}, requires_grad=True)
    parameters = {"scale": random.normal(size=16), "bias": random.normal(size=16), "mean": random.normal(size=16)}
    session.put({**{name: array.astype(np.float32) for name, array in parameters.items()}, "var": np.ones(16, np.float32)})
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "v"], ["b"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["b", "scale", "bias", "mean", "var"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    train = [
        commands.forward([*nodes, helper.make_node("ReduceMean", ["y"], ["loss"])], outputs=["loss"],
                         feeds={"x": random.normal(size=(2, 3, 8, 8)).astype(np.float32)}),
        commands.backward(["loss"]),
        commands.step(pb.Sgd(lr=0.5), zero_grad=True),
    ]  # fmt: skip
    seen = []
    for call in range(12):
        image = random.normal(size=(2, 3, 8, 8)).astype(np.float32)
        (fetched,) = session.run([commands.forward(nodes, feeds={"x": image}, fetch=["y"], no_grad=True)])[0].fetched
        seen.append(dtypes.from_proto(fetched))
        if call in (5, 6):
            session.run(train)
        if call == 8:
            session.put({"scale": np.full(16, 2, np.float32)})
    return seen


def test_weights_that_stay_the_same_may_change_all_the_same() -> None:
    answers = alike_with(inferences)
    assert min(np.abs(one - next).max() for one, next in itertools.pairwise(answers)) > 0.1


def test_what_plans_keep_gives_way(client: gradwire.Client) -> None:
    """A constant of 2 MiB is kept with its plan; a command that needs the room gets it."""
    with client.session(max_bytes=16 * MIB) as session:
        nodes = [
            helper.make_node("ConstantOfShape", ["shape"], ["constant"]),
            helper.make_node("Add", ["x", "constant"], ["sum"]),
        ]
        session.put({"shape": np.array([MIB // 2]), "large": np.array([14 * MIB // 4])})
        for value in range(4):
            forward = commands.forward(nodes, feeds={"x": np.float32(value)}, fetch=["sum"])
            (fetched,) = session.run([forward])[0].fetched
            assert dtypes.from_proto(fetched)[-1] == value
        assert session.describe().used_bytes >= 2 * MIB
        session.put({"some": np.zeros(1000, np.uint8)})
        session.run([commands.forward([helper.make_node("ConstantOfShape", ["large"], ["room"])], outputs=["room"])])
        assert session.describe().used_bytes < 15 * MIB
