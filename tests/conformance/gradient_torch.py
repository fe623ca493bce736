"""PyTorch's own `gradcheck` and `gradgradcheck`, unmodified, on a function that a server computes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gradient_cases import Array, Case
from gradient_server import Evaluator, Further
from torch.autograd.function import once_differentiable

from gradwire.session import Session

# Larger cases are checked along random vectors (PyTorch's fast mode), not element by element.
_FULL_ELEMENTS = 40


def _arrays(names: list[str], tensors: tuple[torch.Tensor, ...]) -> dict[str, Array]:
    return {name: tensor.detach().numpy() for name, tensor in zip(names, tensors, strict=True)}


def _tensors(names: list[str], arrays: dict[str, Array]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in names)


def function(evaluator: Evaluator) -> Callable[..., tuple[torch.Tensor, ...]]:
    """The case as a function of its differentiable inputs, whose backward and double backward the server computes."""
    case = evaluator.case
    inputs, outputs, count = case.wrt, case.outputs, len(case.wrt)

    class Backward(torch.autograd.Function):
        """The gradient, a function of inputs and cotangents."""

        @staticmethod
        def forward(ctx: Any, *both: torch.Tensor) -> tuple[torch.Tensor, ...]:
            ctx.save_for_backward(*both)
            [point] = evaluator.at([_arrays(inputs, both[:count])], _arrays(outputs, both[count:]))
            return _tensors(inputs, point.gradients[0])

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, *directions: torch.Tensor) -> tuple[torch.Tensor, ...]:
            both = ctx.saved_tensors
            xs, vs = _arrays(inputs, both[:count]), _arrays(inputs, directions)
            zs = {name: np.zeros_like(x) for name, x in xs.items()}
            [point] = evaluator.at([xs], _arrays(outputs, both[count:]), [Further(vs, zs)])
            return _tensors([*inputs, *(f"check/w/{name}" for name in outputs)], point.gradients[1])

    class Forward(torch.autograd.Function):
        """The outputs."""

        @staticmethod
        def forward(ctx: Any, *xs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            ctx.save_for_backward(*xs)
            return _tensors(outputs, evaluator.forward(_arrays(inputs, xs)))

        @staticmethod
        def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor, ...]:
            gradients: tuple[torch.Tensor, ...] = Backward.apply(*ctx.saved_tensors, *cotangents)
            return gradients

    def apply(*xs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found: tuple[torch.Tensor, ...] = Forward.apply(*xs)
        return found

    return apply


def _outcome(check: Callable[..., bool], *arguments: Any, **options: Any) -> str:
    try:
        check(*arguments, **options)
    except Exception as error:  # GradcheckError, or what the server raised.
        return f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "passed"


def check(session: Session, case: Case) -> tuple[str, str]:
    """How gradcheck and gradgradcheck ended: "passed" or "failed: ..."."""
    arrays = case.nudged()
    torch.manual_seed(0)
    xs = tuple(torch.from_numpy(arrays[name].copy()).requires_grad_() for name in case.wrt)
    called = function(Evaluator(session, case, arrays))
    fast = case.size() > _FULL_ELEMENTS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = _outcome(torch.autograd.gradcheck, called, xs, fast_mode=fast)
        second = _outcome(torch.autograd.gradgradcheck, called, xs, fast_mode=fast)
    return first, second
