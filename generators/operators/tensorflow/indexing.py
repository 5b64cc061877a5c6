"""Reading elements by position: gathers, subscripts and slices. TensorFlow's gathers take no negative indices."""

from __future__ import annotations

import math
from types import EllipsisType
from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, Array, Slice
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, INDEX, constant_of, fitting, moderate
from generators.selectors import INDICES, distinct_elements, index_elements, made, mask

operator = REGISTRY.operator


@operator("tf.gather", family="indexing", rounding=Rounding.EXACT, weight=1.5)
def gather(draw: Draw) -> Call:
    """Along any axis, by indices of rank 0 to 2, with leading dimensions shared (``batch_dims``) by both."""
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    axis = draw.integer(0, x.rank - 1)
    batch = draw.integer(0, axis) if draw.flag(0.3) else 0
    shape = (*x.shape[:batch], *draw.shape(range(3), minimum=1, maximum=4))
    rest = x.size // math.prod(x.shape[:batch]) // x.shape[axis]
    fitting(draw, math.prod(shape) * rest)
    indices = draw.indices(shape, 0, x.shape[axis] - 1, dtypes=INDEX)
    if batch:
        return draw.call(x, indices, axis=axis - x.rank if draw.flag() else axis, batch_dims=batch)
    if axis == 0 and draw.flag(0.4):
        return draw.call(x, indices)
    return draw.call(x, indices, axis=axis - x.rank if draw.flag() else axis)


def positions(draw: Draw, extents: tuple[int, ...], shape: tuple[int, ...], *, unique: bool = False) -> Handle:
    """Indices of shape ``(*shape, len(extents))``, each row a position in a tensor of those extents; no row twice
    when ``unique``."""
    size, count = math.prod(extents), math.prod(shape)
    if size == 0 or (unique and count > size):
        draw.reject("not enough positions")

    chosen = draw.weighted(INDICES)

    def elements(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, str]:
        make = distinct_elements if unique else index_elements
        flat, profile = make(rng, (math.prod(shape[:-1]),), 0, size - 1, chosen)
        return (np.stack(np.unravel_index(flat, extents), axis=-1) if extents else np.zeros(shape)), profile

    return made(draw, (*shape, len(extents)), INDEX, elements)


