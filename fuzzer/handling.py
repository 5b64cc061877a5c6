"""What is done with one finding: minimize, print, write the reproducer, verify it in fresh processes, file it."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import msgspec

from corpus.records import Batch, Finding, FindingState, Finish, NewFinding, PassRecord
from corpus.store import Store
from fuzzer.blaming import Blamer
from fuzzer.config import CampaignConfig
from fuzzer.converters.base import Converter, converters
from fuzzer.dossier import compile_dossier
from fuzzer.formats import Setting, Settings
from fuzzer.grouped_scripts import grouped_script
from fuzzer.own_errors import OwnError
from fuzzer.planning import default_settings, subject_of
from fuzzer.reduction import reduce
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.spare import Helpers, nobody
from fuzzer.supervisor import Worker
from fuzzer.survival import RemoteTester
from fuzzer.tasks import RenderResult, RenderTask, Subject
from generators.graph import Case
from generators.grouping import is_grouped, returns_grouped
from generators.serial import dumps, loads
from generators.sizes import is_dynamic
from oracles.bucket import bucket_key, title
from oracles.forking import Zygote
from oracles.minimize import Budget, Minimized, Unreproducible, reset_options, shares_conversions
from oracles.outcome import BEFORE_RUNTIME, Kind, Observation, Stage, Verdict, symptom_of
from oracles.quantization import against
from oracles.reproducer import render, starts_itself
from oracles.taxonomy import classify
from oracles.verification import Verification, verify

#: Where candidates share conversions, each of those made at the same time has at least so many nodes: the cost of one
#: is that of as many or more, whatever it holds.
TOGETHER = 64
#: How often the reproducer of what fails only sometimes is run.
FLAKY_RUNS = 15
#: What CPU time outside workers is spent on: what reproducers do, and what they import to do it.
IN_REPRODUCERS, IMPORTS = "subjects, in reproducers", "imports of reproducers"


@dataclass(frozen=True)
class Handled:
    """A finding after it was handled, with the findings of other defects that were met on the way."""

    finding: Finding
    others: tuple[str, ...]
    #: Seconds of CPU time by what they were spent on.
    parts: Mapping[str, float] = field(default_factory=dict)


class Handler:
    """Handles the findings of a campaign. ``stopping`` tells that the campaign ends: minimization then returns with
    what it has. ``until`` is the monotonic time after which no minimization goes on. ``zygote`` gives, for a frontend,
    what reproducers may be forked from, ``python`` is what they are run with."""

    def __init__(
        self,
        store: Store,
        config: CampaignConfig,
        stopping: Callable[[], bool],
        until: Callable[[], float],
        zygote: Callable[[str], Zygote | None] = lambda frontend: None,
        python: str = sys.executable,
    ) -> None:
        self._store = store
        self._config = config
        self._stopping = stopping
        self._until = until
        self._zygote = zygote
        self._python = python

    def handle(
        self,
        finding: Finding,
        batch: Batch,
        worker: Worker,
        say: Callable[[str], None],
        helpers: Helpers = nobody,
    ) -> Handled:
        """Take the finding as far as time allows; of one that is verified, find who is to blame. ``helpers`` are
        workers that minimize along with the first. Interrupted work is saved and goes on from there the next time."""
        if finding.state is FindingState.VERIFIED:
            return self._blame(Handled(finding, ()), worker, say)
        subject = narrow(subject_for(batch, finding), finding)
        tester = RemoteTester(worker, subject, converters()[subject.converter])
        least = TOGETHER if shares_conversions(finding.signature, slices=tester.slices) else 1
        tester.spread(helpers, least)
        handled = self._handle(finding, subject, tester, worker, say)
        handled = self._blame(replace(handled, parts=tester.parts), worker, say)
        if handled.finding.state is FindingState.VERIFIED:
            say(f"drafting {finding.id}")
            compile_dossier(self._store, handled.finding, worker)
        return handled

    def _blame(self, handled: Handled, worker: Worker, say: Callable[[str], None]) -> Handled:
        """A verified finding with who is to blame for it, unless the campaign ends first: experiments that are cut
        short are made again the next time."""
        finding = handled.finding
        if finding.state is not FindingState.VERIFIED or not self._config.blame_seconds or self._interrupted():
            return handled
        say(f"blaming {finding.id}")
        blamer = Blamer(worker, self._config.blame_seconds)
        verdict = blamer.blame(finding, self._store.objects.get(finding.minimized_object))
        parts = Counter(handled.parts)
        parts.update(blamer.parts)
        if self._interrupted():
            return replace(handled, parts=parts)
        others = (*handled.others, *self._own_errors(finding, blamer.own_errors))
        return replace(handled, finding=self._store.set_blame(finding.id, verdict), others=others, parts=parts)

    def _own_errors(self, finding: Finding, found: Sequence[OwnError]) -> list[str]:
        """Record what jurors got wrong themselves, under the case that the finding is of; the ids. A runtime with a
        finding of that kind about the case gets no other: votes on what votes gave come to an end, and what the batch
        has shown already is not worked on twice."""
        if not found:
            return []
        known = self._store.list_findings(campaign=finding.campaign, batch=finding.batch)
        have = {(one.signature.component, one.signature.kind) for one in known if one.case == finding.case}
        identifiers = []
        for error in found:
            seen = error.observation
            if (seen.signature.component, seen.signature.kind) in have:
                continue
            new = _new(finding.case, loads(error.case), seen)
            new = msgspec.structs.replace(new, converter_settings=dict(error.settings), variants=error.variants)
            identifiers.append(self._store.add_finding(finding.campaign, finding.batch, new))
        return [identifier for identifier in identifiers if identifier]

    def _handle(
        self, finding: Finding, subject: Subject, tester: RemoteTester, worker: Worker, say: Callable[[str], None]
    ) -> Handled:
        converter = converters()[subject.converter]
        store = self._store
        start = loads(store.objects.get(finding.minimized_object or finding.case_object))
        conversions = finding.conversions

        def save(case: Case) -> None:
            nodes = len(case.graph.operators())
            store.save_progress(finding.id, dumps(case), nodes=nodes, conversions=conversions + tester.conversions)
            say(f"minimizing {finding.id}: {nodes} nodes, {tester.conversions} conversions")

        say(f"minimizing {finding.id}")
        budget = Budget(self._config.minimize_seconds, self._config.minimize_conversions, self._clock())
        try:
            result = reduce(start, finding.signature, tester, budget=budget, on_improvement=save)
        except Unreproducible as error:
            if self._stopping():
                return Handled(finding, ())
            finish = Finish(FindingState.UNREPRODUCIBLE, "", message=f"{finding.message}\n{error}")
            return Handled(store.finish_finding(finding.id, finish), ())
        store.add_passes(finding.id, [PassRecord(name, **asdict(done)) for name, done in result.passes.items()])
        others = tuple(
            identifier
            for case, seen in result.others
            if (identifier := store.add_finding(finding.campaign, finding.batch, _beside(finding, case, seen)))
        )
        if not result.complete and self._interrupted():
            save(result.case)
            return Handled(store.find(finding.id), others)
        store.minimized(
            finding.id,
            dumps(result.case),
            nodes=len(result.case.graph.operators()),
            conversions=conversions + result.conversions,
        )
        subject, result = self._reset(subject, converter, result, tester, worker)
        say(f"verifying {finding.id}")
        return Handled(self._finish(finding, subject, converter, result, worker, tester.parts), others)

    def _reset(
        self, subject: Subject, converter: Converter, result: Minimized, tester: RemoteTester, worker: Worker
    ) -> tuple[Subject, Minimized]:
        """The subject with as many options at their defaults as the minimized case allows, and what is seen then."""
        seen: dict[str, Observation] = {}

        def still_fails(settings: Mapping[str, Setting]) -> bool:
            other = RemoteTester(worker, msgspec.structs.replace(subject, settings=dict(settings)), converter)
            [trial] = other.test([result.case])
            tester.parts.update(other.parts)
            shown = [one for one in trial.observations if one.verdict is Verdict.BUG]
            alike = [one for one in shown if one.signature == result.observation.signature]
            if alike and not self._interrupted():
                seen[repr(settings)] = alike[0]
                return True
            return False

        settings = reset_options(subject.settings, default_settings(converter), still_fails)
        if settings == subject.settings:
            return subject, result
        observation = seen[repr(settings)]
        return msgspec.structs.replace(subject, settings=settings), replace(result, observation=observation)

    def _interrupted(self) -> bool:
        return self._stopping() or time.monotonic() > self._until()

    def _clock(self) -> Callable[[], float]:
        """A clock that jumps to the end of time when the campaign ends, which ends a minimization at its next step."""
        return lambda: math.inf if self._interrupted() else time.monotonic()

    def _finish(
        self,
        finding: Finding,
        subject: Subject,
        converter: Converter,
        result: Minimized,
        worker: Worker,
        parts: Counter[str],
    ) -> Finding:
        case, seen = result.case, result.observation
        rendered = worker.call(RenderTask(subject.frontend, dumps(case)))
        assert isinstance(rendered, RenderResult)
        key = bucket_key(seen.signature, case)
        finish = Finish(
            FindingState.DUPLICATE,
            key,
            title=title(case, seen),
            minimized=dumps(case),
            source=rendered.source,
            nodes=len(case.graph.operators()),
            needs_special=result.needs_special,
            conversions=finding.conversions + result.conversions,
            message=seen.message,
            numbers=seen.numbers,
            settings=variants_of(seen),
            converter_settings=subject.settings,
            classification=classify(
                seen.signature,
                converter=converter.name,
                message=seen.message,
                settings=variants_of(seen),
                options=subject.settings,
                case=case,
                needs_special=result.needs_special,
            ),
        )
        known = self._store.bucket(key)
        if known is not None and known.representative.state is FindingState.VERIFIED:
            return self._store.finish_finding(finding.id, finish)
        script = script_of(case, seen, rendered.source, subject, converter)
        verification = self._verified(script, seen.signature.kind, subject.frontend, flaky=result.flaky)
        runs = verification.runs
        calls = verification.calls_seconds
        parts[IN_REPRODUCERS] += calls  # type: ignore[assignment]
        parts[IMPORTS] += sum(verification.cpu_seconds) - calls  # type: ignore[assignment]
        state = (
            FindingState.VERIFIED
            if verification.failures == runs
            else FindingState.FLAKY
            if verification.failures
            else FindingState.UNREPRODUCIBLE
        )
        finish = msgspec.structs.replace(
            finish, state=state, reproducer=script, runs=runs, failures=verification.failures
        )
        return self._store.finish_finding(finding.id, finish)

    def _verified(self, script: str, kind: Kind, frontend: str, *, flaky: bool) -> Verification:
        """Runs of the reproducer; more than usual where it fails only sometimes, to tell how often."""

        def runs(count: int) -> Verification:
            return verify(
                script,
                count,
                deadline=3 * self._config.deadline_seconds,
                python=self._python,
                zygote=None if starts_itself(kind) else lambda: self._zygote(frontend),
            )

        first = runs(self._config.verify_runs)
        doubtful = flaky or 0 < first.failures < first.runs
        return first.with_more(runs(max(0, FLAKY_RUNS - first.runs))) if doubtful else first


def subject_for(batch: Batch, finding: Finding) -> Subject:
    """What the finding is put to: its batch's subject or, for one that a vote gave, what it was seen with there."""
    subject = subject_of(batch.issued)
    if not finding.variants:
        return subject
    settings = dict(finding.converter_settings)
    return msgspec.structs.replace(subject, settings=settings, variants=finding.variants)


