"""Gradients at kinks, jumps and poles: see kinks.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kinks import KINKS, Kink

from gradwire import Session, commands

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "gradients.md"


def gradients(session: Session, kink: Kink) -> list[object]:
    """What the server says, in the order of the differentiated inputs."""
    names = [f"x{i}" for i in range(len(kink.inputs))]
    moved = [name for name, slope in zip(names, kink.expected, strict=True) if slope is not None]
    for name, given in zip(names, kink.inputs, strict=True):
        session.put({name: np.asarray(given)}, requires_grad=name in moved)
    session.forward([commands.node(kink.op, names, ["y"], kink.attributes)])
    (y,) = session.fetch(["y"])
    seed = np.ones_like(y) if kink.seed is None else np.asarray(kink.seed)
    session.gradients(["y"], moved, seeds={"y": seed})
    return [array for array in session.fetch([f"grad/{name}" for name in moved])]


@pytest.mark.parametrize("kink", KINKS, ids=lambda kink: kink.label)
def test_the_choice(session: Session, kink: Kink) -> None:
    wanted = [slope for slope in kink.expected if slope is not None]
    for actual, expected in zip(gradients(session, kink), wanted, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)


def test_the_guide_tells_of_every_operator() -> None:
    guide = GUIDE.read_text()
    assert {kink.op for kink in KINKS if f"`{kink.op}`" not in guide} == set()
