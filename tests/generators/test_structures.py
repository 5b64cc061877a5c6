"""Unusual outputs and inputs, and rare shapes of whole graphs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Case
from generators.motifs.shapes import grow_shape
from generators.patterns import Avoided
from generators.random_graphs import Weights, begin, grow
from generators.serial import dumps, loads
from generators.structures import LARGE, NAMES, RARE, SHARE, UNUSUAL, WITHOUT, rare_shape, structures_of
from generators.transforms import retype
from generators.wellformed import check_case
from oracles.compare import same

FRONTENDS = ("torch", "tensorflow", "onnx", "keras")
#: What is left of each to begin with.
LEFT = ("torch.abs", "tf.math.abs", "onnx.Abs", "keras.layers.ReLU")


def check(name: str, case: Case) -> None:
    """Well formed, the same when read back, and printed as it is interpreted."""
    ours = frontend(name)
    check_case(case)
    assert loads(dumps(case)).graph == case.graph
    values = ours.run(case.graph, case.feeds)
    printed = ours.execute(ours.load(replace(case, graph=retype(case.graph, values))))
    assert all(same(array, values[key]) for array, key in zip(printed, case.graph.outputs, strict=True))


@pytest.mark.parametrize("name", FRONTENDS)
def test_unusual_outputs_and_inputs_come_up_and_run(name: str) -> None:
    ours = frontend(name)
    weights = Weights.of(ours)
    met: Counter[str] = Counter()
    count = 250
    for seed in range(count):
        case = grow(ours, SeededChoices(32, seed), weights=weights, nodes=8).case
        found = structures_of(case.graph)
        met.update(found)
        if not UNUSUAL.keys().isdisjoint(found):
            check(name, case)
    assert met.keys() >= {"several outputs", *UNUSUAL} - WITHOUT.get(name, frozenset())
    assert sum(met[kind] for kind in UNUSUAL) <= 2 * SHARE * count


def test_graphs_of_one_node_return_what_it_makes() -> None:
    ours = frontend("torch")
    weights = Weights.of(ours)
    for seed in range(60):
        graph = grow(ours, SeededChoices(32, seed), weights=weights, nodes=1).case.graph
        assert UNUSUAL.keys().isdisjoint(structures_of(graph))


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("shape", RARE)
def test_rare_shapes(name: str, shape: str) -> None:
    ours = frontend(name)
    weights = Weights.of(ours)
    for seed in range(3):
        growth = begin(ours, SeededChoices(33, seed), weights=weights)
        grow_shape(growth, shape)
        case = growth.finish().case
        assert shape in structures_of(case.graph)
        check(name, case)
        if "constant" not in shape:
            assert 90 <= len(case.graph.nodes) <= 320
            assert all(item.data.nbytes < LARGE for item in case.graph.constants)


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("shape", RARE)
def test_a_shape_that_cannot_begin_leaves_the_rest_of_the_graph(name: str, shape: str) -> None:
    """What chains begin with, and tables are looked up by, is quarantined."""
    ours = frontend(name)
    avoid = Avoided(target for target in ours.registry().targets() if target not in LEFT)
    for seed in range(3):
        growth = begin(ours, SeededChoices(35, seed), avoid=avoid)
        grow_shape(growth, shape)
        for _ in range(400):
            growth.attempt()
        check(name, growth.finish().case)


def test_rare_shapes_are_rare() -> None:
    drawn = Counter(rare_shape(SeededChoices(34, seed)) for seed in range(6000))
    assert drawn.keys() == {"", *RARE}
    assert drawn[""] >= 0.99 * drawn.total()


def test_a_usual_graph_has_no_names() -> None:
    case = grow(frontend("torch"), SeededChoices(2), nodes=1).case
    assert set(structures_of(case.graph)) <= {"several outputs", "no input"}
    assert set(NAMES) >= {*RARE, *UNUSUAL}
