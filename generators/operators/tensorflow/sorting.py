"""Sorting and searching. There are no NaNs, whose order is not documented. Ties are resolved: ``tf.math.top_k``
documents that the lower index comes first, and so does a stable ``tf.argsort``."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw
from generators.graph import DTYPES, Array, DType
from generators.operators.domains import first_ascending
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import INDEX, REAL, index_dtype, no_nan

operator = REGISTRY.operator


def _direction(draw: Draw, rank: int) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"axis": draw.axis(rank)} if draw.flag(0.7) else {}
    if draw.flag(0.7):
        kwargs["direction"] = draw.choice(("ASCENDING", "DESCENDING"))
    return kwargs


@operator("tf.sort", family="sorting", rounding=Rounding.EXACT)
def sort(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 6), minimum=1, where=no_nan)
    return draw.call(x, **_direction(draw, x.rank))


@operator("tf.argsort", family="sorting", rounding=Rounding.EXACT)
def argsort(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 6), minimum=1, where=lambda x: no_nan(x) and x.shape[-1] > 1)
    return draw.call(x, **_direction(draw, x.rank), stable=True)


@operator("tf.math.top_k", family="sorting", rounding=Rounding.EXACT, weight=1.2)
def top_k(draw: Draw) -> Call:
    """Both results, sorted; unsorted ones come in no documented order."""
    x = draw.value(dtypes=REAL, ranks=range(1, 6), minimum=1, where=lambda x: no_nan(x) and x.shape[-1] > 1)
    kwargs: dict[str, Any] = {"sorted": True} if draw.flag(0.3) else {}
    if draw.flag(0.25):
        kwargs["index_type"] = DType(draw.choice(("int16", "int32", "int64")))
    return draw.call(x, draw.integer(1, x.shape[-1]), **kwargs)


@operator("tf.math.in_top_k", family="sorting", rounding=Rounding.EXACT, weight=0.3)
def in_top_k(draw: Draw) -> Call:
    """Ties at the boundary count as in."""
    x = draw.value(
        dtypes=("float32",),
        ranks=(2,),
        minimum=2,
        where=lambda x: bool(np.isfinite(x.array).all()),
        otherwise="typical",
    )
    targets = draw.indices(x.shape[:1], 0, x.shape[1] - 1, dtypes=INDEX)
    return draw.call(targets, x, draw.integer(1, max(1, x.shape[1] - 1)))


def _ascending(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Sorted along the last axis, with ties."""
    data = rng.integers(0 if dtype == "uint8" else -8, 9, shape)
    if dtype.startswith(("float", "bfloat")):
        return np.asarray((np.sort(data, axis=-1) / 2).astype(DTYPES[dtype]))
    return np.asarray(np.sort(data, axis=-1).astype(DTYPES[dtype]))


@operator("tf.searchsorted", family="sorting", rounding=Rounding.EXACT, weight=0.7, domain=first_ascending)
def searchsorted(draw: Draw) -> Call:
    batch = draw.shape(range(3), minimum=1, maximum=3)
    dtype = draw.dtype(REAL)
    sequence = draw.tensor((*batch, draw.integer(2, 8)), dtype, _ascending)
    values = draw.tensor((*batch, draw.integer(1, 5)), dtype, _ascending if draw.flag() else None)
    if not no_nan(values):
        draw.reject("the order of NaN is not documented")
    draw.require(values, no_nan)
    kwargs: dict[str, Any] = {"side": draw.choice(("left", "right"))} if draw.flag(0.8) else {}
    if draw.flag(0.4):
        kwargs["out_type"] = index_dtype(draw)
    return draw.call(sequence, values, **kwargs)


@operator("tf.raw_ops.Bucketize", family="sorting", rounding=Rounding.EXACT, weight=0.3)
def bucketize(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32", "float64", "int32", "int64"), where=no_nan)
    # Some boundaries are elements: those belong to the bin above.
    boundaries = {draw.integer(-6, 8) / 2 for _ in range(draw.integer(1, 3))}
    if x.size and np.isfinite(x.array).all():
        boundaries |= {float(x.array.reshape(-1)[draw.integer(0, x.size - 1)]) for _ in range(2)}
    return draw.call(input=x, boundaries=tuple(sorted(float(np.float32(bound)) for bound in boundaries)))


@operator("tf.raw_ops.NthElement", family="sorting", rounding=Rounding.EXACT, weight=0.2)
def nth_element(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 6), minimum=1, where=no_nan)
    return draw.call(input=x, n=draw.integer(0, x.shape[-1] - 1), reverse=draw.flag())
