"""Control flow is taken out, or left with as little in it as shows the failure.

A body alone, fed with what it was given when it ran first, tells whether the failure is about control flow at all; the
body in place of its operator, whether it is about what is around it. Then nodes of bodies are cut out, results and
operands dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from generators.graph import Array, Case, Graph, Ref, all_types, map_node
from generators.transforms import drop_dead
from oracles.minimize import reduce_results
from oracles.minimize.bodies import Place, alone, edited, inlined, places
from oracles.minimize.edits import applied
from oracles.minimize.isolate import simplest
from oracles.minimize.question import Question
from oracles.minimize.simplicity import simplicity


def reduce_bodies(case: Case, ask: Question) -> Case:
    """A case of which no body can do without a node, and no operator without a body's result."""
    while True:
        before = simplicity(case)
        for propose in (_without_control, _results, _halves, _nodes):
            case = _descend(case, propose, ask)
        if simplicity(case) >= before:
            return case


def reduced(case: Case, values: Mapping[str, Array]) -> list[Case]:
    """All that one step of this pass would try, the simplest first."""
    proposals = (_without_control, _results, _halves, _nodes)
    found = [each for propose in proposals for each in propose(case, values)]
    return sorted((each for each in found if simplicity(each) < simplicity(case)), key=simplicity)


def _descend(case: Case, propose: Callable[[Case, Mapping[str, Array]], Iterator[Case]], ask: Question) -> Case:
    while True:
        if next(places(case.graph), None) is None:
            return case
        simpler = [each for each in propose(case, ask.values(case)) if simplicity(each) < simplicity(case)]
        found = simplest(case, sorted(simpler, key=simplicity), ask)
        if simplicity(found) >= simplicity(case):
            return case
        case = found


def _without_control(case: Case, values: Mapping[str, Array]) -> Iterator[Case]:
    for place, body in places(case.graph):
        if (part := alone(case, body, values)) is not None:
            yield part
        if len(place) == 1 and (whole := inlined(case, place[0][0], body, values)) is not None:
            yield whole


def _nodes(case: Case, values: Mapping[str, Array]) -> Iterator[Case]:
    """Each node of a body cut out: replaced by an equal type's value of the body, or by what it computed first, which
    becomes an input of the graph."""
    for place, body in places(case.graph):
        types, known = {value.name: value.type for value in body.inputs}, all_types(case.graph)
        for index, node in enumerate(body.nodes):
            for name in node.references():
                if name in known:
                    types.setdefault(name, known[name])
            yield from _cut(case, place, [index], values)
            if len(node.outputs) == 1:
                [result] = node.outputs
                for name, kind in types.items():
                    if kind == result.type:
                        changed = edited(case, place, _bypass(result.name, name), values)
                        if changed is not None:
                            yield changed
            types.update((value.name, value.type) for value in node.outputs)


def _halves(case: Case, values: Mapping[str, Array]) -> Iterator[Case]:
    """The first or last half of the nodes of a body cut out, then all but the last."""
    for place, body in places(case.graph):
        count = len(body.nodes)
        if count > 1:
            for chosen in (range(count // 2), range(count // 2, count), range(count - 1)):
                yield from _cut(case, place, list(chosen), values)


def _cut(case: Case, place: Place, indices: list[int], values: Mapping[str, Array]) -> Iterator[Case]:
    def change(body: Graph) -> Graph:
        return drop_dead(
            replace(body, nodes=tuple(node for index, node in enumerate(body.nodes) if index not in indices)),
            keep_inputs=True,
        )

    changed = edited(case, place, change, values)
    if changed is not None:
        yield changed


def _bypass(result: str, other: str) -> Callable[[Graph], Graph]:
    def change(body: Graph) -> Graph:
        nodes = [node for node in body.nodes if all(value.name != result for value in node.outputs)]
        nodes = [map_node(node, lambda name: Ref(other if name == result else name)) for node in nodes]
        outputs = tuple(other if name == result else name for name in body.outputs)
        return drop_dead(replace(body, nodes=tuple(nodes), outputs=outputs), keep_inputs=True)

    return change


def _results(case: Case, values: Mapping[str, Array]) -> Iterator[Case]:
    for edit in reduce_results.propose(case):
        if (changed := applied(edit, case)) is not None:
            yield changed
