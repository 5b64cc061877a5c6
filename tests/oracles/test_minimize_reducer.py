"""The minimizer as a whole: budgets, resuming, other bugs met on the way, what is asked and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fuzzer.survival import spread
from generators.graph import Case, TensorType, node_count
from oracles.minimize import Budget, Unreproducible, minimize
from oracles.minimize.question import digest
from oracles.minimize.simplicity import simplicity
from oracles.outcome import Kind, Observation, Signature, Trial, Verdict
from tests.quality.subjects import CRASH, WRONG, Defect, PlantedTester, link, miscompiled, plant, refused


@pytest.fixture(scope="module")
def case() -> Case:
    return plant(link("torch.transpose", 0, 1), seed=21, nodes=24)


def test_a_budget_of_conversions_ends_with_what_was_reached(case: Case) -> None:
    result = minimize(case, CRASH, PlantedTester(refused("torch.transpose")), budget=Budget(conversions=4))
    assert not result.complete
    assert result.conversions <= 12  # the last question may be split
    assert PlantedTester(refused("torch.transpose")).test([result.case])[0].shows(CRASH)


def test_a_budget_of_time_is_read_from_the_clock(case: Case) -> None:
    ticks = iter(range(10**6))
    budget = Budget(seconds=8.0, clock=lambda: float(next(ticks)))
    result = minimize(case, CRASH, PlantedTester(refused("torch.transpose")), budget=budget)
    assert not result.complete
    assert result.seconds >= 8


def test_no_budget_at_all_finds_nothing(case: Case) -> None:
    with pytest.raises(Unreproducible):
        minimize(case, WRONG, PlantedTester(miscompiled("torch.transpose")), budget=Budget(conversions=0))


def test_every_improvement_is_saved_and_work_goes_on_from_it(case: Case) -> None:
    saved: list[Case] = []
    full = minimize(case, WRONG, PlantedTester(miscompiled("torch.transpose")), on_improvement=saved.append)
    assert [simplicity(item) for item in saved] == sorted((simplicity(item) for item in saved), reverse=True)
    for item in (saved[0], saved[len(saved) // 2], saved[-1]):
        again = minimize(item, WRONG, PlantedTester(miscompiled("torch.transpose")))
        assert digest(again.case) == digest(full.case)


def test_the_result_is_a_fixed_point(case: Case) -> None:
    tester = PlantedTester(miscompiled("torch.transpose"))
    result = minimize(case, WRONG, tester)
    again = minimize(result.case, WRONG, PlantedTester(miscompiled("torch.transpose")))
    assert digest(again.case) == digest(result.case)
    assert again.conversions <= 2


def test_nothing_is_asked_twice(case: Case) -> None:
    asked: Counter[str] = Counter()

    class Counting(PlantedTester):
        def test(self, cases):
            # The control that goes along with each pack is the one exception.
            asked.update({digest(item) for item in cases[: max(len(cases) - 1, 1)]})
            return super().test(cases)

    tester = Counting(refused("torch.transpose"))
    result = minimize(case, CRASH, tester)
    # At the end the result is confirmed.
    assert asked.pop(digest(result.case)) == 2
    assert max(asked.values()) == 1


@pytest.mark.parametrize("guilty", [1, 2])
def test_a_case_of_much_data_is_not_asked_about_beside_its_parts(
    case: Case, monkeypatch: pytest.MonkeyPatch, guilty: int
) -> None:
    monkeypatch.setattr("oracles.minimize.question.HEAVY_BYTES", 0)
    monkeypatch.setattr("oracles.minimize.question.LIGHT_BYTES", 0)
    sizes: list[list[int]] = []

    class Noted(PlantedTester):
        def test(self, cases):
            sizes.append([node_count(one.graph) for one in cases])
            return super().test(cases)

    alone = miscompiled("torch.transpose")
    pair = Defect(
        miscompiled=lambda graph, index, types: (
            graph.nodes[index].target == "torch.transpose" and len(graph.nodes) >= guilty
        )
    )
    result = minimize(case, WRONG, Noted(alone if guilty == 1 else pair))
    assert not result.flaky
    assert node_count(result.case.graph) == guilty
    assert node_count(case.graph) not in sizes[0]
    assert sum(node_count(case.graph) in each for each in sizes) == guilty - 1


def test_other_bugs_are_collected_and_never_mixed_up() -> None:
    """Two operators with two kinds of failure: minimizing one never turns into the other, which is kept."""
    links = (link("torch.transpose", 0, 1), link("torch.cumsum", 0))
    case = plant(*links, seed=22, nodes=20, type=TensorType("float32", (2, 3)))
    other = Signature(WRONG.stage, WRONG.component, Kind.DTYPE)

    class Two(PlantedTester):
        def test(self, cases):
            return [
                replace(trial, observations=(*trial.observations, *self._dtype(trial))) for trial in super().test(cases)
            ]

        def _dtype(self, trial: Trial) -> tuple[Observation, ...]:
            guilty = trial.case is not None and "torch.cumsum" in trial.case.graph.operators()
            return (Observation(other, Verdict.BUG, "dtype"),) if guilty else ()

    result = minimize(case, WRONG, Two(miscompiled("torch.transpose")))
    assert result.case.graph.operators() == ("torch.transpose",)
    ((kept, seen),) = [pair for pair in result.others if pair[1].signature == other]
    assert kept.graph.operators() == ("torch.cumsum",)
    assert seen.message == "dtype"


def test_a_second_guilty_operator_with_the_same_signature_is_kept() -> None:
    links = (link("torch.transpose", 0, 1), link("torch.cumsum", 0))
    case = plant(*links, seed=23, nodes=20, type=TensorType("float32", (2, 3)))
    both = Defect(miscompiled=lambda graph, index, types: graph.nodes[index].target in {item[0] for item in links})
    result = minimize(case, WRONG, PlantedTester(both))
    found = {result.case.graph.operators(), *(other.graph.operators() for other, _ in result.others)}
    assert found == {("torch.transpose",), ("torch.cumsum",)}


def test_statistics_add_up(case: Case) -> None:
    tester = PlantedTester(miscompiled("torch.transpose"))
    result = minimize(case, WRONG, tester)
    assert result.conversions == tester.conversions
    assert sum(item.conversions for item in result.passes.values()) == result.conversions
    assert result.passes["isolate"].successes >= 1
    assert result.passes["simplify"].tries >= result.passes["simplify"].successes >= 1
    assert not result.needs_special


def test_statistics_of_passes_that_do_not_share_conversions_add_up(case: Case) -> None:
    class Counting(PlantedTester):
        judged = 0

        def test(self, cases):
            self.judged += len(cases)
            return super().test(cases)

    ticks = iter(range(10**6))
    tester = Counting(refused("torch.transpose"))
    result = minimize(case, CRASH, tester, budget=Budget(10**6, 400, lambda: next(ticks)))
    assert sum(item.conversions for item in result.passes.values()) == result.conversions == tester.conversions
    assert sum(item.tries for item in result.passes.values()) == tester.judged
    assert sum(item.seconds for item in result.passes.values()) <= result.seconds
    assert all(item.seconds >= 0 for item in result.passes.values())
    # To see that nothing helps any more, passes ask again what they know.
    assert sum(item.remembered for item in result.passes.values()) > 0


def test_special_values_go_when_they_are_not_needed() -> None:
    feed = np.array([[np.nan, 1.0], [np.inf, 2.0]], np.float32)
    case = plant(link("torch.transpose", 0, 1), seed=24, nodes=8, type=TensorType("float32", (2, 2)), feed=feed)
    result = minimize(case, WRONG, PlantedTester(miscompiled("torch.transpose")))
    assert not result.needs_special
    assert all(np.isfinite(array).all() for array in result.case.feeds.values())


class Lanes(PlantedTester):
    """Spreads cases among lanes as among workers; ``waited`` counts conversions, those made at the same time once."""

    waited = 0
    least = 1

    def test(self, cases):
        trials, most = [], 0
        for part in spread([len(case.graph.nodes) for case in cases], self.lanes, self.least):
            before = self.conversions
            trials += super().test([cases[number] for number in part])
            most = max(most, self.conversions - before)
        self.waited += most
        assert len(trials) == len(cases)
        return trials


@pytest.mark.parametrize("defect", [refused("torch.transpose"), refused("torch.transpose", "torch.sort")])
def test_lanes_give_the_same_in_less_time_where_one_failure_ends_a_conversion(defect: Defect) -> None:
    case = plant(link("torch.transpose", 0, 1), link("torch.sort", unpack=True), seed=25, nodes=32, spread=True)
    alone, several = Lanes(defect), Lanes(defect, lanes=3)
    expected, result = (minimize(case, CRASH, tester) for tester in (alone, several))
    assert digest(result.case) == digest(expected.case)
    assert several.waited < alone.waited


def test_lanes_give_the_same_where_candidates_share_conversions(case: Case) -> None:
    defect = miscompiled("torch.transpose")
    alone, both = Lanes(defect), Lanes(defect, lanes=2)
    both.least = 16
    expected, result = (minimize(case, WRONG, tester) for tester in (alone, both))
    assert digest(result.case) == digest(expected.case)
    assert both.waited == alone.waited
    assert alone.conversions < both.conversions <= 2 * alone.conversions


def test_cases_are_spread_evenly_and_in_order() -> None:
    assert spread([], 2, 1) == [range(0)]
    assert spread([5], 2, 1) == [range(1)]
    assert spread([1] * 6, 2, 1) == [range(3), range(3, 6)]
    assert spread([1] * 6, 2, 4) == [range(6)]
    assert spread([100, 1, 1, 1], 3, 1) == [range(1), range(1, 2), range(2, 4)]
    assert spread([1, 1, 1, 100], 2, 1) == [range(3), range(3, 4)]
    assert spread([1, 1], 5, 1) == [range(1), range(1, 2)]


def test_slow_cases_are_asked_about_a_few_at_a_time(case: Case) -> None:
    now, asked = [0.0], list[tuple[int, float]]()

    class Slow(PlantedTester):
        def test(self, cases: Sequence[Case]) -> list[Trial]:
            asked.append((len(cases), now[0]))
            now[0] += len(cases)
            return super().test(cases)

    tester = Slow(miscompiled("torch.transpose"))
    result = minimize(case, WRONG, tester, budget=Budget(seconds=100, clock=lambda: now[0]))
    assert result.case.graph.operators() == ("torch.transpose",)
    assert len(asked) > 2
    for cases, before in asked[1:]:
        # A quarter of what is left, and one that is known to fail.
        assert cases <= max(1, (100 - before) / 4) + 1
