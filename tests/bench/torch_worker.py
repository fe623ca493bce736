"""PyTorch behind torch.distributed.rpc: the process that trains, and the calls that it takes.

Started as `torch_worker.py PORT THREADS`; serves until rank 0 shuts down."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch.distributed import rpc

from workloads import TRAINED

STEPS: dict[str, Any] = {}


def join(name: str, rank: int, port: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, GLOO_SOCKET_IFNAME="lo", TP_SOCKET_IFNAME="lo")
    rpc.init_rpc(name, rank=rank, world_size=2)


def start(name: str) -> None:
    """Makes the workload that `step` then trains."""
    torch.manual_seed(0)
    work = TRAINED[name]()
    optimizer = work.torch_optimizer(work.module.parameters())

    def step(x: Any, y: Any) -> float:
        optimizer.zero_grad()
        loss = work.loss(work.module, x, y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    STEPS[name] = step


def step(name: str, x: Any, y: Any) -> float:
    """One training step on a batch; its loss."""
    return float(STEPS[name](x, y))


if __name__ == "__main__":
    # Functions travel by name: those of this file must be found in the module, not in __main__.
    import torch_worker

    torch.set_num_threads(int(sys.argv[2]))
    torch_worker.join("worker", 1, sys.argv[1])
    rpc.shutdown()
