from __future__ import annotations

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import DTYPES, Array, Case, Graph, Input, Node, Ref, Value, type_of
from generators.random_graphs import grow
from generators.transforms import retype
from oracles.compare import compare
from oracles.judge import Judged, judge
from oracles.noise import Analyst
from oracles.outcome import Kind, Verdict
from tests.oracles.faults import FAULTS, Fault, case_with, faulty
from tests.oracles.variants import REWRITES, double_then_rounded, eager, perturbed, rewritten, run_with

TORCH = frontend("torch")


def outputs_of(case: Case) -> list[Array]:
    values = TORCH.run(case.graph, case.feeds)
    return [values[name] for name in case.graph.outputs]


def chain(feed: Array, *calls: tuple[object, ...], outputs: int = 1) -> Case:
    """Operators applied one after the other to the input; each is a target and its further arguments."""
    graph_input = Input("x", type_of(feed))
    nodes, last = [], "x"
    for number, (target, *args) in enumerate(calls):
        value = Value(f"v{number}", graph_input.type)
        nodes.append(Node(str(target), (Ref(last), *args), (), (value,)))  # type: ignore[arg-type]
        last = value.name
    names = tuple(node.outputs[0].name for node in nodes[-outputs:])
    graph = Graph("torch", (graph_input,), (), tuple(nodes), names)
    return Case(retype(graph, TORCH.run(graph, {"x": feed})), {"x": feed})


@pytest.mark.parametrize("block", range(8))
def test_correct_but_different_implementations_are_never_bugs(block: int) -> None:
    for number in range(block * 26, block * 26 + 26):
        case = grow(TORCH, SeededChoices(2024, number), nodes=6).case
        expected = outputs_of(case)
        for implement in (
            eager(TORCH),
            double_then_rounded(TORCH),
            perturbed(TORCH, number),
            perturbed(TORCH, number, biased=True),
            rewritten(TORCH),
        ):
            judged = judge(
                TORCH, case, expected, run_with(TORCH, case, implement), analyst=Analyst(TORCH, case, number)
            )
            bugs = [str(item.mismatch) for item in judged if item.verdict is Verdict.BUG]
            assert bugs == [], f"case {number}: {case.graph.operators()}"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("target", sorted(REWRITES))
def test_other_formulas_and_orders_of_summation_are_never_bugs(target: str, dtype: str) -> None:
    extra = {
        "torch.matmul": None,
        "torch.sum": (-1,),
        "torch.mean": (-1,),
        "torch.softmax": (-1,),
        "torch.log_softmax": (-1,),
        "torch.nn.functional.softmax": (-1,),
        "torch.nn.functional.log_softmax": (-1,),
        "torch.nn.functional.layer_norm": ((64,),),
    }.get(target, ())
    random = np.random.default_rng(7)
    suspects = 0
    for scale, shift in ((1.0, 0.0), (1e-3, 0.0), (3.0, 10.0), (2.0, -4.0)):
        data = (random.standard_normal((8, 64)) * scale + shift).astype(DTYPES[dtype])
        if target == "torch.rsqrt":
            data = np.abs(data)
        case = (
            chain(data.reshape(8, 8, 8), (target, Ref("x")), ("torch.mul", 1.7))
            if extra is None
            else chain(data, (target, *extra), ("torch.mul", 1.7), ("torch.add", 0.3), outputs=2)
        )
        expected = outputs_of(case)
        actual = run_with(TORCH, case, rewritten(TORCH))
        suspects += len(compare(expected, actual))
        judged = judge(TORCH, case, expected, actual)
        assert [str(item.mismatch) for item in judged if item.verdict is Verdict.BUG] == []
    if dtype == "float16" and target in {"torch.nn.functional.gelu", "torch.nn.functional.elu"}:
        assert suspects > 0  # the noise analysis had something to excuse


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_small_faults_are_bugs(fault: Fault) -> None:
    case = case_with(TORCH, fault)
    assert 5 <= len(case.graph.nodes) <= 10
    expected = outputs_of(case)
    actual = run_with(TORCH, case, faulty(TORCH, fault))
    judged = judge(TORCH, case, expected, actual)
    assert {item.verdict for item in judged} == {Verdict.BUG}, [(str(item.mismatch), item.numbers) for item in judged]
    if judged[0].mismatch.kind is Kind.VALUE:
        assert judged[0].numbers["error"] > judged[0].numbers["bound"]


