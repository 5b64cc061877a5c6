"""Comparisons, logic, and tests of single elements."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, INTEGRAL
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, complex_too, element, literal, mixed, other
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator


def _compared(draw: Draw, x: Handle) -> object:
    """Something to compare with: one of the elements, or a value or number of any kind."""
    fraction = draw.choices.fraction()
    if fraction < 0.55 and x.size:  # the middle one of three: seldom the least or the greatest
        return sorted(element(draw, x) for _ in range(3))[1]
    if fraction < 0.6:
        return literal(draw, x.dtype)
    return other(draw, x, ANY)


@operator("torch.eq", "torch.ne", family="comparison", rounding=Rounding.EXACT)
def equality(draw: Draw) -> Call:
    # Equal elements are rare among fractions: discrete values, or an element to compare with.
    if draw.flag(0.5):
        x = draw.value(dtypes=(*INTEGRAL, "bool"))
        return draw.call(x, _compared(draw, x))
    x = draw.value(dtypes=complex_too(draw, ANY), minimum=1)
    return draw.call(x, element(draw, x))


@operator("torch.lt", "torch.le", "torch.gt", "torch.ge", family="comparison", rounding=Rounding.EXACT)
def order(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, _compared(draw, x))


@operator("torch.isclose", family="comparison", weight=0.3)
def isclose(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    y = other(draw, x, ANY, promote=0.0)
    if y is x or x.size == 0 or y.size == 0:
        return draw.call(x, y, equal_nan=draw.flag())
    # As far apart as some two elements are, so that some pairs are close and some are not.
    apart = min(abs(float(element(draw, x)) - float(element(draw, y))) for _ in range(2))
    atol = float(f"{apart:.3g}") if apart < 1e30 else 1.0
    options: dict[str, Any] = {"rtol": draw.choice((0.0, 0.1, 0.8)), "atol": atol, "equal_nan": draw.flag()}
    return draw.call(x, y, **options)


@operator(
    "torch.logical_and", "torch.logical_or", "torch.logical_xor", family="logic", rounding=Rounding.EXACT, weight=0.8
)
def logical(draw: Draw) -> Call:
    x = draw.value(dtypes=_discrete(draw), where=mixed)
    y = draw.broadcastable(x, _discrete(draw))
    if y is x:
        y = draw.tensor(x.shape, "bool", reuse=False)
    return draw.call(x, y)


@operator("torch.logical_not", family="logic", rounding=Rounding.EXACT)
def logical_not(draw: Draw) -> Call:
    x = draw.value(dtypes=_discrete(draw), where=lambda x: x.size < 2 or x.within(0, 0) or not bool(x.array.all()))
    return draw.call(x)


def _discrete(draw: Draw) -> tuple[str, ...]:
    """Bools mostly; numbers other than zero count as true."""
    return ("bool",) if draw.flag(0.85) else ANY


@operator(
    "torch.isnan",
    "torch.isinf",
    "torch.isfinite",
    "torch.isposinf",
    "torch.isneginf",
    family="comparison",
    rounding=Rounding.EXACT,
    weight=0.25,
)
def kinds_of_number(draw: Draw) -> Call:
    if draw.nonfinite:
        return draw.call(draw.value(dtypes=FLOATING))
    # In a case of finite numbers the answers are all alike: a tensor of special ones, or a single element.
    if draw.flag(0.6):
        return draw.call(draw.value(dtypes=FLOATING, elements="special", minimum=2))
    return draw.call(draw.value(dtypes=ANY, where=lambda x: x.size == 1, ranks=(0, 1)))
