"""Many samples of noise only for what counts: the first case of a question that shows the defect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest

from fuzzer import pipeline
from fuzzer.prepared import Prepared, Sized
from fuzzer.reduction import reduce
from fuzzer.survival import RemoteTester
from fuzzer.tasks import Step, Subject
from fuzzer.verdicts import SUSPECTED, Verdicts
from generators.frontends.base import frontend
from generators.graph import Array, Case
from oracles.judge import CERTAINTY, SUSPICION
from oracles.minimize import Unreproducible
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
    assert [SUSPECTED in one.numbers for found in seen for one in found] == [False, sought is not None]


class Told:
    """Stands for a tester; answers of single cases are given in advance, all others are suspicions while something is
    sought."""

    conversions = 0
    slices = False
    lanes = 1
    sought: Signature | None = None

    def __init__(self, answers: Sequence[bool]) -> None:
        self.answers = list(answers)

    def test(self, cases: Sequence[Case]) -> list[Trial]:
        self.conversions += 1
        shows = self.sought is not None or self.answers.pop(0)
        numbers = {SUSPECTED: 1.0} if self.sought else {"error": 2.0}
        seen = (Observation(WRONG, Verdict.BUG, "wrong", numbers=numbers),) if shows else ()
        return [Trial(case, seen) for case in cases]

    def values(self, case: Case) -> Mapping[str, Array]:
        return frontend("torch").run(case.graph, case.feeds)


@pytest.mark.parametrize("answers", [[True], [False, False, True]])
def test_a_result_that_was_only_suspected_is_asked_about_for_certain(answers: list[bool]) -> None:
    tester = Told(answers)
    result = reduce(unary("torch", "exp", "float32", 3), WRONG, cast(RemoteTester, tester))
    assert tester.answers == []
    assert result.observation.numbers == {"error": 2.0}
    assert result.conversions == tester.conversions


def test_where_suspicions_mislead_all_is_asked_for_certain() -> None:
    tester = Told([False] * 30)
    with pytest.raises(Unreproducible):
        reduce(unary("torch", "exp", "float32", 3), WRONG, cast(RemoteTester, tester))
    assert tester.sought is None
    assert len(tester.answers) < 27


def test_judging_a_large_model_restarts_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject("torch", "identity.torch", {}, (("interpreter", "eager"),))
    steps: list[Step] = []
    asked = pipeline.Pipeline(subject, steps.append, lambda text: None, lambda: "")
    case = unary("torch", "exp", "float32", 3)
    for silent, expected in ((0.0, 30), (1000.0, 0)):
        steps.clear()
        monkeypatch.setattr(pipeline, "_SILENT_SECONDS", silent)
        prepared = asked._prepared(7, case, None)
        asked.attempt.judged(prepared.sizes[0], [array + 1 for array in prepared.sizes[0].expected])
        told = [step for step in steps if step.name == "judge"]
        assert len(told) >= expected
        assert bool(told) == bool(expected)
        assert {step.cases for step in told} <= {(7,)}
