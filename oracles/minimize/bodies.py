"""Bodies in a case: where they are, changing one, taking one out of its operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from generators.graph import Array, Case, Constant, Graph, Input, Ref, captured, map_node, type_of
from generators.transforms import map_bodies, trim
from oracles.minimize.edits import with_nodes

#: Where a body is: index of a node and number of one of its bodies, and so on inside of that.
Place: TypeAlias = "tuple[tuple[int, int], ...]"


def places(graph: Graph) -> Iterator[tuple[Place, Graph]]:
    """Every body with its place, outer ones before those inside."""
    for index, node in enumerate(graph.nodes):
        for number, body in enumerate(node.bodies()):
            yield ((index, number),), body
            for inner, found in places(body):
                yield ((index, number), *inner), found


def with_body(graph: Graph, place: Place, change: Callable[[Graph], Graph]) -> Graph | None:
    """The graph with the body at a place changed; None when there is none."""
    if not place:
        return change(graph)
    (index, number), rest = place[0], place[1:]
    if index >= len(graph.nodes):
        return None
    bodies = list(graph.nodes[index].bodies())
    if number >= len(bodies):
        return None
    changed = with_body(bodies[number], rest, change)
    if changed is None:
        return None
    count = iter(range(len(bodies)))
    node = map_bodies(graph.nodes[index], lambda body: changed if next(count) == number else body)
    return replace(graph, nodes=(*graph.nodes[:index], node, *graph.nodes[index + 1 :]))


def edited(case: Case, place: Place, change: Callable[[Graph], Graph], given: Mapping[str, Array]) -> Case | None:
    """The case with a body changed; of ``given`` it may use any array as an input of the graph."""
    graph = with_body(case.graph, place, change)
    if graph is None:
        return None
    known = graph.types().keys()
    names = dict.fromkeys(name for node in graph.nodes for name in node.references())
    new = [name for name in names if name not in known and name in given]
    inputs = (*graph.inputs, *(Input(name, type_of(given[name])) for name in new))
    feeds = {**case.feeds, **{name: given[name] for name in new}}
    changed = Case(replace(graph, inputs=inputs), feeds, case.profiles)
    return with_nodes(changed, graph.nodes)


def alone(case: Case, body: Graph, values: Mapping[str, Array]) -> Case | None:
    """A body as a graph of its own, fed with what it was given when it ran first. Constants stay what they are. None
    when a value was not recorded, or nothing is made in it."""
    held = {constant.name: constant for constant in case.graph.constants}
    layouts = {value.name: value.layout for value in case.graph.inputs}
    needed = dict.fromkeys((*(value.name for value in body.inputs), *captured(body)))
    made = set(body.producers())
    outputs = tuple(name for name in dict.fromkeys(body.outputs) if name in made)
    constants: list[Constant] = [*body.constants, *(held[name] for name in needed if name in held)]
    inputs = [name for name in needed if name not in held]
    feeds = {name: case.feeds.get(name, values.get(name)) for name in inputs}
    if not outputs or any(array is None for array in feeds.values()):
        return None
    given = {name: array for name, array in feeds.items() if array is not None}
    graph = Graph(
        body.frontend,
        tuple(Input(name, type_of(array), layouts.get(name, ())) for name, array in given.items()),
        tuple(constants),
        body.nodes,
        outputs,
    )
    return trim(Case(graph, given, case.profiles))


def inlined(case: Case, index: int, body: Graph, values: Mapping[str, Array]) -> Case | None:
    """The case with a node replaced by one of its bodies, as it ran first. What is stacked from the body's results is
    one of them then, whatever its users make of that. None where the body does not return what the node does."""
    node = case.graph.nodes[index]
    outputs = body.outputs[len(body.outputs) - len(node.outputs) :]
    if len(outputs) != len(node.outputs):
        return None
    names = {value.name: output for value, output in zip(node.outputs, outputs, strict=True)}
    if any(value.name not in values for value in body.inputs):
        return None
    graph = case.graph
    after = [map_node(other, lambda name: Ref(names.get(name, name))) for other in graph.nodes[index + 1 :]]
    returned = tuple(names.get(name, name) for name in graph.outputs)
    made = {value.name for other in (*graph.nodes[:index], *body.nodes, *after) for value in other.outputs}
    returned = tuple(name for name in returned if name in made) or tuple(name for name in outputs if name in made)
    if not returned:
        return None
    graph = replace(
        graph,
        inputs=(*graph.inputs, *(Input(value.name, type_of(values[value.name])) for value in body.inputs)),
        constants=(*graph.constants, *body.constants),
        nodes=(*graph.nodes[:index], *body.nodes, *after),
        outputs=returned,
    )
    feeds = {**case.feeds, **{value.name: values[value.name] for value in body.inputs}}
    return trim(Case(graph, feeds, case.profiles))
