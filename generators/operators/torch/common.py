"""What several families of torch samplers share: groups of dtypes, operands, data without ties."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from generators.draw import ANY_DTYPE, MAX_ELEMENTS, Draw, Handle
from generators.graph import DTYPES, FLOATING, INTEGRAL, Array

REAL = (*FLOATING, *INTEGRAL)
ANY = ANY_DTYPE
DISCRETE = (*INTEGRAL, "bool")
#: Integers that torch takes as indices into dimensions.
INDEX = ("int64", "int32")

#: Where exp stops being finite, by dtype; integers are computed in float32.
EXP_LIMIT = {"float16": 11.0, "float64": 709.0}
#: The largest finite numbers, rounded down; what does not fit is dropped as not finite.
LARGEST = {"float16": 65504.0, "bfloat16": 3.3e38, "float32": 3.4e38, "float64": 1.7e308, "complex64": 3.4e38}


def complex_too(draw: Draw, dtypes: Sequence[str]) -> Sequence[str]:
    """The dtypes and, when a complex value is at hand, complex64: complex values come into a graph through the
    operators of their own family only, so that one weight governs them."""
    return (*dtypes, "complex64") if draw.holds("complex64") else dtypes


def literal(draw: Draw, dtype: str) -> bool | int | float:
    """A Python number to stand for an operand: of the dtype's kind mostly, else one that promotes or converts."""
    if draw.flag(0.85):
        return draw.scalar(dtype)
    # No negative number for uint8: it wraps around in some operators and is compared as such in others.
    return draw.scalar(draw.choice(("float32", "bool") if dtype == "uint8" else ("float32", "int8", "bool")))


def other(draw: Draw, x: Handle, dtypes: Sequence[str], *, promote: float = 0.15) -> Handle:
    """A value that broadcasts with ``x``, of the same dtype or, with probability ``promote``, any of ``dtypes``;
    seldom ``x`` itself, of which many operators make zeros or ones."""
    wanted = dtypes if draw.flag(promote) or x.dtype not in dtypes else (x.dtype,)
    y = draw.broadcastable(x, wanted)
    if y is x and draw.flag(0.8):
        y = draw.tensor(draw.broadcast_shape(x.shape), wanted, reuse=False)
    return y


def third(draw: Draw, x: Handle, y: Handle, dtypes: str | Sequence[str]) -> Handle:
    """A value that broadcasts with ``x`` and ``y``, which broadcast with each other."""
    joint = np.broadcast_shapes(x.shape, y.shape)
    shape = draw.broadcast_shape(joint)
    return draw.tensor(shape if product(np.broadcast_shapes(shape, joint)) <= MAX_ELEMENTS else joint, dtypes)


def operand(draw: Draw, x: Handle, dtypes: Sequence[str], *, number: float = 0.25) -> Handle | bool | int | float:
    """A value that broadcasts with ``x``, or a Python number with probability ``number``."""
    return literal(draw, x.dtype) if draw.flag(number) else other(draw, x, dtypes)


def element(draw: Draw, x: Handle) -> Any:
    """One of the elements of a non-empty value, as a Python number; rejects an empty one."""
    value = x.array.reshape(-1)[draw.integer(0, x.size - 1)].item()
    # A literal carries no sign or payload of a NaN.
    return math.nan if value != value else value


def mixed(x: Handle) -> bool:
    """Whether there are two different elements, or no more than one."""
    return x.size < 2 or x.bounds[0] != x.bounds[1]


def extent(x: Handle, axis: int | None) -> int:
    """Number of elements along the axis; all of them for None; 1 for a scalar."""
    if axis is None:
        return x.size
    return x.shape[axis] if x.rank else 1


def axis_or_scalar(draw: Draw, x: Handle) -> int:
    """An axis; for a scalar 0 or -1, which torch allows for most operators."""
    return draw.axis(max(x.rank, 1))


def long_axis(draw: Draw, x: Handle) -> int:
    """An axis, mostly one with more than a single element; for a scalar 0 or -1."""
    axis = axis_or_scalar(draw, x)
    if x.rank and x.shape[axis] == 1 and draw.flag(0.9):
        longer = [axis for axis, n in enumerate(x.shape) if n > 1]
        if longer:
            axis = draw.choice(longer) - (x.rank if draw.flag() else 0)
    return axis


def distinct(array: Array, axis: int | None) -> bool:
    """Whether no two elements along the axis (all of them for None) are equal and none is NaN."""
    if array.size == 0:
        return True
    if array.dtype.kind == "V":
        array = array.astype(np.float32)
    if axis is None or array.ndim == 0:
        array, axis = array.reshape(-1), 0
    ordered = np.moveaxis(np.sort(array, axis=axis), axis, 0)
    if array.dtype.kind == "f" and np.isnan(ordered[-1]).any():
        return False
    return not bool((ordered[1:] == ordered[:-1]).any())


