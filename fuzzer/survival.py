"""Getting a result for every case whatever a subject does to the worker."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from corpus.records import Coverage, Outcome
from fuzzer.converters.base import Converter
from fuzzer.coverage import Tally, outcomes_of
from fuzzer.coverage import merge as merge_coverage
from fuzzer.failures import Frame, conversion_stage
from fuzzer.formats import Settings
from fuzzer.supervisor import Worker, WorkerDied
from fuzzer.tasks import WITNESS, BatchResult, BatchTask, CaseResult, JudgeTask, Seen, Subject, ValuesResult, ValuesTask
from generators.frontends.base import STAND_INS
from generators.graph import Array, Case, node_count
from generators.patterns import node_keys, suspects
from generators.serial import dumps, loads
from generators.sizes import Recorded, at_size
from oracles.minimize.simplicity import simplicity
from oracles.outcome import Kind, Observation, Signature, Stage, Trial, Verdict

_STAGES = {
    "convert": Stage.CONVERT,
    "validate": Stage.VALIDATE,
    "load": Stage.RUNTIME_LOAD,
    "run": Stage.INFERENCE,
}


#: Of several cases no step may take longer than this share of the deadline; the case that did is asked alone, with all
#: of it. Finding the one that hangs in a pack takes as many steps as the pack can be halved.
_SHARE_IN_COMPANY = 0.25
#: Signals that subjects do not send to themselves.
FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM"})


class WorkerUnusable(RuntimeError):
    """A worker dies before it reaches any case: the frameworks cannot be imported, or our own code takes it down."""


def judge_numbers(
    worker: Worker,
    numbers: Sequence[int],
    task: Callable[[tuple[int, ...]], BatchTask | JudgeTask],
    converter: Converter,
) -> BatchResult:
    """Have the worker perform ``task(numbers)`` and return one result per number.

    When the worker dies over several cases they are split in two; over a single one, its end becomes that case's
    observation. Of a batch, it must end a fresh worker, too: a subject that corrupts memory may die of it cases later.
    So must what took long in company, which is given less time than a case alone.
    A witness that dies of a case is not asked about it again.
    What was judged before is kept, and the others are done after that. A worker that was killed from outside starts
    over once. A case that kills eager mode is refused; where eager mode is a subject as well, unless that dies of the
    case, too, which is asked with something else in the place of eager mode. Raises WorkerUnusable.
    """
    gathered: list[BatchResult] = []
    waiting = [tuple(numbers)]
    done: set[int] = set()
    suspected: set[int] = set()
    unheard: set[int] = set()
    eager_dies: dict[int, BatchResult] = {}
    failures = 0
    killed: set[tuple[int, ...]] = set()

    def keep(result: BatchResult) -> None:
        gathered.append(result)
        done.update(item.number for item in result.results)

    while waiting:
        part = tuple(number for number in waiting.pop() if number not in done)
        if not part:
            continue
        asked = task(part)
        dying = len(part) == 1 and part[0] in eager_dies
        if unheard or dying:
            stand_in = dying or asked.subject.stand_in
            subject = msgspec.structs.replace(asked.subject, unheard=tuple(sorted(unheard)), stand_in=stand_in)
            asked = msgspec.structs.replace(asked, subject=subject)
        deadline = worker.limits.deadline * (1.0 if len(part) == 1 else _SHARE_IN_COMPANY)
        try:
            result = worker.call(asked, deadline, partial=None if dying else keep)
        except WorkerDied as death:
            gathered.append(BatchResult((), parts=death.parts))
            waiting.append(part)
            if death.what in FROM_OUTSIDE and part not in killed:
                # Somebody else's doing (a person, the kernel short of memory) until it happens twice.
                killed.add(part)
                continue
            if not death.step.cases:
                failures += 1
                if failures > 2:
                    raise WorkerUnusable(f"{death}\n{death.output[-2000:]}") from death
                continue
            if len(death.step.cases) > 1:
                waiting.pop()
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
                continue
            [number] = death.step.cases
            if death.step.name == WITNESS:
                # It is no subject: its end says nothing of the case, which is judged without it.
                unheard.add(number)
                continue
            counted = isinstance(asked, BatchTask)
            if death.step.name not in _STAGES:
                place = f"eager mode of {death.step.component} dies at {death.note or 'this graph'}"
                reason = f"{'judging ends' if death.step.name == 'judge' else place}: {death.what}"
                funnel = {"": {Outcome.REFUSED.value: 1}}
                refused = BatchResult((CaseResult(number, refused=reason),), funnel=funnel)
                eager = death.step.name in ("generate", "eager")
                if asked.subject.frontend not in STAND_INS or asked.subject.stand_in or not eager:
                    keep(eager_dies.get(number, refused))
                    continue
                eager_dies[number] = refused
                waiting.append((number,))
            elif (counted or death.kind is Kind.HANG) and len(part) > 1 and number not in suspected:
                suspected.add(number)
                waiting.append((number,))
            else:
                ended = _end_of(number, death, converter, asked.subject.settings if counted else None)
                keep(_as_eager_mode(ended) if asked.subject.stand_in else ended)
            continue
        assert isinstance(result, BatchResult)
        # What stands in for eager mode says what the graph is, and is nothing to compare with.
        keep(eager_dies[part[0]] if dying else result)
    return merge(gathered)


def _as_eager_mode(ended: BatchResult) -> BatchResult:
    """The result of a case that ends eager mode as it does its subject."""
    marked = tuple(msgspec.structs.replace(item, stand_in=True) for item in ended.results)
    return msgspec.structs.replace(ended, results=marked)


def _end_of(number: int, death: WorkerDied, converter: Converter, counted: Settings | None) -> BatchResult:
    """The result of a case whose subject ended the worker; with its coverage, if it is to be ``counted`` under settings
    of the converter."""
    seen = Observation(signature_of(death, converter), Verdict.BUG, explain(death), settings=death.step.settings)
    variant = f"{death.step.component} {death.step.settings}" if death.step.settings else ""
    outcome = {
        "load": Outcome.LOAD_FAILED,
        "run": Outcome.RUN_FAILED,
    }.get(death.step.name, Outcome.CONVERTER_FAILED)
    result = CaseResult(number, (Seen.of(seen),), case=death.step.case, **_described(death.step.case))
    return BatchResult(
        (result,),
        conversions=1,
        funnel={"": {Outcome.STARTED.value: 1}, variant: {outcome.value: 1}}
        if variant
        else {"": {Outcome.STARTED.value: 1, outcome.value: 1}},
        coverage=_coverage_of(death, seen, converter, counted) if counted is not None and death.step.case else None,
    )


def _described(blob: bytes) -> dict[str, Any]:
    """What quarantine and coverage go by, of the case that ended a worker."""
    if not blob:
        return {}
    graph = loads(blob).graph
    return {"keys": node_keys(graph), "nodes": len(graph.operators()), "suspects": suspects(graph)}


def _coverage_of(death: WorkerDied, seen: Observation, converter: Converter, settings: Settings) -> Coverage:
    graph = loads(death.step.case).graph
    tally = Tally(converter.target, settings)
    tally.case(graph, node_keys(graph), outcomes_of([seen], ()))
    return tally.record()


def signature_of(death: WorkerDied, converter: Converter) -> Signature:
    """The signature of the end of a worker in a subject's step.

    For a signal the subject's innermost Python frame is part of it, since it is the same every time; where a hang or a
    growth of memory is caught depends on timing, and their frames are only in the message.
    """
    stage = _STAGES[death.step.name]
    if stage is Stage.CONVERT:
        way = [Frame(module_of(frame), frame.rpartition(":")[2]) for frame in reversed(death.frames)]
        found = conversion_stage(converter.stages, way)
        # Without a frame of the converter there is still the step.
        stage = stage if found is Stage.UNKNOWN else found
    detail = death.what if death.kind in {Kind.SIGNAL, Kind.EXIT} else ""
    return Signature(stage, death.step.component, death.kind, detail)


def explain(death: WorkerDied) -> str:
    """What is known of the end of a worker, in a few lines."""
    lines = [f"{death.kind.value}: {death.what} during {death.step.name} by {death.step.component}"]
    if death.frames:
        lines += [f"  in {module_of(frame)}.{frame.rpartition(':')[2]}" for frame in death.frames[:5]]
    words = [
        line for line in death.output.splitlines() if line.strip() and not line.startswith((" ", "Thread", "Curr"))
    ]
    lines += words[-5:]
    return "\n".join(lines)


def module_of(frame: str) -> str:
    """The dotted module name of a frame ``path:function``; the bare file name outside of site-packages."""
    path = frame.rpartition(":")[0]
    match = re.search(r"(?:site|dist)-packages/(.+)\.py$", path)
    if match:
        return match[1].replace("/", ".").removesuffix(".__init__")
    return path.rpartition("/")[2].removesuffix(".py")


def merge(parts: Sequence[BatchResult]) -> BatchResult:
    """One result with the cases of all parts in order of their numbers and the sums of what they counted."""
    funnel: dict[str, Counter[str]] = {}
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.dropped)
        for variant, counts in part.funnel.items():
            funnel.setdefault(variant, Counter()).update(counts)
    results = sorted((result for part in parts for result in part.results), key=lambda result: result.number)
    return BatchResult(
        tuple(results),
        sum(part.conversions for part in parts),
        sum(part.subject_seconds for part in parts),
        sum(part.seconds for part in parts),
        {variant: dict(counts) for variant, counts in funnel.items()},
        dict(dropped),
        merge_coverage(part.coverage for part in parts),
        tuple(cost for part in parts for cost in part.costs),
        {name: sum(part.parts.get(name, 0.0) for part in parts) for part in parts for name in part.parts},
    )


def spread(sizes: Sequence[int], lanes: int, least: int) -> list[range]:
    """Consecutive parts of a list of cases with these numbers of nodes, about as many nodes to each: at most ``lanes``,
    and no more than have ``least`` nodes on average. One part of no cases when there are none."""
    total = sum(sizes)
    count = max(1, min(lanes, len(sizes), total // max(least, 1)))
    bounds = [0]
    held = 0
    for index, size in enumerate(sizes):
        # A part ends where it has its share, or the parts to come need the cases that are left.
        full = held + size / 2 > total * len(bounds) / count
        needed = len(sizes) - index == count - len(bounds)
        if index > bounds[-1] and len(bounds) < count and (full or needed):
            bounds.append(index)
        held += size
    return [range(start, stop) for start, stop in zip(bounds, [*bounds[1:], len(sizes)], strict=True)]


class RemoteTester:
    """The :class:`oracles.outcome.Tester` that asks a worker.

    Of the cases of one question that show what is ``sought``, only the simplest is judged for certain, since noise is
    dear; what is seen of the others is marked as SUSPECTED.
    """

    def __init__(self, worker: Worker, subject: Subject, converter: Converter) -> None:
        self._worker = worker
        self._subject = subject
        self._converter = converter
        #: None where every case is to be judged for certain.
        self.sought: Signature | None = None
        self._helpers: Callable[[], Sequence[Worker]] = tuple
        self._least = 1
        self.conversions = 0
        self.slices = converter.sliceable
        #: Seconds of CPU time by what they were spent on.
        self.parts: Counter[str] = Counter()

    def spread(self, helpers: Callable[[], Sequence[Worker]], least: int) -> None:
        """From now on, spread cases among the worker and those that ``helpers`` returns at the time, at least so many
        nodes to each."""
        self._helpers = helpers
        self._least = least

    @property
    def lanes(self) -> int:
        """See the protocol."""
        return 1 + len(self._helpers())

    def test(self, cases: Sequence[Case]) -> list[Trial]:
        """One trial per case; see the protocol."""
        blobs = {number: dumps(case) for number, case in enumerate(cases)}
        order = list(blobs)
        if self.sought:
            order.sort(key=lambda number: simplicity(cases[number]))

        def task(numbers: tuple[int, ...]) -> JudgeTask:
            return JudgeTask(self._subject, tuple((number, blobs[number]) for number in numbers), self.sought)

        def judged(worker: Worker, places: range) -> BatchResult:
            return judge_numbers(worker, [order[place] for place in places], task, self._converter)

        workers = [self._worker, *self._helpers()]
        parts = spread([node_count(cases[number].graph) for number in order], len(workers), self._least)
        if len(parts) == 1:
            result = judged(self._worker, parts[0])
        else:
            with ThreadPoolExecutor(len(parts)) as threads:
                result = merge(list(threads.map(judged, workers, parts)))
        self.conversions += result.conversions
        self.parts.update(result.parts)
        if any(item.stand_in for item in result.results):
            self._subject = msgspec.structs.replace(self._subject, stand_in=True)
        trials = [Trial(None) for _ in cases]
        for item in result.results:
            if item.number < 0 or item.refused:
                continue
            case = loads(item.case) if item.case else cases[item.number]
            trials[item.number] = Trial(case, tuple(seen.observation() for seen in item.seen))
        return trials

    def values(self, case: Case) -> dict[str, Array]:
        """Every value by name, at further sizes too. ValueError when eager mode refuses the case (or dies of it)."""
        if not case.further:
            return self._values(case)
        first, *further = (self._values(at_size(case, number)) for number in range(len(case.further) + 1))
        return Recorded(first, further)

    def _values(self, case: Case) -> dict[str, Array]:
        subject = self._subject
        try:
            result = self._worker.call(ValuesTask(subject.frontend, dumps(case), subject.stand_in))
        except WorkerDied as death:
            if subject.frontend in STAND_INS and not subject.stand_in and death.step.name == "eager":
                self._subject = msgspec.structs.replace(subject, stand_in=True)
                return self._values(case)
            raise ValueError(f"eager mode dies of this case: {death}") from death
        assert isinstance(result, ValuesResult)
        if result.error:
            raise ValueError(f"eager mode refuses this case: {result.error}")
        return {constant.name: constant.data for constant in loads(result.values).graph.constants}
