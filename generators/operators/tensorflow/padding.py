"""Padding."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import Call, Draw
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, fitting, small

operator = REGISTRY.operator


@operator("tf.pad", family="padding", rounding=Rounding.EXACT, weight=1.5)
def pad(draw: Draw) -> Call:
    """REFLECT takes less than an extent on either side, SYMMETRIC at most an extent."""
    mode = draw.choice(("CONSTANT", "REFLECT", "SYMMETRIC"))
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1, where=small())
    limits = [{"CONSTANT": 3, "REFLECT": min(3, extent - 1), "SYMMETRIC": min(3, extent)}[mode] for extent in x.shape]
    paddings = tuple((draw.integer(0, limit), draw.integer(0, limit)) if draw.flag(0.7) else (0, 0) for limit in limits)
    fitting(draw, math.prod(extent + sum(pair) for extent, pair in zip(x.shape, paddings, strict=True)))
    kwargs: dict[str, Any] = {}
    if mode != "CONSTANT" or draw.flag():
        kwargs["mode"] = mode
    if mode == "CONSTANT" and x.dtype != "complex64" and draw.flag(0.6):
        kwargs["constant_values"] = draw.scalar(x.dtype)
    return draw.call(x, paddings, **kwargs)