def shuffled(axis: int | None) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """Elements distinct along the axis (all of them for None), of both signs where the dtype has them.

    Distinct in every dtype for up to 200 elements along the axis (and up to 2000 in float16).
    """

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        data = rng.random(shape)
        order = data.reshape(-1).argsort().reshape(shape) if axis is None or not shape else data.argsort(axis=axis)
        kind = DTYPES[dtype]
        if dtype == "uint8":
            return np.asarray(order.astype(kind))
        centred = order - (order.max(initial=0) // 2)
        return np.asarray((centred if dtype in INTEGRAL else centred * 0.5).astype(kind))

    return elements


def untied(
    draw: Draw, dtypes: Sequence[str], *, ranks: Sequence[int] = range(6), minimum: int = 0, whole: bool = False
) -> tuple[Handle, int | None]:
    """A value and an axis (None with ``whole``) along which no elements are equal, so that the indices that
    selecting operators return are defined. Rejects more than 200 elements along the axis."""
    x = draw.value(dtypes=dtypes, ranks=ranks, minimum=minimum)
    axis = None if whole else long_axis(draw, x)
    if not distinct(x.array, axis):
        shape, dtype = x.shape, x.dtype
        draw.forget(x)
        if extent(x, axis) > 200:
            draw.reject("too many elements for distinct ones")
        x = draw.tensor(shape, dtype, shuffled(axis), reuse=False)
    draw.require(x, lambda x: distinct(x.array, axis))
    return x, axis


def free_of_zeros(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Elements of both signs and mixed magnitudes, none of them zero."""
    kind = DTYPES[dtype]
    if dtype == "bool":
        return np.ones(shape, dtype=bool)
    if kind.kind in "iu":
        data = rng.integers(1, 10, shape)
        return np.asarray((data if dtype == "uint8" else data * rng.choice([-1, 1], shape)).astype(kind))
    data = rng.uniform(0.5, 4.0, shape) * rng.choice([-1.0, 1.0], shape)
    return np.asarray((np.trunc(2 * data) if rng.random() < 0.3 else data).astype(kind))


def nonzero(handle: Handle) -> bool:
    """Whether no element is zero."""
    return bool(handle.array.all())


def divisor(
    draw: Draw, x: Handle, dtypes: Sequence[str], *, number: float = 0.25, joint: Handle | None = None
) -> Handle | int | float:
    """Something to divide ``x`` by: no element is zero and, for integers, ``INT_MIN / -1`` does not occur. Floats
    may be divided by zero in cases that want non-finite results. It broadcasts with ``joint``, too, if given."""
    if draw.flag(number):
        value = literal(draw, x.dtype)
        if value in (0, False, True) or (value == -1 and x.dtype in INTEGRAL):
            value = draw.choice((2, 3, -3, 7)) if x.dtype in INTEGRAL and x.dtype != "uint8" else 2.5
        return value
    y = other(draw, x, dtypes) if joint is None else third(draw, x, joint, dtypes)
    integers = x.dtype in DISCRETE and y.dtype in DISCRETE
    if not (draw.nonfinite and not integers) and not nonzero(y):
        shape, dtype = y.shape, y.dtype
        draw.forget(y)
        y = draw.tensor(shape, dtype, free_of_zeros, reuse=False)
    if not (draw.nonfinite and not integers):
        draw.require(y, nonzero)
    if integers and y.dtype != "bool":
        least = {-(2.0 ** (8 * np.dtype(name).itemsize - 1)) for name in {x.dtype, y.dtype}}
        if not _holds_minus_one(y):
            draw.require(y, lambda y: not _holds_minus_one(y))
        elif x.bounds[0] in least:
            draw.reject("the least integer divided by minus one")
        else:
            draw.require(x, lambda x: x.bounds[0] not in least)
    return y


def _holds_minus_one(y: Handle) -> bool:
    """Whether minus one lies between the extremes of the elements."""
    return y.bounds[0] <= -1 <= y.bounds[1]


def listed(draw: Draw, values: Sequence[int]) -> int | tuple[int, ...]:
    """One number for a spatial argument, as such, when all agree (half of the time), else the tuple."""
    if len(set(values)) == 1 and draw.flag():
        return values[0]
    return tuple(values)


def product(values: Sequence[int]) -> int:
    """Product of the values; 1 for none."""
    return math.prod(values)


def some(draw: Draw, **options: Any) -> dict[str, Any]:
    """Each of the keyword arguments with probability three quarters: the rest keep their defaults."""
    return {name: value for name, value in options.items() if draw.flag(0.75)}
