"""Functions by formulas other than the frameworks' own, correct to 4 ulp where they are well conditioned, in the
precision of the argument (half precision in float32)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.alternatives.orders import wider
from generators.graph import Array


def exp(x: Array) -> Array:
    """Cody and Waite's reduction to [-ln 2 / 2, ln 2 / 2] and a polynomial of degree seven (Cephes' expf has five)."""
    if x.dtype != np.float32:
        return np.asarray(np.exp(x))
    with np.errstate(all="ignore"):
        bounded = np.clip(x, -104, 89)
        power = np.rint(bounded * np.float32(1.44269504))
        rest = bounded - power * np.float32(0.693359375) - power * np.float32(-2.12194440e-4)
        total = np.full_like(rest, 1 / 5040)
        for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
            total = total * rest + np.float32(coefficient)
        result = np.ldexp(total, np.nan_to_num(power).astype(np.int32))
        return np.asarray(np.where(np.isnan(x), x, np.where(x > 88.73, np.exp(x), result)))


def _rounded(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def compute(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(wider(x))).astype(x.dtype)

    return compute


def _sigmoid(x: Array) -> Array:
    small = exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)))


def _tanh(x: Array) -> Array:
    # As 1 - 2 / (e^2x + 1), but for small arguments, where that cancels.
    size = np.abs(x)
    large = 1 - 2 / (exp(2 * size) + 1)
    return np.asarray(np.where(size < 0.6, np.expm1(2 * x) / (np.expm1(2 * x) + 2), np.copysign(large, x)))


#: By the last part of a target, in lower case and without underscores.
FUNCTIONS: dict[str, Callable[..., Array]] = {
    "exp": _rounded(exp),
    "sigmoid": _rounded(_sigmoid),
    "tanh": _rounded(_tanh),
    "rsqrt": _rounded(lambda x: 1 / np.sqrt(x)),
    "log2": _rounded(lambda x: np.log(x) * x.dtype.type(1.4426950408889634)),
    "log10": _rounded(lambda x: np.log(x) * x.dtype.type(0.4342944819032518)),
    "silu": lambda x, beta=1.0: _rounded(lambda x: x * _sigmoid(x.dtype.type(beta) * x))(x),
    "softplus": _rounded(lambda x: np.maximum(x, 0) + np.log1p(exp(-np.abs(x)))),
    "logsigmoid": _rounded(lambda x: np.minimum(x, 0) - np.log1p(exp(-np.abs(x)))),
    "reciprocal": _rounded(lambda x: x.dtype.type(1) / x),
    "square": _rounded(lambda x: x * x),
    "cosh": _rounded(lambda x: exp(np.abs(x) / 2) / 2 * exp(np.abs(x) / 2) + exp(-np.abs(x)) / 2),
}


def softmax(x: Array, axis: int, *, log: bool = False) -> Array:
    """Softmax or its logarithm, terms added from the last to the first."""
    values = wider(x)
    with np.errstate(all="ignore"):
        moved = values - values.max(axis, keepdims=True)
        powers = exp(moved)
        total = np.flip(powers, axis).cumsum(axis, dtype=powers.dtype).take([-1], axis)
        return np.asarray(moved - np.log(total) if log else powers / total).astype(x.dtype)
