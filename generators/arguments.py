"""Plain arguments of operators: numbers, choices, axes, element types and shapes."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar

from generators.choices import Choices
from generators.graph import FLOATING, INTEGRAL
from generators.handles import Rejected

T = TypeVar("T")

ANY_DTYPE = (*FLOATING, *INTEGRAL, "bool")
_DTYPE_WEIGHTS: Mapping[str, float] = {
    "float32": 10,
    "int64": 2.5,
    "int32": 2.5,
    "float16": 1.5,
    "float64": 1.2,
    "bool": 1.5,
    "uint8": 1,
    "int8": 0.8,
    "bfloat16": 0.7,
    "int16": 0.6,
    "complex64": 0.8,
}
#: How often an operand that can be of a profile or an element type that is wanted is.
FAVOUR = 0.4
#: How often an operand of an operator that is sought for its sake is of that profile or element type: the others are
#: anything.
SOUGHT = 0.8
#: No tensor of a generated graph has more elements: operators are judged, not memory bandwidth.
MAX_ELEMENTS = 4096


class Arguments:
    """Draws arguments that are no values of a graph. ``sought`` are the profile and the element type (empty for what
    selects) that an operand is to have, if it can; ``wanted`` profiles that are to be drawn more often for operands,
    by element type (empty for what selects)."""

    __slots__ = ("_fraction", "_sought", "_wanted", "choices")

    def __init__(
        self, choices: Choices, sought: tuple[str, str] | None = None, wanted: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.choices = choices
        self._fraction = choices.fraction
        self._sought = sought
        self._wanted: Mapping[str, Sequence[str]] = wanted or {}

    def reject(self, reason: str = "") -> NoReturn:
        """Give up on this operator for the values at hand."""
        raise Rejected(reason)

    def flag(self, probability: float = 0.5) -> bool:
        """True with the given probability."""
        return self._fraction() < probability

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high`` inclusive; rejects when there is none."""
        if high < low:
            self.reject(f"no integer from {low} to {high}")
        return self.choices.integer(low, high)

    def real(self, low: float, high: float) -> float:
        """A float between the bounds with at most 4 significant decimals, so that it prints short."""
        return float(f"{low + (high - low) * self.choices.fraction():.4g}")

    def choice(self, options: Sequence[T]) -> T:
        """One of the options; rejects when there is none."""
        if not options:
            self.reject("nothing to choose from")
        if self._sought and self._sought[1] in options and self.flag(SOUGHT):
            # Samplers that read a schema choose among the element types that it names.
            return options[options.index(self._sought[1])]
        return self.choices.pick(options)

    def weighted(self, options: Mapping[T, float]) -> T:
        """One of the keys with probability proportional to its value."""
        if self._sought:
            for option in options:
                if option in self._sought and self.flag(SOUGHT):
                    return option
        if selecting := self._wanted.get(""):
            found = [option for option in options if option in selecting]
            if found and self.flag(FAVOUR):
                return self.choices.pick(found)
        cumulative = list(itertools.accumulate(options.values()))
        index = bisect.bisect(cumulative, self.choices.fraction() * cumulative[-1])
        return list(options)[min(index, len(options) - 1)]

    def sizes(self, count: int, low: int = 1, high: int = 3, *, scalar: bool = True) -> int | tuple[int, ...]:
        """``count`` integers from ``low`` to ``high``; with ``scalar``, sometimes one integer for all of them."""
        if scalar and self.flag(0.35):
            return self.integer(low, high)
        return tuple(self.integer(low, high) for _ in range(count))

    def dims(self, bounds: Sequence[int], low: int = 1) -> tuple[int, ...]:
        """One integer from ``low`` to each of the bounds; rejects when a bound is below ``low``."""
        return tuple(self.integer(low, bound) for bound in bounds)

    def axis(self, rank: int) -> int:
        """An axis of a tensor of that rank, negative half of the time; rejects rank 0."""
        if rank == 0:
            self.reject("no axis in a scalar")
        axis = self.integer(0, rank - 1)
        return axis - rank if self.flag() else axis

    def axes(self, rank: int, low: int = 1, high: int | None = None) -> tuple[int, ...]:
        """Distinct axes in any order, each negative half of the time; ``low`` to ``high`` (the rank) of them."""
        high = rank if high is None else min(high, rank)
        count = self.integer(low, high)
        chosen = self.permutation(rank)[:count]
        return tuple(axis - rank if self.flag() else axis for axis in chosen)

    def permutation(self, count: int) -> tuple[int, ...]:
        """A permutation of ``range(count)``."""
        order = list(range(count))
        for index in range(count - 1, 0, -1):
            other = self.choices.integer(0, index)
            order[index], order[other] = order[other], order[index]
        return tuple(order)

    def dtype(self, dtypes: Sequence[str] = ANY_DTYPE) -> str:
        """One of the dtypes, common ones more often."""
        if self._sought and self._sought[1] in dtypes and self.flag(SOUGHT):
            return self._sought[1]
        cumulative = _dtype_weights(tuple(dtypes))
        index = bisect.bisect(cumulative, self.choices.fraction() * cumulative[-1])
        return dtypes[min(index, len(dtypes) - 1)]

    def scalar(self, dtype: str) -> bool | int | float:
        """A Python number of a dtype's kind: zero, one, negatives, fractions and awkward ones among them."""
        if dtype == "bool":
            return self.flag()
        if dtype == "uint8":
            return self.choice((0, 1, 2, 3, 7, 255))
        if dtype in INTEGRAL:
            return self.choice((0, 1, -1, 2, 3, -3, 5, 7, -8, 100, 127))
        if self.flag(0.4):
            return self.choice((0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -0.0, 1e-3, 3.0, 10.0, -2.5))
        return self.real(-3.0, 3.0)

    # -- shapes ------------------------------------------------------------------------------------------------

    def shape(self, ranks: Sequence[int] = range(6), *, minimum: int = 0, maximum: int = 8) -> tuple[int, ...]:
        """A random shape of one of the ranks: extents of 1 are common, 0 rare and only where ``minimum`` is 0."""
        cumulative = _rank_weights(tuple(ranks))
        index = bisect.bisect(cumulative, self.choices.fraction() * cumulative[-1])
        rank = ranks[min(index, len(ranks) - 1)]
        extents: list[int] = []
        budget = MAX_ELEMENTS // 4
        for _ in range(rank):
            fraction = self.choices.fraction()
            if fraction < 0.015 and minimum == 0:
                extent = 0
            elif fraction < 0.15 and minimum <= 1:
                extent = 1
            else:
                extent = self.choices.integer(max(minimum, 2), max(min(maximum, budget), minimum, 2))
            extents.append(extent)
            budget = max(1, budget // max(extent, 1))
        return tuple(extents)

    def broadcast_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape that broadcasts with the given one in either direction: equal, leading dimensions dropped or
        added, extents of 1 in place of others and others in place of extents of 1."""
        result = list(shape)
        if self.flag(0.3):
            return tuple(result)
        for index, extent in enumerate(result):
            if self.flag(0.25):
                result[index] = self.integer(1, 4) if extent == 1 else 1
        if result and self.flag(0.35):
            result = result[self.integer(0, len(result)) :]
        elif len(result) < 5 and self.flag(0.1):
            result = [self.integer(1, 3), *result]
        return tuple(result)


@functools.cache
def _dtype_weights(dtypes: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(itertools.accumulate(_DTYPE_WEIGHTS.get(name, 0.5) for name in dtypes))


@functools.cache
def _rank_weights(ranks: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(itertools.accumulate((2, 3, 4, 4, 3, 1.5)[min(rank, 5)] for rank in ranks))
