"""Results of control flow that nothing uses are dropped; operands are captured by bodies instead of given to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from generators.control.calls import operands, without_operand, without_result
from generators.graph import Case, Node
from generators.transforms import trim
from oracles.minimize.edits import Edit

NAME = "results"


def propose(case: Case) -> Iterator[Edit]:
    """Each result, and each operand; an operand that is carried on only together with its result."""
    used = {name for node in case.graph.nodes for name in node.references()} | set(case.graph.outputs)
    for index, node in enumerate(case.graph.nodes):
        if next(node.bodies(), None) is None:
            continue
        idle = [at for at, value in enumerate(node.outputs) if value.name not in used]
        for at in idle:
            yield Edit(NAME, f"node {index}: without result {at}", _change(index, node, without_result, at))
        given = operands(node)
        for at in range(len(given.names)) if given else ():
            if given and (not given.carried or at in idle):
                yield Edit(NAME, f"node {index}: operand {at} captured", _change(index, node, without_operand, at))


def _change(
    index: int, old: Node, change: Callable[[Node, int], Node | None], at: int
) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        nodes = case.graph.nodes
        if index >= len(nodes) or [value.name for value in nodes[index].outputs] != [v.name for v in old.outputs]:
            return None
        changed = change(nodes[index], at)
        if changed is None:
            return None
        graph = replace(case.graph, nodes=(*nodes[:index], changed, *nodes[index + 1 :]))
        return trim(replace(case, graph=graph))

    return apply
