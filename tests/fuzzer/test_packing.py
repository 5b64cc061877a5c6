"""The size of a pack follows what conversions cost and how often they are refused."""

from __future__ import annotations

import random

import pytest

from fuzzer.packing import SIZES, CostModel, best_pack


def fitted(fixed: float, linear: float, quadratic: float, noise: float = 0.05) -> CostModel:
    """A model that has seen 200 conversions of that cost."""
    model, rng = CostModel(), random.Random(3)
    for _ in range(200):
        nodes = rng.choice((2, 10, 20, 40, 80, 160, 320))
        scaled = nodes / 100
        seconds = fixed + linear * scaled + quadratic * scaled * scaled
        model.observe(nodes, seconds * rng.uniform(1 - noise, 1 + noise))
    return model


@pytest.mark.parametrize("truth", [(0.4, 0.5, 0.0), (0.05, 0.3, 0.2), (0.0, 0.2, 0.0), (0.3, 0.0, 0.1)])
def test_the_model_predicts_what_it_saw(truth: tuple[float, float, float]) -> None:
    model = fitted(*truth)
    for nodes in (10, 50, 150):
        scaled = nodes / 100
        expected = truth[0] + truth[1] * scaled + truth[2] * scaled * scaled
        assert model.seconds(nodes) == pytest.approx(expected, rel=0.15)
    assert all(value >= 0 for value in model.coefficients())


def test_a_large_fixed_cost_asks_for_large_packs_and_refusals_for_small_ones() -> None:
    model = fitted(1.0, 0.5, 0.0)
    sizes = [best_pack(model, 10, refusal, 16) for refusal in (0.0, 0.02, 0.1, 0.4, 0.9)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == SIZES[-1]
    assert sizes[-1] == 1


def test_superlinear_cost_limits_the_pack() -> None:
    assert best_pack(fitted(0.05, 0.1, 0.5), 10, 0.0, 16) < best_pack(fitted(0.05, 0.1, 0.05), 10, 0.0, 16)
    assert best_pack(fitted(0.0, 0.3, 0.2), 10, 0.0, 16) == 1


def test_before_anything_is_known_the_converters_own_size_counts() -> None:
    assert best_pack(CostModel(), 10, 0.0, 16) == 16
    assert best_pack(CostModel(), 10, 0.5, 16) == 1
