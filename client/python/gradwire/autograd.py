"""What is recorded, and the functional gradient."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ContextDecorator
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradwire.tensor import Tensor


class _Mode(threading.local):
    enabled = True


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return _mode.enabled


class set_grad_enabled(ContextDecorator):
    """Within the block, or the decorated function, operations are recorded or not."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_mode.enabled)
        _mode.enabled = self._enabled

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mode.enabled = self._before.pop()


class no_grad(set_grad_enabled):
    """Within the block, or the decorated function, nothing is recorded: results carry no graph."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Within the block, or the decorated function, operations are recorded, even inside `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]:
    """Gradients of the outputs, weighted by `grad_outputs`, with respect to each input; nothing accumulates.

    Each has its input's shape and dtype. `grad_outputs` may be left out for outputs of one element. With `create_graph`
    the results can be differentiated again. An input that the outputs do not depend on raises NoGraph, or gets zeros
    with `allow_unused`.
    """
    roots = [outputs] if not isinstance(outputs, Sequence) else list(outputs)
    leaves = [inputs] if not isinstance(inputs, Sequence) else list(inputs)
    seeds = list(grad_outputs) if isinstance(grad_outputs, Sequence) else [grad_outputs] * len(roots)
    return tuple(
        roots[0].session.lazy_gradients(
            roots,
            leaves,
            seeds,
            retain_graph=create_graph if retain_graph is None else retain_graph,
            create_graph=create_graph,
            allow_unused=allow_unused,
        )
    )
