"""Comparison and logic. Results are exact."""

from __future__ import annotations

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, Array
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, REAL, WIDE_FLOATING, either_way

operator = REGISTRY.operator


@operator("tf.math.equal", "tf.math.not_equal", family="comparison", rounding=Rounding.EXACT, weight=0.6)
def equality(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(*_compared(draw, x))


def _compared(draw: Draw, x: Handle) -> tuple[Handle | bool | int | float, ...]:
    """Operands that have elements in common, mostly: random floats never agree, and numbers far off from all elements
    compare alike with all of them."""
    if x.size > 1 and draw.flag(0.4):
        return x, draw.tensor(x.shape, x.dtype, lambda rng, shape, dtype: _half_equal(rng, x.array))
    if x.size and x.dtype != "complex64" and draw.flag(0.4):
        element = x.array.reshape(-1)[draw.integer(0, x.size - 1)]
        return x, element.item() if isinstance(element, np.generic) and element.dtype.kind != "V" else float(element)
    return either_way(draw, x, draw.broadcastable(x))


def _half_equal(rng: np.random.Generator, array: Array) -> Array:
    shuffled = rng.permutation(array.reshape(-1)).reshape(array.shape)
    return np.where(rng.random(array.shape) < 0.5, array, shuffled)


@operator(
    "tf.math.less",
    "tf.math.less_equal",
    "tf.math.greater",
    "tf.math.greater_equal",
    family="comparison",
    rounding=Rounding.EXACT,
    weight=0.6,
)
def order(draw: Draw) -> Call:
    return draw.call(*_compared(draw, draw.value(dtypes=REAL)))


@operator("tf.raw_ops.ApproximateEqual", family="comparison", rounding=Rounding.EXACT, weight=0.2)
def approximate_equal(draw: Draw) -> Call:
    x = draw.value(dtypes=WIDE_FLOATING)
    y = draw.tensor(x.shape, x.dtype, lambda rng, shape, dtype: _half_equal(rng, x.array))
    return draw.call(x=x, y=y, tolerance=draw.choice((1e-5, 0.5, 1.0, 2.0)))


@operator("tf.math.logical_and", "tf.math.logical_or", "tf.math.logical_xor", family="logic", rounding=Rounding.EXACT)
def logical(draw: Draw) -> Call:
    x = draw.value(dtypes=("bool",))
    return draw.call(*either_way(draw, x, draw.broadcastable(x)))


@operator("tf.math.logical_not", family="logic", rounding=Rounding.EXACT)
def logical_not(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=("bool",)))


@operator(
    "tf.math.is_non_decreasing",
    "tf.math.is_strictly_increasing",
    family="comparison",
    rounding=Rounding.EXACT,
    weight=0.2,
)
def monotonic(draw: Draw) -> Call:
    if draw.flag():
        return draw.call(draw.tensor((draw.integer(1, 8),), REAL, _ascending))
    return draw.call(draw.value(dtypes=REAL))


def _ascending(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    return np.asarray(np.sort(rng.integers(0, 100, shape)).astype(DTYPES[dtype]))
