"""One conversion of one or several cases, and what came of it: convert, validate, run, judge. Runs inside a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial

from fuzzer.converters.base import Converter, converters
from fuzzer.failures import describe_exception, explain_exception, normalise
from fuzzer.formats import Artifact, Format, InvalidModel, Settings, Unsupported
from fuzzer.gauge import Gauge
from fuzzer.patience import within
from fuzzer.prepared import Judgement, Prepared, Printed, Refused, Results, Sized, Spent
from fuzzer.promises import takes
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.runtimes.onnx_reference import OnnxReference
from fuzzer.tasks import WITNESS, Step, Subject
from fuzzer.verdicts import Verdicts, by_case, dissenting
from generators.frontends.base import Frontend, LoadedModel, frontend
from generators.graph import Array
from generators.serial import dumps
from generators.transforms import union
from oracles.judge import Judged
from oracles.outcome import MISMATCH, Kind, Observation, Signature, Stage, Verdict
from oracles.quantization import BASELINE, ErrorBounds

_STAGES = {
    "convert": Stage.CONVERT,
    "validate": Stage.VALIDATE,
    "load": Stage.RUNTIME_LOAD,
    "run": Stage.INFERENCE,
}


#: Evaluators that are asked who is wrong, by the format that they take.
WITNESSES: dict[Format, Runtime] = {Format.ONNX: OnnxReference()}

#: For so long a witness is waited for, which computes in plain Python. Where it had no time to speak about a large
#: model, it may accuse another about a part of it, which minimization takes for another failure: so this is much.
_WITNESS_SECONDS = 240
#: Bytes of a case that is sent along with the announcement of a step.
_LARGE = 8 << 20


def _sent(case: bytes) -> bytes:
    """The case as it goes with an announcement: nothing of a large one, which whoever asks about it still has."""
    return case if len(case) <= _LARGE else b""


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
        self._verdicts = Verdicts(self.frontend, self.converter.name, hands_on=self.converter.hands_on)
        self.settings = dict(subject.settings)
        self._unheard = frozenset(subject.unheard)
        self.variants: list[tuple[Runtime, str]] = [
            (runtimes()[runtime], variant) for runtime, variant in subject.variants
        ]
        self.spent = spent
        #: Measures sizes and times of artifacts.
        self.gauge = Gauge(self.frontend, self.converter.name)
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
        self._announce(Step(name, component, numbers, _sent(case), settings))
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

    def converted(self, item: Prepared, model: LoadedModel) -> Artifact:
        """The artifact of a single case, validated. Raises Refused and Printed."""
        blob = dumps(item.case)
        artifact = self._convert(model, (item.number,), blob)
        self._validate(artifact, model, (item.number,), blob)
        return artifact

    def outputs_of(
        self, artifact: Artifact, runtime: Runtime, settings: Settings, feeds: Sequence[Sequence[Array]], blob: bytes
    ) -> list[list[Array] | Refused]:
        """What a runtime with any settings computes from the artifact of a single case, or refuses, at each of its
        sizes; nothing behind a first one that it refuses. Raises Printed."""
        return self._run(runtime, "", artifact, feeds, (0,), blob, settings)

    def judged(self, size: Sized, outputs: list[Array], bounds: ErrorBounds | None = None) -> list[Judged]:
        """What is wrong with the outputs at one size; of a quantized model, within the bounds on its errors."""
        return self._verdicts.judged(size, outputs, bounds)

    def seek(self, sought: Signature | None) -> None:
        """From now on, judge with few samples of noise once a case has shown this; None to judge all with many."""
        self._verdicts.seek(sought)

    def too_narrow(self, size: Sized, runtime: str) -> bool:
        """Whether a runtime computes with fewer bits than values of the graph need."""
        return self._verdicts.too_narrow(size, runtime)

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
        costly = self._weighed(prepared, artifact)
        prepared = self.promised(prepared, artifact)
        self.gauge.seconds.clear()
        # A case with fewer sizes than others is at its first one in what it lacks.
        feeds = [
            [array for item in prepared for array in item.sizes[size if size < len(item.sizes) else 0].feeds()]
            for size in range(max(len(item.sizes) for item in prepared))
        ]
        per_variant: list[tuple[str, str, list[list[list[Array] | Refused]]]] = []
        for runtime, variant in self.variants:
            results = self._run(runtime, variant, artifact, feeds, numbers, blob)
            refusal = next((result for result in results if isinstance(result, Refused)), None)
            parts = (
                by_case(prepared, results)
                if refusal is None or len(prepared) == 1
                else self._one_by_one(prepared, artifact, runtime, variant, refusal)
            )
            per_variant.append((runtime.name, variant, parts))
        costly += self._timed(prepared, artifact, blob)
        bounds = self._error_bounds(artifact, model, feeds, numbers, blob)
        self._announce(Step("judge", "", numbers))
        found: list[Judgement] = []
        start = 0
        for place, item in enumerate(prepared):
            stop = None if item is prepared[-1] else start + len(item.expected)
            outputs: list[Results] = [(name, variant, parts[place]) for name, variant, parts in per_variant]
            if self.converter.source is self.converter.target and not self.converter.quantizes(self.settings):
                outputs = dissenting(outputs)
            with self.spent.during("judging"):
                part = bounds and bounds.part(start, stop)
                found.append((item.number, item.case, [*self._verdicts.of(item, outputs, part), *costly]))
            start += len(item.expected)
        self._hear_witness(prepared, artifact, found)
        counts = [seen for _, _, all_seen in found for seen in all_seen if seen.signature.kind is Kind.COUNT]
        if len(prepared) > 1 and counts:
            # With an output missing or added, those behind it are shifted: only single cases can be judged.
            raise Refused(counts[0], bug=True)
        return found

    def _weighed(self, prepared: list[Prepared], artifact: Artifact) -> list[Observation]:
        """That the artifact of one case is far too large. Raises Refused for that of several: which of them makes it so
        is seen of each alone."""
        with self.spent.during("judging"):
            found = self.gauge.bloated(prepared, artifact)
        if found is not None and len(prepared) > 1:
            raise Refused(found, bug=False)
        return [found] if found is not None else []

    def _timed(self, prepared: list[Prepared], artifact: Artifact, blob: bytes) -> list[Observation]:
        """That the artifact of one case runs far too slowly. Raises Refused as :meth:`_weighed`."""
        with self.spent.during("judging"):
            suspects = self.gauge.suspects(prepared)
        if not suspects:
            return []
        if len(prepared) > 1:
            signature = Signature(Stage.INFERENCE, suspects[0][0], Kind.SLOW, suspects[0][1])
            raise Refused(Observation(signature, Verdict.INCONCLUSIVE, "slow, all together"), bug=False)
        [item] = prepared

        def step(runtime: str, variant: str) -> AbstractContextManager[None]:
            return self._step("run", runtime, (item.number,), blob, variant)

        return self.gauge.measured(item, artifact, suspects, self.variants, step)

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
        self,
        artifact: Artifact,
        model: LoadedModel,
        feeds: Sequence[Sequence[Array]],
        numbers: tuple[int, ...],
        blob: bytes,
    ) -> ErrorBounds | None:
        """What the outputs of a quantized artifact, or of a model that is quantized itself, may differ by; the step is
        that of a runtime, which computes it. Models with dynamic dimensions are not quantized."""
        if not self.variants:
            return None
        if self.converter.quantizes(self.settings):
            self._announce(Step("run", self.variants[0][0].name, numbers, blob, BASELINE))
        with self.spent.during("judging"):
            bounds = self.converter.error_bounds(artifact, feeds[0], self.settings)
            return bounds or self.converter.model_bounds(model.graph, feeds[0])

    def promised(self, prepared: list[Prepared], artifact: Artifact) -> list[Prepared]:
        """The cases with those of their sizes that the artifact promises to take, and the first one."""
        found = []
        first = 0
        for item in prepared:
            shapes = [array.shape for array in item.sizes[0].feeds()]
            kept = [
                size
                for size in item.sizes[1:]
                if [array.shape for array in size.feeds()] == shapes or takes(artifact, first, size.feeds())
            ]
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
        settings: Settings | None = None,
    ) -> list[list[Array] | Refused]:
        """Outputs for each of the feeds, all from one session, or the refusal of that size; where the model is not
        loaded or the first feeds are refused, nothing else is run. ``settings`` are the variant's unless given."""
        settings = runtime.variants[variant] if settings is None else settings
        results: list[list[Array] | Refused] = []
        for number in range(-1, len(feeds)):
            name, stage = ("run", Stage.INFERENCE) if number >= 0 else ("load", Stage.RUNTIME_LOAD)
            try:
                with self._step(name, runtime.name, numbers, blob, variant):
                    if number < 0:
                        session = runtime.load(artifact, settings)
                    else:
                        started = time.perf_counter()
                        results.append(runtime.run(session, artifact, feeds[number]))
                        if number == 0 and variant not in runtime.unhurried:
                            again = partial(runtime.run, session, artifact, feeds[0])
                            self.gauge.timed((runtime.name, variant), again, time.perf_counter() - started)
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
        if item.number in self._unheard:
            return False
        witness = WITNESSES[artifact.format]
        self._announce(Step(WITNESS, witness.name, (item.number,), _sent(dumps(item.case))))
        try:
            with self.spent.during(WITNESS), within(_WITNESS_SECONDS, "asking the witness"):
                session = witness.load(artifact, {})
                actual = [witness.run(session, artifact, size.feeds()) for size in item.sizes]
        except Exception:  # noqa: BLE001  (it does not know every operator and type, and then has nothing to say)
            return False
        with self.spent.during("judging"):
            return not any(
                self._verdicts.judged(size, outputs) for size, outputs in zip(item.sizes, actual, strict=True)
            )
