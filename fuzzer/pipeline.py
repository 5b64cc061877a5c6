"""One batch: generate or take cases, convert their union, validate, run, judge. Runs inside a worker.

A batch is converted as the disjoint union of its graphs. When a subject refuses the union (an exception, an invalid
model, text on standard output), the union is split in two, recursively, until single cases remain.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from corpus.records import Outcome
from fuzzer.converters.base import Converter, converters
from fuzzer.coverage import Tally, outcomes_of
from fuzzer.failures import describe_exception, explain_exception, normalise
from fuzzer.formats import Artifact, InvalidModel, Settings, Unsupported
from fuzzer.quarantine import named
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.tasks import BatchResult, BatchTask, CaseResult, JudgeTask, Seen, Step, Subject
from generators.argument_classes import Form
from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, Frontend, LoadedModel, frontend
from generators.graph import Array, Case, GraphError
from generators.patterns import Avoided, node_keys, suspects
from generators.random_graphs import Weights, grow
from generators.serial import dumps, loads
from generators.transforms import retype, union
from oracles.judge import judge
from oracles.noise import NoiseAnalysis
from oracles.outcome import MISMATCH, Kind, Observation, Signature, Stage, Verdict

#: Kinds of mismatch in the order in which they hide each other.
_SEVERITY = (Kind.COUNT, Kind.DTYPE, Kind.SHAPE, Kind.NONFINITE, Kind.VALUE)


@dataclass(slots=True)
class Prepared:
    """A case that eager mode ran twice with the same results: its types are right and ``expected`` its outputs."""

    number: int
    case: Case
    expected: list[Array]
    analyses: dict[tuple[int, ...], NoiseAnalysis] = field(default_factory=dict)


@dataclass(slots=True)
class Spent:
    """What was spent and counted."""

    conversions: int = 0
    subject_seconds: float = 0.0
    funnel: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    costs: list[tuple[int, float]] = field(default_factory=list)

    def count(self, outcome: Outcome, variant: str = "", number: int = 1) -> None:
        """Count cases that came to this outcome, under a runtime variant or, before any runtime, under ``''``."""
        self.funnel.setdefault(variant, Counter())[outcome.value] += number


class Printed(Exception):
    """A subject wrote to standard output."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Pipeline:
    """Judges cases for one subject. ``announce`` sends a step to the supervisor, ``note`` records cheaply what eager
    mode is about to execute, ``printed`` returns what came out on standard output since it was last asked."""

    def __init__(
        self,
        subject: Subject,
        announce: Callable[[Step], None],
        note: Callable[[str], None],
        printed: Callable[[], str],
    ) -> None:
        self._announce = announce
        self._note = note
        self._printed = printed
        self.frontend: Frontend = frontend(subject.frontend)
        self.converter: Converter = converters()[subject.converter]
        self.settings = dict(subject.settings)
        self.unusual = unusual(self.converter, self.settings)
        self.variants: list[tuple[Runtime, str]] = [
            (runtimes()[runtime], variant) for runtime, variant in subject.variants
        ]
        self.spent = Spent()
        #: Counts what a batch exercises; questions about single cases are not counted.
        self._tally: Tally | None = None

    def batch(self, task: BatchTask) -> BatchResult:
        """Generate the batch's cases and judge them."""
        self._tally = Tally(self.converter.target)
        weights = Weights.of(self.frontend, only=task.operators)
        avoid = _avoided(task.avoid)
        cases: list[tuple[int, Case]] = []
        refused: list[CaseResult] = []
        for number in task.cases:
            self._announce(Step("generate", self.frontend.name, (number,)))
            choices = SeededChoices(task.seed, task.index, number)
            try:
                grown = grow(
                    self.frontend,
                    choices,
                    nodes=task.nodes,
                    weights=weights,
                    avoid=avoid,
                    settings=self.unusual,
                    announce=self._note,
                )
            except ValueError as error:
                refused.append(CaseResult(number, refused=f"nothing grew: {error}"))
                continue
            self.spent.dropped.update(grown.dropped)
            cases.append((number, grown.case))
        pack = max(task.pack or len(cases), 1)
        parts = [self._judge(cases[start : start + pack]) for start in range(0, len(cases), pack)]
        return self._finish([*refused, *(result for part in parts for result in part)])

    def judge(self, task: JudgeTask) -> BatchResult:
        """Judge serialised cases; each result carries its case with corrected types."""
        cases = [(number, loads(data)) for number, data in task.cases]
        return self._finish(self._judge(cases, keep_cases=True))

    def _finish(self, results: list[CaseResult]) -> BatchResult:
        results.sort(key=lambda result: result.number)
        return BatchResult(
            tuple(results),
            self.spent.conversions,
            self.spent.subject_seconds,
            funnel={variant: dict(counts) for variant, counts in self.spent.funnel.items()},
            dropped=dict(self.spent.dropped),
            coverage=self._tally.record() if self._tally else None,
            costs=tuple(self.spent.costs),
        )

    # -- eager ---------------------------------------------------------------------------------------------------

    def _prepare(self, number: int, case: Case) -> Prepared:
        """Execute the printed source twice. EvaluationError when the framework refuses the graph or the two runs
        differ: such a case has no defined result to compare with."""
        graph = case.graph
        self.frontend.check_arguments(graph)
        values = self.frontend.run(graph, case.feeds)
        corrected = retype(graph, values)
        case = Case(corrected, case.feeds, case.profiles)
        try:
            model = self.frontend.load(case)
            first = self.frontend.execute(model)
            second = self.frontend.execute(model)
        except Exception as error:
            raise EvaluationError(f"the printed source fails in eager mode: {error}") from error
        reference = [values[name] for name in corrected.outputs]
        for index, name in enumerate(corrected.outputs):
            if not same(first[index], second[index]):
                raise EvaluationError(f"output {name!r} differs between two eager runs")
            if not same(first[index], reference[index]):
                raise EvaluationError(f"output {name!r} of the printed source differs from the interpreter's")
        return Prepared(number, case, [array.copy() for array in reference])

    def _judge(self, cases: Sequence[tuple[int, Case]], *, keep_cases: bool = False) -> list[CaseResult]:
        prepared: list[Prepared] = []
        results: list[CaseResult] = []
        for number, case in cases:
            self._announce(Step("eager", self.frontend.name, (number,)))
            try:
                prepared.append(self._prepare(number, case))
            except (EvaluationError, GraphError) as error:
                results.append(CaseResult(number, refused=str(error)[:300]))
                self.spent.count(Outcome.REFUSED)
        self.spent.count(Outcome.STARTED, number=len(prepared))
        for number, case, seen in self._split(prepared):
            wanted = keep_cases or any(item.verdict is Verdict.BUG for item in seen)
            keys = node_keys(case.graph)
            if self._tally and number >= 0:
                variants = [(runtime.name, variant) for runtime, variant in self.variants]
                self._tally.case(case.graph, keys, outcomes_of(seen, variants))
                accused, proven = self._patterns(case, any(item.signature.kind not in MISMATCH for item in seen))
            else:
                accused, proven = (), ()
            results.append(
                CaseResult(
                    number,
                    tuple(Seen.of(item) for item in seen),
                    case=dumps(case) if wanted else b"",
                    keys=keys,
                    nodes=len(case.graph.nodes),
                    suspects=accused,
                    proven=proven,
                )
            )
        return results

    def _patterns(self, case: Case, refused: bool) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
        """What quarantine learns from: of a refused case the patterns of every node, of another those that this
        process has not told of."""
        nodes = suspects(case.graph, self.unusual)
        if refused:
            return nodes, ()
        told = _TOLD.setdefault(self.converter.name, set())
        new = {pattern for node in nodes for pattern in node} - told
        told |= new
        return (), tuple(sorted(new))

    # -- the subject ---------------------------------------------------------------------------------------------

    def _split(self, prepared: list[Prepared]) -> list[tuple[int, Case, list[Observation]]]:
        """Observations of each case, from one conversion if the subject takes the union."""
        if not prepared:
            return []
        if len(prepared) == 1:
            return [self._single(prepared[0])]
        try:
            judged = self._together(prepared)
        except (_Refused, Printed) as refusal:
            found = [item for part in _parts(prepared, refusal) for item in self._split(part)]
            if isinstance(refusal, _Refused) and refusal.bug and all(_clean(seen) for _, _, seen in found):
                found.append(self._company(prepared, refusal))
            return found
        return judged

    def _company(self, prepared: list[Prepared], refusal: _Refused) -> tuple[int, Case, list[Observation]]:
        """The union itself as a case: it fails although each of its halves passes."""
        joined = union([item.case for item in prepared]).case
        return -1, joined, [*refusal.observations]

    def _single(self, item: Prepared) -> tuple[int, Case, list[Observation]]:
        blob = dumps(item.case)
        try:
            [(_, _, seen)] = self._together([item], blob)
        except _Refused as refusal:
            return item.number, item.case, [*refusal.observations]
        except Printed as printed:
            signature = Signature(self._printing_stage, self._printing, Kind.STDOUT, normalise(printed.text))
            return item.number, item.case, [Observation(signature, Verdict.BUG, printed.text)]
        return item.number, item.case, seen

    _printing = ""
    _printing_stage = Stage.CONVERT

    @contextmanager
    def _step(
        self, name: str, component: str, numbers: tuple[int, ...], case: bytes, settings: str = ""
    ) -> Iterator[None]:
        self._announce(Step(name, component, numbers, case, settings))
        self._printed()
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent.subject_seconds += time.perf_counter() - started
        text = self._printed()
        if text:
            self._printing, self._printing_stage = component, _STAGES[name]
            raise Printed(text)

    def _together(self, prepared: list[Prepared], blob: bytes = b"") -> list[tuple[int, Case, list[Observation]]]:
        numbers = tuple(item.number for item in prepared)
        started = time.process_time()
        joined = union([item.case for item in prepared]) if len(prepared) > 1 else None
        case = joined.case if joined else prepared[0].case
        count = len(prepared)
        model = self.frontend.load(case)
        artifact = self._convert(model, numbers, blob)
        per_variant: list[tuple[str, str, list[Array] | _Refused]] = []
        feeds = [case.feeds[value.name] for value in case.graph.inputs]
        for runtime, variant in self.variants:
            try:
                per_variant.append((runtime.name, variant, self._run(runtime, variant, artifact, feeds, numbers, blob)))
            except _Refused as refusal:
                if count > 1:
                    raise
                per_variant.append((runtime.name, variant, refusal))
        ran = time.process_time()
        self._announce(Step("judge", "", numbers))
        found: list[tuple[int, Case, list[Observation]]] = []
        start = 0
        for item in prepared:
            stop = start + len(item.expected)
            outputs = [
                (name, variant, result if isinstance(result, _Refused) else result[start:stop])
                for name, variant, result in per_variant
            ]
            # The last case takes what is left over, so that a surplus of outputs is seen.
            if item is prepared[-1]:
                outputs = [
                    (name, variant, result if isinstance(result, _Refused) else result[start:])
                    for name, variant, result in per_variant
                ]
            found.append((item.number, item.case, self._verdicts(item, outputs)))
            start = stop
        if count > 1 and any(
            seen.signature.kind is Kind.COUNT for _, _, observations in found for seen in observations
        ):
            # With an output missing or added, those behind it are shifted: only single cases can be judged.
            seen = next(
                seen for _, _, observations in found for seen in observations if seen.signature.kind is Kind.COUNT
            )
            raise _Refused(seen, bug=True)
        if self._tally:
            self._tally.artifact(artifact)  # only now: a pack that was refused is converted again in parts
            if not any(isinstance(result, _Refused) for _, _, result in per_variant):
                self.spent.costs.append((len(case.graph.nodes), ran - started))
        return found

    def _convert(self, model: LoadedModel, numbers: tuple[int, ...], blob: bytes) -> Artifact:
        converter = self.converter
        self.spent.conversions += 1
        single = len(numbers) == 1
        try:
            with self._step("convert", converter.name, numbers, blob):
                artifact = converter.convert(model, self.settings)
        except Unsupported as error:
            raise self._unsupported(converter.name, Stage.CONVERT, error, single) from error
        except Printed:
            raise
        except (Exception, SystemExit) as error:  # whatever a subject raises is a finding
            stage, detail = describe_exception(converter, error)
            raise self._crash(converter.name, stage, detail, error, Outcome.CONVERTER_FAILED, single) from error
        try:
            with self._step("validate", converter.name, numbers, blob):
                converter.validate(artifact, model)
        except InvalidModel as error:
            if single:
                self.spent.count(Outcome.INVALID)
            distinct = {normalise(complaint): complaint for complaint in reversed(error.complaints)}
            raise _Refused(
                *(
                    Observation(Signature(Stage.VALIDATE, converter.name, Kind.INVALID, detail), Verdict.BUG, complaint)
                    for detail, complaint in reversed(distinct.items())
                ),
                bug=True,
            ) from error
        return artifact

    def _run(
        self,
        runtime: Runtime,
        variant: str,
        artifact: Artifact,
        feeds: Sequence[Array],
        numbers: tuple[int, ...],
        blob: bytes,
    ) -> list[Array]:
        single = len(numbers) == 1
        settings = runtime.variants[variant]
        for name, stage in (("load", Stage.RUNTIME_LOAD), ("run", Stage.INFERENCE)):
            try:
                with self._step(name, runtime.name, numbers, blob, variant):
                    if name == "load":
                        session = runtime.load(artifact, settings)
                    else:
                        outputs = runtime.run(session, artifact, feeds)
            except Unsupported as error:
                raise self._unsupported(runtime.name, stage, error, single, variant) from error
            except Printed:
                raise
            except (Exception, SystemExit) as error:  # whatever a subject raises is a finding
                _, detail = describe_exception(runtime, error)
                raise self._crash(
                    runtime.name,
                    stage,
                    detail,
                    error,
                    Outcome.LOAD_FAILED if name == "load" else Outcome.RUN_FAILED,
                    single,
                    variant,
                ) from error
        return outputs

    def _unsupported(
        self, component: str, stage: Stage, error: Unsupported, single: bool, variant: str = ""
    ) -> _Refused:
        if single:
            self.spent.count(Outcome.UNSUPPORTED, f"{component} {variant}" if variant else "")
        signature = Signature(stage, component, Kind.UNSUPPORTED, error.what)
        return _Refused(Observation(signature, Verdict.PASS, str(error)[:2000], settings=variant), bug=False)

    def _crash(
        self,
        component: str,
        stage: Stage,
        detail: str,
        error: BaseException,
        outcome: Outcome,
        single: bool,
        variant: str = "",
    ) -> _Refused:
        if single:
            self.spent.count(outcome, f"{component} {variant}" if variant else "")
        kind = Kind.EXIT if isinstance(error, SystemExit) else Kind.EXCEPTION
        signature = Signature(stage, component, kind, detail)
        message = explain_exception(error)
        return _Refused(Observation(signature, Verdict.BUG, message, settings=variant), bug=True)

    # -- verdicts ------------------------------------------------------------------------------------------------

    def _verdicts(self, item: Prepared, outputs: list[tuple[str, str, list[Array] | _Refused]]) -> list[Observation]:
        """One observation per component that is at fault.

        When every variant of every runtime is wrong, in whatever way, the converter is; else the runtime that differs.
        """
        seen: list[Observation] = []
        wrong: list[tuple[str, str, Observation]] = []
        ran = 0
        for name, variant, result in outputs:
            if isinstance(result, _Refused):
                seen.extend(result.observations)
                continue
            ran += 1
            worst = self._worst(item, result, name, variant)
            if worst is None:
                self.spent.count(Outcome.SUCCESS, f"{name} {variant}")
            elif worst.verdict is Verdict.INCONCLUSIVE:
                self.spent.count(Outcome.INCONCLUSIVE, f"{name} {variant}")
                seen.append(worst)
            else:
                self.spent.count(Outcome.MISMATCH, f"{name} {variant}")
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
        judged = judge(self.frontend, item.case, item.expected, actual, seed=item.number, analyses=item.analyses)
        bugs = [result for result in judged if result.verdict is Verdict.BUG]
        chosen = bugs or [result for result in judged if result.verdict is Verdict.INCONCLUSIVE]
        if not chosen:
            return None
        kind = min((result.mismatch.kind for result in chosen), key=_SEVERITY.index)
        same_kind = [result for result in chosen if result.mismatch.kind is kind]
        first = same_kind[0]
        signature = Signature(Stage.INFERENCE, name, kind)
        outputs = tuple(result.mismatch.output for result in same_kind)
        return Observation(signature, first.verdict, str(first.mismatch), outputs, variant, dict(first.numbers))


