"""One conversion of one or several cases, and what came of it: convert, validate, run, judge. Runs inside a worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from corpus.records import Outcome
from fuzzer.converters.base import Converter, converters
from fuzzer.failures import describe_exception, explain_exception, normalise
from fuzzer.formats import Artifact, Format, InvalidModel, Unsupported
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.runtimes.onnx_reference import OnnxReference
from fuzzer.tasks import Step, Subject
from generators.frontends.base import Frontend, LoadedModel, frontend
from generators.graph import Array, Case
from generators.serial import dumps
from generators.transforms import union
from oracles.compare import finite
from oracles.judge import judge
from oracles.noise import Analyst
from oracles.outcome import MISMATCH, Kind, Observation, Signature, Stage, Verdict

#: Kinds of mismatch in the order in which they hide each other.
_SEVERITY = (Kind.COUNT, Kind.DTYPE, Kind.SHAPE, Kind.NONFINITE, Kind.VALUE)
_STAGES = {
    "convert": Stage.CONVERT,
    "validate": Stage.VALIDATE,
    "load": Stage.RUNTIME_LOAD,
    "run": Stage.INFERENCE,
}


@dataclass(slots=True)
class Prepared:
    """A case that eager mode ran twice with the same results: its types are right and ``expected`` its outputs."""

    number: int
    case: Case
    expected: list[Array]
    analyst: Analyst


@dataclass(slots=True)
class Spent:
    """What was spent and counted."""

    conversions: int = 0
    #: Seconds of CPU time by what they were spent on.
    parts: Counter[str] = field(default_factory=Counter)
    funnel: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    costs: list[tuple[int, float]] = field(default_factory=list)

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Count the CPU time spent inside under this part, and not under the one around it."""
        started, inner = time.process_time(), self.parts.total()
        try:
            yield
        finally:
            self.parts[part] += time.process_time() - started - (self.parts.total() - inner)  # type: ignore[assignment]

    def count(self, outcome: Outcome, variant: str = "", number: int = 1) -> None:
        """Count cases that came to this outcome, under a runtime variant or, before any runtime, under ``''``."""
        self.funnel.setdefault(variant, Counter())[outcome.value] += number


class Printed(Exception):
    """A subject wrote to standard output."""

    def __init__(self, text: str, component: str, stage: Stage) -> None:
        super().__init__(text)
        self.text = text
        self.component = component
        self.stage = stage


class Refused(Exception):
    """A subject refused the union (or the single case) with these observations, one for each thing that it said;
    ``bug`` unless it is unsupported."""

    def __init__(self, *observations: Observation, bug: bool) -> None:
        super().__init__(observations[0].message)
        self.observations = observations
        self.bug = bug


#: Evaluators that are asked who is wrong, by the format that they take.
WITNESSES: dict[Format, Runtime] = {Format.ONNX: OnnxReference()}
#: Number of a case in its batch, the case, what was observed of it.
Judgement: TypeAlias = "tuple[int, Case, list[Observation]]"


