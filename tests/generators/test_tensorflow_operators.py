"""Every sampler for TensorFlow, drawn from and executed."""

from __future__ import annotations

from collections import Counter

import pytest

from generators.choices import SeededChoices
from generators.frontends.base import Frontend, frontend
from generators.graph import Graph, Node
from generators.operators.registry import Rounding
from generators.random_graphs import Grown, Weights, grow
from generators.wellformed import check_case

#: Several draws that all give constant tensors (``tf.zeros``) are dropped for it nine times out of ten.
ATTEMPTS = 60


@pytest.fixture(scope="module")
def tensorflow() -> Frontend:
    return frontend("tensorflow")


def test_there_are_at_least_a_hundred_targets(tensorflow: Frontend) -> None:
    registry = tensorflow.registry()
    assert len(registry) >= 100
    for target in registry.targets():
        assert callable(tensorflow.resolve(target)), target


def test_every_target_gives_a_node(tensorflow: Frontend) -> None:
    missing = []
    for target in tensorflow.registry().targets():
        weights = Weights((target,), (1.0,))
        for seed in range(ATTEMPTS):
            try:
                grown = grow(tensorflow, SeededChoices(seed), nodes=1, weights=weights)
            except ValueError:
                continue
            check_case(grown.case)
            assert [node.target for node in grown.case.graph.nodes] == [target]
            break
        else:
            missing.append(target)
    assert not missing


@pytest.fixture(scope="module")
def grown(tensorflow: Frontend) -> list[Grown]:
    return [grow(tensorflow, SeededChoices(7, seed), nodes=10) for seed in range(150)]


def test_most_draws_are_accepted(grown: list[Grown]) -> None:
    accepted = sum(item.accepted for item in grown)
    dropped: Counter[str] = sum((item.dropped for item in grown), Counter())
    # Left out on purpose, and nobody's fault.
    del dropped["unconnected"]
    assert accepted >= 0.8 * (accepted + dropped.total()), dropped.most_common(5)
    raised = Counter({reason: count for reason, count in dropped.items() if reason.startswith("raised")})
    assert raised.total() <= 0.02 * accepted, raised


def test_running_a_graph_gives_what_growing_it_gave(tensorflow: Frontend, grown: list[Grown]) -> None:
    for item in grown:
        values = tensorflow.run(item.case.graph, item.case.feeds)
        for name, array in values.items():
            expected = item.values[name]
            assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
            assert array.tobytes() == expected.tobytes(), (name, _producer(item.case.graph, name))


def test_the_printed_source_gives_the_very_values_of_the_interpreter(tensorflow: Frontend, grown: list[Grown]) -> None:
    for item in grown:
        model = tensorflow.load(item.case)
        outputs = tensorflow.execute(model)
        assert len(outputs) == len(item.case.graph.outputs)
        for name, array in zip(item.case.graph.outputs, outputs, strict=True):
            expected = item.values[name]
            assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
            assert array.tobytes() == expected.tobytes(), (name, _producer(item.case.graph, name))


def test_variety(grown: list[Grown]) -> None:
    """Many operators, all common dtypes and ranks, and tensors without elements come up in 150 graphs."""
    targets = {target for item in grown for target in item.case.graph.operators()}
    assert len(targets) >= 200
    types = [kind for item in grown for kind in item.case.graph.types().values()]
    assert {kind.dtype for kind in types} >= {
        *("float16", "bfloat16", "float32", "float64", "complex64", "bool"),
        *("int8", "int16", "int32", "int64", "uint8"),
    }
    assert {kind.rank for kind in types} >= {0, 1, 2, 3, 4, 5}
    assert any(kind.size == 0 for kind in types)
    assert any(constant.trainable for item in grown for constant in item.case.graph.constants)


def _producer(graph: Graph, name: str) -> Node | None:
    index = graph.producers().get(name)
    return None if index is None else graph.nodes[index]


@pytest.mark.parametrize(
    ("target", "rounding"),
    [
        ("tf.reshape", Rounding.EXACT),
        ("tf.math.round", Rounding.EXACT),
        ("tf.nn.max_pool2d", Rounding.EXACT),
        ("tf.math.add", Rounding.BASIC),
        ("tf.math.exp", Rounding.COMPOSITE),
        ("tf.math.floormod", Rounding.COMPOSITE),
        ("tf.image.resize", Rounding.COMPOSITE),
    ],
)
def test_rounding(tensorflow: Frontend, target: str, rounding: Rounding) -> None:
    assert tensorflow.registry().rounding(target) is rounding
