"""Every sampler for Keras layers, drawn from and executed."""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import Frontend, frontend
from generators.frontends.keras_source import WEIGHTS
from generators.graph import references
from generators.random_graphs import Grown, Weights, grow
from generators.serial import dumps, loads
from generators.wellformed import check_case
from oracles.compare import same

ATTEMPTS = 40


@pytest.fixture(scope="module")
def keras() -> Frontend:
    return frontend("keras")


@pytest.fixture(scope="module")
def grown(keras: Frontend) -> list[Grown]:
    return [grow(keras, SeededChoices(7, seed), nodes=6) for seed in range(120)]


def test_there_are_at_least_eighty_layers(keras: Frontend) -> None:
    registry = keras.registry()
    assert len(registry) >= 80
    for target in registry.targets():
        assert callable(keras.resolve(target)), target


def test_every_layer_gives_a_node(keras: Frontend) -> None:
    missing = []
    for target in keras.registry().targets():
        weights = Weights((target,), (1.0,))
        for seed in range(ATTEMPTS):
            try:
                found = grow(keras, SeededChoices(seed), nodes=1, weights=weights)
            except ValueError:
                continue
            check_case(found.case)
            keras.check_arguments(found.case.graph)
            assert [node.target for node in found.case.graph.nodes] == [target]
            break
        else:
            missing.append(target)
    assert not missing


def test_layers_that_are_built_are_seldom_refused(grown: list[Grown]) -> None:
    accepted = sum(item.accepted for item in grown)
    dropped: Counter[str] = sum((item.dropped for item in grown), Counter())
    raised = Counter({reason: count for reason, count in dropped.items() if reason.startswith("raised")})
    assert raised.total() <= 0.03 * accepted, raised
    assert accepted >= 0.95 * 6 * len(grown)


def test_the_printed_model_gives_what_growth_computed(keras: Frontend, grown: list[Grown]) -> None:
    for item in grown:
        case = loads(dumps(item.case))
        assert case.graph == item.case.graph
        outputs = keras.execute(keras.load(case))
        assert len(outputs) == len(case.graph.outputs)
        for name, array in zip(case.graph.outputs, outputs, strict=True):
            assert same(array, item.values[name]), (name, keras.source(case.graph))


def test_constants_are_weights_only(grown: list[Grown]) -> None:
    for item in grown:
        graph = item.case.graph
        weights = {name for node in graph.nodes for name in references(dict(node.kwargs).get(WEIGHTS, ()))}
        assert weights == {constant.name for constant in graph.constants}
        assert graph.inputs


def test_some_layers_are_shared_and_some_models_have_several_ends(keras: Frontend, grown: list[Grown]) -> None:
    graphs = [item.case.graph for item in grown]
    calls = Counter(
        (index, node.kwargs)
        for index, graph in enumerate(graphs)
        for node in graph.nodes
        if WEIGHTS in dict(node.kwargs)
    )
    assert max(calls.values()) > 1
    assert any(len(graph.inputs) > 1 and len(graph.outputs) > 1 for graph in graphs)


def test_a_seed_grows_the_same_graph_again(keras: Frontend, grown: list[Grown]) -> None:
    for seed in (0, 50, 100):
        again = grow(keras, SeededChoices(7, seed), nodes=6)
        assert again.case.graph == grown[seed].case.graph


def test_moving_statistics_are_none_of_zero_and_one(grown: list[Grown]) -> None:
    seen = 0
    for item in grown:
        for node in item.case.graph.nodes:
            if node.target == "keras.layers.BatchNormalization":
                *_, mean, variance = references(dict(node.kwargs)[WEIGHTS])
                seen += 1
                assert (item.values[variance] > 0).all()
                assert (item.values[mean] != 0).any()
    assert seen


def test_sums_are_those_of_numpy(keras: Frontend) -> None:
    """Keras mistakes the dimension of some operands for that of a bias; none of those is drawn."""
    weights = Weights(("keras.layers.Add",), (1.0,))
    for seed in range(150):
        item = grow(keras, SeededChoices(8, seed), nodes=1, weights=weights)
        [node] = item.case.graph.nodes
        if item.values[node.outputs[0].name].dtype.kind != "f":
            continue
        arrays = [item.values[name].astype(np.float64) for name in node.references()]
        if all(np.isfinite(array).all() for array in arrays):
            limit = sum(float(np.abs(array).max()) for array in arrays)
            expected = functools.reduce(np.add, arrays)
            actual = item.values[node.outputs[0].name].astype(np.float64)
            np.testing.assert_allclose(actual, expected, rtol=0.02, atol=0.02 * limit)
