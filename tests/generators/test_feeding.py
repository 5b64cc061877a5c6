"""Graphs take their further feeds, and those chosen for it make results tell more."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from generators import selectors
from generators.choices import SeededChoices
from generators.feeding import GAIN, KINDS, SENSITIVE, Feeder, score, spread
from generators.frontends.base import frontend
from generators.graph import Array, Case, Graph, Input, Node, Ref, Value, type_of
from generators.handles import Handle
from generators.random_graphs import Grown, Weights, grow
from generators.rerun import Rerun
from generators.serial import dumps, loads
from generators.sizes import Recorded, at_size, is_dynamic, remarked, static
from generators.strategies import graphs
from generators.transforms import case_digest, extract, retype, trim, union, with_outputs
from generators.values import profiles_of
from generators.wellformed import check_case
from oracles.compare import same
from tests.generators.test_marking import runs_at_every_size

TORCH = frontend("torch")


@pytest.mark.parametrize("name", ["torch", "tensorflow", "onnx", "keras"])
def test_graphs_run_and_print_with_all_of_their_feeds(name: str) -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(graphs(name, nodes=(1, 3), fed=True))
    def check(case: Case) -> None:
        assert not is_dynamic(case.graph)
        runs_at_every_size(frontend(name), case)

    check()


@pytest.fixture(scope="module")
def fed() -> list[Grown]:
    weights = Weights.of(TORCH)
    return [grow(TORCH, SeededChoices(61, seed), nodes=6, weights=weights, fed=1.0) for seed in range(150)]


def test_every_kind_is_found(fed: list[Grown]) -> None:
    met = Counter(one.kind for grown in fed for one in grown.fed)
    assert all(met[kind] >= 5 for kind in (*KINDS, SENSITIVE)), met
    assert sum(bool(grown.fed) for grown in fed) > 0.9 * len(fed)


def test_values_have_the_types_that_they_have_with_the_first_feeds(fed: list[Grown]) -> None:
    for grown in fed:
        check_case(grown.case)
        assert isinstance(grown.values, Recorded)
        assert len(grown.values.further) == len(grown.case.further) == len(grown.fed)
        for number, (one, values) in enumerate(zip(grown.fed, grown.values.further, strict=True), 1):
            at = at_size(grown.case, number)
            again = TORCH.run(at.graph, at.feeds)
            assert one.values is values
            for name, array in again.items():
                assert type_of(array) == type_of(grown.values[name])
                assert same(array, values[name]) or not same(array, TORCH.run(at.graph, at.feeds)[name])


def test_profiles_are_those_of_the_kind_and_selectors_keep_theirs(fed: list[Grown]) -> None:
    selecting = 0
    for grown in fed:
        types = grown.case.graph.types()
        for one in grown.fed:
            for name, profile in one.profiles.items():
                first = grown.case.profiles[name]
                if first in (*selectors.PROFILES, "own"):
                    assert profile == first
                    selecting += 1
                else:
                    assert profile in profiles_of(types[name].dtype)
    assert selecting > 10


def test_sensitive_feeds_score_higher(fed: list[Grown]) -> None:
    chosen = [(grown, one) for grown in fed for one in grown.fed if one.kind == SENSITIVE]
    for grown, one in chosen:
        assert score(grown.case.graph, one.values) > score(grown.case.graph, grown.values) + GAIN


def chain(*targets: str, feed: Array) -> tuple[Case, dict[str, Array]]:
    """A chain of calls of one argument on x, with its values."""
    nodes = [
        Node(target, (Ref(f"v{number - 1}" if number else "x"),), (), (Value(f"v{number}", type_of(feed)),))
        for number, target in enumerate(targets)
    ]
    graph = Graph("torch", (Input("x", type_of(feed)),), (), tuple(nodes), (nodes[-1].outputs[0].name,))
    values = TORCH.run(graph, {"x": feed})
    return Case(retype(graph, values), {"x": feed}, {"x": "negative"}), values


def feeder(seed: int, elements: object = "negative", conditions: list = [], *, nonfinite: bool = False) -> Feeder:  # noqa: B006
    rerun = Rerun(TORCH, {"x": elements}, conditions, nonfinite)  # type: ignore[dict-item]
    return Feeder(rerun, SeededChoices(62, seed), {"x": "negative"})


def test_a_rectifier_is_given_something_to_pass() -> None:
    """All of its results are zeros with the first feeds, which would hide whatever is computed from them."""
    case, values = chain("torch.relu", "torch.sin", feed=np.full((3, 4), -2, np.float32))
    assert score(case.graph, values) == 0
    for seed in range(20):
        [best] = [one for one in feeder(seed).feeds(case, values) if one.kind == SENSITIVE]
        assert score(case.graph, best.values) > 0.3


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(8, np.float32), 0.0),
        (np.array([0.0, -0.0], np.float32), 0.0),
        (np.array([np.nan, np.inf, -np.inf, 1.0]), pytest.approx(1 / 3)),
        (np.arange(6), 1.0),
        (np.array([1, 1, 1, 2]), pytest.approx(1 / 3)),
        (np.array([True, False, True, False]), 1.0),
        (np.array([True, True, True, False]), 0.5),
        (np.array([1 + 2j, 1 + 3j, 1 + 2j], np.complex64), 0.5),
        (np.arange(1000.0).reshape(10, 100), 1.0),
    ],
)
def test_spread(array: Array, expected: float) -> None:
    assert spread(array) == expected


def test_what_a_sampler_asks_of_values_holds_with_all_feeds() -> None:
    case, values = chain("torch.sqrt", feed=np.full((3, 4), 2, np.float32))

    def positive(x: Handle) -> bool:
        return x.within(0, 1e9)

    for seed in range(20):
        for one in feeder(seed, "fractions", [("x", positive)], nonfinite=True).feeds(case, values):
            assert (one.feeds["x"] >= 0).all()
        for one in feeder(seed, "fractions").feeds(case, values):
            assert np.isfinite(one.values["v0"]).all()


def test_feeds_that_give_a_value_another_shape_are_dropped() -> None:
    case, values = chain("torch.unique", feed=np.array([1, 1, 2, 3], np.float32))
    for seed in range(40):
        for one in feeder(seed, "integers").feeds(case, values):
            assert one.values["v0"].shape == values["v0"].shape


def test_elements_of_a_samplers_own_are_drawn_in_its_way() -> None:
    case, values = chain("torch.neg", feed=np.array([3, 4, 5], np.int64))

    def indices(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return rng.integers(3, 8, shape, endpoint=True)

    found = [one.feeds["x"] for seed in range(20) for one in feeder(seed, indices).feeds(case, values)]
    assert found
    assert all(((array >= 3) & (array <= 8)).all() for array in found)


# -- a case with several feeds under the functions from graphs to graphs ---------------------------------------------


def several() -> Case:
    feeds = [{"x": np.full((2, 3), number, np.float32), "y": np.ones(3, np.float32)} for number in range(3)]
    graph = Graph(
        "torch",
        (Input("x", type_of(feeds[0]["x"])), Input("y", type_of(feeds[0]["y"]))),
        (),
        (
            Node("torch.neg", (Ref("x"),), (), (Value("a", type_of(feeds[0]["x"])),)),
            Node("torch.add", (Ref("a"), Ref("y")), (), (Value("b", type_of(feeds[0]["x"])),)),
        ),
        ("b",),
    )
    return Case(graph, feeds[0], {}, tuple(feeds[1:]))


def test_serialised_and_back() -> None:
    case = several()
    back = loads(dumps(case))
    assert case_digest(back) == case_digest(case) != case_digest(static(case))
    np.testing.assert_array_equal(back.further[1]["x"], case.further[1]["x"])


def test_unions_pair_the_feeds_of_their_cases() -> None:
    joined = union([static(several()), several()]).case
    assert [[float(feeds[name][0, 0]) for name in ("g0_x", "g1_x")] for feeds in joined.further] == [[0, 1], [0, 2]]


def test_parts_have_the_recorded_values_of_all_feeds() -> None:
    case = several()
    first, *further = (TORCH.run(at.graph, at.feeds) for at in (at_size(case, number) for number in range(3)))
    part = extract(case, [1], Recorded(first, further))
    check_case(part)
    assert [float(feeds["a"][0, 0]) for feeds in (part.feeds, *part.further)] == [0, -1, -2]
    assert not is_dynamic(part.graph)
    assert not extract(case, [1], first).further


def test_feeds_that_have_become_the_same_go() -> None:
    case = several()
    lean = trim(replace(case, graph=with_outputs(replace(case.graph, nodes=case.graph.nodes[:1]), ["a"])))
    assert len(lean.further) == 2
    alike = replace(case, further=(case.feeds, case.further[0], dict(case.further[0])))
    assert [feeds["x"][0, 0] for feeds in remarked(alike).further] == [1]
