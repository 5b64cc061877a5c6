"""Functions from graphs to graphs: dead code, sub-graphs, unions, cuts, names, types.

Nodes are pure: a graph is in SSA form, so a node may be dropped when nothing uses it and moved wherever its
arguments are defined. Every function leaves its arguments unchanged and handles bodies (nested graphs that capture
values of the graphs around them). "Recorded values" are what ``Frontend.run`` returns: name to array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from generators.graph import (
    Array,
    Case,
    Constant,
    Graph,
    GraphError,
    Input,
    Node,
    Value,
    type_of,
)
from generators.grouping import WHOLE
from generators.naming import (
    all_names,
    canonical,
    canonical_graph,
    case_digest,
    map_arguments,
    map_bodies,
    rename,
    rename_apart,
    rename_case,
    replace_references,
    structural_digest,
)
from generators.retyping import in_double, retype, retype_node, valid_layout, widen
from generators.sizes import Recorded, is_dynamic, remarked, static

__all__ = [
    "Union",
    "all_names",
    "canonical",
    "canonical_graph",
    "case_digest",
    "drop_dead",
    "extract",
    "in_double",
    "isolate",
    "isolate_pairs",
    "map_arguments",
    "map_bodies",
    "neighbourhoods",
    "rename",
    "rename_case",
    "replace_by_constant",
    "replace_by_input",
    "replace_references",
    "retype",
    "structural_digest",
    "trim",
    "union",
    "widen",
    "with_graph",
    "with_outputs",
]

T = TypeVar("T")


# -- dead code -----------------------------------------------------------------------------------------------------


def drop_dead(graph: Graph, *, keep_inputs: bool = False) -> Graph:
    """The graph without nodes, constants and (unless ``keep_inputs``) inputs that no output depends on.

    A node stays when any of its outputs is needed. Bodies keep their inputs, which their operator's calling
    convention fixes.
    """
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.isdisjoint(value.name for value in node.outputs):
            continue
        node = map_bodies(node, lambda body: drop_dead(body, keep_inputs=True))
        needed.update(node.references())
        kept.append(node)
    return replace(
        graph,
        inputs=tuple(value for value in graph.inputs if keep_inputs or value.name in needed),
        constants=tuple(constant for constant in graph.constants if constant.name in needed),
        nodes=tuple(reversed(kept)),
    )


def trim(case: Case) -> Case:
    """The case without dead nodes, constants and inputs, and without feeds and profiles of what is gone."""
    return with_graph(case, drop_dead(case.graph))


def with_graph(case: Case, graph: Graph) -> Case:
    """The case with another graph over the same values; feeds and profiles of values that it lacks are dropped."""
    inputs = {value.name for value in graph.inputs}
    described = inputs | {constant.name for constant in graph.constants}
    changed = Case(
        graph,
        {name: array for name, array in case.feeds.items() if name in inputs},
        {name: profile for name, profile in case.profiles.items() if name in described},
        tuple([{name: array for name, array in feeds.items() if name in inputs} for feeds in case.further]),
    )
    # Where an input has gone, sizes may have become the same.
    return remarked(changed) if case.further and len(graph.inputs) < len(case.graph.inputs) else changed


def with_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """The graph with other outputs; nothing is dropped. GraphError for a name that the graph does not define."""
    known = graph.types()
    for name in names:
        if name not in known:
            raise GraphError(f"no value {name!r} to make an output of")
    return replace(graph, outputs=tuple(names))


# -- sub-graphs ----------------------------------------------------------------------------------------------------


def extract(case: Case, node_indices: Sequence[int], values: Mapping[str, Array]) -> Case:
    """The sub-graph of the nodes at these indices, in their order in the graph.

    Values from outside become inputs fed with their recorded arrays; inputs and constants of the graph stay what
    they are. Dimensions of those inputs that vary with the case's sizes are dynamic, given what was recorded at these
    (:class:`generators.sizes.Recorded`); without, and where ranks vary, the part has the first size only. Outputs are,
    in order of definition, the values of the chosen nodes that the graph returns, that nodes outside use, or that
    nothing uses. GraphError when an index is out of range or a value was not recorded.
    """
    graph = case.graph
    chosen = sorted(set(node_indices))
    if chosen and not 0 <= chosen[0] <= chosen[-1] < len(graph.nodes):
        raise GraphError(f"node indices {chosen} are not all in a graph of {len(graph.nodes)} nodes")
    inside = set(chosen)
    nodes = tuple(retype_node(graph.nodes[index], values) for index in chosen)
    made = {value.name for node in nodes for value in node.outputs}
    used_inside = {name for node in nodes for name in node.references()}
    wanted = set(graph.outputs) | (made - used_inside)
    for index, node in enumerate(graph.nodes):
        if index not in inside:
            wanted.update(node.references())

    old_inputs = {value.name: value for value in graph.inputs}
    old_constants = {constant.name for constant in graph.constants}
    inputs: dict[str, Input] = {}
    feeds: dict[str, Array] = {}
    for node in nodes:
        for name in node.references():
            if name in made or name in inputs or name in old_constants:
                continue
            array = case.feeds.get(name) if name in old_inputs else values.get(name)
            if array is None:
                raise GraphError(f"{node.target}: uses value {name!r}, of which no array is recorded")
            inputs[name] = old_inputs.get(name, Input(name, type_of(array)))
            feeds[name] = array
    if any(value.path for value in inputs.values()):
        # The order of the keys of dictionaries is that of the inputs.
        inputs = {name: inputs[name] for name in (*(name for name in old_inputs if name in inputs), *inputs)}
    constants = tuple(constant for constant in graph.constants if constant.name in used_inside)
    outputs = tuple(value.name for node in nodes for value in node.outputs if value.name in wanted)
    part = Graph(graph.frontend, tuple(inputs.values()), constants, nodes, outputs, graph.places)
    profiles = with_graph(static(case), part).profiles
    if not case.further and not is_dynamic(graph):
        return Case(part, feeds, profiles)
    recorded = values.further if isinstance(values, Recorded) else ()
    further = tuple(
        {name: given[name] if name in old_inputs else known[name] for name in inputs}
        for given, known in zip(case.further, recorded, strict=False)
    )
    whole = Case(part, feeds, profiles, further)
    if len(further) < len(case.further) or any(
        others[name].ndim != feeds[name].ndim or others[name].dtype != feeds[name].dtype
        for others in further
        for name in feeds
    ):
        return static(whole)
    return remarked(whole)


def isolate(case: Case, values: Mapping[str, Array]) -> list[Case]:
    """For each node, in order, the case of that node alone, fed with the recorded values; constants stay constants."""
    return [extract(case, (index,), values) for index in range(len(case.graph.nodes))]


def isolate_pairs(case: Case, values: Mapping[str, Array]) -> list[tuple[tuple[int, int], Case]]:
    """Each pair of nodes of which the second uses a value of the first, as their indices and the pair's case."""
    producers = case.graph.producers()
    pairs = sorted(
        {
            (producers[name], index)
            for index, node in enumerate(case.graph.nodes)
            for name in node.references()
            if name in producers
        }
    )
    return [(pair, extract(case, pair, values)) for pair in pairs]


