"""Integer arithmetic: bitwise operators, shifts, and division with remainder by all combinations of signs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, INTEGRAL, SIGNED, Array
from generators.operators.domains import shift_counts
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, DISCRETE, REAL, divisor, literal
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator


@operator(
    "torch.bitwise_and", "torch.bitwise_or", "torch.bitwise_xor", family="integers", rounding=Rounding.EXACT, weight=0.8
)
def bitwise(draw: Draw) -> Call:
    x = draw.value(dtypes=DISCRETE)
    fraction = draw.choices.fraction()
    if fraction < 0.15:
        return draw.call(x, draw.scalar(x.dtype))
    if fraction < 0.25:
        return draw.call(draw.scalar(x.dtype), x)
    return draw.call(x, draw.broadcastable(x, DISCRETE if draw.flag(0.3) else x.dtype))


@operator("torch.bitwise_not", family="integers", rounding=Rounding.EXACT)
def bitwise_not(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=DISCRETE))


@operator(
    "torch.bitwise_left_shift",
    "torch.bitwise_right_shift",
    family="integers",
    rounding=Rounding.EXACT,
    weight=0.8,
    domain=shift_counts,
)
def shift(draw: Draw) -> Call:
    x = draw.value(dtypes=INTEGRAL)
    width = 8 * DTYPES[x.dtype].itemsize
    # Shifting by the width or more, or a sign into existence, is undefined in C++; torch says nothing of it.
    high = width - 2 if x.dtype in SIGNED else width - 1
    left = draw.target == "torch.bitwise_left_shift"
    if draw.flag(0.3):
        return draw.call(x, draw.integer(0, high if left else 2))
    return draw.call(
        x, draw.indices(draw.broadcast_shape(x.shape), 0, min(high, 9) if left or draw.flag(0.3) else 1, dtypes=x.dtype)
    )


@operator("torch.gcd", "torch.lcm", family="integers", rounding=Rounding.EXACT, weight=0.5)
def divisors(draw: Draw) -> Call:
    x = draw.value(dtypes=INTEGRAL, where=_modest)
    y = draw.tensor(draw.broadcast_shape(x.shape), x.dtype if draw.flag(0.8) else INTEGRAL, "integers")
    return draw.call(x, y)


def _modest(x: Handle) -> bool:
    """Whether a least common multiple with a small integer stays within the dtype."""
    return x.within(-9 if x.dtype == "int8" else -1000, 9 if x.dtype in ("int8", "uint8") else 1000)


@operator("torch.remainder", "torch.fmod", "torch.floor_divide", family="integers", weight=1.2)
def with_remainder(draw: Draw) -> Call:
    dtypes = _divided(draw)
    x = draw.value(dtypes=dtypes)
    if draw.target == "torch.remainder" and draw.flag(0.1):
        y = draw.value(dtypes=REAL, where=lambda y: bool(y.array.all()) and y.bounds[0] > 0)
        return draw.call(literal(draw, y.dtype) or 5, y)
    return draw.call(x, divisor(draw, x, dtypes))


def _divided(draw: Draw) -> Sequence[str]:
    """Integers often: how a quotient is rounded and whose sign a remainder has is code of its own for them."""
    return INTEGRAL if draw.flag(0.4) else REAL


@operator("torch.Tensor.div", family="integers", weight=1.5)
def rounded_division(draw: Draw) -> Call:
    dtypes = _divided(draw)
    x = draw.value(dtypes=ANY if draw.flag(0.2) else dtypes)
    y = divisor(draw, x, dtypes)
    mode = draw.choice(("trunc", "floor", "floor", None))
    return draw.call(x, y, rounding_mode=mode)


@operator("torch.isin", family="integers", rounding=Rounding.EXACT, weight=0.4)
def isin(draw: Draw) -> Call:
    x = draw.value(dtypes=INTEGRAL, minimum=1)
    flat = x.array.reshape(-1)

    def some_of_them(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return np.asarray(flat[rng.integers(0, flat.size, shape)])

    wanted = draw.tensor((draw.integer(1, 4),), x.dtype, some_of_them)
    return draw.call(x, wanted, invert=True) if draw.flag(0.3) else draw.call(x, wanted)
