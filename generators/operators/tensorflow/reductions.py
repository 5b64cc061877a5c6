"""Reductions over none, one, several or all axes."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import (
    FLOATING_OR_COMPLEX,
    LARGEST,
    NUMERIC,
    REAL,
    REAL_OR_BOOL,
    index_dtype,
    moderate,
    no_nan,
)

operator = REGISTRY.operator


def axis_arguments(draw: Draw, rank: int) -> dict[str, Any]:
    """``axis`` as a number, a tuple (sometimes empty) or None, given or left out; ``keepdims`` given or left out."""
    kwargs: dict[str, Any] = {}
    if rank and draw.flag(0.45):
        kwargs["axis"] = draw.axis(rank)
    elif rank and draw.flag(0.75):
        kwargs["axis"] = draw.axes(rank, low=0 if draw.flag(0.05) else 1)
    elif draw.flag():
        kwargs["axis"] = None
    if draw.flag(0.6):
        kwargs["keepdims"] = draw.flag()
    return kwargs


def _finite_sum(draw: Draw, x: Handle) -> bool:
    return draw.nonfinite or x.dtype not in LARGEST or moderate(x, LARGEST[x.dtype] / max(x.size, 1))


@operator("tf.reduce_sum", family="reduction", weight=1.2)
def total(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC, where=lambda x: _finite_sum(draw, x))
    return draw.call(x, **axis_arguments(draw, x.rank))


@operator("tf.reduce_mean", family="reduction", weight=1.2)
def mean(draw: Draw) -> Call:
    """The mean of integers is an integer."""
    x = draw.value(dtypes=NUMERIC, minimum=1, where=lambda x: _finite_sum(draw, x))
    return draw.call(x, **axis_arguments(draw, x.rank))


@operator("tf.reduce_prod", family="reduction", weight=0.8)
def product(draw: Draw) -> Call:
    limit = 3.0 if draw.flag(0.8) else 20.0
    x = draw.value(dtypes=NUMERIC, where=lambda x: draw.nonfinite or (x.size <= 512 and moderate(x, limit)))
    kwargs = axis_arguments(draw, x.rank)
    if x.size > 8 and not (isinstance(kwargs.get("axis"), int) or draw.nonfinite):
        kwargs["axis"] = draw.axis(x.rank)
    return draw.call(x, **kwargs)


@operator("tf.reduce_max", "tf.reduce_min", family="reduction", rounding=Rounding.EXACT)
def extremum(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, minimum=0 if draw.nonfinite else 1)
    return draw.call(x, **axis_arguments(draw, x.rank))


@operator("tf.reduce_all", "tf.reduce_any", family="reduction", rounding=Rounding.EXACT)
def quantifier(draw: Draw) -> Call:
    x = draw.value(dtypes=("bool",))
    return draw.call(x, **axis_arguments(draw, x.rank))


@operator("tf.reduce_logsumexp", family="reduction")
def logsumexp(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1)
    return draw.call(x, **axis_arguments(draw, x.rank))


@operator(
    "tf.math.reduce_variance", "tf.math.reduce_std", "tf.math.reduce_euclidean_norm", family="reduction", weight=0.8
)
def spread_of(draw: Draw) -> Call:
    dtypes = FLOATING_OR_COMPLEX if draw.flag(0.2) else FLOATING
    x = draw.value(dtypes=dtypes, minimum=1, where=lambda x: draw.nonfinite or moderate(x, 200.0))
    kwargs = axis_arguments(draw, x.rank)
    if draw.target.endswith("norm") and kwargs.get("axis", 0) == ():
        kwargs["axis"] = None
    return draw.call(x, **kwargs)


@operator("tf.argmax", "tf.argmin", family="reduction", rounding=Rounding.EXACT, weight=1.2)
def arg_extremum(draw: Draw) -> Call:
    """The index of the first extremum: ties are resolved."""
    x = draw.value(dtypes=REAL_OR_BOOL, ranks=range(1, 6), minimum=1, where=no_nan)
    kwargs: dict[str, Any] = {}
    if draw.flag(0.8):
        kwargs["axis"] = draw.axis(x.rank)
    if draw.flag(0.6):
        kwargs["output_type"] = index_dtype(draw)
    return draw.call(x, **kwargs)


@operator("tf.math.count_nonzero", family="reduction", rounding=Rounding.EXACT, weight=0.7)
def count_nonzero(draw: Draw) -> Call:
    x = draw.value(dtypes=(*NUMERIC, "bool"))
    kwargs = axis_arguments(draw, x.rank)
    if draw.flag(0.5):
        kwargs["dtype"] = index_dtype(draw)
    return draw.call(x, **kwargs)


@operator("tf.math.zero_fraction", family="reduction", weight=0.3)
def zero_fraction(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=(*REAL, "bool"), minimum=1))


@operator("tf.norm", family="reduction", weight=0.8)
def norm(draw: Draw) -> Call:
    """Vector norms of every order, and the matrix norms that are no decompositions."""
    x = draw.value(dtypes=FLOATING, minimum=1, where=lambda x: draw.nonfinite or moderate(x, 100.0))
    kwargs: dict[str, Any] = {"keepdims": draw.flag()} if draw.flag() else {}
    if x.rank >= 2 and draw.flag(0.3):
        return draw.call(
            x, ord=draw.choice(("euclidean", "fro", 1, float("inf"))), axis=draw.axes(x.rank, 2, 2), **kwargs
        )
    axis = draw.axis(x.rank) if x.rank and draw.flag(0.7) else None
    order = draw.choice(("euclidean", 1, 2, float("inf"), 3, 1.5))
    return draw.call(x, ord=order, axis=axis, **kwargs)
