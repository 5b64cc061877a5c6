"""Sorting, selection by rank, and search in sorted sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, Array
from generators.operators.domains import first_ascending, second_ascending
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, REAL, axis_or_scalar, extent, some, untied
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
EXACT = Rounding.EXACT


@operator("torch.sort", "torch.argsort", family="sorting", rounding=EXACT, weight=1.5)
def sort(draw: Draw) -> Call:
    if draw.flag(0.5):  # stable: ties are defined
        x = draw.value(dtypes=ANY, where=lambda x: x.size < 2 or max(x.shape) > 1)
        return draw.call(x, dim=axis_or_scalar(draw, x), descending=draw.flag(), stable=True)
    x, axis = untied(draw, REAL)
    options = some(draw, descending=draw.flag(0.7))
    return draw.call(x, axis, **options)


@operator("torch.msort", family="sorting", rounding=EXACT, weight=0.4)
def msort(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=ANY))


@operator("torch.topk", family="sorting", rounding=EXACT, weight=1.5)
def topk(draw: Draw) -> Call:
    x, axis = untied(draw, REAL, minimum=1)
    assert axis is not None
    k = draw.integer(1, extent(x, axis))
    options = some(draw, largest=draw.flag(0.3))
    if axis != -1 or draw.flag():
        options["dim"] = axis
    return draw.call(x, k, **options)  # sorted=False leaves the order open


@operator("torch.kthvalue", family="sorting", rounding=EXACT, weight=0.8)
def kthvalue(draw: Draw) -> Call:
    x, axis = untied(draw, REAL, minimum=1)
    assert axis is not None
    return draw.call(x, draw.integer(1, extent(x, axis)), dim=axis, keepdim=draw.flag())


def _edges(x: Handle) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """Ascending sequences along the last axis, equal elements among them, taken from the elements of ``x``."""

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        if x.size == 0:
            return np.zeros(shape, DTYPES[dtype])
        picked = x.array.reshape(-1)[rng.integers(0, x.size, shape)]
        return np.asarray(np.sort(picked, axis=-1))

    return elements


@operator("torch.searchsorted", family="sorting", rounding=EXACT, weight=0.8, domain=first_ascending)
@operator("torch.bucketize", family="sorting", rounding=EXACT, weight=0.8, domain=second_ascending)
def search(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, where=lambda x: x.within(-math.inf, math.inf))
    right: dict[str, Any] = {"right": draw.flag()} if draw.flag(0.7) else {}
    if draw.flag(0.3):
        right["out_int32"] = True
    if draw.target == "torch.bucketize":
        edges = draw.tensor((draw.integer(1, 6),), x.dtype, _edges(x))
        return draw.call(draw.real(-3.0, 3.0) if draw.flag(0.1) else x, edges, **right)
    leading = x.shape[:-1] if x.rank > 1 and draw.flag() else ()
    edges = draw.tensor((*leading, draw.integer(1, 6)), x.dtype, _edges(x))
    return draw.call(edges, x, **right)
