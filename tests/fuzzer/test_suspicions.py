"""Many samples of noise only for what counts: the first case of a question that shows the defect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fuzzer.prepared import Prepared, Sized
from fuzzer.survival import RemoteTester
from fuzzer.verdicts import Verdicts
from generators.frontends.base import frontend
from generators.graph import Case
from oracles.judge import CERTAINTY, SUSPICION
from oracles.noise import Analyst
from oracles.outcome import Kind, Observation, Signature, Stage, Trial, Verdict
from tests.fuzzer.graphs import unary

WRONG = Signature(Stage.CONVERT, "some converter", Kind.VALUE)


def prepared(number: int) -> Prepared:
    case = unary("torch", "exp", "float32", 3)
    ours = frontend("torch")
    values = ours.run(case.graph, case.feeds)
    return Prepared(number, case, [Sized(case, [values[case.graph.outputs[0]]], Analyst(ours, case))])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """The samples with which cases are judged, one after the other."""
    import fuzzer.verdicts

    found: list[Sequence[int]] = []
    judge = fuzzer.verdicts.judge

    def noted(*arguments: Any, samples: Sequence[int], **others: Any) -> Any:
        found.append(samples)
        return judge(*arguments, samples=samples, **others)

    monkeypatch.setattr(fuzzer.verdicts, "judge", noted)
    return found


@pytest.mark.parametrize(
    ("sought", "expected"),
    [(None, [CERTAINTY] * 3), (WRONG, [CERTAINTY, CERTAINTY, SUSPICION])],
    ids=["nothing sought", "sought"],
)
def test_cases_behind_the_first_that_shows_it_are_suspected(
    asked: list[Sequence[int]], sought: Signature | None, expected: list[Sequence[int]]
) -> None:
    verdicts = Verdicts(frontend("torch"), "some converter")
    verdicts.seek(sought)
    right, *wrong = (prepared(number) for number in range(3))
    seen = [
        verdicts.of(item, [("some runtime", "default", [[factor * item.expected[0]]])], None)
        for item, factor in ((right, np.float32(1)), *((item, np.float32(1.01)) for item in wrong))
    ]
    assert asked == expected
    assert [[one.signature for one in found] for found in seen] == [[], [WRONG], [WRONG]]


class Told(RemoteTester):
    """A tester whose answers are given in advance; the cases it is asked about are kept."""

    def __init__(self, answers: Sequence[bool]) -> None:
        self.sought = WRONG
        self.answers = list(answers)

    def test(self, cases: Sequence[Case]) -> list[Trial]:
        assert self.sought is None, "a case alone is judged for certain"
        shown = (Observation(WRONG, Verdict.BUG, "wrong"),) if self.answers.pop(0) else ()
        return [Trial(case, shown) for case in cases]


@pytest.mark.parametrize(("answers", "holds"), [([True], True), ([False, True], True), ([False, False], False)])
def test_a_case_holds_that_shows_it_in_one_of_some_attempts(answers: list[bool], holds: bool) -> None:
    tester = Told(answers)
    assert tester.holds(unary("torch", "exp", "float32", 3), 2) is holds
    assert tester.answers == []
    assert tester.sought == WRONG
