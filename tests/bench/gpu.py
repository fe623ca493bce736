"""On one GPU: large products against cuBLAS (through PyTorch), a chain of elementwise operators against a copy, and a
training step against PyTorch on the same GPU, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from gradwire import Client, commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from measure import Row, alternate
from report import Result
from setting import Setting
from train import Step, compiles, remote_step
from workloads import TRAINED, Workload, resnet50

DEVICE = "cuda:0"
SIZE = 8192  # of square matrices
CHAIN = 20  # products in a row
BUDGET_S = 5  # a row, so that all of them and what torch.compile takes end within ten minutes
ELEMENTS = 1 << 28
# By name: the type that is multiplied, and whether float32 may be TF32.
PRODUCTS = {"float32": (torch.float32, False), "TF32": (torch.float32, True), "bfloat16": (torch.bfloat16, False)}
BFLOAT16 = 16  # TensorProto.DataType
# Ten operators, each of one array; no result grows.
OPERATORS = ("Tanh", "Abs", "Sqrt", "Neg", "Exp", "Sigmoid", "Sin", "Softplus", "Relu", "Atan")
LIMITS = {"PyTorch eager": 1.0, "torch.compile": 1.2}


def one_element(nodes: list[Any], name: str, rank: int) -> None:
    """Adds "probe", the first element of an array: to fetch it is to wait for the array."""
    for value in ("from", "to"):
        nodes.append(commands.node("Constant", [], [value], {"value_ints": [int(value == "to")] * rank}))
    nodes.append(commands.node("Slice", [name, "from", "to"], ["probe"], {}))


def waited(forward: pb.ForwardRequest, run: Callable[[list[Any]], list[Any]]) -> Callable[[], float]:
    """A call of the server that ends when the GPU is done."""
    return lambda: float(dtypes.from_proto(run([forward])[0].fetched[0]).astype(np.float32).reshape(-1)[0])


def product_row(client: Client, name: str, pairs: int) -> Row:
    """y = a (a (a ... b)), each CHAIN times."""
    dtype, tf32 = PRODUCTS[name]
    torch.backends.cuda.matmul.allow_tf32 = tf32
    random = np.random.default_rng(0)
    arrays = {key: random.standard_normal((SIZE, SIZE), np.float32) / SIZE**0.5 for key in "ab"}
    a, b = (torch.from_numpy(array).to(DEVICE, dtype) for array in arrays.values())

    def theirs() -> float:
        y = b
        for _ in range(CHAIN):
            y = a @ y
        return float(y[0, 0])

    with client.session(device=DEVICE, allow_tf32=tf32) as session:
        session.put(arrays)
        nodes = []
        if dtype == torch.bfloat16:
            nodes = [commands.node("Cast", [key], [key], {"to": BFLOAT16}) for key in "ab"]
            session.run([pb.ForwardRequest(nodes=nodes, outputs=["a", "b"])])
            nodes = []
        for i in range(CHAIN):
            nodes.append(commands.node("MatMul", ["a", f"y{i - 1}" if i else "b"], [f"y{i}"], {}))
        one_element(nodes, f"y{CHAIN - 1}", 2)
        ours = waited(pb.ForwardRequest(nodes=nodes, fetch=["probe"]), session.run)
        return alternate(
            f"{CHAIN} products of {SIZE}x{SIZE}, {name}, against cuBLAS", ours, theirs, pairs=pairs, limit=1 / 0.95,
            budget_s=BUDGET_S, floor=f"{2e-12 * CHAIN * SIZE**3:.3g} TFLOP",
        )  # fmt: skip


def chain_row(client: Client, pairs: int) -> Row:
    """Ten operators on one array against one copy of it, which reads and writes each byte once."""
    x = torch.rand(ELEMENTS, device=DEVICE)
    y = torch.empty_like(x)

    def theirs() -> float:
        y.copy_(x)
        torch.cuda.synchronize()
        return 0.0

    with client.session(device=DEVICE, seed=0) as session:
        draw = commands.node("RandomUniform", [], ["x"], {"shape": [ELEMENTS]})
        session.run([pb.ForwardRequest(nodes=[draw], outputs=["x"])])
        names = ["x", *(f"y{i}" for i in range(len(OPERATORS)))]
        nodes = [commands.node(op, [names[i]], [names[i + 1]], {}) for i, op in enumerate(OPERATORS)]
        one_element(nodes, names[-1], 1)
        ours = waited(pb.ForwardRequest(nodes=nodes, fetch=["probe"]), session.run)
        return alternate(
            f"{len(OPERATORS)} elementwise operators, against a copy", ours, theirs, pairs=pairs, limit=1 / 0.8,
            budget_s=BUDGET_S, floor=f"{8e-9 * ELEMENTS:.3g} GB",
        )  # fmt: skip


def torch_step(work: Workload, compiled: bool) -> Step:
    """As train.py's, on the GPU; the batch comes from the host each time, as ours does."""
    module = work.module.to(DEVICE)
    optimizer = work.torch_optimizer(module.parameters())

    def loss_of(x: Any, y: Any) -> Any:
        return work.loss(module, x, y)

    forward = torch.compile(loss_of) if compiled else loss_of

    def run() -> float:
        x, y = (torch.from_numpy(array).to(DEVICE) for array in work.batch)
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run


# The large ResNet in place of the small one, which leaves a GPU idle.
TRAINED_ON_GPU = {name: make for name, make in TRAINED.items() if name != "resnet"} | {"resnet50": resnet50}


def step_row(client: Client, name: str, peer: str, pairs: int) -> Row:
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    work = TRAINED_ON_GPU[name]()
    ours, theirs = remote_step(client, work, DEVICE), torch_step(work, peer == "torch.compile")
    first, expected = ours(), theirs()
    if abs(first - expected) > 1e-3 * max(1, abs(expected)):
        raise AssertionError(f"{name}: the losses are {first} and {expected}")
    bound = None if name == "logistic" else LIMITS[peer]
    return alternate(
        f"{name} against {peer}", ours, theirs, metric="seconds a step", pairs=pairs, limit=bound,
        budget_s=BUDGET_S, floor=work.floor,
    )  # fmt: skip


def rows(client: Client, pairs: int) -> Iterator[Row]:
    peers = [peer for peer in LIMITS if peer != "torch.compile" or compiles(DEVICE)]
    yield from (product_row(client, name, pairs) for name in PRODUCTS)
    yield chain_row(client, pairs)
    yield from (step_row(client, name, peer, pairs) for peer in peers for name in TRAINED_ON_GPU)


def run(setting: Setting) -> Result:
    done = []
    with setting.client() as client:
        for row in rows(client, setting.pairs):
            # At once: the machine may be taken back.
            print(f"{row.case}: {row.ratio:.3f} ({row.spread[0]:.3f} to {row.spread[1]:.3f})", flush=True)
            done.append(row)
    machine = f"{torch.cuda.get_device_name(0)}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    return Result(done, machine=machine)
