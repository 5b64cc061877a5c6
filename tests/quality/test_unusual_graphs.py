"""Failures that need an unusual output or input keep it while they are minimized, and others lose theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from generators.graph import Case, Graph, Input, TensorType
from oracles.minimize import minimize
from oracles.minimize.returned import unusual
from tests.quality.subjects import CRASH, INVALID, WRONG, Defect, PlantedTester, link, miscompiled, plant

SEEDS = (1, 2)


def with_everything(case: Case) -> Case:
    """The case with a value returned twice, an input and a constant returned, and an input that nothing uses."""
    graph = case.graph
    extra = Input("unused", TensorType("float32", (2, 2)))
    constant = [item.name for item in graph.constants][:1]
    outputs = (graph.inputs[0].name, *graph.outputs, graph.outputs[0], *constant)
    whole = replace(graph, inputs=(extra, *graph.inputs), outputs=outputs)
    return Case(whole, {**case.feeds, "unused": np.ones((2, 2), np.float32)}, case.profiles)


def planted(seed: int) -> Case:
    return with_everything(plant(link("torch.transpose", 0, 1), seed=seed, nodes=24))


def calls(graph: Graph) -> bool:
    return "torch.transpose" in graph.operators()


def twice(graph: Graph) -> bool:
    return calls(graph) and len(set(graph.outputs)) < len(graph.outputs)


def input_returned(graph: Graph) -> bool:
    return calls(graph) and any(value.name in graph.outputs for value in graph.inputs)


def constant_returned(graph: Graph) -> bool:
    return calls(graph) and any(item.name in graph.outputs for item in graph.constants)


def idle(graph: Graph) -> bool:
    used = {name for node in graph.nodes for name in node.references()} | set(graph.outputs)
    return calls(graph) and any(value.name not in used for value in graph.inputs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slices", [False, True])
@pytest.mark.parametrize("needed", [twice, input_returned, constant_returned, idle])
def test_what_is_needed_stays_and_the_rest_goes(needed, slices: bool, seed: int) -> None:
    case = planted(seed)
    if needed is constant_returned and not case.graph.constants:
        pytest.skip("this graph has no constant")
    assert needed(case.graph)
    signature = INVALID if slices else CRASH
    tester = PlantedTester(Defect(refused=needed), slices=slices, crash=signature)
    result = minimize(case, signature, tester)
    graph = result.case.graph
    assert needed(graph)
    # A value that is returned twice keeps the node that makes it, beside the guilty one.
    assert len(graph.operators()) <= 1 + (needed is twice)
    assert len(graph.outputs) <= 2 + (needed is twice)
    assert len(graph.inputs) + len(graph.constants) <= 2
    others = {twice, input_returned, constant_returned, idle} - {needed}
    assert not any(other(graph) for other in others - {input_returned, constant_returned})


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_needed_goes(seed: int) -> None:
    result = minimize(planted(seed), WRONG, PlantedTester(miscompiled("torch.transpose")))
    assert result.case.graph.operators() == ("torch.transpose",)
    assert len(result.case.graph.outputs) == 1
    assert not unusual(result.case.graph)
