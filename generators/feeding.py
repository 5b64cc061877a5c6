"""Further feeds of a finished graph: other values for its inputs, each set of feeds of a kind.

To run a converted model once more costs next to nothing beside its conversion, and what it computes wrongly may show
with large numbers, or at integers that a float stops at, and not with those that the graph was grown on. So a share of
the graphs gets feeds of one or two kinds more, and, where many elements of its values are all the same or saturated,
feeds with which fewer are: such values hide errors.

Inputs that a sampler drew in its own way (indices, segment ids, masks, probabilities, whatever must lie in a domain)
are drawn in that way again, and feeds that eager mode does not take, or with which a value has another shape or an
element that is not finite, are no feeds of the graph (:mod:`generators.rerun`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generators.choices import Choices
from generators.graph import Array, Case, Graph, Input
from generators.rerun import Rerun
from generators.values import effective

#: Share of the graphs that further feeds are looked for, and kinds that each of these gets, if it takes them.
SHARE, KINDS_EACH = 0.4, 2
#: Kinds of feeds, each with the value profiles that an input may have in it.
KINDS: Mapping[str, tuple[str, ...]] = {
    "typical": ("typical", "typical", "fractions"),
    "signed": ("negative", "zeros_and_signs", "integers"),
    "small": ("tiny", "tiny", "zeros_and_signs"),
    "large": ("large", "large", "mixed_magnitudes"),
    "boundary": ("wide_integers", "integer_extremes", "ties"),
}
#: The kind that is chosen by its results, from so many draws, of these profiles.
SENSITIVE, DRAWS = "sensitive", 3
_SPREAD = ("typical", "typical", "fractions", "integers", "mixed_magnitudes")
#: Feeds with a higher score than this leave little to be gained, and a gain below this is none.
ENOUGH, GAIN = 0.9, 0.05
#: How much more an output counts than a value inside, which an output may not depend on at all.
OUTPUT_WEIGHT = 3.0
#: Elements of a value that are looked at.
_LOOKED_AT = 256


def structure(kind: str) -> str:
    """What statistics call feeds of a kind (:data:`generators.structures.NAMES`)."""
    return f"fed {kind} values"


#: All of these.
STRUCTURES = tuple(map(structure, (*KINDS, SENSITIVE)))


@dataclass(frozen=True)
class Fed:
    """Feeds of a kind, the profile of each input in them by name, and all values of the graph with them."""

    kind: str
    feeds: Mapping[str, Array]
    profiles: Mapping[str, str]
    values: Mapping[str, Array]


@dataclass(frozen=True)
class Feeder:
    """Finds further feeds. ``profiles`` are those of the inputs in the graph's own feeds."""

    rerun: Rerun
    choices: Choices
    profiles: Mapping[str, str]

    def feeds(self, case: Case, values: Mapping[str, Array]) -> list[Fed]:
        """Feeds of some kinds, at the sizes of the case's own ones; nothing for a graph that no other values can be
        drawn for. ``values`` are all those of the graph with its own feeds."""
        used = {name for node in case.graph.nodes for name in node.references()}
        inputs = [value for value in case.graph.inputs if value.name in used and value.name in self.rerun.elements]
        if not any(value.type.size for value in inputs):
            return []
        first = score(case.graph, values)
        found: list[Fed] = []
        left = list(KINDS)
        if first < ENOUGH:
            best, most = None, first + GAIN
            for _ in range(DRAWS):
                fed = self._drawn(SENSITIVE, _SPREAD, case, inputs, values)
                gained = score(case.graph, fed.values) if fed else 0.0
                if gained > most:
                    best, most = fed, gained
                if most > ENOUGH:
                    break
            found += [best] if best else []
        while left and len(found) < KINDS_EACH:
            kind = left.pop(self.choices.integer(0, len(left) - 1))
            fed = self._drawn(kind, KINDS[kind], case, inputs, values)
            if fed is None and len(inputs) > 1:
                # What one input cannot be given, another may.
                fed = self._drawn(kind, KINDS[kind], case, [self.choices.pick(inputs)], values)
            if fed is not None:
                found.append(fed)
            elif len(left) < len(KINDS) - KINDS_EACH:
                break
        return found

    def _drawn(
        self, kind: str, profiles: Sequence[str], case: Case, inputs: Sequence[Input], values: Mapping[str, Array]
    ) -> Fed | None:
        feeds = dict(case.feeds)
        drawn = {value.name: self.profiles[value.name] for value in case.graph.inputs if value.name in self.profiles}
        rng = self.choices.generator()
        for value in inputs:
            profile = self.choices.pick(profiles)
            feed = self.rerun.drawn(rng, value, value.type.shape, profile)
            if feed is None:
                return None
            feeds[value.name] = feed
            if isinstance(self.rerun.elements[value.name], str):
                drawn[value.name] = effective(profile, value.type.dtype)
        if all(feeds[value.name].tobytes() == case.feeds[value.name].tobytes() for value in inputs):
            return None
        found = self.rerun.values(case.graph, feeds, values, same_types=True)
        return None if found is None else Fed(kind, feeds, drawn, found)


def score(graph: Graph, values: Mapping[str, Array]) -> float:
    """How sensitive a graph is with these values, from 0 to 1: the mean of :func:`spread` over all results of nodes,
    outputs of the graph counted :data:`OUTPUT_WEIGHT` times. 1 for a graph without results of several elements."""
    outputs = set(graph.outputs)
    total = weights = 0.0
    for node in graph.nodes:
        for value in node.outputs:
            array = values.get(value.name)
            if array is None or array.size < 2:
                continue
            weight = OUTPUT_WEIGHT if value.name in outputs else 1.0
            total += weight * spread(array)
            weights += weight
    return total / weights if weights else 1.0


def spread(array: Array) -> float:
    """What share of a tensor's elements tell something, from 0 to 1: those that are not the most frequent one (zeros of
    a rectifier, ones of a saturated sigmoid; NaN and infinities count as one), as a share of what there can be. Of
    large tensors the first elements are looked at. The tensor has at least two."""
    flat = np.ascontiguousarray(array.reshape(-1)[:_LOOKED_AT])
    kind = flat.dtype.kind
    if kind in "fcV":
        numbers = flat.astype(np.complex64 if kind == "c" else np.float32)
        finite = np.isfinite(numbers)
        # Zeros of both signs are alike.
        numbers = np.where(finite, numbers, np.float32(math.inf)) + np.float32(0)
        flat = numbers.view(np.uint64 if kind == "c" else np.uint32)
    _, counts = np.unique(flat, return_counts=True)
    levels = min(flat.size, 2 if kind == "b" else flat.size)
    return float((1 - counts.max() / flat.size) / (1 - 1 / levels))
