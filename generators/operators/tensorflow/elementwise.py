"""Elementwise functions of one tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from generators.draw import Call, Draw, Handle, spread
from generators.graph import FLOATING, INTEGRAL, SIGNED
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import (
    ANY,
    EXP_LIMIT,
    FLOATING_OR_COMPLEX,
    LARGEST,
    NUMERIC,
    REAL,
    WIDE_FLOATING,
    integers,
    magnitudes,
    moderate,
    nonzero,
)

operator = REGISTRY.operator

#: Where a function of floats is finite and real. A missing bound is infinite.
_DOMAINS: Mapping[str, tuple[float, float]] = {
    "tf.math.sqrt": (0.0, math.inf),
    "tf.math.rsqrt": (1e-4, math.inf),
    "tf.math.log": (1e-4, math.inf),
    "tf.math.log1p": (-0.99, math.inf),
    "tf.math.asin": (-1.0, 1.0),
    "tf.math.acos": (-1.0, 1.0),
    "tf.math.acosh": (1.0, math.inf),
    "tf.math.atanh": (-0.99, 0.99),
}
#: The same for functions with few kernels: domain and dtypes.
_SPECIAL: Mapping[str, tuple[float, float, tuple[str, ...]]] = {
    "tf.math.lgamma": (0.01, 3000.0, ("float16", "float32", "float64")),
    "tf.math.digamma": (0.01, math.inf, ("float16", "float32", "float64")),
    "tf.math.erfinv": (-0.99, 0.99, WIDE_FLOATING),
    "tf.math.ndtri": (0.01, 0.99, WIDE_FLOATING),
    "tf.math.erfcinv": (0.01, 1.99, WIDE_FLOATING),
    "tf.math.bessel_i0": (-11.0, 11.0, ("float16", "float32", "float64")),
    "tf.math.bessel_i1": (-11.0, 11.0, ("float16", "float32", "float64")),
    "tf.math.bessel_i0e": (-math.inf, math.inf, ("float16", "float32", "float64")),
    "tf.math.bessel_i1e": (-math.inf, math.inf, ("float16", "float32", "float64")),
    "tf.math.special.bessel_j0": (-20.0, 20.0, ("float32", "float64")),
    "tf.math.special.dawsn": (-20.0, 20.0, WIDE_FLOATING),
    "tf.math.special.expint": (0.01, 20.0, WIDE_FLOATING),
    "tf.math.special.fresnel_sin": (-10.0, 10.0, WIDE_FLOATING),
    "tf.math.special.spence": (0.0, 50.0, WIDE_FLOATING),
}
#: Functions whose complex kernels are tried, too.
_COMPLEX = frozenset(("tf.math.sin", "tf.math.cos", "tf.math.tanh", "tf.math.sigmoid", "tf.math.exp", "tf.math.log"))


def _complex(draw: Draw) -> Handle | None:
    """A complex value away from poles and from overflow, sometimes, for the functions that take one."""
    if draw.target not in _COMPLEX or not draw.flag(0.5 if draw.holds("complex64") else 0.06):
        return None
    return draw.value(
        dtypes=("complex64",), where=lambda x: nonzero(x) and moderate(x, 10.0), otherwise=magnitudes(0.1, 3.0)
    )


@operator(
    "tf.math.sin",
    "tf.math.cos",
    "tf.math.tan",
    "tf.math.atan",
    "tf.math.asinh",
    "tf.math.tanh",
    "tf.math.sigmoid",
    "tf.math.log_sigmoid",
    "tf.math.erf",
    "tf.math.erfc",
    family="elementwise",
    weight=0.6,
)
def whole_line(draw: Draw) -> Call:
    return draw.call(_complex(draw) or draw.value(dtypes=FLOATING))


@operator("tf.math.exp", "tf.math.expm1", "tf.math.sinh", "tf.math.cosh", family="elementwise", weight=0.6)
def exponential(draw: Draw) -> Call:
    low = -math.inf if "exp" in draw.target else -10.0

    def in_range(x: Handle) -> bool:
        return draw.nonfinite or x.within(low, EXP_LIMIT[x.dtype] if low < -10 else 10.0)

    return draw.call(_complex(draw) or draw.value(dtypes=FLOATING, where=in_range))


@operator(*_DOMAINS, family="elementwise", weight=0.5)
def bounded(draw: Draw) -> Call:
    return draw.call(_complex(draw) or draw.bounded(*_DOMAINS[draw.target]))


@operator(*_SPECIAL, family="elementwise", weight=0.15)
def special(draw: Draw) -> Call:
    low, high, dtypes = _SPECIAL[draw.target]
    return draw.call(draw.bounded(low, high, dtypes=dtypes))


@operator("tf.math.square", family="elementwise", rounding=Rounding.BASIC)
def square(draw: Draw) -> Call:
    def in_range(x: Handle) -> bool:
        return draw.nonfinite or x.dtype in INTEGRAL or moderate(x, math.sqrt(LARGEST.get(x.dtype, 1e38)))

    return draw.call(draw.value(dtypes=NUMERIC, where=in_range))


@operator("tf.math.reciprocal", family="elementwise", rounding=Rounding.BASIC)
def reciprocal(draw: Draw) -> Call:
    # In float16 the reciprocal of a number below 2^-16 is infinite.
    return draw.call(
        draw.value(
            dtypes=FLOATING_OR_COMPLEX,
            where=lambda x: draw.nonfinite or bool((np.abs(x.array) > 2e-5).all()),
            otherwise=magnitudes(0.1, 8.0),
        )
    )


@operator("tf.math.reciprocal_no_nan", family="elementwise", rounding=Rounding.BASIC)
def reciprocal_no_nan(draw: Draw) -> Call:
    def in_range(x: Handle) -> bool:
        magnitude = np.abs(x.array)
        return draw.nonfinite or bool(((magnitude > 2e-5) | (magnitude == 0)).all())

    return draw.call(draw.value(dtypes=FLOATING, where=in_range, otherwise="zeros_and_signs"))


@operator("tf.math.abs", "tf.math.negative", family="elementwise", rounding=Rounding.EXACT)
def sign_changes(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=(*FLOATING, *SIGNED)))


@operator("tf.math.sign", family="elementwise", rounding=Rounding.EXACT)
def sign(draw: Draw) -> Call:
    def of_both_signs(x: Handle) -> bool:
        return x.size < 2 or not (x.within(1e-30, math.inf) or x.within(-math.inf, -1e-30))

    return draw.call(draw.value(dtypes=(*FLOATING, *SIGNED), where=of_both_signs))


def _wide(x: Handle) -> bool:
    """Whether rounding to integers leaves more than one value."""
    low, high = x.bounds
    return x.size < 2 or not high - low < 1.5


@operator("tf.math.floor", "tf.math.ceil", family="elementwise", rounding=Rounding.EXACT)
def to_whole(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING, where=_wide))


@operator("tf.math.round", family="elementwise", rounding=Rounding.EXACT)
def round_half_even(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING if draw.flag(0.85) else REAL, where=_wide))


@operator("tf.math.rint", family="elementwise", rounding=Rounding.EXACT)
def rint(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=WIDE_FLOATING, where=_wide))


@operator(
    "tf.math.is_finite", "tf.math.is_inf", "tf.math.is_nan", family="elementwise", rounding=Rounding.EXACT, weight=0.3
)
def classify(draw: Draw) -> Call:
    """Finite tensors give constant results: mostly special values, which the case need not want elsewhere."""
    if draw.flag(0.85) and not draw.nonfinite:
        return draw.call(draw.value(dtypes=FLOATING, ranks=range(1, 5), minimum=2, elements="special"))
    return draw.call(draw.value(dtypes=FLOATING))


@operator("tf.identity", "tf.stop_gradient", family="elementwise", rounding=Rounding.EXACT, weight=0.3)
def identity(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=ANY))


@operator("tf.math.invert_permutation", family="elementwise", rounding=Rounding.EXACT, weight=0.2)
def invert_permutation(draw: Draw) -> Call:
    count = draw.integer(2, 8)
    return draw.call(draw.indices((count,), 0, count - 1, dtypes=("int32", "int64"), unique=True))


@operator("tf.math.polygamma", "tf.math.zeta", family="elementwise", weight=0.15)
def orders(draw: Draw) -> Call:
    shape = draw.shape(range(5))
    dtype = draw.dtype(WIDE_FLOATING)
    order = draw.tensor(shape, dtype, integers(1, 4) if draw.target.endswith("polygamma") else integers(2, 6))
    return draw.call(order, draw.tensor(shape, dtype, spread(0.1, 8.0)))


@operator("tf.math.igamma", "tf.math.igammac", family="elementwise", weight=0.15)
def incomplete_gamma(draw: Draw) -> Call:
    shape = draw.shape(range(5))
    dtype = draw.dtype(WIDE_FLOATING)
    return draw.call(*(draw.tensor(shape, dtype, spread(0.1, 8.0)) for _ in range(2)))
