"""A change that may make a case simpler, as data: proposed by one pass, applied to cases that passes changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from generators.graph import Argument, Array, Case, Constant, Graph, Input, Node, TensorType, type_of
from generators.sizes import fitted, remarked
from generators.transforms import map_arguments, with_graph
from oracles.minimize.returned import idle_inputs
from oracles.minimize.simplicity import simplicity


@dataclass(frozen=True)
class Edit:
    """``apply`` returns the changed case, or None when there is nothing to change (any more).

    ``bold`` edits change much at once; they are tried in combination with the bold ones of other passes before
    anything else.
    """

    by: str
    what: str
    apply: Callable[[Case], Case | None]
    bold: bool = False


def applied(edit: Edit, case: Case) -> Case | None:
    """The edited case when it is strictly simpler than the given one."""
    changed = edit.apply(case)
    return changed if changed is not None and simplicity(changed) < simplicity(case) else None


def compose(case: Case, edits: Iterable[Edit]) -> Case:
    """The case with all the edits made one after the other, those left out that do not make it simpler."""
    for edit in edits:
        case = applied(edit, case) or case
    return case


def tensors(case: Case) -> dict[str, Array]:
    """The data of inputs and constants by name, inputs first; of inputs at further sizes by their names and the number
    of the size (:func:`further_name`). The case is in canonical form, whose names do not look like that."""
    found = {value.name: case.feeds[value.name] for value in case.graph.inputs}
    found.update((constant.name, constant.data) for constant in case.graph.constants)
    for number, feeds in enumerate(case.further, 1):
        found.update((further_name(value.name, number), feeds[value.name]) for value in case.graph.inputs)
    return found


def further_name(name: str, number: int) -> str:
    """What :func:`tensors` calls an input at the further size of that number, from 1."""
    return f"{name}@{number}"


def siblings(case: Case, name: str) -> list[str]:
    """The names in :func:`tensors` of all sizes of the input or constant that has this one."""
    base = name.partition("@")[0]
    inputs = {value.name for value in case.graph.inputs}
    numbers = range(1, len(case.further) + 1) if base in inputs else ()
    return [base, *(further_name(base, number) for number in numbers)]


def with_tensors(case: Case, changed: Mapping[str, Array]) -> Case:
    """The case with the data of some inputs and constants replaced, their types and layouts with it.

    A layout that no longer fits the rank becomes dense. Dimensions that are left stay dynamic; data at further sizes
    that no longer goes with the first (another element type or rank, another extent of a static dimension) is made
    from the first, or resized.
    """
    graph = case.graph
    inputs = []
    for value in graph.inputs:
        if value.name in changed:
            kind = type_of(changed[value.name])
            layout = value.layout if kind.rank == len(value.layout) else ()
            inputs.append(replace(value, type=kind, layout=layout, dynamic=_marking(value, kind)))
        else:
            inputs.append(value)
    constants = tuple(
        Constant(item.name, np.ascontiguousarray(changed[item.name]).reshape(changed[item.name].shape), item.trainable)
        if item.name in changed
        else item
        for item in graph.constants
    )
    feeds = {value.name: changed.get(value.name, case.feeds[value.name]) for value in inputs}
    result = replace(case, graph=replace(graph, inputs=tuple(inputs), constants=constants), feeds=feeds)
    if not case.further:
        return result
    further = tuple(
        {
            value.name: _agreeing(
                value, feeds[value.name], changed.get(further_name(value.name, number), old[value.name])
            )
            for value in inputs
        }
        for number, old in enumerate(case.further, 1)
    )
    return remarked(replace(result, further=further))


def _marking(value: Input, kind: TensorType) -> tuple[str | None, ...]:
    """The marking of an input in a new type: where it has lost dimensions, leading or trailing ones, or else the last
    that makes the rest agree."""
    old, rank = value.type, kind.rank
    if not value.dynamic or rank == old.rank:
        return value.dynamic
    lost = old.rank - rank
    marking = value.dynamic[lost:] if lost > 0 else ()
    if lost > 0 and kind.shape != old.shape[lost:]:
        marking = value.dynamic[:rank]
        for axis in range(old.rank) if lost == 1 else ():
            if old.shape[:axis] + old.shape[axis + 1 :] == kind.shape:
                marking = value.dynamic[:axis] + value.dynamic[axis + 1 :]
    return marking if any(marking) else ()


def _agreeing(value: Input, first: Array, further: Array) -> Array:
    """Data at a further size that goes with that at the first."""
    if further.dtype != first.dtype or further.ndim != first.ndim:
        further = first if further.ndim != first.ndim else fitted(first, further.shape)
    marking = value.dynamic or (None,) * first.ndim
    extents = zip(first.shape, further.shape, marking, strict=True)
    return fitted(further, [other if symbol else extent for extent, other, symbol in extents])


def with_nodes(case: Case, nodes: Iterable[Node]) -> Case:
    """The case with its nodes replaced, and inputs and constants removed that nothing uses any more. Inputs that
    nothing used before stay."""
    nodes = tuple(nodes)
    used = {name for node in nodes for name in node.references()} | set(case.graph.outputs) | idle_inputs(case.graph)
    graph = Graph(
        case.graph.frontend,
        tuple(value for value in case.graph.inputs if value.name in used),
        tuple(constant for constant in case.graph.constants if constant.name in used),
        nodes,
        case.graph.outputs,
        case.graph.places,
    )
    return with_graph(case, graph)


def change_node(case: Case, index: int, change: Callable[[Node], Node | None]) -> Case | None:
    """The case with one node changed; None when it has no such node or ``change`` gives None."""
    if index >= len(case.graph.nodes):
        return None
    node = change(case.graph.nodes[index])
    if node is None or node == case.graph.nodes[index]:
        return None
    return with_nodes(case, (*case.graph.nodes[:index], node, *case.graph.nodes[index + 1 :]))


def map_literals(case: Case, change: Callable[[Argument], Argument]) -> Case:
    """The case with every argument of its nodes that is neither tuple nor slice changed, in bodies, too."""

    def visit(value: Argument) -> Argument:
        if isinstance(value, Graph):
            return replace(value, nodes=tuple([map_arguments(node, visit) for node in value.nodes]))
        return change(value)

    return with_nodes(case, (map_arguments(node, visit) for node in case.graph.nodes))
