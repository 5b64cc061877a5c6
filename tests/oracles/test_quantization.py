"""What may differ in a quantized model: bounds carried through a graph, and verdicts by them."""

from __future__ import annotations

import numpy as np
import pytest

from generators.frontends.base import frontend
from generators.graph import Array, Case
from oracles.error_rules import Operation, Tensor
from oracles.outcome import Kind, Verdict
from oracles.quantization import (
    Against,
    ErrorBounds,
    carry,
    constant_error,
    judge_kernels,
    judge_quantized,
    no_bounds,
)
from tests.fuzzer.graphs import unary

STEP = 0.05


def quantized(values: Array, step: float = STEP, zero: float = 0.0, *, constant: bool = False) -> Tensor:
    return Tensor(values, constant, np.asarray(step), np.asarray(zero))


def test_a_quantized_input_is_off_by_a_step_and_what_is_computed_by_two_more() -> None:
    tensors = {0: Tensor(np.ones(3)), 1: quantized(np.ones(3)), 2: quantized(np.ones(3), 2 * STEP)}
    operations = [Operation("QUANTIZE", (0,), (1,)), Operation("ABS", (1,), (2,))]
    floats, unknown = carry(tensors, operations, Against.FLOAT)
    kernels, _ = carry(tensors, operations, Against.KERNELS)
    assert ([float(floats[1]), float(floats[2])], unknown) == ([STEP, 5 * STEP], [])
    assert [float(kernels[1]), float(kernels[2])] == [STEP, 3 * STEP]
    assert not floats[0].any()


def test_what_only_moves_elements_adds_nothing() -> None:
    tensors = {0: quantized(np.ones(4)), 1: Tensor(np.array([2, 2]), True), 2: quantized(np.ones((2, 2)))}
    errors, _ = carry({**tensors, 3: Tensor(np.ones(4))}, _reshaped(), Against.FLOAT)
    assert float(errors[2]) == STEP
    tensors[2] = quantized(np.ones((2, 2)), zero=7.0)
    errors, _ = carry({**tensors, 3: Tensor(np.ones(4))}, _reshaped(), Against.FLOAT)
    assert float(errors[2]) == pytest.approx(3 * STEP)


def _reshaped() -> list[Operation]:
    return [Operation("QUANTIZE", (3,), (0,)), Operation("RESHAPE", (0, 1), (2,))]


def test_constants_are_off_by_half_a_step_of_their_channel() -> None:
    weights = Tensor(np.ones((2, 3)), True, np.array([[0.1], [0.4]]), np.zeros((2, 1)))
    assert constant_error(weights).reshape(-1) == pytest.approx([0.05, 0.2], rel=1e-3)
    half = Tensor(np.array([1.0, 65504.0, np.inf]), True, half=True)
    assert constant_error(half).tolist() == [pytest.approx(2**-11, rel=1e-3), np.inf, np.inf]
    assert not constant_error(Tensor(np.ones(2), True)).any()


def test_a_hybrid_kernel_quantizes_its_operand() -> None:
    x, w = Tensor(np.array([[2.54, -1.0]])), quantized(np.array([[1.0, 1.0]]), 0.02, constant=True)
    tensors = {0: x, 1: w, 2: Tensor(np.array([[1.54]]))}
    operations = [Operation("FULLY_CONNECTED", (0, 1), (2,))]
    floats, _ = carry(tensors, operations, Against.FLOAT)
    kernels, _ = carry(tensors, operations, Against.KERNELS)
    # Σ|w| e_x + K e_w (|x| + e_x), with e_x = 2.54 / 127 and e_w = 0.01.
    assert floats[2].item() == pytest.approx(2 * 0.02 + 0.01 * (3.54 + 2 * 0.02), rel=1e-3)
    assert kernels[2].item() == pytest.approx(2 * 2 * 0.02, rel=1e-3)


def test_a_scale_that_is_not_finite_bounds_nothing() -> None:
    tensors = {0: Tensor(np.ones(3)), 1: quantized(np.ones(3), np.inf)}
    errors, unknown = carry(tensors, [Operation("QUANTIZE", (0,), (1,))], Against.FLOAT)
    assert np.isinf(errors[1]).all()
    assert unknown == ["QUANTIZE"]


@pytest.fixture(scope="module")
def case() -> Case:
    return unary("tensorflow", "relu", "float32", 4)


def judged(case: Case, error: float, bounds: ErrorBounds) -> list[tuple[Verdict, Kind]]:
    ours = frontend("tensorflow")
    expected = [ours.run(case.graph, case.feeds)["y"]]
    actual = [expected[0] + np.array([0, error, 0, 0], np.float32)]
    found = judge_quantized(ours, case, expected, actual, bounds)
    return [(one.verdict, one.mismatch.kind) for one in found]


def test_verdicts(case: Case) -> None:
    bounds = ErrorBounds((np.asarray(0.1),), (np.asarray(0.05),))
    assert judged(case, 0.09, bounds) == []
    assert judged(case, 0.2, bounds) == [(Verdict.BUG, Kind.VALUE)]
    assert judged(case, float("nan"), bounds) == [(Verdict.BUG, Kind.NONFINITE)]
    assert judged(case, 0.2, no_bounds(1, "POW")) == [(Verdict.INCONCLUSIVE, Kind.VALUE)]
    # Nothing quantized contributes to it: it is judged as ever.
    assert judged(case, 1e-3, ErrorBounds((np.asarray(0.0),), (np.asarray(0.0),))) == [(Verdict.BUG, Kind.VALUE)]


def test_structure_is_judged_as_ever(case: Case) -> None:
    ours = frontend("tensorflow")
    expected = [ours.run(case.graph, case.feeds)["y"]]
    [found] = judge_quantized(ours, case, expected, [expected[0].astype(np.float16)], no_bounds(1, "POW"))
    assert (found.verdict, found.mismatch.kind) == (Verdict.BUG, Kind.DTYPE)


def test_what_is_not_finite_in_the_float_model_is_inconclusive() -> None:
    """No range holds an infinity, wherever in the graph it is."""
    case = unary("tensorflow", "exp", "float32", 4)
    case = Case(case.graph, {"x": np.array([1, 2, 3, 200], np.float32)})
    bounds = ErrorBounds((np.asarray(0.1),), (np.asarray(0.1),))
    assert judged(case, 5.0, bounds) == [(Verdict.INCONCLUSIVE, Kind.VALUE)]


def test_the_shown_bound_is_one_that_the_error_exceeds(case: Case) -> None:
    ours = frontend("tensorflow")
    expected = [ours.run(case.graph, case.feeds)["y"]]
    actual = [expected[0] + np.array([0, 0.3, 0, 0], np.float32)]
    bounds = ErrorBounds((np.array([0.1, 0.2, 0.5, np.inf]),), (np.asarray(0.05),))
    [found] = judge_quantized(ours, case, expected, actual, bounds)
    assert found.mismatch.element == (1,)
    assert 0.2 < found.numbers["bound"] < found.numbers["error"] == pytest.approx(0.3, rel=1e-3)


def test_kernels_are_held_against_each_other(case: Case) -> None:
    ours = frontend("tensorflow")
    reference = [ours.run(case.graph, case.feeds)["y"]]
    bounds = ErrorBounds((np.asarray(1.0),), (np.asarray(STEP),))

    def verdicts(steps: float) -> list[Verdict]:
        actual = [reference[0] + np.array([0, steps * STEP, 0, 0], np.float32)]
        return [one.verdict for one in judge_kernels(ours, case, reference, actual, bounds)]

    assert verdicts(1) == []
    assert verdicts(2) == [Verdict.BUG]
