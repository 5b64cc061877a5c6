"""Minimization of Keras graphs: weights stay what their layers ask for, and the result is small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, frontend
from generators.frontends.keras_source import WEIGHTS
from generators.graph import Array, Case, references
from generators.random_graphs import Weights, grow
from generators.transforms import retype
from oracles.compare import same
from oracles.minimize import Budget, minimize
from oracles.outcome import Observation, Trial, Verdict
from tests.quality.subjects import CRASH

KERAS = frontend("keras")


class Refusing:
    """A converter that refuses graphs with a layer of that class. Prepares cases as the pipeline does, and keeps those
    in which the printed model is not what the interpreter computes."""

    slices = False
    lanes = 1

    def __init__(self, target: str) -> None:
        self.target = target
        self.conversions = 0
        self.disagreeing: list[Case] = []

    def values(self, case: Case) -> dict[str, Array]:
        return KERAS.run(case.graph, case.feeds)

    def test(self, cases: Sequence[Case]) -> list[Trial]:
        self.conversions += 1
        return [self._trial(case) for case in cases]

    def _trial(self, case: Case) -> Trial:
        try:
            KERAS.check_arguments(case.graph)
            values = self.values(case)
            KERAS.check_values(case.graph, values)
            case = Case(retype(case.graph, values), case.feeds, case.profiles)
            printed = KERAS.execute(KERAS.load(case))
        except (EvaluationError, ValueError):
            return Trial(None)
        if not all(same(array, values[name]) for name, array in zip(case.graph.outputs, printed, strict=True)):
            self.disagreeing.append(case)
            return Trial(None)
        guilty = self.target in case.graph.operators()
        return Trial(case, (Observation(CRASH, Verdict.BUG, "no"),) if guilty else ())


@pytest.mark.parametrize("target", ["keras.layers.Dense", "keras.layers.BatchNormalization", "keras.layers.GRU"])
def test_one_layer_with_fitting_weights_remains(target: str) -> None:
    others = ("keras.layers.ReLU", "keras.layers.Add", "keras.layers.Conv1D", "keras.layers.LayerNormalization")
    targets = (target, *others)
    weights = Weights(targets, tuple(np.cumsum([1.0] * len(targets)).tolist()))
    for seed in range(100):
        case = grow(KERAS, SeededChoices(31, seed), nodes=5, weights=weights).case
        if target in case.graph.operators():
            break
    tester = Refusing(target)
    result = minimize(case, CRASH, tester, budget=Budget(conversions=150))
    [node] = result.case.graph.nodes
    assert node.target == target
    named = {constant.name for constant in result.case.graph.constants}
    assert set(references(dict(node.kwargs)[WEIGHTS])) == named
    assert all(constant.data.size <= 64 for constant in result.case.graph.constants)
    KERAS.check_arguments(result.case.graph)
    assert not tester.disagreeing
