from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from generators.frontends.base import frontend
from generators.graph import Case
from generators.strategies import graphs
from generators.wellformed import check_case

TORCH = frontend("torch")
QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@QUICK
@given(graphs("torch", nodes=(1, 6)))
def test_every_printed_graph_executes_to_the_interpreters_values(case: Case) -> None:
    check_case(case)
    values = TORCH.run(case.graph, case.feeds)
    model = TORCH.load(case)
    outputs = TORCH.execute(model)
    for name, actual in zip(case.graph.outputs, outputs, strict=True):
        expected = values[name]
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert actual.tobytes() == expected.tobytes() or np.array_equal(
            actual.astype(np.complex128), expected.astype(np.complex128), equal_nan=True
        ), f"{name}\n{model.source}"


@QUICK
@given(graphs("torch", nodes=3, factors={"torch.add": 50.0, "torch.exp": 0.0}))
def test_the_number_of_nodes_and_weights_are_kept(case: Case) -> None:
    assert len(case.graph.nodes) == 3
    assert "torch.exp" not in case.graph.operators()


def test_failures_shrink() -> None:
    shrinking = settings(QUICK, max_examples=300, phases=[Phase.generate, Phase.shrink])
    only = {
        target: 0.0 for target in TORCH.registry().targets() if target not in {"torch.add", "torch.sin", "torch.neg"}
    }
    smallest = find(
        graphs("torch", nodes=(1, 6), factors=only),
        lambda case: "torch.sin" in case.graph.operators(),
        settings=shrinking,
    )
    assert smallest.graph.operators() == ("torch.sin",)
    assert len(smallest.graph.inputs) + len(smallest.graph.constants) == 1


def test_an_unknown_frontend_is_refused() -> None:
    with pytest.raises(KeyError, match="no frontend 'caffe'"):
        find(graphs("caffe"), lambda case: True, settings=QUICK)
