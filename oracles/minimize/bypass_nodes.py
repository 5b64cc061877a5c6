"""A node is bypassed: what used its result uses one of its arguments instead, so that a path stays connected."""

from __future__ import annotations

from collections.abc import Iterator

from generators.graph import Case, Ref, node_count
from generators.transforms import replace_references
from oracles.minimize.isolate import simplest
from oracles.minimize.question import Question
from oracles.minimize.returned import trimmed


def bypass_nodes(case: Case, ask: Question) -> Case:
    """A case in which no node can be bypassed."""
    while True:
        shorter = simplest(case, list(bypassed(case)), ask)
        if node_count(shorter.graph) >= node_count(case.graph):
            return case
        case = shorter


def bypassed(case: Case) -> Iterator[Case]:
    """For each node and each of its tensor arguments, the case without the node, arguments of the same type first.

    Where types differ, whether the users take the argument is for eager execution to say.
    """
    types = case.graph.types()
    different = []
    for node in case.graph.nodes:
        arguments = list(dict.fromkeys(name for name in node.references() if name in types))
        if len(node.outputs) != 1 or node.outputs[0].name in case.graph.outputs:
            continue
        result = node.outputs[0]
        for name in arguments:
            shorter = _without(case, result.name, name)
            if types[name] == result.type:
                yield shorter
            elif types[name].dtype == result.type.dtype:
                different.append(shorter)
    yield from different


def _without(case: Case, result: str, argument: str) -> Case:
    graph = replace_references(case.graph, {result: Ref(argument)})
    return trimmed(case, graph)
