"""Motifs that compute next to nothing: what optimizers remove, merge and move."""

from __future__ import annotations

import functools
import itertools

from generators.draw import MAX_ELEMENTS
from generators.handles import Handle
from generators.motifs import mutations
from generators.motifs.builder import Builder
from generators.motifs.registry import motif
from generators.motifs.vocabulary import ALONG, REDUCTIONS


def _sizes(m: Builder, extent: int) -> tuple[int, ...]:
    """The extent in two or three parts, equal ones where it can be, half of the time."""
    count = m.draw.integer(2, min(3, extent))
    if extent % count == 0 and m.draw.flag():
        return (extent // count,) * count
    cuts = sorted({m.draw.integer(1, extent - 1) for _ in range(count - 1)})
    edges = [0, *cuts, extent]
    return tuple(stop - start for start, stop in itertools.pairwise(edges))


@motif("concat of splits")
def concat_of_splits(m: Builder) -> None:
    """In the same order (which is nothing), another order, along another axis, or with an operator on one part."""
    axis = m.draw.choice((-1, 0, 1))
    x = m.value((2, 3, 4), where=lambda x: x.shape[axis] > 1)
    parts = m.several("split", x, sizes=_sizes(m, x.shape[axis]), axis=axis)
    way = m.draw.integer(0, 3)
    if way == 1:
        parts = parts[::-1]
    elif way == 2:
        place = m.draw.integer(0, len(parts) - 1)
        parts[place] = m.op(m.draw.choice(("neg", "relu", "exp")), parts[place])
    elif way == 3 and len({part.shape for part in parts}) == 1:
        axis = m.draw.axis(x.rank)
    m.op("concat", *parts, axis=axis)


@motif("slices and concat")
def slices_and_concat(m: Builder) -> None:
    """Slices of one value, neighbours or not, put together again."""
    x = m.value((1, 2, 3), where=lambda x: x.shape[-1] > 2)
    extent = x.shape[-1]
    middle = m.draw.integer(1, extent - 1)
    first, second = m.slice(x, -1, 0, middle), m.slice(x, -1, middle - int(m.draw.flag(0.2)), extent)
    m.op("concat", *((first, second) if m.draw.flag(0.6) else (second, first)), axis=-1)


@motif("transpose sandwich", weight=2.0)
def transpose_sandwich(m: Builder) -> None:
    """Any operator that has an axis between a transpose and its inverse, its axis moved or not."""
    x = m.value((2, 3, 4))
    word = m.draw.choice((*REDUCTIONS, *ALONG))
    if word in REDUCTIONS:
        attributes: dict[str, object] = {"axes": m.draw.axes(x.rank, 1, 2), "keepdims": m.draw.flag(0.7)}
    else:
        attributes = {"axis": m.draw.axis(x.rank)}
    mutations.sandwich(m, word, [x], attributes)


@motif("transposes around an operator", weight=1.2)
def transposes(m: Builder) -> None:
    """Two transposes with elementwise operators between, one of them with a constant that broadcasts."""
    x = m.value((2, 3, 4))
    order = m.draw.permutation(x.rank)
    y = m.op("transpose", x, order=order)
    if m.draw.flag(0.7):
        y = m.op(m.draw.choice(("relu", "neg", "tanh", "abs")), y)
    if m.draw.flag(0.6):
        shape = y.shape[m.draw.integer(0, y.rank - 1) :]
        y = m.op(m.draw.choice(("add", "mul")), y, m.parameter(shape, y.dtype, apart=True))
    back = mutations.inverse(order) if m.draw.flag(0.7) else m.draw.permutation(x.rank)
    m.op("transpose", y, order=back)


@motif("reshapes in a row")
def reshapes(m: Builder) -> None:
    """Reshapes and transposes that are one, or none."""
    y = m.value((2, 3, 4))
    for _ in range(m.draw.integer(2, 3)):
        if m.draw.flag(0.4) and y.rank > 1:
            y = m.op("transpose", y, order=m.draw.permutation(y.rank))
        else:
            other = m.draw.choice(
                ((-1,), (*y.shape[:1], -1), (-1, *y.shape[-1:]), (*y.shape[:-2], -1), (1, *y.shape), y.shape)
            )
            y = m.op("reshape", y, shape=other)


@motif("chain of casts")
def casts(m: Builder) -> None:
    """Casts that keep, lose and regain precision, to the same dtype too; an operator in the middle of some."""
    x = m.value((0, 1, 2, 3, 4))
    y = mutations.cast_chain(m, x)
    if m.draw.flag(0.4):
        mutations.cast_chain(m, m.op(m.draw.choice(("neg", "relu", "exp")), y))


@motif("whole numbers and back")
def whole_numbers(m: Builder) -> None:
    """A cast to an integer of numbers that one holds, and back to a float: not nothing, but truncation."""
    x = m.value((1, 2, 3), where=lambda x: x.within(-100.0, 100.0) and not x.within(-1.0, 1.0))
    # The bounds hold for int8 as well, so that no cast is undefined; uint8 has no negative numbers.
    whole = m.op("cast", x, dtype=m.draw.choice(("int32", "int64", "int8", "int16")))
    m.op("cast", whole, dtype=m.draw.choice((x.dtype, "float32", "int64")))


@motif("quantize and dequantize", weight=1.2)
def quantize(m: Builder) -> None:
    """Pairs as quantization-aware training leaves them, one behind the other or around an operator."""
    y = mutations.quantize_pair(m, m.value((1, 2, 3, 4)))
    if m.draw.flag(0.4):
        y = m.op(m.draw.choice(("relu", "neg", "tanh")), y)
    if m.draw.flag():
        mutations.quantize_pair(m, y)


def _same(x: Handle) -> Handle:
    return x


@motif("identities")
def identities(m: Builder) -> None:
    """Operators that change nothing, one to three of them, with tensors and numbers."""
    y = m.value((0, 1, 2, 3))
    for _ in range(m.draw.integer(1, 3)):
        if m.draw.flag(0.6):
            y = mutations.neutral(m, y)
        else:
            after = m.draw.choice(("double negation", "double reciprocal", "own difference", "reshape pair"))
            y = mutations.AFTER[after](m, y, functools.partial(_same, y))
    assert y.size <= MAX_ELEMENTS


@motif("shared branches")
def shared(m: Builder) -> None:
    """The same expression twice, of the same values or nearly, joined: common subexpressions and what only looks like
    them."""
    x = m.value()
    word = m.draw.choice(("exp", "tanh", "sigmoid", "relu"))
    number = m.draw.choice((0.5, 2.0, -1.0))
    first = m.op(word, m.op("mul", x, number))
    again = number if m.draw.flag(0.6) else number * 1.0000001
    second = m.op(word, m.op("mul", x, again))
    m.op(m.draw.choice(("add", "sub", "mul", "maximum")), first, second)