def narrow(subject: Subject, finding: Finding) -> Subject:
    """The subject with the runtime variants that the finding needs: none for a failure before any runtime, all for a
    mismatch (which variants disagree is part of its identity)."""
    signature = finding.signature
    if signature.stage not in {Stage.RUNTIME_LOAD, Stage.INFERENCE} and signature.component == subject.converter:
        if signature.kind in BEFORE_RUNTIME:
            return Subject(subject.frontend, subject.converter, subject.settings, ())
        return subject
    return subject


def variants_of(seen: Observation) -> tuple[str, ...]:
    """The runtime variants that show a failure."""
    return tuple(part for part in seen.settings.split(", ") if part)


def script_of(case: Case, seen: Observation, source: str, subject: Subject, converter: Converter) -> str:
    """The stand-alone reproducer of a minimized case."""
    runtime, settings = _runtime_of(seen, subject)
    types = case.graph.types()
    dtypes = {types[name].dtype for name in (*case.feeds, *case.graph.outputs)}
    packages = [*converter.requires, *(runtime.requires if runtime else ())]
    dynamic, kind = is_dynamic(case.graph), seen.signature.kind
    convert_script = (converter.dynamic_script if dynamic else converter.script)(subject.settings)
    run = "" if runtime is None else (runtime.dynamic_script if dynamic else runtime.script)(settings, dtypes)
    if runtime and converter.quantizes(subject.settings):
        # Models with dynamic dimensions are not quantized.
        run = runtime.script(settings, dtypes, quantized=True)
        if other := against(seen.signature.detail):
            # What is expected of some kernels is what others make of the same model.
            reference = runtime.script(runtime.variants[other], dtypes, quantized=True)
            convert_script = f"{convert_script}\n{reference}expected = actual\n"
    if is_grouped(case.graph) or returns_grouped(case.graph):
        convert_script, run = (grouped_script(script, case.graph) for script in (convert_script, run))
    return render(
        case,
        seen,
        frontend_source=source,
        frontend=subject.frontend,
        converter_name=converter.name,
        convert_script=convert_script,
        runtime_script=run if runtime else None,
        load_script=runtime.load_script(settings, dtypes) if runtime and (case.further or kind is Kind.SLOW) else "",
        sibling=_sibling(converter, dynamic) if kind is Kind.BLOATED else None,
        versions=packages,
        title=title(case, seen),
    )


