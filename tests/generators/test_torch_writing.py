"""Torch as people write it: writing into tensors, Python's operators, modules with parametrized weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, frontend
from generators.frontends.torch_source import BINARY_SYMBOLS, UNARY_SYMBOLS, writes
from generators.graph import Case, Constant, Graph, Input, Node, Ref, Slice, TensorType, Value
from generators.random_graphs import Weights, grow

F32 = TensorType("float32", (3,))
X = np.array([1.0, -2.0, 3.0], np.float32)


def case_of(*nodes: Node, outputs: tuple[str, ...]) -> Case:
    return Case(Graph("torch", (Input("x", F32),), (), nodes, outputs), {"x": X})


def node(target: str, *args: object, to: str = "y") -> Node:
    return Node(target, args, (), (Value(to, F32),))  # type: ignore[arg-type]


def both_ways(case: Case) -> list[np.ndarray]:
    """The outputs, interpreted and as printed source, which must agree."""
    ours = frontend("torch")
    values = ours.run(case.graph, case.feeds)
    printed = ours.execute(ours.load(case))
    for array, name in zip(printed, case.graph.outputs, strict=True):
        assert array.tobytes() == values[name].tobytes()
    return printed


def test_what_is_written_into_is_a_copy() -> None:
    case = case_of(
        node("torch.Tensor.add_", Ref("x"), 1.0), node("torch.neg", Ref("x"), to="z"), outputs=("y", "x", "z")
    )
    written, kept, negated = both_ways(case)
    assert written.tolist() == [2.0, -1.0, 4.0]
    assert kept.tolist() == X.tolist()
    assert negated.tolist() == (-X).tolist()
    source = frontend("torch").source(case.graph)
    assert "y = x.clone()\n        y.add_(1.0)" in source


def test_assignment_to_a_subscript() -> None:
    case = case_of(node("operator.setitem", Ref("x"), Slice(1, None), 0.0), outputs=("y",))
    assert both_ways(case)[0].tolist() == [1.0, 0.0, 0.0]
    assert "y[1:] = 0.0" in frontend("torch").source(case.graph)
    case = case_of(node("operator.setitem", Ref("x"), (Slice(None, None, 2),), Ref("x")), outputs=("y",))
    with pytest.raises(EvaluationError):
        frontend("torch").run(case.graph, case.feeds)


@pytest.mark.parametrize("target", ["torch.Tensor.add_", "operator.setitem", "torch.Tensor.masked_fill_"])
def test_targets_that_write(target: str) -> None:
    assert writes(target)


@pytest.mark.parametrize(
    "target", ["torch.Tensor.add", "torch.add", "operator.getitem", "torch.Tensor.__add__", "torch.relu_"]
)
def test_targets_that_do_not(target: str) -> None:
    assert not writes(target)


@pytest.mark.parametrize("target", [*UNARY_SYMBOLS, *BINARY_SYMBOLS])
def test_pythons_operators_are_printed_as_such(target: str) -> None:
    weights = Weights((target,), (1.0,))
    printed = 0
    for seed in range(12):
        try:
            case = grow(frontend("torch"), SeededChoices(9, seed), nodes=2, weights=weights).case
        except ValueError:
            continue
        both_ways(case)
        source = frontend("torch").source(case.graph)
        assert "operator." not in source
        assert (UNARY_SYMBOLS.get(target) or f" {BINARY_SYMBOLS.get(target)} ") in source
        printed += 1
    assert printed >= 6


def test_a_negative_number_keeps_its_place() -> None:
    case = case_of(node("operator.pow", Ref("x"), -2.0), node("operator.sub", 1.0, Ref("y"), to="z"), outputs=("z",))
    assert both_ways(case)[0].tolist() == (1 - X**-2.0).tolist()
    assert "x ** (-2.0)" in frontend("torch").source(case.graph)


def test_other_attributes_of_operator_are_no_targets() -> None:
    with pytest.raises(EvaluationError, match="no operator on tensors"):
        frontend("torch").resolve("operator.attrgetter")


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_parametrized_weights(kind: str) -> None:
    """What the module computes is what torch's own, made with the same parameters, computes."""
    torch.manual_seed(1)
    module = getattr(torch.nn.utils.parametrizations, kind)(torch.nn.Linear(3, 2)).eval()
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    constants = tuple(Constant(f"c{index}", array) for index, array in enumerate(state.values()))
    pairs = tuple((key, Ref(f"c{index}")) for index, key in enumerate(state))
    made = Node(
        "torch.nn.Linear",
        (Ref("x"),),
        (("in_features", 3), ("out_features", 2), ("parametrization", kind), ("state", pairs)),
        (Value("y", TensorType("float32", (2,))),),
    )
    case = Case(Graph("torch", (Input("x", F32),), constants, (made,), ("y",)), {"x": X})
    with torch.no_grad():
        expected = module(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(both_ways(case)[0], expected, rtol=1e-6)
    assert f"torch.nn.utils.parametrizations.{kind}(torch.nn.Linear(" in frontend("torch").source(case.graph)


def test_an_unknown_parametrization_is_refused() -> None:
    made = Node(
        "torch.nn.Linear",
        (Ref("x"),),
        (("in_features", 3), ("out_features", 2), ("parametrization", "orthogonal")),
        (Value("y", TensorType("float32", (2,))),),
    )
    with pytest.raises(EvaluationError, match="no parametrization"):
        frontend("torch").run(Graph("torch", (Input("x", F32),), (), (made,), ("y",)), {"x": X})
