"""One model along every route: judged, recorded as a campaign of its own, and what fails minimized like any finding."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from corpus.records import BatchState, Campaign, Finding, IssuedBatch, Outcome
from corpus.store import Store
from fuzzer.config import CampaignConfig
from fuzzer.converters.base import converters
from fuzzer.errors import UsageError
from fuzzer.importing import Imported
from fuzzer.planning import default_settings, subject_of
from fuzzer.recording import judged_batch
from fuzzer.routes import Route, problem, routes
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Limits, Worker
from fuzzer.survival import judge_numbers, merge
from fuzzer.tasks import BatchResult, JudgeTask
from generators.graph import node_count
from generators.serial import dumps


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
    chosen = [route for route in select(patterns) if route.frontend == frontend] if patterns else usable
    if chosen:
        return [route for route in chosen if patterns or not route.converter.startswith("identity")]
    if patterns and usable:
        names = ", ".join(dict.fromkeys(route.converter for route in usable))
        raise UsageError(f"no route of {' or '.join(patterns)} takes a model of {frontend}", f"those that do: {names}")
    absent = [route for route in routes(available=False) if route.frontend == frontend]
    reason, remedy = (problem(absent[0].converter, absent[0].runtime) or ("", "")) if absent else ("", "")
    raise UsageError(f"no route takes a model of {frontend}{f': {reason}' if reason else ''}", remedy)


def record(
    store: Store, campaign: Campaign, config: CampaignConfig, imported: Imported, chosen: Sequence[Route]
) -> list[Row]:
    """Judge the model along the routes and record what is found. One row for each route and variant."""
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
            issued = IssuedBatch(index, frontend, name, default_settings(converter), 1, nodes, variants)
            started = time.monotonic()
            subject = subject_of(issued)
            result = judge_numbers(worker, (0,), lambda numbers: JudgeTask(subject, ((0, blob),)), converter)  # noqa: B023
            result = merge([_with_case(result, blob)])
            store.issue(campaign.id, [issued])
            store.record_batch(judged_batch(campaign.id, issued, result, time.monotonic() - started))
            found = store.list_findings(campaign=campaign.id, batch=index)
            rows += _rows(name, variants, result, found)
    finally:
        worker.close()
    assert not store.batches(campaign.id, BatchState.ISSUED)
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
