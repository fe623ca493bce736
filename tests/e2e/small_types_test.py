"""Elements of 8, 4 and 2 bits: every code and every rounding against ml_dtypes, and how they are moved."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import numpy_helper

from gradwire import Session, commands, dtypes
from gradwire.dtypes import Array

FLOATS = [
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
    ml_dtypes.float4_e2m1fn,
    ml_dtypes.float8_e8m0fnu,
]
INTS = [ml_dtypes.uint4, ml_dtypes.int4, ml_dtypes.uint2, ml_dtypes.int2]
SMALL = [*FLOATS, *INTS]
HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
PACKED_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}


def codes(dtype: Any) -> Array:
    """Every element of a small type."""
    bits = PACKED_BITS.get(dtypes.to_code(dtype), 8)
    array = np.arange(1 << bits).astype(np.uint8)
    return array.astype(dtype) if dtype in INTS else array.view(dtype)


def call(session: Session, op: str, *inputs: Array, **attributes: Any) -> Array:
    names = [f"x{i}" for i in range(len(inputs))]
    node = commands.node(op, names, ["y"], attributes)
    _, fetched = session.forward([node], feeds=dict(zip(names, inputs, strict=True)), fetch=["y"])
    return fetched[0]


def cast(session: Session, array: Array, dtype: Any, **attributes: Any) -> Array:
    return call(session, "Cast", array, to=dtypes.to_code(dtype), **attributes)


def bits_of(array: Array) -> Array:
    """Codes, with one code for every NaN."""
    codes = array.view(np.uint8).copy()
    codes[np.isnan(array.astype(np.float32))] = 255
    return codes


@pytest.mark.parametrize("dtype", SMALL)
def test_every_code_becomes_its_number(session: Session, dtype: Any) -> None:
    every = codes(dtype)
    for wide in (np.float32, np.float64, np.float16):
        if wide == np.float16 and dtype is ml_dtypes.float8_e8m0fnu:
            continue
        np.testing.assert_array_equal(cast(session, every, wide), every.astype(wide))
    if dtype in INTS:
        np.testing.assert_array_equal(cast(session, every, np.int64), every.astype(np.int64))
    np.testing.assert_array_equal(bits_of(cast(session, every, dtype, saturate=0)), bits_of(every))


@pytest.mark.parametrize("dtype", FLOATS[:5])
@pytest.mark.parametrize("saturate", [0, 1])
def test_every_half_is_rounded(session: Session, dtype: Any, saturate: int) -> None:
    halves = HALVES[~np.isnan(HALVES)] if dtype is ml_dtypes.float4_e2m1fn else HALVES
    with np.errstate(all="ignore"):
        expected = numpy_helper.saturate_cast(halves, np.dtype(dtype)) if saturate else halves.astype(dtype)
    np.testing.assert_array_equal(bits_of(cast(session, halves, dtype, saturate=saturate)), bits_of(expected))


@pytest.mark.parametrize("dtype", FLOATS[:5])
def test_doubles_are_rounded_once(session: Session, dtype: Any) -> None:
    every = codes(dtype)
    numbers = every.astype(np.float64)
    order = np.argsort(numbers)[np.isfinite(np.sort(numbers))]
    middles = (numbers[order][1:] + numbers[order][:-1]) / 2
    middles = middles[np.diff(numbers[order]) > 0]
    for toward in (0, -np.inf, np.inf):
        near = np.nextafter(middles, toward) if toward else middles
        below = numbers[order][np.searchsorted(numbers[order], near, "right") - 1]
        above = numbers[order][np.searchsorted(numbers[order], near, "left")]
        even = below.astype(dtype).view(np.uint8) % 2 == 0
        expected = np.where(even, below, above) if not toward else below if toward < 0 else above
        result = cast(session, near, dtype).astype(np.float64)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("mode", "codes"), [("up", [128, 129, 129, 129]), ("down", [128, 128, 128, 128]),
                                             ("nearest", [128, 128, 129, 129])])
def test_powers_of_two(session: Session, mode: str, codes: list[int]) -> None:
    e8m0 = ml_dtypes.float8_e8m0fnu
    x = np.array([2, 2.9, 3, 3.9], np.float32)
    assert cast(session, x, e8m0, round_mode=mode).view(np.uint8).tolist() == codes
    special = np.array([0, np.nan, np.inf, 3e38, 2.0**-127, 2.0**-128], np.float32)
    assert cast(session, special, e8m0).view(np.uint8).tolist() == [0, 255, 254, 254, 0, 0]
    lost = cast(session, special, e8m0, saturate=0, round_mode="nearest")
    assert lost.view(np.uint8).tolist() == [255, 255, 255, 255, 0, 255]


@pytest.mark.parametrize("dtype", INTS)
@pytest.mark.parametrize("wide", [np.int64, np.int8, np.uint16, np.float32, np.float64, np.float16])
def test_integers_keep_their_low_bits(session: Session, dtype: Any, wide: Any) -> None:
    numbers = np.arange(-300, 301) if np.dtype(wide).kind != "u" else np.arange(601)
    x = numbers.astype(wide)
    np.testing.assert_array_equal(cast(session, x, dtype), x.astype(np.int64).astype(dtype))


@pytest.mark.parametrize("dtype", SMALL)
def test_movement(session: Session, dtype: Any) -> None:
    every = codes(dtype)
    x = np.resize(every, 3 * 5 * 7).reshape(3, 5, 7)
    moved = call(session, "Transpose", x, perm=[2, 0, 1])
    np.testing.assert_array_equal(moved.view(np.uint8), x.transpose(2, 0, 1).view(np.uint8))
    filled = call(session, "ConstantOfShape", np.array([3, 3]), value=every[1:2])
    assert filled.dtype == dtype and (filled.view(np.uint8) == every[1:2].view(np.uint8)).all()
    pads = np.array([0, 1, 0, 0, 0, 2])
    padded = call(session, "Pad", x, pads, every[2:3].reshape(()))
    expected = np.pad(x.view(np.uint8), [(0, 0), (1, 0), (0, 2)], constant_values=every[2:3].view(np.uint8)[0])
    np.testing.assert_array_equal(bits_of(padded), bits_of(expected.view(x.dtype)))
    cache, update = x[:, :, None, :], x[:, :3, None, 1:]
    scattered = call(session, "TensorScatter", cache[..., 1:], update, np.array([0, 1, 2]), axis=1)
    wanted = cache[..., 1:].copy()
    for row in range(3):
        wanted[row, row : row + 3] = update[row]
    np.testing.assert_array_equal(bits_of(scattered), bits_of(wanted))


def test_a_wrong_rounding_is_refused(session: Session) -> None:
    with pytest.raises(Exception, match="round_mode is 'odd'"):
        cast(session, np.ones(1, np.float32), ml_dtypes.float8_e8m0fnu, round_mode="odd")
