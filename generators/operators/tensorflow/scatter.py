"""Writing elements by position, and sums by segment."""

from __future__ import annotations

import math

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import (
    ANY,
    FLOATING_OR_COMPLEX,
    INDEX,
    LARGEST,
    NUMERIC,
    REAL,
    fitting,
    moderate,
    no_nan,
)
from generators.operators.tensorflow.indexing import positions
from generators.selectors import segments

operator = REGISTRY.operator


def _sums(draw: Draw, x: Handle) -> bool:
    """Whether any sum of such elements is finite."""
    return draw.nonfinite or x.dtype not in LARGEST or moderate(x, LARGEST[x.dtype] / max(64, x.size))


@operator("tf.scatter_nd", family="scatter")
def scatter_nd(draw: Draw) -> Call:
    """Into zeros; updates to one position add up."""
    shape = draw.shape(range(1, 5), minimum=1)
    depth = draw.integer(1, len(shape))
    rows = (draw.integer(1, 5),) if draw.flag(0.8) else (draw.integer(1, 3), draw.integer(1, 3))
    dtype = draw.dtype(NUMERIC)
    fitting(draw, math.prod(rows) * math.prod(shape[depth:]))
    indices = positions(draw, shape[:depth], rows)
    updates = draw.tensor((*rows, *shape[depth:]), dtype)
    if not _sums(draw, updates):
        draw.reject("overflows")
    return draw.call(indices, updates, shape)


def _write(draw: Draw, x: Handle, *, unique: bool) -> Call:
    depth = draw.integer(1, x.rank)
    places = math.prod(x.shape[:depth])
    count = draw.integer(1, min(5, places) if unique else 5)
    rows = (count,) if draw.flag(0.8) or (unique and count != 1) else (count, 1)
    fitting(draw, count * math.prod(x.shape[depth:]))
    indices = positions(draw, x.shape[:depth], rows, unique=unique)
    updates = draw.tensor((*rows, *x.shape[depth:]), x.dtype)
    return draw.call(x, indices, updates)


@operator("tf.tensor_scatter_nd_update", family="scatter", rounding=Rounding.EXACT)
def update(draw: Draw) -> Call:
    """No position twice: which update wins is not defined."""
    return _write(draw, draw.value(dtypes=ANY, ranks=range(1, 6), minimum=1), unique=True)


@operator("tf.tensor_scatter_nd_add", "tf.tensor_scatter_nd_sub", family="scatter", weight=0.8)
def accumulate(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC, ranks=range(1, 6), minimum=1, where=lambda x: _sums(draw, x))
    return _write(draw, x, unique=False)


@operator("tf.tensor_scatter_nd_min", "tf.tensor_scatter_nd_max", family="scatter", rounding=Rounding.EXACT, weight=0.7)
def extremes(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 6), minimum=1, where=no_nan)
    call = _write(draw, x, unique=False)
    if not no_nan(call.args[2]):
        draw.reject("the order of NaN is not documented")
    return call


def _sorted_ids(draw: Draw, x: Handle) -> Handle:
    """From 0 up, some repeated, some left out; constants, since they decide the shape of the result."""
    return segments(draw, x.shape[:1], x.shape[0] + 2, dtypes=INDEX, ordered=True, constant=True)


@operator("tf.math.segment_sum", "tf.math.segment_mean", family="segment", weight=0.5)
def segment_sums(draw: Draw) -> Call:
    dtypes = FLOATING_OR_COMPLEX if draw.target.endswith("mean") else NUMERIC
    x = draw.value(dtypes=dtypes, ranks=range(1, 5), minimum=1, where=lambda x: _sums(draw, x))
    fitting(draw, 2 * x.size)
    return draw.call(x, _sorted_ids(draw, x))


@operator("tf.math.segment_prod", family="segment", weight=0.3)
def segment_prod(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC, ranks=range(1, 5), minimum=1, where=lambda x: draw.nonfinite or moderate(x, 4.0))
    fitting(draw, 2 * x.size)
    return draw.call(x, _sorted_ids(draw, x))


@operator("tf.math.segment_max", "tf.math.segment_min", family="segment", rounding=Rounding.EXACT, weight=0.4)
def segment_extremes(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 5), minimum=1, where=no_nan)
    fitting(draw, 2 * x.size)
    return draw.call(x, _sorted_ids(draw, x))


def _unsorted(draw: Draw, x: Handle) -> Call:
    """Ids of the leading dimensions in any order, negative ones (dropped) and empty segments among them."""
    depth = draw.integer(1, x.rank) if draw.flag(0.25) else 1
    count = draw.integer(1, 6)
    fitting(draw, count * math.prod(x.shape[depth:]))
    ids = segments(draw, x.shape[:depth], count, dtypes=INDEX, negative=True)
    return draw.call(x, ids, count)


@operator(
    "tf.math.unsorted_segment_sum",
    "tf.math.unsorted_segment_mean",
    "tf.math.unsorted_segment_sqrt_n",
    family="segment",
    weight=0.4,
)
def unsorted_sums(draw: Draw) -> Call:
    dtypes = NUMERIC if draw.target.endswith("sum") else FLOATING
    x = draw.value(dtypes=dtypes, ranks=range(1, 5), minimum=1, where=lambda x: _sums(draw, x))
    return _unsorted(draw, x)


@operator("tf.math.unsorted_segment_prod", family="segment", weight=0.3)
def unsorted_prod(draw: Draw) -> Call:
    x = draw.value(dtypes=NUMERIC, ranks=range(1, 5), minimum=1, where=lambda x: draw.nonfinite or moderate(x, 4.0))
    return _unsorted(draw, x)


@operator(
    "tf.math.unsorted_segment_max",
    "tf.math.unsorted_segment_min",
    family="segment",
    rounding=Rounding.EXACT,
    weight=0.4,
)
def unsorted_extremes(draw: Draw) -> Call:
    """An empty segment gives the least (the greatest) finite number of the dtype."""
    return _unsorted(draw, draw.value(dtypes=REAL, ranks=range(1, 5), minimum=1, where=no_nan))


@operator("tf.dynamic_stitch", family="scatter", rounding=Rounding.EXACT, weight=0.3)
def dynamic_stitch(draw: Draw) -> Call:
    """Every position once. The indices are constants: they decide the shape of the result."""
    counts = [draw.integer(1, 3) for _ in range(draw.integer(1, 3))]
    order = draw.permutation(sum(counts))
    inner = draw.shape(range(3), minimum=1, maximum=4)
    dtype = draw.dtype(ANY)
    indices, data, start = [], [], 0
    for count in counts:
        part = np.array(order[start : start + count])
        indices.append(
            draw.tensor((count,), "int32", lambda rng, shape, dtype, part=part: part.astype(np.int32), constant=True)
        )
        data.append(draw.tensor((count, *inner), dtype))
        start += count
    return draw.call(tuple(indices), tuple(data))


@operator("tf.math.bincount", family="segment", rounding=Rounding.EXACT, weight=0.3)
def bincount(draw: Draw) -> Call:
    """With as many bins at least as at most, so that the shape is static; larger values are dropped."""
    bins = draw.integer(2, 6)
    values = draw.indices((draw.integer(2, 9),), 0, bins, dtypes="int32")
    if draw.flag(0.4):
        weights = draw.tensor(values.shape, ("int32", "int64", "float32", "float64"), "integers")
        return draw.call(values, weights=weights, minlength=bins, maxlength=bins)
    return draw.call(values, minlength=bins, maxlength=bins)
