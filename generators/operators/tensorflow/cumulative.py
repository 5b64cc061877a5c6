"""Running sums and products."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import LARGEST, NUMERIC, moderate

operator = REGISTRY.operator


def _arguments(draw: Draw, x: Handle, *, exclusive: bool = True) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"axis": draw.axis(x.rank)} if draw.flag(0.8) else {}
    if exclusive and draw.flag():
        kwargs["exclusive"] = draw.flag(0.7)
    if draw.flag():
        kwargs["reverse"] = draw.flag(0.7)
    return kwargs


@operator("tf.math.cumsum", family="cumulative", weight=1.2)
def cumsum(draw: Draw) -> Call:
    x = draw.value(
        dtypes=NUMERIC,
        ranks=range(1, 6),
        where=lambda x: draw.nonfinite or x.dtype not in LARGEST or moderate(x, LARGEST[x.dtype] / max(8, x.size)),
    )
    return draw.call(x, **_arguments(draw, x))


@operator("tf.math.cumprod", family="cumulative", weight=0.8)
def cumprod(draw: Draw) -> Call:
    x = draw.value(
        dtypes=NUMERIC,
        ranks=range(1, 6),
        where=lambda x: draw.nonfinite or moderate(x, 3.5) or (x.dtype not in LARGEST and x.dtype != "complex64"),
    )
    return draw.call(x, **_arguments(draw, x))


@operator("tf.math.cumulative_logsumexp", family="cumulative", weight=0.5)
def cumulative_logsumexp(draw: Draw) -> Call:
    """The logarithm of an empty sum, with which an exclusive one begins, is an infinity."""
    x = draw.value(dtypes=FLOATING, ranks=range(1, 6), minimum=1)
    return draw.call(x, **_arguments(draw, x, exclusive=draw.nonfinite))
