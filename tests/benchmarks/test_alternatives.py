"""The computations that are correct and not the framework's: they are both, and they are no findings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.alternatives import formulas, orders
from benchmarks.alternatives.orders import Order
from benchmarks.alternatives.runtime import Alternative, step_of
from benchmarks.faults.injection import Proof, X, Y, Z, normal
from fuzzer.converters.identity import OnnxIdentity
from generators.frontends.base import feeds_of, frontend
from generators.graph import Ref

WIDE = normal(3, 100)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("order", Order)
def test_orders_of_summation_give_the_sum(order: Order) -> None:
    exact = WIDE.astype(np.float64)
    np.testing.assert_allclose(orders.summed(WIDE, (1,), False, order), exact.sum(1), rtol=1e-4, atol=1e-5)
    mean = orders.summed(WIDE, (0, 1), True, order, mean=True)
    np.testing.assert_allclose(mean, exact.mean(keepdims=True), rtol=1e-4, atol=1e-6)
    left, right = normal(2, 4, 30), normal(30, 5, seed=1)
    product = left.astype(np.float64) @ right.astype(np.float64)
    np.testing.assert_allclose(orders.matmul(left, right, order), product, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(orders.matmul(left[0, 0], right, order), product[0, 0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("order", Order)
def test_im2col_gives_the_convolution(order: Order) -> None:
    import torch

    x, w = normal(2, 4, 7, 8), normal(6, 2, 3, 2, seed=1)
    given = (torch.from_numpy(x).double(), torch.from_numpy(w).double())
    expected = torch.nn.functional.conv2d(*given, None, (2, 1), (1, 2), (1, 2), 2).numpy()
    actual = orders.convolved(x, w, (2, 1), ((1, 1), (2, 2)), (1, 2), 2, order)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5)


def test_orders_differ() -> None:
    sums = {orders.summed(WIDE, (1,), False, order).tobytes() for order in (Order.REVERSED, Order.PAIRWISE)}
    assert len(sums) == 2
    products = {orders.matmul(WIDE, WIDE.T.copy(), order).tobytes() for order in Order}
    assert len(products) == 4


@pytest.mark.parametrize("name", sorted(formulas.FUNCTIONS))
def test_formulas_are_within_a_few_units_in_the_last_place(name: str) -> None:
    import torch

    x = np.abs(normal(2000, scale=4)) + 0.05 if name in {"rsqrt", "log2", "log10"} else normal(2000, scale=4)
    reference = {
        "silu": torch.nn.functional.silu,
        "softplus": lambda t: torch.log1p(torch.exp(t)),
        "logsigmoid": torch.nn.functional.logsigmoid,
    }.get(name) or getattr(torch, name)
    exact = reference(torch.from_numpy(x.astype(np.float64))).numpy()
    actual = formulas.FUNCTIONS[name](x)
    assert actual.dtype == np.float32
    units = np.abs(actual.astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert units.max() <= 4, units.max()


def test_a_sum_of_a_product_is_rounded_once_and_chains_are_associated_otherwise() -> None:
    feeds = (normal(50), normal(50, seed=1), normal(50, seed=2))
    for inner, outer, way in (("torch.mul", "torch.add", "fused"), ("torch.add", "torch.add", "reassociated")):
        case = Proof("torch", feeds, ((inner, X, Y), (outer, Ref("v0"), Z))).case()
        values = frontend("torch").run(case.graph, case.feeds)
        a, b, c = (feed.astype(np.float64) for feed in feeds)
        exact = a * b + c if way == "fused" else a + (feeds[1] + feeds[2]).astype(np.float64)
        last = case.graph.nodes[-1]
        made = {"v0": (case.graph.nodes[0], dict(case.feeds))}
        step = step_of(frontend("torch"), way)
        [result] = step(last, {name: values[name] for name in last.references()}, made)
        np.testing.assert_array_equal(result, exact.astype(np.float32))
        assert (result != values[last.outputs[0].name]).any()


def test_keras_layers_compute_with_other_functions_of_tensorflow() -> None:
    import tensorflow as tf

    from benchmarks.alternatives.calls import ordered
    from benchmarks.alternatives.runtime import _instead

    x, w = tf.constant(normal(4, 60)), tf.constant(normal(60, 4, seed=1))
    plain = tf.matmul(x, w).numpy()
    with _instead(ordered("keras", Order.REVERSED)):
        other = tf.matmul(x, w).numpy()
        assert tf.keras is not None
    assert (plain != other).any()
    np.testing.assert_allclose(plain, other, rtol=1e-3, atol=1e-5)
    assert tf.matmul(x, w).numpy().tobytes() == plain.tobytes()


def test_every_variant_interprets_a_graph() -> None:
    case = Proof("onnx", (normal(4, 6), normal(6, 3, seed=1)), (("onnx.MatMul", X, Y), ("onnx.Exp", Ref("v0")))).case()
    chosen = frontend("onnx")
    artifact = OnnxIdentity().convert(chosen.load(case), {})
    values = chosen.run(case.graph, case.feeds)
    runtime = Alternative()
    for settings in runtime.variants.values():
        [output] = runtime.run(runtime.load(artifact, settings), artifact, feeds_of(case))
        np.testing.assert_allclose(output, values[case.graph.outputs[0]], rtol=1e-4)


def silence(name: str, graphs: int, seed: int) -> tuple[int, int, int]:
    """How many graphs pass, differ within rounding, and are false alarms: measured in a process of its own, which alone
    has the runtime."""
    command = [sys.executable, "-m", "benchmarks.silence", str(graphs), name, "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    [row] = [line for line in done.stdout.splitlines() if line.startswith(f"| {name} ")]
    _, passed, explained, _, alarms = (int(cell.replace(",", "")) for cell in row.strip("| ").split(" | ")[1:])
    return passed, explained, alarms


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_few_graphs_give_no_false_alarm(name: str) -> None:
    passed, explained, alarms = silence(name, 32, 5)
    assert alarms == 0
    assert passed + explained >= 30


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["torch", "tensorflow", "onnx", "keras"])
def test_many_graphs_give_no_false_alarm(name: str) -> None:
    assert silence(name, 1000, 6)[2] == 0
