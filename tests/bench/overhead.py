"""What one operator costs when its arrays are tiny: programs of 1,000 calls on four floats, against PyTorch eager."""

from __future__ import annotations

import numpy as np
import torch

from gradwire import commands
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from measure import alternate, floor_of, scaled
from report import Result
from setting import Setting

OPERATORS = 1000
# Operations and bytes of one: it reads two arrays and writes one. Backward is twice that.
FLOOR = (4, 48)
CYCLE = ("Mul", "Add", "Tanh", "Sub")


def chain() -> tuple[onnx_pb2.GraphProto, str]:
    """x -> tanh(x * w + w) - w, again and again; the graph and its output."""
    graph = onnx_pb2.GraphProto(name="chain")
    last = "x"
    for i in range(OPERATORS):
        op_type = CYCLE[i % len(CYCLE)]
        graph.node.append(commands.node(op_type, [last] if op_type == "Tanh" else [last, "w"], [f"v{i}"]))
        last = f"v{i}"
    for name in ("x", "w"):
        graph.input.add(name=name)
    graph.output.add(name=last)
    return graph, last


def run(setting: Setting) -> Result:
    graph, out = chain()
    with setting.client() as client, client.session() as session:
        session.put({"x": np.ones(4, np.float32)})
        session.put({"w": np.full(4, 0.5, np.float32)}, requires_grad=True)
        session.load_program("chain", graph=graph)
        x, w = torch.ones(4), torch.full((4,), 0.5, requires_grad=True)

        def forward() -> None:
            session.run([pb.ForwardRequest(program="chain", outputs=[out], no_grad=True)])

        def both() -> None:
            # The gradient is bound, so that it is computed: what nobody can see is not.
            gradients = pb.GradientsRequest(
                outputs=[out], seeds=[pb.Seed(root=out, tensor="x")], inputs=["w"], names=["gradient"]
            )
            session.run([pb.ForwardRequest(program="chain", outputs=[out]), gradients])

        def torch_chain() -> torch.Tensor:
            y = x
            for _ in range(OPERATORS // len(CYCLE)):
                y = torch.sub(torch.tanh(torch.add(torch.mul(y, w), w)), w)
            return y

        def torch_forward() -> None:
            with torch.no_grad():
                torch_chain()

        def torch_both() -> None:
            torch.autograd.grad(torch_chain(), w, x)

        forward_row = alternate(
            "forward", forward, torch_forward, metric="seconds an operator", limit=0.5, floor=floor_of(*FLOOR)
        )
        both_row = alternate(
            "forward and backward", both, torch_both, metric="seconds an operator", limit=0.5,
            floor=floor_of(*(3 * part for part in FLOOR)),
        )  # fmt: skip
    return Result([scaled(row, 1 / OPERATORS) for row in (forward_row, both_row)])
