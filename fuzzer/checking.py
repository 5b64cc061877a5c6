"""One model along every route: judged, recorded as a campaign of its own, and what fails minimized like any finding."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from corpus.records import BatchState, Campaign, Finding, IssuedBatch, Outcome
from corpus.store import Store
from fuzzer.config import CampaignConfig
from fuzzer.converters.base import Converter, converters
from fuzzer.coverage import outcomes_of
from fuzzer.errors import UsageError
from fuzzer.formats import Setting
from fuzzer.importing import Imported
from fuzzer.planning import default_settings, subject_of
from fuzzer.recording import judged_batch
from fuzzer.routes import Route, problem, routes
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Limits, Worker
from fuzzer.survival import RemoteTester, judge_numbers, merge
from fuzzer.tasks import BatchResult, CaseResult, JudgeTask, Seen, Subject
from generators.graph import Case, node_count
from generators.serial import dumps
from generators.transforms import isolate
from oracles.minimize.question import PACK_BYTES, PACK_CASES
from oracles.outcome import Verdict


@dataclass(frozen=True)
class Row:
    """What became of the model on one route: ``variant`` is a runtime and one of its variants, empty where no runtime
    was reached; ``outcome`` in the words of the funnel, ``message`` what the subject said or what differs."""

    converter: str
    variant: str
    outcome: str
    message: str = ""
    finding: str = ""


def routes_of(frontend: str, patterns: Sequence[str]) -> list[Route]:
    """The available routes of a frontend that the patterns name (all without patterns, those too that campaigns use
    only when asked). UsageError when none is left."""
    from fuzzer.routes import select

    usable = [route for route in routes() if route.frontend == frontend]
    chosen = (
        [route for route in select(patterns, own_models=True) if route.frontend == frontend] if patterns else usable
    )
    if chosen:
        return [route for route in chosen if patterns or not route.converter.startswith("identity")]
    if patterns and usable:
        names = ", ".join(dict.fromkeys(route.converter for route in usable))
        raise UsageError(f"no route of {' or '.join(patterns)} takes a model of {frontend}", f"those that do: {names}")
    absent = [route for route in routes(available=False) if route.frontend == frontend]
    reason, remedy = (problem(absent[0].converter, absent[0].runtime) or ("", "")) if absent else ("", "")
    raise UsageError(f"no route takes a model of {frontend}{f': {reason}' if reason else ''}", remedy)


def record(
    store: Store,
    campaign: Campaign,
    config: CampaignConfig,
    imported: Imported,
    chosen: Sequence[Route],
    settings: Mapping[str, Setting] | None = None,
) -> list[Row]:
    """Judge the model along the routes and record what is found. One row for each route and variant. ``settings`` are
    those of the converters, in place of their defaults."""
    blob = dumps(imported.case)
    nodes = node_count(imported.case.graph)
    worker = Worker(Limits(config.deadline_seconds, config.memory_limit_mb, recycle_growth=config.memory_limit_mb // 2))
    rows: list[Row] = []
    try:
        for index, name in enumerate(dict.fromkeys(route.converter for route in chosen)):
            converter = converters()[name]
            used = [route.runtime for route in chosen if route.converter == name]
            variants = tuple((runtime, variant) for runtime in used for variant in runtimes()[runtime].variants)
            frontend = imported.case.graph.frontend
            asked = {**default_settings(converter), **(settings or {})}
            issued = IssuedBatch(index, frontend, name, asked, 1, nodes, variants)
            started = time.monotonic()
            subject = subject_of(issued)
            result = judge_numbers(worker, (0,), lambda numbers: JudgeTask(subject, ((0, blob),)), converter)  # noqa: B023
            result = merge([_with_case(result, blob)])
            alone = BatchResult(())
            settled = any(one.refused or _bugs(one) for one in result.results)
            if converter.blurs(imported.case.graph) and not settled:
                alone = _alone(worker, subject, converter, imported.case)
            store.issue(campaign.id, [issued])
            whole = merge([result, alone])
            store.record_batch(judged_batch(campaign.id, issued, whole, time.monotonic() - started))
            found = store.list_findings(campaign=campaign.id, batch=index)
            rows += _rows(name, variants, result, found)
            rows += _rows_alone(name, imported.case, alone, found)
    finally:
        worker.close()
    assert not store.batches(campaign.id, BatchState.ISSUED)
    return rows


def _alone(worker: Worker, subject: Subject, converter: Converter, case: Case) -> BatchResult:
    """Judgements of each operator by itself with the values that it has in the model, numbered from 1: what a bound
    that widens from operator to operator lets pass at the end is beyond it where it happens."""
    parts = isolate(case, RemoteTester(worker, subject, converter).values(case))
    gathered: list[BatchResult] = []
    # What computes with constants alone is done before a model runs, and no model in itself.
    waiting = [(number, part) for number, part in enumerate(parts, 1) if part.graph.inputs]
    while waiting:
        blobs: dict[int, bytes] = {}
        while waiting and (not blobs or (len(blobs) < PACK_CASES and sum(map(len, blobs.values())) < PACK_BYTES)):
            number, part = waiting.pop(0)
            blobs[number] = dumps(part)
        result = judge_numbers(
            worker,
            tuple(blobs),
            lambda numbers: JudgeTask(subject, tuple((number, blobs[number]) for number in numbers)),  # noqa: B023
            converter,
        )
        cases = (one for one in result.results if one.number > 0)
        kept = (msgspec.structs.replace(one, case=one.case or blobs[one.number]) for one in cases)
        gathered.append(msgspec.structs.replace(result, results=tuple(kept)))
    return merge(gathered)


def _bugs(case: CaseResult) -> list[Seen]:
    return [seen for seen in case.seen if seen.verdict == Verdict.BUG.value]


def _rows_alone(converter: str, case: Case, result: BatchResult, found: Sequence[Finding]) -> list[Row]:
    """A row for each operator that fails by itself, and component that it fails in."""
    rows = []
    nodes = case.graph.nodes
    for one in result.results:
        own = [finding for finding in found if finding.case == one.number]
        for seen in _bugs(one):
            of = next((finding.id for finding in own if _same(finding, seen)), "")
            kind = nodes[one.number - 1].target.rpartition(".")[2]
            message = f"{kind}, operator {one.number} of {len(nodes)}, by itself: {seen.message}"
            for variant, outcome in outcomes_of([seen.observation()], ()).items():
                rows.append(Row(converter, variant, outcome.value, message, of))
    return rows


def _with_case(result: BatchResult, blob: bytes) -> BatchResult:
    """The result, its case the one that was asked about where the worker ended before it could send it."""
    cases = tuple(msgspec.structs.replace(case, case=case.case or blob) for case in result.results)
    return msgspec.structs.replace(result, results=cases)


def _rows(
    converter: str, variants: Sequence[tuple[str, str]], result: BatchResult, found: Sequence[Finding]
) -> list[Row]:
    """Told by the funnel, which has an outcome for each variant that saw the model."""
    [case] = [case for case in result.results if case.number == 0]
    if case.refused:
        return [Row(converter, "", Outcome.REFUSED.value, case.refused)]
    rows = []
    for variant, counts in result.funnel.items():
        for outcome in counts:
            if outcome == Outcome.STARTED.value:
                continue
            words = [seen for seen in case.seen if not variant or _concerns(seen.component, seen.settings, variant)]
            words = words or list(case.seen) if outcome != Outcome.SUCCESS.value else []
            findings = [one for one in found if any(_same(one, seen) for seen in words)]
            rows.append(
                Row(
                    converter,
                    variant,
                    outcome,
                    words[0].message if words else "",
                    findings[0].id if findings else "",
                )
            )
    order = {f"{runtime} {variant}": place for place, (runtime, variant) in enumerate(variants)}
    return sorted(rows, key=lambda row: order.get(row.variant, -1))


def _concerns(component: str, settings: str, variant: str) -> bool:
    """Whether an observation is about a runtime variant."""
    named = {part if " " in part else f"{component} {part}" for part in settings.split(", ") if part}
    return variant in named


def _same(finding: Finding, seen: object) -> bool:
    signature = finding.signature
    return (signature.stage, signature.component, signature.kind, signature.detail) == (
        getattr(seen, "stage", ""),
        getattr(seen, "component", ""),
        getattr(seen, "kind", ""),
        getattr(seen, "detail", ""),
    )
