"""Random valid graphs of differentiable operators, each determined by its seed.

What keeps them comparable, by construction: every value carries a bound of its magnitude, and what could grow is
squashed; logarithms, roots, quotients and powers get positive arguments, arcs arguments within (-1, 1); what orders or
compares elements, and norms, get a fresh parameter added, so that no exact tie or zero vector decides a derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from program_builder import Builder, Value, factored

LEAST, MOST = 5, 40
# The most nodes that one emitter makes.
_AT_ONCE = 5

# By operator: the bound of its output by that of its input, and attributes.
_UNARY: dict[str, tuple[Callable[[float], float], dict[str, object]]] = {
    **{op: (lambda b: b, {}) for op in ("Abs", "Neg", "Relu", "Identity", "Asinh")},
    **{op: (lambda b: b + 1, {}) for op in ("Softplus", "Mish", "HardSwish")},
    **{op: (lambda _: 1.6, {}) for op in ("Sigmoid", "Tanh", "Sin", "Cos", "Atan", "Erf", "Softsign")},
    "LeakyRelu": (lambda b: b, {"alpha": 0.25}),
    "Elu": (lambda b: b, {"alpha": 0.75}),
    "Celu": (lambda b: b + 1.5, {"alpha": 1.5}),
    "Selu": (lambda b: 2 * b + 2, {"alpha": 1.5, "gamma": 1.25}),
    "HardSigmoid": (lambda _: 1, {"alpha": 0.25, "beta": 0.5}),
    "Gelu": (lambda b: b, {}),
    "Swish": (lambda b: b, {"alpha": 1.5}),
}
_GROWING = {"Exp": math.exp, "Sinh": math.cosh, "Cosh": math.cosh}


def _unary(b: Builder) -> None:
    x = b.pick()
    op = b.choice(sorted(_UNARY))
    bound, attributes = _UNARY[op]
    if op == "Gelu" and b.chance():
        attributes = {"approximate": "tanh"}
    assert x is not None
    b.add(op, [x], x.shape, bound(x.bound), **attributes)


def _growing(b: Builder) -> None:
    x = b.pick(lambda v: v.bound <= 2.5)
    if x is not None:
        op = b.choice(sorted(_GROWING))
        b.add(op, [x], x.shape, _GROWING[op](x.bound))


def _of_positive(b: Builder) -> None:
    x = b.pick(lambda v: v.bound <= 3)
    if x is None:
        return
    p = b.positive(x)
    op = b.choice(["Log", "Sqrt", "Reciprocal", "Acosh", "Pow", "Div"])
    if op == "Acosh":
        p = b.step("Add", [p, b.constant(0.75, np.float64)], p.shape, p.bound + 0.75)
    if op == "Pow":
        y = b.step("Tanh", [b.partner(x)], (), 1)
        known = b.parameters.get(b.nodes[-1].input[0])
        shape = known.shape if known is not None else next(v.shape for v in b.values if v.name == b.nodes[-1].input[0])
        b.add("Pow", [p, y], np.broadcast_shapes(p.shape, shape), max(p.bound, 2))
    elif op == "Div":
        y = b.partner(p)
        b.add("Div", [y, p], np.broadcast_shapes(p.shape, y.shape), 2 * y.bound)
    else:
        b.add(op, [p], p.shape, max(p.bound, 2))


def _arc(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    b.add(b.choice(["Asin", "Acos", "Atanh", "Tan"]), [b.inner(x)], x.shape, 3.2)


def _binary(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    y = b.partner(x)
    op = b.choice(["Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean", "Where", "PRelu"])
    shape = np.broadcast_shapes(x.shape, y.shape)
    if op == "Where":
        threshold = b.constant(b.rng.uniform(-1.5, 1.5, x.shape), np.float64)
        condition = b.node(b.choice(["Greater", "Less"]), [x, threshold])
        b.add("Where", [condition, x, y], shape, max(x.bound, y.bound))
    elif op == "PRelu":
        slope = b.parameter([1 if b.chance() else n for n in x.shape])
        b.add("PRelu", [b.untied(x), slope], x.shape, 1.5 * (x.bound + 1.5))
    elif op in ("Sum", "Mean"):
        b.add(op, [x, y, b.parameter(shape)], shape, x.bound + y.bound + 1.5)
    else:
        bound = {"Mul": x.bound * y.bound, "Max": max(x.bound, y.bound), "Min": max(x.bound, y.bound)}
        pair = [x, y] if b.chance() else [y, x]
        b.add(op, pair, shape, bound.get(op, x.bound + y.bound))


def _clip(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    low, high = b.constant(-0.6, np.float64), b.constant(0.7, np.float64)
    b.add("Clip", [b.untied(x), low, high], x.shape, 0.7)


def _reduce(b: Builder) -> None:
    x = b.pick(lambda v: v.rank > 0)
    if x is None:
        return
    op = b.choice([f"Reduce{f}" for f in ("Sum", "Mean", "L1", "L2", "SumSquare", "LogSum", "LogSumExp", "Max", "Min", "Prod")])
    axes = sorted(int(a) for a in b.rng.choice(x.rank, int(b.rng.integers(1, x.rank + 1)), replace=False))
    count = math.prod(x.shape[a] for a in axes)
    keep = int(b.rng.integers(2))
    shape = [1 if k in axes else n for k, n in enumerate(x.shape) if keep or k not in axes]
    if op == "ReduceLogSum":
        x = b.positive(x)
    elif op in ("ReduceL2", "ReduceMax", "ReduceMin"):
        x = b.untied(x)
    elif op == "ReduceProd" and count > 12:
        return
    bound = {
        "ReduceMean": x.bound, "ReduceMax": x.bound, "ReduceMin": x.bound, "ReduceSumSquare": count * x.bound**2,
        "ReduceProd": x.bound**count, "ReduceLogSum": math.log(count * x.bound + 2),
        "ReduceLogSumExp": x.bound + math.log(count),
    }  # fmt: skip
    signed = [a - x.rank if b.chance() else a for a in axes]
    b.add(op, [x, b.constant(signed)], shape, bound.get(op, count * x.bound), keepdims=keep)


def _softmax(b: Builder) -> None:
    x = b.pick(lambda v: v.rank > 0)
    if x is None:
        return
    op = b.choice(["Softmax", "LogSoftmax", "LpNormalization"])
    source = b.untied(x) if op == "LpNormalization" else x
    b.add(op, [source], x.shape, 2 * x.bound + 5 if op == "LogSoftmax" else 1, axis=b.axis(x))


def _matmul(b: Builder) -> None:
    x = b.pick(lambda v: v.rank >= 2)
    if x is None:
        return
    k = x.shape[-1]
    fits = [v for v in b.values if v.rank == 2 and v.shape[0] == k]
    y = b.choice(fits) if fits and b.chance() else None
    if x.rank == 2 and b.chance():
        y = y or b.parameter([k, 3])
        c = b.parameter([y.shape[1]] if b.chance() else [x.shape[0], 1])
        bound = 0.5 * k * x.bound * y.bound + 3
        b.add("Gemm", [x, y, c], [x.shape[0], y.shape[1]], bound, alpha=0.5, beta=1.5)
    elif x.rank == 3 and b.chance():
        y = b.parameter([x.shape[0], k, 2])
        b.add("Einsum", [x, y], [x.shape[0], 2, x.shape[1]], k * x.bound * 1.5, equation="bik,bkj->bji")
    else:
        batch = x.shape[:-2] if b.chance() else ()
        y = y or b.parameter([*batch, k, int(b.rng.integers(1, 4))])
        b.add("MatMul", [x, y], [*x.shape[:-1], y.shape[-1]], k * x.bound * y.bound)


def _image(b: Builder) -> Value | None:
    return b.pick(lambda v: v.rank in (3, 4) and min(v.shape[2:]) >= 2)


def _conv(b: Builder) -> None:
    x = _image(b)
    if x is None:
        return
    spatial, channels = x.rank - 2, x.shape[1]
    group = 2 if channels % 2 == 0 and b.chance() else 1
    w = b.parameter([group * int(b.rng.integers(1, 3)), channels // group, *[2] * spatial])
    strides = [int(n) for n in b.rng.integers(1, 3, spatial)]
    pads = [int(n) for n in b.rng.integers(0, 2, 2 * spatial)]
    shape = [(n + pads[k] + pads[k + spatial] - 2) // strides[k] + 1 for k, n in enumerate(x.shape[2:])]
    bound = channels // group * 2**spatial * x.bound * 1.5 + 1.5
    bias = b.parameter([w.shape[0]])
    b.add("Conv", [x, w, bias], [x.shape[0], w.shape[0], *shape], bound, strides=strides, pads=pads, group=group)


def _conv_transpose(b: Builder) -> None:
    x = b.pick(lambda v: v.rank in (3, 4) and math.prod(v.shape) <= 40)
    if x is None:
        return
    spatial = x.rank - 2
    w = b.parameter([x.shape[1], 2, *[2] * spatial])
    strides = [int(n) for n in b.rng.integers(1, 3, spatial)]
    shape = [(n - 1) * s + 2 for n, s in zip(x.shape[2:], strides, strict=True)]
    b.add("ConvTranspose", [x, w], [x.shape[0], 2, *shape], x.shape[1] * 2**spatial * x.bound * 1.5, strides=strides)


def _pool(b: Builder) -> None:
    x = _image(b)
    if x is None:
        return
    op = b.choice(["MaxPool", "AveragePool", "GlobalAveragePool"])
    spatial = x.rank - 2
    if op == "GlobalAveragePool":
        b.add(op, [x], [*x.shape[:2], *[1] * spatial], x.bound)
        return
    strides = [int(n) for n in b.rng.integers(1, 3, spatial)]
    shape = [(n - 2) // s + 1 for n, s in zip(x.shape[2:], strides, strict=True)]
    source = b.untied(x) if op == "MaxPool" else x
    b.add(op, [source], [*x.shape[:2], *shape], source.bound, kernel_shape=[2] * spatial, strides=strides)


def _norm(b: Builder) -> None:
    x = b.pick(lambda v: v.rank >= 3 and math.prod(v.shape[2:]) > 1)
    if x is None:
        return
    op = b.choice(["LayerNormalization", "InstanceNormalization", "GroupNormalization", "BatchNormalization"])
    bound = 1.5 * math.sqrt(math.prod(x.shape[1:])) + 1.5
    if op == "LayerNormalization":
        axis = b.axis(x)
        shape = x.shape[axis:]
        b.add(op, [x, b.parameter(shape), b.parameter(shape)], x.shape, bound, axis=axis, epsilon=0.125)
        return
    inputs: list[Value | str] = [x, b.parameter([x.shape[1]]), b.parameter([x.shape[1]])]
    attributes: dict[str, object] = {"epsilon": 0.125}
    if op == "GroupNormalization":
        attributes["num_groups"] = 2 if x.shape[1] % 2 == 0 else 1
    if op == "BatchNormalization":
        inputs += [b.constant(b.rng.uniform(low, 1.5, x.shape[1]), np.float64) for low in (-1.5, 0.5)]
        bound = 2 * (x.bound + 1.5) * 1.5 + 1.5
    b.add(op, inputs, x.shape, bound, **attributes)


def _layout(b: Builder) -> None:
    x = b.pick(lambda v: v.rank > 0)
    if x is None:
        return
    op = b.choice(["Reshape", "Reshape", "Transpose", "Unsqueeze", "Flatten", "Squeeze"])
    if op == "Reshape":
        shape = factored(b.rng, math.prod(x.shape), int(b.rng.integers(1, 5)))
        b.add(op, [x, b.constant(shape)], shape, x.bound)
    elif op == "Transpose":
        perm = [int(k) for k in b.rng.permutation(x.rank)]
        b.add(op, [x], [x.shape[k] for k in perm], x.bound, perm=perm)
    elif op == "Flatten":
        axis = int(b.rng.integers(x.rank + 1))
        b.add(op, [x], [math.prod(x.shape[:axis]), math.prod(x.shape[axis:])], x.bound, axis=axis)
    elif op == "Unsqueeze" and x.rank < 4:
        axis = int(b.rng.integers(x.rank + 1))
        b.add(op, [x, b.constant([axis])], [*x.shape[:axis], 1, *x.shape[axis:]], x.bound)
    elif op == "Squeeze" and 1 in x.shape:
        axis = x.shape.index(1)
        b.add(op, [x, b.constant([axis])], [*x.shape[:axis], *x.shape[axis + 1 :]], x.bound)


def _repeat(b: Builder) -> None:
    x = b.pick(lambda v: v.rank > 0 and math.prod(v.shape) <= 60)
    if x is None:
        return
    op = b.choice(["Expand", "Tile", "Concat", "Pad"])
    if op == "Expand":
        shape = tuple(3 if n == 1 else n for n in x.shape)
        b.add(op, [x, b.constant(shape)], shape, x.bound)
    elif op == "Tile":
        times = [int(n) for n in b.rng.integers(1, 3, x.rank)]
        shape = tuple(n * t for n, t in zip(x.shape, times, strict=True))
        if math.prod(shape) <= 200:
            b.add(op, [x, b.constant(times)], shape, x.bound)
    elif op == "Concat":
        axis = int(b.rng.integers(x.rank))
        other = b.parameter([2 if k == axis else n for k, n in enumerate(x.shape)])
        shape = tuple(n + 2 * (k == axis) for k, n in enumerate(x.shape))
        b.add(op, [x, other] if b.chance() else [other, x], shape, max(x.bound, 1.5), axis=axis)
    else:
        mode = b.choice(["constant", "edge", "reflect"])
        pads = [int(b.rng.integers(0, min(2, n if mode == "reflect" else 2))) for n in (*x.shape, *x.shape)]
        shape = tuple(n + pads[k] + pads[k + x.rank] for k, n in enumerate(x.shape))
        value = [b.constant(0.25, np.float64)] if mode == "constant" else []
        b.add(op, [x, b.constant(pads), *value], shape, x.bound, mode=mode)


def _select(b: Builder) -> None:
    x = b.pick(lambda v: v.rank > 0 and max(v.shape) > 1)
    if x is None:
        return
    axis = int(np.argmax(x.shape))
    n = x.shape[axis]
    op = b.choice(["Slice", "Gather", "GatherElements", "Split", "TopK", "CumSum", "ScatterElements", "Trilu"])

    def resized(count: int) -> list[int]:
        return [count if k == axis else m for k, m in enumerate(x.shape)]

    if op == "Slice":
        start, end, step = (n - 1, -n - 1, -2) if b.chance() else (1, n, 1)
        parts = [b.constant([part]) for part in (start, end, axis, step)]
        b.add(op, [x, *parts], resized(len(range(n)[start : (None if end < 0 else end) : step])), x.bound)
    elif op == "Gather":
        indices = b.rng.integers(-n, n, (2, 2) if x.rank < 4 else 3)
        shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
        b.add(op, [x, b.constant(indices)], shape, x.bound, axis=axis)
    elif op == "GatherElements":
        shape = resized(3)
        b.add(op, [x, b.constant(b.rng.integers(0, n, shape))], shape, x.bound, axis=axis)
    elif op == "Split":
        first = b.node(op, [x, b.constant([1, n - 1])], axis=axis, outputs=2)
        b.values += [Value(first, tuple(resized(1)), x.bound), Value(f"{first}_1", tuple(resized(n - 1)), x.bound)]
    elif op == "TopK":
        k = int(b.rng.integers(1, n + 1))
        b.add(op, [b.untied(x), b.constant([k])], resized(k), x.bound + 1.5, axis=axis, largest=int(b.chance()), outputs=2)
    elif op == "CumSum":
        b.add(op, [x, b.constant(axis)], x.shape, n * x.bound)
    elif op == "ScatterElements":
        updates = b.parameter(resized(2))
        shape = updates.shape
        places = np.stack([np.zeros(shape, np.int64), np.ones(shape, np.int64)]).max(0)
        places = np.where(np.arange(2).reshape([2 if k == axis else 1 for k in range(x.rank)]) == 0, 0, places)
        reduction = b.choice(["none", "add"])
        b.add(op, [x, b.constant(places), updates], x.shape, x.bound + 1.5, axis=axis, reduction=reduction)
    elif x.rank >= 2:
        b.add("Trilu", [x, b.constant(0)], x.shape, x.bound, upper=int(b.chance()))


EMITTERS: list[Callable[[Builder], None]] = [
    *[_unary] * 3, _growing, *[_of_positive] * 2, _arc, *[_binary] * 4, _clip, *[_reduce] * 2, _softmax,
    *[_matmul] * 3, *[_conv] * 3, _conv_transpose, *[_pool] * 2, *[_norm] * 2, *[_layout] * 3, *[_repeat] * 2,
    *[_select] * 3,
]  # fmt: skip


def generate(seed: int) -> Builder:
    """The program of a seed: 5 to 40 nodes."""
    builder = Builder(seed)
    target = int(builder.rng.integers(LEAST, MOST - _AT_ONCE + 2))
    while len(builder.nodes) < target:
        if not builder.values or builder.rng.integers(12) == 0:
            shape = builder.rng.integers(1, 5, int(builder.rng.integers(1, 5)))
            builder.values.append(builder.parameter([int(n) for n in shape]))
        builder.choice(EMITTERS)(builder)
    assert LEAST <= len(builder.nodes) <= MOST
    builder.values = [value for value in builder.values if value.name not in builder.parameters]
    builder.parameters = {name: array for name, array in builder.parameters.items() if name in builder.used}
    return builder
