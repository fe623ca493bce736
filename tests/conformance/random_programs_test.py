"""Random programs of 5 to 40 operators: gradients of first and second order, in float64, against PyTorch's.

`python tests/conformance/random_programs_test.py [SEED...]` runs the programs of these seeds, or all, without pytest,
and prints those that differ.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
import torch_program
from gradient_outcomes import server_binary
from program_builder import OPSET, Builder
from program_generator import LEAST, MOST, generate

from gradwire import commands, dtypes
from gradwire.client import Client, connect
from gradwire.errors import GradwireError
from gradwire.session import Session
from gradwire.testing import Server

PROGRAMS = 1000
# Of the largest element of an array, and at least of 1: what sums in other orders may lose in 40 operators.
TOLERANCE = 1e-9

Arrays = dict[str, npt.NDArray[np.float64]]


@dataclass
class Derivatives:
    """Outputs y; g = d(sum w * y)/dp; h = d(sum v * g)/d(p, w). By name, h's of w as "w/" + the output."""

    outputs: Arrays
    first: Arrays
    second: Arrays


def _normal(generator: np.random.Generator, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    return {name: np.asarray(generator.standard_normal(shape)) for name, shape in shapes.items()}


def by_torch(program: Builder, ws: Arrays, vs: Arrays) -> Derivatives:
    """PyTorch's."""
    leaves = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in program.parameters.items()}
    seeds = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in ws.items()}
    outputs = torch_program.evaluate(program.model(), leaves)
    first = torch.autograd.grad(
        [outputs[name] for name in ws], list(leaves.values()), list(seeds.values()), create_graph=True,
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    live = [(g, torch.from_numpy(vs[name])) for name, g in zip(leaves, first, strict=True) if g.requires_grad]
    by = {**leaves, **{f"w/{name}": seed for name, seed in seeds.items()}}
    second = torch.autograd.grad(
        [g for g, _ in live], list(by.values()), [v for _, v in live], allow_unused=True, materialize_grads=True
    )
    return Derivatives(
        {name: outputs[name].detach().numpy() for name in ws},
        {name: g.numpy(force=True) for name, g in zip(leaves, first, strict=True)},
        {name: h.numpy(force=True) for name, h in zip(by, second, strict=True)},
    )


def by_gradwire(session: Session, program: Builder, ws: Arrays, vs: Arrays) -> Derivatives:
    """The server's, in one round trip; all of its gradients require grad, through w."""
    leaves, model = list(program.parameters), program.model()
    by = [*leaves, *(f"w/{name}" for name in ws)]
    answers = session.run([
        commands.put({**program.parameters, **{f"w/{name}": array for name, array in ws.items()}}, requires_grad=True),
        commands.put({**program.constants, **{f"v/{name}": array for name, array in vs.items()}}),
        commands.forward(list(model.graph.node), outputs=list(ws), opset={"": OPSET}),
        commands.gradients(
            list(ws), leaves, seeds={name: f"w/{name}" for name in ws}, names=[f"g/{name}" for name in leaves],
            create_graph=True, allow_unused=True,
        ),
        commands.gradients(
            [f"g/{name}" for name in leaves], by, seeds={f"g/{name}": f"v/{name}" for name in leaves},
            names=[f"h/{name}" for name in by], allow_unused=True,
        ),
        *(commands.fetch([f"{prefix}{name}" for name in names]) for prefix, names in (("", ws), ("g/", leaves), ("h/", by))),
    ])  # fmt: skip
    outputs, first, second = ([dtypes.from_proto(t) for t in answer.tensors] for answer in answers[-3:])
    return Derivatives(
        dict(zip(ws, outputs, strict=True)), dict(zip(leaves, first, strict=True)), dict(zip(by, second, strict=True))
    )


def gap(got: Arrays, wanted: Arrays) -> float:
    """The largest difference, relative to the largest element of all arrays; infinite for NaN or a wrong shape."""
    scale = max(1.0, *(float(np.abs(array).max(initial=0)) for array in wanted.values()))
    worst = 0.0
    for name, array in wanted.items():
        if got[name].shape != array.shape:
            return np.inf
        difference = float(np.abs(got[name] - array).max(initial=0)) / scale
        worst = max(worst, np.inf if np.isnan(difference) else difference)
    return worst


def compare(session: Session, seed: int) -> tuple[tuple[float, ...], str]:
    """The gaps of outputs, first and second order; what is wrong with a seed's program, "" when nothing is."""
    program = generate(seed)
    model = program.model()
    onnx.checker.check_model(model)
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in model.graph.output}
    generator = np.random.default_rng(seed)
    ws = _normal(generator, shapes)
    vs = _normal(generator, {name: array.shape for name, array in program.parameters.items()})
    wanted = by_torch(program, ws, vs)
    try:
        got = by_gradwire(session, program, ws, vs)
    except GradwireError as error:
        return (np.inf,) * 3, f"seed {seed}: {error}\n{onnx.printer.to_text(model)}"
    gaps = tuple(gap(getattr(got, k), getattr(wanted, k)) for k in ("outputs", "first", "second"))
    if max(gaps) <= TOLERANCE:
        return gaps, ""
    shown = ", ".join(f"{one:.3g}" for one in gaps)
    return gaps, f"seed {seed}: outputs, first and second order are off by {shown}\n{onnx.printer.to_text(model)}"


@pytest.mark.parametrize("start", range(0, PROGRAMS, 50))
def test_programs_agree(client: Client, start: int) -> None:
    problems = []
    for seed in range(start, start + 50):
        with client.session() as session:
            problems.append(compare(session, seed)[1])
    assert not any(problems), "\n".join(filter(None, problems))


def test_programs_are_as_announced() -> None:
    programs = [generate(seed) for seed in range(PROGRAMS)]
    counts = [len(program.nodes) for program in programs]
    assert min(counts) >= LEAST and max(counts) <= MOST
    used = Counter(node.op_type for program in programs for node in program.nodes)
    assert len(used) > 80 and min(used.values()) > 10


def test_a_small_difference_is_found(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(i: Sequence[Any], _: Any) -> torch.Tensor:
        return torch.tanh(i[0]) * (1 + 1e-7)

    monkeypatch.setitem(torch_program.FUNCTIONS, "Tanh", wrong)
    seed = next(seed for seed in range(PROGRAMS) if any(n.op_type == "Tanh" for n in generate(seed).nodes))
    with client.session() as session:
        gaps, problem = compare(session, seed)
    assert min(gaps) > TOLERANCE
    assert f"seed {seed}" in problem and "Tanh" in problem


def main() -> int:
    seeds = [int(one) for one in sys.argv[1:]] or list(range(PROGRAMS))
    worst, failed = np.zeros(3), 0
    with Server(server_binary()) as server, connect(server.target) as client:
        for seed in seeds:  # Each in a session of its own, so that nothing is left of the one before.
            with client.session() as session:
                gaps, problem = compare(session, seed)
            failed += bool(problem)
            if problem:
                print(problem)
            else:
                worst = np.maximum(worst, gaps)
    print(f"random programs: {len(seeds) - failed} of {len(seeds)} agree; largest gaps of these: {worst}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