class _Refused(Exception):
    """A subject refused the union (or the single case) with these observations, one for each thing that it said;
    ``bug`` unless it is unsupported."""

    def __init__(self, *observations: Observation, bug: bool) -> None:
        super().__init__(observations[0].message)
        self.observations = observations
        self.bug = bug


def unusual(converter: Converter, settings: Settings) -> dict[str, Form]:
    """The settings that are not the converter's defaults."""
    defaults = {option.name: option.values[0] for option in converter.options}
    return {name: value for name, value in settings.items() if value != defaults.get(name)}


#: Patterns that this process has told of, by converter.
_TOLD: dict[str, set[str]] = {}


@functools.lru_cache(maxsize=4)
def _avoided(patterns: tuple[str, ...]) -> Avoided:
    return Avoided(patterns)


def _parts(prepared: list[Prepared], refusal: _Refused | Printed) -> tuple[list[Prepared], list[Prepared]]:
    """A refused pack in two: the cases with an operator that the refusal names and the others, else the halves."""
    words = refusal.text if isinstance(refusal, Printed) else refusal.observations[0].message
    hit: list[Prepared] = []
    rest: list[Prepared] = []
    for item in prepared:
        (hit if named(item.case.graph.operators(), f": {words[:400]}") else rest).append(item)
    if hit and rest:
        return hit, rest
    middle = len(prepared) // 2
    return prepared[:middle], prepared[middle:]


_STAGES = {
    "convert": Stage.CONVERT,
    "validate": Stage.VALIDATE,
    "load": Stage.RUNTIME_LOAD,
    "run": Stage.INFERENCE,
}


def _clean(seen: list[Observation]) -> bool:
    return not any(item.signature.kind not in {Kind.VALUE, Kind.NONFINITE} for item in seen)


def same(left: Array, right: Array) -> bool:
    """Whether two arrays are equal bit for bit, all NaN counting as one."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.tobytes() == right.tobytes():
        return True
    if left.dtype.kind not in "fcV":
        return False
    differs = left != right
    return bool(((left != left) & (right != right) | ~differs).all())
