"""Names and identities of graphs: renaming, the canonical form, digests.

Digests are the same in every process and release that reads the same file format: they hash the canonical JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from generators.graph import (
    Argument,
    Array,
    Case,
    Constant,
    Graph,
    GraphError,
    Input,
    Node,
    Ref,
    Slice,
    Value,
    digest_of,
    map_node,
    type_of,
)
from generators.graph_json import graph_to_json

T = TypeVar("T")


def all_names(graph: Graph) -> Iterator[str]:
    """Every name that the graph or one of its bodies defines, in order."""
    yield from (value.name for value in graph.inputs)
    yield from (constant.name for constant in graph.constants)
    for node in graph.nodes:
        for body in node.bodies():
            yield from all_names(body)
        yield from (value.name for value in node.outputs)


def rename(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph with values renamed, in bodies too; names that the mapping lacks stay.

    GraphError when two values would share a name.
    """
    renamed = [names.get(name, name) for name in all_names(graph)]
    if len(set(renamed)) != len(set(all_names(graph))):
        raise GraphError("renaming would give two values the same name")
    return _rename(graph, names)


def rename_case(case: Case, names: Mapping[str, str]) -> Case:
    """The case with values renamed as by :func:`rename`; feeds and profiles follow."""
    return Case(
        rename(case.graph, names),
        _renamed(case.feeds, names),
        _renamed(case.profiles, names),
        tuple(_renamed(feeds, names) for feeds in case.further),
    )


def rename_apart(case: Case, prefix: str) -> tuple[Case, dict[str, str]]:
    """The case with the prefix in front of every name, symbols of dimensions too, and the mapping from old names to new
    ones."""
    names = {name: prefix + name for name in all_names(case.graph)}
    graph = _rename(case.graph, names)
    if any(value.dynamic for value in graph.inputs):
        graph = rename_symbols(graph, lambda symbol: prefix + symbol)
    graph = rename_groups(graph, lambda group: prefix + group)
    further = tuple([_renamed(feeds, names) for feeds in case.further])
    return Case(graph, _renamed(case.feeds, names), _renamed(case.profiles, names), further), names


def rename_symbols(graph: Graph, change: Callable[[str], str]) -> Graph:
    """The graph with the symbols of dynamic dimensions changed."""

    def changed(value: Input) -> Input:
        return replace(value, dynamic=tuple([symbol and change(symbol) for symbol in value.dynamic]))

    return replace(graph, inputs=tuple([changed(value) for value in graph.inputs]))


def rename_groups(graph: Graph, change: Callable[[str], str]) -> Graph:
    """The graph with the names of arguments and of results that hold several tensors changed."""
    if not graph.places and not any(value.path for value in graph.inputs):
        return graph

    def changed(value: Input) -> Input:
        return replace(value, path=(change(str(value.path[0])), *value.path[1:])) if value.path else value

    places = tuple([(name, (change(str(path[0])), *path[1:])) for name, path in graph.places])
    return replace(graph, inputs=tuple([changed(value) for value in graph.inputs]), places=places)


