"""The passes one by one: what they propose is well formed and simpler; what single ones are for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, frontend
from generators.graph import DTYPES, Case, Constant, DType, Graph, Input, Node, Ref, Value, type_of
from generators.random_graphs import grow
from generators.transforms import canonical
from generators.wellformed import check_case
from oracles.minimize.bypass_nodes import bypassed
from oracles.minimize.delete_nodes import without
from oracles.minimize.edits import applied, compose, tensors
from oracles.minimize.isolate import parts
from oracles.minimize.question import digest
from oracles.minimize.simplicity import is_special, simplicity, value_cost
from oracles.minimize.simplify import PASSES, proposals
from oracles.minimize.simplify_dtypes import cast
from oracles.minimize.simplify_values import CHANGES

TORCH = frontend("torch")


def one(target: str, *args, data: dict[str, np.ndarray], constants: tuple[str, ...] = (), **kwargs) -> Case:
    """A case of one call; references are ``Ref`` objects naming the data, which are inputs unless listed."""
    inputs = tuple(Input(name, type_of(array)) for name, array in data.items() if name not in constants)
    held = tuple(Constant(name, data[name], trainable=True) for name in constants)
    node = Node(target, args, tuple(kwargs.items()), (Value("v", type_of(next(iter(data.values())))),))
    feeds = {value.name: data[value.name] for value in inputs}
    return Case(Graph("torch", inputs, held, (node,), ("v",)), feeds)


def labels(case: Case, wanted: str) -> list[Case]:
    """What the edits of one pass make of the case."""
    return [changed for edit in proposals(case) if edit.by == wanted and (changed := applied(edit, case))]


def runs(case: Case) -> bool:
    try:
        TORCH.run(case.graph, case.feeds)
    except EvaluationError:
        return False
    return True


@pytest.mark.parametrize("seed", range(12))
def test_every_proposal_is_well_formed_and_simpler(seed: int) -> None:
    case = canonical(grow(TORCH, SeededChoices(seed, 3), nodes=3).case)
    before = digest(case)
    edits = proposals(case)
    assert edits
    for edit in edits:
        changed = applied(edit, case)
        assert changed is not None
        check_case(changed)
        assert simplicity(changed) < simplicity(case)
    check_case(compose(case, edits))
    assert digest(case) == before


@pytest.mark.parametrize("seed", range(4))
def test_parts_of_random_graphs_run_and_give_the_recorded_values(seed: int) -> None:
    case = canonical(grow(TORCH, SeededChoices(seed, 4), nodes=8).case)
    values = TORCH.run(case.graph, case.feeds)
    for index in range(len(case.graph.nodes)):
        for part in (*parts(case, (index,), values), without(case, (index,), values)):
            assert part is not None
            check_case(part)
            found = TORCH.run(part.graph, part.feeds)
            for name in part.graph.outputs:
                assert found[name].tobytes() == values[name].tobytes()


def test_dimensions_that_must_agree_shrink_together() -> None:
    data = {"x": np.ones((2, 3, 8, 8), np.float32), "w": np.ones((4, 3, 3, 3), np.float32), "b": np.ones(4, np.float32)}
    case = one("torch.conv2d", Ref("x"), Ref("w"), Ref("b"), data=data)
    valid = [changed for changed in labels(case, "shapes") if runs(changed)]
    shapes = {tuple(array.shape for array in tensors(changed).values()) for changed in valid}
    assert ((1, 1, 1, 1), (1, 1, 1, 1), (1,)) in shapes
    assert ((2, 1, 8, 8), (4, 1, 3, 3), (4,)) in shapes  # channels without the kernel, though all are 3


def test_a_reshape_shrinks_with_its_argument() -> None:
    case = one("torch.reshape", Ref("x"), (2, 12), data={"x": np.ones((4, 6), np.float32)})
    shapes = {
        (tensors(changed)["x"].shape, changed.graph.nodes[0].args[1])
        for changed in labels(case, "shapes")
        if runs(changed)
    }
    assert ((2, 6), (1, 12)) in shapes
    assert ((1, 1), (1, 1)) in shapes


def test_indices_are_wrapped_when_what_they_index_shrinks() -> None:
    data = {"x": np.ones((9, 2), np.float32), "i": np.array([8, -3, 7])}
    case = one("torch.Tensor.__getitem__", Ref("x"), Ref("i"), data=data)
    assert any(runs(changed) and tensors(changed)["x"].shape[0] == 1 for changed in labels(case, "shapes"))


def test_ranks_drop_with_their_axes() -> None:
    case = one("torch.permute", Ref("x"), (2, 0, 1), data={"x": np.ones((2, 3, 4), np.float32)})
    found = {
        (tensors(changed)["x"].ndim, changed.graph.nodes[0].args[1])
        for changed in labels(case, "ranks")
        if runs(changed)
    }
    assert {(2, (1, 0)), (2, (0, 1))} <= found


def test_element_types_change_together_with_literals() -> None:
    data = {"x": np.ones(2, np.float16), "y": np.ones(2, np.float16)}
    case = one("torch.add", Ref("x"), Ref("y"), data=data, dtype=DType("float16"))
    first = labels(case, "dtypes")[0]
    assert {array.dtype.name for array in tensors(first).values()} == {"float32"}
    assert first.graph.nodes[0].kwargs == (("dtype", DType("float32")),)


def test_arguments_become_defaults_and_simple() -> None:
    data = {"x": np.ones((2, 3), np.float32), "w": np.ones(3, np.float32)}
    case = one("torch.layer_norm", Ref("x"), (3,), data=data, weight=Ref("w"), eps=0.00123)
    found = labels(case, "arguments")
    assert any(not changed.graph.nodes[0].kwargs and "w" not in changed.feeds for changed in found)
    assert any(dict(changed.graph.nodes[0].kwargs).get("eps") == 1.0 for changed in found)


def test_constants_become_inputs_and_parameters_buffers() -> None:
    data = {"x": np.ones(2, np.float32), "c": np.zeros(2, np.float32)}
    found = labels(one("torch.add", Ref("x"), Ref("c"), data=data, constants=("c",)), "roles")
    assert any(not changed.graph.constants and len(changed.feeds) == 2 for changed in found)
    assert any([item.trainable for item in changed.graph.constants] == [False] for changed in found)


def test_a_bypassed_node_leaves_the_path_connected() -> None:
    case = one("torch.sin", Ref("x"), data={"x": np.ones(2, np.float32)})
    kind = type_of(np.ones(2, np.float32))
    last = Node("torch.cos", (Ref("v"),), (), (Value("w", kind),))
    graph = Graph("torch", case.graph.inputs, (), (*case.graph.nodes, last), ("w",))
    (shorter,) = bypassed(Case(graph, case.feeds))
    assert shorter.graph.operators() == ("torch.cos",)
    assert list(shorter.graph.nodes[0].references()) == ["x"]


def test_the_order_of_values() -> None:
    rows = [[0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 2], [3, 2, 5], [0.5, 2.5, 3], [0.1, 2.5, 3], [0.1234567, 1.5, 3]]
    costs = [value_cost(np.array(row, np.float32)) for row in rows]
    assert costs == sorted(costs)
    assert len(set(costs)) == len(costs)
    assert value_cost(np.array([-0.0])) > value_cost(np.array([0.0]))


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_every_element_type_can_be_simplified(name: str) -> None:
    array = np.arange(-3, 6).clip(0 if name.startswith("u") else -3).astype(DTYPES[name])
    for data in (array, array[3:4].reshape(()), array[:0], array.reshape(3, 3)):
        for change in CHANGES.values():
            changed = change(data)
            assert changed.dtype == data.dtype
            assert changed.shape == data.shape
        for new in ("float32", "int64", "int32"):
            assert cast(data, new).shape == data.shape
    assert value_cost(array) >= 0
    assert not is_special(np.array([1], DTYPES[name]))


@pytest.mark.parametrize("new", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_casts_never_wrap(new: str) -> None:
    for name in ("float32", "float16", "bfloat16", "int64", "int8", "bool", "complex64"):
        extreme = np.array([0, 1], DTYPES[name])
        if name in ("float32", "float16", "bfloat16"):
            extreme = np.array([0, 1, np.nan, np.inf, -np.inf]).astype(DTYPES[name])
        elif name.startswith("int"):
            extreme = np.array([0, 1, np.iinfo(name).max, np.iinfo(name).min], name)
        result = cast(extreme, new)
        assert result.dtype == DTYPES[new]
        assert result[:2].tolist() == [0, 1]
        if new.startswith(("int", "uint")) and name.startswith("int"):
            assert result[2] == min(np.iinfo(name).max, np.iinfo(new).max)
            assert result[3] == max(np.iinfo(name).min, np.iinfo(new).min)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([np.nan], np.float32), True),
        (np.array([np.inf]).astype(DTYPES["bfloat16"]), True),
        (np.array([2**31 - 1], np.int32), True),
        (np.array([2**24 + 1], np.int64), True),
        (np.array([2**63 - 1], np.int64), True),
        (np.array([127], np.int8), False),
        (np.array([1e30], np.float32), False),
        (np.array([], np.int64), False),
    ],
)
def test_special_values(array: np.ndarray, expected: bool) -> None:
    assert is_special(array) is expected


def test_no_pass_is_forgotten() -> None:
    assert len(PASSES) == 11


def test_arguments_that_hold_several_tensors_are_taken_apart() -> None:
    data = {f"x{index}": np.ones(2, "float32") for index in range(3)}
    case = one("torch.stack", tuple(Ref(name) for name in data), data=data)
    paths = (("a0", "z"), ("a0", "k", 0), ("a0", "k", 1))
    inputs = tuple(replace(value, path=path) for value, path in zip(case.graph.inputs, paths, strict=True))
    case = replace(case, graph=replace(case.graph, inputs=inputs))
    found = labels(case, "grouping")
    for changed in found:
        check_case(changed)
        assert runs(changed)
    assert [tuple(value.path for value in changed.graph.inputs) for changed in found] == [
        ((), (), ()),
        ((), *paths[1:]),
        (paths[0], (), paths[2]),
        (*paths[:2], ()),
    ]
    flat = tuple(replace(value, path=path) for value, path in zip(inputs, (("a0", "z"), ("a0", "k"), ()), strict=True))
    found = labels(replace(case, graph=replace(case.graph, inputs=flat)), "grouping")
    assert (("a0", 0), ("a0", 1), ()) in [tuple(value.path for value in changed.graph.inputs) for changed in found]
