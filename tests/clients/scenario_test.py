"""The numbers of the scenario themselves: against what the scenario is about, and against NumPy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from commands import HERE
from scenario import array_of

Array = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="session")
def values(expected: str) -> dict[str, float]:
    """The printed numbers by their names."""
    pairs = (line.split() for line in expected.splitlines() if "[" in line.split()[0])
    return {name: float(value) for name, value in pairs}


def puts() -> dict[str, Array]:
    """All arrays that the scenario puts."""
    steps = json.loads((HERE / "scenario.json").read_text(encoding="utf-8"))["steps"]
    specs = [spec for step in steps for spec in step.get("put", [])]
    return {spec["name"]: array_of(spec, HERE).astype(np.float64) for spec in specs}


def digits_in_numpy(arrays: dict[str, Array], steps: int, lr: float) -> tuple[float, Array]:
    """The digits part in float64: the last step's loss, and the bias after it."""
    x, labels = arrays["images"] / arrays["images"].max(), arrays["labels"].astype(int)
    w1, b1, w2, b2 = (arrays[name] for name in ("w1", "b1", "w2", "b2"))
    rows, loss = np.arange(len(x)), 0.0
    for _ in range(steps):
        h = x @ w1 + b1
        a = np.maximum(h, 0)
        scores = a @ w2 + b2
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = float(-np.log(p[rows, labels]).mean())
        d = p.copy()
        d[rows, labels] -= 1
        d /= len(x)
        dh = (d @ w2.T) * (h > 0)
        gradients = [x.T @ dh, dh.sum(axis=0), a.T @ d, d.sum(axis=0)]
        scale = lr * min(1.0, 1.0 / np.sqrt(sum((g**2).sum() for g in gradients)))
        w1, b1, w2, b2 = (p - scale * g for p, g in zip((w1, b1, w2, b2), gradients, strict=True))
    return loss, b2


def test_the_line_is_found(values: dict[str, float]) -> None:
    assert values["loss[0]"] < 1e-4
    assert values["w[0]"] == pytest.approx(3, abs=0.02)
    assert values["b[0]"] == pytest.approx(0.5, abs=0.02)


def test_the_digits_are_learned_as_in_numpy(values: dict[str, float]) -> None:
    loss, bias = digits_in_numpy(puts(), steps=20, lr=0.5)
    assert values["digits_loss[0]"] == pytest.approx(loss, rel=1e-4)
    assert [values[f"b2[{i}]"] for i in range(10)] == pytest.approx(bias, rel=1e-3, abs=1e-5)


def test_64_mib_come_back_and_doubled(expected: str) -> None:
    big = puts()["big"].astype("<f4")
    for name, array in {"big": big, "twice": big + big}.items():
        assert f"sum {name} {array.view('<u4').sum(dtype=np.uint64)}\n" in expected


def test_three_requests_fail_and_leave_nothing_behind(expected: str) -> None:
    reasons = [line.split()[1] for line in expected.splitlines() if " | " in line]
    assert reasons == ["OP_UNSUPPORTED", "SHAPE_MISMATCH", "TENSOR_NOT_FOUND"]
    assert "\nnames left*:\n" in expected
    assert "\nnames w*: w w1 w2\n" in expected
