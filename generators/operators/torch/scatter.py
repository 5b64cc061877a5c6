"""Writing by index, without change of the operand: scatter, index_put, masks.

Where elements are replaced, an index occurs only once, since which of several writers wins is not defined. Repeated
ones come where contributions are reduced.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import FLOATING, INTEGRAL, Array
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, complex_too, product
from generators.operators.torch.indexing import bounds, index_dtype, smaller
from generators.operators.torch.registry import REGISTRY
from generators.selectors import INDICES, made, mask

operator = REGISTRY.operator
EXACT = Rounding.EXACT
#: What may be said of the order of indices that do not repeat.
_ORDERS = ("indices distinct", "indices ascending", "indices descending")


def _larger(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a source, of which only the part under the index is read."""
    return tuple(n + draw.integer(1, 2) if draw.flag(0.2) else n for n in shape)


def _unique_along(draw: Draw, shape: tuple[int, ...], axis: int, n: int, dtype: str) -> Handle:
    """Indices below ``n`` that do not repeat along the axis, whose extent is at most ``n``."""

    def elements(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, str]:
        full = list(shape)
        full[axis] = n
        order = rng.random(full).argsort(axis=axis)
        order = np.moveaxis(np.moveaxis(order, axis, 0)[: shape[axis]], 0, axis)
        profile = draw.weighted({name: INDICES[name] for name in _ORDERS})
        if profile != "indices distinct":
            order = np.sort(order, axis=axis)
        return (np.flip(order, axis) if profile == "indices descending" else order), profile

    return made(draw, shape, dtype, elements)


