from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from generators.choices import SeededChoices
from generators.control.registry import nested
from generators.frontends.base import EvaluationError, frontend
from generators.graph import Case, Constant, Graph, Input, Node, Ref, TensorType, Value, all_nodes, type_of
from generators.patterns import Avoided
from generators.random_graphs import Weights, begin, grow
from generators.serial import dumps, loads
from generators.strategies import graphs
from generators.transforms import canonical, case_digest, in_double, isolate, retype, trim, union
from generators.wellformed import check_case
from oracles.compare import same

FRONTENDS = ("torch", "tensorflow", "onnx")
QUICK = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def check_printed(case: Case) -> None:
    """The printed source gives what the interpreter gives, to the bit, in the types that the graph says."""
    check_case(case)
    vocabulary = frontend(case.graph.frontend)
    values = vocabulary.run(case.graph, case.feeds)
    assert retype(case.graph, values) == case.graph
    model = vocabulary.load(case)
    outputs = vocabulary.execute(model)
    for name, actual in zip(case.graph.outputs, outputs, strict=True):
        assert same(actual, values[name]), f"{name}\n{model.source}"


@cache
def grown(name: str, count: int = 40) -> tuple[Case, ...]:
    """Cases with control flow."""
    vocabulary, found = frontend(name), []
    for seed in range(count):
        growth = begin(vocabulary, SeededChoices(seed, 0, 0))
        for _ in range(8):
            growth.attempt()
        if growth.nodes and not growth.control():
            growth.attempt()
            found.append(growth.finish().case)
    assert len(found) > count * 0.8
    return tuple(found)


def controls(case: Case) -> Iterator[Node]:
    return (node for node in all_nodes(case.graph) if next(node.bodies(), None) is not None)


@QUICK
@given(graphs("torch", nodes=(1, 4), control_flow=True))
def test_printed_control_flow_of_torch_executes_to_the_interpreters_values(case: Case) -> None:
    assert any(controls(case))
    check_printed(case)


@QUICK
@given(graphs("tensorflow", nodes=(1, 4), control_flow=True))
def test_printed_control_flow_of_tensorflow_executes_to_the_interpreters_values(case: Case) -> None:
    assert any(controls(case))
    check_printed(case)


@QUICK
@given(graphs("onnx", nodes=(1, 4), control_flow=True))
def test_printed_control_flow_of_onnx_executes_to_the_interpreters_values(case: Case) -> None:
    assert any(controls(case))
    check_printed(case)


def test_torch_s_own_operators_give_the_same() -> None:
    """Eager mode stands in for what torch compiles; torch itself must agree."""
    import torch

    vocabulary = frontend("torch")
    seen: Counter[str] = Counter()
    for case in grown("torch"):
        targets = {node.target for node in controls(case)}
        if all(seen[target] for target in targets):
            continue
        seen.update(targets)
        torch._dynamo.reset()
        model = vocabulary.load(case)
        with torch.no_grad():
            outputs = model.native(*(argument.clone() for argument in model.arguments))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        values = vocabulary.run(case.graph, case.feeds)
        for name, output in zip(case.graph.outputs, outputs, strict=True):
            np.testing.assert_allclose(
                vocabulary.to_array(output).astype(np.complex128), values[name].astype(np.complex128), rtol=1e-5
            )
    assert len(seen) >= 3


@pytest.mark.parametrize("name", FRONTENDS)
def test_every_operator_is_drawn_with_both_outcomes_nested_and_capturing(name: str) -> None:
    seen: Counter[str] = Counter()
    for case in grown(name):
        values = frontend(name).run(case.graph, case.feeds)
        seen.update(node.target for node in case.graph.nodes if next(node.bodies(), None) is not None)
        for node in case.graph.nodes:
            if node.target in ("torch.cond", "tf.cond", "onnx.If"):
                [predicate] = [item.name for item in node.args[:1] if isinstance(item, Ref)]
                seen[str(bool(values[predicate]))] += 1
                seen["computed"] += predicate in case.graph.producers()
        depth = nested(case.graph)
        assert 1 <= depth <= 2
        seen["nested"] += depth == 2
    rare = "torch._higher_order_ops.map"
    for target in frontend(name).control_targets():
        assert seen[target] >= 3 or target == rare, target
    assert seen["True"] >= 3
    assert seen["False"] >= 3
    assert seen["computed"] >= 6
    assert seen["nested"] >= 2


@pytest.mark.parametrize("name", FRONTENDS)
def test_transforms_reach_into_bodies(name: str) -> None:
    cases = grown(name)[:12]
    for case in cases:
        assert loads(dumps(case)).graph == case.graph
        standard = canonical(case)
        assert canonical(standard).graph == standard.graph
        assert case_digest(standard) == case_digest(case)
        check_printed(standard)
        for part in isolate(case, frontend(name).run(case.graph, case.feeds)):
            check_printed(part)
        check_printed(trim(case))
    check_printed(union(cases).case)


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_graph_runs_in_double_precision(name: str) -> None:
    ran, kinds = 0, Counter[str]()
    for case in grown(name)[:12]:
        double = in_double(case)
        try:
            values = frontend(name).run(double.graph, double.feeds)
        except EvaluationError:  # some operators have no kernel for it
            continue
        ran += 1
        kinds.update(array.dtype.name for array in values.values())
    assert ran >= 6
    # Some operators give float32 whatever they are given.
    assert kinds["float64"] > 10 * kinds["float32"]


