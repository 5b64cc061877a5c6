"""Drawing the elements of tensors: value profiles.

A profile names the kind of data that is known to trigger defects. Each array of a case draws one; the case records
it, so that a finding can tell whether it needs special values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from generators.graph import DTYPES, Array

#: Profiles whose arrays hold NaN, infinities or the extremes of integers: a finding that needs one is less severe.
SPECIAL = frozenset({"special", "integer_extremes"})

_Draw = Callable[[np.random.Generator, tuple[int, ...], np.dtype[Any]], Array]


def _typical(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.standard_normal(shape))


def _integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.integers(-8, 9, shape).astype(np.float64))


def _large(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.uniform(60, 120, shape) * rng.choice([-1.0, 1.0], shape))


def _tiny(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape) * 1e-5


def _zeros_and_signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.choice(np.array([0.0, -0.0, 1.0, -1.0]), shape)


def _fractions(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.01, 0.99, shape)


def _negative(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return -rng.uniform(0.05, 6.0, shape)


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(-4, 5, shape) / 2.0


def _special(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5]), shape)


_FLOAT_PROFILES: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "typical": _typical,
    "integers": _integers,
    "large": _large,
    "tiny": _tiny,
    "zeros_and_signs": _zeros_and_signs,
    "fractions": _fractions,
    "negative": _negative,
    "ties": _ties,
    "special": _special,
}

#: Names of all profiles, in a fixed order.
PROFILES = (*_FLOAT_PROFILES, "integer_extremes")

#: Profile to weight when an array may be of any profile; half are typical, so that errors are not drowned.
WEIGHTS: Mapping[str, float] = {
    "typical": 8,
    "integers": 2,
    "large": 1,
    "tiny": 0.7,
    "zeros_and_signs": 1,
    "fractions": 1.5,
    "negative": 1,
    "ties": 1.2,
}


def draw_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, profile: str) -> Array:
    """An array of the given shape and dtype whose elements follow the profile.

    Profiles of fractional data give small integers for integer dtypes; ``integer_extremes`` gives floats at 2^24 and
    2^53 and their neighbours, where integers stop being exact. KeyError for an unknown profile.
    """
    kind = DTYPES[dtype]
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if np.issubdtype(kind, np.integer) or dtype in {"int4", "uint4"}:
        return _draw_integers(rng, shape, kind, profile)
    if profile == "integer_extremes":
        base = rng.choice(np.array([2.0**11, 2.0**24, 2.0**53, 127.0, 255.0, 2.0**31]), shape)
        return _to_float((base + rng.integers(-2, 3, shape)) * rng.choice([-1.0, 1.0], shape), kind)
    drawer = _FLOAT_PROFILES[profile]
    if np.issubdtype(kind, np.complexfloating):
        return np.asarray(drawer(rng, shape) + 1j * drawer(rng, shape)).astype(kind)
    return _to_float(np.asarray(drawer(rng, shape)), kind)


def _to_float(data: Array, kind: np.dtype[Any]) -> Array:
    """Round to a floating dtype, out-of-range finite numbers to its largest."""
    data = np.asarray(data)
    if kind.itemsize < 4:
        limit = float(ml_dtypes.finfo(kind).max)  # type: ignore[no-untyped-call]
        data = np.where(np.isfinite(data), np.clip(data, -limit, limit), data)
    with np.errstate(all="ignore"):
        return np.asarray(data.astype(kind))


def _draw_integers(rng: np.random.Generator, shape: tuple[int, ...], kind: np.dtype[Any], profile: str) -> Array:
    info = ml_dtypes.iinfo(kind)  # type: ignore[no-untyped-call]
    low, high = int(info.min), int(info.max)
    if profile in {"integer_extremes", "special"}:
        choices = [low, low + 1, high, high - 1, 0, 1, high // 2]
        if low < 0:
            choices.append(-1)
        for power in (24, 53):
            if 2**power < high:
                choices += [2**power + 1, 2**power - 1]
        return np.asarray(np.array(choices, dtype=kind)[rng.integers(0, len(choices), shape)])
    if profile == "large":
        bound = min(high, 1 << 20)
        return np.asarray(rng.integers(max(low, -bound), bound, shape, endpoint=True).astype(kind))
    if profile == "zeros_and_signs":
        return np.asarray(rng.integers(max(low, -1), 1, shape, endpoint=True).astype(kind))
    if profile == "negative" and low < 0:
        return np.asarray(rng.integers(max(low, -9), -1, shape, endpoint=True).astype(kind))
    if profile == "ties":
        return np.asarray(rng.integers(max(low, -2), 2, shape, endpoint=True).astype(kind))
    return np.asarray(rng.integers(max(low, -8), min(high, 9), shape, endpoint=True).astype(kind))
