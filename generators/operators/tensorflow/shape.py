"""Shapes and layout: moving elements around without changing them."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, INDEX, constant_of, fitting, index_dtype, small
from generators.selectors import lengths

operator = REGISTRY.operator


def factorized(draw: Draw, size: int, rank: int) -> tuple[int, ...]:
    """A shape of that rank with that many elements."""
    extents = [1] * rank
    for index in range(rank - 1):
        extents[index] = draw.choice([factor for factor in range(1, size + 1) if size % factor == 0]) if size else 0
        size //= max(extents[index], 1)
    if rank:
        extents[-1] = size
    order = draw.permutation(rank)
    return tuple(extents[index] for index in order)


@operator("tf.reshape", family="shape", rounding=Rounding.EXACT, weight=2)
def reshape(draw: Draw) -> Call:
    """To a shape with, often, one -1; as a literal or as a constant of either index type."""
    x = draw.value(dtypes=ANY)
    rank = draw.integer(0 if x.size == 1 else 1, 5)
    shape = list(factorized(draw, x.size, rank))
    if shape and draw.flag(0.4):
        index = draw.integer(0, rank - 1)
        if math.prod(shape[:index] + shape[index + 1 :]) > 0:
            shape[index] = -1
    if shape and draw.flag(0.2):
        return draw.call(x, constant_of(draw, shape))
    return draw.call(x, tuple(shape))


@operator("tf.transpose", family="shape", rounding=Rounding.EXACT, weight=2)
def transpose(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(6) if draw.flag(0.1) else range(2, 6))
    kwargs: dict[str, Any] = {}
    if draw.flag(0.8):
        kwargs["perm"] = draw.permutation(x.rank)
    if x.dtype == "complex64" and draw.flag():
        kwargs["conjugate"] = draw.flag()
    return draw.call(x, **kwargs)


@operator("tf.expand_dims", family="shape", rounding=Rounding.EXACT)
def expand_dims(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(5))
    return draw.call(x, draw.axis(x.rank + 1))


@operator("tf.squeeze", family="shape", rounding=Rounding.EXACT)
def squeeze(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, where=lambda x: 1 in x.shape)
    ones = [index for index, extent in enumerate(x.shape) if extent == 1]
    if draw.flag(0.35):
        return draw.call(x)
    chosen = [ones[index] for index in draw.axes(len(ones))] if draw.flag() else [draw.choice(ones)]
    axes = tuple(axis - x.rank if draw.flag() else axis for axis in chosen)
    return draw.call(x, axis=axes if len(axes) > 1 or draw.flag() else axes[0])


@operator("tf.tile", family="shape", rounding=Rounding.EXACT)
def tile(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, where=small())
    multiples = tuple(draw.weighted({1: 5, 2: 3, 3: 2}) for _ in x.shape)
    fitting(draw, x.size * math.prod(multiples))
    return draw.call(x, multiples)


@operator("tf.repeat", family="shape", rounding=Rounding.EXACT)
def repeat(draw: Draw) -> Call:
    """Every element as often (a number, or one for each along the axis, zeros among them); flat without an axis."""
    x = draw.value(dtypes=ANY, where=small())
    if x.rank == 0 or draw.flag(0.25):
        return draw.call(x, draw.integer(1, 3))
    axis = draw.axis(x.rank)
    if draw.flag(0.5) or x.shape[axis] == 0:
        return draw.call(x, draw.integer(1, 3), axis=axis)
    repeats = tuple(draw.integer(0, 3) for _ in range(x.shape[axis]))
    if not any(repeats):
        repeats = (1, *repeats[1:])
    return draw.call(x, repeats, axis=axis)


@operator("tf.broadcast_to", family="shape", rounding=Rounding.EXACT)
def broadcast_to(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, where=small())
    shape = [draw.integer(1, 4) if extent == 1 and draw.flag(0.7) else extent for extent in x.shape]
    shape = [draw.integer(1, 3) for _ in range(draw.integer(0, max(0, min(2, 5 - x.rank))))] + shape
    fitting(draw, math.prod(shape))
    return draw.call(x, tuple(shape))


@operator("tf.reverse", family="shape", rounding=Rounding.EXACT)
def reverse(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6))
    return draw.call(x, draw.axes(x.rank))


@operator("tf.roll", family="shape", rounding=Rounding.EXACT)
def roll(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6))
    if draw.flag():
        return draw.call(x, draw.integer(-9, 9), draw.axis(x.rank))
    axes = draw.axes(x.rank)
    if draw.flag(0.2):
        axes = (*axes, axes[0])
    return draw.call(x, tuple(draw.integer(-9, 9) for _ in axes), axes)


def variants(draw: Draw, x: Handle, axis: int, count: int) -> list[Handle]:
    """``count`` values that can be concatenated with ``x`` along the axis: of its dtype, other extents equal."""
    axis %= x.rank
    found = []
    total = x.size
    for _ in range(count):
        extent = draw.integer(1, 4) if draw.flag() else x.shape[axis]
        shape = (*x.shape[:axis], extent, *x.shape[axis + 1 :])
        total += math.prod(shape)
        if total > MAX_ELEMENTS:
            break
        found.append(draw.tensor(shape, x.dtype))
    return found


@operator("tf.concat", family="shape", rounding=Rounding.EXACT, weight=1.5)
def concat(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6))
    axis = draw.axis(x.rank)
    values = [x, *variants(draw, x, axis, draw.integer(0 if draw.flag(0.1) else 1, 3))]
    first = draw.integer(0, len(values) - 1)
    return draw.call((*values[first:], *values[:first]), axis)


@operator("tf.stack", family="shape", rounding=Rounding.EXACT)
def stack(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(5), where=small())
    values = [x, *(draw.like(x) for _ in range(draw.integer(0 if draw.flag(0.1) else 1, 3)))]
    return draw.call(tuple(values), axis=draw.axis(x.rank + 1)) if draw.flag(0.8) else draw.call(tuple(values))


@operator("tf.unstack", family="shape", rounding=Rounding.EXACT, weight=0.7)
def unstack(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), where=lambda x: any(1 <= extent <= 5 for extent in x.shape))
    axis = draw.choice([axis for axis in range(x.rank) if 1 <= x.shape[axis] <= 5])
    kwargs: dict[str, Any] = {"num": x.shape[axis]} if draw.flag(0.3) else {}
    return draw.call(x, axis=axis - x.rank if draw.flag() else axis, **kwargs)


@operator("tf.split", family="shape", rounding=Rounding.EXACT)
def split(draw: Draw) -> Call:
    """Into equal parts, or into parts of given sizes, of which one may be -1 and some may be zero."""
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    extent = x.shape[axis]
    if draw.flag():
        return draw.call(x, draw.choice([count for count in range(1, 6) if extent % count == 0]), axis=axis)
    sizes: list[int] = []
    left = extent
    while left and len(sizes) < 4:
        sizes.append(draw.integer(0 if draw.flag(0.1) else 1, left))
        left -= sizes[-1]
    if left:
        sizes.append(left)
    if len(sizes) > 1 and draw.flag(0.25):
        sizes[draw.integer(0, len(sizes) - 1)] = -1
    return draw.call(x, tuple(sizes), axis=axis)


@operator("tf.meshgrid", family="shape", rounding=Rounding.EXACT, weight=0.4)
def meshgrid(draw: Draw) -> Call:
    dtype = draw.dtype(ANY)
    count = draw.integer(1, 3)
    vectors = [draw.tensor((draw.integer(2, 5),), dtype) for _ in range(count)]
    return draw.call(*vectors, indexing=draw.choice(("xy", "ij"))) if draw.flag(0.8) else draw.call(*vectors)


@operator("tf.shape", "tf.size", family="shape", rounding=Rounding.EXACT, weight=0.4)
def extents(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, out_type=index_dtype(draw)) if draw.flag(0.7) else draw.call(x)


@operator("tf.rank", family="shape", rounding=Rounding.EXACT, weight=0.1)
def rank(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=ANY))


@operator("tf.linalg.matrix_transpose", "tf.linalg.adjoint", family="shape", rounding=Rounding.EXACT, weight=0.6)
def matrix_transpose(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=ANY, ranks=range(2, 6)))


@operator("tf.reverse_sequence", family="shape", rounding=Rounding.EXACT, weight=0.6)
def reverse_sequence(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(2, 6), minimum=1)
    batch, sequence = draw.permutation(x.rank)[:2]
    counts = lengths(draw, (x.shape[batch],), 0, x.shape[sequence], dtypes=INDEX)
    return draw.call(x, counts, seq_axis=sequence, batch_axis=batch)


@operator("tf.ensure_shape", family="shape", rounding=Rounding.EXACT, weight=0.15)
def ensure_shape(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, tuple(None if draw.flag(0.3) else extent for extent in x.shape))
