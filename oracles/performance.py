"""When a converted model costs far more than it need: far larger than what went in, far slower than its siblings.

What went in is bounded from above: a converter may fold whatever does not depend on the inputs, so that every constant
and every value of the graph counts in full, and something for each node and for the file. Time is compared with eager
mode and with other variants of the same runtime, on the same machine, in turns: the *best* of several runs of the
suspect against the *median* of the others, which a busy machine makes longer on both sides, and pauses on neither. Both
a ratio and an excess have to be reached, the excess so that no fixed cost of a file or of a call counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from generators.graph import Array, Case, all_constants, node_count


@dataclass(frozen=True, slots=True)
class Limit:
    """What costs more than ``ratio`` times the usual, and by more than ``excess`` (bytes or seconds), costs too
    much."""

    ratio: float
    excess: float

    def exceeded(self, cost: float, usual: float) -> bool:
        """Whether a cost is too high by both measures."""
        return cost > self.ratio * usual and cost - usual > self.excess

    def among(self, number: int) -> Limit:
        """The limit on what several cases cost together, above which each is to be looked at alone: one that costs too
        much hides behind what the others may cost."""
        return Limit(max(self.ratio / number, min(self.ratio, 1.5)), self.excess)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits on sizes in bytes and on times in seconds."""

    size: Limit
    time: Limit


#: What a batch has to exceed to be a finding, and what is enough for it to stay one while it is minimized and when its
#: reproducer runs: half the ratio and less of an excess, so that what is measured twice is not lost by its noise.
FOUND = Limits(size=Limit(8, 1 << 20), time=Limit(20, 0.1))
KEPT = Limits(size=Limit(4, 1 << 18), time=Limit(10, 0.05))
#: Bytes that a file may take for each node, and at all: names, attributes, the stack traces that torch.onnx keeps.
NODE_BYTES, FILE_BYTES = 1 << 12, 1 << 12
#: Runs of each side, in turns.
ROUNDS = 5


def expected_bytes(case: Case, values: Mapping[str, Array]) -> int:
    """The size in bytes up to which an artifact of the case needs no excuse. ``values`` are all of its graph's, those
    of bodies not included."""
    data = sum(constant.data.nbytes for constant in all_constants(case.graph))
    return data + sum(array.nbytes for array in values.values()) + NODE_BYTES * node_count(case.graph) + FILE_BYTES


def best(seconds: Iterable[float]) -> float:
    """The least disturbed of several runs."""
    return min(seconds)


def usual(*sides: Sequence[float]) -> float:
    """The median run of the fastest of several sides."""
    return min(statistics.median(side) for side in sides)


def size_words(size: int, expected: int) -> str:
    """What is said of an artifact's size."""
    return (
        f"an artifact of {size} bytes, where the constants and values of the model and an allowance for its nodes come"
        f" to {expected} ({size / expected:.3g} times)"
    )


def time_words(seconds: float, eager: float, sibling: float | None) -> str:
    """What is said of a run's time; ``sibling`` is the median run of the fastest other variant, if there is one."""
    other = "" if sibling is None else f", {sibling:.3g} s on its fastest other variant"
    return f"a run takes {seconds:.3g} s, {eager:.3g} s in eager mode{other} ({seconds / eager:.3g} times)"
