"""The gradients of tests/e2e/kinks.py are PyTorch's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from kinks import KINKS, Kink  # noqa: E402


@pytest.mark.parametrize("kink", KINKS, ids=lambda kink: kink.label)
def test_pytorch_chooses_the_same(kink: Kink) -> None:
    pairs = zip(kink.inputs, kink.expected, strict=True)
    xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x, slope in pairs if slope is not None]
    y = kink.torch(torch, *xs)
    seed = torch.ones_like(y) if kink.seed is None else torch.tensor(kink.seed, dtype=torch.float64)
    found = torch.autograd.grad(y, xs, seed)
    for actual, expected in zip(found, [slope for slope in kink.expected if slope is not None], strict=True):
        # ONNX's constants of Selu are PyTorch's rounded to float32.
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-7, atol=1e-15)
