"""Marked cases under the functions from graphs to graphs: names, bytes, unions, parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Array, Case, Graph, GraphError, Input, Node, Ref, Value, type_of
from generators.random_graphs import Weights, grow
from generators.serial import dumps, loads
from generators.sizes import (
    Recorded,
    at_size,
    extents_at,
    fitted,
    is_dynamic,
    marking_of,
    remarked,
    size_text,
    static,
    symbols_of,
)
from generators.transforms import canonical, case_digest, extract, in_double, rename_case, retype, union
from generators.wellformed import check_case
from oracles.compare import same

TORCH = frontend("torch")


def counting(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def stacked() -> Case:
    """``cat([x, x]) + y`` and its sum: x is [n, 3], y [3]; the middle value has 2 n rows."""
    feeds = [{"x": counting(n, 3), "y": counting(3)} for n in (2, 5, 0)]
    graph = Graph(
        "torch",
        (Input("x", type_of(feeds[0]["x"]), (), ("rows", None)), Input("y", type_of(feeds[0]["y"]))),
        (),
        (
            Node("torch.cat", ((Ref("x"), Ref("x")),), (), (Value("twice", type_of(counting(4, 3))),)),
            Node("torch.add", (Ref("twice"), Ref("y")), (), (Value("sum", type_of(counting(4, 3))),)),
        ),
        ("sum",),
    )
    return Case(graph, feeds[0], {"x": "typical"}, tuple(feeds[1:]))


def recorded(case: Case) -> Recorded:
    sizes = [at_size(case, number) for number in range(len(case.further) + 1)]
    first, *further = (TORCH.run(at.graph, at.feeds) for at in sizes)
    return Recorded(first, further)


def test_symbols_and_sizes() -> None:
    case = stacked()
    check_case(case)
    assert is_dynamic(case.graph)
    assert symbols_of(case.graph) == ("rows",)
    assert marking_of(case.graph) == [{0: "rows"}, {}]
    assert [extents_at(case, number)["rows"] for number in range(3)] == [2, 5, 0]
    assert size_text(case, 1) == "rows=5"
    assert static(case) == at_size(case, 0)
    assert not is_dynamic(static(case).graph)
    assert at_size(case, 1).graph.inputs[0].type.shape == (5, 3)


FAULTS = [
    (("rows",), {}, "marks no dimensions"),
    ((None, None), {}, "marks no dimensions"),
    (("2n", None), {}, "no symbol"),
    (("n", None), {"x": counting(4, 2)}, "a static dimension has 3"),
    (("n", "n"), {}, "dimension n has 2"),
    (("n", None), {"x": counting(4, 3).astype(np.float64)}, "is float32"),
    (("n", None), {"x": counting(4)}, "is float32"),
    (("n", None), {"y": None}, "has no feed"),
]


@pytest.mark.parametrize(("marking", "feeds", "message"), FAULTS)
def test_faults_are_refused(marking: tuple[str | None, ...], feeds: dict[str, Array], message: str) -> None:
    case = stacked()
    x, y = case.graph.inputs
    further = {name: array for name, array in {**case.feeds, **feeds}.items() if array is not None}
    graph = replace(case.graph, inputs=(replace(x, dynamic=marking), y))
    with pytest.raises(GraphError, match=message):
        check_case(Case(graph, case.feeds, {}, (further,)))


def test_the_bytes_of_a_case_hold_all_its_sizes() -> None:
    case = stacked()
    again = loads(dumps(case))
    assert again.graph == case.graph
    assert dumps(again) == dumps(case)
    for feeds, others in zip(again.further, case.further, strict=True):
        assert all(same(feeds[name], others[name]) for name in others)
    assert b'"further"' not in dumps(static(case))
    assert b'"dynamic"' not in dumps(static(case))


def test_names_of_values_and_symbols_do_not_count() -> None:
    case = stacked()
    renamed = rename_case(case, {"x": "a", "twice": "b"})
    x, y = renamed.graph.inputs
    renamed = replace(renamed, graph=replace(renamed.graph, inputs=(replace(x, dynamic=("n", None)), y)))
    assert case_digest(renamed) == case_digest(case)
    assert canonical(case).graph.inputs[0].dynamic == ("s0", None)
    assert dumps(canonical(canonical(case))) == dumps(canonical(case))
    # Sizes and marking do.
    fewer = replace(case, further=case.further[:1])
    assert len({case_digest(one) for one in (case, fewer, replace(case, further=()), static(case))}) == 4


def test_symbols_of_different_cases_stay_apart_in_a_union() -> None:
    case = stacked()
    whole = union([case, static(case), replace(case, further=case.further[:1])])
    check_case(whole.case)
    assert symbols_of(whole.case.graph) == ("g0_rows", "g2_rows")
    assert [extents_at(whole.case, number) for number in range(3)] == [
        {"g0_rows": 2, "g2_rows": 2},
        {"g0_rows": 5, "g2_rows": 5},
        {"g0_rows": 0, "g2_rows": 2},
    ]
    assert all(feeds["g1_x"].shape == (2, 3) for feeds in whole.case.further)


def test_a_part_is_dynamic_where_its_inputs_vary() -> None:
    case = stacked()
    part = extract(case, (1,), recorded(case))
    check_case(part)
    assert [(value.name, bool(value.dynamic)) for value in part.graph.inputs] == [("twice", True), ("y", False)]
    assert [extents_at(part, number)["s0"] for number in range(3)] == [4, 10, 0]
    # Without what was recorded at the other sizes the first is all that is known.
    assert not is_dynamic(extract(case, (1,), recorded(static(case))).graph)
    assert symbols_of(extract(case, (0,), recorded(case)).graph) == ("s0",)


def test_dimensions_are_told_apart_by_their_extents() -> None:
    case = stacked()
    x, y = case.graph.inputs
    free = replace(case, graph=replace(case.graph, inputs=(replace(x, dynamic=()), y)))
    assert remarked(free).graph.inputs[0].dynamic == ("s0", None)
    twice = replace(case, further=(*case.further, case.feeds, case.further[0]))
    assert len(remarked(twice).further) == 2
    # Marked dimensions that do not agree any more get symbols of their own.
    both = replace(x, dynamic=("n", "n"))
    split = remarked(replace(case, graph=replace(case.graph, inputs=(both, y))))
    assert split.graph.inputs[0].dynamic == ("s0", "s1")
    check_case(split)


def test_in_double_precision_all_sizes_are() -> None:
    wide = in_double(stacked())
    assert {array.dtype.name for feeds in (wide.feeds, *wide.further) for array in feeds.values()} == {"float64"}


def test_fitted() -> None:
    array = counting(2, 3)
    assert fitted(array, (2, 3)) is array
    assert fitted(array, (5, 2)).tolist() == [[0, 1], [3, 4], [0, 1], [3, 4], [0, 1]]
    assert fitted(counting(0, 3), (1, 2)).tolist() == [[0, 0]]
    assert fitted(array, (0, 3)).shape == (0, 3)


def test_parts_of_random_graphs_run_at_their_sizes() -> None:
    weights = Weights.of(TORCH)
    parts = 0
    for seed in range(40):
        case = grow(TORCH, SeededChoices(61, seed), nodes=4, weights=weights, dynamic=1.0).case
        if not case.further:
            continue
        values = recorded(case)
        for index in range(len(case.graph.nodes)):
            part = extract(case, (index,), values)
            check_case(part)
            for number in range(len(part.further) + 1):
                at = at_size(part, number)
                graph = retype(at.graph, TORCH.run(at.graph, at.feeds))
                assert graph.outputs == part.graph.outputs
            parts += is_dynamic(part.graph)
    assert parts > 20
