"""Tensors that select: indices, segment ids, masks, lengths and probabilities, each of profiles of its own.

What goes wrong with such a tensor depends on how its elements lie to one another and to the ends of their range:
repeated or not, sorted or not, with gaps, from behind, the first and the last position, rows of which a mask leaves
nothing, a probability of exactly 0 or 1. A case records the profile as it does those of values
(:attr:`generators.graph.Case.profiles`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from generators.graph import DTYPES, Array

if TYPE_CHECKING:
    from generators.draw import Draw, Handle

#: Elements, and the profile that they have, of a generator and a shape.
Selected: TypeAlias = "Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, str]]"

#: Profiles with their weights. Those that cannot be (nothing negative in the range, more places than numbers) fall
#: back to ``any``, which is recorded then.
INDICES: Mapping[str, float] = {
    "indices any": 5,
    "indices same": 1,
    "indices ends": 1.5,
    "indices gapped": 1,
    "indices ascending": 1,
    "indices descending": 1,
    "indices distinct": 1,
    "indices negative": 1.5,
}
SEGMENTS: Mapping[str, float] = {
    "segments dense": 3,
    "segments gapped": 1.5,
    "segments same": 1,
    "segments own": 1,
    "segments unsorted": 3,
    "segments negative": 1,
}
MASKS: Mapping[str, float] = {
    "mask any": 6,
    "mask rows": 1.5,
    "mask prefix": 1.5,
    "mask one": 1,
    "mask but one": 0.7,
    "mask all": 0.7,
    "mask none": 0.7,
}
LENGTHS: Mapping[str, float] = {
    "lengths any": 4,
    "lengths least": 1,
    "lengths full": 1,
    "lengths ends": 1.5,
    "lengths same": 1,
}
PROBABILITIES: Mapping[str, float] = {
    "probabilities any": 4,
    "probabilities ends": 2,
    "probabilities zero": 0.5,
    "probabilities one": 0.5,
    "probabilities half": 0.5,
}
#: Every profile of what selects.
PROFILES = (*INDICES, *SEGMENTS, *MASKS, *LENGTHS, *PROBABILITIES)


def index_elements(
    rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int, profile: str
) -> tuple[Array, str]:
    """int64 elements from ``low`` to ``high`` inclusive of that profile of :data:`INDICES`, and the profile that they
    really have. Ascending and descending ones are so along the last axis."""
    span, size = high - low + 1, math.prod(shape)
    if profile == "indices same" and size > 1:
        return np.full(shape, rng.integers(low, high, endpoint=True)), profile
    if profile == "indices ends":
        ends = [low, high, *((-1, 0) if low < 0 <= high else ())]
        return np.array(ends)[rng.integers(0, len(ends), shape)], profile
    if profile == "indices gapped" and span > 2:
        return low + int(rng.integers(0, 2)) + 2 * rng.integers(0, span // 2, shape), profile
    if profile == "indices negative" and low < 0:
        return rng.integers(low, min(high, -1), shape, endpoint=True), profile
    if profile == "indices distinct" and 1 < size <= span:
        return low + rng.permutation(span)[:size].reshape(shape), profile
    data = rng.integers(low, high, shape, endpoint=True)
    if profile in ("indices ascending", "indices descending") and shape and shape[-1] > 1:
        data = np.sort(data, axis=-1)
        return (data if profile == "indices ascending" else np.flip(data, -1)), profile
    return data, "indices any"


def distinct_elements(
    rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int, profile: str
) -> tuple[Array, str]:
    """As :func:`index_elements`, no number twice; there are at least as many numbers as elements."""
    span, size = high - low + 1, math.prod(shape)
    if profile == "indices gapped" and span // 2 >= size > 0:
        return low + 2 * rng.permutation(span // 2)[:size].reshape(shape), profile
    if profile == "indices negative" and low < 0 and min(high, -1) - low + 1 >= size:
        return low + rng.permutation(min(high, -1) - low + 1)[:size].reshape(shape), profile
    if profile == "indices ends" and size > 1:
        inner = low + 1 + rng.permutation(span - 2)[: size - 2] if span > 2 else np.zeros(0, np.int64)
        return rng.permutation(np.concatenate([[low, high], inner])).reshape(shape), profile
    data = low + rng.permutation(span)[:size]
    if size > 1 and profile in ("indices ascending", "indices descending"):
        data = np.sort(data)
        return (data if profile == "indices ascending" else data[::-1]).reshape(shape), profile
    return data.reshape(shape), "indices distinct"


def segment_elements(
    rng: np.random.Generator, count: int, segments: int, profile: str, *, ordered: bool, negative: bool
) -> tuple[Array, str]:
    """``count`` int64 ids below ``segments`` of that profile of :data:`SEGMENTS`, and the profile that they have.
    ``negative`` ones are dropped by who takes them."""
    last = segments - 1
    if profile == "segments same":
        return np.full(count, rng.integers(0, segments)), profile
    if profile == "segments own" and count <= segments:
        ids = np.arange(count) + int(rng.integers(0, segments - count + 1))
        return (ids if ordered else rng.permutation(ids)), profile
    if profile == "segments gapped" and segments > 2:
        ids = 1 + 2 * rng.integers(0, segments // 2, count)
        return (np.sort(ids) if ordered else ids), profile
    if profile == "segments negative" and negative:
        ids = rng.integers(-1, segments, count)
        ids[rng.integers(0, count)] = -1
        return ids, profile
    if profile == "segments unsorted" and not ordered:
        return rng.integers(0, segments, count), profile
    steps = np.cumsum(rng.integers(0, 2, count))
    return np.minimum(steps - steps[:1], last), "segments dense"


def mask_elements(rng: np.random.Generator, shape: tuple[int, ...], profile: str) -> tuple[Array, str]:
    """Booleans of that profile of :data:`MASKS`, and the profile that they have. Rows are along the last axis: those
    of ``mask rows`` are wholly true or wholly false, both among them; those of ``mask prefix`` start with any number of
    true elements."""
    size = math.prod(shape)
    if profile in ("mask one", "mask but one") and size > 1:
        mask = np.full(shape, profile == "mask but one")
        mask.reshape(-1)[rng.integers(0, size)] ^= True
        return mask, profile
    if profile in ("mask all", "mask none"):
        return np.full(shape, profile == "mask all"), profile
    rows = size // shape[-1] if shape and size else 0
    if profile == "mask rows" and rows > 1:
        whole = rng.random(shape[:-1]) < 0.5
        whole.reshape(-1)[:2] = rng.permutation([True, False])
        return np.broadcast_to(whole[..., None], shape).copy(), profile
    if profile == "mask prefix" and shape and shape[-1] > 1:
        return np.arange(shape[-1]) < rng.integers(0, shape[-1] + 1, (*shape[:-1], 1)), profile
    return rng.random(shape) < 0.5, "mask any"


def length_elements(
    rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int, profile: str
) -> tuple[Array, str]:
    """int64 lengths from ``low`` to ``high`` inclusive of that profile of :data:`LENGTHS`, and that profile."""
    if profile in ("lengths least", "lengths full"):
        return np.full(shape, low if profile == "lengths least" else high), profile
    if profile == "lengths ends":
        return np.array([low, high])[rng.integers(0, 2, shape)], profile
    if profile == "lengths same":
        return np.full(shape, rng.integers(low, high, endpoint=True)), profile
    return rng.integers(low, high, shape, endpoint=True), "lengths any"


def probability_elements(rng: np.random.Generator, shape: tuple[int, ...], profile: str) -> tuple[Array, str]:
    """float64 numbers from 0 to 1 inclusive of that profile of :data:`PROBABILITIES`, and that profile."""
    whole = {"probabilities zero": 0.0, "probabilities one": 1.0, "probabilities half": 0.5}
    if profile in whole:
        return np.full(shape, whole[profile]), profile
    if profile == "probabilities ends":
        data = rng.uniform(0.05, 0.95, shape)
        return np.where(rng.random(shape) < 0.6, np.round(data), data), profile
    return rng.uniform(0.01, 0.99, shape), "probabilities any"


# -- for samplers ------------------------------------------------------------------------------------------------


def made(
    draw: Draw,
    shape: Sequence[int],
    dtypes: str | Sequence[str],
    elements: Selected,
    *,
    constant: bool | None = None,
) -> Handle:
    """A fresh value whose elements, and the profile that they have, are what ``elements`` makes of a generator and a
    shape."""
    data, profile = elements(draw.choices.generator(), tuple(shape))

    def given(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return np.asarray(data.reshape(shape).astype(DTYPES[dtype]))

    handle = draw.tensor(shape, dtypes, given, profile=profile, constant=constant)
    draw.fresh.elements[handle.name] = again(elements)
    return handle


def again(elements: Selected) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """The elements in another shape, for a graph that is run at several sizes."""
    return lambda rng, shape, dtype: np.asarray(elements(rng, shape)[0].reshape(shape).astype(DTYPES[dtype]))


def mask(
    draw: Draw,
    shape: Sequence[int],
    *,
    some_in_row: bool = False,
    only: Sequence[str] = (),
    constant: bool | None = None,
) -> Handle:
    """A fresh mask. With ``some_in_row`` the first element of each row is true, whatever the profile, for operators
    that are undefined where a mask leaves nothing; ``only`` are the profiles that it may have."""
    weights = {name: MASKS[name] for name in only} if only else MASKS
    chosen = draw.weighted(weights)

    def elements(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, str]:
        data, profile = mask_elements(rng, shape, chosen)
        if some_in_row and data.size:
            data[..., 0] = True
            if profile in ("mask none", "mask rows"):
                profile = "mask prefix"
        return data, profile

    return made(draw, shape, "bool", elements, constant=constant)


def segments(
    draw: Draw,
    shape: Sequence[int],
    count: int,
    *,
    dtypes: str | Sequence[str],
    ordered: bool = False,
    negative: bool = False,
    constant: bool | None = None,
) -> Handle:
    """A fresh tensor of segment ids below ``count``; rejects an empty one."""
    size = math.prod(shape)
    if size == 0 or count < 1:
        draw.reject("no segments")
    chosen = draw.weighted(SEGMENTS)
    return made(
        draw,
        shape,
        dtypes,
        lambda rng, shape: segment_elements(rng, math.prod(shape), count, chosen, ordered=ordered, negative=negative),
        constant=constant,
    )


def lengths(
    draw: Draw,
    shape: Sequence[int],
    low: int,
    high: int,
    *,
    dtypes: str | Sequence[str] = "int64",
    constant: bool | None = None,
) -> Handle:
    """A fresh tensor of lengths (or other sizes) from ``low`` to ``high`` inclusive; rejects an empty range."""
    if high < low:
        draw.reject("no lengths in range")
    chosen = draw.weighted(LENGTHS)
    return made(
        draw, shape, dtypes, lambda rng, shape: length_elements(rng, shape, low, high, chosen), constant=constant
    )


def probabilities(draw: Draw, shape: Sequence[int], dtype: str) -> Handle:
    """A fresh tensor of numbers from 0 to 1, both among them, each drawn for itself."""
    chosen = draw.weighted(PROBABILITIES)
    return made(draw, shape, dtype, lambda rng, shape: probability_elements(rng, shape, chosen))


def distribution(draw: Draw, shape: Sequence[int], dtype: str, axis: int = -1) -> Handle:
    """A fresh tensor of distributions along the axis, which add up to 1: with zeros among them, or all on one."""
    chosen = draw.weighted({name: PROBABILITIES[name] for name in ("probabilities any", "probabilities ends")})

    def elements(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, str]:
        if chosen == "probabilities ends":
            hot = rng.random(shape).argsort(axis=axis) == 0
            return hot.astype(np.float64), chosen
        data = rng.uniform(0.05, 1.0, shape)
        return data / data.sum(axis=axis, keepdims=True), chosen

    return made(draw, shape, dtype, elements)
