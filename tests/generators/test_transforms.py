from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Case, Constant, DType, Graph, GraphError, Input, Ref, TensorType, type_of
from generators.random_graphs import grow
from generators.serial import dumps
from generators.transforms import (
    all_names,
    canonical,
    case_digest,
    drop_dead,
    extract,
    in_double,
    isolate,
    isolate_pairs,
    neighbourhoods,
    rename,
    rename_case,
    replace_by_constant,
    replace_by_input,
    retype,
    structural_digest,
    trim,
    union,
    with_outputs,
)
from generators.wellformed import check, check_case
from tests.generators.samples import branching, node, recorded, with_bodies

TORCH = frontend("torch")


@pytest.fixture(scope="module")
def grown() -> list[Case]:
    return [grow(TORCH, SeededChoices(11, number), nodes=8).case for number in range(12)]


def test_dead_nodes_constants_and_inputs_are_dropped() -> None:
    graph = drop_dead(branching().graph)
    assert graph.operators() == ("f", "g", "k")
    assert [value.name for value in graph.inputs] == ["x"]
    assert [constant.name for constant in graph.constants] == ["w"]
    assert [value.name for value in drop_dead(branching().graph, keep_inputs=True).inputs] == ["x", "y"]


def test_trim_drops_feeds_and_profiles_of_what_is_gone() -> None:
    case = trim(branching())
    assert set(case.feeds) == {"x"}
    assert case.profiles == {"x": "ties", "w": "tiny"}


def test_dead_code_in_bodies_is_dropped_and_captured_values_live() -> None:
    graph = drop_dead(with_bodies().graph)
    check(graph)
    first, second = graph.nodes[1].bodies()
    assert first.operators() == ("loop", "deep")
    assert [value.name for value in second.inputs] == ["p2"]
    assert graph.operators() == ("f", "cond", "loop", "deep")


def test_extract_cuts_at_recorded_values() -> None:
    part = extract(branching(), [3, 1], recorded())
    check_case(part)
    assert part.graph.operators() == ("g", "k")
    assert [(value.name, str(value.type)) for value in part.graph.inputs] == [("a", "float32[2]")]
    assert part.feeds["a"].tolist() == [2, 2]
    assert part.graph.outputs == ("b", "e")  # b is used outside and an output, c only inside
    assert str(part.graph.types()["c"]) == "int64[1]"


def test_extract_keeps_inputs_and_constants_what_they_are() -> None:
    part = extract(branching(), [0], recorded())
    assert part.graph.constants == (branching().graph.constants[0],)
    assert part.graph.inputs == (Input("x", TensorType("float32", (2,))),)
    assert part.feeds["x"].tolist() == [3, 4]  # the feed, not the recorded value
    assert part.profiles == {"x": "ties", "w": "tiny"}


def test_a_value_that_nothing_uses_is_an_output_of_its_part() -> None:
    assert extract(branching(), [2], recorded()).graph.outputs == ("d",)


def test_extract_cuts_captured_values_too() -> None:
    values = {"a": np.array([8, 9], dtype=np.float32)}
    part = extract(with_bodies(), [1], values)
    check_case(part)
    assert {value.name for value in part.graph.inputs} == {"x", "a"}
    assert [constant.name for constant in part.graph.constants] == ["w"]


def test_extract_refuses_what_it_cannot_do() -> None:
    with pytest.raises(GraphError, match="node indices"):
        extract(branching(), [4], recorded())
    with pytest.raises(GraphError, match=r"g: uses value 'a'"):
        extract(branching(), [1], {})


def test_isolate_gives_every_node_alone() -> None:
    parts = isolate(branching(), recorded())
    assert [part.graph.operators() for part in parts] == [("f",), ("g",), ("h",), ("k",)]
    for part in parts:
        check_case(part)


def test_isolated_nodes_compute_what_the_whole_graph_did(grown: list[Case]) -> None:
    for case in grown:
        values = TORCH.run(case.graph, case.feeds)
        for part in isolate(case, values):
            alone = TORCH.run(part.graph, part.feeds)
            for name in part.graph.outputs:
                # Not to the bit: vectorised code rounds by the layout of its arguments.
                assert alone[name].dtype == values[name].dtype
                wide = np.complex128 if alone[name].dtype.kind == "c" else np.float64
                np.testing.assert_allclose(alone[name].astype(wide), values[name].astype(wide), rtol=1e-2)


