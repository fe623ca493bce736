"""Operators, promotion and indexing of the Python client, against NumPy on the same arrays."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradwire
from gradwire import Session, commands


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: abs(a) ** b,
        lambda a, b: 2 - a,
        lambda a, b: 1 / b,
        lambda a, b: a % b,
        lambda a, b: a // b,
        lambda a, b: -a,
        lambda a, b: a < b,
        lambda a, b: a >= 0,
        lambda a, b: (a > 0) & (b != 1.5),
        lambda a, b: (a > 0) | ~(b > 1),
        lambda a, b: a == 1.0,
        lambda a, b: a.sum(),
        lambda a, b: a[0] @ b,
    ],
)
def test_operators_agree_with_numpy(session: Session, function: Any) -> None:
    a = np.array([[1.0, -2.0, 3.5], [0.5, 4.0, -1.0]], np.float32)
    b = np.array([1.5, 2.0, 0.5], np.float32)
    result = function(session.tensor(a), session.tensor(b)).numpy()
    expected = np.asarray(function(a, b))
    assert result.dtype == expected.dtype and result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_dtypes_are_promoted_as_in_pytorch(session: Session) -> None:
    f32, f64 = session.tensor([1.0]), session.tensor([1.0], np.float64)
    i32, i64, flag = session.tensor([1], np.int32), session.tensor([1]), session.tensor([True])
    half, brain = session.tensor([1.0], np.float16), session.tensor([1.0], ml_dtypes.bfloat16)
    cases = [
        (f32 + f64, np.float64),
        (f32 + i64, np.float32),
        (i32 + i64, np.int64),
        (flag + i32, np.int32),
        (i64 + 1.5, np.float32),
        (f32 * 2, np.float32),
        (flag * 2, np.int64),
        (half + brain, np.float32),
        (i64 / i64, np.float32),
        (f32 + session.tensor(1.0, np.float64), np.float32),
        (f32 + np.ones(1), np.float64),
    ]
    for result, dtype in cases:
        assert result.dtype == dtype
    assert session.fetch_tensors([result for result, _ in cases])[0].tolist() == [2.0]


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        (1, 2),
        slice(1, None),
        (slice(None), slice(None, None, -1)),
        (Ellipsis, 0),
        (None, 1),
        (slice(None), None, 2),
        (0, Ellipsis, None),
        [1, 0, 1],
        (slice(None), [2, 0]),
        ([0, 1], [2, 3]),
        np.array([[True, False, True, False], [False, True, False, False], [True, True, True, True]]),
    ],
    ids=str,
)
def test_indexing_agrees_with_numpy(session: Session, index: Any) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    result = session.tensor(array)[index]
    assert result.shape == array[index].shape, "as inferred"
    np.testing.assert_array_equal(result.numpy(), array[index])
    changed, expected = session.tensor(array), array.copy()
    changed[index] = -1.0
    expected[index] = -1.0
    np.testing.assert_array_equal(changed.numpy(), expected)


def test_shapes_agree_with_the_server(session: Session) -> None:
    """What the client infers is what the server says."""
    x = session.tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    results = [
        x.sum(1), x.mean((0, 2), keepdim=True), x.amax(), x.argmax(-1), x.reshape(4, -1), x.flatten(1),
        x.unsqueeze(-1), x.unsqueeze(0).squeeze(0), x.permute(2, 0, 1), x @ session.tensor(np.ones((4, 5), np.float32)),
        gradwire.functional.cat([x, x], 2), x[:, 1:], x.softmax(-1), x.split(2, 2)[1], x.max(2).values,
    ]  # fmt: skip
    inferred = [(r.binding.spec.dtype, r.binding.spec.shape) for r in results]
    session.flush()
    assert [(r.dtype, r.shape) for r in results] == [
        (dtype if dtype is not None else r.dtype, shape if shape is not None else r.shape)
        for (dtype, shape), r in zip(inferred, results, strict=True)
    ]
    assert sum(shape is None for _, shape in inferred) <= 1, "only Split's is not inferred"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_matrices_of_any_width_are_transposed(session: Session, dtype: type) -> None:
    random = np.random.default_rng(0)
    for columns in (1, 2, 3, 5, 15, 16, 17, 100):
        for rows in (1, 15, 16, 17, 64, 255, 256, 257, 1100):
            x = random.integers(0, 100, (2, columns, rows)).astype(dtype)
            for array in (x, x.transpose(0, 2, 1)):
                node = commands.node("Transpose", ["x"], ["y"], {"perm": [0, 2, 1]})
                _, (y,) = session.forward([node], feeds={"x": array}, fetch=["y"])
                np.testing.assert_array_equal(y, array.transpose(0, 2, 1))
