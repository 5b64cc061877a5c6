"""Elementwise functions of one, two and three tensors, and clamping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, INTEGRAL
from generators.operators.registry import Rounding
from generators.operators.torch.common import (
    ANY,
    EXP_LIMIT,
    LARGEST,
    REAL,
    complex_too,
    divisor,
    element,
    literal,
    operand,
    other,
    third,
)
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator

#: Where a function is finite and real. A missing bound is infinite.
_DOMAINS: Mapping[str, tuple[float, float]] = {
    "torch.sqrt": (0.0, math.inf),
    "torch.rsqrt": (1e-4, math.inf),
    "torch.log": (1e-4, math.inf),
    "torch.log2": (1e-4, math.inf),
    "torch.log10": (1e-4, math.inf),
    "torch.log1p": (-0.99, math.inf),
    "torch.asin": (-1.0, 1.0),
    "torch.acos": (-1.0, 1.0),
    "torch.acosh": (1.0, math.inf),
    "torch.lgamma": (0.01, 3000.0),
    "torch.digamma": (0.01, math.inf),
    "torch.special.i0e": (-50.0, 50.0),
    "torch.special.i1e": (-50.0, 50.0),
}
#: The same for functions that no or too few integers are in the domain of.
_FLOAT_DOMAINS: Mapping[str, tuple[float, float]] = {
    "torch.atanh": (-0.99, 0.99),
    "torch.erfinv": (-0.99, 0.99),
    "torch.special.entr": (0.0, math.inf),
}


@operator(
    "torch.sin",
    "torch.cos",
    "torch.tan",
    "torch.atan",
    "torch.asinh",
    "torch.tanh",
    "torch.sigmoid",
    "torch.sinc",
    family="elementwise",
    weight=0.6,
)
def whole_line(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=complex_too(draw, ANY)))


@operator(
    "torch.erf", "torch.erfc", "torch.deg2rad", "torch.rad2deg", "torch.special.ndtr", family="elementwise", weight=0.4
)
def whole_real_line(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=ANY))


@operator(*_DOMAINS, family="elementwise", weight=0.45)
def bounded(draw: Draw) -> Call:
    low, high = _DOMAINS[draw.target]
    return draw.call(draw.bounded(low, high, dtypes=ANY if low <= 0 else REAL))


@operator(*_FLOAT_DOMAINS, family="elementwise", weight=0.45)
def bounded_float(draw: Draw) -> Call:
    low, high = _FLOAT_DOMAINS[draw.target]
    return draw.call(draw.bounded(low, high))


@operator("torch.exp", "torch.expm1", "torch.exp2", "torch.sinh", "torch.cosh", family="elementwise", weight=0.6)
def exponential(draw: Draw) -> Call:
    if draw.nonfinite:
        return draw.call(draw.value(dtypes=complex_too(draw, ANY)))
    return draw.call(draw.value(dtypes=ANY, where=lambda x: x.within(-math.inf, EXP_LIMIT.get(x.dtype, 88.0))))


@operator("torch.i0", "torch.special.i1", family="elementwise", weight=0.2)
def bessel(draw: Draw) -> Call:
    return draw.call(draw.bounded(-11.0, 11.0, dtypes=ANY))


@operator("torch.reciprocal", family="elementwise", rounding=Rounding.BASIC)
def reciprocal(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, where=lambda x: draw.nonfinite or bool(x.array.all()))
    return draw.call(x)


@operator("torch.square", family="elementwise", rounding=Rounding.BASIC)
def square(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=complex_too(draw, ANY), where=lambda x: _squares(x)))


def _squares(x: Handle) -> bool:
    limit = math.sqrt(LARGEST.get(x.dtype, math.inf))
    return x.dtype == "complex64" or x.within(-limit, limit)


@operator("torch.abs", "torch.neg", "torch.positive", family="elementwise", rounding=Rounding.EXACT)
def sign_changes(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=complex_too(draw, REAL)))


@operator("torch.sign", "torch.signbit", "torch.sgn", family="elementwise", rounding=Rounding.EXACT, weight=0.8)
def signs(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=REAL, where=lambda x: x.size < 2 or not x.within(1e-30, math.inf)))


@operator("torch.ceil", "torch.floor", "torch.trunc", family="elementwise", rounding=Rounding.EXACT)
def to_whole(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING if draw.flag(0.8) else REAL, where=_wide))


def _wide(x: Handle) -> bool:
    """Whether rounding to integers leaves more than one value."""
    low, high = x.bounds
    return x.size < 2 or not high - low < 1.5


@operator("torch.round", family="elementwise", rounding=Rounding.EXACT)
def round_half_even(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING if draw.flag(0.8) else REAL, where=_wide))


# As a method, so that its arithmetic (it scales by a power of ten, rounds, and scales back) is judged apart.
@operator("torch.Tensor.round", family="elementwise", weight=0.8)
def round_decimals(draw: Draw) -> Call:
    # Powers of ten past float16's range make infinities.
    x = draw.value(dtypes=FLOATING, where=lambda x: _wide(x) and x.within(-120.0, 120.0))
    return draw.call(x, decimals=draw.integer(-1, 2))


@operator("torch.frac", family="elementwise", rounding=Rounding.EXACT)
def frac(draw: Draw) -> Call:
    return draw.call(
        draw.value(dtypes=FLOATING, where=lambda x: x.size < 2 or bool((x.array != x.array.round()).any()))
    )


@operator("torch.nan_to_num", family="elementwise", rounding=Rounding.EXACT)
def nan_to_num(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING if draw.flag(0.9) else ANY)
    replacements: dict[str, Any] = {key: draw.real(-5.0, 5.0) for key in ("nan", "posinf", "neginf") if draw.flag()}
    return draw.call(x, **replacements)


@operator("torch.logit", family="elementwise")
def logit(draw: Draw) -> Call:
    if draw.flag(0.4):
        return draw.call(draw.value(dtypes=ANY), draw.choice((1e-3, 0.25, 0.1)))
    x = draw.bounded(0.005, 0.99)
    return draw.call(x, eps=draw.choice((0.01, 0.2))) if draw.flag() else draw.call(x)


@operator("torch.add", "torch.sub", family="elementwise", rounding=Rounding.BASIC, weight=2.5)
def add(draw: Draw) -> Call:
    dtypes = complex_too(draw, REAL if draw.target == "torch.sub" else ANY)
    x = draw.value(dtypes=dtypes)
    y = operand(draw, x, dtypes)
    if draw.target == "torch.sub" and isinstance(y, bool):
        y = int(y)
    if draw.flag() or x.dtype == "bool":
        return draw.call(x, y)
    whole = x.dtype in INTEGRAL and (y.dtype in INTEGRAL if isinstance(y, Handle) else isinstance(y, int))
    if isinstance(y, Handle) and y.dtype == "bool" and whole:
        return draw.call(x, y)
    return draw.call(x, y, alpha=draw.choice((2, -1, 3, 0)) if whole else draw.choice((2, -1, 0.5, -1.5, 3)))


@operator("torch.rsub", family="elementwise", rounding=Rounding.BASIC, weight=0.5)
def rsub(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL)
    y = literal(draw, x.dtype) if draw.flag() else other(draw, x, REAL)
    return draw.call(x, int(y) if isinstance(y, bool) else y)


@operator("torch.mul", family="elementwise", rounding=Rounding.BASIC, weight=2.5)
def mul(draw: Draw) -> Call:
    dtypes = complex_too(draw, ANY)
    x = draw.value(dtypes=dtypes)
    y = operand(draw, x, dtypes)
    if not isinstance(y, Handle) and y == 0 and draw.flag(0.9):
        y = draw.choice((2, -1, 3))
    return draw.call(x, y)


@operator("torch.div", family="elementwise", rounding=Rounding.BASIC, weight=2)
def div(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, divisor(draw, x, ANY))


@operator("torch.true_divide", family="elementwise", rounding=Rounding.BASIC, weight=0.4)
def true_divide(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, divisor(draw, x, ANY))


@operator("torch.pow", "torch.float_power", family="elementwise", weight=1.2)
def power(draw: Draw) -> Call:
    form = draw.integer(0, 3)
    if form == 0:  # any base, a whole exponent
        x = draw.value(dtypes=REAL, where=lambda x: x.within(-30.0, 30.0))
        return draw.call(x, draw.choice((2, 3, 0, 1, 2.0, 3.0)))
    if form == 1:  # a positive base, any exponent
        x = draw.bounded(0.25, 20.0)
        return draw.call(x, draw.choice((0.5, -0.5, -1, -2, 1.5, 1 / 3, -1.0)))
    if form == 2:  # a number as base
        x = draw.bounded(-4.0 if draw.flag() else 0.0, 8.0, dtypes=FLOATING)
        return draw.call(draw.choice((2, 0.5, 3.0, 1.5)), x)
    x = draw.bounded(1.0, 5.0, dtypes=REAL)
    y = draw.tensor(draw.broadcast_shape(x.shape), x.dtype if draw.flag(0.8) else REAL, _small_exponents(draw))
    return draw.call(x, y)


def _small_exponents(draw: Draw) -> str:
    return "fractions" if draw.flag() else "ties"


@operator("torch.atan2", family="elementwise")
def atan2(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, other(draw, x, ANY))


@operator("torch.copysign", family="elementwise", rounding=Rounding.EXACT)
def copysign(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, operand(draw, x, ANY))


@operator("torch.hypot", "torch.logaddexp", "torch.logaddexp2", family="elementwise", weight=0.6)
def two_floats(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, other(draw, x, FLOATING, promote=0.0 if draw.target == "torch.hypot" else 0.1))


@operator("torch.xlogy", "torch.special.xlog1py", family="elementwise", weight=0.6)
def x_times_log(draw: Draw) -> Call:
    y = draw.bounded(0.01, math.inf, dtypes=REAL)
    x = literal(draw, y.dtype) if draw.flag(0.2) else other(draw, y, ANY)
    return draw.call(x, y)


@operator("torch.maximum", "torch.minimum", "torch.fmax", "torch.fmin", family="elementwise", rounding=Rounding.EXACT)
def extremes(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, other(draw, x, ANY))


@operator("torch.heaviside", family="elementwise", rounding=Rounding.EXACT, weight=0.7)
def heaviside(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL)
    return draw.call(x, other(draw, x, REAL, promote=0.0))


@operator("torch.ldexp", family="elementwise", weight=0.4)
def ldexp(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, where=lambda x: x.within(-200.0, 200.0))
    exponents = draw.tensor(draw.broadcast_shape(x.shape), ("int32", "int64", "int8"), "integers")
    return draw.call(x, exponents)


@operator("torch.nextafter", family="elementwise", rounding=Rounding.EXACT, weight=0.2)
def nextafter(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, other(draw, x, FLOATING, promote=0.0))


@operator("torch.addcmul", "torch.addcdiv", family="elementwise")
def add_product(draw: Draw) -> Call:
    division = draw.target == "torch.addcdiv"
    x = draw.value(dtypes=FLOATING if division or draw.flag(0.8) else REAL)
    y = other(draw, x, (x.dtype,), promote=0.0)
    z = divisor(draw, y, (x.dtype,), number=0.0, joint=x) if division else third(draw, x, y, x.dtype)
    if draw.flag(0.4):
        return draw.call(x, y, z)
    return draw.call(x, y, z, value=draw.choice((2, -1, 3) if x.dtype in INTEGRAL else (0.5, -1, 2.5, 2)))


@operator("torch.lerp", family="elementwise")
def lerp(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    y = other(draw, x, (x.dtype,), promote=0.0)
    weight = draw.real(-1.0, 2.0) if draw.flag() else third(draw, x, y, x.dtype)
    return draw.call(x, y, weight)


@operator("torch.clamp", "torch.clip", family="clamp", rounding=Rounding.EXACT, weight=1.2)
def clamp(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY if draw.flag(0.3) else REAL, minimum=1)
    if x.dtype != "bool" and draw.flag(0.3):
        lower = other(draw, x, (x.dtype,), promote=0.0) if draw.flag(0.7) else None
        if lower is None:
            return draw.call(x, max=other(draw, x, (x.dtype,), promote=0.0))
        return draw.call(x, lower, third(draw, x, lower, x.dtype)) if draw.flag() else draw.call(x, min=lower)
    first, second = element(draw, x), literal(draw, x.dtype) if draw.flag() else element(draw, x)
    if x.dtype == "bool":  # bools are clamped only by numbers, which promote them
        first, second = draw.choice((0, 1, 0.5)), draw.choice((0, 1, 2, 0.5))
    form = draw.integer(0, 3)
    if form == 0:
        return draw.call(x, min=first)
    if form == 1:
        return draw.call(x, max=first)
    # A lower bound above the upper one is legal: the upper one wins.
    low, high = (first, second) if draw.flag(0.15) else sorted((first, second))
    return draw.call(x, low, high) if form == 2 else draw.call(x, min=low, max=high)


@operator("torch.clamp_min", "torch.clamp_max", family="clamp", rounding=Rounding.EXACT, weight=0.4)
def clamp_one_side(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, minimum=1)
    bound = element(draw, x) if draw.flag(0.7) else other(draw, x, (x.dtype,), promote=0.0)
    return draw.call(x, bound)


@operator("torch.where", family="clamp", rounding=Rounding.EXACT, weight=1.8)
def where(draw: Draw) -> Call:
    dtypes = complex_too(draw, ANY)
    condition = draw.value(dtypes=("bool",), where=lambda x: x.size < 2 or x.bounds == (0.0, 1.0))
    x = draw.broadcastable(condition, dtypes)
    fraction = draw.choices.fraction()
    if fraction < 0.2:
        return draw.call(condition, x, literal(draw, x.dtype))
    if fraction < 0.4:
        return draw.call(condition, literal(draw, x.dtype), x)
    return draw.call(condition, x, third(draw, condition, x, dtypes if draw.flag(0.15) else x.dtype))
