"""Modules of torch.nn as nodes: the same numbers from the interpreter, the printed source and torch itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from generators.frontends.base import EvaluationError, frontend
from generators.frontends.torch_modules import flattened, is_module, state_of
from generators.graph import Array, Case, Constant, Graph, GraphError, Input, Node, Ref, Value, type_of
from generators.serial import dumps, loads
from generators.transforms import isolate, replace_by_input, union
from generators.wellformed import check_case
from oracles.minimize.edits import applied
from oracles.minimize.simplicity import simplicity
from oracles.minimize.simplify import proposals
from oracles.noise import Analyst

TORCH = frontend("torch")


def case_of(module: torch.nn.Module, *inputs: Any, **constructor: Any) -> Case:
    """A module as a case of one node: tensors among the inputs are fed, the parameters are constants."""
    state = {key: value.detach().numpy().copy() for key, value in module.state_dict().items()}
    constants = tuple(Constant(f"p{index}", array) for index, array in enumerate(state.values()))
    fed: dict[str, Array] = {}

    def argument(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            fed[f"x{len(fed)}"] = value.numpy()
            return Ref(f"x{len(fed) - 1}")
        return tuple(argument(item) for item in value) if isinstance(value, tuple) else value

    args = tuple(argument(value) for value in inputs)
    pairs = tuple((key, Ref(f"p{index}")) for index, key in enumerate(state))
    with torch.no_grad():
        result = flattened(module.eval()(*inputs))
    results = result if isinstance(result, tuple) else (result,)
    outputs = tuple(Value(f"v{index}", type_of(item.numpy())) for index, item in enumerate(results))
    node = Node(
        f"torch.nn.{type(module).__name__}",
        args,
        (*constructor.items(), *([("state", pairs)] if pairs else [])),
        outputs,
        isinstance(result, tuple),
    )
    graph = Graph(
        "torch",
        tuple(Input(name, type_of(array)) for name, array in fed.items()),
        constants,
        (node,),
        tuple(value.name for value in outputs),
    )
    return Case(graph, fed)


def lstm() -> tuple[Case, list[Array]]:
    torch.manual_seed(1)
    module = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    x = torch.randn(5, 2, 3)
    case = case_of(module, x, input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
    with torch.no_grad():
        return case, [item.numpy() for item in flattened(module.eval()(x))]


CASES = {
    "lstm with states": lambda: case_of(
        torch.nn.LSTM(2, 3), torch.randn(4, 1, 2), (torch.randn(1, 1, 3), torch.randn(1, 1, 3)),
        input_size=2, hidden_size=3,
    ),
    "gru": lambda: case_of(torch.nn.GRU(2, 3), torch.randn(4, 2), input_size=2, hidden_size=3),
    "attention": lambda: case_of(
        torch.nn.MultiheadAttention(4, 2), torch.randn(3, 2, 4), torch.randn(3, 2, 4), torch.randn(3, 2, 4),
        embed_dim=4, num_heads=2,
    ),
    "attention without weights": lambda: case_of(
        torch.nn.MultiheadAttention(4, 2), torch.randn(3, 2, 4), torch.randn(3, 2, 4), torch.randn(3, 2, 4),
        None, False, embed_dim=4, num_heads=2,
    ),
    "encoder layer": lambda: case_of(
        torch.nn.TransformerEncoderLayer(4, 2, 8), torch.randn(3, 2, 4), d_model=4, nhead=2, dim_feedforward=8
    ),
    "batch norm": lambda: case_of(torch.nn.BatchNorm2d(3), torch.randn(2, 3, 4, 4), num_features=3),
    "no state": lambda: case_of(torch.nn.Hardswish(), torch.randn(4)),
    "no bias": lambda: case_of(torch.nn.Linear(3, 2, bias=False), torch.randn(4, 3), in_features=3, out_features=2,
                               bias=False),
}  # fmt: skip


def test_what_a_module_is() -> None:
    assert is_module("torch.nn.LSTM")
    assert not is_module("torch.nn.functional.relu")
    assert not is_module("torch.Tensor.add")


def test_an_lstm_gives_what_torch_gives() -> None:
    case, expected = lstm()
    values = TORCH.run(case.graph, case.feeds)
    printed = TORCH.execute(TORCH.load(case))
    for name, array, result in zip(case.graph.outputs, printed, expected, strict=True):
        assert values[name].tobytes() == array.tobytes() == result.tobytes()
    source = TORCH.source(case.graph)
    assert "torch.nn.LSTM(input_size=3, hidden_size=4, num_layers=2, bidirectional=True)" in source
    assert "v0, (v1, v2) = self.module_0(x0)" in source
    assert "register_buffer" not in source


@pytest.mark.parametrize("name", CASES)
def test_interpreter_source_and_file_agree(name: str) -> None:
    torch.manual_seed(2)
    case = CASES[name]()
    check_case(case)
    TORCH.check_arguments(case.graph)
    assert loads(dumps(case)).graph == case.graph
    values = TORCH.run(case.graph, case.feeds)
    for output, array in zip(case.graph.outputs, TORCH.execute(TORCH.load(case)), strict=True):
        assert values[output].tobytes() == array.tobytes()
    assert {str(type_of(values[value.name])) for value in case.graph.nodes[0].outputs} == {
        str(value.type) for value in case.graph.nodes[0].outputs
    }


@pytest.mark.parametrize("name", CASES)
def test_double_precision_bounds_the_noise(name: str) -> None:
    torch.manual_seed(2)
    case = CASES[name]()
    analysis = Analyst(TORCH, case).bounds()
    assert analysis.notes == ()
    for bound in analysis.bounds.values():
        assert bound.problem == ""
        assert bound.reference.dtype == np.float64
        assert (np.abs(bound.reference - bound.eager) <= bound.limit).all()
        assert bound.limit.max() < 1e-3


def test_parameters_are_constants_and_stay_so() -> None:
    case, _ = lstm()
    changed = replace_by_input(case, "p0", case.graph.constants[0].data)
    with pytest.raises(EvaluationError, match="'p0' is a parameter of a module, but no constant"):
        TORCH.check_arguments(changed.graph)
    with pytest.raises(GraphError, match="but no constant"):
        TORCH.source(changed.graph)


def test_parameters_keep_their_shapes() -> None:
    case, _ = lstm()
    first, *rest = case.graph.constants
    graph = replace(case.graph, constants=(Constant(first.name, first.data[:-1]), *rest))
    with pytest.raises(EvaluationError, match="size mismatch"):
        TORCH.run(graph, case.feeds)


def test_a_malformed_state_is_refused() -> None:
    with pytest.raises(GraphError, match="where a name and a value belong"):
        state_of(Node("torch.nn.Linear", (), (("state", (("weight", 1),)),), ()))


@pytest.mark.parametrize("name", ["lstm with states", "batch norm", "attention"])
def test_what_the_minimizer_proposes_is_well_formed(name: str) -> None:
    torch.manual_seed(2)
    case = CASES[name]()
    tried = runs = 0
    for edit in proposals(case):
        changed = applied(edit, case)
        if changed is None:
            continue
        check_case(changed)
        assert simplicity(changed) < simplicity(case)
        tried += 1
        try:
            TORCH.check_arguments(changed.graph)
            values = TORCH.run(changed.graph, changed.feeds)
        except (EvaluationError, GraphError):  # the pipeline refuses such a candidate
            continue
        runs += 1
        for output, array in zip(changed.graph.outputs, TORCH.execute(TORCH.load(changed)), strict=True):
            assert values[output].tobytes() == array.tobytes()
    assert tried >= 20
    assert runs >= 10


def test_modules_stand_side_by_side() -> None:
    torch.manual_seed(2)
    cases = [build() for build in CASES.values()]
    joined = union(cases)
    results = joined.split(TORCH.execute(TORCH.load(joined.case)))
    for case, arrays in zip(cases, results, strict=True):
        values = TORCH.run(case.graph, case.feeds)
        assert [array.tobytes() for array in arrays] == [values[name].tobytes() for name in case.graph.outputs]
        [alone] = isolate(case, values)
        assert len(alone.graph.constants) == len(case.graph.constants)
