"""Makers of random calls: operators that move elements, and those that make them."""

from __future__ import annotations

import numpy as np

from random_ops_draw import ALL, BOOL, F32, F64, FLOATS, HALVES, INTS, STRING, Array, Draw, Made, op


@op("Reshape", since=5)
def reshape(d: Draw) -> Made:
    dims = d.dims(1, 4)
    x = d.x(dims)
    split = d.int(0, len(dims))
    shape = [*dims[:split], int(np.prod(dims[split:], dtype=np.int64))]
    if d.flag(0.3) and x.size:
        shape[d.int(0, len(shape) - 1)] = -1
    elif d.flag(0.3) and d.opset >= 14:
        return [x, d.ints(shape)], {"allowzero": 1}
    elif x.size == 0 or d.flag(0.3):
        shape = [0] * len(dims)
    return [x, d.ints(shape)], {}


@op("Flatten")
def flatten(d: Draw) -> Made:
    dims = d.dims(1, 5)
    low = -len(dims) if d.opset >= 11 else 0
    return [d.x(dims)], d.attributes(axis=d.int(low, len(dims)))


@op("Squeeze", since=13)
def squeeze(d: Draw) -> Made:
    dims = d.dims()
    ones = [axis - (len(dims) if d.flag() else 0) for axis, extent in enumerate(dims) if extent == 1 and d.flag()]
    return [d.x(dims), d.ints(ones) if ones else None], {}


@op("Squeeze", until=12)
def legacy_squeeze(d: Draw) -> Made:
    dims = d.dims()
    ones = [axis for axis, extent in enumerate(dims) if extent == 1 and d.flag()]
    return [d.x(dims)], {"axes": ones} if ones else {}


def _new_axes(d: Draw, rank: int) -> list[int]:
    total = rank + d.int(1, 3)
    chosen = d.rng.permutation(total)[: total - rank]
    return [int(axis) - (total if d.opset >= 11 and d.flag() else 0) for axis in chosen]


@op("Unsqueeze", since=13)
def unsqueeze(d: Draw) -> Made:
    dims = d.dims(high=4)
    return [d.x(dims), d.ints(_new_axes(d, len(dims)))], {}


@op("Unsqueeze", until=12)
def legacy_unsqueeze(d: Draw) -> Made:
    dims = d.dims(high=4)
    return [d.x(dims)], {"axes": sorted(_new_axes(d, len(dims)))}


@op("Transpose")
def transpose(d: Draw) -> Made:
    dims = d.dims(high=6)
    return [d.x(dims)], d.attributes(perm=[int(axis) for axis in d.rng.permutation(len(dims))]) if dims else {}


@op("Concat", since=4)
def concat(d: Draw) -> Made:
    dims = d.dims(1, 5)
    axis = d.int(0, len(dims) - 1)
    parts = [d.x([*dims[:axis], d.extent(), *dims[axis + 1 :]]) for _ in range(d.int(1, 4))]
    return parts, {"axis": axis - (len(dims) if d.opset >= 11 and d.flag() else 0)}


@op("Split", since=13, outputs=2)
def split(d: Draw) -> Made:
    dims = d.dims(1, 5)
    axis = d.axis(len(dims))
    if d.flag():
        first = d.int(0, dims[axis])
        return [d.x(dims), d.ints([first, dims[axis] - first])], {"axis": axis}
    dims[axis] = 2 * d.int(1, 3) - (d.int(0, 1) if d.opset >= 18 else 0)
    dims[axis] = max(dims[axis], 2)
    return [d.x(dims), None], {"axis": axis} | ({"num_outputs": 2} if d.opset >= 18 else {})


@op("Slice", since=10)
def slices(d: Draw) -> Made:
    dims = d.dims(1, 5)
    axes = d.axes(len(dims), 1)
    kind = d.one_of(np.int64, np.int32)
    starts = [d.int(-dims[axis] - 2, dims[axis] + 2) for axis in axes]
    ends = [d.one_of(d.int(-dims[axis] - 2, dims[axis] + 2), 1 << 30, -(1 << 30)) for axis in axes]
    steps = [d.one_of(1, 2, 3, -1, -2) for _ in axes]
    return [d.x(dims), *(d.ints(part, kind) for part in (starts, ends, axes, steps))], {}


@op("Slice", until=9)
def legacy_slice(d: Draw) -> Made:
    dims = d.dims(1, 5)
    axes = sorted(axis % len(dims) for axis in d.axes(len(dims), 1))
    starts = [d.int(0, dims[axis]) for axis in axes]
    ends = [d.int(-dims[axis], dims[axis] + 2) for axis in axes]
    return [d.x(dims)], {"starts": starts, "ends": ends, "axes": axes}


def _indices(d: Draw, extent: int, dims: list[int]) -> Array:
    low = -extent if d.opset >= 11 else 0
    return d.rng.integers(low, max(extent, 1), dims).astype(d.one_of(np.int32, np.int64))


