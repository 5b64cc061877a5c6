"""Reductions over one, several and all axes."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, INTEGRAL, DType
from generators.operators.domains import product_fits, sum_fits
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, REAL, axis_or_scalar, complex_too, long_axis, untied
from generators.operators.torch.registry import REGISTRY
from generators.selectors import probabilities

operator = REGISTRY.operator


def _over(draw: Draw, x: Handle, *, nonempty: bool = False, whole: float = 0.2) -> dict[str, Any]:
    """Keyword arguments ``dim`` and ``keepdim`` over one or several axes, or (none of them) over everything.

    With ``nonempty`` only axes that have elements, for reductions that have no identity.
    """
    if draw.flag(whole):
        if nonempty and x.size == 0:
            draw.reject("a reduction of no elements")
        return {}
    if x.rank == 0:
        return {"dim": draw.choice((0, -1))} if draw.flag() else {}
    if draw.flag(0.6):
        dims: int | tuple[int, ...] = draw.axis(x.rank)
        covered: tuple[int, ...] = (dims,) if isinstance(dims, int) else dims
    else:
        dims = covered = draw.axes(x.rank)
    if nonempty and any(x.shape[axis] == 0 for axis in covered):
        draw.reject("a reduction of no elements")
    return {"dim": dims, "keepdim": draw.flag()} if draw.flag(0.7) else {"dim": dims}


def _dtype(draw: Draw, x: Handle, options: dict[str, Any]) -> dict[str, Any]:
    """The options with ``dtype=`` sometimes: the elements are cast to it before they are reduced."""
    if draw.flag(0.2):
        wider = ("float32", "float64") if x.dtype in FLOATING or draw.flag() else ("int64", "int32", "float32")
        options["dtype"] = DType(draw.choice(wider))
    return options


@operator("torch.sum", "torch.nansum", family="reduction", weight=1.2, domain=sum_fits)
def sums(draw: Draw) -> Call:
    dtypes = complex_too(draw, ANY) if draw.target == "torch.sum" else ANY
    x = draw.value(dtypes=dtypes, where=lambda x: not sum_fits([x.array]))
    return draw.call(x, **_dtype(draw, x, _over(draw, x)))


@operator("torch.mean", family="reduction", weight=1.2)
def mean(draw: Draw) -> Call:
    if draw.flag(0.15):  # integers need a dtype
        x = draw.value(dtypes=ANY, minimum=1)
        return draw.call(x, **_over(draw, x), dtype=DType(draw.choice(("float32", "float64"))))
    x = draw.value(dtypes=complex_too(draw, FLOATING), minimum=1)
    return draw.call(x, **_over(draw, x))


@operator("torch.nanmean", family="reduction", weight=0.4)
def nanmean(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1)
    return draw.call(x, **_over(draw, x))


@operator("torch.prod", family="reduction", domain=product_fits)
def prod(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, where=lambda x: (x.size <= 64 or x.within(-1.5, 1.5)) and not product_fits([x.array]))
    if x.rank == 0 or draw.flag(0.2):
        return draw.call(x, **_dtype(draw, x, {}))
    return draw.call(x, **_dtype(draw, x, {"dim": draw.axis(x.rank), "keepdim": draw.flag()}))


@operator("torch.amax", "torch.amin", family="reduction", rounding=Rounding.EXACT)
def extremes(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, minimum=1)
    return draw.call(x, **_over(draw, x, nonempty=True))


@operator("torch.max", "torch.min", family="reduction", rounding=Rounding.EXACT, weight=1.2)
def extremes_with_indices(draw: Draw) -> Call:
    # Of equal extremes the first one's index is documented to be returned, so ties are defined; NaN is not.
    x = draw.value(dtypes=ANY, minimum=1, where=_no_nan)
    if draw.flag(0.25):
        return draw.call(x)
    axis = long_axis(draw, x)
    return draw.call(x, axis, keepdim=draw.flag()) if draw.flag(0.7) else draw.call(x, axis)


@operator("torch.argmax", "torch.argmin", family="reduction", rounding=Rounding.EXACT, weight=1.2)
def positions(draw: Draw) -> Call:
    # The first of equal extremes, as documented.
    x = draw.value(dtypes=REAL, minimum=1, where=_no_nan)
    if draw.flag(0.2):
        return draw.call(x)
    axis = long_axis(draw, x)
    return draw.call(x, dim=axis, keepdim=draw.flag()) if draw.flag(0.7) else draw.call(x, axis)


def _no_nan(x: Handle) -> bool:
    return not math.isnan(x.bounds[0])


@operator("torch.aminmax", family="reduction", rounding=Rounding.EXACT, weight=0.5)
def aminmax(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, minimum=1)
    if draw.flag(0.3):
        return draw.call(x)
    return draw.call(x, dim=axis_or_scalar(draw, x), keepdim=draw.flag())


@operator("torch.any", "torch.all", family="reduction", rounding=Rounding.EXACT)
def quantifiers(draw: Draw) -> Call:
    discrete = draw.flag(0.8)
    x = draw.value(dtypes=("bool",) if discrete else ANY)
    if draw.target == "torch.all" and not discrete and draw.flag(0.7):
        return draw.call(x)
    if x.rank == 0 or draw.flag(0.3):
        return draw.call(x)
    # Over few elements, so that not all of the results are alike.
    axis = min(range(x.rank), key=lambda axis: (x.shape[axis] < 2, x.shape[axis]))
    dims: int | tuple[int, ...] = axis - x.rank if draw.flag() else axis
    if draw.flag(0.25):
        dims = draw.axes(x.rank)
    return draw.call(x, dim=dims, keepdim=draw.flag())


@operator("torch.count_nonzero", family="reduction", rounding=Rounding.EXACT, weight=0.8)
def count_nonzero(draw: Draw) -> Call:
    x = draw.value(dtypes=("bool", *INTEGRAL) if draw.flag(0.7) else ANY, where=lambda x: not bool(x.array.all()))
    if x.rank == 0 or draw.flag(0.3):
        return draw.call(x)
    return draw.call(x, dim=draw.axis(x.rank) if draw.flag() else draw.axes(x.rank))


@operator("torch.var", "torch.std", "torch.var_mean", "torch.std_mean", family="reduction", weight=0.8)
def spread_of(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1, ranks=range(1, 6), where=lambda x: x.size > 1)
    options = _over(draw, x)
    dims = options.get("dim", tuple(range(x.rank)))
    count = math.prod(x.shape[axis] for axis in ((dims,) if isinstance(dims, int) else dims))
    corrections = [value for value in (0, 1, 2, 0.5) if value < count]
    if draw.flag(0.7) or count < 2:
        options["correction"] = draw.choice(corrections)
    elif "dim" in options or draw.flag():
        options["unbiased"] = draw.flag()
        options.setdefault("dim", draw.axes(x.rank, high=1) if count > 1 else None)
        covered = options["dim"]
        if math.prod(x.shape[axis] for axis in ((covered,) if isinstance(covered, int) else covered)) < 2:
            options["unbiased"] = False
    return draw.call(x, **options)


@operator("torch.logsumexp", family="reduction")
def logsumexp(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, minimum=1)
    if x.rank == 0:
        return draw.call(x, draw.choice((0, -1)))
    dims = draw.axis(x.rank) if draw.flag() else draw.axes(x.rank)
    return draw.call(x, dims, keepdim=draw.flag())


@operator("torch.norm", "torch.linalg.vector_norm", family="reduction", weight=0.8)
def norm(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1)
    orders: tuple[Any, ...] = (2, 1, float("inf"), float("-inf"), 0, 3, 0.5, 1.5)
    order = draw.choice(orders)
    if x.rank == 0:
        return draw.call(x, order)
    options = _over(draw, x)
    return draw.call(x, order, **options)


@operator("torch.linalg.matrix_norm", family="reduction", weight=0.4)
def matrix_norm(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32", "float64"), ranks=range(2, 6), minimum=1)
    return draw.call(
        x, draw.choice(("fro", 1, -1, float("inf"), float("-inf"))), draw.axes(x.rank, 2, 2), keepdim=draw.flag()
    )


@operator("torch.median", "torch.nanmedian", family="reduction", rounding=Rounding.EXACT, weight=0.8)
def median(draw: Draw) -> Call:
    if draw.flag(0.3):
        return draw.call(draw.value(dtypes=REAL, minimum=1, where=_no_nan))
    # The index is any of those of equal elements.
    x, axis = untied(draw, REAL, minimum=1)
    return draw.call(x, axis, keepdim=draw.flag())


@operator("torch.quantile", "torch.nanquantile", family="reduction", weight=0.5)
def quantile(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32", "float64"), minimum=1)
    levels: Any = draw.choice((0.5, 0.25, 0.9, 0.0, 1.0))
    if draw.flag(0.3):
        levels = probabilities(draw, (draw.integer(1, 3),), x.dtype)
    options: dict[str, Any] = {"interpolation": draw.choice(("linear", "lower", "higher", "midpoint", "nearest"))}
    if draw.flag(0.75):
        options |= {"dim": axis_or_scalar(draw, x), "keepdim": draw.flag()}
    return draw.call(x, levels, **options)


@operator("torch.trace", family="reduction", weight=0.4)
def trace(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=REAL, ranks=(2,)))


@operator("torch.dist", family="reduction", weight=0.3)
def dist(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1)
    return draw.call(x, draw.broadcastable(x), p=draw.choice((2, 1, 3.0, float("inf"), 0)))


@operator("torch.Tensor.sum_to_size", family="reduction", weight=0.4)
def sum_to_size(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 6), minimum=1)
    shape = [1 if draw.flag(0.4) else n for n in x.shape][draw.integer(0, x.rank - 1) :]
    return draw.call(x, tuple(shape))
