"""A training step on a gradwire server over loopback, against PyTorch: in process, eager and compiled, and behind
torch.distributed.rpc."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed import rpc

from gradwire import Client, commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from measure import Row, alternate
from report import Result
from setting import Setting
from torch_worker import join, start, step
from workloads import TRAINED, Workload

Step = Callable[[], float]


def remote_step(client: Client, work: Workload, device: str = "cpu") -> Step:
    """One Run a step: the batch goes with it, the loss comes back."""
    session = client.session(device=device)
    session.put(work.graph.constants)
    session.put(work.graph.weights, requires_grad=True)
    graph = onnx_pb2.GraphProto(name="step", node=work.graph.nodes)
    for name in (*work.graph.constants, *work.graph.weights, "x", "y"):
        graph.input.add(name=name)
    graph.output.add(name=work.output)
    session.load_program("step", graph=graph)
    forward = commands.forward(program="step", outputs=[work.output], fetch=[work.output])
    backward = commands.backward([work.output])
    step = pb.StepRequest(zero_grad=True, **work.optimizer)

    def run() -> float:
        batch = dict(zip("xy", work.batch, strict=True))
        results = session.run([commands.feeding(forward, batch), backward, step])
        return float(dtypes.from_proto(results[0].fetched[0]))

    return run


@contextmanager
def torch_rpc() -> Iterator[None]:
    """A second process that trains when it is called."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder = Path(__file__).parent
    path = os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))
    worker = subprocess.Popen(
        [sys.executable, str(folder / "torch_worker.py"), port, str(torch.get_num_threads())],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        join("client", 0, port)
        yield
        rpc.shutdown()
        worker.wait()
    finally:
        worker.kill()


def rpc_step(name: str, work: Workload) -> Step:
    """One call a step: the batch goes with it, the loss comes back."""
    rpc.rpc_sync("worker", start, (name,))
    x, y = (torch.from_numpy(array) for array in work.batch)
    return lambda: float(rpc.rpc_sync("worker", step, (name, x, y)))


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
        return float(loss.detach())

    return run


# What a step may take of a peer's; pure overhead (logistic) has no bound.
LIMITS = {"PyTorch eager": 1.0, "torch.compile": 1.1, "torch RPC": 0.7}


def peer_step(name: str, work: Workload, peer: str) -> Step:
    return rpc_step(name, work) if peer == "torch RPC" else torch_step(work, peer == "torch.compile")


def compare(client: Client, name: str, peer: str, pairs: int) -> Row:
    torch.manual_seed(0)
    work = TRAINED[name]()
    ours, theirs = remote_step(client, work), peer_step(name, work, peer)
    first, expected = ours(), theirs()
    if abs(first - expected) > 1e-4 * max(1, abs(expected)):
        raise AssertionError(f"{name}: the losses are {first} and {expected}")
    bound = None if name == "logistic" else LIMITS[peer]
    return alternate(
        f"{name} against {peer}", ours, theirs, metric="seconds a step", pairs=pairs, limit=bound,
        floor=work.floor,
    )  # fmt: skip


# Steps after which a loop has all the memory that it needs, and steps that are watched from there on.
SETTLING, WATCHED = 20, 100


def allocations(client: Client, name: str) -> Row:
    """Blocks of tensor memory that a training loop has from the system, rather than by reuse, once it is under way."""
    torch.manual_seed(0)
    step = remote_step(client, TRAINED[name]())

    def allocated_after(steps: int) -> int:
        for _ in range(steps):
            step()
        return sum(device.system_allocations for device in client.server_info().devices)

    before = allocated_after(SETTLING)
    grown = allocated_after(WATCHED) - before
    a_step = grown / WATCHED
    return Row(f"{name}, tensor memory", "blocks from the system over steps", grown, WATCHED, a_step, (a_step,) * 2, 0.0)


def compiles(device: str = "cpu") -> bool:
    """Whether torch.compile works here: it needs a C++ compiler, or Triton."""
    # Compiling in processes of their own would go on while something is timed.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    try:
        torch.compile(lambda x: torch.relu(x) + 1)(torch.ones(8, device=device))
    except Exception as error:
        print(f"NOT MEASURED: torch.compile does not work here: {str(error).splitlines()[0]}")
        return False
    return True


def run(setting: Setting) -> Result:
    peers = [peer for peer in LIMITS if peer != "torch.compile" or compiles()]
    with setting.client() as client, torch_rpc():
        rows = [compare(client, name, peer, setting.pairs) for name in TRAINED for peer in peers]
        return Result([*rows, *(allocations(client, name) for name in TRAINED)])
