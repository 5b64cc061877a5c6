"""Writing into a tensor: methods that end in an underscore, and assignment to a subscript.

What is written into is a copy (see :mod:`generators.frontends.torch`), so that every value of a graph stays what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, INTEGRAL, Slice
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, DISCRETE, REAL, divisor
from generators.operators.torch.indexing import bounds
from generators.operators.torch.registry import REGISTRY
from generators.selectors import mask

operator = REGISTRY.operator
EXACT, BASIC = Rounding.EXACT, Rounding.BASIC
T = "torch.Tensor."

#: Functions of one tensor: dtypes that they take, and where they are finite.
_UNARY: Mapping[str, tuple[tuple[str, ...], float, float]] = {
    T + "abs_": (REAL, -1e9, 1e9),
    T + "neg_": (REAL, -1e9, 1e9),
    T + "relu_": (REAL, -1e9, 1e9),
    T + "floor_": (FLOATING, -1e9, 1e9),
    T + "round_": (FLOATING, -1e9, 1e9),
    T + "exp_": (FLOATING, -20, 10),
    T + "sqrt_": (FLOATING, 0, 1e9),
    T + "tanh_": (FLOATING, -1e9, 1e9),
    T + "sigmoid_": (FLOATING, -1e9, 1e9),
    T + "cos_": (FLOATING, -1e4, 1e4),
    T + "reciprocal_": (FLOATING, 1e-2, 1e9),
}
_EXACT = (T + "abs_", T + "neg_", T + "relu_", T + "floor_", T + "round_")


def _other(draw: Draw, x: Handle) -> Handle:
    """A value of the same dtype that broadcasts to the shape of ``x``, and no further."""
    shape = [1 if draw.flag(0.2) else extent for extent in x.shape]
    return draw.tensor(shape[draw.integer(0, len(shape)) if draw.flag(0.3) else 0 :], x.dtype, reuse=False)


@operator(*_EXACT, family="writing", rounding=EXACT, weight=0.15)
@operator(*(name for name in _UNARY if name not in _EXACT), family="writing", weight=0.12)
def unary(draw: Draw) -> Call:
    dtypes, low, high = _UNARY[draw.target]
    return draw.call(draw.bounded(low, high, dtypes=dtypes) if abs(low) < 1e9 else draw.value(dtypes=dtypes))


@operator(T + "add_", T + "sub_", family="writing", rounding=BASIC, weight=0.3)
def sums(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL)
    y = draw.scalar(x.dtype) if draw.flag(0.25) else _other(draw, x)
    alpha: dict[str, Any] = {}
    if draw.flag(0.3):
        alpha["alpha"] = draw.choice((2, -1, 3) if x.dtype in INTEGRAL else (0.5, 2, -1.5))
    return draw.call(x, y, **alpha)


@operator(T + "mul_", family="writing", rounding=BASIC, weight=0.3)
def product(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    return draw.call(x, draw.scalar(x.dtype) if draw.flag(0.25) else _other(draw, x))


@operator(T + "div_", family="writing", rounding=BASIC, weight=0.25)
def quotient(draw: Draw) -> Call:
    """The quotient of integers is none, so that it could not be written."""
    x = draw.value(dtypes=FLOATING)
    y = divisor(draw, x, (x.dtype,))
    if isinstance(y, Handle) and (
        y.rank > x.rank or any(a not in (1, b) for a, b in zip(reversed(y.shape), reversed(x.shape), strict=False))
    ):
        draw.reject("broadcasts further")
    return draw.call(x, y)


@operator(T + "clamp_", T + "clamp_min_", T + "clamp_max_", family="writing", rounding=EXACT, weight=0.2)
def clamp(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL)
    low, high = sorted((draw.integer(0, 3), draw.integer(0, 5)))
    return draw.call(x, low, high) if draw.target == T + "clamp_" else draw.call(x, low)


@operator(T + "fill_", T + "zero_", T + "copy_", family="writing", rounding=EXACT, weight=0.1)
def overwritten(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    if draw.target == T + "zero_":
        return draw.call(x)
    if draw.target == T + "fill_":
        return draw.call(x, draw.tensor((), x.dtype) if draw.flag(0.2) else draw.scalar(x.dtype))
    return draw.call(x, _other(draw, x))


@operator(T + "masked_fill_", family="writing", rounding=EXACT, weight=0.3)
def masked_fill(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    shape = [1 if draw.flag(0.15) else extent for extent in x.shape]
    return draw.call(x, mask(draw, shape), draw.scalar(x.dtype))


@operator(T + "tril_", T + "triu_", family="writing", rounding=EXACT, weight=0.12)
def triangle(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=ANY, ranks=range(2, 5)), draw.integer(-2, 2))


@operator(T + "lerp_", T + "addcmul_", family="writing", weight=0.12)
def three(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, where=lambda x: draw.nonfinite or x.within(-200, 200))
    y = draw.tensor(x.shape, x.dtype, "typical", reuse=False)
    if draw.target == T + "lerp_":
        return draw.call(x, y, draw.choice((0.25, 0.5, 0.9, 1.5)))
    return draw.call(x, y, draw.tensor(x.shape, x.dtype, "typical", reuse=False), value=draw.choice((1, 0.5, -2)))


@operator(T + "bitwise_and_", T + "bitwise_or_", T + "logical_not_", family="writing", rounding=EXACT, weight=0.12)
def bits(draw: Draw) -> Call:
    x = draw.value(dtypes=DISCRETE)
    return draw.call(x) if draw.target.endswith("logical_not_") else draw.call(x, _other(draw, x))


@operator(T + "unsqueeze_", T + "transpose_", T + "squeeze_", family="writing", rounding=EXACT, weight=0.12)
def views(draw: Draw) -> Call:
    """The shape is what is written."""
    x = draw.value(dtypes=ANY, ranks=range(1, 5))
    if draw.target == T + "unsqueeze_":
        return draw.call(x, draw.integer(-x.rank - 1, x.rank))
    if draw.target == T + "transpose_":
        return draw.call(x, draw.axis(x.rank), draw.axis(x.rank))
    return draw.call(x, draw.axis(x.rank))


@operator(T + "index_fill_", T + "index_copy_", T + "index_add_", family="writing", weight=0.12)
def by_index(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank)
    extent = x.shape[axis]
    if draw.target == T + "index_fill_":
        return draw.call(x, axis, draw.indices((draw.integer(1, 3),), -extent, extent - 1), draw.scalar(x.dtype))
    count = draw.integer(1, extent)
    shape = list(x.shape)
    shape[axis] = count
    index = draw.indices((count,), 0, extent - 1, unique=draw.target == T + "index_copy_")
    return draw.call(x, axis, index, draw.tensor(shape, x.dtype))


@operator("operator.setitem", family="writing", rounding=EXACT, weight=1.0)
def set_item(draw: Draw) -> Call:
    """A slice, a row or what a mask selects, by a number or by a tensor that broadcasts to it."""
    x = draw.value(dtypes=ANY, ranks=range(1, 5), minimum=1)
    if draw.flag(0.25):
        chosen = mask(draw, x.shape[: draw.integer(1, x.rank)])
        return draw.call(x, chosen, draw.scalar(x.dtype))
    items: list[Any] = []
    shape: list[int] = []
    for extent in x.shape[: draw.integer(1, x.rank)]:
        if draw.flag(0.3):
            items.append(draw.integer(-extent, extent - 1))
        else:
            start, stop, step = bounds(draw, extent)
            items.append(Slice(start, stop, step))
            shape.append(len(range(extent)[start:stop:step]))
    shape += x.shape[len(items) :]
    if draw.flag(0.2) and len(items) < x.rank:
        items.append(...)
    index = items[0] if len(items) == 1 and draw.flag() else tuple(items)
    if draw.flag(0.4):
        return draw.call(x, index, draw.scalar(x.dtype))
    value = draw.tensor([1 if draw.flag(0.15) else extent for extent in shape], x.dtype)
    return draw.call(x, index, value)