def _sibling(converter: Converter, dynamic: bool) -> tuple[str, str] | None:
    """Another converter between the same formats that is here: its name, and its script with default settings."""
    for name, other in sorted(converters().items()):
        formats = (other.source, other.target) == (converter.source, converter.target)
        if name != converter.name and formats and other.default and other.availability().available:
            settings = default_settings(other)
            return name, other.dynamic_script(settings) if dynamic else other.script(settings)
    return None


def _runtime_of(seen: Observation, subject: Subject) -> tuple[Runtime | None, Settings]:
    """The first runtime variant that shows the failure, with its settings."""
    words = seen.settings.split(", ")[0].split(" ")
    for name, variant in subject.variants:
        if words in ([name, variant], [variant]) and (words[0] == name or seen.signature.component == name):
            return runtimes()[name], runtimes()[name].variants[variant]
    return None, {}


def _beside(finding: Finding, case: Case, seen: Observation) -> NewFinding:
    """Another defect that was met while a finding was minimized, seen with what that is put to."""
    new = _new(finding.case, case, seen)
    if not finding.variants:
        return new
    settings = dict(finding.converter_settings)
    return msgspec.structs.replace(new, converter_settings=settings, variants=finding.variants)


def _new(number: int, case: Case, seen: Observation) -> NewFinding:
    return NewFinding(
        number,
        seen.signature,
        symptom_of(seen.signature.kind),
        seen.message,
        dumps(case),
        variants_of(seen),
        seen.numbers,
        len(case.graph.operators()),
    )
