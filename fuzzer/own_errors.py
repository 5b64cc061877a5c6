"""What a vote shows of a runtime that nobody had accused: a result of its own, wrong where the artifact is right.

A juror that agrees with nobody says nothing about the artifact, but where others compute from it what the source
computes, it is wrong itself, and that is a defect of its own. It is judged anew, on the runtime variants that show it
and, since a model on which all are wrong is the converter's fault, beside one that is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fuzzer.attempt import WITNESSES
from fuzzer.experiments import Experiment, Scene
from fuzzer.formats import Setting
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.supervisor import WorkerDied
from fuzzer.tasks import ExperimentResult, Seen
from fuzzer.verdicts import SEVERITY
from oracles.blame import Blame, Outcome, Role, Rule
from oracles.outcome import MISMATCH, Kind, Observation, Signature, Stage, Verdict

#: The rules by which the artifact is right.
_ARTIFACT_IS_RIGHT = frozenset({Rule.MAJORITY, Rule.VARIANT, Rule.OPTIMIZER})


@dataclass(frozen=True)
class Vote:
    """An experiment about the artifact of a finding: the case (serialised), what it gave, and what that was taken
    for."""

    experiment: Experiment
    case: bytes
    result: ExperimentResult | WorkerDied
    outcome: Outcome

    @property
    def place(self) -> tuple[str, str]:
        """The runtime and its variant."""
        return self.experiment.runtime, self.experiment.detail


@dataclass(frozen=True)
class OwnError:
    """What a runtime computes wrongly from an artifact that is right: of which case, what was seen, with which settings
    of the converter, and the runtime variants that it shows on, followed by one that is right where there is one."""

    case: bytes
    observation: Observation
    settings: Mapping[str, Setting]
    variants: tuple[tuple[str, str], ...]


def own_errors(scene: Scene, verdict: Blame, votes: Sequence[Vote]) -> list[OwnError]:
    """One for each juror that is wrong in a way of its own about an artifact that, by the verdict, is right. None for
    evaluators that are no subjects, for quantized models, and where nobody is right who could be asked again."""
    if verdict.rule not in _ARTIFACT_IS_RIGHT or scene.converter.quantizes(scene.subject.settings):
        return []
    found: dict[str, OwnError] = {}
    for case in dict.fromkeys(vote.case for vote in votes):
        about = [vote for vote in votes if vote.case == case]
        for name in dict.fromkeys(vote.experiment.runtime for vote in about if vote.experiment.role is Role.JUROR):
            if name in found or name not in runtimes():
                continue
            own = [vote for vote in about if vote.experiment.runtime == name and vote.outcome is Outcome.OTHER]
            if error := _own_error(scene, runtimes()[name], own, _right(about, votes)):
                found[name] = error
    return list(found.values())


def _right(about: Sequence[Vote], votes: Sequence[Vote]) -> list[Vote]:
    """Of the votes about a case those that side with the source in every output and about every other case, those of
    fast subjects first."""
    wrong = {vote.place for vote in votes if vote.outcome is not Outcome.RIGHT or _bugs(vote)}
    right = [vote for vote in about if vote.outcome is Outcome.RIGHT and vote.place not in wrong]
    known = runtimes()
    return sorted(right, key=lambda vote: 2 if vote.place[0] not in known else known[vote.place[0]].share < 1)


def _own_error(scene: Scene, runtime: Runtime, votes: Sequence[Vote], right: Sequence[Vote]) -> OwnError | None:
    shown = _gravest(runtime, votes)
    if not shown or not right:
        return None
    beside = tuple(vote.place for vote in right[:1] if vote.place[0] in runtimes())
    if not beside and scene.converter.target not in WITNESSES:
        return None
    # Alone, it is judged by the evaluator of the format, and told of in other words.
    alone = not beside and not scene.converter.hands_on
    variants = ", ".join(f"{runtime.name} {variant}" if alone else variant for variant in shown)
    first = next(iter(shown.values()))
    signature = Signature(Stage.INFERENCE, runtime.name, Kind(first.kind), variants)
    seen = Observation(signature, Verdict.BUG, first.message, first.outputs, variants, dict(first.numbers))
    places = (*((runtime.name, variant) for variant in shown), *beside)
    return OwnError(votes[0].case, seen, scene.subject.settings, places)


def _gravest(runtime: Runtime, votes: Sequence[Vote]) -> dict[str, Seen]:
    """Of the kinds of what a runtime gets wrong the gravest, by the variants that show it: those that always run, where
    there are any."""
    seen: dict[Kind, dict[str, Seen]] = {}
    for vote in votes:
        if bugs := _bugs(vote):
            worst = min(bugs, key=lambda item: SEVERITY.index(Kind(item.kind)))
            seen.setdefault(Kind(worst.kind), {})[vote.experiment.detail] = worst
    if not seen:
        return {}
    shown = seen[min(seen, key=SEVERITY.index)]
    return {name: item for name, item in shown.items() if name not in runtime.occasional} or shown


def _bugs(vote: Vote) -> list[Seen]:
    """What is wrong with the outputs; nothing of a subject that gave none."""
    if isinstance(vote.result, WorkerDied):
        return []
    return [
        item
        for ran in vote.result.sizes
        for item in ran.seen
        if ran.outputs and item.verdict == Verdict.BUG.value and Kind(item.kind) in MISMATCH
    ]
