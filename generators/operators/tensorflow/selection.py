"""Choosing between values and clipping them."""

from __future__ import annotations

import numpy as np

from generators.draw import Call, Draw
from generators.graph import FLOATING, INTEGRAL
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, REAL, moderate

operator = REGISTRY.operator


@operator("tf.where", family="selection", rounding=Rounding.EXACT, weight=1.5)
def where(draw: Draw) -> Call:
    """All three operands broadcast; either branch may be a Python number."""
    x = draw.value(dtypes=ANY)
    condition = draw.broadcastable(x, "bool")
    full = np.broadcast_shapes(x.shape, condition.shape)
    shape = tuple(1 if draw.flag(0.15) else extent for extent in full)
    if draw.flag(0.15):
        shape = shape[draw.integer(0, len(shape)) :]
    y = draw.scalar(x.dtype) if draw.flag(0.2) else draw.tensor(shape, x.dtype)
    return draw.call(condition, *((x, y) if draw.flag() else (y, x)))


@operator("tf.clip_by_value", family="selection", rounding=Rounding.EXACT)
def clip_by_value(draw: Draw) -> Call:
    """Bounds as numbers, scalars or tensors; a lower bound above the upper one gives the upper one."""
    x = draw.value(dtypes=REAL)
    if x.dtype in INTEGRAL:
        low: object = draw.integer(0 if x.dtype == "uint8" else -5, 2)
        high: object = draw.integer(3, 100)
    else:
        low, high = draw.real(-2.0, 0.0), draw.real(0.1, 3.0)
    if draw.flag(0.25):
        low = draw.tensor(() if draw.flag() else x.shape, x.dtype)
    if draw.flag(0.25):
        high = draw.tensor(() if draw.flag() else x.shape, x.dtype)
    return draw.call(x, low, high)


@operator("tf.clip_by_norm", family="selection", weight=0.6)
def clip_by_norm(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1, where=lambda x: draw.nonfinite or moderate(x, 100.0 / (x.size**0.5)))
    norm = draw.choice((1.0, 0.5, 3.0, 100.0))
    if x.rank == 0 or draw.flag(0.4):
        return draw.call(x, norm)
    return draw.call(x, norm, axes=draw.axis(x.rank) if draw.flag(0.3) else draw.axes(x.rank))
