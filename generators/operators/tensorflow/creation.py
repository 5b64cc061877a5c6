"""Tensors out of few numbers. Every call names its element type: there is no default that could be widened."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, DType
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, INDEX, fitting
from generators.selectors import lengths

operator = REGISTRY.operator


@operator("tf.range", family="creation", rounding=Rounding.BASIC, weight=0.5)
def range_(draw: Draw) -> Call:
    """Up and down, whole and fractional steps (of halves: the number of elements must not hang on rounding)."""
    dtype = draw.dtype((*FLOATING, "int32", "int64"))
    count = draw.integer(2, 10)
    start = draw.integer(-8, 8)
    step = draw.choice((1, 2, 3, -1, -2))
    if dtype in FLOATING and draw.flag():
        scaled = step / 2
        return draw.call(start / 2, start / 2 + count * scaled, scaled, dtype=DType(dtype))
    if draw.flag(0.3):
        return draw.call(count, dtype=DType(dtype))
    slack = draw.integer(0, abs(step) - 1) * (1 if step < 0 else -1)
    return draw.call(start, start + count * step + slack, step, dtype=DType(dtype))


@operator("tf.linspace", family="creation", weight=0.5)
def linspace(draw: Draw) -> Call:
    def tame(x: Handle) -> bool:
        return x.size <= 256 and x.within(-1e4, 1e4)

    start = draw.value(dtypes=FLOATING, ranks=range(4), minimum=1, where=tame)
    stop = draw.like(start)
    if not tame(stop):
        draw.forget(stop)
        stop = draw.tensor(start.shape, start.dtype, "typical")
    kwargs: dict[str, Any] = {"axis": draw.axis(start.rank + 1)} if draw.flag(0.6) else {}
    return draw.call(start, stop, draw.integer(2, 6), **kwargs)


@operator("tf.fill", family="creation", rounding=Rounding.EXACT, weight=0.1)
def fill(draw: Draw) -> Call:
    return draw.call(draw.shape(range(4), minimum=1, maximum=4), draw.tensor((), draw.dtype(ANY)))


@operator("tf.zeros_like", "tf.ones_like", family="creation", rounding=Rounding.EXACT, weight=0.1)
def like(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, dtype=DType(draw.dtype(ANY)))


@operator("tf.zeros", "tf.ones", family="creation", rounding=Rounding.EXACT, weight=0.1)
def constant(draw: Draw) -> Call:
    return draw.call(draw.shape(range(4), minimum=1, maximum=4), dtype=DType(draw.dtype(ANY)))


@operator("tf.one_hot", family="creation", rounding=Rounding.EXACT)
def one_hot(draw: Draw) -> Call:
    """Any axis, own numbers for on and off; indices outside the depth, negative ones too, give all off."""
    depth = draw.integer(2, 6)
    shape = draw.shape(range(4), minimum=1, maximum=5)
    fitting(draw, math.prod(shape) * depth)
    low, high = (-1, depth) if draw.flag(0.3) else (0, depth - 1)
    indices = draw.indices(shape, low, high, dtypes=("int8", *INDEX))
    dtype = draw.dtype(ANY)
    kwargs: dict[str, Any] = {"dtype": DType(dtype)}
    if dtype == "bool":
        flag = draw.flag()
        kwargs |= {"on_value": flag, "off_value": not flag}
    elif draw.flag(0.5) and dtype != "complex64":
        on, off = draw.scalar(dtype), draw.scalar(dtype)
        if on != off:
            kwargs |= {"on_value": on, "off_value": off}
    if draw.flag(0.6):
        kwargs["axis"] = draw.integer(-1, len(shape))
    return draw.call(indices, depth, **kwargs)


@operator("tf.sequence_mask", family="creation", rounding=Rounding.EXACT, weight=0.5)
def sequence_mask(draw: Draw) -> Call:
    longest = draw.integer(2, 6)
    counts = lengths(draw, draw.shape(range(1, 4), minimum=1, maximum=5), 0, longest + 1, dtypes=INDEX)
    fitting(draw, counts.size * longest)
    kwargs: dict[str, Any] = {"dtype": DType(draw.dtype(ANY))} if draw.flag(0.7) else {}
    return draw.call(counts, longest, **kwargs)
