"""Along axes: reductions, running sums, softmax, selection of the greatest, sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.operators.onnx.common import (
    dtypes,
    floating,
    integers,
    maybe,
    operator_name,
    scalar,
    tensor_of,
)
from generators.operators.onnx.registry import REGISTRY
from generators.operators.registry import Rounding

#: Of integers, these have no meaning that all agree on: a root or a logarithm is rounded in one way or another.
_FRACTIONAL = frozenset(("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean"))


def _axes(draw: Draw, x: Handle) -> tuple[Handle | None, dict[str, Any]]:
    """Axes as a vector, none at all, or an empty one, which is the identity if so told."""
    attributes = maybe(draw, keepdims=draw.integer(0, 1))
    if draw.flag(0.25) or not x.rank:
        if draw.flag(0.2):
            attributes["noop_with_empty_axes"] = draw.integer(0, 1)
            return (tensor_of(draw, np.zeros(0, np.int64)) if draw.flag() else None), attributes
        return None, attributes
    return integers(draw, draw.axes(x.rank)), attributes


def _reduce(draw: Draw, x: Handle) -> Call:
    axes, attributes = _axes(draw, x)
    return draw.call(x, axes, **attributes) if axes is not None else draw.call(x, **attributes)


@REGISTRY.operator("onnx.ReduceMax", "onnx.ReduceMin", family="reduction", rounding=Rounding.EXACT)
def extremes(draw: Draw) -> Call:
    """Not of empty tensors: for float types that is minus infinity, for integers it depends on the type."""
    return _reduce(draw, draw.value(dtypes=dtypes(draw), minimum=1))


@REGISTRY.operator(
    *(f"onnx.Reduce{name}" for name in ("L1", "L2", "Mean", "Prod", "Sum", "SumSquare")), family="reduction"
)
def sums(draw: Draw) -> Call:
    kinds = floating(draw) if operator_name(draw) in _FRACTIONAL else dtypes(draw)
    return _reduce(draw, draw.value(dtypes=kinds, minimum=1))


@REGISTRY.operator("onnx.ReduceLogSum", family="reduction")
def log_sum(draw: Draw) -> Call:
    return _reduce(draw, draw.bounded(0.01, 100.0, dtypes=floating(draw), minimum=1))


@REGISTRY.operator("onnx.ReduceLogSumExp", family="reduction")
def log_sum_exp(draw: Draw) -> Call:
    return _reduce(draw, draw.value(dtypes=floating(draw), minimum=1))


@REGISTRY.operator("onnx.ArgMax", "onnx.ArgMin", family="selection", rounding=Rounding.EXACT)
def arguments(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 6), minimum=1)
    return draw.call(
        x,
        **maybe(draw, 0.7, axis=draw.axis(x.rank), keepdims=draw.integer(0, 1), select_last_index=draw.integer(0, 1)),
    )


@REGISTRY.operator("onnx.CumSum", "onnx.CumProd", family="cumulative")
def running(draw: Draw) -> Call:
    kinds = tuple(name for name in dtypes(draw) if name not in ("uint32", "uint64"))
    x = draw.value(dtypes=kinds, ranks=range(1, 5))
    axis = scalar(draw, draw.axis(x.rank), draw.choice(("int64", "int32")))
    return draw.call(x, axis, **maybe(draw, exclusive=draw.integer(0, 1), reverse=draw.integer(0, 1)))


@REGISTRY.operator("onnx.Softmax", "onnx.LogSoftmax", family="softmax", weight=1.5)
def softmax(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 6), minimum=1)
    return draw.call(x, **maybe(draw, 0.7, axis=draw.axis(x.rank)))


@REGISTRY.operator("onnx.Hardmax", family="softmax", rounding=Rounding.EXACT)
def hardmax(draw: Draw) -> Call:
    return softmax(draw)


@REGISTRY.operator("onnx.TopK", family="sorting", rounding=Rounding.EXACT)
def top(draw: Draw) -> Call:
    """Sorted: otherwise the order is anybody's. Of equal elements the one with the lower index comes first."""
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank)
    count = draw.integer(1, x.shape[axis])
    attributes = maybe(draw, largest=draw.integer(0, 1), sorted=1)
    if axis not in (-1, x.rank - 1) or draw.flag():
        attributes["axis"] = axis
    return draw.call(x, integers(draw, [count]), outputs=2, **attributes)


@REGISTRY.operator("onnx.Unique", family="sorting", rounding=Rounding.EXACT, weight=0.7)
def unique(draw: Draw) -> Call:
    x = draw.value(dtypes=[name for name in dtypes(draw) if name not in ("bfloat16",)], ranks=range(1, 4), minimum=1)
    attributes = maybe(draw, axis=draw.axis(x.rank), sorted=draw.integer(0, 1))
    return draw.call(x, outputs=draw.integer(1, 4), **attributes)


@REGISTRY.operator("onnx.NonZero", family="selection", rounding=Rounding.EXACT, weight=0.7)
def nonzero(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=dtypes(draw), ranks=range(1, 5)))


@REGISTRY.operator("onnx.LpNormalization", family="normalization")
def norm(draw: Draw) -> Call:
    x = draw.value(dtypes=floating(draw), ranks=range(1, 5), minimum=1)
    return draw.call(x, **maybe(draw, axis=draw.axis(x.rank), p=draw.integer(1, 2)))


@REGISTRY.operator("onnx.MeanVarianceNormalization", family="normalization")
def mean_variance(draw: Draw) -> Call:
    # Along a single element the variance is zero, and what is left is a quotient of roundings.
    x = draw.value(dtypes=floating(draw), ranks=(4,), minimum=2)
    if draw.flag():
        return draw.call(x)
    return draw.call(x, axes=draw.axes(x.rank, low=2))


@REGISTRY.operator("onnx.Det", family="linalg", weight=0.7)
def determinant(draw: Draw) -> Call:
    count = draw.integer(1, 5)
    shape = (*draw.shape(range(3), maximum=4), count, count)
    return draw.call(draw.tensor(shape, floating(draw)))
