"""A training step on a gradwire server over loopback, against PyTorch in process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gradwire import Client, commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from measure import Row, alternate
from workloads import TRAINED, Workload

Step = Callable[[], float]


def remote_step(client: Client, work: Workload) -> Step:
    """One Run a step: the batch goes with it, the loss comes back."""
    session = client.session()
    session.put(work.graph.constants)
    session.put(work.graph.weights, requires_grad=True)
    graph = onnx_pb2.GraphProto(name="step", node=work.graph.nodes)
    for name in (*work.graph.constants, *work.graph.weights, "x", "y"):
        graph.input.add(name=name)
    graph.output.add(name=work.output)
    session.load_program("step", graph=graph)
    step = pb.StepRequest(zero_grad=True, **work.optimizer)

    def run() -> float:
        feeds = [dtypes.to_proto(array, name) for name, array in zip("xy", work.batch, strict=True)]
        forward = pb.ForwardRequest(program="step", feeds=feeds, outputs=[work.output], fetch=[work.output])
        backward = pb.BackwardRequest(roots=[work.output])
        results = session.run([forward, backward, step])
        return float(dtypes.from_proto(results[0].fetched[0]))

    return run


def torch_step(work: Workload, compiled: bool) -> Step:
    optimizer = work.torch_optimizer(work.module.parameters())
    x, y = (torch.from_numpy(array) for array in work.batch)

    def loss_of(x: Any, y: Any) -> Any:
        return work.loss(work.module, x, y)

    forward = torch.compile(loss_of) if compiled else loss_of

    def run() -> float:
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return float(loss)

    return run


def compare(client: Client, name: str, compiled: bool) -> Row:
    torch.manual_seed(0)
    work = TRAINED[name]()
    ours, peer = remote_step(client, work), torch_step(work, compiled)
    first, expected = ours(), peer()
    if abs(first - expected) > 1e-4 * max(1, abs(expected)):
        raise AssertionError(f"{name}: the losses are {first} and {expected}")
    bound = None if name == "logistic" else 1.1 if compiled else 1.0
    case = f"{name} against {'torch.compile' if compiled else 'PyTorch eager'}"
    return alternate(case, ours, peer, metric="seconds a step", limit=bound, floor=f"{work.flops / 1e9:.3g} GFLOP")


def run(client: Client) -> list[Row]:
    return [compare(client, name, compiled) for name in TRAINED for compiled in (False, True)]
