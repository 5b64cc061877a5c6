"""Marking dimensions of a finished graph's inputs as dynamic, as far as the graph takes other sizes.

Which dimensions must move together, and which cannot move at all since a literal or a constant pins them, is not
known without knowing the operators. So a marking is guessed (one dimension, all of one extent, the first ones, all),
the graph is run at other sizes, and what it does not survive is narrowed or dropped. Only marked graphs pay for that.

A graph survives a size when eager mode computes it, every value keeps its element type and rank, nothing turns
non-finite that should not, and every condition that samplers put on values when the graph was grown
(:meth:`generators.draw.Draw.require`) holds there, too: what they rely on is that results are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from generators.choices import Choices
from generators.frontends.base import EvaluationError, Frontend
from generators.frontends.bodies import Running
from generators.graph import Array, Case, Graph, GraphError, Input, TensorType, type_of
from generators.handles import Condition, Elements, Handle
from generators.values import draw_array

#: Share of the graphs that a marking is looked for; about half of them take one.
SHARE = 0.32
#: Markings that are tried for a graph.
ATTEMPTS = 4
#: Elements that a value may have at a larger size.
LARGEST = 16384
#: Sizes beside one of about the first, which all marked graphs have, with the share that each is tried for.
OTHERS: Mapping[str, float] = {"one": 0.5, "zero": 0.35, "large": 0.4}
#: How dimensions are chosen, with weights.
MODES: Mapping[str, float] = {"one": 3.0, "alike": 3.0, "first": 2.5, "all": 1.5}

#: Families whose kernels take the process down where a window is larger than what it moves over, or empty: what is put
#: into them has elements, and extents are no smaller than at first but for the batch.
FRAGILE = frozenset({"convolution", "pooling", "signal"})

#: A dimension: the name of an input and an axis.
Dim = tuple[str, int]


@dataclass(frozen=True)
class Marker:
    """Marks graphs. ``elements`` says what inputs were drawn by, ``conditions`` what must hold of values by name,
    ``nonfinite`` whether results may be NaN or infinite; ``announce`` is called with each target before it is executed.
    Extents below 2 are not marked: torch.export takes those for constants, as it documents, and a dimension of 1
    broadcasts."""

    frontend: Frontend
    choices: Choices
    elements: Mapping[str, Elements]
    conditions: Sequence[tuple[str, Condition]]
    nonfinite: bool
    announce: Callable[[str], None] | None = None

    def mark(self, case: Case, values: Mapping[str, Array]) -> Case:
        """The case with marked dimensions and feeds at other sizes; the case itself where no marking that was tried
        survives. ``values`` are those of all its values by name."""
        used = {name for node in case.graph.nodes for name in node.references()}
        dims: dict[Dim, int] = {
            (value.name, axis): extent
            for value in case.graph.inputs
            if value.name in used and value.name in self.elements
            for axis, extent in enumerate(value.type.shape)
            if extent > 1
        }
        if not dims:
            return case
        for groups in self._markings(dims):
            marked = _with_marking(case, groups)
            extents = {f"s{number}": dims[group[0]] for number, group in enumerate(groups)}
            first = self._survives(marked, values, {name: self._other(extent) for name, extent in extents.items()})
            if first is None:
                continue
            further = [first]
            for kind, share in OTHERS.items():
                if self.choices.fraction() < share:
                    feeds = self._survives(marked, values, self._sizes(kind, extents))
                    further += [] if feeds is None else [feeds]
            return replace(marked, further=tuple(further))
        return case

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

    def _survives(self, case: Case, values: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array] | None:
        """Feeds at these sizes that the graph takes; None when it does not."""
        feeds: dict[str, Array] = {}
        inputs = []
        for value in case.graph.inputs:
            feed = self._feed(case, value, sizes)
            if feed is None:
                return None
            feeds[value.name] = feed
            inputs.append(replace(value, type=type_of(feed), dynamic=()))
        graph = replace(case.graph, inputs=tuple(inputs))
        try:
            found = self._run(graph, feeds, values)
            if found is None:
                return None
            self.frontend.check_values(graph, found)
        except (EvaluationError, GraphError, ValueError):
            return None
        return feeds

    def _run(self, graph: Graph, feeds: Mapping[str, Array], before: Mapping[str, Array]) -> dict[str, Array] | None:
        """As :meth:`Frontend.run`, until a value is not what it may be; then None. A node is run once it is known that
        its operands are what its sampler asked for: kernels exist that take the process down where they are not."""
        frontend, registry = self.frontend, self.frontend.registry()
        natives: dict[str, Any] = {}
        found: dict[str, Array] = {}
        running = Running(inner={})

        def admitted(name: str) -> bool:
            array = found[name] = frontend.to_array(natives[name])
            old = before[name]
            if array.ndim != old.ndim or array.dtype != old.dtype or array.size > LARGEST:
                return False
            if not self.nonfinite and array.dtype.kind in "fcV" and not _finite(array):
                return False
            return self._holds(name, natives[name], array)

        for value in graph.inputs:
            natives[value.name] = frontend.to_native(feeds[value.name], value.layout)
            if not admitted(value.name):
                return None
        for constant in graph.constants:
            natives[constant.name] = frontend.to_native(constant.data)
            found[constant.name] = constant.data
        for node in graph.nodes:
            fragile = node.target in registry and registry[node.target].family in FRAGILE
            if fragile and not all(_as_large(found[name], before[name]) for name in node.references()):
                return None
            if self.announce:
                self.announce(node.target)
            outputs = frontend.outputs(node, natives, running)
            if len(outputs) != len(node.outputs):
                return None
            natives.update(zip((output.name for output in node.outputs), outputs, strict=True))
            # What bodies compute is not known before they have run as a whole.
            inside = [name for name in running.inner or {} if name not in found]
            natives.update((name, (running.inner or {})[name]) for name in inside)
            if not all([admitted(name) for name in (*inside, *(output.name for output in node.outputs))]):
                return None
        return found

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
        elements = self.elements[value.name]
        if isinstance(elements, str):
            return draw_array(self.choices.generator(), shape, value.type.dtype, elements)
        try:
            feed = np.asarray(elements(self.choices.generator(), shape, value.type.dtype))
        except (ValueError, IndexError):  # elements that only make sense in the first shape
            return None
        return feed if type_of(feed) == TensorType(value.type.dtype, shape) else None

    def _holds(self, name: str, native: Any, array: Array) -> bool:
        """Whether what samplers asked of the value holds of these elements."""
        asked = [condition for of, condition in self.conditions if of == name]
        if not asked:
            return True
        handle = Handle(name, native, array, type_of(array))
        try:
            return all(condition(handle) for condition in asked)
        except (ValueError, IndexError):  # asked of an element that there is not
            return False


def _with_marking(case: Case, groups: Sequence[Sequence[Dim]]) -> Case:
    symbols = {dim: f"s{number}" for number, group in enumerate(groups) for dim in group}
    inputs = []
    for value in case.graph.inputs:
        marking = tuple(symbols.get((value.name, axis)) for axis in range(value.type.rank))
        inputs.append(replace(value, dynamic=marking if any(marking) else ()))
    return replace(case, graph=replace(case.graph, inputs=tuple(inputs)))


def _as_large(array: Array, first: Array) -> bool:
    return array.size > 0 and array.shape[1:] == tuple(map(max, array.shape[1:], first.shape[1:]))


def _finite(array: Array) -> bool:
    wide = array.astype(np.float32) if array.dtype.kind == "V" else array
    return bool(np.isfinite(wide).all())
