"""Arguments that hold several tensors: made, printed, kept through everything that is done to graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Case, Graph, GraphError, Input, Node, Ref, TensorType, Value
from generators.grouping import (
    GROUPINGS,
    RESULTS,
    accessing_text,
    arguments_of,
    collected,
    grouped,
    in_order,
    is_grouped,
    nested,
    output_order,
    placed,
    results_of,
    returns_grouped,
    text_of,
    ungrouped,
)
from generators.random_graphs import grow
from generators.serial import dumps, loads
from generators.structures import WITHOUT, structures_of
from generators.transforms import canonical, drop_dead, extract, structural_digest, union
from generators.wellformed import check

KIND = TensorType("float32", (2,))


def graph_of(*paths: tuple[str | int, ...]) -> Graph:
    inputs = tuple(Input(f"x{index}", KIND, path=path) for index, path in enumerate(paths))
    nodes = tuple(
        Node("torch.neg", (Ref(f"x{index}"),), (), (Value(f"v{index}", KIND),)) for index in range(len(paths))
    )
    return Graph("torch", inputs, (), nodes, tuple(f"v{index}" for index in range(len(paths))))


def case_of(graph: Graph) -> Case:
    return Case(graph, {value.name: np.full(2, index, "float32") for index, value in enumerate(graph.inputs)})


NESTED = graph_of(("d", "z"), (), ("t", 4), ("d", "a", 1), ("t", 2), ("d", "a", 0))
LISTED = replace(graph_of(*[()] * 4), places=(("v3", ("r", "z")), ("v1", ("r", "a", (0,))), ("v2", ("r", "a", (1,)))))


def test_arguments_are_in_the_order_of_their_first_inputs() -> None:
    assert arguments_of(NESTED) == [{"z": 0, "a": (5, 3)}, 1, (4, 2)]
    assert in_order(NESTED, "uvwxyz") == ["u", "z", "x", "v", "y", "w"]
    assert nested(NESTED, "uvwxyz") == [{"z": "u", "a": ("z", "x")}, "v", ("y", "w")]
    assert text_of({"a": (0,)}, str) == "{'a': (0,)}"
    assert not is_grouped(ungrouped(NESTED))


def test_the_source_takes_the_inputs_out_of_their_arguments() -> None:
    text = frontend("torch").source(NESTED)
    assert "def forward(self, d, x1, t):" in text
    assert "        x0 = d['z']\n        x5, x3 = d['a']\n        x4, x2 = t\n" in text
    model = frontend("torch").load(case_of(NESTED))
    assert [array[0] for array in frontend("torch").execute(model)] == [0, -1, -2, -3, -4, -5]


@pytest.mark.parametrize(
    "paths",
    [
        [("d",)],
        [(0, "a")],
        [("d", -1)],
        [("d", "")],
        [("d", True)],
        [("d", "a"), ("d", "a")],
        [("d", "a"), ("d", "a", 0)],
        [("d", "a"), ("d", 0)],
        [("d", 0, "a"), ("d", 0, 1)],
        [("d", 0), ("d", (1,))],
        [("d", (0, 1))],
        [("d", (-1,))],
    ],
)
def test_what_is_no_place_in_an_argument_is_refused(paths: list[tuple[str | int, ...]]) -> None:
    with pytest.raises(GraphError, match="input 0"):
        check(graph_of(*paths))


def test_files_and_digests_know_of_it() -> None:
    case = case_of(NESTED)
    assert loads(dumps(case)).graph == NESTED
    assert structural_digest(NESTED) != structural_digest(ungrouped(NESTED))
    renamed = replace(
        NESTED, inputs=tuple(replace(x, path=x.path and ("other" + str(x.path[0]), *x.path[1:])) for x in NESTED.inputs)
    )
    assert structural_digest(renamed) == structural_digest(NESTED)


def test_the_canonical_form_keeps_the_order_of_keys() -> None:
    backwards = replace(NESTED, outputs=NESTED.outputs[::-1])
    found = canonical(case_of(backwards))
    assert arguments_of(found.graph) == arguments_of(NESTED)
    assert [float(found.feeds[value.name][0]) for value in found.graph.inputs] == [0, 1, 2, 3, 4, 5]
    assert canonical(found).graph == found.graph


def test_parts_and_unions_are_groupings_again() -> None:
    case = case_of(NESTED)
    lean = drop_dead(replace(NESTED, outputs=("v0", "v2", "v3")))
    assert arguments_of(lean) == [{"z": 0, "a": (2,)}, (1,)]
    part = extract(case, [5, 3, 0], frontend("torch").run(NESTED, case.feeds))
    assert arguments_of(part.graph) == [{"z": 0, "a": (2, 1)}]
    both = union([case, case]).case.graph
    check(both)
    assert len(arguments_of(both)) == 6


def test_results_are_where_their_places_say() -> None:
    graph = replace(LISTED, outputs=("v3", "v0", "v2", "v1", "v0"))
    assert results_of(graph) == [{"z": 0, "a": [3, 2]}, 1, 4]
    assert output_order(graph) == [0, 3, 2, 1, 4]
    assert output_order(graph, by_key=True) == [3, 2, 0, 1, 4]
    assert collected(graph, ({"z": "p", "a": ["s", "r"]}, "q", "t")) == list("pqrst")
    text = frontend("torch").source(graph)
    assert "return {'z': v3, 'a': [v1, v2]}, v0, v0\n" in text
    assert eval(accessing_text(graph, "y"), {"y": ({"z": 1, "a": [2, 3]}, 4, 5)}) == [1, 2, 3, 4, 5]
    assert eval(accessing_text(graph, "y", by_key=True), {"y": ({"z": 1, "a": [2, 3]}, 4, 5)}) == [2, 3, 1, 4, 5]
    model = frontend("torch").load(case_of(graph))
    assert [float(array[0]) for array in frontend("torch").execute(model)] == [-3, 0, -2, -1, 0]


def test_places_are_kept_through_what_is_done_to_graphs() -> None:
    case = case_of(LISTED)
    check(LISTED)
    assert loads(dumps(case)).graph == LISTED
    assert structural_digest(LISTED) != structural_digest(ungrouped(LISTED))
    assert not returns_grouped(ungrouped(LISTED))
    assert results_of(canonical(case).graph) == results_of(LISTED)
    assert results_of(canonical(canonical(case)).graph) == results_of(LISTED)
    both = union([case, case]).case.graph
    check(both)
    assert results_of(both) == [0, {"a": [1, 2], "z": 3}, 4, {"a": [5, 6], "z": 7}]
    assert results_of(drop_dead(replace(LISTED, outputs=("v2", "v3")))) == [{"a": [0], "z": 1}]
    values = frontend("torch").run(LISTED, case.feeds)
    assert results_of(extract(case, [1, 3], values).graph) == [{"a": [0], "z": 1}]
    with pytest.raises(GraphError, match="two places"):
        check(replace(LISTED, places=(*LISTED.places, ("v1", ("other", 0)))))


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_drawn_results_are_legal(kind: str, count: int) -> None:
    for seed in range(40):
        graph = graph_of(*[()] * count)
        graph = replace(graph, places=placed(SeededChoices(3, seed), graph.outputs, kind))
        check(graph)
        assert kind in structures_of(graph) or (kind == "nested outputs" and returns_grouped(graph))


@pytest.mark.parametrize("kind", GROUPINGS)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_drawn_groupings_are_legal(kind: str, count: int) -> None:
    for seed in range(40):
        inputs = grouped(SeededChoices(3, seed), graph_of(*[()] * count).inputs, kind)
        graph = replace(graph_of(*[()] * count), inputs=tuple(inputs))
        check(graph)
        assert kind in structures_of(graph) or (kind == "nested inputs" and is_grouped(graph))


@pytest.mark.parametrize("name", ["torch", "tensorflow", "keras", "onnx"])
def test_graphs_have_all_of_them(name: str) -> None:
    ours = frontend(name)
    found: set[str] = set()
    everything = {*GROUPINGS, *RESULTS} - WITHOUT.get(name, frozenset())
    for seed in range(1500):
        case = grow(ours, SeededChoices(77, seed), nodes=3).case
        if not is_grouped(case.graph) and not returns_grouped(case.graph):
            continue
        found.update(structures_of(case.graph))
        values = ours.run(case.graph, case.feeds)
        for output, array in zip(case.graph.outputs, ours.execute(ours.load(case)), strict=True):
            np.testing.assert_array_equal(array, values[output])
        if found >= everything:
            break
    assert found & {*GROUPINGS, *RESULTS} == everything
