"""Constants become inputs, and parameters buffers: an input is simpler unless the failure needs the constant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from generators.graph import Case, Constant, Graph, Input, all_constants
from generators.transforms import map_bodies, with_graph
from oracles.minimize.edits import Edit

NAME = "roles"


def propose(case: Case) -> Iterator[Edit]:
    """All constants as inputs (bold), all as buffers, then each."""
    constants = case.graph.constants
    yield Edit(NAME, "all inputs", _to_inputs(frozenset(constant.name for constant in constants)), bold=True)
    if list(all_constants(case.graph)) != [*constants]:
        yield Edit(NAME, "constants of bodies outside", _outside, bold=True)
    yield Edit(NAME, "all buffers", _to_buffers(frozenset(constant.name for constant in constants)))
    for constant in constants if len(constants) > 1 else ():
        yield Edit(NAME, f"{constant.name} an input", _to_inputs(frozenset({constant.name})))
        yield Edit(NAME, f"{constant.name} a buffer", _to_buffers(frozenset({constant.name})))


def _outside(case: Case) -> Case | None:
    """Constants of bodies as inputs of the graph, which bodies capture."""
    graph, held = case.graph, {constant.name for constant in case.graph.constants}
    moved = [constant for constant in all_constants(graph) if constant.name not in held]
    if not moved:
        return None

    def bare(body: Graph) -> Graph:
        return replace(body, constants=(), nodes=tuple(map_bodies(node, bare) for node in body.nodes))

    new = replace(
        graph,
        inputs=(*graph.inputs, *(Input(constant.name, constant.type) for constant in moved)),
        nodes=tuple(map_bodies(node, bare) for node in graph.nodes),
    )
    feeds = {**case.feeds, **{constant.name: constant.data for constant in moved}}
    return with_graph(replace(case, feeds=feeds), new)


def _to_inputs(names: frozenset[str]) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        graph = case.graph
        chosen = [constant for constant in graph.constants if constant.name in names]
        if not chosen:
            return None
        new = replace(
            graph,
            inputs=(*graph.inputs, *(Input(constant.name, constant.type) for constant in chosen)),
            constants=tuple(constant for constant in graph.constants if constant.name not in names),
        )
        data = {constant.name: constant.data for constant in chosen}
        further = tuple({**feeds, **data} for feeds in case.further)
        return with_graph(replace(case, feeds={**case.feeds, **data}, further=further), new)

    return apply


def _to_buffers(names: frozenset[str]) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        constants = tuple(
            Constant(constant.name, constant.data) if constant.name in names else constant
            for constant in case.graph.constants
        )
        return (
            None if constants == case.graph.constants else replace(case, graph=replace(case.graph, constants=constants))
        )

    return apply
