from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from generators.frontends.base import EvaluationError, frontend
from generators.graph import Array, Case, Graph, Input, Node, Ref, TensorType, Value, type_of
from oracles.bounds import SAFETY
from oracles.noise import Analyst
from oracles.probes import probe
from tests.control_flow import conditional, loop, mapped
from tests.oracles.test_judge import chain

TORCH = frontend("torch")
DATA = np.random.default_rng(3).standard_normal((6, 8)).astype(np.float32)


def bound_of(*calls: tuple[object, ...], feed: Array = DATA):
    return Analyst(TORCH, chain(feed, *calls)).bounds().bounds[0]


def test_data_movement_is_not_disturbed() -> None:
    bound = bound_of(("torch.transpose", 0, 1), ("torch.flip", (0,)), ("torch.neg",))
    assert not bound.spread.any()
    assert not bound.eager_error.any()
    assert bound.limit.max() < 1e-37


def test_exact_arithmetic_is_not_disturbed() -> None:
    integers = np.round(DATA * 4)
    for calls in ([("torch.mul", 2.0), ("torch.add", 1.0)], [("torch.sum", -1)], [("torch.floor_divide", 2.0)]):
        assert not bound_of(*calls, feed=integers).spread.any(), calls


def test_a_rounding_gives_a_unit_in_the_last_place() -> None:
    bound = bound_of(("torch.mul", 1.7))
    ulps = bound.spread / (np.abs(bound.eager) * 2**-23)
    assert 0.25 < ulps.max() <= 2.1
    assert (bound.limit >= SAFETY * bound.spread).all()


def test_noise_grows_with_the_terms_of_a_sum_and_not_with_its_result() -> None:
    terms = np.concatenate([np.full(500, 1.1), np.full(500, -1.1)]).astype(np.float32)
    bound = bound_of(("torch.sum", -1), feed=terms)
    assert abs(float(bound.eager)) < 1e-3
    # Of the order of u · sqrt(n) · sum |terms| / sqrt(n); a thousand roundings of numbers near one.
    assert 1e-5 < float(bound.limit) < 3e-2


def test_noise_follows_the_condition_of_an_operator() -> None:
    bound = bound_of(("torch.exp",), ("torch.sub", 1.0), feed=np.array([1e-4, 1.0], dtype=np.float32))
    relative = bound.limit / np.abs(bound.eager)
    assert relative[0] > 1e-3 > 1e-5 > relative[1]


def test_bounds_stay_far_below_the_faults_to_be_found() -> None:
    for target in ("torch.nn.functional.gelu", "torch.tanh", "torch.exp", "torch.softmax", "torch.sigmoid"):
        arguments = (-1,) if target == "torch.softmax" else ()
        bound = bound_of((target, *arguments), ("torch.mul", 1.3))
        assert bound.limit.max() < 2e-5 * np.abs(bound.eager).max(), target


def test_only_the_outputs_asked_for_are_computed() -> None:
    case = chain(DATA, ("torch.exp",), ("torch.sin",), outputs=2)
    assert set(Analyst(TORCH, case).bounds().bounds) == {0, 1}
    assert set(Analyst(TORCH, case).bounds([1]).bounds) == {1}


def test_integers_have_extremes_and_booleans_vary() -> None:
    near = np.array([[1.1, 1.1, 9.0]], dtype=np.float32)
    bound = bound_of(("torch.exp",), ("torch.argmin", -1), feed=near)
    assert (bound.low.tolist(), bound.high.tolist(), bound.varies.tolist()) == ([0], [1], [True])
    bound = bound_of(("torch.mul", 1.7), ("torch.gt", 1.87), feed=near)
    assert bound.varies.tolist() == [[True, True, False]]


def test_overflow_of_a_noisy_run_shows_as_a_class() -> None:
    bound = bound_of(("torch.exp",), feed=np.array([88.72283, 1.1], dtype=np.float32))
    assert bound.varies.tolist() == [True, False]


