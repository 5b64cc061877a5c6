"""Finding out who is to blame: has a worker make the experiments, and hands what they gave to the rules."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from corpus.records import Finding
from fuzzer.converters.base import converters
from fuzzer.experiments import Experiment, Scene, compiled, control, experiments, scene_of
from fuzzer.inquiry import BLAME, arrays_of
from fuzzer.other_values import other_values
from fuzzer.own_errors import OwnError, Vote, own_errors
from fuzzer.supervisor import Worker, WorkerDied
from fuzzer.survival import FROM_OUTSIDE, signature_of
from fuzzer.tasks import ExperimentResult, ExperimentTask, Ran, Seen
from generators.frontends.base import STAND_INS
from generators.graph import Array
from generators.serial import dumps, loads
from oracles.blame import Accused, Blame, Confidence, Evidence, Outcome, Role, Rule, blame
from oracles.compare import compare
from oracles.outcome import MISMATCH, Kind, Verdict
from oracles.quantization import against

#: Seconds that a single step of an experiment may take.
_STEP_SECONDS = 60.0
_STEPS = ("convert", "validate", "load", "run")
#: How often it is asked which optimizers step in for those that are switched off.
_SUBSTITUTES = 4
#: Eager mode is confirmed by double precision when it is off by less than this share of what the other is off by.
_MUCH_LESS = 0.1
#: What others may compute by accident: over few elements, or equal ones.
_BY_ACCIDENT = frozenset({Kind.NONFINITE, Kind.VALUE})
#: What differs then is no number.
_STRUCTURE = frozenset({Kind.COUNT, Kind.DTYPE, Kind.SHAPE})

Result = ExperimentResult | WorkerDied


class Blamer:
    """Makes experiments about a minimized case with a worker, for at most ``seconds``."""

    def __init__(self, worker: Worker, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._worker = worker
        self._clock = clock
        self._seconds = seconds
        self._until = math.inf
        #: Seconds of CPU time by what they were spent on.
        self.parts: Counter[str] = Counter()
        self._votes: list[Vote] = []
        #: Whether eager mode dies of the case, too.
        self._stand_in = False
        #: What jurors of the last vote got wrong themselves.
        self.own_errors: list[OwnError] = []

    def blame(self, finding: Finding, case: bytes) -> Blame:
        """The verdict on a finding whose minimized case is ``case`` (serialised). What there was no time for abstains.
        Raises Stopped and WorkerDefect."""
        self._until = self._clock() + self._seconds
        self._votes, self.own_errors = [], []
        self._stand_in = False
        scene = scene_of(finding)
        if scene is None:
            absent = Evidence(Role.CONTROL, finding.converter, "", Outcome.ABSTAINS, "its subjects are not installed")
            return Blame(finding.signature.component, Confidence.LOW, Rule.OBSERVED, (absent,))
        if other := against(finding.signature.detail):
            words = f"no experiment holds kernels against others, as the {other} ones here"
            alone = Evidence(Role.CONTROL, finding.converter, "", Outcome.ABSTAINS, words)
            return Blame(finding.signature.component, Confidence.LOW, Rule.OBSERVED, (alone,))
        inquest = _Inquest(scene)
        first = control(scene)
        evidence = [inquest.heard(first, self._ask(first, case))]
        if evidence[0].outcome is Outcome.SAME:
            if (double := inquest.double()) is not None:
                evidence.append(double)
            made = list(experiments(scene))
            heard = [self._evidence(one, inquest, case) for one in made]
            evidence += self._confirmed(scene, made, heard, case)
            evidence += self._optimizers(scene, inquest, evidence, case)
            if blame(scene.accused, evidence).confidence is not Confidence.HIGH:
                evidence += [self._evidence(one, inquest, case) for one in compiled(scene)]
        verdict = blame(scene.accused, evidence)
        self.own_errors = own_errors(scene, verdict, self._votes)
        return verdict

    def _evidence(self, one: Experiment, inquest: _Inquest, case: bytes) -> Evidence:
        if self._clock() < self._until:
            result = self._ask(one, case)
            heard = inquest.heard(one, result)
            if one.role in (Role.JUROR, Role.VARIANT):
                self._votes.append(Vote(one, case, result, heard.outcome))
            return heard
        return Evidence(one.role, one.component, one.detail, Outcome.ABSTAINS, "no time left")

    def _confirmed(
        self, scene: Scene, made: Sequence[Experiment], heard: Sequence[Evidence], case: bytes
    ) -> list[Evidence]:
        """The evidence, with jurors that agree with the source or with the accused heard about other values, too: over
        what minimization leaves, they may agree by accident. Where the failure does not show with other values, the
        evidence as it is."""
        asked = [
            place
            for place, item in enumerate(heard)
            if item.role is Role.JUROR and item.outcome in (Outcome.RIGHT, Outcome.SAME)
        ]
        found = list(heard)
        if scene.accused.signature.kind not in _BY_ACCIDENT or not asked:
            return found
        inquest, other = self._with_other_values(scene, case)
        for place in asked if inquest else ():
            again = self._evidence(made[place], inquest, other)  # type: ignore[arg-type]
            if again.outcome is heard[place].outcome:
                words = f"{heard[place].words}; with other values, too"
                found[place] = msgspec.structs.replace(heard[place], words=words)
            elif again.outcome is not Outcome.ABSTAINS:
                words = f"{heard[place].outcome} about these values, not about others: {again.words}"
                found[place] = msgspec.structs.replace(again, outcome=Outcome.OTHER, words=words[:300])
        return found

    def _with_other_values(self, scene: Scene, case: bytes) -> tuple[_Inquest | None, bytes]:
        """An inquest about the case with further feeds at which the failure shows as well, and that case. None where
        there are no such feeds."""
        whole = loads(case)
        for feeds in () if scene.converter.quantizes(scene.subject.settings) else other_values(whole):
            if self._clock() > self._until:
                break
            other = dumps(replace(whole, further=(*whole.further, feeds)))
            inquest, one = _Inquest(scene), control(scene)
            if inquest.heard(one, self._ask(one, other)).outcome is Outcome.SAME and inquest.shows_last():
                return inquest, other
        return None, b""

    def _ask(self, one: Experiment, case: bytes, disabled: Sequence[str] = ()) -> Result:
        settings = {**one.settings, "disabled": ",".join(disabled)} if disabled else dict(one.settings)
        return self._call(ExperimentTask(one.subject, case, one.runtime, settings))

    def _call(self, task: ExperimentTask, *, again: bool = True) -> Result:
        if self._stand_in:
            subject = msgspec.structs.replace(task.subject, stand_in=True)
            task = msgspec.structs.replace(task, subject=subject)
        try:
            result = self._worker.call(task, min(_STEP_SECONDS, self._worker.limits.deadline))
        except WorkerDied as death:
            self.parts[BLAME] += sum(death.parts.values())  # type: ignore[assignment]
            if death.step.name == "eager" and task.subject.frontend in STAND_INS and not task.subject.stand_in:
                self._stand_in = True
                return self._call(task)
            # Killed from outside (by a person, the kernel short of memory) it says nothing, until it happens twice.
            return self._call(task, again=False) if again and death.what in FROM_OUTSIDE else death
        assert isinstance(result, ExperimentResult)
        self.parts.update(result.parts)
        return result

    def _optimizers(self, scene: Scene, inquest: _Inquest, heard: Sequence[Evidence], case: bytes) -> list[Evidence]:
        """Where the runtime is wrong with optimizers and right without: a smallest set of them without which it is
        right. Those that change the model are switched off, and on again one by one as long as it stays right."""
        variants = {item.detail: item.outcome for item in heard if item.role is Role.VARIANT}
        wrong = [name for name in variants if variants[name] is Outcome.SAME]
        if Outcome.RIGHT not in variants.values() or not wrong:
            return []
        # Of several, the one in which the fewest optimizers take part.
        changing = [(name, self._changing(scene, name, case)) for name in wrong]
        variant, names = min(changing, key=lambda pair: (not pair[1], len(pair[1])))
        if not names:
            return []
        one = Experiment(Role.OPTIMIZER, "", "", scene.subject, scene.runtime.name, scene.runtime.variants[variant])

        def without(disabled: Sequence[str]) -> Evidence:
            return inquest.heard(one, self._ask(one, case, disabled))

        def evidence(disabled: Sequence[str], outcome: Evidence, what: str) -> Evidence:
            component = f"{scene.runtime.name}:{'+'.join(disabled)}" if what == "guilty" else scene.runtime.name
            detail = f"{variant} without {', '.join(disabled) or 'any'}"
            return Evidence(Role.OPTIMIZER, component, detail, outcome.outcome, outcome.words)

        guilty = list(names)
        all_off = without(guilty)
        if all_off.outcome is not Outcome.RIGHT:
            return [evidence(guilty, all_off, "all")]
        right = all_off
        for name in names:
            if self._clock() > self._until:
                return []
            fewer = [other for other in guilty if other != name]
            trial = without(fewer)
            if trial.outcome is Outcome.RIGHT:
                guilty, right = fewer, trial
        if not guilty:
            # Right without any: not the same from one time to the next.
            return []
        rest = [name for name in names if name not in guilty]
        rows = [evidence(guilty, right, "guilty")]
        return [*rows, evidence(rest, without(rest), "rest")] if rest else rows

    def _changing(self, scene: Scene, variant: str, case: bytes) -> list[str]:
        """The runtime's optimizers that change the model under this variant, and those that do when these are off."""
        names: list[str] = []
        for _ in range(_SUBSTITUTES):
            settings = {**scene.runtime.variants[variant], "disabled": ",".join(names)}
            asked = self._call(ExperimentTask(scene.subject, case, scene.runtime.name, settings, optimizers=True))
            new = [name for name in getattr(asked, "optimizers", ()) if name not in names]
            if not new:
                break
            names += new
        return names


