"""Drawing the elements of tensors: value profiles.

A profile names the kind of data that is known to trigger defects. Each array of a case draws one; the case records
it, so that a finding can tell whether it needs special values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from generators.graph import DTYPES, Array

#: Profiles whose arrays hold NaN, infinities or the extremes of integers: a finding that needs one is less severe.
SPECIAL = frozenset({"special", "integer_extremes"})


def _pick(rng: np.random.Generator, table: Array, shape: tuple[int, ...]) -> Array:
    """Elements of a short table; a third of the cost of ``rng.choice``."""
    return np.asarray(table[(rng.random(shape) * len(table)).astype(np.intp)])


def _whole(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> Array:
    """Whole float64 numbers from ``low`` to ``high``, which are not far apart; a third of ``rng.integers``."""
    return np.asarray(np.floor(rng.random(shape) * (high - low + 1))) + low


_SIGNS = np.array([-1.0, 1.0])
_ZEROS_AND_SIGNS = np.array([0.0, -0.0, 1.0, -1.0])
_SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5])
_EXTREMES = np.array([2.0**11, 2.0**24, 2.0**53, 127.0, 255.0, 2.0**31])


def _typical(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.standard_normal(shape))


def _integers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return _whole(rng, -8, 8, shape)


def _large(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.uniform(60, 120, shape) * _pick(rng, _SIGNS, shape))


def _mixed_magnitudes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """What is lost when it is added to something larger."""
    return np.asarray(10.0 ** rng.uniform(-4, 4, shape) * _pick(rng, _SIGNS, shape))


def _tiny(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.standard_normal(shape) * 1e-5)


def _zeros_and_signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return _pick(rng, _ZEROS_AND_SIGNS, shape)


def _fractions(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.uniform(0.01, 0.99, shape))


def _negative(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(-rng.uniform(0.05, 6.0, shape))


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(_whole(rng, -4, 4, shape) / 2.0)


def _special(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return _pick(rng, _SPECIAL, shape)


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
    "mixed_magnitudes": _mixed_magnitudes,
}
#: What a case records of elements that a sampler draws in its own way.
OWN = "own"

#: Names of all profiles, in a fixed order.
PROFILES = (*_FLOAT_PROFILES, "wide_integers", "integer_extremes")

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
    "mixed_magnitudes": 0.7,
    "wide_integers": 0.7,
}
#: Where exp stops being finite, below the 88 of float32: the large numbers of these dtypes lie around it, half of the
#: time.
_OVERFLOW: Mapping[str, float] = {"float16": 11.1, "float64": 709.8}
#: The last power of two up to which a float holds every whole number.
_WHOLE: Mapping[str, int] = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53, "complex64": 24}


#: Profiles of fractional data, which are all the same to integers.
_FRACTIONAL = frozenset({"typical", "tiny", "fractions"})


@functools.cache
def effective(profile: str, dtype: str) -> str:
    """The profile that elements of that dtype really have when they are asked for that one: integers know no fractions
    and nothing special but the ends of their range, unsigned ones nothing negative."""
    if dtype not in _RANGES:
        return profile
    if profile == "special":
        return "integer_extremes"
    signless = profile == "negative" and _RANGES[dtype][0] == 0
    return "integers" if profile in _FRACTIONAL or signless else profile


@functools.cache
def profiles_of(dtype: str) -> tuple[str, ...]:
    """The profiles of values that tell elements of that dtype apart; none for booleans, which are masks
    (:mod:`generators.selectors`)."""
    return () if dtype == "bool" else tuple(name for name in PROFILES if effective(name, dtype) == name)


def draw_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, profile: str) -> Array:
    """An array of the given shape and dtype whose elements follow the profile.

    Profiles of fractional data give small integers for integer dtypes; ``integer_extremes`` gives floats at 2^24 and
    2^53 and their neighbours, where integers stop being exact; ``wide_integers`` gives whole numbers beyond those that
    a float of a narrower dtype holds, and not those whose sums overflow. KeyError for an unknown profile.
    """
    kind = DTYPES[dtype]
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype in _RANGES:
        return _draw_integers(rng, shape, dtype, profile)
    if profile == "integer_extremes":
        data = (_pick(rng, _EXTREMES, shape) + _whole(rng, -2, 2, shape)) * _pick(rng, _SIGNS, shape)
        return _to_float(np.asarray(data), kind)
    if profile == "wide_integers":
        return _to_float(_wide(rng, shape, 1 << _WHOLE.get(dtype, 3)), kind)
    if profile == "large" and dtype in _OVERFLOW and rng.random() < 0.5:
        return _to_float(_large(rng, shape) * (_OVERFLOW[dtype] / 88.7), kind)
    drawer = _FLOAT_PROFILES[profile]
    if kind.kind == "c":
        return np.asarray(drawer(rng, shape) + 1j * drawer(rng, shape)).astype(kind)
    return _to_float(drawer(rng, shape), kind)


def _wide(rng: np.random.Generator, shape: tuple[int, ...], start: int) -> Array:
    """Whole float64 numbers of either sign whose magnitudes begin at ``start`` or just below."""
    return np.asarray((start + _whole(rng, -3, 60, shape)) * _pick(rng, _SIGNS, shape))


def _to_float(data: Array, kind: np.dtype[Any]) -> Array:
    """Round float64 numbers to a floating dtype, out-of-range finite ones to its largest."""
    if kind.itemsize < 4:
        limit = _largest(kind)
        # The infinities of special data stay, as do its NaNs.
        data = np.where(np.isfinite(data), data.clip(-limit, limit), data)
        with np.errstate(all="ignore"):
            return np.asarray(data.astype(kind))
    return data.astype(kind)


@functools.cache
def _largest(kind: np.dtype[Any]) -> float:
    return float(ml_dtypes.finfo(kind).max)  # type: ignore[no-untyped-call]


#: Least and greatest number of each integer dtype.
_RANGES: Mapping[str, tuple[int, int]] = {
    name: (int(info.min), int(info.max))
    for name, kind in DTYPES.items()
    if kind.kind in "iu" or name in {"int4", "uint4"}
    for info in (ml_dtypes.iinfo(kind),)  # type: ignore[no-untyped-call]
}


@functools.cache
def _extremes(dtype: str) -> Array:
    """The ends of an integer dtype's range, its middle, and neighbours of powers of two that floats stop at."""
    low, high = _RANGES[dtype]
    choices = [low, low + 1, high, high - 1, 0, 1, high // 2]
    if low < 0:
        choices.append(-1)
    for power in (24, 53):
        if 2**power < high:
            choices += [2**power + 1, 2**power - 1]
    return np.array(choices, dtype=DTYPES[dtype])


def _draw_integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, profile: str) -> Array:
    if profile in {"integer_extremes", "special"}:
        return _pick(rng, _extremes(dtype), shape)
    low, high = _RANGES[dtype]
    if profile in ("wide_integers", "mixed_magnitudes"):
        return _wide_integers(rng, shape, dtype, profile)
    if profile == "large":
        low, high = max(low, -(1 << 20)), min(high, 1 << 20)
    elif profile == "zeros_and_signs":
        low, high = max(low, -1), 1
    elif profile == "negative" and low < 0:
        low, high = max(low, -9), -1
    elif profile == "ties":
        low, high = max(low, -2), 2
    else:
        low, high = max(low, -8), min(high, 9)
    return _whole(rng, low, high, shape).astype(DTYPES[dtype])


def _wide_integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, profile: str) -> Array:
    """Numbers of both signs (where there are two) just beyond 2^24 or 2^53, those of narrow dtypes in the upper half of
    their range; of mixed magnitudes, of any number of bits but the last two."""
    low, high = _RANGES[dtype]
    bits = high.bit_length()
    if profile == "mixed_magnitudes":
        powers = rng.integers(0, max(bits - 1, 1), shape)
        data = np.left_shift(np.int64(1), powers) + rng.integers(0, 2, shape)
    else:
        power = 24 if 25 < bits < 54 or (bits > 53 and rng.random() < 0.5) else min(53, bits - 1)
        data = (np.int64(1) << power) + rng.integers(1, max(2, min(60, (1 << power) - 1)), shape)
    data = np.minimum(data, high) if bits < 63 else data
    if low < 0:
        data = data * rng.choice(np.array([-1, 1]), shape)
    return np.asarray(data.astype(DTYPES[dtype]))