def test_pairs_and_neighbourhoods() -> None:
    pairs = isolate_pairs(branching(), recorded())
    assert [indices for indices, _ in pairs] == [(0, 1), (0, 3), (1, 2), (1, 3)]
    assert [part.graph.operators() for _, part in pairs] == [("f", "g"), ("f", "k"), ("g", "h"), ("g", "k")]
    assert [indices for indices, _ in neighbourhoods(branching(), recorded(), depth=0)] == [(0,), (1,), (2,), (3,)]
    assert [indices for indices, _ in neighbourhoods(branching(), recorded(), depth=1)] == [
        (0,), (0, 1), (1, 2), (0, 1, 3),
    ]  # fmt: skip
    assert [indices for indices, _ in neighbourhoods(branching(), recorded(), depth=9)] == [
        (0,), (0, 1), (0, 1, 2), (0, 1, 3),
    ]  # fmt: skip
    for _, part in neighbourhoods(branching(), recorded(), depth=1):
        check_case(part)


def test_union_runs_as_its_members_do(grown: list[Case]) -> None:
    together = union(grown)
    check_case(together.case)
    values = TORCH.run(together.case.graph, together.case.feeds)
    split = together.split([values[name] for name in together.case.graph.outputs])
    for number, case in enumerate(grown):
        alone = TORCH.run(case.graph, case.feeds)
        assert [array.tobytes() for array in split[number]] == [alone[name].tobytes() for name in case.graph.outputs]
        assert together.values(number, values).keys() == alone.keys()
        assert all(together.values(number, values)[name].tobytes() == alone[name].tobytes() for name in alone)


def test_union_of_cases_with_the_same_names_and_bodies() -> None:
    together = union([with_bodies(), branching(), with_bodies()])
    check_case(together.case)
    assert together.slices == (range(1), range(1, 3), range(3, 4))
    assert together.case.profiles == {"g1_x": "ties", "g1_y": "typical", "g1_w": "tiny"}
    assert together.names[0]["z"] == "g0_z"
    with pytest.raises(ValueError, match="3 outputs for a union of 4"):
        together.split([1, 2, 3])


def test_union_refuses_none_and_mixed_frontends() -> None:
    other = dataclasses.replace(branching().graph, frontend="tensorflow")
    with pytest.raises(GraphError, match="tensorflow, torch"):
        union([branching(), Case(other, branching().feeds)])
    with pytest.raises(GraphError, match="no case"):
        union([])


def test_a_value_becomes_an_input() -> None:
    case = replace_by_input(branching(), "a", np.array([[8.0]]))
    check_case(case)
    assert case.graph.operators() == ("g", "k")
    assert [str(value.type) for value in case.graph.inputs] == ["float64[1,1]"]
    assert not case.graph.constants


def test_one_of_several_outputs_becomes_an_input() -> None:
    case = replace_by_input(branching(), "c", np.array([8.0]))
    check_case(case)
    assert case.graph.operators() == ("f", "g", "k")
    assert case.graph.outputs == ("e", "b")
    assert [value.name for value in case.graph.nodes[1].outputs] == ["b", "c_0"]


def test_an_output_that_is_replaced_is_no_output_any_more() -> None:
    assert replace_by_input(branching(), "b", np.zeros(2)).graph.outputs == ("e",)
    only = Case(with_outputs(branching().graph, ["e"]), branching().feeds)
    with pytest.raises(GraphError, match="only output"):
        replace_by_input(only, "e", np.zeros(2))
    with pytest.raises(GraphError, match="no value 'q'"):
        replace_by_constant(only, "q", np.zeros(2))


def test_a_captured_value_becomes_a_constant() -> None:
    case = replace_by_constant(with_bodies(), "a", np.zeros(2))
    check_case(case)
    assert [constant.name for constant in case.graph.constants] == ["w", "a"]
    assert case.graph.operators() == ("cond", "loop", "deep")


def test_inputs_and_constants_change_places() -> None:
    case = replace_by_constant(branching(), "x", np.zeros(2))
    check_case(case)
    assert not case.graph.inputs
    assert not case.feeds
    back = replace_by_input(case, "x", np.ones(2))
    assert [value.name for value in back.graph.inputs] == ["x"]
    assert replace_by_constant(branching(), "w", np.ones(5)).graph.constants[0].trainable
    assert replace_by_input(branching(), "x", np.ones(5)).graph.inputs[0].type.shape == (5,)


def test_with_outputs_refuses_unknown_names() -> None:
    with pytest.raises(GraphError, match="no value 'nothing'"):
        with_outputs(branching().graph, ["nothing"])


def test_rename_reaches_bodies_and_refuses_collisions() -> None:
    renamed = rename(with_bodies().graph, {"a": "A", "r": "R", "w": "W"})
    check(renamed)
    assert {"A", "R", "W"} <= set(all_names(renamed))
    assert {"a", "r", "w"}.isdisjoint(all_names(renamed))
    assert next(iter(renamed.nodes[1].bodies())).nodes[0].args == (Ref("p"), Ref("A"))
    with pytest.raises(GraphError, match="same name"):
        rename(with_bodies().graph, {"a": "w"})


