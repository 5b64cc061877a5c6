"""Exchanging positions for channels or batch, and cutting out patches."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.registry import Rounding
from generators.operators.shapes import reach
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, NUMERIC, REAL, fitting

operator = REGISTRY.operator


def _shaped(draw: Draw, shape: tuple[int, ...], dtypes: tuple[str, ...]) -> Handle:
    fitting(draw, math.prod(shape))
    return draw.tensor(shape, draw.dtype(dtypes))


@operator("tf.nn.space_to_depth", family="blocks", rounding=Rounding.EXACT, weight=0.8)
def space_to_depth(draw: Draw) -> Call:
    block = draw.integer(2, 3)
    rows, columns = (block * draw.integer(1, 3) for _ in range(2))
    return draw.call(_shaped(draw, (draw.integer(1, 2), rows, columns, draw.integer(1, 4)), ANY), block)


@operator("tf.nn.depth_to_space", family="blocks", rounding=Rounding.EXACT, weight=0.8)
def depth_to_space(draw: Draw) -> Call:
    block = draw.integer(2, 3)
    channels = block * block * draw.integer(1, 2)
    shape = (draw.integer(1, 2), draw.integer(1, 4), draw.integer(1, 4), channels)
    return draw.call(_shaped(draw, shape, ANY), block)


@operator("tf.space_to_batch", family="blocks", rounding=Rounding.EXACT, weight=0.7)
def space_to_batch(draw: Draw) -> Call:
    """Of one to three dimensions, each padded on both sides to a whole number of blocks."""
    count = draw.integer(1, 3)
    block = tuple(draw.integer(1, 3) for _ in range(count))
    extents, paddings = [], []
    for size in block:
        total = size * draw.integer(1, 3)
        before = draw.integer(0, min(2, total - 1)) if draw.flag() else 0
        after = draw.integer(0, min(2, total - 1 - before)) if draw.flag() else 0
        extents.append(total - before - after)
        paddings.append((before, after))
    rest = draw.shape(range(3), minimum=1, maximum=3)
    x = _shaped(draw, (draw.integer(1, 2), *extents, *rest), REAL)
    return draw.call(x, block, tuple(paddings))


@operator("tf.batch_to_space", family="blocks", rounding=Rounding.EXACT, weight=0.7)
def batch_to_space(draw: Draw) -> Call:
    count = draw.integer(1, 3)
    block = tuple(draw.integer(1, 3) for _ in range(count))
    extents = [draw.integer(1, 3) for _ in block]
    crops = []
    for size, extent in zip(block, extents, strict=True):
        before = draw.integer(0, min(2, size * extent - 1)) if draw.flag() else 0
        after = draw.integer(0, min(2, size * extent - 1 - before)) if draw.flag() else 0
        crops.append((before, after))
    rest = draw.shape(range(3), minimum=1, maximum=3)
    x = _shaped(draw, (math.prod(block) * draw.integer(1, 2), *extents, *rest), REAL)
    return draw.call(x, block, tuple(crops))


@operator("tf.image.extract_patches", family="blocks", rounding=Rounding.EXACT, weight=0.6)
def extract_patches(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC, ranks=(4,), minimum=1, where=lambda x: x.size <= 512)
    padding = draw.choice(("SAME", "VALID"))
    rates = [draw.integer(1, 2) for _ in range(2)]
    sizes = []
    for extent, rate in zip(x.shape[1:3], rates, strict=True):
        fits = [size for size in (1, 2, 3) if padding == "SAME" or reach(size, rate) <= extent]
        sizes.append(draw.choice(fits))
    strides = [draw.integer(1, 3) for _ in range(2)]
    fitting(draw, x.size * math.prod(sizes))
    return draw.call(x, (1, *sizes, 1), (1, *strides, 1), (1, *rates, 1), padding)


@operator("tf.signal.frame", family="blocks", rounding=Rounding.EXACT, weight=0.4)
def frame(draw: Draw) -> Call:
    """Overlapping windows of an axis, the last ones padded or left out."""
    x = draw.value(dtypes=ANY, ranks=range(1, 5), minimum=1, where=lambda x: x.size <= 512 and max(x.shape) > 1)
    axis = draw.choice([axis for axis in range(x.rank) if x.shape[axis] > 1])
    length = draw.integer(1, x.shape[axis])
    step = draw.integer(1, 3)
    fitting(draw, x.size * length)
    kwargs: dict[str, Any] = {"axis": axis - x.rank if draw.flag() else axis}
    if x.dtype not in ("bool", "complex64") and draw.flag():
        kwargs |= {"pad_end": True, "pad_value": draw.scalar(x.dtype)}
    return draw.call(x, length, step, **kwargs)
