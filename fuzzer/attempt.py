"""One conversion of one or several cases, and what came of it: convert, validate, run, judge. Runs inside a worker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from corpus.records import Outcome
from fuzzer.converters.base import Converter, converters
from fuzzer.failures import describe_exception, explain_exception, normalise
from fuzzer.formats import Artifact, Format, InvalidModel, Unsupported
from fuzzer.kernel_verdicts import held_together
from fuzzer.promises import takes
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.runtimes.onnx_reference import OnnxReference
from fuzzer.tasks import Step, Subject
from generators.frontends.base import EvaluationError, Frontend, LoadedModel, frontend
from generators.graph import Array, Case, dtype_name
from generators.serial import dumps
from generators.sizes import size_text
from generators.transforms import union
from oracles.compare import finite
from oracles.judge import Judged, judge
from oracles.noise import Analyst
from oracles.outcome import MISMATCH, Kind, Observation, Signature, Stage, Verdict
from oracles.quantization import BASELINE, ErrorBounds, judge_quantized

_INT32 = np.iinfo(np.int32)
#: Kinds of mismatch in the order in which they hide each other.
_SEVERITY = (Kind.COUNT, Kind.DTYPE, Kind.SHAPE, Kind.NONFINITE, Kind.VALUE)
_STAGES = {
    "convert": Stage.CONVERT,
    "validate": Stage.VALIDATE,
    "load": Stage.RUNTIME_LOAD,
    "run": Stage.INFERENCE,
}


@dataclass(slots=True)
class Sized:
    """A case at one of its sizes, with the types that it has there and no dimension marked; ``expected`` are its
    outputs."""

    case: Case
    expected: list[Array]
    analyst: Analyst

    def feeds(self) -> list[Array]:
        """The arrays in the order of the inputs."""
        return [self.case.feeds[value.name] for value in self.case.graph.inputs]


@dataclass(slots=True)
class Prepared:
    """A case that eager mode ran twice with the same results: its types are right. ``sizes`` has it at each of its
    sizes, the one that it is converted with first."""

    number: int
    case: Case
    sizes: list[Sized]

    @property
    def expected(self) -> list[Array]:
        """The outputs at the size that it is converted with."""
        return self.sizes[0].expected


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
#: Name and variant of a runtime, and what it gave at each size; nothing behind a first size that it refused.
Results: TypeAlias = "tuple[str, str, list[list[Array] | Refused]]"


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
        #: Numbers of the cases of which it does not promise some size.
        self.narrowed: set[int] = set()
        #: What was seen of the union and of none of its cases.
        self._company: list[Observation] = []

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
        self.narrowed = set()
        self._company = []
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
        if self._company:
            # A runtime refuses the union although it takes all of its parts.
            found.append((-1, case, self._company))
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
        prepared = self._promised(prepared, artifact)
        # A case with fewer sizes than others is at its first one in what it lacks.
        feeds = [
            [array for item in prepared for array in item.sizes[size if size < len(item.sizes) else 0].feeds()]
            for size in range(max(len(item.sizes) for item in prepared))
        ]
        per_variant: list[tuple[str, str, list[list[list[Array] | Refused]]]] = []
        for runtime, variant in self.variants:
            results = self._run(runtime, variant, artifact, feeds, numbers, blob)
            refusal = next((result for result in results if isinstance(result, Refused)), None)
            by_case = (
                _by_case(prepared, results)
                if refusal is None or len(prepared) == 1
                else self._one_by_one(prepared, artifact, runtime, variant, refusal)
            )
            per_variant.append((runtime.name, variant, by_case))
        bounds = self._error_bounds(artifact, feeds, numbers, blob)
        self._announce(Step("judge", "", numbers))
        found: list[Judgement] = []
        start = 0
        for place, item in enumerate(prepared):
            stop = None if item is prepared[-1] else start + len(item.expected)
            outputs: list[Results] = [(name, variant, by_case[place]) for name, variant, by_case in per_variant]
            if self.converter.source is self.converter.target and not self.converter.quantizes(self.settings):
                outputs = _dissent(outputs)
            with self.spent.during("judging"):
                part = bounds and bounds.part(start, stop)
                found.append((item.number, item.case, self._verdicts(item, outputs, part)))
            start += len(item.expected)
        self._hear_witness(prepared, artifact, found)
        counts = [seen for _, _, all_seen in found for seen in all_seen if seen.signature.kind is Kind.COUNT]
        if len(prepared) > 1 and counts:
            # With an output missing or added, those behind it are shifted: only single cases can be judged.
            raise Refused(counts[0], bug=True)
        return found

    def _one_by_one(
        self, prepared: list[Prepared], artifact: Artifact, runtime: Runtime, variant: str, refusal: Refused
    ) -> list[list[list[Array] | Refused]]:
        """What a runtime that refuses the artifact of a union makes of the slices of its cases, at each of their sizes.
        Raises the refusal when the artifact cannot be cut."""
        counts = [(len(item.case.graph.inputs), len(item.case.graph.outputs)) for item in prepared]
        slices = self.converter.slices(artifact, counts)
        if slices is None:
            raise refusal
        found = [
            self._run(runtime, variant, part, [size.feeds() for size in item.sizes], (item.number,), dumps(item.case))
            for item, part in zip(prepared, slices, strict=True)
        ]
        if refusal.bug and not any(isinstance(result, Refused) for results in found for result in results):
            self._company += refusal.observations
        return found

    def _error_bounds(
        self, artifact: Artifact, feeds: Sequence[Sequence[Array]], numbers: tuple[int, ...], blob: bytes
    ) -> ErrorBounds | None:
        """What the outputs of a quantized artifact may differ by; the step is that of a runtime, which computes it.
        Models with dynamic dimensions are not quantized."""
        if not self.variants:
            return None
        if self.converter.quantizes(self.settings):
            self._announce(Step("run", self.variants[0][0].name, numbers, blob, BASELINE))
        with self.spent.during("judging"):
            return self.converter.error_bounds(artifact, feeds[0], self.settings)

    def _promised(self, prepared: list[Prepared], artifact: Artifact) -> list[Prepared]:
        """The cases with those of their sizes that the artifact promises to take, and the first one."""
        found = []
        first = 0
        for item in prepared:
            kept = [size for size in item.sizes[1:] if takes(artifact, first, size.feeds())]
            if len(kept) + 1 < len(item.sizes):
                self.narrowed.add(item.number)
                further = tuple(size.case.feeds for size in kept)
                item = Prepared(item.number, replace(item.case, further=further), [item.sizes[0], *kept])
            found.append(item)
            first += len(item.case.graph.inputs)
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
        feeds: Sequence[Sequence[Array]],
        numbers: tuple[int, ...],
        blob: bytes,
    ) -> list[list[Array] | Refused]:
        """Outputs for each of the feeds, all from one session, or the refusal of that size; where the model is not
        loaded or the first feeds are refused, nothing else is run."""
        settings = runtime.variants[variant]
        results: list[list[Array] | Refused] = []
        for number in range(-1, len(feeds)):
            name, stage = ("run", Stage.INFERENCE) if number >= 0 else ("load", Stage.RUNTIME_LOAD)
            try:
                with self._step(name, runtime.name, numbers, blob, variant):
                    if number < 0:
                        session = runtime.load(artifact, settings)
                    else:
                        results.append(runtime.run(session, artifact, feeds[number]))
            except Unsupported as error:
                results.append(self._unsupported(runtime.name, stage, error, variant))
            except Printed:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a subject raises is a finding
                _, detail = describe_exception(runtime, error)
                results.append(self._crash(runtime.name, stage, detail, error, variant))
            if results and isinstance(results[0], Refused):
                break
        return results

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
        if self.converter.quantizes(self.settings):
            return  # the witness computes as exactly as it can
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
        try:
            with self.spent.during("witness"):
                session = witness.load(artifact, {})
                actual = [witness.run(session, artifact, size.feeds()) for size in item.sizes]
        except Exception:  # noqa: BLE001  (it does not know every operator and type, and then has nothing to say)
            return False
        with self.spent.during("judging"):
            return not any(self._judged(item, size, outputs) for size, outputs in zip(item.sizes, actual, strict=True))

    def _judged(
        self, item: Prepared, size: Sized, actual: list[Array], bounds: ErrorBounds | None = None
    ) -> list[Judged]:
        given = (self.frontend, size.case, size.expected, actual)
        return (
            judge(*given, analyst=size.analyst)
            if bounds is None
            else judge_quantized(*given, bounds, analyst=size.analyst)
        )

    # -- verdicts ------------------------------------------------------------------------------------------------

    def _verdicts(self, item: Prepared, outputs: list[Results], bounds: ErrorBounds | None) -> list[Observation]:
        """One observation per component that is at fault.

        When every variant of every runtime is wrong, in whatever way, the converter is; else the runtime that differs.
        Of a quantized model, see :func:`fuzzer.kernel_verdicts.held_together`.
        """
        seen: list[Observation] = []
        wrong: list[tuple[str, str, Observation]] = []
        ran = 0
        for name, variant, results in outputs:
            seen += _refusals(item, results)
            if isinstance(results[0], Refused):
                continue
            ran += 1
            worst = self._worst(item, results, name, variant, bounds)
            if worst is None:
                continue
            if worst.verdict is Verdict.INCONCLUSIVE:
                seen.append(worst)
            else:
                wrong.append((name, variant, worst))
        converted = len(wrong) == ran
        if bounds is not None:
            ran_at_first = {
                (name, variant): results[0] for name, variant, results in outputs if not isinstance(results[0], Refused)
            }
            found, wrong, agree = held_together(self.frontend, item.sizes[0], ran_at_first, wrong, bounds)
            seen += found
            converted = converted or agree
        if not wrong:
            return seen
        if converted:
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
            # Which of those that take turns was there is no part of a defect that the others show.
            occasional = runtimes()[name].occasional
            standing = ", ".join(variant for variant, _ in members if variant not in occasional)
            signature = Signature(Stage.INFERENCE, name, kind, standing or variants)
            seen.append(Observation(signature, Verdict.BUG, first.message, first.outputs, variants, first.numbers))
        return seen

    def _worst(
        self, item: Prepared, results: list[list[Array] | Refused], name: str, variant: str, bounds: ErrorBounds | None
    ) -> Observation | None:
        """The gravest verdict on the outputs of one variant at any size; None when all pass."""
        judged = [
            (number, result)
            for number, (size, actual) in enumerate(zip(item.sizes, results, strict=True))
            if not isinstance(actual, Refused)
            for result in self._judged(item, size, actual, bounds)
        ]
        bugs = [pair for pair in judged if pair[1].verdict is Verdict.BUG]
        chosen = bugs or [pair for pair in judged if pair[1].verdict is Verdict.INCONCLUSIVE]
        if not chosen:
            return None
        kind = min((result.mismatch.kind for _, result in chosen), key=_SEVERITY.index)
        same_kind = [pair for pair in chosen if pair[1].mismatch.kind is kind]
        number, first = same_kind[0]
        signature = Signature(Stage.INFERENCE, name, kind)
        outputs = tuple(dict.fromkeys(result.mismatch.output for _, result in same_kind))
        numbers = {**first.numbers, "defined": float(all(map(finite, item.sizes[number].expected)))}
        message = str(first.mismatch) + _at_sizes(item, {number for number, _ in same_kind})
        verdict = first.verdict
        if verdict is Verdict.BUG and self._beyond_32_bits(item.sizes[number], runtimes()[name].narrows):
            verdict = Verdict.INCONCLUSIVE
            message += f" ({name} computes with 32 bits, which some values of the graph do not fit in)"
        return Observation(signature, verdict, message, outputs, variant, numbers)

    def _beyond_32_bits(self, size: Sized, narrowed: tuple[str, ...]) -> bool:
        """Whether the graph has values of these element types that no 32-bit integer holds."""
        if not narrowed:
            return False
        try:
            values = [*size.analyst.eager().values(), *(constant.data for constant in size.case.graph.constants)]
        except EvaluationError:
            return True
        return any(
            bool(array.size) and (int(array.max()) > _INT32.max or int(array.min()) < _INT32.min)
            for array in values
            if dtype_name(array.dtype) in narrowed
        )


def _at_sizes(item: Prepared, numbers: set[int]) -> str:
    """At which of its sizes something was seen of a case with several, in parentheses."""
    if len(item.sizes) == 1:
        return ""
    texts = [size_text(item.case, number) for number in range(len(item.sizes))]
    where = " and ".join(text for number, text in enumerate(texts) if number in numbers)
    rest = " and ".join(text for number, text in enumerate(texts) if number not in numbers)
    return f" (at {where}, not at {rest}; converted with {texts[0]})" if rest else f" (at {where})"


def _refusals(item: Prepared, results: list[list[Array] | Refused]) -> list[Observation]:
    """What was refused, each thing once, with the sizes."""
    numbers: dict[Signature, set[int]] = {}
    first: dict[Signature, Observation] = {}
    for number, result in enumerate(results):
        for seen in result.observations if isinstance(result, Refused) else ():
            numbers.setdefault(seen.signature, set()).add(number)
            first.setdefault(seen.signature, seen)
    if isinstance(results[0], Refused):
        return list(first.values())
    return [replace(seen, message=seen.message + _at_sizes(item, numbers[key])) for key, seen in first.items()]


def _by_case(prepared: list[Prepared], results: list[list[Array] | Refused]) -> list[list[list[Array] | Refused]]:
    """The results of a union at each size, taken apart: for each case those at its own sizes."""
    found = []
    start = 0
    for item in prepared:
        # The last case takes what is left over, so that a surplus of outputs is seen.
        stop = None if item is prepared[-1] else start + len(item.expected)
        found.append(
            [result if isinstance(result, Refused) else result[start:stop] for result in results[: len(item.sizes)]]
        )
        start += len(item.expected)
    return found


def _dissent(per_variant: list[Results]) -> list[Results]:
    """Results of a model that was converted by nobody: a size that every variant refuses is one that the model does not
    take, and that is no finding."""
    most = max(len(results) for _, _, results in per_variant)
    refused = [
        all(len(results) <= size or isinstance(results[size], Refused) for _, _, results in per_variant)
        for size in range(most)
    ]
    return [
        (
            name,
            variant,
            [
                _unsupported(result) if isinstance(result, Refused) and refused[size] else result
                for size, result in enumerate(results)
            ],
        )
        for name, variant, results in per_variant
    ]


def _unsupported(refusal: Refused) -> Refused:
    return Refused(
        *(
            replace(seen, signature=replace(seen.signature, kind=Kind.UNSUPPORTED), verdict=Verdict.PASS)
            for seen in refusal.observations
        ),
        bug=False,
    )
