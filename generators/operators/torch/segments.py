"""Sums by segment."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw
from generators.graph import Array
from generators.operators.torch.registry import REGISTRY
from generators.selectors import made


@REGISTRY.operator("torch.segment_reduce", family="segment", weight=0.4)
def segment_reduce(draw: Draw) -> Call:
    """Along the first axis, by lengths that add up to it: segments of nothing among them, or one of everything."""
    x = draw.value(
        dtypes=("float32", "float32", "float64"),
        ranks=range(1, 4),
        minimum=1,
        where=lambda x: draw.nonfinite or x.within(-1e4, 1e4),
    )
    how = draw.choice(("sum", "mean", "max", "min", "prod"))
    if how == "prod" and not x.within(-4, 4):
        how = "sum"
    extent = x.shape[0]
    count = draw.integer(1, min(extent + 1, 5))

    def lengths(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, str]:
        if count == 1 or rng.random() < 0.15:
            whole = np.zeros(count, np.int64)
            whole[rng.integers(0, count)] = extent
            return whole, "lengths ends"
        cuts = np.sort(rng.integers(0, extent, count - 1, endpoint=True))
        return np.diff(np.concatenate([[0], cuts, [extent]])), "lengths any"

    # What a segment of nothing gives is told, since the default is infinite for some.
    options: dict[str, Any] = {"lengths": made(draw, (count,), "int64", lengths), "initial": draw.choice((0, 1.0))}
    return draw.call(x, how, **options)
