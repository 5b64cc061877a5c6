"""Running a finished graph again with other feeds, as far as it takes them.

A graph takes feeds when eager mode computes it, every value keeps its element type and rank, nothing turns non-finite
that should not, and every condition that samplers put on values when the graph was grown
(:meth:`generators.draw.Draw.require`) holds there, too: what they rely on is that results are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from generators.frontends.base import EvaluationError, Frontend
from generators.frontends.bodies import Running
from generators.graph import Array, Graph, GraphError, Input, TensorType, type_of
from generators.handles import Condition, Elements, Handle
from generators.values import draw_array

#: Elements that a value may have with other feeds.
LARGEST = 16384
#: Families whose kernels take the process down where a window is larger than what it moves over, or empty: what is put
#: into them has elements, and extents are no smaller than at first but for the batch.
FRAGILE = frozenset({"convolution", "pooling", "signal"})


@dataclass(frozen=True)
class Rerun:
    """Runs a graph again. ``elements`` says what inputs were drawn by, ``conditions`` what must hold of values by name,
    ``nonfinite`` whether results may be NaN or infinite; ``announce`` is called with each target before it is executed.
    """

    frontend: Frontend
    elements: Mapping[str, Elements]
    conditions: Sequence[tuple[str, Condition]]
    nonfinite: bool
    announce: Callable[[str], None] | None = None

    def drawn(
        self, rng: np.random.Generator, value: Input, shape: tuple[int, ...], profile: str | None = None
    ) -> Array | None:
        """Elements of that shape for an input, drawn as those that it has, or by ``profile`` where a sampler did not
        draw these in its own way; None when they cannot be."""
        dtype = value.type.dtype
        elements = self.elements[value.name]
        if isinstance(elements, str):
            return draw_array(rng, shape, dtype, profile or elements)
        try:
            feed = np.asarray(elements(rng, shape, dtype))
        except (ValueError, IndexError):  # elements that only make sense in the first shape
            return None
        return feed if type_of(feed) == TensorType(dtype, shape) else None

    def values(
        self, graph: Graph, feeds: Mapping[str, Array], before: Mapping[str, Array], *, same_types: bool = False
    ) -> dict[str, Array] | None:
        """All values of the graph by name with these feeds, None when it does not take them. ``before`` are those with
        its own feeds; with ``same_types`` each value must have the shape, too, that it has among them."""
        inputs = tuple(Input(value.name, type_of(feeds[value.name]), value.layout) for value in graph.inputs)
        graph = replace(graph, inputs=inputs)
        try:
            found = self._run(graph, feeds, before, same_types)
            if found is not None:
                self.frontend.check_values(graph, found)
        except (EvaluationError, GraphError, ValueError):
            return None
        return found

    def _run(
        self, graph: Graph, feeds: Mapping[str, Array], before: Mapping[str, Array], same_types: bool
    ) -> dict[str, Array] | None:
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
            if same_types and array.shape != old.shape:
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


def _as_large(array: Array, first: Array) -> bool:
    return array.size > 0 and array.shape[1:] == tuple(map(max, array.shape[1:], first.shape[1:]))


def _finite(array: Array) -> bool:
    wide = array.astype(np.float32) if array.dtype.kind == "V" else array
    return bool(np.isfinite(wide).all())
