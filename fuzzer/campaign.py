"""A campaign: a seed and a configuration, batches until the time is up, findings handled as they come.

Each slot is a thread with worker processes of its own, one per frontend, and does one job at a time: judge a batch or
handle a finding. What has been done is in the store at every instant; memory holds nothing that cannot be rebuilt.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from jinja2 import TemplateError

from corpus.records import (
    PENDING,
    Batch,
    BatchState,
    Campaign,
    CampaignStatus,
    Finding,
    FindingState,
    Summary,
)
from corpus.records import Quarantine as QuarantineEntry
from corpus.store import Store
from fuzzer.agenda import Agenda
from fuzzer.config import CampaignConfig
from fuzzer.converters.base import converters
from fuzzer.handling import IMPORTS, Handler
from fuzzer.known import applies, shipped
from fuzzer.learning import Drawn, Learnt
from fuzzer.listener import Listener, Snapshot, WorkerState
from fuzzer.planning import Plan, task_of
from fuzzer.recording import judged_batch
from fuzzer.routes import select
from fuzzer.spare import Spare
from fuzzer.stopping import Stop, stopping_on_signals
from fuzzer.supervisor import Limits, Stopped, SubjectUnusable, Worker, WorkerDefect
from fuzzer.survival import WorkerUnusable, judge_numbers
from fuzzer.tally import Tally
from fuzzer.tasks import BatchResult, TargetsResult, TargetsTask
from fuzzer.toolchains import interpreter
from fuzzer.zygotes import Zygotes
from generators.patterns import WIDEST, generalised
from generators.serial import loads

#: What defects of our own code raise. One of them costs its batch or finding, which stays as it is in the store; the
#: campaign goes on, unless there are many.
_OURS = (
    WorkerDefect,
    WorkerUnusable,
    SubjectUnusable,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    TemplateError,
)
_MOST_DEFECTS = 25
#: Share of the slots' time that handling findings may take while batches could run.
_HANDLING_SHARE = 0.7
#: Seconds past the end of a campaign that handling a finding may still use.
_GRACE = 20.0
_TICK = 0.25
_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())


@dataclass
class _Slot:
    """A thread's workers by frontend, and what it is doing."""

    name: str
    workers: dict[str, Worker] = field(default_factory=dict)
    doing: str = "starting"
    component: str = ""
    since: float = field(default_factory=time.monotonic)

    def does(self, doing: str, component: str = "") -> None:
        self.doing, self.component, self.since = doing, component, time.monotonic()


def run(
    store: Store, campaign_id: str, config: CampaignConfig, listener: Listener, stop: Stop | None = None
) -> Summary:
    """Run the campaign, or go on with it, until its time is up, its graphs are judged, or it is asked to stop.

    Returns the summary of all its runs. Raises CorpusError when the store fails (what was recorded stays),
    UsageError when no selected route is available, WorkerUnusable when workers cannot even start.
    """
    stop = stop or Stop()
    with store.claim(campaign_id), interpreter(config.toolchain) as python, stopping_on_signals(stop, listener.log):
        return _Run(store, store.load_campaign(campaign_id), config, listener, stop, python).run()


def replay(
    store: Store, campaign_id: str, batch_index: int, listener: Listener, config: CampaignConfig | None = None
) -> BatchResult:
    """Generate and judge a batch again exactly as it was issued; nothing is recorded. CorpusError for an unknown
    batch."""
    campaign = store.load_campaign(campaign_id)
    config = config or CampaignConfig.from_builtins(campaign.config)
    issued = store.batch(campaign.id, batch_index).issued
    with interpreter(config.toolchain) as python:
        worker = Worker(Limits(config.deadline_seconds, config.memory_limit_mb), python)
        listener.log(
            f"replaying batch {batch_index}: {issued.cases} cases of {issued.frontend} through {issued.converter}"
        )
        try:
            return judge_numbers(
                worker,
                range(issued.cases),
                lambda numbers: task_of(campaign.seed, issued, numbers),
                converters()[issued.converter],
            )
        finally:
            worker.close()