def test_denormals_may_be_flushed() -> None:
    bound = bound_of(("torch.mul", 0.3), ("torch.mul", 1e30), feed=np.array([1e-38], dtype=np.float32))
    assert bound.spread[0] >= 0.99 * bound.eager[0]


def test_zeros_keep_their_sign() -> None:
    bound = bound_of(("torch.sin",), ("torch.reciprocal",), feed=np.array([-0.0, 0.0], dtype=np.float32))
    assert bound.eager.tolist() == [-np.inf, np.inf]
    assert not bound.varies.any()


class WithoutDouble(type(TORCH)):  # type: ignore[misc]
    """A frontend in which exp has no double-precision kernel."""

    def call(self, node, values):
        if node.target == "torch.exp" and any(value.dtype.itemsize == 8 for value in values.values()):
            raise EvaluationError("torch.exp: not implemented for 'Double'")
        return super().call(node, values)


def test_an_operator_without_double_precision_is_noted_and_still_bounded() -> None:
    analysis = Analyst(WithoutDouble(), chain(DATA, ("torch.exp",), ("torch.mul", 1.3))).bounds()
    assert any("torch.exp: not in double precision" in note for note in analysis.notes)
    assert analysis.bounds[0].problem == ""
    assert analysis.bounds[0].reference.dtype == np.float64
    limit = analysis.bounds[0].limit / np.abs(analysis.bounds[0].eager)
    assert 1e-7 < limit.min() <= limit.max() < 1e-3


class Fragile(type(TORCH)):  # type: ignore[misc]
    """A frontend in which sin can be run as a part of a graph and not alone."""

    def evaluate(self, node: Node, inputs, *, double: bool = False):
        if node.target == "torch.sin" and not double:
            raise EvaluationError("torch.sin: refused")
        return super().evaluate(node, inputs, double=double)


def test_a_refused_noisy_run_leaves_its_dependents_unbounded() -> None:
    case = chain(DATA, ("torch.exp",), ("torch.sin",), outputs=2)
    analysis = Analyst(Fragile(), case).bounds()
    assert analysis.bounds[0].problem == ""
    assert analysis.bounds[1].problem == "refused with rounding noise: torch.sin: refused"


@pytest.mark.parametrize(
    ("target", "args", "fan_in", "homogeneous"),
    [
        ("torch.exp", (), 1, False),
        ("torch.nn.functional.leaky_relu", (0.2,), 1, True),
        ("torch.sum", (-1,), 8, True),
        ("torch.softmax", (-1,), 8, False),
        ("torch.cumsum", (0,), 6, True),
        ("torch.sum", (), 48, True),
    ],
)
def test_probes_measure_fan_in_and_homogeneity(target, args, fan_in, homogeneous) -> None:
    node = Node(target, (chain(DATA, ("torch.exp",)).graph.nodes[0].args[0], *args), (), (Value("y", type_of(DATA)),))
    found = probe(lambda arrays: TORCH.evaluate(node, arrays, double=True), {"x": DATA})
    assert found.fan_in == pytest.approx(fan_in)
    assert found.homogeneous is homogeneous


def test_complex_results_are_bounded() -> None:
    feed = (DATA + 1j * DATA[::-1]).astype(np.complex64)
    bound = bound_of(("torch.exp",), feed=feed)
    relative = bound.limit / np.abs(bound.eager)
    assert 1e-7 < relative.max() < 1e-3
    assert bound.reference.dtype == np.complex128


def test_weights_from_a_table_are_known_to_a_thousandth() -> None:
    tensorflow = frontend("tensorflow")
    feed = np.random.default_rng(4).standard_normal((1, 4, 5, 1)).astype(np.float32)
    largest = float(np.abs(feed).max())

    def limit(method: str, **kwargs: object) -> float:
        kind = TensorType("float32", (1, 7, 3, 1))
        arguments = (("method", method), *kwargs.items())
        node = Node("tf.image.resize", (Ref("x"), (7, 3)), arguments, (Value("y", kind),))
        case = Case(Graph("tensorflow", (Input("x", type_of(feed)),), (), (node,), ("y",)), {"x": feed})
        return float(Analyst(tensorflow, case).bounds().bounds[0].limit.max())

    assert 1e-3 * largest < limit("bicubic") < 1e-2 * largest
    assert limit("bicubic", antialias=True) < 1e-4 * largest
    assert limit("bilinear") < 1e-4 * largest


