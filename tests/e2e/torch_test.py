"""A user of PyTorch who changes one import."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest

import gradwire.torch as torch
from gradwire import Session


@pytest.fixture(autouse=True)
def here(session: Session) -> None:
    torch.use(session)


def test_creation() -> None:
    assert torch.zeros(2, 3).tolist() == [[0.0] * 3] * 2
    assert torch.ones((2,), dtype=torch.int64).tolist() == [1, 1]
    assert torch.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert torch.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert torch.eye(2).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert torch.full((2,), 7.0).tolist() == [7.0, 7.0]
    assert torch.from_numpy(np.array([1, 2])).dtype == torch.int64
    assert torch.rand(4, 5).shape == torch.randn((4, 5)).shape == (4, 5)
    assert torch.zeros_like(torch.tensor([1, 2])).dtype == torch.int64
    draws = torch.rand(1000).numpy()
    assert 0 <= draws.min() and draws.max() < 1 and 0.4 < draws.mean() < 0.6


def test_functions_are_the_methods() -> None:
    x = torch.tensor([0.0, 1.0])
    np.testing.assert_allclose(torch.exp(x).numpy(), np.exp([0.0, 1.0]), rtol=1e-6)
    assert torch.sum(x).item() == 1.0
    assert torch.nn.functional.relu(-x).tolist() == [0.0, 0.0]
    with pytest.raises(AttributeError):
        _ = torch.no_such_function


def test_a_line_is_fitted_and_plotted(tmp_path: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x = torch.linspace(-1, 1, 40)
    y = 2 * x + 0.5
    w = torch.tensor(0.0, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    lr = 0.3
    for _ in range(100):
        loss = ((w * x + b - y) ** 2).mean()
        loss.backward()
        w.data = w.data - lr * w.grad.data
        b.data = b.data - lr * b.grad.data
        w.grad.data.zero_()
        b.grad.data.zero_()
    fit = w * x + b
    plt.plot(x, y)
    with pytest.raises(RuntimeError, match="requires grad"):
        plt.plot(x, fit)
    plt.plot(x, fit.detach())
    plt.savefig(tmp_path / "fit.png")
    np.testing.assert_allclose([w.item(), b.item()], [2.0, 0.5], atol=1e-3)


def test_autograd_grad() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    (g,) = torch.autograd.grad(x**3, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    assert (g.item(), h.item()) == (27.0, 18.0)
