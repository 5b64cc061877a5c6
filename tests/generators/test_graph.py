from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from generators.graph import (
    Case,
    Constant,
    Graph,
    GraphError,
    Input,
    Ref,
    Slice,
    TensorType,
    captured,
    dtype_name,
    map_node,
    references,
    type_of,
)
from generators.wellformed import check, check_case
from tests.generators.samples import F32, branching, every_argument, node, with_bodies


def test_types_of_all_values() -> None:
    types = branching().graph.types()
    assert set(types) == {"x", "y", "w", "u", "a", "b", "c", "d", "e"}
    assert str(types["u"]) == "float64[3]"
    assert types["u"].rank == 1
    assert TensorType("int8", (2, 0, 3)).size == 0
    assert TensorType("int8", ()).size == 1


def test_element_types_have_names() -> None:
    assert dtype_name(np.dtype(ml_dtypes.bfloat16)) == "bfloat16"
    assert type_of(np.zeros((2, 1), dtype=ml_dtypes.float8_e4m3fn)) == TensorType("float8_e4m3fn", (2, 1))
    for unknown in (np.dtype("U3"), np.dtype("longdouble"), np.dtype(">f4")):
        with pytest.raises(GraphError, match="no graph value"):
            dtype_name(unknown)


def test_references_are_found_in_tuples_slices_and_bodies() -> None:
    assert list(references((Ref("a"), (1, Slice(Ref("b"), None, Ref("a")))))) == ["a", "b", "a"]
    conditional = with_bodies().graph.nodes[1]
    assert list(conditional.references()) == ["x", "a", "w", "a", "w", "a"]
    assert set(captured(next(iter(conditional.bodies())))) == {"a", "w"}


def test_mapping_references_leaves_definitions_and_shadows_alone() -> None:
    conditional = map_node(with_bodies().graph.nodes[1], lambda name: Ref(name.upper()))
    first, second = conditional.bodies()
    assert set(captured(first)) == {"A", "W"}
    assert second.outputs == ("W", "A")
    assert first.inputs[0].name == "p"
    with pytest.raises(GraphError, match="can only be replaced by another value"):
        map_node(with_bodies().graph.nodes[1], lambda name: 3)


def test_operators_of_bodies_come_after_their_node() -> None:
    assert with_bodies().graph.operators() == ("f", "cond", "f", "unused", "loop", "deep")


def test_well_formed_cases_pass() -> None:
    for case in (branching(), with_bodies(), every_argument()):
        check_case(case)


def _broken() -> dict[str, tuple[Graph, str]]:
    graph = branching().graph
    first = graph.nodes[0]

    def nodes(*new: object) -> Graph:
        return dataclasses.replace(graph, nodes=new)  # type: ignore[arg-type]

    bad_body = dataclasses.replace(next(iter(with_bodies().graph.nodes[1].bodies())), outputs=("nowhere",))
    return {
        "undefined": (nodes(node("f", "%q", outputs=("a",))), r"node 0 \(f\): uses value 'q'"),
        "before its definition": (nodes(node("f", "%a", outputs=("a",))), r"uses value 'a', which nothing before"),
        "twice": (nodes(first, node("f", "%x", outputs=("a",))), r"node 1 \(f\): value 'a' is defined twice"),
        "empty name": (nodes(node("f", "%x", outputs=("",))), "non-empty name"),
        "output": (dataclasses.replace(graph, outputs=("e", "q")), r"output 1: value 'q'"),
        "extent": (dataclasses.replace(graph, inputs=(Input("x", TensorType("int8", (-1,))),)), "extents are integers"),
        "dtype": (dataclasses.replace(graph, inputs=(Input("x", TensorType("float7", ())),)), "unknown dtype 'float7'"),
        "layout": (dataclasses.replace(graph, inputs=(Input("x", F32, (1,)),)), "no permutation"),
        "body": (
            nodes(first, dataclasses.replace(node("cond", outputs=("z",)), args=((bad_body,),))),
            r"node 1 \(cond\)",
        ),
        "shadowing": (
            nodes(first, dataclasses.replace(node("g", outputs=("z",)), args=(
                Graph("torch", (Input("a", F32),), (), (), ("a",)),
            ))),
            r"body 0, input 0: value 'a' is defined twice",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("fault", list(_broken()))
def test_malformed_graphs_are_refused_with_the_place(fault: str) -> None:
    graph, message = _broken()[fault]
    with pytest.raises(GraphError, match=message):
        check(graph)


def test_feeds_must_be_there_and_of_the_right_type() -> None:
    case = branching()
    with pytest.raises(GraphError, match="'y' has no feed"):
        check_case(Case(case.graph, {"x": case.feeds["x"]}))
    with pytest.raises(GraphError, match=r"'x' is float32\[2\], its feed is float64\[2\]"):
        check_case(Case(case.graph, {**case.feeds, "x": np.zeros(2)}))


def test_constants_are_equal_by_bits() -> None:
    assert Constant("c", np.array([np.nan])) == Constant("c", np.array([np.nan]))
    assert Constant("c", np.array([0.0])) != Constant("c", np.array([-0.0]))
    assert Constant("c", np.array([0], dtype=np.int64)) != Constant("c", np.array([0.0]))
    assert hash(Constant("c", np.array([1.0]))) == hash(Constant("c", np.array([2.0])))
