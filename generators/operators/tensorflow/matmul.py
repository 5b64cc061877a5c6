"""Products of matrices and of tensors."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import fitting, moderate, partner_shape

operator = REGISTRY.operator

DTYPES = (*FLOATING, "int32", "int64", "complex64")


def _factor(draw: Draw, ranks: range) -> Handle:
    dtypes = FLOATING if draw.flag(0.75) else DTYPES
    return draw.value(
        dtypes=dtypes,
        ranks=ranks,
        minimum=1,
        where=lambda x: draw.nonfinite or moderate(x, 40.0 if x.dtype == "float16" else 1e9),
        otherwise="typical" if draw.flag() else None,
    )


def _partner(draw: Draw, shape: tuple[int, ...], dtype: str) -> Handle:
    """The other factor; in float16 of numbers that do not overflow when summed."""
    fitting(draw, math.prod(shape))
    found = draw.tensor(shape, dtype)
    if dtype == "float16" and not draw.nonfinite and not moderate(found, 40.0):
        draw.forget(found)
        return draw.tensor(shape, dtype, "typical")
    return found


@operator("tf.linalg.matmul", family="matmul", weight=2)
def matmul(draw: Draw) -> Call:
    """Either factor transposed or adjoint; dimensions of batches broadcast in both directions."""
    x = _factor(draw, range(2, 6))
    kwargs: dict[str, Any] = {}
    rows, inner = x.shape[-2:]
    flips = draw.choice(("", "transpose", "adjoint")) if draw.flag(0.5) else ""
    if flips:
        rows, inner = inner, rows
        kwargs[f"{flips}_a"] = True
    columns = draw.integer(1, 5)
    flips = draw.choice(("", "transpose", "adjoint")) if draw.flag(0.5) else ""
    matrix = (columns, inner) if flips else (inner, columns)
    if flips:
        kwargs[f"{flips}_b"] = True
    batch = partner_shape(draw, x.shape[:-2]) if draw.flag(0.6) else x.shape[:-2]
    if len(batch) > 3:
        batch = x.shape[:-2]
    fitting(draw, math.prod(max(extents) for extents in _aligned(batch, x.shape[:-2])) * rows * columns)
    y = _partner(draw, (*batch, *matrix), x.dtype)
    if not kwargs and x.shape == y.shape and draw.flag():
        return draw.call(y, x)
    return draw.call(x, y, **kwargs)


def _aligned(left: tuple[int, ...], right: tuple[int, ...]) -> list[tuple[int, int]]:
    rank = max(len(left), len(right))
    return list(zip((1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right, strict=True))


@operator("tf.linalg.matvec", family="matmul", weight=0.6)
def matvec(draw: Draw) -> Call:
    x = _factor(draw, range(2, 5))
    kwargs: dict[str, Any] = {}
    inner = x.shape[-1]
    if draw.flag(0.4):
        kwargs[draw.choice(("transpose_a", "adjoint_a"))] = True
        inner = x.shape[-2]
    return draw.call(x, _partner(draw, (*x.shape[:-2], inner), x.dtype), **kwargs)


@operator("tf.tensordot", family="matmul")
def tensordot(draw: Draw) -> Call:
    """Over the last axes of one and the first of the other, or over lists of axes."""
    x = _factor(draw, range(1, 5))
    count = draw.integer(0 if draw.flag(0.1) else 1, min(2, x.rank))
    free = tuple(draw.integer(1, 3) for _ in range(draw.integer(0, 2)))
    if draw.flag(0.4):
        shape = (*x.shape[x.rank - count :], *free)
        fitting(draw, x.size // max(1, math.prod(x.shape[x.rank - count :])) * math.prod(free))
        return draw.call(x, _partner(draw, shape, x.dtype), count)
    ours = draw.permutation(x.rank)[:count]
    contracted = [x.shape[axis] for axis in ours]
    fitting(draw, x.size // max(1, math.prod(contracted)) * math.prod(free))
    order = draw.permutation(count + len(free))
    extents = [*contracted, *free]
    shape = tuple(extents[index] for index in order)
    theirs = tuple(order.index(position) for position in range(count))
    return draw.call(x, _partner(draw, shape, x.dtype), (ours, theirs))


@operator("tf.einsum", family="matmul", weight=1.2)
def einsum(draw: Draw) -> Call:
    """One to three operands with random labels: shared, summed, batch and free ones, in any order; sometimes a
    diagonal or an ellipsis for the leading axes of the first operand."""
    x = _factor(draw, range(1, 5))
    extents: dict[str, int] = {}
    labels: list[str] = []
    for extent in x.shape:
        same = [label for label in dict.fromkeys(labels) if extents[label] == extent]
        if same and draw.flag(0.06):
            labels.append(same[0])
            continue
        label = "abcdefghijkl"[len(extents)]
        extents[label] = extent
        labels.append(label)
    operands = [x]
    terms = ["".join(labels)]
    for _ in range(draw.integer(0 if draw.flag(0.2) else 1, 2 if draw.flag(0.2) else 1)):
        known = [label for label in extents if draw.flag(0.6)]
        for _ in range(draw.integer(0, max(0, min(2, 3 - len(known))))):
            label = "abcdefghijkl"[len(extents)]
            extents[label] = draw.integer(1, 4)
            known.append(label)
        if not known:
            known = [next(iter(extents))]
        order = draw.permutation(len(known))
        terms.append("".join(known[index] for index in order))
        operands.append(_partner(draw, tuple(extents[label] for label in terms[-1]), x.dtype))
    kept = [label for label in extents if draw.flag(0.6)]
    result = "".join(kept[index] for index in draw.permutation(len(kept)))
    fitting(draw, math.prod(extents[label] for label in kept))
    if math.prod(extents.values()) > 100_000:
        draw.reject("too many products")
    ellipsis = len(set(labels)) == len(labels) and x.rank > 1 and draw.flag(0.1)
    first = terms[0][0]
    if ellipsis and all(first not in term for term in terms[1:]):
        terms[0] = "..." + terms[0][1:]
        result = "..." + result.replace(first, "")
    return draw.call(f"{','.join(terms)}->{result}", *operands)
