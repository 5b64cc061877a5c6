"""One batch: generate or take cases, convert their union, validate, run, judge. Runs inside a worker.

A batch is converted as the disjoint union of its graphs. When a subject refuses the union (an exception, an invalid
model, text on standard output), the union is split in two, recursively, until single cases remain.
"""

from __future__ import annotations

import functools
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from corpus.records import Outcome
from fuzzer.attempt import Attempt
from fuzzer.converters.base import Converter
from fuzzer.coverage import Tally, outcomes_of
from fuzzer.failures import normalise
from fuzzer.formats import Settings
from fuzzer.prepared import Judgement, Prepared, Printed, Refused, Sized, Spent
from fuzzer.quarantine import named
from fuzzer.tasks import PROBE, SWARM, BatchResult, BatchTask, CaseResult, JudgeTask, Seen, Step, Subject
from generators.argument_classes import Form
from generators.choices import SeededChoices
from generators.feeding import structure
from generators.frontends.base import EvaluationError, Frontend, LoadedModel
from generators.graph import Array, Case, GraphError
from generators.marking import SHARE
from generators.patterns import Avoided, node_keys, suspects
from generators.random_graphs import Grown, Weights, grow
from generators.serial import dumps, loads
from generators.sizes import Recorded, at_size, is_dynamic, pinned, size_text, static
from generators.structures import sizes_of
from generators.transforms import retype, union
from oracles.compare import same
from oracles.noise import Analyst
from oracles.outcome import MISMATCH, PERFORMANCE, Kind, Observation, Signature, Verdict
from oracles.performance import FOUND, KEPT

