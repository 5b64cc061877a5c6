"""Reading by index: subscripts, gather, embedding, one-hot, and the slicing functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import FLOATING, Slice
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, INDEX, complex_too, product
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
EXACT = Rounding.EXACT


def index_dtype(draw: Draw) -> str:
    """int64 mostly, int32 sometimes."""
    return draw.weighted({INDEX[0]: 4, INDEX[1]: 1})


def bounds(draw: Draw, n: int) -> tuple[int | None, int | None, int | None]:
    """Start, stop and step of a slice of ``n`` elements, mostly not an empty one: absent, negative and exceeding
    bounds and steps among them (torch has no negative steps)."""
    start = draw.integer(0, max(n - 1, 0))
    stop = draw.integer(min(start + 1, n), n)
    step = draw.weighted({1: 5, 2: 2, 3: 1})
    first = None if start == 0 and draw.flag() else start - n if draw.flag(0.4) and n else start
    last = None if stop == n and draw.flag() else n + 3 if stop == n and draw.flag(0.2) else stop
    if last is not None and 0 < last < n and draw.flag(0.4):
        last -= n
    if draw.flag(0.03):
        first, last = last, first
    return first, last, None if step == 1 else step


@operator("operator.getitem", family="indexing", rounding=EXACT, weight=5)
def getitem(draw: Draw) -> Call:
    if draw.flag(0.04):
        return _masked(draw)
    x = draw.value(dtypes=complex_too(draw, ANY))
    items: list[Any] = []
    if x.rank == 0:
        choice = draw.choice((None, ..., ()))
        return draw.call(x, (..., choice) if choice is None and draw.flag() else choice)
    shape = tuple(draw.integer(1, 3) for _ in range(draw.integer(0, 2)))  # of the index tensors, which broadcast
    fraction = draw.choices.fraction()
    advanced = fraction < 0.4
    count = draw.integer(1, x.rank)
    skipped = draw.flag(0.3)
    gap = draw.integer(0, count) if skipped else count
    axes = [*range(gap), *range(x.rank - (count - gap), x.rank)] if skipped else list(range(count))
    for position, axis in enumerate(axes):
        if skipped and position == gap:
            items.append(...)
        n = x.shape[axis]
        if draw.flag(0.1):
            items.append(None)
        kind = draw.choices.fraction()
        if n == 0 or kind < 0.45:
            items.append(Slice(*bounds(draw, n)) if draw.flag(0.85) else Slice())
        elif advanced and kind < 0.8:
            items.append(_index(draw, n, shape))
        elif kind < 0.85:
            items.append(draw.integer(-n, n - 1))
        else:
            items.append(Slice(*bounds(draw, n)))
    if skipped and gap == count:
        items.append(...)
    if product(shape) * x.size > MAX_ELEMENTS * 4:
        draw.reject("too many elements")
    return draw.call(x, items[0] if len(items) == 1 and draw.flag() else tuple(items))


def _index(draw: Draw, n: int, shape: tuple[int, ...]) -> Handle:
    """An index tensor that broadcasts with ``shape``, negative and repeated elements among its own."""
    own = tuple(1 if draw.flag(0.2) else extent for extent in shape)
    return draw.indices(own, -n if draw.flag(0.6) else 0, n - 1, dtypes=index_dtype(draw))


def _masked(draw: Draw) -> Call:
    """``x[mask]``: the shape of the result depends on the mask, which is a constant."""
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    rank = draw.integer(1, min(2, x.rank))
    mask = draw.tensor(x.shape[:rank], "bool", constant=True)
    if not mask.array.any():
        draw.reject("nothing is selected")
    draw.require(mask, lambda mask: bool(mask.array.any()))
    return draw.call(x, mask)


@operator("torch.index_select", family="indexing", rounding=EXACT, weight=1.2)
def index_select(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    n = x.shape[axis]
    count = draw.integer(1, 5)
    if x.size // n * count > MAX_ELEMENTS:
        draw.reject("too many elements")
    return draw.call(x, axis, draw.indices((count,), 0, n - 1, dtypes=index_dtype(draw)))


def smaller(draw: Draw, shape: tuple[int, ...], axis: int, along: int) -> tuple[int, ...]:
    """A shape no larger than the given one in any dimension but ``axis``, where it is ``along``."""
    result = [n if draw.flag(0.6) else draw.integer(min(1, n), n) for n in shape]
    if result:
        result[axis] = along
    return tuple(result)


@operator("torch.gather", family="indexing", rounding=EXACT, weight=1.3)
def gather(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), minimum=1)
    if x.rank == 0:
        return draw.call(x, draw.choice((0, -1)), draw.indices((), 0, 0))
    axis = draw.axis(x.rank)
    shape = smaller(draw, x.shape, axis, draw.integer(1, 5))
    return draw.call(x, axis, draw.indices(shape, 0, x.shape[axis] - 1, dtypes=index_dtype(draw)))


@operator("torch.take_along_dim", family="indexing", rounding=EXACT, weight=0.7)
def take_along_dim(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1)
    if draw.flag(0.2) and x.native.is_contiguous():
        return draw.call(x, draw.indices((draw.integer(2, 6),), 0, x.size - 1))
    axis = draw.axis(x.rank)
    shape = [1 if draw.flag(0.2) else n for n in x.shape]
    shape[axis] = draw.integer(1, 4)
    return draw.call(x, draw.indices(shape, 0, x.shape[axis] - 1), dim=axis)


@operator("torch.take", family="indexing", rounding=EXACT, weight=0.7)
def take(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, minimum=1)
    shape = draw.shape(range(4), minimum=1, maximum=4)
    return draw.call(x, draw.indices(shape, -x.size if draw.flag() else 0, x.size - 1))


@operator("torch.narrow", family="indexing", rounding=EXACT, weight=0.8)
def narrow(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    n = x.shape[axis]
    start = draw.integer(0, n - 1)
    length = draw.integer(1, n - start)
    return draw.call(x, axis, start - n if draw.flag(0.3) else start, length)


@operator("torch.select", family="indexing", rounding=EXACT, weight=0.8)
def select(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(1, 6), minimum=1)
    axis = draw.axis(x.rank)
    return draw.call(x, axis, draw.integer(-x.shape[axis], x.shape[axis] - 1))


@operator("torch.diagonal", family="indexing", rounding=EXACT, weight=0.8)
def diagonal(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(2, 6), minimum=1)
    first, second = draw.axes(x.rank, 2, 2)
    offset = draw.integer(1 - min(x.shape[first], 3), min(x.shape[second], 3) - 1)
    return draw.call(x, offset=offset, dim1=first, dim2=second)


@operator("torch.diag", family="indexing", rounding=EXACT, weight=0.5)
def diag(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=(1, 2), minimum=1, where=lambda x: x.size <= 64)
    if x.rank == 1:
        return draw.call(x, draw.integer(-2, 2))
    return draw.call(x, draw.integer(1 - min(x.shape[0], 3), min(x.shape[1], 3) - 1))


@operator("torch.diag_embed", family="indexing", rounding=EXACT, weight=0.5)
def diag_embed(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 5), minimum=1, where=lambda x: x.size * (x.shape[-1] + 2) <= MAX_ELEMENTS)
    first, second = draw.axes(x.rank + 1, 2, 2)
    return draw.call(x, offset=draw.integer(-2, 2), dim1=first, dim2=second)


@operator("torch.tril", "torch.triu", family="indexing", rounding=EXACT, weight=0.8)
def triangle(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(2, 6))
    return draw.call(x, draw.integer(-3, 3)) if draw.flag(0.8) else draw.call(x)


@operator("torch.nn.functional.one_hot", family="indexing", rounding=EXACT, weight=1.2)
def one_hot(draw: Draw) -> Call:
    classes = draw.integer(2, 7)
    x = (
        draw.value(
            dtypes=("int64",), ranks=range(5), where=lambda x: x.within(0, classes - 1) and x.size <= MAX_ELEMENTS // 8
        )
        if draw.flag(0.2)
        else draw.indices(draw.shape(range(4), minimum=1), 0, classes - 1)
    )
    return draw.call(x, num_classes=classes)


@operator("torch.nn.functional.embedding", family="indexing", rounding=EXACT, weight=1.5)
def embedding(draw: Draw) -> Call:
    weight = draw.value(dtypes=FLOATING if draw.flag(0.9) else ANY, ranks=(2,), minimum=1)
    indices = draw.indices(draw.shape(range(4), minimum=1, maximum=4), 0, weight.shape[0] - 1, dtypes=index_dtype(draw))
    options: dict[str, Any] = {}
    if draw.flag(0.3):  # matters to gradients only
        options["padding_idx"] = draw.integer(-weight.shape[0], weight.shape[0] - 1)
    return draw.call(indices, weight, **options)


@operator("torch.nn.functional.embedding_bag", family="indexing", weight=0.6)
def embedding_bag(draw: Draw) -> Call:
    weight = draw.value(dtypes=("float32", "float64"), ranks=(2,), minimum=1)
    rows = weight.shape[0]
    # Indices beyond the end are read without a check.
    draw.require(weight, lambda weight: weight.shape[0] >= rows)
    options: dict[str, Any] = {"mode": draw.choice(("sum", "mean", "max"))}
    if draw.flag():
        indices = draw.indices((draw.integer(1, 4), draw.integer(1, 4)), 0, rows - 1)
    else:
        indices = draw.indices((draw.integer(1, 8),), 0, rows - 1)
        bags = draw.integer(1, 3)
        offsets = draw.indices((bags,), 0, indices.size, ordered=True)
        if offsets.array[0] != 0:  # the first bag begins at the first index
            draw.forget(offsets)
            offsets = draw.tensor((bags,), "int64", lambda rng, shape, dtype: np.zeros(shape, np.int64))
        draw.require(offsets, lambda offsets: bool(offsets.size) and offsets.array[0] == 0)
        options["offsets"] = offsets
    if options["mode"] == "sum" and draw.flag(0.3):
        options["per_sample_weights"] = draw.tensor(indices.shape, weight.dtype)
    return draw.call(indices, weight, **options)