class _Run:
    def __init__(
        self, store: Store, campaign: Campaign, config: CampaignConfig, listener: Listener, stop: Stop, python: str
    ) -> None:
        self.store = store
        self.campaign = campaign
        self.config = config
        self.listener = listener
        self.stop = stop
        self.routes = select(config.routes, own_models=bool(config.model))
        self.plan = Plan(
            campaign.seed,
            self.routes,
            config.nodes,
            config.pack,
            config.operators,
            quarantine=config.quarantine,
            guidance=config.guidance,
            harvest=config.harvest,
        )
        self.lock = threading.Lock()
        self.events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.failure: BaseException | None = None
        self.started = time.monotonic()
        self.counted = self.started
        self.spare = Spare()
        self.slots = [_Slot(f"worker {number + 1}") for number in range(config.workers)]
        together = {frontend: Drawn() for _, frontend, _ in self.plan.subjects}
        self.learnt = {
            converter.name: Learnt(sliceable=converter.sliceable, frontend=frontend, together=together[frontend])
            for converter, frontend, _ in self.plan.subjects
        }
        for entry in [*shipped(), *store.quarantine()] if config.quarantine else ():
            if applies(entry, self.plan.versions.get(entry.converter, {})):
                self.learnt[entry.converter].quarantine.guilty[entry.target] = entry.reason
        self.waiting: list[Batch] = store.unjudged(campaign.id)
        self.next_index = store.next_index(campaign.id)
        self.agenda = Agenda(
            store.list_findings(campaign=campaign.id, states=PENDING),
            store.unblamed(campaign.id) if config.blame_seconds else (),
            config.per_signature,
        )
        self.defects = 0
        self._under_way: dict[int, int] = {}
        self.tally = Tally.of(store.batches(campaign.id, BatchState.JUDGED))
        self.end = None if config.minutes is None else self.started + config.minutes * 60 - campaign.elapsed
        self.python = python
        self.zygotes = Zygotes(python, {route.frontend for route in self.routes})
        self.handler = Handler(store, config, stop.soon, self._until, self.zygotes.for_reproducer, python)

    # -- the main thread -----------------------------------------------------------------------------------------

    def run(self) -> Summary:
        listener, store = self.listener, self.store
        store.resume_campaign(self.campaign.id)
        listener.started(self.campaign, self.config, [str(route) for route in self.routes])
        threads = [threading.Thread(target=self._work, args=(slot,), name=slot.name) for slot in self.slots]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                self._drain(_TICK)
                self._save_elapsed()
                listener.progress(self._snapshot())
        finally:
            if any(thread.is_alive() for thread in threads):
                # Our own loop failed: the slots must not outlive it.
                self.stop.request()
                self.stop.request()
            for thread in threads:
                thread.join()
            of_workers, of_reproducers = self.zygotes.close()
            self.tally.worker_seconds += of_workers
            self.tally.parts.update({IMPORTS: of_reproducers})
        self._drain(0)
        listener.progress(self._snapshot())
        if self.failure is not None:
            store.end_campaign(self.campaign.id, CampaignStatus.INTERRUPTED, time.monotonic() - self.counted)
            raise self.failure
        status = CampaignStatus.INTERRUPTED if self.stop.soon() else CampaignStatus.FINISHED
        store.end_campaign(self.campaign.id, status, time.monotonic() - self.counted)
        summary = store.summary(self.campaign.id)
        listener.finished(summary)
        return summary

    def _drain(self, seconds: float) -> None:
        """Tell the listener what the slots have to tell, waiting for the first event up to ``seconds``."""
        try:
            event = self.events.get(timeout=seconds) if seconds else self.events.get_nowait()
            while True:
                event()
                event = self.events.get_nowait()
        except queue.Empty:
            return

    def _save_elapsed(self) -> None:
        now = time.monotonic()
        if now - self.counted > 5:
            self.store.add_elapsed(self.campaign.id, now - self.counted)
            self.counted = now

    def _snapshot(self) -> Snapshot:
        now = time.monotonic()
        with self.lock:
            phases = [
                slot.doing for slot in self.slots if slot.doing.startswith(("minimizing", "verifying", "blaming"))
            ]
            return Snapshot(
                elapsed=self.campaign.elapsed + now - self.started,
                remaining=None if self.end is None else max(0.0, self.end - now),
                graphs=self.tally.graphs,
                graph_limit=self.config.graphs,
                batches=self.tally.batches,
                conversions=self.tally.conversions,
                by_route=dict(self.tally.by_route),
                verdicts=dict(self.tally.verdicts),
                phase="; ".join(phases),
                pending=len(self.agenda.pending),
                parts=dict(self.tally.cpu_seconds()),
                workers=tuple(
                    WorkerState(slot.name, slot.doing, slot.component, now - slot.since) for slot in self.slots
                ),
            )

    # -- the slots -----------------------------------------------------------------------------------------------

    def _work(self, slot: _Slot) -> None:
        """Do jobs until there are none left, or one fails in our own code."""
        try:
            while True:
                job = self._next_job()
                if job is None:
                    return
                started = time.monotonic()
                kind = "findings" if isinstance(job, Finding) else "batches"
                try:
                    if isinstance(job, Finding):
                        self._handle(slot, job)
                    else:
                        self._judge(slot, job)
                except Stopped:
                    return
                except _OURS as error:
                    self._defect(job, error)
                finally:
                    with self.lock:
                        self.tally.spent[kind] += int(1000 * (time.monotonic() - started))
                        if isinstance(job, Finding):
                            self.agenda.put_back(job)
        except BaseException as error:  # noqa: BLE001  (handed to the main thread, which raises it)
            with self.lock:
                self.failure = self.failure or error
            self.stop.request()
        finally:
            slot.does("stopped")
            for worker in slot.workers.values():
                worker.close()
                self._ended(worker)
            self.spare.add()

    def _defect(self, job: Finding | Batch, error: Exception) -> None:
        """Tell of a defect of ours and leave its job alone for the rest of this run. Raises it when there are many."""
        what = f"finding {job.id}" if isinstance(job, Finding) else f"batch {job.issued.index}"
        last = str(error).strip().splitlines()[-1] if str(error).strip() else ""
        if isinstance(error, SubjectUnusable):
            last = error.message
        with self.lock:
            self.defects += 1
            if isinstance(job, Finding):
                self.agenda.drop(job.id)
            else:
                self._under_way.pop(job.issued.index, None)
            if self.defects > _MOST_DEFECTS or (
                isinstance(error, (WorkerUnusable, SubjectUnusable)) and not self.tally.batches
            ):
                raise error
        line = f"internal error at {what}, which is left for `convfuzz resume`: {type(error).__name__}: {last}"
        self.events.put(lambda: self.listener.log(line))
        _LOG.warning("internal error at %s", what, exc_info=error)

    def _next_job(self) -> Finding | Batch | None:
        with self.lock:
            if self.stop.soon():
                return None
            now = time.monotonic()
            over = (self.end is not None and now >= self.end) or (
                self.config.graphs is not None and self._promised() >= self.config.graphs
            )
            finding = self.agenda.next()
            crowded = self.tally.share("findings") > _HANDLING_SHARE
            if finding is not None and (over or not crowded):
                if self.end is None or now < self.end:
                    self.agenda.take(finding)
                    return finding
                return None
            if not over:
                return self._next_batch()
            return None

    def _promised(self) -> int:
        """Cases judged and under way."""
        return self.tally.graphs + sum(self._under_way.values())

    def _next_batch(self) -> Batch:
        if self.waiting:
            batch = self.waiting.pop(0)
        else:
            index = self.next_index
            self.next_index += 1
            converter = self.plan.subjects[index % len(self.plan.subjects)][0].name
            issued = self.plan.batch(index, self.learnt[converter])
            if self.config.graphs is not None:
                cases = min(issued.cases, self.config.graphs - self._promised())
                issued = msgspec.structs.replace(issued, cases=cases, pack=min(issued.pack, cases))
            self.store.issue(self.campaign.id, [issued])
            batch = Batch(self.campaign.id, issued, BatchState.ISSUED)
        self._under_way[batch.issued.index] = batch.issued.cases
        return batch

    def _until(self) -> float:
        """The monotonic time at which handling a finding has to end."""
        return float("inf") if self.end is None else self.end + _GRACE

    def _worker(self, slot: _Slot, frontend: str) -> Worker:
        if frontend not in slot.workers:
            slot.workers[frontend] = self._new_worker(frontend)
        return slot.workers[frontend]

    def _new_worker(self, frontend: str) -> Worker:
        return Worker(
            Limits(self.config.deadline_seconds, self.config.memory_limit_mb),
            python=self.python,
            stopped=lambda: self.stop.now() or time.monotonic() > self._until(),
            zygote=lambda: self.zygotes.for_worker(frontend),
        )

    def _ended(self, worker: Worker) -> None:
        with self.lock:
            self.tally.worker_seconds += worker.cpu_seconds

    # -- batches -------------------------------------------------------------------------------------------------

    def _judge(self, slot: _Slot, batch: Batch) -> None:
        issued = batch.issued
        slot.does(f"batch {issued.index}", issued.converter)
        started = time.monotonic()
        worker = self._worker(slot, issued.frontend)
        result = judge_numbers(
            worker,
            range(issued.cases),
            lambda numbers: task_of(self.campaign.seed, issued, numbers),
            converters()[issued.converter],
        )
        if not self.learnt[issued.converter].targets:
            named = worker.call(TargetsTask(issued.frontend, issued.harvest))
            assert isinstance(named, TargetsResult)
            self.learnt[issued.converter].targets = named.targets
            self.learnt[issued.converter].control = named.control
        seconds = time.monotonic() - started
        record = judged_batch(self.campaign.id, issued, result, seconds)
        with self.lock:
            self._under_way.pop(issued.index, None)
            self.tally.parts.update(result.parts)
            if not self.store.record_batch(record):
                return
            self._learn(issued.converter, result)
            done = self.store.batch(self.campaign.id, issued.index)
            self.tally.add(done)
            found = self.store.list_findings(campaign=self.campaign.id, batch=issued.index) if record.findings else []
            self.agenda.add(found)
        self.events.put(lambda: self.listener.batch_done(done))
        for finding in found:
            self.events.put(lambda finding=finding: self.listener.finding_new(finding))  # type: ignore[misc]

    def _learn(self, converter: str, result: BatchResult) -> None:
        """Learn from a batch, and keep what quarantine found out."""
        for pattern, reason in self.learnt[converter].learn(result).items():
            self._quarantine(converter, pattern, reason)

    def _quarantine(self, converter: str, pattern: str, reason: str) -> None:
        self.learnt[converter].quarantine.guilty[pattern] = reason
        self.store.set_quarantine(QuarantineEntry(converter, pattern, reason, versions=self.plan.versions[converter]))

    def _avoid_finding(self, finding: Finding) -> None:
        """Make what shows a minimized defect rare: the same defect over and over is worth nothing. Met again in spite
        of its pattern, it gets a wider one."""
        bucket = self.store.bucket(finding.bucket) if finding.bucket else None
        if bucket is None or not finding.minimized_object or not self.config.quarantine:
            return
        case = loads(self.store.objects.get(finding.minimized_object))
        pattern = generalised(case.graph, min(bucket.count - 1, WIDEST))
        with self.lock:
            if pattern and pattern not in self.learnt[finding.converter].quarantine.guilty:
                self._quarantine(finding.converter, pattern, f"defect {bucket.representative.id[:12]}")

    # -- findings ------------------------------------------------------------------------------------------------

    def _handle(self, slot: _Slot, finding: Finding) -> None:
        batch = self.store.batch(self.campaign.id, finding.batch)
        worker = self._worker(slot, finding.frontend)

        def say(text: str) -> None:
            slot.does(text, finding.signature.component)

        with self.spare.borrowing(lambda: self._new_worker(finding.frontend), self._ended) as helpers:
            handled = self.handler.handle(finding, batch, worker, say, helpers)
        done = handled.finding.state in (FindingState.VERIFIED, FindingState.DUPLICATE)
        if done and finding.state in PENDING:
            self._avoid_finding(handled.finding)
        with self.lock:
            self.tally.parts.update(handled.parts)
            self.agenda.handled(handled.finding)
            others = [self.store.find(identifier) for identifier in handled.others]
            self.agenda.add(others)
        for other in others:
            self.events.put(lambda other=other: self.listener.finding_new(other))  # type: ignore[misc]
        self.events.put(lambda: self.listener.finding_updated(handled.finding))
