"""What torch's operators are not documented for is refused, in every spelling."""

from __future__ import annotations

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, frontend
from generators.graph import Array, Graph, Node, Ref, TensorType, Value
from generators.operators.domains import product_fits, sum_fits
from generators.random_graphs import Weights, grow
from tests.fuzzer.graphs import given

LARGE = 1 << 62


@pytest.mark.parametrize(
    ("numbers", "sums", "products"),
    [
        (np.array([LARGE, LARGE]), False, False),
        (np.array([LARGE, 1]), True, True),
        (np.array([269660, 723281, -865128, 867272]), True, False),
        # Digits that no double has, and still an integer of 64 bits: a runtime must not lose them.
        (np.array([94906267, 94906267]), True, True),
        (np.array([-(1 << 63), 0]), False, False),
        (np.full(70, 2, np.uint8), True, False),
        (np.full(100, True), True, True),
        (np.array([1e300, 1e300]), True, True),
        (np.zeros((2, 0), np.int32), True, True),
    ],
)
def test_results_of_reductions_fit(numbers: Array, sums: bool, products: bool) -> None:
    assert (not sum_fits([numbers]), not product_fits([numbers])) == (sums, products)


@pytest.mark.parametrize("target", ["torch.sum", "torch.nansum", "torch.prod", "torch.Tensor.sum", "torch.Tensor.prod"])
def test_a_graph_whose_integers_overflow_is_refused(target: str) -> None:
    node = Node(target, (Ref("x"),), (), (Value("y", TensorType("int64", ())),))
    graph = Graph("torch", (given("x", "int64", 2),), (), (node,), ("y",))
    torch = frontend("torch")
    torch.check_values(graph, {"x": np.array([3, 4])})
    with pytest.raises(EvaluationError, match="may not fit into int64, which is undefined"):
        torch.check_values(graph, {"x": np.array([LARGE, LARGE])})


def test_what_is_drawn_keeps_to_it() -> None:
    torch = frontend("torch")
    weights = Weights.of(torch, only=("torch.sum", "torch.nansum", "torch.prod", "torch.mul"))
    dtypes = set()
    for seed in range(60):
        graph = (grown := grow(torch, SeededChoices(seed), nodes=4, weights=weights)).case.graph
        torch.check_values(graph, grown.values)
        kinds = graph.types()
        dtypes |= {kinds[name].dtype for node in graph.nodes if "mul" not in node.target for name in node.references()}
    assert {"float32", "int64", "int32"} <= dtypes