def conditional(then: str, other: str, predicate: bool) -> Case:
    """A conditional on an input, between two functions of another."""
    kind = TensorType("float32", (2,))
    bodies = [
        Graph(
            "torch", (Input(f"i{at}", kind),), (), (Node(target, (Ref(f"i{at}"),), (), (Value(f"o{at}", kind),)),),
            (f"o{at}",),
        )
        for at, target in enumerate((then, other))
    ]  # fmt: skip
    node = Node("torch.cond", (Ref("p"), *bodies, (Ref("x"),)), (), (Value("y", kind),))
    graph = Graph("torch", (Input("p", TensorType("bool", ())), Input("x", kind)), (), (node,), ("y",))
    return Case(graph, {"p": np.array(predicate), "x": np.array([1, 4], np.float32)})


def test_both_branches_run_and_are_told() -> None:
    case = conditional("torch.neg", "torch.sqrt", False)
    values = frontend("torch").run(case.graph, case.feeds)
    assert values["y"].tolist() == [1, 2]
    assert values["o0"].tolist() == [-1, -4]


def test_a_branch_that_is_not_taken_must_be_valid_too() -> None:
    case = conditional("torch.det", "torch.sqrt", False)
    with pytest.raises(EvaluationError, match=r"torch\.det"):
        frontend("torch").run(case.graph, case.feeds)


def test_a_loop_without_a_step_tells_the_types_of_its_body() -> None:
    number, kind = TensorType("int64", ()), TensorType("float32", (2,))
    condition = Graph(
        "torch", (Input("i", number), Input("a", kind)), (),
        (Node("torch.lt", (Ref("i"), 0), (), (Value("go", TensorType("bool", ())),)),), ("go",),
    )  # fmt: skip
    body = Graph(
        "torch", (Input("j", number), Input("b", kind)), (),
        (
            Node("torch.add", (Ref("j"), 1), (), (Value("k", number),)),
            Node("torch.exp", (Ref("b"),), (), (Value("c", kind),)),
        ),
        ("k", "c"),
    )  # fmt: skip
    node = Node(
        "torch._higher_order_ops.while_loop", (condition, body, (Ref("n"), Ref("x"))), (),
        (Value("m", number), Value("y", kind)),
    )  # fmt: skip
    graph = Graph("torch", (Input("x", kind),), (Constant("n", np.array(0)),), (node,), ("y",))
    case = Case(graph, {"x": np.array([0, 1], np.float32)})
    values = frontend("torch").run(graph, case.feeds)
    assert values["y"].tolist() == [0, 1]
    assert type_of(values["c"]) == kind
    check_printed(case)


def test_quarantine_speaks_of_bodies() -> None:
    case = conditional("torch.neg", "torch.sqrt", True)
    for pattern in (
        'torch.neg{"inside": "torch.cond"}',
        'torch.cond{"holds torch.sqrt": true}',
        "torch.sqrt(float32)",
        "torch.cond(~bool,float)",
    ):
        assert Avoided([pattern]).in_graph(case.graph), pattern
    for pattern in ('torch.neg{"inside": "torch.relu"}', 'torch.cond{"holds torch.exp": true}'):
        assert not Avoided([pattern]).in_graph(case.graph), pattern


def test_what_is_quarantined_in_bodies_is_grown_outside() -> None:
    vocabulary = frontend("torch")
    weights = Weights.of(vocabulary, only=["torch.neg", "torch.cond", "torch.sin"])
    inside: Counter[str] = Counter()
    for seed in range(40):
        avoid = Avoided(['torch.neg{"inside": "torch.cond"}'])
        case = grow(vocabulary, SeededChoices(seed, 1, 0), nodes=5, weights=weights, avoid=avoid).case
        outer = [node.target for node in case.graph.nodes]
        inside.update(target for target in case.graph.operators() if target not in outer)
        inside["outside"] += "torch.neg" in outer
        inside["control"] += any(controls(case))
    assert inside["outside"] > 5
    assert inside["control"] > 5
    assert inside["torch.neg"] <= 2


def test_graphs_of_control_flow_alone_can_be_asked_for() -> None:
    vocabulary = frontend("onnx")
    weights = Weights.of(vocabulary, only=["onnx.Loop"])
    for seed in range(5):
        case = grow(vocabulary, SeededChoices(seed, 1, 0), nodes=2, weights=weights).case
        assert [node.target for node in controls(case)][:1] == ["onnx.Loop"]


def test_without_its_weight_there_is_no_control_flow() -> None:
    vocabulary = frontend("torch")
    weights = Weights.of(vocabulary, dict.fromkeys(vocabulary.control_targets(), 0.0))
    assert not weights.control
    for seed in range(60):
        assert not any(controls(grow(vocabulary, SeededChoices(seed, 1, 0), nodes=5, weights=weights).case))
