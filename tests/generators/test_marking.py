"""Marked graphs run at their other sizes, and only what holds at all of them is marked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from generators.choices import SeededChoices
from generators.frontends.base import Frontend, frontend
from generators.graph import Array, Case, Graph, Input, Node, Ref, Value, type_of
from generators.marking import SHARE, Marker
from generators.random_graphs import Weights, grow
from generators.rerun import Rerun
from generators.sizes import at_size, extents_at, is_dynamic, size_text, symbols_of
from generators.strategies import graphs
from generators.structures import SIZES, sizes_of
from generators.transforms import retype
from generators.wellformed import check_case
from oracles.compare import same

FRONTENDS = ("torch", "tensorflow", "onnx", "keras")


def runs_at_every_size(ours: Frontend, case: Case) -> None:
    """The printed source, loaded once, gives the interpreter's values at each size; types are right, ranks fixed."""
    check_case(case)
    first = ours.run(case.graph, case.feeds)
    model = ours.load(replace(case, graph=retype(case.graph, first)))
    for number in range(len(case.further) + 1):
        at = at_size(case, number)
        values = ours.run(at.graph, at.feeds)
        ours.check_values(at.graph, values)
        for name, array in values.items():
            assert (array.dtype, array.ndim) == (first[name].dtype, first[name].ndim)
        arguments = tuple(ours.to_native(at.feeds[value.name], value.layout) for value in at.graph.inputs)
        printed = ours.execute(replace(model, arguments=arguments))
        for array, name in zip(printed, at.graph.outputs, strict=True):
            assert same(array, values[name]) or varies(ours, at, name), f"{name} at {size_text(case, number)}"


def varies(ours: Frontend, case: Case, name: str) -> bool:
    """Whether eager mode does not give the same twice: kernels that read memory they never wrote exist."""
    values = [ours.run(case.graph, case.feeds)[name] for _ in range(20)]
    return not all(same(value, values[0]) for value in values)


@pytest.mark.parametrize("name", FRONTENDS)
def test_marked_graphs_run_and_print_at_every_size(name: str) -> None:
    ours = frontend(name)

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(graphs(name, nodes=(1, 3), dynamic=True))
    def check(case: Case) -> None:
        # Layers of Keras that need to know a dimension cannot be printed without: such a graph is static in the end.
        if name == "keras" and is_dynamic(case.graph):
            try:
                ours.load(case)
            except Exception:  # noqa: BLE001  (Keras raises anything)
                return
        runs_at_every_size(ours, case)

    check()


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_the_share_of_marked_graphs_and_their_sizes(name: str) -> None:
    ours = frontend(name)
    weights = Weights.of(ours)
    met: Counter[str] = Counter()
    count = 400
    for seed in range(count):
        case = grow(ours, SeededChoices(51, seed), weights=weights, dynamic=SHARE).case
        if not is_dynamic(case.graph):
            assert not case.further
            continue
        met["dynamic"] += 1
        met.update(sizes_of(case))
        met["shared"] += len(symbols_of(case.graph)) < sum(sum(map(bool, value.dynamic)) for value in case.graph.inputs)
        first = extents_at(case, 0)
        assert min(first.values()) > 1
        assert any(extents_at(case, 1)[symbol] != extent for symbol, extent in first.items())
        runs_at_every_size(ours, case)
    assert 0.1 * count < met["dynamic"] < 0.25 * count
    assert all(met[kind] for kind in (*SIZES, "shared"))


def test_what_a_converter_is_not_given_is_not_drawn() -> None:
    for seed in range(50):
        assert not is_dynamic(grow(frontend("torch"), SeededChoices(52, seed)).case.graph)


def marked(nodes: list[Node], data: dict[str, Array], seed: int, conditions: list = [], **elements: object) -> Case:  # noqa: B006
    ours = frontend("torch")
    inputs = tuple(Input(name, type_of(array)) for name, array in data.items())
    graph = Graph("torch", inputs, (), tuple(nodes), (nodes[-1].outputs[0].name,))
    values = ours.run(graph, data)
    case = Case(retype(graph, values), data)
    drawn = {name: elements.get(name, "typical") for name in data}
    rerun = Rerun(ours, drawn, conditions, False)  # type: ignore[arg-type]
    return Marker(rerun, SeededChoices(53, seed)).mark(case, values)[0]


def call(target: str, *args: object, name: str = "v0") -> Node:
    return Node(target, args, (), (Value(name, type_of(np.zeros((), np.float32))),))  # type: ignore[arg-type]


def floats(*shape: int) -> Array:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def test_a_literal_pins_the_dimension_that_it_is_about() -> None:
    """expand(x, (4, -1)) takes any second extent, and no first one but 4."""
    found = [marked([call("torch.Tensor.expand", Ref("x"), (4, -1))], {"x": floats(4, 3)}, seed) for seed in range(30)]
    assert {value.dynamic for case in found for value in case.graph.inputs} == {(), (None, "s0")}


def test_dimensions_that_must_agree_share_a_symbol_or_are_static() -> None:
    found = [
        marked([call("torch.matmul", Ref("x"), Ref("y"))], {"x": floats(4, 3), "y": floats(3, 5)}, seed)
        for seed in range(60)
    ]
    inner = Counter((case.graph.inputs[0].dynamic[1:], case.graph.inputs[1].dynamic[:1]) for case in found)
    assert (("s0",), ("s0",)) in inner
    assert all(left == right or not any((*left, *right)) for left, right in inner)


def test_what_a_sampler_relies_on_holds_at_every_size() -> None:
    """Here that no element is negative; data of the profile nearly always has some that are."""
    conditions = [("x", lambda x: not x.array.size or x.bounds[0] >= 0)]
    data = {"x": np.abs(floats(6, 6))}
    found = [marked([call("torch.sqrt", Ref("x"))], data, seed, conditions) for seed in range(40)]
    assert not any(feeds["x"].size > 8 for case in found for feeds in case.further)
    drawn = [
        marked([call("torch.sqrt", Ref("x"))], data, seed, conditions, x="fractions").further for seed in range(40)
    ]
    assert all(drawn)


def test_indices_without_ties_stay_without() -> None:
    ours = frontend("torch")
    weights = Weights.of(ours, only=["torch.topk"])
    sizes = 0
    for seed in range(60):
        case = grow(ours, SeededChoices(54, seed), nodes=1, weights=weights, dynamic=1.0).case
        [node] = case.graph.nodes
        axis = dict(node.kwargs).get("dim", -1)
        for number in range(1, len(case.further) + 1):
            at = at_size(case, number)
            x = ours.run(at.graph, at.feeds)[node.args[0].name]  # type: ignore[union-attr]
            ordered = np.sort(x.astype(np.float64), axis=axis)
            assert (np.diff(ordered, axis=axis) > 0).all()
            sizes += 1
    assert sizes > 20
