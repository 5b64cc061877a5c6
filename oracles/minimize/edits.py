"""A change that may make a case simpler, as data: proposed by one pass, applied to cases that passes changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from generators.graph import Argument, Array, Case, Constant, Graph, Input, Node, type_of
from generators.transforms import map_arguments
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
    """The data of inputs and constants by name, inputs first."""
    found = {value.name: case.feeds[value.name] for value in case.graph.inputs}
    found.update((constant.name, constant.data) for constant in case.graph.constants)
    return found


def with_tensors(case: Case, changed: Mapping[str, Array]) -> Case:
    """The case with the data of some inputs and constants replaced, their types and layouts with it.

    A layout that no longer fits the rank becomes dense.
    """
    graph = case.graph
    inputs = []
    for value in graph.inputs:
        if value.name in changed:
            kind = type_of(changed[value.name])
            inputs.append(Input(value.name, kind, value.layout if kind.rank == len(value.layout) else ()))
        else:
            inputs.append(value)
    constants = tuple(
        Constant(item.name, np.ascontiguousarray(changed[item.name]).reshape(changed[item.name].shape), item.trainable)
        if item.name in changed
        else item
        for item in graph.constants
    )
    feeds = {value.name: changed.get(value.name, case.feeds[value.name]) for value in inputs}
    return replace(case, graph=replace(graph, inputs=tuple(inputs), constants=constants), feeds=feeds)


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
    )
    return Case(
        graph,
        {value.name: case.feeds[value.name] for value in graph.inputs},
        {name: profile for name, profile in case.profiles.items() if name in used},
    )


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