@op("Gather")
def gather(d: Draw) -> Made:
    dims = d.dims(1, 4)
    axis = d.int(0, len(dims) - 1)
    dims[axis] = dims[axis] or 2
    indices = _indices(d, dims[axis], d.dims(high=3))
    return [d.x(dims), indices], {"axis": axis - (len(dims) if d.opset >= 11 and d.flag() else 0)}


@op("GatherElements")
def gather_elements(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    axis = d.axis(len(dims))
    shape = list(dims)
    shape[axis] = d.extent()
    return [d.x(dims), _indices(d, dims[axis], shape)], {"axis": axis}


def _nd_indices(d: Draw, dims: list[int], batch: list[int], unique: bool = False) -> Array:
    depth = d.int(1, len(dims) - len(batch))
    heads = dims[len(batch) : len(batch) + depth]
    if unique:
        every = np.stack(np.unravel_index(d.rng.permutation(int(np.prod(heads))), heads), -1)
        return np.asarray(every[: d.int(1, len(every))], np.int64)
    lead = [*batch, *d.dims(high=2)]
    parts = [d.rng.integers(-extent, extent, lead) for extent in heads]
    return np.asarray(np.stack(parts, -1), np.int64)


@op("GatherND")
def gather_nd(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    batch = d.int(0, len(dims) - 1) if d.opset >= 12 and d.flag(0.4) else 0
    return [d.x(dims), _nd_indices(d, dims, dims[:batch])], {"batch_dims": batch} if batch else {}


@op("ScatterElements", "Scatter", until=15)
@op("ScatterElements", since=16)
def scatter_elements(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    axis = d.axis(len(dims))
    shape = [d.int(1, extent) for extent in dims]
    order = np.argsort(d.rng.random((*shape[: axis % len(dims)], dims[axis], *shape[axis % len(dims) + 1 :])), axis)
    unique = order.take(range(shape[axis]), axis)  # no two updates of one element
    return [d.x(dims), unique.astype(d.one_of(np.int32, np.int64)), d.x(shape)], {"axis": axis}


@op("ScatterElements", since=18, types=(*FLOATS, *INTS))
def scatter_reducing(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    axis = d.axis(len(dims))
    shape = [d.int(1, extent) for extent in dims]
    indices = _indices(d, dims[axis], shape)
    reduction = d.one_of("add", "mul", "max", "min")
    return [d.x(dims), indices, d.x(shape)], {"axis": axis, "reduction": reduction}


@op("ScatterND")
def scatter_nd(d: Draw) -> Made:
    dims = d.dims(1, 4, empty=False)
    indices = _nd_indices(d, dims, [], unique=True)
    updates = d.x([*indices.shape[:-1], *dims[indices.shape[-1] :]])
    reductions = ["add", "mul"] if d.opset >= 16 else []
    reductions += ["max", "min"] if d.opset >= 18 else []
    usable = reductions and d.dtype not in (BOOL, STRING) and d.flag()
    return [d.x(dims), indices, updates], {"reduction": d.one_of(*reductions)} if usable else {}


@op("TensorScatter")
def tensor_scatter(d: Draw) -> Made:
    dims = d.dims(2, 4, empty=False)
    axis = d.int(1, len(dims) - 1)
    update = d.int(1, dims[axis])
    mode = d.one_of("linear", "circular")
    last = dims[axis] - update if mode == "linear" else dims[axis] - 1
    places = d.optional(d.rng.integers(0, last + 1, dims[:1]))
    shape = [*dims[:axis], update, *dims[axis + 1 :]]
    return [d.x(dims), d.x(shape), places], {"axis": axis - (len(dims) if d.flag() else 0), "mode": mode}


@op("Pad", since=11)
def pad(d: Draw) -> Made:
    modes = ["constant", "constant", "edge", "reflect"] + (["wrap"] if d.opset >= 19 else [])
    mode = d.one_of(*modes)
    dims = d.dims(1, 4, empty=mode == "constant")
    axes = d.axes(len(dims), 1) if d.opset >= 18 and d.flag() else None
    padded = dims if axes is None else [dims[axis] for axis in axes]
    most = [0 if mode == "reflect" and n == 1 else max(n - 1, 0) if mode != "constant" else 3 for n in padded]
    pads = [d.int(0, n) for n in (*most, *most)]
    if mode == "constant" and d.flag(0.2) and all(padded):
        pads[0] = -1
    value = d.optional(np.asarray(d.x([]))) if mode == "constant" else None
    return [d.x(dims), d.ints(pads), value, None if axes is None else d.ints(axes)][: 4 if axes else 3], {"mode": mode}


@op("Pad", since=2, until=10)
def legacy_pad(d: Draw) -> Made:
    dims = d.dims(1, 4)
    pads = [d.int(0, 3) for _ in range(2 * len(dims))]
    return [d.x(dims)], {"pads": pads} | d.attributes(value=d.number())


@op("Tile", since=6)
def tile(d: Draw) -> Made:
    dims = d.dims(1, 4)
    return [d.x(dims), d.ints([d.int(0 if d.flag(0.1) else 1, 3) for _ in dims])], {}


@op("Expand")
def expand(d: Draw) -> Made:
    a, b = d.broadcast(2)
    return [d.x(a), d.ints(b)], {}


@op("SpaceToDepth")
def space_to_depth(d: Draw) -> Made:
    block = d.int(1, 3)
    dims = [d.extent(), block * block * d.int(1, 2), block * d.int(1, 2), block * d.int(1, 2)]
    return [d.x(dims)], {"blocksize": block}


@op("DepthToSpace")
def depth_to_space(d: Draw) -> Made:
    inputs, attributes = space_to_depth(d)
    return inputs, attributes | (d.attributes(mode=d.one_of("DCR", "CRD")) if d.opset >= 11 else {})


@op("Trilu")
def trilu(d: Draw) -> Made:
    k = d.optional(np.asarray(d.int(-4, 4), np.int64))
    return [d.x(d.dims(2, 4)), k], d.attributes(upper=d.int(0, 1))


@op("EyeLike")
def eye_like(d: Draw) -> Made:
    return [d.x(d.dims(2, 2))], d.attributes(k=d.int(-4, 4), dtype=d.one_of(F32, F64, np.dtype(np.int32), BOOL))


@op("OneHot", types=(F32, np.dtype(np.int32), np.dtype(np.int64)))
def one_hot(d: Draw) -> Made:
    depth = d.int(1, 5)
    dims = d.dims(high=3)
    indices = d.rng.integers(-depth, depth, dims).astype(d.dtype)
    values = Draw((d.int(0, 1 << 30),), d.one_of(*FLOATS, *HALVES, *INTS), d.opset).distinct([2])
    kind = d.one_of(np.int32, np.int64)
    return [indices, np.asarray(depth, kind), values], d.attributes(axis=d.axis(len(dims) + 1))


@op("Range")
def arange(d: Draw) -> Made:
    start, delta = d.int(-9, 9), d.one_of(-3, -1, 1, 2)
    limit = start + d.int(-5, 20)
    if d.dtype.kind == "f":
        return [np.asarray(v, d.dtype) for v in (start + 0.5, limit, delta / 2)], {}
    return [np.asarray(v, d.dtype) for v in (start, limit, delta)], {}


@op("ConstantOfShape", types=(F32,))
def constant_of_shape(d: Draw) -> Made:
    value = Draw((d.int(0, 1 << 30),), d.one_of(*FLOATS, *INTS, BOOL), d.opset).x([1])
    return [d.ints(d.dims())], d.attributes(value=value)


@op("NonZero")
def non_zero(d: Draw) -> Made:
    return [d.x(d.dims(1, 4), low=-1, high=1)], {}


@op("Compress")
def compress(d: Draw) -> Made:
    dims = d.dims(1, 4)
    axis = d.axis(len(dims))
    along = int(np.prod(dims)) if d.flag() else dims[axis]
    flat = along != dims[axis] or d.flag()
    along = int(np.prod(dims)) if flat else dims[axis]
    condition = d.x([d.int(0, along)], dtype=BOOL)
    return [d.x(dims), condition], {} if flat else {"axis": axis}


@op("Unique", outputs=4)
def unique(d: Draw) -> Made:
    dims = d.dims(1, 3, empty=False)
    x = d.x(dims, low=0, high=4)
    if d.dtype == STRING:  # NumPy orders no slices of strings
        return [x], d.attributes(sorted=d.int(0, 1))
    return [x.round()], d.attributes(axis=d.axis(len(dims)), sorted=d.int(0, 1))


@op("ReverseSequence")
def reverse_sequence(d: Draw) -> Made:
    dims = d.dims(2, 4, empty=False)
    batch = d.int(0, 1)
    lengths = d.rng.integers(1, dims[1 - batch] + 1, [dims[batch]])
    return [d.x(dims), lengths], {"batch_axis": batch, "time_axis": 1 - batch}


@op("CenterCropPad")
def center_crop_pad(d: Draw) -> Made:
    dims = d.dims(1, 4)
    axes = d.axes(len(dims), 1)
    if d.flag(0.3):
        return [d.x(dims), d.ints([d.int(1, 5) for _ in dims])], {}
    return [d.x(dims), d.ints([d.int(1, 5) for _ in axes])], {"axes": axes}


@op("Dropout", since=12, types=(*FLOATS, *HALVES))
def dropout(d: Draw) -> Made:
    return [d.x(), d.optional(np.asarray(0.3, np.float32))], {}


@op("Dropout", since=7, until=11)
def legacy_dropout(d: Draw) -> Made:
    return [d.x()], d.attributes(ratio=0.25)


@op("Constant", types=ALL)
def constant(d: Draw) -> Made:
    return [], {"value": d.x()}
