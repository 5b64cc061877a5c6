"""What correct implementations may return for one output, as samples of its noise show it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from generators.graph import Array, dtype_name
from oracles.compare import classes, wide
from oracles.tolerances import ROUNDED, smallest_normal, unit_roundoff

#: Factor on the largest deviation seen in the samples. Chosen by measurement: see docs/decisions/003-noise-bound.md.
SAFETY = 4.0
#: Ulps of its own magnitude that an element which can vary at all is always granted.
FLOOR_ULPS = 4.0
#: A deviation under noise, relative to the largest element, that rounding alone does not make: somewhere a result
#: jumped, and at which elements it may jump takes more samples to see.
_JUMP = 2.0**-5
#: Results that came up once only, of many samples, from which on others are to be expected.
_SINGLES = 2


@dataclass
class Bound:
    """What correct implementations may return for one output.

    ``eager`` is the result of eager mode; ``reference`` the float64 (complex128, or integer) result, in double
    precision where every operator allows it. For rounded types: ``spread`` is the largest deviation of a sample from
    ``eager`` (divided by the sample's amplitude) and ``eager_error`` that of ``reference``, both infinite where only
    one of them is finite; ``seen`` has bit ``c`` set where a result of class ``c`` (:func:`oracles.compare.classes`)
    came up. For the others ``low`` and ``high`` are the extremes that came up, and ``samples`` all results.
    ``problem`` is not empty when samples could not be computed: then nothing is bounded; ``reshapes`` when that is
    because the shape varies.
    """

    eager: Array
    reference: Array
    spread: Array
    eager_error: Array
    seen: Array
    low: Array
    high: Array
    samples: list[Array] = field(default_factory=list)
    problem: str = ""
    reshapes: bool = False

    @property
    def unsettled(self) -> Array:
        """Where results of an exact type that were not seen are likely: of those that were, at least _SINGLES came up
        once only. Their share estimates how likely the next result is a new one (Good, "The population frequencies of
        species and the estimation of population parameters", 1953): an index among many that tie."""
        if not self.samples:
            return np.zeros(self.eager.shape, dtype=bool)
        ordered = np.sort(np.stack(self.samples), axis=0)
        new = np.ones(ordered.shape, dtype=bool)
        new[1:] = ordered[1:] != ordered[:-1]
        last = np.ones(ordered.shape, dtype=bool)
        last[:-1] = new[1:]
        once = (new & last).sum(0) >= _SINGLES
        # Where noise never gives what eager mode gives, it does not tell what else implementations may give.
        return np.asarray(once | (ordered != _integers(self.eager)).all(0))

    @property
    def jumps(self) -> bool:
        """Whether results jump somewhere: they vary, or those of a rounded type by more than rounding alone makes."""
        if bool(self.varies.any()):
            return True
        if dtype_name(self.eager.dtype) not in ROUNDED or not self.spread.size:
            return False
        finite = self.spread[np.isfinite(self.spread)]
        largest = float(np.max(np.abs(wide(self.eager))[classes(self.eager) == 0], initial=0.0))
        return float(finite.max(initial=0.0)) > _JUMP * largest

    @property
    def limit(self) -> Array:
        """The largest difference to ``eager`` that rounding explains, for each element of a rounded type."""
        name = dtype_name(self.eager.dtype)
        deviation = np.maximum(self.spread, self.eager_error)
        size = np.where(classes(self.eager) == 0, np.abs(wide(self.eager)), 0.0)
        floor = FLOOR_ULPS * 2 * unit_roundoff(name) * size + smallest_normal(name)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.where(deviation > 0, SAFETY * deviation + floor, smallest_normal(name)))

    @property
    def varies(self) -> Array:
        """Where results of more than one class (rounded types) or value (the others) came up."""
        if dtype_name(self.eager.dtype) in ROUNDED:
            return np.asarray((self.seen & (self.seen - 1)) != 0)
        return np.asarray(self.low != self.high)


@dataclass
class NoiseAnalysis:
    """Bounds by index of the graph output, and what had to be done without double precision (operator: why)."""

    bounds: dict[int, Bound] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def start(eager: Array, reference: Array) -> Bound:
    """The bound before any sample, from what eager mode and double precision give."""
    shape = eager.shape
    if dtype_name(eager.dtype) in ROUNDED:
        with np.errstate(all="ignore"):
            returned = reference.astype(eager.dtype)  # what double precision would give as an output of this type
        seen = np.left_shift(1, classes(eager).astype(np.int64)) | np.left_shift(1, classes(returned).astype(np.int64))
        nothing = np.zeros(shape)
        error = deviation_of(eager, reference)
        return Bound(eager, reference, nothing, error, np.asarray(seen), nothing, nothing)
    low, high = _integers(eager), _integers(reference)
    return Bound(
        eager,
        reference,
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape, dtype=np.int64),
        np.minimum(low, high),
        np.maximum(low, high),
    )


def include(bound: Bound, sample: Array, amplitude: float) -> None:
    """Widen the bound by a sample whose noise was of so many times its usual size."""
    if sample.shape != bound.eager.shape:  # a shape that depends on data
        bound.reshapes = True
        bound.problem = f"its shape varies with rounding: {list(bound.eager.shape)}, {list(sample.shape)}"
        return
    if dtype_name(bound.eager.dtype) in ROUNDED:
        bound.spread = np.maximum(bound.spread, deviation_of(bound.eager, sample) / amplitude)
        bound.seen = bound.seen | np.left_shift(1, classes(sample).astype(np.int64))
    else:
        found = _integers(sample)
        bound.samples.append(found)
        bound.low = np.minimum(bound.low, found)
        bound.high = np.maximum(bound.high, found)


def _integers(array: Array) -> Array:
    return array.astype(np.uint64 if array.dtype == np.uint64 else np.int64)


def deviation_of(eager: Array, other: Array) -> Array:
    """\\|other − eager\\|, 0 where both are the same special value, infinite where just one is finite."""
    if other.shape != eager.shape:
        return np.full(eager.shape, np.inf)
    with np.errstate(all="ignore"):
        difference = np.abs(wide(other) - wide(eager)).astype(np.float64)
    left, right = classes(eager), classes(other)
    if not (left.any() or right.any()):
        return np.asarray(difference)
    return np.asarray(np.where((left == 0) & (right == 0), difference, np.where(left == right, 0.0, np.inf)))