def test_the_sign_of_a_sum_that_is_zero_is_free_and_that_of_other_zeros_is_not() -> None:
    zeros = np.array([[-0.0, 0.0], [-0.0, -0.0]], np.float32)
    summed = bound_of(("torch.cumsum", 0), ("torch.reciprocal",), feed=zeros)
    assert summed.varies.all()
    assert bound_of(("torch.cumsum", 0), ("torch.reciprocal",), feed=zeros[:1]).varies.all()
    negated = bound_of(("torch.neg",), ("torch.reciprocal",), feed=zeros)
    assert not negated.varies.any()


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_noise_is_put_into_every_step_of_a_loop(name: str) -> None:
    data = np.linspace(0.1, 1, 8, dtype=np.float32)
    one, many = (Analyst(frontend(name), loop(name, data, steps)).bounds().bounds[0] for steps in (1, 12))
    assert not one.problem
    assert not many.problem
    assert 0 < one.spread.max() < 1e-6
    # Twelve roundings that the sine makes smaller each time, but not to nothing.
    assert one.spread.mean() < many.spread.mean() < 20 * one.spread.mean()
    assert many.eager_error.max() < many.limit.max() < 1e-5


@pytest.mark.parametrize("name", ["torch", "tensorflow", "onnx"])
def test_a_predicate_that_rounding_may_change_takes_either_branch(name: str) -> None:
    data = np.array([-1, 0.3], dtype=np.float32)
    far = conditional(name, data)
    assert Analyst(frontend(name), far).bounds().bounds[0].limit.max() < 1e-5
    # The largest element is an exponential that is as near to the threshold as rounding goes.
    exponential = {"torch": "torch.exp", "tensorflow": "tf.exp", "onnx": "onnx.Exp"}[name]
    kind = TensorType("float32", (2,))
    before = Node(exponential, (Ref("z"),), (), (Value("x", kind),))
    graph = replace(far.graph, inputs=(Input("z", kind), far.graph.inputs[1]), nodes=(before, *far.graph.nodes))
    near = Case(graph, {"z": data, "t": np.array(np.exp(np.float32(0.3)), np.float32)})
    limit = Analyst(frontend(name), near).bounds(samples=32).bounds[0].limit
    assert limit.max() > 0.1


def test_what_a_body_gives_in_double_precision_is_the_reference() -> None:
    data = np.linspace(0.1, 1, 8, dtype=np.float32)
    bound = Analyst(TORCH, loop("torch", data, 4)).bounds().bounds[0]
    expected = data.astype(np.float64)
    for _ in range(4):
        expected = np.sin(expected) + np.float64(np.float32(0.3))
    assert bound.reference.dtype == np.float64
    np.testing.assert_allclose(bound.reference, expected, rtol=1e-14)


def test_the_signature_of_a_map_follows_into_double_precision() -> None:
    analysis = Analyst(frontend("tensorflow"), mapped(np.array([[1.2, 3.7], [2.5, 9]], np.float32))).bounds()
    assert not analysis.notes
    assert analysis.bounds[0].reference.tolist() == [[1, 3], [2, 9]]


def test_that_the_analysis_gets_on_is_told_before_each_run() -> None:
    told: list[None] = []
    analyst = Analyst(TORCH, chain(DATA, ("torch.exp",)), getting_on=lambda: told.append(None))
    analyst.bounds(samples=4)
    assert len(told) == 2 + 4  # eager mode, double precision, samples
    analyst.bounds(samples=6)
    assert len(told) == 2 + 6
