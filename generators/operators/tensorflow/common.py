"""What the samplers for TensorFlow share: dtypes by what kernels are compiled for, domains, operands.

TensorFlow does not promote: the operands of a call have one dtype. The tuples of dtypes below were found by calling
every operator eagerly on a CPU with each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from generators.draw import MAX_ELEMENTS, Draw, Elements, Handle
from generators.graph import DTYPES, FLOATING, INTEGRAL, Array, DType

REAL = (*FLOATING, *INTEGRAL)
NUMERIC = (*REAL, "complex64")
ANY = (*NUMERIC, "bool")
REAL_OR_BOOL = (*REAL, "bool")
WIDE_FLOATING = ("float32", "float64")
FLOATING_OR_COMPLEX = (*FLOATING, "complex64")
INDEX = ("int32", "int64")

#: Where exp stops being finite.
EXP_LIMIT: Mapping[str, float] = {"float16": 11.0, "bfloat16": 88.0, "float32": 88.0, "float64": 700.0}
#: The largest finite number.
LARGEST: Mapping[str, float] = {
    "float16": 65504.0,
    "bfloat16": 3.3e38,
    "float32": 3.4e38,
    "float64": 1.7e308,
}


def no_nan(x: Handle) -> bool:
    """Whether no element is NaN: what selection by order does with NaN is not documented."""
    return x.array.dtype.kind in "biu" or not bool(np.isnan(x.array).any())


def nonzero(x: Handle) -> bool:
    """Whether no element is zero."""
    return bool((x.array != 0).all())


def moderate(x: Handle, limit: float) -> bool:
    """Whether every element's magnitude is at most ``limit``; complex elements too."""
    if x.array.dtype.kind == "c":
        return bool((np.abs(x.array) <= limit).all())
    return x.within(-limit, limit)


def fitting(draw: Draw, total: int) -> None:
    """Reject when a result would have more elements than a value may."""
    if total > MAX_ELEMENTS:
        draw.reject("too many elements")


def small(rank: int | None = None, *, limit: int = MAX_ELEMENTS // 8) -> Callable[[Handle], bool]:
    """A condition: room to grow eightfold (``limit`` elements), and that rank when it is given."""
    return lambda x: x.size <= limit and (rank is None or x.rank == rank)


def integers(low: int, high: int, *, exclude: Sequence[int] = ()) -> Elements:
    """Elements for integer tensors from ``low`` to ``high``, those in ``exclude`` left out."""
    pool = np.array([number for number in range(low, high + 1) if number not in exclude])

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return np.asarray(pool[rng.integers(0, len(pool), shape)].astype(DTYPES[dtype]))

    return elements


def magnitudes(low: float, high: float) -> Elements:
    """Elements whose magnitude is from ``low`` to ``high``, of either sign (of any angle for complex dtypes)."""

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        size = rng.uniform(low, high, shape)
        if dtype.startswith("complex"):
            return np.asarray((size * np.exp(1j * rng.uniform(-3.1, 3.1, shape))).astype(DTYPES[dtype]))
        if dtype in INTEGRAL:
            size = np.ceil(size)
        signs = rng.choice([1.0] if dtype == "uint8" else [1.0, -1.0], shape)
        return np.asarray((size * signs).astype(DTYPES[dtype]))

    return elements


def other(
    draw: Draw,
    x: Handle,
    *,
    where: Callable[[Handle], bool] | None = None,
    otherwise: Elements | None = None,
) -> Handle | bool | int | float:
    """The second operand of a binary operator: of the same dtype and a shape that broadcasts with ``x``, satisfying
    ``where`` (drawn by ``otherwise`` when none at hand does); without ``where`` a Python number, a quarter of the
    time."""
    if where is None:
        return draw.operand(x, x.dtype)
    for _ in range(3):
        y = draw.broadcastable(x, x.dtype)
        if where(y):
            draw.require(y, where)
            return y
        draw.forget(y)
    return draw.tensor(partner_shape(draw, x.shape), x.dtype, otherwise)


def partner_shape(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts with the given one to no more elements than a value may have."""
    partner = draw.broadcast_shape(shape)
    if math.prod(np.broadcast_shapes(partner, shape)) > MAX_ELEMENTS:
        return shape
    return partner


def either_way(draw: Draw, x: Handle, y: Handle | bool | int | float) -> tuple[Handle | bool | int | float, ...]:
    """The operands in either order. A Python number stays second: many functions convert the first operand before
    they look at the second one's dtype."""
    return (y, x) if isinstance(y, Handle) and draw.flag() else (x, y)


def index_dtype(draw: Draw) -> DType:
    """int32 or int64, as an argument."""
    return DType(draw.choice(INDEX))


def constant_of(draw: Draw, elements: Sequence[int], dtypes: Sequence[str] = INDEX) -> Handle:
    """A constant of rank 1 with these elements: shapes and axes that must be known when the model is converted."""
    data = np.array(elements, dtype=np.int64)
    return draw.tensor(data.shape, dtypes, lambda rng, shape, dtype: data.astype(DTYPES[dtype]), constant=True)