@operator("torch.scatter", family="scatter", rounding=EXACT, weight=1.2)
def scatter(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    shape = smaller(draw, x.shape, axis, draw.integer(1, x.shape[axis]))
    index = _unique_along(draw, shape, axis, x.shape[axis], index_dtype(draw))
    if draw.flag(0.3):
        return draw.call(x, axis, index, draw.scalar(x.dtype))
    return draw.call(x, axis, index, draw.tensor(_larger(draw, shape), x.dtype))


@operator("torch.scatter_add", family="scatter", weight=1.2)
def scatter_add(draw: Draw) -> Call:
    x, axis, index = _reduced(draw, ANY)
    return draw.call(x, axis, index, draw.tensor(_larger(draw, index.shape), x.dtype))


def _reduced(draw: Draw, dtypes: tuple[str, ...]) -> tuple[Handle, int, Handle]:
    """A value, an axis and indices along it, repeated ones among them."""
    x = draw.value(dtypes=dtypes, ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    shape = smaller(draw, x.shape, axis, draw.integer(1, 6))
    return x, axis, draw.indices(shape, 0, x.shape[axis] - 1, dtypes=index_dtype(draw))


@operator("torch.scatter_reduce", family="scatter", weight=1.3)
def scatter_reduce(draw: Draw) -> Call:
    how = draw.choice(("sum", "prod", "mean", "amax", "amin"))
    x, axis, index = _reduced(draw, (*FLOATING, *INTEGRAL))
    source = draw.tensor(_larger(draw, index.shape), x.dtype)
    options: dict[str, Any] = {"include_self": draw.flag()} if draw.flag(0.7) else {}
    return draw.call(x, axis, index, source, how, **options)


@operator("torch.index_add", family="scatter", weight=0.8)
def index_add(draw: Draw) -> Call:
    x = draw.value(dtypes=(*FLOATING, *INTEGRAL), ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    index, source = _slices(draw, x, axis, draw.integer(1, 4), unique=False)
    options: dict[str, Any] = {}
    if draw.flag(0.4):
        options["alpha"] = draw.choice((2, -1, 3) if x.dtype in INTEGRAL else (0.5, 2, -1.5))
    return draw.call(x, axis, index, source, **options)


def _slices(draw: Draw, x: Handle, axis: int, count: int, *, unique: bool) -> tuple[Handle, Handle]:
    """Indices of slices along the axis, and as many slices."""
    n = x.shape[axis]
    count = min(count, n) if unique else count
    shape = list(x.shape)
    shape[axis] = count
    index = draw.indices((count,), 0, n - 1, unique=unique, dtypes="int64" if unique else index_dtype(draw))
    return index, draw.tensor(shape, x.dtype)


@operator("torch.index_copy", family="scatter", rounding=EXACT, weight=0.8)
def index_copy(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    return draw.call(x, axis, *_slices(draw, x, axis, draw.integer(1, 4), unique=True))


@operator("torch.index_reduce", family="scatter", weight=0.4)
def index_reduce(draw: Draw) -> Call:
    x = draw.value(dtypes=(*FLOATING, *INTEGRAL), ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    index, source = _slices(draw, x, axis, draw.integer(1, 4), unique=False)
    how = draw.choice(("prod", "mean", "amax", "amin"))
    return draw.call(x, axis, index, source, how, include_self=draw.flag())


@operator("torch.index_fill", family="scatter", rounding=EXACT, weight=0.8)
def index_fill(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    n = x.shape[axis]
    index = draw.indices((draw.integer(1, 3),), -n, n - 1)
    value = draw.tensor((), x.dtype) if draw.flag(0.2) else draw.scalar(x.dtype)
    return draw.call(x, axis, index, value)


@operator("torch.index_put", family="scatter", weight=1.5)
def index_put(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    if draw.flag(0.25):  # a mask over the leading dimensions and one value for all of them
        chosen = draw.tensor(x.shape[: draw.integer(1, x.rank)], "bool")
        return draw.call(x, (chosen,), draw.tensor((), x.dtype), accumulate=draw.flag(0.3))
    accumulate = draw.flag()
    count = draw.integer(1, min(x.rank, 3))
    shape: tuple[int, ...]
    if accumulate:
        shape = tuple(draw.integer(1, 3) for _ in range(draw.integer(1, 2)))
        indices = [draw.indices(shape, -n, n - 1, dtypes="int64") for n in x.shape[:count]]
    else:
        # Distinct positions: the first index does not repeat, and its negative half stays away from its positive one.
        n = x.shape[0]
        shape = (draw.integer(1, n),)
        low = -n if draw.flag() else 0
        indices = [draw.indices(shape, low, low + n - 1, unique=True)]
        indices += [draw.indices(shape, -n, n - 1) for n in x.shape[1:count]]
    full = (*shape, *x.shape[count:])
    values = draw.tensor(tuple(1 if draw.flag(0.15) else n for n in full), x.dtype)
    return draw.call(x, tuple(indices), values, accumulate=accumulate)


@operator("torch.masked_fill", "torch.Tensor.masked_fill", family="scatter", rounding=EXACT)
def masked_fill(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY))
    chosen = draw.broadcastable(x, "bool") if draw.flag() else mask(draw, draw.broadcast_shape(x.shape))
    if product(np.broadcast_shapes(x.shape, chosen.shape)) > MAX_ELEMENTS:
        draw.reject("too many elements")
    value = draw.tensor((), x.dtype) if draw.flag(0.2) else draw.scalar(x.dtype)
    return draw.call(x, chosen, value)


@operator("torch.masked_scatter", family="scatter", rounding=EXACT, weight=0.5)
def masked_scatter(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    chosen = draw.tensor(tuple(1 if draw.flag(0.15) else n for n in x.shape), "bool")
    return draw.call(x, chosen, draw.tensor((x.size + draw.integer(0, 3),) if draw.flag() else x.shape, x.dtype))


@operator("torch.slice_scatter", family="scatter", rounding=EXACT, weight=0.5)
def slice_scatter(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    start, stop, step = bounds(draw, x.shape[axis])
    shape = list(x.shape)
    shape[axis] = len(range(x.shape[axis])[start:stop:step])
    return draw.call(x, draw.tensor(shape, x.dtype), dim=axis, start=start, end=stop, step=step or 1)


@operator("torch.select_scatter", "torch.diagonal_scatter", family="scatter", rounding=EXACT, weight=0.3)
def select_scatter(draw: Draw) -> Call:
    if draw.target == "torch.select_scatter":
        x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
        axis = draw.axis(x.rank) % x.rank
        source = draw.tensor((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype)
        return draw.call(x, source, axis, draw.integer(-x.shape[axis], x.shape[axis] - 1))
    x = draw.value(dtypes=ANY, ranks=(2,), minimum=1)
    return draw.call(x, draw.tensor((min(x.shape),), x.dtype))