@pytest.mark.parametrize("make", [branching, with_bodies])
def test_canonical_form_does_not_depend_on_names(make) -> None:
    case = make()
    names = {name: f"{len(name)}#{number}" for number, name in enumerate(reversed(list(all_names(case.graph))))}
    other = rename_case(case, names)
    assert dumps(canonical(case)) == dumps(canonical(other))
    assert dumps(canonical(canonical(case))) == dumps(canonical(case))
    assert structural_digest(case.graph) == structural_digest(other.graph)
    assert case_digest(case) == case_digest(other)
    check_case(canonical(case))


def test_canonical_form_does_not_depend_on_the_order_of_independent_nodes() -> None:
    left, right = node("f", "%x", outputs=("l",)), node("g", "%x", "%w", outputs=("r",))
    last = node("k", "%l", "%r", outputs=("o",))
    inputs = (Input("x", TensorType("float32", (2,))),)
    constants = (Constant("w", np.zeros(2)),)
    graphs = [Graph("torch", inputs, constants, (*pair, last), ("o",)) for pair in ((left, right), (right, left))]
    assert len({structural_digest(graph) for graph in graphs}) == 1
    assert canonical(Case(graphs[1], {})).graph.operators() == ("f", "g", "k")


def test_canonical_names() -> None:
    case = canonical(branching())
    assert [value.name for value in case.graph.inputs] == ["x0", "x1"]
    assert [constant.name for constant in case.graph.constants] == ["c0", "c1"]
    assert list(case.graph.producers()) == ["v0", "v1", "v2", "v3", "v4"]
    assert case.profiles == {"x0": "ties", "x1": "typical", "c0": "tiny"}
    assert case.graph.operators() == ("f", "g", "k", "h")  # the dead one last


def test_canonical_graphs_execute_alike(grown: list[Case]) -> None:
    for case in grown:
        same = canonical(case)
        check_case(same)
        left = TORCH.run(case.graph, case.feeds)
        right = TORCH.run(same.graph, same.feeds)
        pairs = zip(case.graph.outputs, same.graph.outputs, strict=True)
        assert all(left[old].tobytes() == right[new].tobytes() for old, new in pairs)


def test_digests_see_what_they_should() -> None:
    case = branching()
    changed = {
        "data": dataclasses.replace(
            case.graph, constants=(Constant("w", np.array([1, 3], dtype=np.float32), True), case.graph.constants[1])
        ),
        "trainable": dataclasses.replace(
            case.graph, constants=(Constant("w", case.graph.constants[0].data), case.graph.constants[1])
        ),
        "target": dataclasses.replace(case.graph, nodes=(node("F", "%x", "%w", outputs=("a",)), *case.graph.nodes[1:])),
        "literal": dataclasses.replace(
            case.graph, nodes=(*case.graph.nodes[:2], node("h", ("%b", 3.0), outputs=("d",)), case.graph.nodes[3])
        ),
        "wiring": dataclasses.replace(case.graph, outputs=("b", "e")),
    }
    assert structural_digest(changed.pop("data")) == structural_digest(case.graph)
    digests = {name: structural_digest(graph) for name, graph in changed.items()}
    assert len({structural_digest(case.graph), *digests.values()}) == len(digests) + 1
    fed = Case(case.graph, {**case.feeds, "x": np.zeros(2, dtype=np.float32)})
    assert case_digest(fed) != case_digest(case)
    assert case_digest(Case(case.graph, case.feeds)) == case_digest(case)  # profiles have no effect on execution


def test_retype_takes_types_from_values() -> None:
    case = branching()
    layout = Input("x", TensorType("float32", (2, 2)), (1, 0))
    graph = retype(dataclasses.replace(case.graph, inputs=(layout, case.graph.inputs[1])), recorded())
    assert str(graph.types()["c"]) == "int64[1]"
    assert str(graph.types()["x"]) == "float32[2]"
    assert graph.inputs[0].layout == ()
    assert retype(case.graph, {}) == case.graph


def test_in_double_widens_feeds_constants_literals_and_types() -> None:
    case = in_double(with_bodies())
    check_case(case)
    assert case.feeds["x"].dtype == np.float64
    assert case.graph.constants[0].data.dtype == np.float64
    assert case.graph.nodes[1].kwargs == (("dtype", DType("float64")),)
    body = next(iter(case.graph.nodes[1].bodies()))
    assert body.constants[0].data.dtype == np.float64
    assert {kind.dtype for kind in case.graph.types().values()} == {"float64"}


def test_in_double_computes_the_same_more_precisely() -> None:
    x = np.array([1.1, -2.3], dtype=np.float32)
    graph = Graph("torch", (Input("x", type_of(x)),), (), (node("torch.exp", "%x", outputs=("y",)),), ("y",))
    case = Case(graph, {"x": x})
    wide = in_double(case)
    assert TORCH.run(wide.graph, wide.feeds)["y"].tolist() == pytest.approx(np.exp(x.astype(np.float64)), rel=1e-15)
    assert case.feeds["x"].dtype == np.float32
