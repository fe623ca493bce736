"""`import gradwire.torch as torch`: the basics of PyTorch, spelt as PyTorch does, on a server.

Tensors live in one session of the server at GRADWIRE_TARGET ("host:port", 127.0.0.1:50051 where it is not set), opened at
the first use; `use` sets another. A function that is not listed here is the tensor's method of that name:
`torch.exp(x)` is `x.exp()`.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from gradwire import autograd as _autograd
from gradwire import functional
from gradwire import optim as optim
from gradwire.autograd import enable_grad as enable_grad
from gradwire.autograd import is_grad_enabled as is_grad_enabled
from gradwire.autograd import no_grad as no_grad
from gradwire.autograd import set_grad_enabled as set_grad_enabled
from gradwire.client import connect
from gradwire.functional import cat as cat
from gradwire.functional import einsum as einsum
from gradwire.functional import matmul as matmul
from gradwire.functional import maximum as maximum
from gradwire.functional import minimum as minimum
from gradwire.functional import one_hot as one_hot
from gradwire.functional import stack as stack
from gradwire.functional import where as where
from gradwire.session import Session
from gradwire.tensor import Tensor

nn = SimpleNamespace(functional=functional)
func = SimpleNamespace(jvp=_autograd.jvp, vjp=_autograd.vjp)
autograd = SimpleNamespace(
    grad=_autograd.grad,
    no_grad=no_grad,
    enable_grad=enable_grad,
    set_grad_enabled=set_grad_enabled,
    detect_anomaly=_autograd.detect_anomaly,
    set_detect_anomaly=_autograd.set_detect_anomaly,
    functional=SimpleNamespace(jvp=_autograd.jvp, hvp=_autograd.hvp),
)

float64 = double = np.dtype(np.float64)
float32 = np.dtype(np.float32)
float16 = half = np.dtype(np.float16)
bfloat16 = np.dtype(ml_dtypes.bfloat16)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)
int8, int16 = np.dtype(np.int8), np.dtype(np.int16)
int32, int64 = np.dtype(np.int32), np.dtype(np.int64)
uint8, uint16 = np.dtype(np.uint8), np.dtype(np.uint16)
uint32, uint64 = np.dtype(np.uint32), np.dtype(np.uint64)
long = int64
pi, inf, nan = np.pi, np.inf, np.nan

_current: Session | None = None
_seed: int | None = None


def session() -> Session:
    """The session that this module's tensors live in."""
    global _current
    if _current is None:
        client = connect(os.environ.get("GRADWIRE_TARGET", "127.0.0.1:50051"))
        _current = client.session(seed=_seed)
        atexit.register(client.close)
        atexit.register(_current.__exit__, None, None, None)
    return _current


def use(chosen: Session) -> None:
    """Makes this module's tensors live in another session."""
    global _current
    _current = chosen


def manual_seed(seed: int) -> None:
    """Sets the seed of random numbers; before the first tensor, as the session starts with it."""
    global _seed
    if _current is not None:
        raise RuntimeError("manual_seed comes before the first tensor: a session keeps the seed that it began with")
    _seed = seed


def _extents(shape: tuple[Any, ...]) -> Sequence[int]:
    return tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape


def tensor(data: Any, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of numbers, nested lists or an array."""
    return session().tensor(data, dtype, requires_grad=requires_grad)


def from_numpy(array: npt.NDArray[Any]) -> Tensor:
    """A tensor with a copy of the array: memory is not shared with a server."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    return session().tensor(array)


def zeros(*shape: Any, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Zeros."""
    return session().zeros(*_extents(shape), dtype=dtype, requires_grad=requires_grad)


def ones(*shape: Any, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Ones."""
    return session().ones(*_extents(shape), dtype=dtype, requires_grad=requires_grad)


def full(shape: Sequence[int], fill_value: Any, *, dtype: npt.DTypeLike = np.float32) -> Tensor:
    """One value everywhere."""
    return session().full(shape, fill_value, dtype)


def rand(*shape: Any, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Draws from the uniform distribution over [0, 1)."""
    return session().rand(*_extents(shape), dtype=dtype, requires_grad=requires_grad)


def randn(*shape: Any, dtype: npt.DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Draws from the standard normal distribution."""
    return session().randn(*_extents(shape), dtype=dtype, requires_grad=requires_grad)


def arange(*bounds: float, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Numbers from start (0) to end by step (1)."""
    return session().arange(*bounds, dtype=dtype)


def linspace(start: float, end: float, steps: int, *, dtype: npt.DTypeLike = np.float32) -> Tensor:
    """`steps` numbers from start to end, both included."""
    return session().tensor(np.linspace(start, end, steps), dtype)


def eye(n: int, m: int | None = None, *, dtype: npt.DTypeLike = np.float32) -> Tensor:
    """Ones on the diagonal."""
    return session().tensor(np.eye(n, m), dtype)


def zeros_like(x: Tensor) -> Tensor:
    """Zeros of the same shape and dtype."""
    return x.session.zeros(*x.shape, dtype=x.dtype)


def ones_like(x: Tensor) -> Tensor:
    """Ones of the same shape and dtype."""
    return x.session.ones(*x.shape, dtype=x.dtype)


def rand_like(x: Tensor) -> Tensor:
    """Uniform draws of the same shape and dtype."""
    return x.session.rand(*x.shape, dtype=x.dtype)


def randn_like(x: Tensor) -> Tensor:
    """Normal draws of the same shape and dtype."""
    return x.session.randn(*x.shape, dtype=x.dtype)


def _checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: Any = None, **options: Any) -> Any:
    """`gradwire.checkpoint`; `use_reentrant` makes no difference here."""
    return _autograd.checkpoint(function, *args, **options)


utils = SimpleNamespace(checkpoint=SimpleNamespace(checkpoint=_checkpoint))


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(value, Tensor)


def __getattr__(name: str) -> Callable[..., Any]:
    method = None if name.startswith("_") else getattr(Tensor, name, None)
    if not callable(method):
        raise AttributeError(f"module 'gradwire.torch' has no attribute '{name}'")

    def function(x: Tensor, *args: Any, **options: Any) -> Any:
        return method(x, *args, **options)

    return function