def neighbourhoods(case: Case, values: Mapping[str, Array], *, depth: int) -> list[tuple[tuple[int, ...], Case]]:
    """For each node, itself with every node that reaches it over at most ``depth`` values: indices and case.

    Depth 0 is :func:`isolate`. A set of nodes that comes up twice is given once.
    """
    producers = case.graph.producers()
    before = [{producers[name] for name in node.references() if name in producers} for node in case.graph.nodes]
    found: dict[tuple[int, ...], None] = {}
    for index in range(len(case.graph.nodes)):
        cone = {index}
        for _ in range(depth):
            cone |= {producer for member in cone for producer in before[member]}
        found[tuple(sorted(cone))] = None
    return [(indices, extract(case, indices, values)) for indices in found]


# -- unions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Union:
    """The disjoint union of several cases.

    ``slices[i]`` is the range of the union's outputs that are those of case ``i``; ``names[i]`` maps the names of
    case ``i`` to those in the union.
    """

    case: Case
    slices: tuple[range, ...]
    names: tuple[Mapping[str, str], ...]

    def split(self, outputs: Sequence[T]) -> list[list[T]]:
        """Outputs of the union as one list for each case. ValueError when there are too few or too many."""
        if len(outputs) != len(self.case.graph.outputs):
            raise ValueError(f"{len(outputs)} outputs for a union of {len(self.case.graph.outputs)}")
        return [[outputs[index] for index in part] for part in self.slices]

    def values(self, index: int, values: Mapping[str, T]) -> dict[str, T]:
        """What the union's values hold for case ``index``, under that case's own names."""
        return {old: values[new] for old, new in self.names[index].items() if new in values}


