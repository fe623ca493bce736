"""Layers, losses, reductions and rearrangements of the Python client, against NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import scipy.special

import gradwire
from gradwire import Session
from gradwire import functional as F

Array = np.ndarray[Any, Any]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def near(tensor: gradwire.Tensor, expected: Any, rtol: float = 1e-9) -> None:
    actual = tensor.numpy(force=True)
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12)


def test_linear(session: Session, random: np.random.Generator) -> None:
    w, b = random.normal(size=(5, 3)), random.normal(size=5)
    for shape in ((4, 3), (2, 4, 3), (3,)):
        x = random.normal(size=shape)
        near(F.linear(x, session.tensor(w), session.tensor(b)), x @ w.T + b)


def test_conv2d_and_pools(session: Session, random: np.random.Generator) -> None:
    x, w, b = random.normal(size=(2, 3, 8, 9)), random.normal(size=(4, 3, 3, 3)), random.normal(size=4)
    expected = np.stack(
        [
            np.stack([sum(scipy.signal.correlate2d(x[n, i], w[o, i], "valid") for i in range(3)) + b[o] for o in range(4)])
            for n in range(2)
        ]
    )
    tensor = session.tensor(x)
    near(F.conv2d(tensor, session.tensor(w), session.tensor(b)), expected)
    near(F.conv2d(tensor, session.tensor(w), session.tensor(b), stride=2), expected[:, :, ::2, ::2])
    windows = x[:, :, :8, :8].reshape(2, 3, 4, 2, 4, 2)
    square = tensor[:, :, :, :8]
    near(F.max_pool2d(square, 2), windows.max((3, 5)))
    near(F.avg_pool2d(square, 2), windows.mean((3, 5)))
    near(F.global_avg_pool2d(tensor), x.mean((2, 3), keepdims=True))


def test_layer_norm(session: Session, random: np.random.Generator) -> None:
    x, w, b = random.normal(size=(2, 3, 5)), random.normal(size=5), random.normal(size=5)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    near(F.layer_norm(session.tensor(x), [5]), expected, rtol=1e-6)
    near(F.layer_norm(session.tensor(x), [5], session.tensor(w), session.tensor(b)), expected * w + b, rtol=1e-6)


def test_batch_norm(session: Session, random: np.random.Generator) -> None:
    x, w, b = random.normal(size=(6, 3, 4)), random.normal(size=3), random.normal(size=3)
    mean, variance = session.tensor(np.zeros(3)), session.tensor(np.ones(3))
    weight, bias = session.tensor(w), session.tensor(b)
    y = F.batch_norm(session.tensor(x), mean, variance, weight, bias, training=True)
    own = x.transpose(1, 0, 2).reshape(3, -1)
    scaled = (x - own.mean(1)[:, None]) / np.sqrt(own.var(1) + 1e-5)[:, None]
    near(y, scaled * w[:, None] + b[:, None], rtol=1e-6)
    near(mean, 0.1 * own.mean(1), rtol=1e-6)
    near(variance, 0.9 + 0.1 * own.var(1), rtol=1e-6)
    frozen = F.batch_norm(session.tensor(x), mean, variance, weight, bias)
    m, v = 0.1 * own.mean(1)[:, None], (0.9 + 0.1 * own.var(1))[:, None]
    near(frozen, (x - m) / np.sqrt(v + 1e-5) * w[:, None] + b[:, None], rtol=1e-6)


def test_dropout(session: Session) -> None:
    x = session.tensor(np.ones(10_000), np.float32, requires_grad=True)
    assert F.dropout(x, 0.3, training=False) is x
    y = F.dropout(x, 0.25)
    y.sum().backward()
    kept = y.numpy(force=True)
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.7 < (kept > 0).mean() < 0.8
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), kept)


def test_losses(session: Session, random: np.random.Generator) -> None:
    x, classes, weight = random.normal(size=(7, 4)), random.integers(0, 4, 7), random.uniform(1, 2, 4)
    logs = scipy.special.log_softmax(x, 1)
    each = -logs[np.arange(7), classes]
    tensor = session.tensor(x)
    near(F.cross_entropy(tensor, classes), each.mean())
    near(F.cross_entropy(tensor, classes, reduction="none"), each)
    near(F.cross_entropy(tensor, classes, weight), (each * weight[classes]).sum() / weight[classes].sum())
    near(F.nll_loss(tensor.log_softmax(1), classes, reduction="sum"), each.sum())
    target = random.uniform(size=(7, 4))
    near(F.mse_loss(tensor, target), ((x - target) ** 2).mean())
    near(F.l1_loss(tensor, target, "sum"), np.abs(x - target).sum())
    p = scipy.special.expit(x)
    near(F.binary_cross_entropy_with_logits(tensor, target), -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean())


ACTIVATIONS: list[tuple[Any, Any]] = [
    (F.relu, lambda x: np.maximum(x, 0)),
    (F.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x)),
    (F.elu, lambda x: np.where(x > 0, x, np.expm1(x))),
    (F.gelu, lambda x: x * scipy.special.ndtr(x)),
    (F.silu, lambda x: x * scipy.special.expit(x)),
    (F.softplus, lambda x: np.log1p(np.exp(x))),
    (F.mish, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (lambda x: x.erf(), scipy.special.erf),
    (lambda x: x.clamp(-0.5, 1), lambda x: x.clip(-0.5, 1)),
    (lambda x: F.softmax(x, -1), lambda x: scipy.special.softmax(x, -1)),
]


@pytest.mark.parametrize(("function", "expected"), ACTIVATIONS)
def test_activations(session: Session, random: np.random.Generator, function: Any, expected: Any) -> None:
    x = random.normal(size=(3, 4))
    near(function(session.tensor(x)), expected(x), rtol=1e-6)


REARRANGEMENTS: list[tuple[Any, Any]] = [
    (lambda x: x.var(1), lambda x: x.var(1, ddof=1)),
    (lambda x: x.std(correction=0), lambda x: x.std()),
    (lambda x: x.norm((0, 2)), lambda x: np.sqrt((x**2).sum((0, 2)))),
    (lambda x: x.logsumexp(2), lambda x: scipy.special.logsumexp(x, 2)),
    (lambda x: x.cumsum(1), lambda x: x.cumsum(1)),
    (lambda x: x.prod(0), lambda x: x.prod(0)),
    (lambda x: x.max(2).indices, lambda x: x.argmax(2)),
    (lambda x: x.argmin(), lambda x: x.argmin()),
    (lambda x: x.tril(), np.tril),
    (lambda x: x.triu(1), lambda x: np.triu(x, 1)),
    (lambda x: x.repeat(2, 1, 3), lambda x: np.tile(x, (2, 1, 3))),
    (lambda x: x.chunk(2, 2)[1], lambda x: x[:, :, 2:]),
    (lambda x: x.topk(2)[0], lambda x: -np.sort(-x, -1)[..., :2]),
    (lambda x: F.cat([x, x * 2], 1), lambda x: np.concatenate([x, x * 2], 1)),
    (lambda x: F.stack([x, x], 0), lambda x: np.stack([x, x], 0)),
    (lambda x: F.pad(x, (1, 2)), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2)))),
    (lambda x: F.where(x > 0, x, 0.0), lambda x: np.where(x > 0, x, 0.0)),
    (lambda x: F.maximum(x, 0.1), lambda x: np.maximum(x, 0.1)),
    (lambda x: x.flatten(0, 1), lambda x: x.reshape(6, 4)),
    (lambda x: x.mT, lambda x: x.swapaxes(1, 2)),
    (lambda x: x.index_select(2, np.array([3, 0])), lambda x: x[:, :, [3, 0]]),
    (lambda x: (x > 0).all(), lambda x: (x > 0).all()),
    (lambda x: (x > 0).sum(), lambda x: (x > 0).sum()),
]


@pytest.mark.parametrize(("function", "expected"), REARRANGEMENTS)
def test_reductions_and_rearrangements(
    session: Session, random: np.random.Generator, function: Any, expected: Any
) -> None:
    x = random.normal(size=(2, 3, 4))
    near(function(session.tensor(x)), expected(x), rtol=1e-6)


def test_embedding_and_one_hot(session: Session, random: np.random.Generator) -> None:
    table, indices = random.normal(size=(5, 3)), np.array([[0, 4], [4, 2]])
    weight = session.tensor(table, requires_grad=True)
    y = F.embedding(indices, weight)
    near(y, table[indices])
    y.sum().backward()
    assert weight.grad is not None
    near(weight.grad, np.array([1, 0, 1, 0, 2])[:, None] * np.ones((5, 3)))
    near(F.one_hot(session.tensor(indices), 5), np.eye(5, dtype=np.int64)[indices])


def test_any_operator_by_name(session: Session) -> None:
    x = session.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert session.op("ReduceL1", [x, session.constant([1])], {"keepdims": 0}).tolist() == [3.0, 7.0]
    values, indices = session.op("TopK", [x, session.constant([1])], {"axis": 1}, outputs=2)
    assert (values.tolist(), indices.tolist()) == ([[2.0], [4.0]], [[1], [1]])
    unknown = session.op("DepthToSpace", [session.tensor(np.zeros((1, 4, 1, 1)), np.float32)], {"blocksize": 2})
    assert unknown.shape == (1, 1, 2, 2), "asked of the server"
