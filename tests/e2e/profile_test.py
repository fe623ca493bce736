"""Profiles: a trace of every operator that a command ran, in the Trace Event Format."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

from gradwire import Session, commands
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2

X = np.ones((8, 3), np.float32)
W = np.ones((3, 4), np.float32)
B = np.ones(4, np.float32)


def operators(profile: str) -> list[dict[str, Any]]:
    """The events of operators, after a look at the form of all."""
    trace = json.loads(profile)
    assert trace["displayTimeUnit"] == "ns" and "otherData" not in trace
    (process, *events) = trace["traceEvents"]
    assert (process["ph"], process["name"]) == ("M", "process_name")
    ended = 0.0
    for event in events:
        assert event["ph"] == "X" and event["pid"] == process["pid"] and event["tid"] > 0
        assert event["ts"] >= ended and event["dur"] > 0, "one after the other"
        ended = event["ts"] + event["dur"]
    return events


def gemm(label: str = "fc") -> pb.ForwardRequest:
    nodes = [
        commands.node("Gemm", ["x", "w", "b"], ["h"], {"alpha": 0.5}, name=label),
        commands.node("Relu", ["h"], ["y"]),
        commands.node("Reshape", ["y", "shape"], ["flat"]),
    ]
    return commands.forward(nodes, feeds={"x": X, "shape": np.array([-1])}, outputs=["flat"], profile=True)


@pytest.fixture
def layer(session: Session) -> Session:
    session.put({"w": W, "b": B}, requires_grad=True)
    return session


def test_every_operator_is_there(layer: Session) -> None:
    before = time.monotonic()
    (response,) = layer.run([gemm()])
    assert response.profile
    found = operators(response.profile)
    assert [event["args"]["op"] for event in found] == ["gradwire::MatMul", "Mul", "Add", "Relu", "gradwire::Reshape"]
    assert [event["name"] for event in found] == ["MatMul", "Mul", "Add", "Relu", "Reshape"]
    assert [event["args"]["for"] for event in found] == ["Gemm", "Gemm", "Gemm", "Relu", "Reshape"]
    assert [event["args"]["node"] for event in found] == [0, 0, 0, 1, 2]
    assert [event["args"]["command"] for event in found] == [0] * 5
    assert [event["args"].get("label") for event in found] == ["fc"] * 3 + [None, None]
    product, scaled, biased, rectified, reshaped = (event["args"] for event in found)
    assert product["inputs"] == ["float32[8,3]", "float32[3,4]"] and product["outputs"] == ["float32[8,4]"]
    assert product["flops"] == 2 * 8 * 3 * 4 and product["bytes"] == 4 * (8 * 3 + 3 * 4 + 8 * 4)
    assert scaled["flops"] == biased["flops"] == 8 * 4
    assert "flops" not in rectified and rectified["bytes"] == 4 * 2 * 8 * 4
    assert reshaped["outputs"] == ["float32[32]"] and reshaped["bytes"] == 0
    # The server is on this machine, so its monotonic clock is ours.
    assert before * 1e6 < found[0]["ts"] and found[-1]["ts"] + found[-1]["dur"] < time.monotonic() * 1e6


def test_each_command_of_a_run_and_the_run(layer: Session) -> None:
    total = commands.forward([commands.node("ReduceSum", ["flat"], ["z"])], profile=True)
    step = commands.step(pb.Sgd(lr=0.1), profile=True)
    request = pb.RunRequest(profile=True)
    for one in (gemm(), total, commands.backward(["z"]), step):
        commands.set_command(request.commands.add(), one)
    response = layer._call("Run", request)
    forward, reduced, walk, stepped = (commands.result_of(result) for result in response.results)
    everything = operators(response.profile)
    assert walk.profile == ""
    for index, part in enumerate((forward, reduced, None, stepped)):
        if part is not None:
            assert operators(part.profile) == [event for event in everything if event["args"]["command"] == index]
    (loss,) = operators(reduced.profile)
    assert loss["args"]["op"] == "gradwire::ReduceSum" and loss["args"]["flops"] == 32
    backward = [event["args"] for event in everything if event["args"]["command"] == 2]
    assert [args["op"] for args in backward].count("gradwire::MatMul") == 1, "x needs no gradient"
    assert all("label" not in args and "node" not in args for args in backward)
    assert len(operators(stepped.profile)) >= 2
    assert len(everything) == len(operators(forward.profile)) + 1 + len(backward) + len(operators(stepped.profile))


@pytest.mark.parametrize("verb", ["backward", "gradients", "jvp", "hvp", "step"])
def test_verbs_that_compute(layer: Session, verb: str) -> None:
    layer.forward([commands.node("Mul", ["w", "w"], ["ww"]), commands.node("ReduceSum", ["ww"], ["z"])])
    if verb == "step":
        layer.backward(["z"])
    ones = np.ones_like(W)
    request: Any = {
        "backward": lambda: commands.backward(["z"], profile=True),
        "gradients": lambda: commands.gradients(["z"], ["w"], profile=True),
        "jvp": lambda: commands.jvp(["z"], {"w": ones}, profile=True),
        "hvp": lambda: commands.hvp("z", ["w"], {"w": ones}, profile=True),
        "step": lambda: commands.step(pb.Sgd(lr=0.1), profile=True),
    }[verb]()
    response = layer._call(verb.capitalize(), request)
    assert operators(response.profile)
    request.profile = False
    request.sequence = 0
    if verb in ("jvp", "hvp", "step"):
        layer.forward([commands.node("Mul", ["w", "w"], ["ww"]), commands.node("ReduceSum", ["ww"], ["z"])])
        assert layer._call(verb.capitalize(), request).profile == ""


def test_each_trip_of_a_loop_is_there(session: Session) -> None:
    """Also what ran during the trace, for the condition."""
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21]> agraph (double x) => (double y) {
          yes = Constant<value = bool {1}>()
          y = Loop("", yes, x) <body = b (int64 i, bool c, double p) => (bool d, double q) {
            ten = Constant<value = double {10.0}>()
            q = Add(p, p)
            d = Less(q, ten)
          }>
        }"""
    )
    session.load_program("p", model.SerializeToString())
    forward = commands.forward(program="p", feeds={"x": np.array(1.0)}, fetch=["y"], profile=True)
    for _ in range(3):  # a repeated command has a profile of its own
        (response,) = session.run([forward])
        assert commands.fetched(forward, response) == [16]
        found = operators(response.profile)
        assert [event["name"] for event in found].count("Add") == 4
        labels = {event["name"]: event["args"]["label"] for event in found}
        assert labels == {"Add": "Loop/body/1", "Less": "Loop/body/2"}