class Attempt:
    """Puts cases to one subject. ``announce`` sends a step to the supervisor, ``printed`` returns what came out on
    standard output since it was last asked."""

    def __init__(
        self, subject: Subject, announce: Callable[[Step], None], printed: Callable[[], str], spent: Spent
    ) -> None:
        self._announce = announce
        self._printed = printed
        self.frontend: Frontend = frontend(subject.frontend)
        self.converter: Converter = converters()[subject.converter]
        self.settings = dict(subject.settings)
        self.variants: list[tuple[Runtime, str]] = [
            (runtimes()[runtime], variant) for runtime, variant in subject.variants
        ]
        self.spent = spent
        #: The last artifact that was not refused.
        self.artifact: Artifact | None = None

    @contextmanager
    def _step(
        self, name: str, component: str, numbers: tuple[int, ...], case: bytes, settings: str = ""
    ) -> Iterator[None]:
        self._announce(Step(name, component, numbers, case, settings))
        self._printed()
        with self.spent.during("subjects"):
            yield
        text = self._printed()
        if text:
            raise Printed(text, component, _STAGES[name])

    def together(self, prepared: list[Prepared], blob: bytes = b"") -> list[Judgement]:
        """Judgements of the cases from one conversion of their union. ``blob`` is the serialised case when there is
        only one.

        What is refused behind the conversion is an observation of the case that it belongs to, where the artifact can
        be cut in slices. Raises Refused and Printed otherwise; what a runtime refuses of a single case is an
        observation of it.
        """
        self.artifact = None
        numbers = tuple(item.number for item in prepared)
        started = time.process_time()
        with self.spent.during("joining and printing"):
            case = union([item.case for item in prepared]).case if len(prepared) > 1 else prepared[0].case
            model = self.frontend.load(case)
        artifact = self._convert(model, numbers, blob)
        try:
            found = self._behind(prepared, model, artifact, blob)
            self.spent.costs.append((len(case.graph.operators()), time.process_time() - started))
        except Refused as refusal:
            counts = [(len(item.case.graph.inputs), len(item.case.graph.outputs)) for item in prepared]
            slices = self.converter.slices(artifact, counts) if len(prepared) > 1 else None
            if slices is None:
                raise
            found = self._sliced(prepared, slices)
            seen = [one for _, _, all_seen in found for one in all_seen]
            if refusal.bug and not any(
                one.verdict is Verdict.BUG or one.signature.kind is Kind.UNSUPPORTED for one in seen
            ):
                # The union is refused although none of its parts is: it fails only in company.
                found.append((-1, case, [*refusal.observations]))
        self.artifact = artifact
        return found

    def _sliced(self, prepared: list[Prepared], slices: list[Artifact]) -> list[Judgement]:
        """Each case judged by its slice of the artifact of the union."""
        found: list[Judgement] = []
        for item, part in zip(prepared, slices, strict=True):
            model = LoadedModel(item.case.graph, "", None, ())
            try:
                found += self._behind([item], model, part, dumps(item.case))
            except Refused as refusal:
                found.append((item.number, item.case, [*refusal.observations]))
        return found

    def _behind(self, prepared: list[Prepared], model: LoadedModel, artifact: Artifact, blob: bytes) -> list[Judgement]:
        """What comes behind the conversion: validate, run, judge."""
        numbers = tuple(item.number for item in prepared)
        self._validate(artifact, model, numbers, blob)
        feeds = [item.case.feeds[value.name] for item in prepared for value in item.case.graph.inputs]
        per_variant: list[tuple[str, str, list[Array] | Refused]] = []
        for runtime, variant in self.variants:
            try:
                per_variant.append((runtime.name, variant, self._run(runtime, variant, artifact, feeds, numbers, blob)))
            except Refused as refusal:
                if len(prepared) > 1:
                    raise
                per_variant.append((runtime.name, variant, refusal))
        if self.converter.source is self.converter.target:
            per_variant = _dissent(per_variant)
        self._announce(Step("judge", "", numbers))
        found: list[Judgement] = []
        start = 0
        for item in prepared:
            # The last case takes what is left over, so that a surplus of outputs is seen.
            stop = None if item is prepared[-1] else start + len(item.expected)
            outputs = [
                (name, variant, result if isinstance(result, Refused) else result[start:stop])
                for name, variant, result in per_variant
            ]
            with self.spent.during("judging"):
                found.append((item.number, item.case, self._verdicts(item, outputs)))
            start += len(item.expected)
        self._hear_witness(prepared, artifact, found)
        counts = [seen for _, _, all_seen in found for seen in all_seen if seen.signature.kind is Kind.COUNT]
        if len(prepared) > 1 and counts:
            # With an output missing or added, those behind it are shifted: only single cases can be judged.
            raise Refused(counts[0], bug=True)
        return found

    def _convert(self, model: LoadedModel, numbers: tuple[int, ...], blob: bytes) -> Artifact:
        converter = self.converter
        self.spent.conversions += 1
        try:
            with self._step("convert", converter.name, numbers, blob):
                artifact = converter.convert(model, self.settings)
        except Unsupported as error:
            raise self._unsupported(converter.name, Stage.CONVERT, error) from error
        except Printed:
            raise
        except (Exception, SystemExit) as error:  # whatever a subject raises is a finding
            stage, detail = describe_exception(converter, error)
            raise self._crash(converter.name, stage, detail, error) from error
        return artifact

    def _validate(self, artifact: Artifact, model: LoadedModel, numbers: tuple[int, ...], blob: bytes) -> None:
        converter = self.converter
        try:
            with self._step("validate", converter.name, numbers, blob):
                converter.validate(artifact, model)
        except InvalidModel as error:
            distinct = {normalise(complaint): complaint for complaint in reversed(error.complaints)}
            raise Refused(
                *(
                    Observation(Signature(Stage.VALIDATE, converter.name, Kind.INVALID, detail), Verdict.BUG, complaint)
                    for detail, complaint in reversed(distinct.items())
                ),
                bug=True,
            ) from error

    def _run(
        self,
        runtime: Runtime,
        variant: str,
        artifact: Artifact,
        feeds: Sequence[Array],
        numbers: tuple[int, ...],
        blob: bytes,
    ) -> list[Array]:
        settings = runtime.variants[variant]
        for name, stage in (("load", Stage.RUNTIME_LOAD), ("run", Stage.INFERENCE)):
            try:
                with self._step(name, runtime.name, numbers, blob, variant):
                    if name == "load":
                        session = runtime.load(artifact, settings)
                    else:
                        outputs = runtime.run(session, artifact, feeds)
            except Unsupported as error:
                raise self._unsupported(runtime.name, stage, error, variant) from error
            except Printed:
                raise
            except (Exception, SystemExit) as error:  # whatever a subject raises is a finding
                _, detail = describe_exception(runtime, error)
                raise self._crash(
                    runtime.name,
                    stage,
                    detail,
                    error,
                    variant,
                ) from error
        return outputs

    def _unsupported(self, component: str, stage: Stage, error: Unsupported, variant: str = "") -> Refused:
        signature = Signature(stage, component, Kind.UNSUPPORTED, error.what)
        return Refused(Observation(signature, Verdict.PASS, str(error)[:2000], settings=variant), bug=False)

    def _crash(
        self,
        component: str,
        stage: Stage,
        detail: str,
        error: BaseException,
        variant: str = "",
    ) -> Refused:
        kind = Kind.EXIT if isinstance(error, SystemExit) else Kind.EXCEPTION
        signature = Signature(stage, component, kind, detail)
        message = explain_exception(error)
        return Refused(Observation(signature, Verdict.BUG, message, settings=variant), bug=True)

    def _hear_witness(self, prepared: list[Prepared], artifact: Artifact, found: list[Judgement]) -> None:
        """Where every runtime variant is wrong, ask the format's own evaluator whether the model is. When it gives what
        the framework gives, the model is right and the runtime is not."""
        runtimes_used = {runtime.name for runtime, _ in self.variants}
        accused = [
            index
            for index, (_, _, seen) in enumerate(found)
            if any(one.signature.component == self.converter.name and one.signature.kind in MISMATCH for one in seen)
        ]
        if not accused or len(runtimes_used) != 1 or artifact.format not in WITNESSES:
            return
        counts = [(len(item.case.graph.inputs), len(item.case.graph.outputs)) for item in prepared]
        slices = [artifact] if len(prepared) == 1 else self.converter.slices(artifact, counts)
        for index in accused if slices else ():
            number, case, seen = found[index]
            if not self._exonerated(prepared[index], slices[index]):  # type: ignore[index]
                if self.converter.source is self.converter.target:
                    # The runtime agrees with itself about the whole, and the witness sides with nobody.
                    found[index] = number, case, [self._doubted(one) for one in seen]
                continue
            [runtime] = runtimes_used
            found[index] = (
                number,
                case,
                [
                    replace(one, signature=Signature(Stage.INFERENCE, runtime, one.signature.kind, one.settings))
                    if one.signature.component == self.converter.name and one.signature.kind in MISMATCH
                    else one
                    for one in seen
                ],
            )

    def _doubted(self, seen: Observation) -> Observation:
        if seen.signature.component != self.converter.name or seen.signature.kind not in MISMATCH:
            return seen
        return replace(seen, verdict=Verdict.INCONCLUSIVE)

    def _exonerated(self, item: Prepared, artifact: Artifact) -> bool:
        """Whether the witness computes from the artifact what the framework computes."""
        witness = WITNESSES[artifact.format]
        feeds = [item.case.feeds[value.name] for value in item.case.graph.inputs]
        try:
            with self.spent.during("witness"):
                actual = witness.run(witness.load(artifact, {}), artifact, feeds)
        except Exception:  # noqa: BLE001  (it does not know every operator and type, and then has nothing to say)
            return False
        with self.spent.during("judging"):
            return not judge(self.frontend, item.case, item.expected, actual, analyst=item.analyst)

    # -- verdicts ------------------------------------------------------------------------------------------------

    def _verdicts(self, item: Prepared, outputs: list[tuple[str, str, list[Array] | Refused]]) -> list[Observation]:
        """One observation per component that is at fault.

        When every variant of every runtime is wrong, in whatever way, the converter is; else the runtime that differs.
        """
        seen: list[Observation] = []
        wrong: list[tuple[str, str, Observation]] = []
        ran = 0
        for name, variant, result in outputs:
            if isinstance(result, Refused):
                seen.extend(result.observations)
                continue
            ran += 1
            worst = self._worst(item, result, name, variant)
            if worst is None:
                continue
            if worst.verdict is Verdict.INCONCLUSIVE:
                seen.append(worst)
            else:
                wrong.append((name, variant, worst))
        if not wrong:
            return seen
        if len(wrong) == ran:
            first = min((seen for _, _, seen in wrong), key=lambda seen: _SEVERITY.index(seen.signature.kind))
            signature = Signature(Stage.CONVERT, self.converter.name, first.signature.kind)
            variants = ", ".join(f"{name} {variant}" for name, variant, _ in wrong)
            return [*seen, Observation(signature, Verdict.BUG, first.message, first.outputs, variants, first.numbers)]
        groups: dict[tuple[str, Kind], list[tuple[str, Observation]]] = {}
        for name, variant, observation in wrong:
            groups.setdefault((name, observation.signature.kind), []).append((variant, observation))
        for (name, kind), members in groups.items():
            first = members[0][1]
            variants = ", ".join(variant for variant, _ in members)
            signature = Signature(Stage.INFERENCE, name, kind, variants)
            seen.append(Observation(signature, Verdict.BUG, first.message, first.outputs, variants, first.numbers))
        return seen

    def _worst(self, item: Prepared, actual: list[Array], name: str, variant: str) -> Observation | None:
        """The gravest verdict on the outputs of one variant; None when all pass."""
        judged = judge(self.frontend, item.case, item.expected, actual, analyst=item.analyst)
        bugs = [result for result in judged if result.verdict is Verdict.BUG]
        chosen = bugs or [result for result in judged if result.verdict is Verdict.INCONCLUSIVE]
        if not chosen:
            return None
        kind = min((result.mismatch.kind for result in chosen), key=_SEVERITY.index)
        same_kind = [result for result in chosen if result.mismatch.kind is kind]
        first = same_kind[0]
        signature = Signature(Stage.INFERENCE, name, kind)
        outputs = tuple(result.mismatch.output for result in same_kind)
        numbers = {**first.numbers, "defined": float(all(map(finite, item.expected)))}
        return Observation(signature, first.verdict, str(first.mismatch), outputs, variant, numbers)


def _dissent(results: list[tuple[str, str, list[Array] | Refused]]) -> list[tuple[str, str, list[Array] | Refused]]:
    """Results of a model that was converted by nobody: where every variant refuses it, it is the model that is no good,
    and that is no finding."""
    if not all(isinstance(result, Refused) for _, _, result in results):
        return results
    return [
        (
            name,
            variant,
            Refused(
                *(
                    replace(seen, signature=replace(seen.signature, kind=Kind.UNSUPPORTED), verdict=Verdict.PASS)
                    for seen in result.observations
                ),
                bug=False,
            )
            if isinstance(result, Refused)
            else result,
        )
        for name, variant, result in results
    ]
