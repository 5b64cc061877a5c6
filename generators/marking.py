"""Marking dimensions of a finished graph's inputs as dynamic, as far as the graph takes other sizes.

Which dimensions must move together, and which cannot move at all since a literal or a constant pins them, is not
known without knowing the operators. So a marking is guessed (one dimension, all of one extent, the first ones, all),
the graph is run at other sizes, and what it does not survive is narrowed or dropped. Only marked graphs pay for that.

What it is to survive a size is said in :mod:`generators.rerun`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from generators.choices import Choices
from generators.graph import Array, Case, Input, TensorType
from generators.rerun import LARGEST, Rerun

#: Share of the graphs that a marking is looked for; about half of them take one.
SHARE = 0.32
#: Markings that are tried for a graph.
ATTEMPTS = 4
#: Sizes beside one of about the first, which all marked graphs have, with the share that each is tried for.
OTHERS: Mapping[str, float] = {"one": 0.5, "zero": 0.35, "large": 0.4}
#: How dimensions are chosen, with weights.
MODES: Mapping[str, float] = {"one": 3.0, "alike": 3.0, "first": 2.5, "all": 1.5}

#: A dimension: the name of an input and an axis.
Dim = tuple[str, int]


@dataclass(frozen=True)
class Marker:
    """Marks graphs. Extents below 2 are not marked: torch.export takes those for constants, as it documents, and a
    dimension of 1 broadcasts."""

    rerun: Rerun
    choices: Choices

    def mark(self, case: Case, values: Mapping[str, Array]) -> tuple[Case, list[Mapping[str, Array]]]:
        """The case with marked dimensions and feeds at other sizes, and its values at each of these; the case itself
        where no marking that was tried survives. ``values`` are those of all its values by name."""
        used = {name for node in case.graph.nodes for name in node.references()}
        dims: dict[Dim, int] = {
            (value.name, axis): extent
            for value in case.graph.inputs
            if value.name in used and value.name in self.rerun.elements
            for axis, extent in enumerate(value.type.shape)
            if extent > 1
        }
        if not dims:
            return case, []
        for groups in self._markings(dims):
            marked = _with_marking(case, groups)
            extents = {f"s{number}": dims[group[0]] for number, group in enumerate(groups)}
            first = self._survives(marked, values, {name: self._other(extent) for name, extent in extents.items()})
            if first is None:
                continue
            found = [first]
            for kind, share in OTHERS.items():
                if self.choices.fraction() < share:
                    other = self._survives(marked, values, self._sizes(kind, extents))
                    found += [] if other is None else [other]
            further, computed = zip(*found, strict=True)
            return replace(marked, further=further), [*computed]
        return case, []

    def _markings(self, dims: Mapping[Dim, int]) -> Iterator[list[list[Dim]]]:
        """Groups of dimensions that share a symbol, from the marking drawn first to narrower ones."""
        for _ in range(ATTEMPTS // 2):
            groups = self._drawn(dims)
            yield groups
            if len(groups) > 1:
                yield [self.choices.pick(groups)]
            elif len(groups[0]) > 1:
                yield [[self.choices.pick(groups[0])]]

    def _drawn(self, dims: Mapping[Dim, int]) -> list[list[Dim]]:
        point = self.choices.fraction() * sum(MODES.values())
        mode = "all"
        for name, weight in MODES.items():
            point -= weight
            if point < 0:
                mode = name
                break
        by_extent: dict[int, list[Dim]] = {}
        for dim, extent in dims.items():
            if mode != "first" or dim[1] == 0:
                by_extent.setdefault(extent, []).append(dim)
        groups = list(by_extent.values())
        if mode == "one" or not groups:
            return [[self.choices.pick(list(dims))]]
        return groups if mode == "all" else [self.choices.pick(groups)]

    def _other(self, extent: int) -> int:
        """Another extent of at least 2, not far from the first."""
        drawn = self.choices.integer(2, extent + 4)
        return drawn if drawn != extent else extent + 5

    def _sizes(self, kind: str, extents: Mapping[str, int]) -> dict[str, int]:
        """Extents of which one, or more, is 1, 0 or large."""
        chosen = self.choices.pick(list(extents))
        sizes = {}
        for symbol, extent in extents.items():
            if symbol != chosen and self.choices.fraction() < 0.5:
                sizes[symbol] = self._other(extent)
            elif kind == "large":
                sizes[symbol] = self.choices.integer(9, 40)
            else:
                sizes[symbol] = int(kind == "one")
        return sizes

    def _survives(
        self, case: Case, values: Mapping[str, Array], sizes: Mapping[str, int]
    ) -> tuple[dict[str, Array], dict[str, Array]] | None:
        """Feeds at these sizes that the graph takes, and the values that it has with them; None when it does not."""
        feeds: dict[str, Array] = {}
        for value in case.graph.inputs:
            feed = self._feed(case, value, sizes)
            if feed is None:
                return None
            feeds[value.name] = feed
        found = self.rerun.values(case.graph, feeds, values)
        return None if found is None else (feeds, found)

    def _feed(self, case: Case, value: Input, sizes: Mapping[str, int]) -> Array | None:
        """Elements for an input at these sizes, drawn as those that it has; None when they cannot be."""
        if not value.dynamic:
            return case.feeds[value.name]
        shape = tuple(
            extent if symbol is None else sizes[symbol]
            for extent, symbol in zip(value.type.shape, value.dynamic, strict=True)
        )
        if TensorType(value.type.dtype, shape).size > LARGEST:
            return None
        return self.rerun.drawn(self.choices.generator(), value, shape)


def _with_marking(case: Case, groups: Sequence[Sequence[Dim]]) -> Case:
    symbols = {dim: f"s{number}" for number, group in enumerate(groups) for dim in group}
    inputs = []
    for value in case.graph.inputs:
        marking = tuple(symbols.get((value.name, axis)) for axis in range(value.type.rank))
        inputs.append(replace(value, dynamic=marking if any(marking) else ()))
    return replace(case, graph=replace(case.graph, inputs=tuple(inputs)))