def test_convolutions_count_their_flops(session: Session) -> None:
    n, c, m, group = 2, 4, 6, 2
    session.put({"x": np.ones((n, c, 9, 9), np.float32), "k": np.ones((m, c // group, 3, 3), np.float32)}, requires_grad=True)
    node = commands.node("Conv", ["x", "k"], ["y"], {"group": group, "strides": [2, 2]})
    total = commands.node("ReduceSum", ["y"], ["z"])
    request = pb.RunRequest(profile=True)
    for one in (commands.forward([node, total]), commands.backward(["z"])):
        commands.set_command(request.commands.add(), one)
    flops = {
        event["name"]: event["args"]["flops"]
        for event in operators(session._call("Run", request).profile)
        if event["name"].startswith("Conv")
    }
    assert flops == dict.fromkeys(("Conv", "ConvInputGrad", "ConvWeightGrad"), 2 * (n * m * 4 * 4) * (c // group * 3 * 3))


def test_a_block_is_profiled_and_saved(session: Session, tmp_path: Path) -> None:
    w = session.tensor(W, requires_grad=True)
    outside = w.exp()
    path = tmp_path / "trace.json"
    with session.profile(path) as profile:
        loss = (session.tensor(X) @ w).sum()
        loss.backward()
        assert loss.item() == 96
        session.step(pb.Sgd(lr=0.1))
        with pytest.raises(RuntimeError, match="already"), session.profile():
            pass
    found = [event["name"] for event in profile.operators]
    assert found.count("MatMul") == 2 and "ReduceSum" in found and "Exp" not in found
    saved = json.loads(path.read_text())
    assert saved["traceEvents"] == profile.events and saved["otherData"] == {"left_out": 0}
    assert [event["ph"] for event in profile.events].count("M") == 1
    count = len(profile.events)
    assert outside.detach().numpy().shape == (3, 4) and len(profile.events) == count


def test_names_are_safe(layer: Session) -> None:
    label = 'quote " back \\ line \n é'
    (response,) = layer.run([gemm(label)])
    assert operators(response.profile)[0]["args"]["label"] == label
    (response,) = layer.run([gemm("x" * 10000)])
    assert operators(response.profile)[0]["args"]["label"] == "x" * 256


def test_an_answer_is_repeated_with_its_profile(layer: Session) -> None:
    first = layer.run([gemm()], sequence=1000)
    again = layer.run([gemm()], sequence=1000)
    assert first[0].profile == again[0].profile


def test_a_long_record_ends(session: Session) -> None:
    """262144 arrays, of two an operator; the rest is counted."""
    count = 140_000
    graph = onnx_pb2.GraphProto(name="g", input=[onnx_pb2.ValueInfoProto(name="x")])
    names = ["x", *(f"t{i}" for i in range(1, count)), "y"]
    graph.node.extend(commands.node("Neg", [names[i]], [names[i + 1]]) for i in range(count))
    session.load_program("long", graph=graph)
    session.put({"x": np.ones(1, np.float32)})
    (response,) = session.run([commands.forward(program="long", outputs=["y"], no_grad=True, profile=True)])
    trace = json.loads(response.profile)
    assert len(trace["traceEvents"]) == 1 + 131072
    assert trace["otherData"] == {"left_out": count - 131072}