def one(case: Case, actual: list[Array]) -> Judged:
    (judged,) = judge(TORCH, case, outputs_of(case), actual)
    return judged


def test_equal_outputs_give_nothing() -> None:
    case = chain(np.ones((2, 3), dtype=np.float32), ("torch.exp",))
    assert judge(TORCH, case, outputs_of(case), outputs_of(case)) == []


def test_structure_is_always_a_bug() -> None:
    case = chain(np.ones((2, 3), dtype=np.float32), ("torch.exp",))
    (value,) = outputs_of(case)
    for actual, kind in (([], Kind.COUNT), ([value.astype(np.float64)], Kind.DTYPE), ([value[0]], Kind.SHAPE)):
        judged = one(case, actual)
        assert (judged.verdict, judged.mismatch.kind, judged.numbers) == (Verdict.BUG, kind, {})


def test_a_floor_at_its_boundary_is_inconclusive_and_elsewhere_a_bug() -> None:
    case = chain(np.array([0.7, 0.75], dtype=np.float32), ("torch.mul", 10.0), ("torch.floor",))
    assert outputs_of(case)[0].tolist() == [7, 7]
    judged = one(case, [np.array([6, 7], dtype=np.float32)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    judged = one(case, [np.array([7, 8], dtype=np.float32)])
    assert judged.verdict is Verdict.BUG
    # The bug is shown at the element that rounding cannot explain, though the other errs more.
    judged = one(case, [np.array([5.5, 8], dtype=np.float32)])
    assert judged.verdict is Verdict.BUG


def test_a_bug_is_shown_where_rounding_cannot_explain_it() -> None:
    case = chain(np.array([0.7, 0.75], dtype=np.float32), ("torch.mul", 10.0), ("torch.floor",), ("torch.mul", 4))
    judged = one(case, [np.array([24, 30], dtype=np.float32)])
    assert judged.verdict is Verdict.BUG
    assert judged.mismatch.element == (1,)
    assert "expected 28.0, got 30.0" in str(judged.mismatch)


def test_chaos_is_inconclusive() -> None:
    steps = [("torch.mul", 57.3), ("torch.tan",)] * 5
    case = chain(np.linspace(0.1, 3, 12, dtype=np.float32), *steps)
    actual = run_with(TORCH, case, double_then_rounded(TORCH))
    assert compare(outputs_of(case), actual)
    assert one(case, actual).verdict is Verdict.INCONCLUSIVE


def test_overflow_in_half_precision_is_inconclusive_where_double_is_finite() -> None:
    case = chain(np.array([300.0, 2.0], dtype=np.float16), ("torch.mul", 300.0), ("torch.mul", 0.001))
    assert np.isinf(outputs_of(case)[0][0])
    judged = one(case, [np.array([90.0, 0.6], dtype=np.float16)])
    assert judged.verdict is Verdict.INCONCLUSIVE
    judged = one(case, [np.array([np.inf, np.inf], dtype=np.float16)])
    assert (judged.verdict, judged.mismatch.element) == (Verdict.BUG, (1,))


def test_underflow_to_infinity_is_a_bug() -> None:
    case = chain(np.array([-104.3], dtype=np.float32), ("torch.nn.functional.logsigmoid",))
    judged = one(case, [np.array([-np.inf], dtype=np.float32)])
    assert (judged.verdict, judged.mismatch.kind) == (Verdict.BUG, Kind.NONFINITE)
    assert judged.numbers["reference"] == pytest.approx(-104.3)


def test_indices_of_near_ties_are_inconclusive_and_of_others_bugs() -> None:
    case = chain(np.array([[1.1, 1.1, 5.0], [1.0, 2.0, 3.0]], dtype=np.float32), ("torch.exp",), ("torch.argmin", -1))
    assert outputs_of(case)[0].tolist() == [0, 0]
    assert one(case, [np.array([1, 0])]).verdict is Verdict.INCONCLUSIVE
    judged = one(case, [np.array([0, 1])])
    assert (judged.verdict, judged.mismatch.element) == (Verdict.BUG, (1,))


def test_eager_mode_may_be_the_less_accurate_side() -> None:
    # Terms that cancel: float32 loses them all, double precision and a better implementation keep them.
    feed = np.array([1.25, 3.5], dtype=np.float32)
    case = chain(feed, ("torch.add", 1e8), ("torch.sub", 1e8))
    assert outputs_of(case)[0].tolist() == [0, 0]
    exact = feed
    judged = one(case, [exact])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.numbers["reference_error"] < judged.numbers["error"]
    assert "double precision agrees with the converted model" in judged.note


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool"])
def test_a_result_that_eager_mode_does_not_give_again_is_no_reference(dtype: str) -> None:
    case = chain(np.array([1, 0, 1], DTYPES[dtype]), ("torch.flip", (0,)))
    (right,) = outputs_of(case)
    garbage = np.array([0, 1, 0], DTYPES[dtype])
    assert judge(TORCH, case, [right], [garbage])[0].verdict is Verdict.BUG
    judged = judge(TORCH, case, [garbage], [right])[0]
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.note == "eager mode gave another value on a second run"


def test_a_seed_makes_the_verdict_a_pure_function() -> None:
    case = chain(np.linspace(0.1, 3, 12, dtype=np.float32), ("torch.tan",), ("torch.exp",))
    actual = [outputs_of(case)[0] * np.float32(1.001)]
    first, second = (
        judge(TORCH, case, outputs_of(case), actual, analyst=Analyst(TORCH, case, 5))[0].numbers for _ in range(2)
    )
    assert first == second
    assert first["bound"] < first["error"]


def test_an_index_among_many_that_tie_may_be_any_of_them() -> None:
    """More tie than there are samples: the extremes that came up are not all that there are."""
    feed = np.tile(np.array([0.3, 0.7, 0.7, 0.7], np.float32), 100)
    case = chain(feed, ("torch.sin",), ("torch.argmax",), ("torch.bitwise_left_shift", 4))
    [expected] = outputs_of(case)
    assert one(case, [np.array(399 << 4)]).verdict is Verdict.INCONCLUSIVE
    distinct = chain(np.linspace(0, 1, 400, dtype=np.float32), ("torch.sin",), ("torch.argmax",))
    assert one(distinct, [np.array(7)]).verdict is Verdict.BUG
    assert expected == 1 << 4


def test_sums_may_be_added_up_in_another_order() -> None:
    """(x - 2048) - 0.3132617 as x - (2048 + 0.3132617): wrong by half an ulp of 2048, which the result is far from."""
    feed = np.array([2048.0, 2047.0, 3.0], np.float32)
    case = chain(feed, ("torch.sub", 2048.0), ("torch.sub", 0.3132617))
    other = feed - (np.float32(2048) + np.float32(0.3132617))
    assert other[0] != outputs_of(case)[0][0]
    assert one(case, [other]).verdict is Verdict.INCONCLUSIVE
    assert one(case, [other + np.float32(0.01)]).verdict is Verdict.BUG


def test_a_shape_that_rounding_decides_on_is_inconclusive() -> None:
    case = chain(np.array([0.3, 0.3, 0.9], np.float32), ("torch.sin",), ("torch.unique",))
    wider = np.sin(np.array([0.3, 0.30000004, 0.9], np.float32))
    assert one(case, [wider]).verdict is Verdict.INCONCLUSIVE
    exact = chain(np.array([1.0, 1.0, 2.0], np.float32), ("torch.neg",), ("torch.unique",))
    assert one(exact, [np.array([-2.0, -1.0, -1.0], np.float32)]).verdict is Verdict.BUG
    assert one(case, [wider[None]]).verdict is Verdict.BUG


def test_the_sigmoid_of_onnx_runtime_is_not_taken_for_the_truth() -> None:
    """It is 0 below -18; what gives 1e-12 there is right."""
    onnx = frontend("onnx")
    x = Input("x", type_of(np.zeros(3, np.float32)))
    feed = np.array([-27.0, -30.0, -69.0], np.float32)
    nodes = (
        Node("onnx.Sigmoid", (Ref("x"),), (), (Value("s", x.type),)),
        Node("onnx.Div", (Ref("s"), Ref("s")), (), (Value("y", x.type),)),
    )
    case = Case(Graph("onnx", (x,), (), nodes, ("s", "y")), {"x": feed})
    values = onnx.run(case.graph, case.feeds)
    right = (1 / (1 + np.exp(-feed.astype(np.float64)))).astype(np.float32)
    judged = judge(onnx, case, [values["s"], values["y"]], [right, np.ones(3, np.float32)])
    assert [item.verdict for item in judged] != []
    assert all(item.verdict is Verdict.INCONCLUSIVE for item in judged)
