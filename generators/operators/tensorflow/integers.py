"""Bitwise operations on integers."""

from __future__ import annotations

from generators.draw import Call, Draw
from generators.graph import DTYPES, INTEGRAL
from generators.operators.domains import shift_counts
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import either_way, integers, other

operator = REGISTRY.operator


@operator(
    "tf.bitwise.bitwise_and",
    "tf.bitwise.bitwise_or",
    "tf.bitwise.bitwise_xor",
    family="bitwise",
    rounding=Rounding.EXACT,
    weight=0.5,
)
def bitwise(draw: Draw) -> Call:
    x = draw.value(dtypes=INTEGRAL)
    return draw.call(*either_way(draw, x, other(draw, x)))


@operator("tf.bitwise.invert", family="bitwise", rounding=Rounding.EXACT, weight=0.5)
def invert(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=INTEGRAL))


@operator("tf.raw_ops.PopulationCount", family="bitwise", rounding=Rounding.EXACT, weight=0.2)
def population_count(draw: Draw) -> Call:
    return draw.call(x=draw.value(dtypes=INTEGRAL))


@operator(
    "tf.bitwise.left_shift",
    "tf.bitwise.right_shift",
    family="bitwise",
    rounding=Rounding.EXACT,
    weight=0.7,
    domain=shift_counts,
)
def shift(draw: Draw) -> Call:
    """By less than the width: the result of anything else is left to the implementation. A right shift of a negative
    number repeats the sign bit."""
    x = draw.value(dtypes=INTEGRAL)
    last = 8 * DTYPES[x.dtype].itemsize - 1
    if draw.flag(0.3):
        return draw.call(x, draw.integer(0, min(last, 8)))
    high = last if draw.flag(0.3) else min(last, 7)
    return draw.call(x, other(draw, x, where=lambda y: y.within(0, last), otherwise=integers(0, high)))