def union(cases: Sequence[Case]) -> Union:
    """All cases side by side in one graph; the values and symbols of case ``i`` are prefixed ``g<i>_``. A case with
    fewer sizes than others is at the first one in what it lacks. Results are by themselves in a union of several of a
    frontend of :data:`generators.grouping.WHOLE`.

    GraphError when there is no case or they are not all of one frontend.
    """
    frontends = sorted({case.graph.frontend for case in cases})
    if len(frontends) != 1:
        raise GraphError(f"a union needs cases of one frontend, got {', '.join(frontends) or 'no case'}")
    graphs, slices, names = [], [], []
    feeds: dict[str, Array] = {}
    profiles: dict[str, str] = {}
    further: list[dict[str, Array]] = [{} for _ in range(max(len(case.further) for case in cases))]
    start = 0
    for number, case in enumerate(cases):
        renamed, mapping = rename_apart(case, f"g{number}_")
        graphs.append(renamed.graph)
        feeds.update(renamed.feeds)
        for size, others in enumerate(further):
            others.update(renamed.further[size] if size < len(renamed.further) else renamed.feeds)
        profiles.update(renamed.profiles)
        slices.append(range(start, start + len(renamed.graph.outputs)))
        start += len(renamed.graph.outputs)
        names.append(mapping)
    together = len(cases) == 1 or frontends[0] not in WHOLE
    graph = Graph(
        frontends[0],
        tuple(value for graph in graphs for value in graph.inputs),
        tuple(constant for graph in graphs for constant in graph.constants),
        tuple(node for graph in graphs for node in graph.nodes),
        tuple(name for graph in graphs for name in graph.outputs),
        tuple(place for graph in graphs for place in graph.places) if together else (),
    )
    return Union(Case(graph, feeds, profiles, tuple(further)), tuple(slices), tuple(names))


# -- cuts ----------------------------------------------------------------------------------------------------------


def replace_by_input(case: Case, name: str, array: Array) -> Case:
    """The case in which the value is an input fed with ``array``, and what only served to compute it is gone.

    The value keeps its name, and has no dynamic dimension. When a node made it, outputs of the graph that name it are
    removed, since they would show nothing but the input. GraphError when there is no such value or no output would
    remain.
    """
    position = next((index for index, value in enumerate(case.graph.inputs) if value.name == name), None)
    graph = _undefine(case.graph, name)
    layout = case.graph.inputs[position].layout if position is not None else ()
    path = case.graph.inputs[position].path if position is not None else ()
    new = Input(name, type_of(array), valid_layout(layout, array.ndim), path=path)
    at = len(graph.inputs) if position is None else position
    graph = replace(graph, inputs=(*graph.inputs[:at], new, *graph.inputs[at:]))
    further = tuple({**feeds, name: array} for feeds in case.further)
    return trim(Case(graph, {**case.feeds, name: array}, case.profiles, further))


def replace_by_constant(case: Case, name: str, array: Array) -> Case:
    """As :func:`replace_by_input`, with the value a constant; one that was a constant stays trainable if it was."""
    old = next((constant for constant in case.graph.constants if constant.name == name), None)
    graph = _undefine(case.graph, name)
    new = Constant(name, array, old.trainable if old else False)
    at = case.graph.constants.index(old) if old else len(graph.constants)
    graph = replace(graph, constants=(*graph.constants[:at], new, *graph.constants[at:]))
    return trim(Case(graph, case.feeds, case.profiles, case.further))


def _undefine(graph: Graph, name: str) -> Graph:
    """The graph in which nothing defines the value any more."""
    if name not in graph.types():
        raise GraphError(f"no value {name!r} to replace")
    index = graph.producers().get(name)
    if index is None:
        return replace(
            graph,
            inputs=tuple(value for value in graph.inputs if value.name != name),
            constants=tuple(constant for constant in graph.constants if constant.name != name),
        )
    outputs = tuple(output for output in graph.outputs if output != name)
    if not outputs:
        raise GraphError(f"value {name!r} is the only output; nothing would remain to be judged")
    taken = set(all_names(graph))
    spare = next(f"{name}_{number}" for number in range(len(taken) + 1) if f"{name}_{number}" not in taken)
    node = graph.nodes[index]
    node = replace(
        node, outputs=tuple(Value(spare, value.type) if value.name == name else value for value in node.outputs)
    )
    return replace(graph, nodes=(*graph.nodes[:index], node, *graph.nodes[index + 1 :]), outputs=outputs)