def _renamed(entries: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    return {names.get(name, name): entry for name, entry in entries.items()}


def _rename(graph: Graph, names: Mapping[str, str]) -> Graph:
    def new(name: str) -> str:
        return names.get(name, name)

    def argument(item: Argument) -> Argument:
        if isinstance(item, Ref):
            return Ref(new(item.name))
        if isinstance(item, Graph):
            return _rename(item, names)
        return item

    nodes = []
    for node in graph.nodes:
        renamed = map_arguments(node, argument)
        outputs = tuple([Value(new(value.name), value.type) for value in node.outputs])
        nodes.append(Node(node.target, renamed.args, renamed.kwargs, outputs, node.unpack))
    return Graph(
        graph.frontend,
        tuple([Input(new(value.name), value.type, value.layout, value.dynamic, value.path) for value in graph.inputs]),
        tuple([Constant(new(constant.name), constant.data, constant.trainable) for constant in graph.constants]),
        tuple(nodes),
        tuple([new(name) for name in graph.outputs]),
        tuple([(new(name), path) for name, path in graph.places]),
    )


def canonical(case: Case) -> Case:
    """The case in a form that does not depend on its names nor on the order of independent nodes.

    Nodes are in the order in which the outputs, from first to last, need them (a node after its arguments, from
    first to last), dead ones after those in their old order. Inputs, constants and values of nodes are renamed
    ``x0..``, ``c0..``, ``v0..`` in order of first use; unused inputs and constants come last. Symbols of dynamic
    dimensions are ``s0..`` in order of the inputs. Where arguments hold several tensors, inputs stay in their order,
    which is that of the keys of dictionaries, and those arguments are ``a0..``; keys are what they are. Idempotent.
    """
    graph = _sorted(case.graph)
    names: dict[str, str] = {}
    _number(graph, names, {"x": 0, "c": 0, "v": 0})
    renamed = _rename(graph, names)
    if symbols := dict.fromkeys(symbol for value in renamed.inputs for symbol in value.dynamic if symbol):
        numbered = {symbol: f"s{number}" for number, symbol in enumerate(symbols)}
        renamed = rename_symbols(renamed, numbered.__getitem__)
    if renamed.places:
        held = dict(renamed.places)
        order = dict.fromkeys(name for name in renamed.outputs if name in held)
        renamed = replace(renamed, places=tuple([(name, held[name]) for name in order]))
    groups = dict.fromkeys(str(value.path[0]) for value in renamed.inputs if value.path)
    groups.update(dict.fromkeys(str(path[0]) for _, path in renamed.places))
    renamed = rename_groups(renamed, {group: f"a{number}" for number, group in enumerate(groups)}.__getitem__)
    inputs = {value.name for value in renamed.inputs}
    described = inputs | {constant.name for constant in renamed.constants}
    profiles = _renamed(case.profiles, names)

    def ordered(old: Mapping[str, Array]) -> dict[str, Array]:
        feeds = _renamed(old, names)
        return {value.name: feeds[value.name] for value in renamed.inputs if value.name in feeds}

    return Case(
        renamed,
        ordered(case.feeds),
        {name: profile for name, profile in profiles.items() if name in described},
        tuple([ordered(feeds) for feeds in case.further]),
    )


def canonical_graph(graph: Graph) -> Graph:
    """The graph of :func:`canonical`."""
    return canonical(Case(graph, {})).graph


def structural_digest(graph: Graph) -> str:
    """Content address of targets, arguments, types and wiring: of the canonical graph without its constants' data."""
    graph = canonical_graph(graph)
    tree, tensors = graph_to_json(graph)
    return _digest(tree, [str(type_of(array)) for array in tensors])


def case_digest(case: Case) -> str:
    """Content address of all that execution depends on: of the canonical graph, its constants and all its feeds.

    KeyError when an input has no feed.
    """
    case = canonical(case)
    tree, tensors = graph_to_json(case.graph)
    arrays = [*tensors, *(feeds[value.name] for feeds in (case.feeds, *case.further) for value in case.graph.inputs)]
    return _digest(tree, [f"{type_of(array)} {digest_of(array.tobytes())}" for array in arrays])


def _digest(tree: object, data: list[str]) -> str:
    return digest_of(json.dumps([tree, data], sort_keys=True).encode())


def _sorted(graph: Graph) -> Graph:
    """Nodes, inputs and constants in canonical order, in bodies too (body inputs keep their order)."""
    producers = graph.producers()
    order: list[int] = []
    state: dict[int, bool] = {}  # False while a node's arguments are being placed, True once it is placed
    roots = [producers[name] for name in graph.outputs if name in producers] + list(range(len(graph.nodes)))
    for root in roots:
        stack = [root]
        while stack:
            index = stack[-1]
            if index in state:
                stack.pop()
                if not state[index]:
                    state[index] = True
                    order.append(index)
                continue
            state[index] = False
            before = [producers[name] for name in graph.nodes[index].references() if name in producers]
            stack.extend(producer for producer in reversed(before) if producer not in state)
    nodes = tuple(map_bodies(graph.nodes[index], _sort_body) for index in order)
    rank: dict[str, int] = {}
    for node in nodes:
        for name in node.references():
            rank.setdefault(name, len(rank))
    for name in graph.outputs:
        rank.setdefault(name, len(rank))
    last = len(rank)
    inputs = graph.inputs
    if not any(value.path for value in inputs):
        inputs = tuple(sorted(inputs, key=lambda value: rank.get(value.name, last)))
    return replace(
        graph,
        inputs=inputs,
        constants=tuple(sorted(graph.constants, key=lambda constant: rank.get(constant.name, last))),
        nodes=nodes,
    )


def _sort_body(body: Graph) -> Graph:
    return replace(_sorted(body), inputs=body.inputs)


def _number(graph: Graph, names: dict[str, str], counts: dict[str, int]) -> None:
    def define(name: str, prefix: str) -> None:
        names[name] = f"{prefix}{counts[prefix]}"
        counts[prefix] += 1

    for value in graph.inputs:
        define(value.name, "x")
    for constant in graph.constants:
        define(constant.name, "c")
    for node in graph.nodes:
        for body in node.bodies():
            _number(body, names, counts)
        for output in node.outputs:
            define(output.name, "v")


def map_arguments(node: Node, change: Callable[[Argument], Argument]) -> Node:
    """The node with ``change`` applied to every argument that is no tuple nor slice, at any depth of those."""

    def visit(item: Argument) -> Argument:
        if isinstance(item, tuple):
            return tuple([visit(part) for part in item])
        if isinstance(item, Slice):
            return Slice(visit(item.start), visit(item.stop), visit(item.step))
        return change(item)

    return Node(
        node.target,
        tuple([visit(item) for item in node.args]),
        tuple([(key, visit(item)) for key, item in node.kwargs]),
        node.outputs,
        node.unpack,
    )


def replace_references(graph: Graph, change: Mapping[str, Argument]) -> Graph:
    """The graph in which nodes use other arguments in place of the named values; definitions and outputs stay."""
    return replace(
        graph,
        nodes=tuple(map_node(node, lambda name: change.get(name, Ref(name))) for node in graph.nodes),
    )


def map_bodies(node: Node, change: Callable[[Graph], Graph]) -> Node:
    return map_arguments(node, lambda item: change(item) if isinstance(item, Graph) else item)
