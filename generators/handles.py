"""What passes between the generator and a sampler: values at hand, calls, what was made fresh, value profiles."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from generators.choices import Choices
from generators.graph import Argument, Array, Constant, DType, Input, Ref, Slice, TensorType
from generators.values import WEIGHTS

#: How elements are drawn: a value profile, or a function of generator, shape and dtype.
Elements: TypeAlias = "str | Callable[[np.random.Generator, tuple[int, ...], str], Array]"
#: What a sampler asks of a value.
Condition: TypeAlias = "Callable[[Handle], bool]"


class Rejected(Exception):
    """A sampler found nothing legal for the values at hand; the generator draws another operator."""


class Unconnected(Rejected):
    """What was drawn uses no result of another node, and is dropped for that (most of such draws are) before it costs
    anything."""


class Handle:
    """A value at hand: its name, type and concrete elements, which are not to be written into."""

    __slots__ = ("_bounds", "array", "dtype", "name", "native", "rank", "ref", "shape", "size", "type")

    def __init__(self, name: str, native: Any, array: Array, kind: TensorType) -> None:
        self.name = name
        self.native = native
        self.array = array
        self.type = kind
        self.dtype = kind.dtype
        self.shape = kind.shape
        self.rank = len(kind.shape)
        self.size: int = array.size
        self.ref = Ref(name)
        self._bounds: tuple[float, float] | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest element, computed once: NaNs when any element is NaN or the dtype is complex (so that
        every comparison with them fails), ``(inf, -inf)`` for an empty tensor (so that every range holds it)."""
        if self._bounds is None:
            array = self.array
            if array.size == 0:
                self._bounds = (math.inf, -math.inf)
            elif array.dtype.kind == "c":
                self._bounds = (math.nan, math.nan)
            else:
                array = array.astype(np.float32) if array.dtype.kind == "V" else array
                self._bounds = (float(array.min()), float(array.max()))
        return self._bounds

    def within(self, low: float, high: float) -> bool:
        """Whether every element is from ``low`` to ``high``; False for NaN and complex elements."""
        least, greatest = self.bounds
        return low <= least and greatest <= high


@dataclass(frozen=True, slots=True)
class Call:
    """What a sampler returns: a target and arguments, in which handles stand for values."""

    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(slots=True)
class Fresh:
    """Inputs and constants that a sampler made; kept when its operator is accepted."""

    inputs: list[tuple[Input, Array]] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    handles: list[Handle] = field(default_factory=list)
    profiles: dict[str, str] = field(default_factory=dict)
    #: What the elements of inputs and constants were drawn by, for drawing them again in another shape.
    elements: dict[str, Elements] = field(default_factory=dict)
    #: What the sampler relies on, of values made fresh or not, by name.
    conditions: list[tuple[str, Condition]] = field(default_factory=list)


class Profiles:
    """The value profiles of one case: which it may draw, and whether non-finite results are wanted. ``wanted`` are
    profiles that are to be drawn more often, each for an element type (empty for what selects) and a family of
    operators."""

    def __init__(
        self,
        weights: Mapping[str, float] = WEIGHTS,
        *,
        nonfinite: bool = False,
        wanted: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        self.names = tuple(weights)
        self.cumulative = tuple(itertools.accumulate(weights.values()))
        self.nonfinite = nonfinite
        #: By family and element type.
        self.wanted: dict[str, dict[str, list[str]]] = {}
        for profile, dtype, family in wanted:
            if not dtype or profile in weights:
                self.wanted.setdefault(family, {}).setdefault(dtype, []).append(profile)

    def pick(self, choices: Choices) -> str:
        return self.names[bisect.bisect(self.cumulative, choices.fraction() * self.cumulative[-1])]


_LITERALS = frozenset((int, float, bool, str, type(None), DType, Slice))


def argument_of(value: Any, used: dict[str, Handle]) -> Argument:
    """A sampler's argument as a graph argument: handles become references, lists become tuples, NumPy numbers
    Python numbers. The handles met are put into ``used`` by name."""
    kind = type(value)
    if kind is Handle:
        used[value.name] = value
        reference: Ref = value.ref
        return reference
    if kind in _LITERALS:
        literal: Argument = value
        return literal
    if isinstance(value, (tuple, list)):
        return tuple([argument_of(item, used) for item in value])
    if isinstance(value, np.generic):
        item: Argument = value.item()
        return item
    result: Argument = value
    return result
