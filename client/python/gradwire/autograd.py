"""What is recorded and how, and the functional gradient."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradwire.tensor import Tensor


class _Mode(threading.local):
    enabled = True
    anomaly = False
    block = 0


_mode = _Mode()
_blocks = itertools.count(1)


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


def is_anomaly_enabled() -> bool:
    """Whether operations and backward passes of this thread are looked at for NaN and Inf."""
    return _mode.anomaly


class set_detect_anomaly(ContextDecorator):
    """Turns the search for NaN and Inf on or off, from now on or within the block.

    The first node that makes one, forward or backward, raises `NonFinite`, which names the node of the forward pass,
    its operator and shapes. Slow: for debugging.
    """

    def __init__(self, mode: bool) -> None:
        self._before = _mode.anomaly
        _mode.anomaly = mode

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mode.anomaly = self._before


class detect_anomaly(set_detect_anomaly):
    """Within the block, NaN and Inf are looked for: see `set_detect_anomaly`."""

    def __init__(self) -> None:
        super().__init__(True)


def checkpointed_block() -> int:
    """The number of the checkpointed block that this thread is in; 0 outside of any."""
    return _mode.block


def checkpoint(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """`function(*args, **options)`, whose graph keeps only what the function reads; the rest is computed again by backward.

    Saves memory for time. Random operators give the same numbers again. A number fetched within splits the block in two.
    """
    before = _mode.block
    _mode.block = before or next(_blocks)
    try:
        return function(*args, **options)
    finally:
        _mode.block = before


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


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _like(value: Any, results: Sequence[Any]) -> Any:
    """Results in the form of `value`: one, or a tuple."""
    return tuple(results) if isinstance(value, (tuple, list)) else results[0]


def _zeros(x: Tensor) -> Tensor:
    return x.session.zeros(*x.shape, dtype=x.dtype)


class _Evaluated:
    """A function at a point: its inputs as places of their own in the graph, and its outputs."""

    def __init__(self, func: Callable[..., Any], primals: Sequence[Tensor]) -> None:
        # Whether the point itself depends on something that is differentiated further out.
        self.live = is_grad_enabled() and any(primal.requires_grad for primal in primals)
        with enable_grad():
            self.inputs = [p.clone() if p.requires_grad else p.detach().requires_grad_() for p in primals]
            self.form = func(*self.inputs)
        self.outputs: list[Tensor] = _as_list(self.form)
        self.session = primals[0].session

    def depends(self) -> list[Tensor]:
        """The outputs that depend on something."""
        return [output for output in self.outputs if output.requires_grad]

    def results(self) -> Any:
        """The outputs in the function's own form, with a graph only where the point has one."""
        return _like(self.form, self.outputs if self.live else [output.detach() for output in self.outputs])


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, create_graph: bool = False) -> tuple[Any, Any]:
    """`func(*primals)`, and how it moves when the primals move along the tangents: forward mode.

    `primals` and `tangents` are tensors, or tuples of as many of the same shapes and dtypes. The tangents of the outputs
    can be differentiated with `create_graph`, or where a primal requires grad. Raises NotDifferentiable where an
    operator lacks second order.
    """
    points, directions = _as_list(primals), _as_list(tangents)
    if len(points) != len(directions):
        raise RuntimeError(f"jvp: {len(points)} primals, but {len(directions)} tangents")
    at = _Evaluated(func, points)
    vectors = [at.session.as_tensor(direction) for direction in directions]
    create_graph = create_graph or at.live or any(vector.requires_grad for vector in vectors)
    depends = at.depends()
    moved = at.session.lazy_jvp(depends, at.inputs, vectors, create_graph=create_graph) if depends else []
    along = iter(moved)
    return at.results(), _like(at.form, [next(along) if o.requires_grad else _zeros(o) for o in at.outputs])


def hvp(func: Callable[..., Any], inputs: Any, v: Any, *, create_graph: bool = False) -> tuple[Any, Any]:
    """`func(*inputs)`, of one element, and its Hessian times `v`, in the form of `inputs`.

    As for `jvp`, the products can be differentiated with `create_graph`, or where an input requires grad.
    """
    at = _Evaluated(func, _as_list(inputs))
    if len(at.outputs) != 1:
        raise RuntimeError("The function given to hvp should return a single Tensor")
    vectors = [at.session.as_tensor(vector) for vector in _as_list(v)]
    create_graph = create_graph or at.live or any(vector.requires_grad for vector in vectors)
    if at.depends():
        products = at.session.lazy_hvp(at.outputs[0], at.inputs, vectors, create_graph=create_graph)
    else:
        products = [_zeros(point) for point in at.inputs]
    return at.results(), _like(inputs, products)


def vjp(func: Callable[..., Any], *primals: Tensor) -> tuple[Any, Callable[..., tuple[Tensor, ...]]]:
    """`func(*primals)`, and a function from cotangents of its outputs to those of the primals; call it as often as you like."""
    at = _Evaluated(func, primals)

    def pull(*cotangents: Any) -> tuple[Tensor, ...]:
        seeds = [at.session.as_tensor(c) for c in (_as_list(cotangents[0]) if len(cotangents) == 1 else cotangents)]
        create_graph = at.live or any(seed.requires_grad for seed in seeds)
        given = [seed for output, seed in zip(at.outputs, seeds, strict=True) if output.requires_grad]
        if not given:
            return tuple(_zeros(point) for point in at.inputs)
        return grad(
            at.depends(), at.inputs, given, retain_graph=True, create_graph=create_graph, allow_unused=True
        )

    return at.results(), pull