#: Seconds of work that a subject may take away by ending the worker.
_PARTIAL_SECONDS = 1.0
#: One pack in this many has one of its graphs converted alone, too: what only fails alone would never be seen.
_ALONE = 40
#: For so long judging says nothing.
_SILENT_SECONDS = 5.0
#: Times that what differed is run again to learn whether eager mode itself is not the same twice.
_REPEATS = 20


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
        self.spent = Spent()
        self.attempt = Attempt(subject, announce, printed, self.spent)
        self.frontend: Frontend = self.attempt.frontend
        self.frontend.stand_in(subject.stand_in)
        self._stand_in = subject.stand_in
        self.converter: Converter = self.attempt.converter
        self.unusual = unusual(self.converter, subject.settings)
        self._needs_inputs = self.converter.needs_inputs(subject.settings)
        #: Whether graphs get dynamic dimensions, and feeds of several kinds. The errors of quantization are bounded for
        #: the feeds that the model is converted with.
        self.feeds = not self.converter.quantizes(subject.settings)
        self.marks = self.converter.dynamic and self.feeds
        #: Counts what a batch exercises; questions about single cases are not counted.
        self._tally: Tally | None = None
        self._index = 0
        #: Motifs and mutations grown in the cases of a pack, and kinds of further feeds, by number: for the tally.
        self._motifs: dict[int, tuple[str, ...]] = {}
        #: The profiles of their inputs in further feeds, likewise.
        self._fed: dict[int, tuple[Mapping[str, str], ...]] = {}
        #: Numbers of the cases of which an artifact does not promise some size.
        self._narrowed: set[int] = set()

    def batch(self, task: BatchTask, partial: Callable[[BatchResult], None] | None = None) -> BatchResult:
        """Generate the batch's cases and judge them. ``partial`` is given what has been judged every second or so, and
        the result holds the rest; without it, the result holds all."""
        self.frontend.mix_in(task.harvest)
        weights = Weights.of(self.frontend, only=task.operators, motifs=task.purpose == SWARM)
        self._index = task.index
        self.attempt.gauge.limits = FOUND
        pack = max(task.pack or len(task.cases), 1)
        results: list[CaseResult] = []
        sent = time.monotonic()
        self._tally = Tally(self.converter.target, self.attempt.settings)
        for start in range(0, len(task.cases), pack):
            if start and partial is not None and time.monotonic() - sent > _PARTIAL_SECONDS:
                sent = time.monotonic()
                partial(self._finish(results))
                results = []
                self._tally, self.spent = Tally(self.converter.target, self.attempt.settings), Spent()
                self.attempt.spent = self.spent
            cases: list[tuple[int, Case, Mapping[str, Array] | None]] = []
            self._motifs.clear()
            self._fed.clear()
            self._narrowed.clear()
            for number in task.cases[start : start + pack]:
                try:
                    grown = self._grow(task, number, weights)
                    cases.append((number, grown.case, grown.values))
                except ValueError as error:
                    results.append(CaseResult(number, refused=f"nothing grew: {error}"))
            results += self._judge(cases)
        return self._finish(results)

    def _grow(self, task: BatchTask, number: int, weights: Weights) -> Grown:
        """The case of that number and its values. ValueError when nothing grows."""
        self._announce(Step("generate", self.frontend.name, (number,)))
        probe = task.purpose == PROBE
        with self.spent.during("growing"):
            grown = self._probe(task, number) if probe else None
            grown = grown or self._grown(task, number, weights, apart=probe)
        self.spent.dropped.update(grown.dropped)
        self._motifs[number] = (*grown.motifs, *(structure(one.kind) for one in grown.fed))
        self._fed[number] = tuple(one.profiles for one in grown.fed)
        return grown

    def _probe(self, task: BatchTask, number: int) -> Grown | None:
        """A graph of the operator whose turn it is, None when none grows: some are not for the converter's settings."""
        try:
            own = Weights.of(self.frontend, only=(task.operators[number % len(task.operators)],))
            return self._grown(task, number, own, apart=True)
        except ValueError:
            return None

    def _grown(self, task: BatchTask, number: int, weights: Weights, *, apart: bool) -> Grown:
        return grow(
            self.frontend,
            SeededChoices(task.seed, task.index, number),
            nodes=task.nodes,
            weights=weights,
            avoid=_avoided(task.avoid),
            settings=self.unusual,
            announce=self._note,
            # A graph of one node is there to tell of its operator alone, as is one of an operator's calls.
            dynamic=SHARE if self.marks and task.nodes > 1 and not apart else 0.0,
            wanted=task.wanted,
            asked=task.asked,
            fed=task.fed if self.feeds else 0.0,
            apart=apart,
        )

    def judge(self, task: JudgeTask) -> BatchResult:
        """Judge serialised cases; each result carries its case with corrected types."""
        self.attempt.gauge.limits = KEPT
        self.attempt.seek(task.sought)
        with self.spent.during("serialising"):
            cases = [(number, loads(data), None) for number, data in task.cases]
        return self._finish(self._judge(cases, keep_cases=True))

    def _finish(self, results: list[CaseResult]) -> BatchResult:
        results.sort(key=lambda result: result.number)
        return BatchResult(
            tuple(results),
            self.spent.conversions,
            self.spent.parts["subjects"],
            funnel={variant: dict(counts) for variant, counts in self.spent.funnel.items()},
            dropped=dict(self.spent.dropped),
            coverage=self._tally.record() if self._tally else None,
            costs=tuple(self.spent.costs),
            parts=dict(self.spent.parts),
        )

    # -- eager ---------------------------------------------------------------------------------------------------

    def _prepared(self, number: int, case: Case, grown: Mapping[str, Array] | None) -> Prepared:
        """As :meth:`_prepare`; a graph that was just grown, and can only be printed with static dimensions (a layer
        of Keras that needs to know one), is static."""
        try:
            return self._prepare(number, case, grown)
        except SourceFails as error:
            if self._tally is None or not is_dynamic(case.graph):
                raise
            self.spent.dropped[f"dynamic dimensions: {str(error).splitlines()[0][:120]}"] += 1
            return self._prepare(number, pinned(case), None if grown is None else dict(grown))

    def _prepare(self, number: int, case: Case, grown: Mapping[str, Array] | None = None) -> Prepared:
        """Execute the graph in the interpreter, unless it was ``grown`` with these values, and as printed source.
        EvaluationError when the framework refuses the graph or the two runs differ: such a case has no defined result
        to compare with."""
        graph = case.graph
        self.frontend.check_arguments(graph)
        values = self.frontend.run(graph, case.feeds) if grown is None else grown
        self.frontend.check_values(graph, values)
        corrected = retype(graph, values)
        case = replace(case, graph=corrected)
        if not self.feeds:
            case = static(case)
        elif not self.converter.dynamic:
            case = pinned(case)
        try:
            model = self.frontend.load(case)
        except Exception as error:
            raise SourceFails(f"the printed source fails in eager mode: {error}") from error
        sizes = [self._sized(number, static(case), model, values)]
        recorded = values.further if isinstance(values, Recorded) else ()
        for size, feeds in enumerate(case.further, 1):
            at = at_size(case, size)
            if len(recorded) == len(case.further):
                found = recorded[size - 1]
            else:
                found = self.frontend.run(at.graph, at.feeds)
                self.frontend.check_values(at.graph, found)
            alike = all(feeds[value.name].shape == value.type.shape for value in case.graph.inputs)
            for name, array in found.items():
                first = values[name]
                if (array.dtype, array.ndim) != (first.dtype, first.ndim) or (alike and array.shape != first.shape):
                    raise EvaluationError(f"value {name!r} is of another type at {size_text(case, size)}")
            at = replace(at, graph=retype(at.graph, found))
            if alike and grown is not None:
                # What was printed computes the same for the first values. That eager mode does so for these twice is
                # asked when a finding is minimized, before it is verified.
                sizes.append(self._as_expected(number, at, found))
                continue
            arguments = tuple(self.frontend.to_native(at.feeds[value.name], value.layout) for value in at.graph.inputs)
            sizes.append(self._sized(number, at, replace(model, arguments=arguments), found))
        return Prepared(number, case, sizes)

    def _sized(self, number: int, case: Case, model: LoadedModel, values: Mapping[str, Array]) -> Sized:
        """A case at one size, if its printed source gives the interpreter's values. EvaluationError otherwise."""
        try:
            printed = self.frontend.execute(model)
        except Exception as error:
            raise SourceFails(f"the printed source fails in eager mode: {error}") from error
        reference = [values[name] for name in case.graph.outputs]
        for index, name in enumerate(case.graph.outputs):
            if same(printed[index], reference[index]):
                continue
            if self._varies(case, model, index, reference[index], printed[index]):
                raise EvaluationError(f"output {name!r} differs between two eager runs")
            raise EvaluationError(f"output {name!r} of the printed source differs from the interpreter's")
        return self._as_expected(number, case, values)

    def _as_expected(self, number: int, case: Case, values: Mapping[str, Array]) -> Sized:
        expected = [values[name].copy() for name in case.graph.outputs]
        return Sized(case, expected, Analyst(self.frontend, case, number, self._judging(number)))

    def _judging(self, number: int) -> Callable[[], None]:
        """What tells the supervisor, every now and then, that judging the case gets on: the deadline is for a step, and
        of a large model each sample of noise is one."""
        told = time.monotonic()

        def tell() -> None:
            nonlocal told
            if time.monotonic() - told > _SILENT_SECONDS:
                told = time.monotonic()
                self._announce(Step("judge", "", (number,)))

        return tell

    def _varies(self, case: Case, model: LoadedModel, index: int, interpreted: Array, printed: Array) -> bool:
        """Whether the interpreter, or the printed source, gives that output another value than before when run again.

        A kernel that reads memory it never wrote often gives the same garbage a few times in a row.
        """
        name = case.graph.outputs[index]
        for _ in range(_REPEATS):
            if not same(self.frontend.run(case.graph, case.feeds)[name], interpreted):
                return True
            if not same(self.frontend.execute(model)[index], printed):
                return True
        return False

    def _judge(
        self, cases: Sequence[tuple[int, Case, Mapping[str, Array] | None]], *, keep_cases: bool = False
    ) -> list[CaseResult]:
        prepared: list[Prepared] = []
        results: list[CaseResult] = []
        for number, case, grown in cases:
            self._announce(Step("eager", self.frontend.name, (number,)))
            try:
                with self.spent.during("eager mode"):
                    prepared.append(self._prepared(number, case, grown))
            except (EvaluationError, GraphError) as error:
                results.append(CaseResult(number, refused=str(error)[:300]))
                self.spent.count(Outcome.REFUSED)
        self.spent.count(Outcome.STARTED, number=len(prepared))
        for judgement in self._split(prepared):
            with self.spent.during("counting"):
                results.append(self._result(*judgement, keep_case=keep_cases))
        return results

    def _result(self, number: int, case: Case, seen: list[Observation], *, keep_case: bool) -> CaseResult:
        if self._stand_in:
            # What stands in for eager mode says what the graph is, and is nothing to compare with.
            seen = [item for item in seen if item.signature.kind not in MISMATCH]
        wanted = keep_case or any(item.verdict is Verdict.BUG for item in seen)
        keys = node_keys(case.graph)
        accused: tuple[tuple[str, ...], ...] = ()
        proven: tuple[str, ...] = ()
        outcomes: dict[str, Outcome] = {}
        if number >= 0:
            variants = [(runtime.name, variant) for runtime, variant in self.attempt.variants]
            outcomes = outcomes_of(seen, variants)
            for variant, outcome in outcomes.items():
                self.spent.count(outcome, variant)
        if self._tally and number >= 0:
            narrowed = ("size not promised",) if number in self._narrowed else ()
            grown = (*self._motifs.get(number, ()), *sizes_of(case), *narrowed)
            self._tally.case(case.graph, keys, outcomes, grown, (case.profiles, *self._fed.get(number, ())), seen)
            accused, proven = self._patterns(case, seen)
        return CaseResult(
            number,
            tuple(Seen.of(item) for item in seen),
            case=dumps(case) if wanted else b"",
            keys=keys,
            nodes=len(case.graph.operators()),
            suspects=accused,
            proven=proven,
        )

    def _patterns(self, case: Case, seen: Sequence[Observation]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
        """What quarantine learns from: of a refused case the patterns of every node, of another those that this
        process has not told of."""
        nodes = suspects(case.graph, self.unusual)
        if any(item.signature.kind not in MISMATCH | PERFORMANCE for item in seen):
            # The marking may be to blame, unless the subject names an operator.
            words = " ".join(f": {item.message[:400]}" for item in seen)
            blameless = is_dynamic(case.graph) and not named(case.graph.operators(), words)
            return () if blameless else nodes, ()
        told = _TOLD.setdefault(self.converter.name, set())
        new = {pattern for node in nodes for pattern in node} - told
        told |= new
        return (), tuple(sorted(new))

    # -- the subject ---------------------------------------------------------------------------------------------

    def _split(self, prepared: list[Prepared]) -> list[Judgement]:
        """Observations of each case, from one conversion if the subject takes the union."""
        if not prepared:
            return []
        if len(prepared) == 1:
            return [self._single(prepared[0])]
        if self._needs_inputs and not all(item.case.graph.inputs for item in prepared):
            alone = [item for item in prepared if not item.case.graph.inputs]
            rest = [item for item in prepared if item.case.graph.inputs]
            return [*map(self._single, alone), *self._split(rest)]
        try:
            judged = self._together(prepared)
        except (Refused, Printed) as refusal:
            found = [item for part in _parts(prepared, refusal) for item in self._split(part)]
            if isinstance(refusal, Refused) and refusal.bug and all(_clean(seen) for _, _, seen in found):
                # The union fails although each of its parts passes.
                found.append((-1, union([item.case for item in prepared]).case, [*refusal.observations]))
            return found
        return self._confirmed(prepared, judged) if self._tally else judged

    def _together(self, prepared: list[Prepared], blob: bytes = b"") -> list[Judgement]:
        judged = self.attempt.together(prepared, blob)
        self._narrowed |= self.attempt.narrowed
        if self._tally and self.attempt.artifact is not None:
            with self.spent.during("counting"):
                self._tally.artifact(self.attempt.artifact)
        return judged

    def _confirmed(self, prepared: list[Prepared], judged: list[Judgement]) -> list[Judgement]:
        """The judgements of a pack, those of mismatches from a conversion of their own. One that does not show alone
        is a finding of the union: it fails in company only. Now and then a graph that passed is converted alone, too.
        """
        found: list[Judgement] = []
        company: list[Observation] = []
        start = 0
        ticket = zlib.crc32(f"{self._index} {prepared[0].number}".encode())
        sample = ticket // _ALONE % len(prepared) if ticket % _ALONE == 0 else -1
        # What is behind the cases' own judgements is of their union.
        unions = judged[len(prepared) :]
        for place, (item, (number, case, seen)) in enumerate(zip(prepared, judged, strict=False)):
            bugs = [observation for observation in seen if observation.verdict is Verdict.BUG]
            if bugs or place == sample:
                _, _, alone = self._single(item)
                shown = [observation for observation in alone if observation.verdict is Verdict.BUG]
                if bugs and not shown:
                    company += [
                        replace(observation, outputs=tuple(start + output for output in observation.outputs))
                        for observation in bugs
                        # What costs too much is measured of single cases only.
                        if observation.signature.kind not in PERFORMANCE
                    ]
                if shown and not bugs:
                    alone = [
                        replace(
                            observation, message=f"{observation.message}\n(only alone: not in a pack of {len(judged)})"
                        )
                        for observation in alone
                    ]
                seen = alone
            found.append((number, case, seen))
            start += len(item.expected)
        if company:
            found.append((-1, union([item.case for item in prepared]).case, company))
        return found + unions

    def _single(self, item: Prepared) -> Judgement:
        blob = dumps(item.case)
        try:
            [(_, _, seen)] = self._together([item], blob)
        except Refused as refusal:
            return item.number, item.case, [*refusal.observations]
        except Printed as printed:
            signature = Signature(printed.stage, printed.component, Kind.STDOUT, normalise(printed.text))
            return item.number, item.case, [Observation(signature, Verdict.BUG, printed.text)]
        return item.number, item.case, seen


def unusual(converter: Converter, settings: Settings) -> dict[str, Form]:
    """The settings that are not the converter's defaults."""
    defaults = {option.name: option.values[0] for option in converter.options}
    return {name: value for name, value in settings.items() if value != defaults.get(name)}


class SourceFails(EvaluationError):
    """The printed source raises in eager mode."""


#: Patterns that this process has told of, by converter.
_TOLD: dict[str, set[str]] = {}


@functools.lru_cache(maxsize=4)
def _avoided(patterns: tuple[str, ...]) -> Avoided:
    return Avoided(patterns)


def _parts(prepared: list[Prepared], refusal: Refused | Printed) -> tuple[list[Prepared], list[Prepared]]:
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


def _clean(seen: list[Observation]) -> bool:
    return not any(item.signature.kind not in {Kind.VALUE, Kind.NONFINITE} for item in seen)
