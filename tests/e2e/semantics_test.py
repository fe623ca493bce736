"""What a tensor must do: PyTorch's behaviour, row by row, through the Python client."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradwire
from gradwire import Session, errors


def near(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, np.float64), np.asarray(expected, np.float64), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- 1: graph layer


def test_square_of_an_inner_product(session: Session) -> None:
    x = session.tensor([0.5, -1.0, 2.0], requires_grad=True)
    w = session.tensor([1.5, 0.25, -0.5], requires_grad=True)
    y = x @ w
    z = y**2
    z.backward()
    assert w.grad is not None and x.grad is not None
    near(w.grad.numpy(), 2 * y.item() * x.detach().numpy())
    near(x.grad.numpy(), 2 * y.item() * w.detach().numpy())


def test_repr_shows_grad_fn(session: Session) -> None:
    x = session.tensor(1.1858, requires_grad=True)
    z = x**2
    assert repr(z) == "tensor(1.4061, grad_fn=<PowBackward0>)"
    assert x.grad_fn is None and x.is_leaf and not z.is_leaf
    assert repr(x) == "tensor(1.1858, requires_grad=True)"
    assert repr(session.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(session.tensor([0.5, 2.0], np.float64)) == "tensor([0.5000, 2.0000], dtype=float64)"
    assert repr(session.tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"


# ---------------------------------------------------------------- 2 to 5: numpy(), detach, fetch, no_grad


def test_numpy_refuses_a_live_graph(session: Session) -> None:
    x = session.tensor([1.0], requires_grad=True)
    text = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
    for live in (x, x * 2):
        with pytest.raises(RuntimeError, match=re.escape(text)):
            live.numpy()
        with pytest.raises(RuntimeError, match=re.escape(text)):
            np.sin(live)  # type: ignore[call-overload]
    with gradwire.no_grad():
        near(x.numpy(), [1.0])
    near((x * 2).numpy(force=True), [2.0])


def test_detach_carries_no_graph(session: Session) -> None:
    x = session.tensor([3.0], requires_grad=True)
    y = x * 2
    d = y.detach()
    assert not d.requires_grad and d.grad_fn is None
    (d * x).sum().backward()
    assert x.grad is not None
    near(x.grad.numpy(), [6.0])


def test_detach_shares_storage(session: Session) -> None:
    x = session.tensor(np.zeros(1 << 18, np.float32))
    session.flush()
    before = session.describe().used_bytes
    d = x.detach()
    session.flush()
    assert session.describe().used_bytes == before
    near(d.numpy().sum(), 0)


def test_fetch_returns_plain_arrays(session: Session) -> None:
    x = session.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 3).exp().t()
    (array,) = session.fetch([y])
    assert type(array) is np.ndarray
    near(array, np.exp([3.0, 6.0]))


def test_no_grad_records_nothing(session: Session) -> None:
    x = session.tensor([1.0, 2.0], requires_grad=True)
    with gradwire.no_grad():
        y = np.ones(2, np.float32) + x * np.array([2.0, 3.0], np.float32)
        assert not y.requires_grad and y.grad_fn is None
    assert (x * 2).requires_grad
    near(y.numpy(), [3.0, 7.0])


# ---------------------------------------------------------------- 7 to 9: copies, dtypes, layouts


def test_a_fetched_array_is_the_clients_own(session: Session) -> None:
    x = session.tensor([1.0, 2.0])
    array = x.numpy()
    array[:] = 9
    near(x.numpy(), [1.0, 2.0])


def test_clone_is_in_the_graph(session: Session) -> None:
    x = session.tensor([1.0], requires_grad=True)
    c = x.clone()
    assert c.requires_grad and not c.is_leaf
    (c * 5).sum().backward()
    assert x.grad is not None
    near(x.grad.numpy(), [5.0])


ALL_DTYPES = [
    *(np.dtype(name) for name in "float64 float32 float16 int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()),
    *(np.dtype(name) for name in ("bool", "complex64", "complex128")),
    *(np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2")),
    *(np.dtype(getattr(ml_dtypes, name)) for name in ("float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn")),
    *(np.dtype(getattr(ml_dtypes, name)) for name in ("int4", "uint4", "int2", "uint2")),
]


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_every_dtype_crosses_the_wire(session: Session, dtype: np.dtype[Any]) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]).astype(dtype)
    back = session.tensor(array).numpy()
    assert back.dtype == dtype and back.shape == (3, 3)
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool", "float16"])
def test_to_agrees_with_astype(session: Session, dtype: str) -> None:
    array = np.array([-1.75, 0.0, 2.5, 100.25], np.float32).clip(0 if dtype == "uint8" else None)
    np.testing.assert_array_equal(session.tensor(array).to(dtype).numpy(), array.astype(dtype))


def test_byte_order_and_strides_are_handled(session: Session) -> None:
    base = np.arange(24, dtype=">f4").reshape(4, 6)
    for array in (base, base.T, base[::2, ::-1], base[1]):
        np.testing.assert_array_equal(session.tensor(array).numpy(), array)


def test_views_fetch_their_logical_values(session: Session) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    x = session.tensor(array)
    np.testing.assert_array_equal(x.permute(2, 0, 1).numpy(), array.transpose(2, 0, 1))
    np.testing.assert_array_equal(x.transpose(0, 2).numpy(), array.swapaxes(0, 2))
    np.testing.assert_array_equal(x[:, 1:, ::2].numpy(), array[:, 1:, ::2])
    np.testing.assert_array_equal(x[0].t().contiguous().numpy(), array[0].T)
    wide = x[:, :1].expand(2, 3, 4)
    np.testing.assert_array_equal(wide.numpy(), np.broadcast_to(array[:, :1], (2, 3, 4)))


# ---------------------------------------------------------------- 11: scalars


def test_item_and_tolist(session: Session) -> None:
    assert session.tensor([[2.5]]).item() == 2.5
    assert session.tensor(3).item() == 3
    assert session.tensor(True).item() is True
    assert session.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert session.tensor(1.5).tolist() == 1.5
    with pytest.raises(RuntimeError, match="a Tensor with 3 elements cannot be converted to Scalar"):
        session.tensor([1, 2, 3]).item()


def test_empty_tensors(session: Session) -> None:
    x = session.tensor(np.zeros((0, 3), np.float32), requires_grad=True)
    y = (x * 2 + 1).sum()
    assert y.item() == 0
    y.backward()
    assert x.grad is not None and x.grad.numpy().shape == (0, 3)
    assert x.numel() == 0 and session.tensor([]).tolist() == []


# ---------------------------------------------------------------- 13 to 17: gradients


def test_functional_gradients_to_second_order(session: Session) -> None:
    x = session.tensor([1.0, 2.0, 3.0], np.float64, requires_grad=True)
    (first,) = gradwire.grad((x**3).sum(), x, create_graph=True)
    near(first.numpy(force=True), [3.0, 12.0, 27.0])
    (second,) = gradwire.grad(first.sum(), x)
    near(second.numpy(), [6.0, 12.0, 18.0])
    assert x.grad is None


def test_unused_inputs(session: Session) -> None:
    x = session.tensor([1.0], requires_grad=True)
    other = session.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 2).sum()
    (g,) = gradwire.grad(y, other, allow_unused=True, retain_graph=True)
    near(g.numpy(), [0.0, 0.0])
    with pytest.raises(errors.NoGraph):
        gradwire.grad(y, other)[0].numpy()


def test_accumulation_and_zero_grad(session: Session) -> None:
    x = session.tensor([1.0, 2.0], requires_grad=True)
    assert x.grad is None
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad is not None
    near(x.grad.numpy(), [6.0, 6.0])
    gradwire.optim.SGD([x], lr=0.1).zero_grad()
    assert x.grad is None


def test_only_leaves_keep_gradients_unless_asked(session: Session) -> None:
    x = session.tensor([1.0, 2.0], requires_grad=True)
    y, z = x * 2, x * 3
    y.retain_grad()
    (y * z).sum().backward()
    assert y.grad is not None and z.grad is None
    near(y.grad.numpy(), [3.0, 6.0])


def test_second_backward_needs_the_graph(session: Session) -> None:
    x = session.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time") as caught:
        y.backward()
    assert isinstance(caught.value, errors.GraphFreed)
    assert x.grad is not None
    near(x.grad.numpy(), [4.0, 8.0])


def test_a_shared_part_of_a_graph_is_freed_once(session: Session) -> None:
    x = session.tensor([2.0], requires_grad=True)
    shared = x * x
    (shared * 2).sum().backward()
    with pytest.raises(errors.GraphFreed):
        (shared * 3).sum().backward()


def test_seeds(session: Session) -> None:
    x = session.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        y.backward()
    with pytest.raises(RuntimeError, match=r"Mismatch in shape: .*\[2\].*\[3\]"):
        y.backward(session.tensor([1.0, 1.0]))
    y.backward(np.array([1.0, 0.0, 2.0], np.float32))
    assert x.grad is not None
    near(x.grad.numpy(), [2.0, 0.0, 12.0])
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
        session.tensor(1.0).backward()


def test_who_may_require_grad(session: Session) -> None:
    with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"):
        session.tensor([1, 2], requires_grad=True)
    with pytest.raises(RuntimeError, match="only Tensors of floating point and complex dtype can require gradients"):
        session.tensor([1, 2]).requires_grad = True
    y = session.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(RuntimeError, match=r"you can only change requires_grad flags of leaf variables\. If you want"):
        y.requires_grad = False
    x = session.tensor([1.0])
    x.requires_grad_()
    (x * 2).sum().backward()
    assert x.grad is not None
    near(x.grad.numpy(), [2.0])


# ---------------------------------------------------------------- 18, 19: loops and in-place


def test_the_manual_loop_fits_a_line(session: Session) -> None:
    xs = np.linspace(-1, 1, 50, dtype=np.float32)
    ys = 3 * xs - 0.5
    w = session.tensor(0.0, requires_grad=True)
    b = session.tensor(0.0, requires_grad=True)
    for _ in range(200):
        loss = ((w * xs + b - ys) ** 2).mean()
        loss.backward()
        for p in (w, b):
            assert p.grad is not None
            p.data = p.data - 0.2 * p.grad.data
            p.grad.data.zero_()
    near([w.item(), b.item()], [3.0, -0.5])


def test_in_place_is_rebinding(session: Session) -> None:
    w = session.tensor([2.0, 3.0], requires_grad=True)
    x = session.tensor([1.0, 1.0])
    y = w * x
    x.add_(10.0)
    y.sum().backward()
    assert w.grad is not None
    near(w.grad.numpy(), [1.0, 1.0])
    near(x.numpy(), [11.0, 11.0])
    x += 1
    x[0] = 5.0
    near(x.numpy(), [5.0, 12.0])
    x.zero_()
    x.copy_(7.0)
    near(x.numpy(), [7.0, 7.0])


def test_a_leaf_that_requires_grad_refuses_in_place(session: Session) -> None:
    w = session.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        w.add_(1.0)
    with gradwire.no_grad():
        w.add_(1.0)
    assert w.requires_grad and w.is_leaf
    (w * 3).sum().backward()
    assert w.grad is not None
    near([w.item(), w.grad.item()], [2.0, 3.0])


def test_assignment_by_index_is_differentiable(session: Session) -> None:
    v = session.tensor([5.0], requires_grad=True)
    x = session.tensor(np.zeros((2, 3), np.float32))
    x[:, 1] = v
    (x * x).sum().backward()
    assert v.grad is not None
    near(v.grad.numpy(), [20.0])