class _Inquest:
    """Reads the outcomes of experiments, against that of the control."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._accused: Accused = scene.accused
        #: What the control gave at each size: its outputs, and which of them are wrong.
        self._outputs: list[list[Array] | None] = []
        self._wrong: list[set[int]] = []
        self._numbers: Mapping[str, float] = {}

    def heard(self, one: Experiment, result: Result) -> Evidence:
        """The evidence of an experiment."""
        outcome, words = self._outcome(one, result)
        return Evidence(one.role, one.component, one.detail, outcome, " ".join(words.split())[:300])

    def _outcome(self, one: Experiment, result: Result) -> tuple[Outcome, str]:
        if isinstance(result, WorkerDied):
            return self._of_a_death(one, result)
        if result.refused:
            return Outcome.ABSTAINS, f"eager mode refuses the case: {result.refused}"
        if result.seen:
            return self._of_failures(one, result.seen)
        if one.role is Role.CONTROL:
            return self._of_the_control(one, result.sizes)
        for ran in result.sizes:
            if ran.seen and not ran.outputs:
                return self._of_failures(one, ran.seen)
        return self._of_outputs(result.sizes)

    def _of_a_death(self, one: Experiment, death: WorkerDied) -> tuple[Outcome, str]:
        words = f"{death.kind.value} ({death.what}) in step {death.step.name} {death.step.component}"
        if death.step.name in _STEPS and death.kind is self._accused.signature.kind:
            seen = signature_of(death, converters()[one.subject.converter])
            if self._alike(one, Seen(seen.stage, seen.component, seen.kind, seen.detail, "", "", (), "", {})):
                return Outcome.SAME, words
        return Outcome.ABSTAINS, f"dies: {words}"

    def _of_failures(self, one: Experiment, seen: Sequence[Seen]) -> tuple[Outcome, str]:
        unsupported = next((item for item in seen if item.kind == Kind.UNSUPPORTED.value), None)
        if unsupported is not None:
            return Outcome.ABSTAINS, f"{unsupported.component} does not support it: {unsupported.detail}"
        alike = next((item for item in seen if self._alike(one, item)), None)
        worst = alike or seen[0]
        told = f"{worst.kind} at {worst.stage} by {worst.component}: {worst.message or worst.detail}"
        if self._accused.signature.kind in MISMATCH and one.role in (Role.JUROR, Role.VARIANT):
            # Who gives no result says nothing about what the right one is.
            return Outcome.ABSTAINS, f"fails: {told}"
        return (Outcome.SAME if alike else Outcome.OTHER), told

    def _alike(self, one: Experiment, seen: Seen) -> bool:
        """Whether it is the failure of the finding, or, of another subject, the same one in its own frames."""
        signature = self._accused.signature
        if seen.kind != signature.kind.value or seen.detail != signature.detail:
            return False
        if one.role in (Role.CONTROL, Role.VARIANT, Role.OPTIMIZER, Role.OPTION, Role.PART):
            return (seen.stage, seen.component) == (signature.stage.value, signature.component)
        return bool(signature.detail)

    def _of_the_control(self, one: Experiment, sizes: Sequence[Ran]) -> tuple[Outcome, str]:
        """Remembers the outputs. Of a mismatch the kind alone decides, since who is at fault is what is asked."""
        kind = self._accused.signature.kind
        seen: list[Seen] = []
        for ran in sizes:
            bugs = [item for item in ran.seen if item.verdict == Verdict.BUG.value]
            self._outputs.append(arrays_of(ran) if ran.outputs else None)
            self._wrong.append({number for item in bugs for number in item.outputs})
            seen += bugs
        alike = [item for item in seen if (item.kind == kind.value if kind in MISMATCH else self._alike(one, item))]
        if not alike:
            failures = [item for ran in sizes for item in ran.seen]
            return (Outcome.OTHER, failures[0].message or failures[0].detail) if failures else (Outcome.RIGHT, "")
        self._numbers = alike[0].numbers
        return Outcome.SAME, alike[0].message or alike[0].detail

    def _of_outputs(self, sizes: Sequence[Ran]) -> tuple[Outcome, str]:
        """Right where the control was wrong; wrong alike; or wrong in another way."""
        mismatch = self._accused.signature.kind in MISMATCH
        bugs: list[Seen] = []
        doubted = False
        for number, ran in enumerate(sizes):
            wanted = self._wrong[number] if mismatch and number < len(self._wrong) else None
            for item in ran.seen:
                if wanted is None or item.kind == Kind.COUNT.value or wanted & set(item.outputs):
                    bugs += [item] if item.verdict == Verdict.BUG.value else []
                    doubted = True
        if bugs:
            return (Outcome.SAME if mismatch and self._agree(sizes) else Outcome.OTHER), bugs[0].message
        covered = not mismatch or any(self._wrong[: len(sizes)])
        if not covered:
            return Outcome.ABSTAINS, "converts at one size only, at which nothing is wrong"
        return Outcome.RIGHT, "differs by no more than rounding explains" if doubted else "gives what the source gives"

    def shows_last(self) -> bool:
        """Whether the control was wrong with its last feeds."""
        return len(self._wrong) > 1 and bool(self._wrong[-1])

    def _agree(self, sizes: Sequence[Ran]) -> bool:
        """Whether the outputs that are wrong in the control are the same here."""
        for number, ran in enumerate(sizes[: len(self._outputs)]):
            first, other = self._outputs[number], arrays_of(ran) if ran.outputs else None
            if not self._wrong[number]:
                continue
            if first is None or other is None or len(first) != len(other):
                return first is not None and other is not None and self._accused.signature.kind is Kind.COUNT
            chosen = sorted(output for output in self._wrong[number] if output < len(first))
            if compare([first[output] for output in chosen], [other[output] for output in chosen]):
                return False
        return True

    def double(self) -> Evidence | None:
        """What double precision says at the element that is most wrong, from the analysis of the control."""
        signature, numbers = self._accused.signature, self._numbers
        if signature.kind not in MISMATCH:
            return None
        role, name = Role.DOUBLE, self._accused.framework
        if signature.kind in _STRUCTURE or "reference" not in numbers or "eager_error" not in numbers:
            quantized = self._scene.converter.quantizes(self._scene.subject.settings)
            words = "quantization hides precision" if quantized else "precision does not matter to what differs"
            return Evidence(role, name, "float64", Outcome.ABSTAINS, words)
        tolerance = numbers.get("tolerance", 0.0)
        reference = f"{numbers['reference']:.9g}"
        eager, actual = numbers["eager_error"], numbers["reference_error"]
        words = f"gives {reference}; eager mode is off by {eager:.3g}, the converted model by {actual:.3g}"
        if eager <= tolerance or eager < _MUCH_LESS * actual:
            return Evidence(role, name, "float64", Outcome.RIGHT, words)
        return Evidence(role, name, "float64", Outcome.SAME if actual <= tolerance else Outcome.OTHER, words)
