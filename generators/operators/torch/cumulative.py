"""Running sums, products and extremes, and differences."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw
from generators.graph import FLOATING, DType
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, REAL, axis_or_scalar, complex_too, extent, untied
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator


@operator("torch.cumsum", family="cumulative", weight=1.5)
def cumsum(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY))
    options: dict[str, Any] = {"dtype": _dtype(draw, x.dtype)} if draw.flag(0.25) else {}
    return draw.call(x, axis_or_scalar(draw, x), **options)


def _dtype(draw: Draw, dtype: str) -> DType:
    """A dtype to accumulate in, to which every finite element converts."""
    return DType(draw.choice(("float32", "float64") if dtype in FLOATING else ("float32", "int32", "int64")))


@operator("torch.cumprod", family="cumulative", weight=0.8)
def cumprod(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, where=lambda x: draw.nonfinite or x.dtype == "bool" or x.within(-12.0, 12.0))
    options: dict[str, Any] = {"dtype": _dtype(draw, x.dtype)} if draw.flag(0.2) else {}
    return draw.call(x, axis_or_scalar(draw, x), **options)


@operator("torch.cummax", "torch.cummin", family="cumulative", rounding=Rounding.EXACT, weight=0.8)
def running_extremes(draw: Draw) -> Call:
    # Which of equal extremes' indices is returned is not documented.
    return draw.call(*untied(draw, REAL))


@operator("torch.logcumsumexp", family="cumulative", weight=0.6)
def logcumsumexp(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, axis_or_scalar(draw, x))


@operator("torch.diff", family="cumulative", rounding=Rounding.COMPOSITE, weight=0.8)
def diff(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 6), minimum=2)
    axis = draw.axis(x.rank)
    options: dict[str, Any] = {}
    for name in ("prepend", "append"):
        if draw.flag(0.2):
            shape = list(x.shape)
            shape[axis] = draw.integer(1, 2)
            options[name] = draw.tensor(shape, x.dtype)
    if draw.flag(0.5):
        options["n"] = draw.integer(1, min(3, extent(x, axis) - 1))
    return draw.call(x, dim=axis, **options)


@operator("torch.trapezoid", "torch.cumulative_trapezoid", family="cumulative", weight=0.3)
def trapezoid(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 5), minimum=2)
    axis = draw.axis(x.rank)
    if draw.flag(0.3):
        return draw.call(x, draw.tensor(x.shape, x.dtype), dim=axis)
    return draw.call(x, dx=draw.choice((1.0, 0.5, 2.0)), dim=axis)
