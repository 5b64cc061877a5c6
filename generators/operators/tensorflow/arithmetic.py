"""Arithmetic of two and more tensors. Division and remainder of integers take every combination of signs, but never
a zero divisor nor the least integer by -1: those stop the process or are undefined."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from generators.draw import Call, Draw, Handle, spread
from generators.graph import DTYPES, FLOATING, INTEGRAL, Array
from generators.operators.domains import has_subnormals, normal_numbers
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import (
    FLOATING_OR_COMPLEX,
    LARGEST,
    NUMERIC,
    REAL,
    WIDE_FLOATING,
    either_way,
    integers,
    magnitudes,
    moderate,
    nonzero,
    other,
)

operator = REGISTRY.operator


@operator("tf.math.add", "tf.math.subtract", family="arithmetic", rounding=Rounding.BASIC, weight=1.5)
def additive(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC)
    return draw.call(*either_way(draw, x, other(draw, x)))


@operator("tf.math.multiply", family="arithmetic", rounding=Rounding.BASIC, weight=1.5)
def multiply(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC, where=lambda x: _squares(draw, x))
    if draw.flag(0.2):
        return draw.call(x, draw.scalar(x.dtype))
    return draw.call(*either_way(draw, x, other(draw, x, where=lambda y: _squares(draw, y), otherwise="typical")))


@operator("tf.math.squared_difference", family="arithmetic")
def squared_difference(draw: Draw) -> Call:
    x = draw.value(dtypes=(*FLOATING, "int32", "int64"), where=lambda x: _squares(draw, x))
    return draw.call(*either_way(draw, x, other(draw, x)))


def _squares(draw: Draw, x: Handle) -> bool:
    """Whether a product of such elements stays finite."""
    return draw.nonfinite or x.dtype in INTEGRAL or moderate(x, math.sqrt(LARGEST.get(x.dtype, 1e38)) / 2)


@operator("tf.math.maximum", "tf.math.minimum", family="arithmetic", rounding=Rounding.EXACT)
def extremes(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL)
    return draw.call(*either_way(draw, x, other(draw, x)))


def divisor(draw: Draw, x: Handle) -> Handle | int | float:
    """A divisor of ``x`` of its dtype: no zeros (floats may have them in cases that want infinities), and no -1 where
    ``x`` holds the least integer."""
    if x.dtype not in INTEGRAL:
        if draw.flag(0.2):
            return draw.choice((2.0, -3.0, 0.5, -0.25, 7.0, 1e-3, -1.0))
        least = 0.0 if draw.nonfinite else 1e-3
        result = other(draw, x, where=lambda y: bool((np.abs(y.array) >= least).all()), otherwise=magnitudes(0.05, 8.0))
        assert not isinstance(result, bool)
        return result
    risky = x.size > 0 and bool((x.array == np.iinfo(DTYPES[x.dtype]).min).any()) and x.dtype != "uint8"
    if draw.flag(0.2):
        return draw.choice((2, 3, 7, 5) if x.dtype == "uint8" else (2, -3, 7, -5, 3, -2))
    if not risky:
        draw.require(x, lambda x: not x.size or x.bounds[0] > np.iinfo(DTYPES[x.dtype]).min or x.dtype == "uint8")
    exclude = (0, -1) if risky else (0,)
    result = other(
        draw,
        x,
        where=lambda y: nonzero(y) and not (risky and bool((y.array == -1).any())),
        otherwise=integers(1 if x.dtype == "uint8" else -4, 4, exclude=exclude),
    )
    assert not isinstance(result, bool)
    return result


@operator(
    "tf.math.floordiv",
    "tf.math.floormod",
    "tf.truncatediv",
    "tf.raw_ops.FloorDiv",
    "tf.raw_ops.FloorMod",
    family="division",
    weight=0.8,
)
def whole_division(draw: Draw) -> Call:
    x = draw.value(dtypes=INTEGRAL if draw.flag(0.6) else REAL, where=lambda x: moderate(x, 2.0**60))
    return _named(draw, x, divisor(draw, x))


@operator("tf.truncatemod", family="division", weight=0.8)
def truncatemod(draw: Draw) -> Call:
    x = draw.value(dtypes=("int32", "int64") if draw.flag(0.6) else ("float32", "float64"))
    return draw.call(x, divisor(draw, x))


def _named(draw: Draw, x: Handle, y: Handle | int | float) -> Call:
    return draw.call(x=x, y=y) if ".raw_ops." in draw.target else draw.call(x, y)


@operator("tf.math.divide", "tf.math.truediv", family="division", rounding=Rounding.BASIC)
def divide(draw: Draw) -> Call:
    """Integers are divided as float32 (8 and 16 bits) or float64."""
    x = draw.value(dtypes=FLOATING_OR_COMPLEX if draw.flag(0.7) else NUMERIC)
    return draw.call(x, divisor(draw, x))


@operator("tf.math.divide_no_nan", family="division", rounding=Rounding.BASIC)
def divide_no_nan(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, other(draw, x, where=lambda y: _zero_or_not_tiny(draw, y), otherwise="zeros_and_signs"))


def _zero_or_not_tiny(draw: Draw, y: Handle) -> bool:
    magnitude = np.abs(y.array)
    return draw.nonfinite or bool(((magnitude == 0) | (magnitude > 1e-2)).all())


@operator("tf.math.multiply_no_nan", family="arithmetic", rounding=Rounding.BASIC, weight=0.7)
def multiply_no_nan(draw: Draw) -> Call:
    """Zero wherever the second operand is zero, also where the first is infinite or NaN."""
    x = draw.value(dtypes=FLOATING, where=lambda x: _squares(draw, x))
    y = other(draw, x, where=lambda y: _squares(draw, y), otherwise="zeros_and_signs")
    return draw.call(x, y)


#: The second operand's domain, when the first is not zero.
_LOGARITHMIC: Mapping[str, tuple[float, float]] = {
    "tf.math.xdivy": (0.05, 8.0),
    "tf.math.xlogy": (0.05, 8.0),
    "tf.math.xlog1py": (-0.9, 8.0),
}


@operator(*_LOGARITHMIC, family="arithmetic", weight=0.5)
def zero_times(draw: Draw) -> Call:
    """Zero wherever the first operand is zero, whatever the second: a few second operands are zero there."""
    low, high = _LOGARITHMIC[draw.target]
    x = draw.value(dtypes=FLOATING, where=lambda x: moderate(x, 1000.0))
    pole = -1.0 if "1p" in draw.target else 0.0

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        data = spread(low, high)(rng, shape, dtype)
        return np.where(x.array == 0, np.asarray(pole).astype(data.dtype), data) if shape == x.shape else data

    return draw.call(x, draw.tensor(x.shape if draw.flag() else draw.broadcast_shape(x.shape), x.dtype, elements))


@operator("tf.math.pow", family="arithmetic")
def power(draw: Draw) -> Call:
    """Integers to exponents from 0; floats of any sign to whole exponents, and positive ones to any."""
    if draw.flag(0.25):
        x = draw.value(dtypes=("int8", "int16", "int32", "int64"), where=lambda x: moderate(x, 30.0))
        if draw.flag(0.4):
            return draw.call(x, draw.integer(0, 4))
        return draw.call(x, other(draw, x, where=lambda y: y.within(0, 4), otherwise=integers(0, 4)))
    if draw.flag(0.5):
        x = draw.bounded(0.05, 12.0)
        if draw.flag(0.5):
            return draw.call(x, draw.choice((0.5, 2.0, -1.0, 0.0, 1.0, -0.5, 3.0, 1.5, 0.333)))
        return draw.call(x, other(draw, x, where=lambda y: y.within(-3, 3), otherwise=spread(-3.0, 3.0)))
    x = draw.value(dtypes=FLOATING, where=lambda x: draw.nonfinite or moderate(x, 35.0))
    if draw.flag(0.5):
        return draw.call(x, draw.choice((2.0, 3.0, 0.0, 1.0, 2, 3)))
    return draw.call(x, other(draw, x, where=lambda y: False, otherwise=integers(0, 3)))


@operator("tf.math.atan2", family="arithmetic", weight=0.8, domain=normal_numbers)
def atan2(draw: Draw) -> Call:
    """All quadrants, and zeros of both signs, where the result is defined by IEEE 754."""
    y = draw.value(dtypes=FLOATING, where=_normal)
    x = draw.broadcastable(y)
    if not _normal(x):
        draw.reject("numbers below the normal range")
    draw.require(x, _normal)
    return draw.call(y, x)


def _normal(x: Handle) -> bool:
    return x.dtype not in WIDE_FLOATING or not has_subnormals(x.array)


@operator("tf.math.nextafter", family="arithmetic", rounding=Rounding.EXACT, weight=0.2)
def nextafter(draw: Draw) -> Call:
    """Away from zero, whose neighbours are subnormal: TensorFlow's kernels flush those."""
    x = draw.value(dtypes=WIDE_FLOATING, where=nonzero, otherwise=magnitudes(0.1, 8.0))
    return draw.call(x, draw.broadcastable(x))


@operator("tf.math.add_n", family="arithmetic", weight=0.7)
def add_n(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC)
    return draw.call((x, *(draw.like(x) for _ in range(draw.integer(0, 3)))))


@operator("tf.linalg.cross", family="arithmetic", weight=0.4)
def cross(draw: Draw) -> Call:
    shape = (*draw.shape(range(4), maximum=5), 3)
    x = draw.tensor(shape, draw.dtype(REAL))
    if not _squares(draw, x):
        draw.reject("overflows")
    return draw.call(x, draw.tensor(shape, x.dtype, magnitudes(0.5, 5.0) if x.dtype == "float16" else None))
