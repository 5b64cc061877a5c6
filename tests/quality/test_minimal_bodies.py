"""The minimizer against planted defects that show in control flow: as little of it remains as the defect needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from generators.choices import SeededChoices
from generators.graph import Array, Case, Graph, Node, all_nodes
from generators.random_graphs import Weights, begin
from generators.transforms import map_bodies
from oracles.minimize import minimize
from tests.quality.subjects import CRASH, TORCH, WRONG, Defect, PlantedTester

COND, WHILE, SCAN = "torch.cond", "torch._higher_order_ops.while_loop", "torch._higher_order_ops.scan"
PLAIN = ("torch.sin", "torch.add", "torch.mul", "torch.neg", "torch.exp", "torch.sum", "torch.transpose", "torch.cat")


def inside(target: str, operator: str) -> Callable[[Graph], bool]:
    """Whether a graph has the operator in a body of one of that target."""

    def found(graph: Graph) -> bool:
        return any(
            operator in body.operators()
            for node in all_nodes(graph)
            for body in node.bodies()
            if not target or node.target == target
        )

    return found


def grown(control: str, operator: str, holds: Callable[[Case], bool]) -> Case:
    """A case of which that holds, with the operator drawn often, and ``control``."""
    for seed in range(200):
        weights = Weights.of(TORCH, only=[*PLAIN, operator, control])
        growth = begin(TORCH, SeededChoices(seed, 3, 0), weights=weights)
        for _ in range(10):
            growth.attempt()
        if growth.nodes and not growth.control() and len(growth.nodes) > 3:
            for _ in range(6):
                growth.attempt()
            case = growth.finish().case
            if holds(case):
                return case
    raise AssertionError("no such graph was grown")


class Miscompiled(PlantedTester):
    """A subject that takes ``torch.tanh`` for ``torch.sin`` in bodies."""

    def _subject(self, case: Case, expected: dict[str, Array]) -> dict[str, Array]:  # type: ignore[override]
        def wrong(body: Graph) -> Graph:
            nodes = [map_bodies(node, wrong) for node in body.nodes]
            return replace(body, nodes=tuple(_sine(node) for node in nodes))

        graph = replace(case.graph, nodes=tuple(map_bodies(node, wrong) for node in case.graph.nodes))
        return TORCH.run(graph, case.feeds)


def _sine(node: Node) -> Node:
    return replace(node, target="torch.sin") if node.target == "torch.tanh" else node


@pytest.mark.parametrize("control", [COND, WHILE, SCAN])
def test_a_defect_of_an_operator_in_a_body_needs_no_control_flow(control: str) -> None:
    case = grown(control, "torch.tanh", lambda case: inside(control, "torch.tanh")(case.graph))
    tester = PlantedTester(Defect(refused=lambda graph: "torch.tanh" in graph.operators()))
    result = minimize(case, CRASH, tester)
    assert result.complete
    assert result.case.graph.operators() == ("torch.tanh",)
    assert result.conversions <= 60


@pytest.mark.parametrize("control", [COND, WHILE, SCAN])
def test_a_defect_of_an_operator_in_bodies_only(control: str) -> None:
    holds = inside(control, "torch.tanh")
    result = minimize(
        grown(control, "torch.tanh", lambda case: holds(case.graph)), CRASH, PlantedTester(Defect(refused=holds))
    )
    assert result.complete
    graph = result.case.graph
    assert [node.target for node in graph.nodes] == [control]
    assert graph.operators().count("torch.tanh") == 1
    # A branch may return what it is given, and a loop needs nothing but its condition.
    assert len(graph.operators()) <= 4, graph.operators()
    assert all(value.type.size == 1 for value in graph.inputs)


def test_nested_bodies_are_reduced_to_one() -> None:
    def deep(graph: Graph) -> bool:
        return any(inside("", "torch.tanh")(body) for node in graph.nodes for body in node.bodies())

    case = grown(COND, "torch.tanh", lambda case: deep(case.graph))
    result = minimize(case, CRASH, PlantedTester(Defect(refused=inside(COND, "torch.tanh"))))
    assert [node.target for node in result.case.graph.nodes] == [COND]
    assert result.case.graph.operators().count(COND) == 1


@pytest.mark.parametrize("control", [COND, WHILE, SCAN])
def test_a_wrong_value_in_a_body_stays_in_a_body(control: str) -> None:
    tester = Miscompiled(Defect())

    def shows(case: Case) -> bool:
        return inside(control, "torch.tanh")(case.graph) and tester.test([case])[0].shows(WRONG)

    result = minimize(grown(control, "torch.tanh", shows), WRONG, tester)
    assert result.complete
    graph = result.case.graph
    assert [node.target for node in graph.nodes] == [control]
    assert "torch.tanh" in graph.operators()
    assert len(graph.operators()) <= 5, graph.operators()
    assert all(value.type.size == 1 for value in graph.inputs)