@operator("tf.gather_nd", family="indexing", rounding=Rounding.EXACT)
def gather_nd(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    batch = draw.integer(0, min(2, x.rank - 1)) if draw.flag(0.35) else 0
    depth = draw.integer(1, x.rank - batch)
    shape = (*x.shape[:batch], *draw.shape((0, 1, 2) if batch else (1, 2), minimum=1, maximum=4))
    if batch and len(shape) == batch:
        shape = (*shape, draw.integer(1, 3))
    fitting(draw, math.prod(shape) * math.prod(x.shape[batch + depth :]))
    indices = positions(draw, x.shape[batch : batch + depth], shape)
    return draw.call(x, indices, batch_dims=batch) if batch else draw.call(x, indices)


def _bounds(draw: Draw, extent: int) -> Slice:
    """A slice that takes at least one element: steps of either sign, bounds negative, past the end and left out."""
    step = draw.choice((1, 1, 2, 3, -1, -1, -2))
    first = draw.integer(0, extent - 1)
    if step > 0:
        start: int | None = first
        stop: int | None = draw.integer(first + 1, extent)
        if start == 0 and draw.flag():
            start = None
        if stop == extent and draw.flag(0.7):
            stop = draw.choice((None, extent + 2))
    else:
        start = first
        last = draw.integer(-1, first - 1)
        stop = None if last < 0 else last
        if start == extent - 1 and draw.flag(0.7):
            start = draw.choice((None, extent + 1))
    if start is not None and 0 <= start < extent and draw.flag(0.4):
        start -= extent
    if stop is not None and 0 < stop < extent and draw.flag(0.4):
        stop -= extent
    return Slice(start, stop, None if step == 1 and draw.flag(0.8) else step)


@operator("operator.getitem", family="indexing", rounding=Rounding.EXACT, weight=2)
def subscript(draw: Draw) -> Call:
    """Slices, integers, new axes and an ellipsis, for all dimensions or only the first."""
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    items: list[Slice | int | EllipsisType | None] = []
    axis = 0
    while axis < x.rank:
        if Ellipsis not in items and draw.flag(0.15):
            items.append(...)
            axis = draw.integer(axis, x.rank)
            continue
        if len(items) + x.rank - axis < 6 and draw.flag(0.1):
            items.append(None)
        extent = x.shape[axis]
        if draw.flag(0.15):
            items.append(draw.integer(-extent, extent - 1))
        elif draw.flag(0.15):
            items.append(Slice())
        else:
            items.append(_bounds(draw, extent))
        axis += 1
        if draw.flag(0.12):
            break
    if draw.flag(0.05):
        items.append(None)
    return draw.call(x, items[0] if len(items) == 1 else tuple(items))


@operator("tf.slice", family="indexing", rounding=Rounding.EXACT)
def slice_(draw: Draw) -> Call:
    """-1 as a size takes all that is left."""
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    begin = [draw.integer(0, extent - 1) for extent in x.shape]
    size = [
        -1 if draw.flag(0.3) else draw.integer(1, extent - first) for extent, first in zip(x.shape, begin, strict=True)
    ]
    if draw.flag(0.25):
        dtype = (draw.choice(INDEX),)
        return draw.call(x, constant_of(draw, begin, dtype), constant_of(draw, size, dtype))
    return draw.call(x, tuple(begin), tuple(size))


@operator("tf.strided_slice", family="indexing", rounding=Rounding.EXACT)
def strided_slice(draw: Draw) -> Call:
    """The call behind subscripts, with its masks: a bit of ``begin_mask`` and ``end_mask`` ignores that bound, one of
    ``shrink_axis_mask`` takes a single position and drops the axis."""
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    begin, end, strides = [], [], []
    masks = {"begin_mask": 0, "end_mask": 0, "shrink_axis_mask": 0}
    count = x.rank if draw.flag(0.8) else draw.integer(1, x.rank)
    for axis in range(count):
        extent, bit = x.shape[axis], 1 << axis
        step = draw.choice((1, 1, 2, -1, -2))
        first = draw.integer(0, extent - 1)
        last = draw.integer(first + 1, extent) if step > 0 else draw.integer(-1, first - 1)
        if draw.flag(0.15):
            masks["shrink_axis_mask"] |= bit
            step, last = 1, first + 1
        elif draw.flag(0.3):
            masks["begin_mask"] |= bit
        if last < 0 or (draw.flag(0.3) and not masks["shrink_axis_mask"] & bit):
            masks["end_mask"] |= bit
        if masks["begin_mask"] & bit:
            first = draw.integer(0, extent - 1)
            if not masks["end_mask"] & bit:
                last = draw.integer(1, extent) if step > 0 else draw.integer(0, max(0, extent - 2))
                if step < 0 and extent == 1:
                    masks["end_mask"] |= bit
        begin.append(first - extent if draw.flag(0.3) else first)
        end.append(max(last, 0) if last == extent or draw.flag(0.7) or last <= 0 else last - extent)
        strides.append(step)
        if masks["shrink_axis_mask"] & bit:
            begin[-1] = first
            end[-1] = first + 1
    kwargs: dict[str, Any] = {name: mask for name, mask in masks.items() if mask}
    if draw.flag(0.1) and count < x.rank:
        begin, end, strides = [0, *begin], [0, *end], [1, *strides]
        kwargs = {name: mask << 1 for name, mask in kwargs.items()}
        kwargs["new_axis_mask"] = 1
    if len(begin) < 5 and "new_axis_mask" not in kwargs and draw.flag(0.15):
        # All axes that are left, in front of those given or behind them; its own bounds count for nothing.
        place = len(begin) if count < x.rank or draw.flag() else 0
        begin, end, strides = (
            [*items[:place], fill, *items[place:]] for items, fill in ((begin, 0), (end, 0), (strides, 1))
        )
        kwargs = {name: (mask << 1 if place == 0 else mask) for name, mask in kwargs.items()}
        kwargs["ellipsis_mask"] = 1 << place
    if all(step == 1 for step in strides) and draw.flag(0.3):
        return draw.call(x, tuple(begin), tuple(end), **kwargs)
    return draw.call(x, tuple(begin), tuple(end), tuple(strides), **kwargs)


@operator("tf.boolean_mask", family="indexing", rounding=Rounding.EXACT, weight=0.6)
def boolean_mask(draw: Draw) -> Call:
    """The mask is a constant: it decides the shape of the result."""
    x = draw.value(dtypes=ANY, ranks=range(1, 5), minimum=1)
    axis = draw.integer(0, x.rank - 1)
    depth = draw.integer(1, min(2, x.rank - axis))
    chosen = mask(draw, x.shape[axis : axis + depth], constant=True)
    if not chosen.array.any():
        draw.reject("nothing is selected")
    return draw.call(x, chosen, axis=axis) if axis or draw.flag() else draw.call(x, chosen)


@operator("tf.nn.embedding_lookup", family="indexing", weight=0.8)
def embedding_lookup(draw: Draw) -> Call:
    """Rows of a table; ``max_norm`` scales longer ones down."""
    table = draw.value(dtypes=FLOATING, ranks=(1, 2, 3), minimum=1, where=lambda x: draw.nonfinite or moderate(x, 50.0))
    shape = draw.shape(range(3), minimum=1, maximum=4)
    fitting(draw, table.size // table.shape[0] * math.prod(shape))
    ids = draw.indices(shape, 0, table.shape[0] - 1, dtypes=INDEX)
    if table.rank > 1 and draw.flag(0.4):
        return draw.call(table, ids, max_norm=draw.choice((1.0, 0.5, 4.0)))
    return draw.call(table, ids)
