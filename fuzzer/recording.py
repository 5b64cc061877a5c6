"""From what a worker sent back to what the store records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from corpus.records import IssuedBatch, JudgedBatch, NewFinding, UnsupportedCount
from fuzzer.tasks import BatchResult, CaseResult, Seen
from oracles.outcome import MISMATCH, PERFORMANCE, Kind, Verdict, symptom_of

#: Kinds of what a subject took.
TAKEN = MISMATCH | PERFORMANCE


def judged_batch(campaign: str, issued: IssuedBatch, result: BatchResult, seconds: float) -> JudgedBatch:
    """The record of a batch: its findings, verdict counts, funnel, unsupported counts and coverage.

    A case counts as the gravest thing that was seen of it: bug, then inconclusive, unsupported, pass; refused when the
    framework did not take it.
    """
    verdicts: Counter[str] = Counter()
    unsupported: Counter[tuple[str, str]] = Counter()
    messages: dict[tuple[str, str], str] = {}
    found: list[NewFinding] = []
    cases = 0
    for case in result.results:
        if case.number >= 0:
            cases += 1
            verdicts[verdict_of(case)] += 1
        for seen in _distinct(case):
            kind = Kind(seen.kind)
            if kind is Kind.UNSUPPORTED:
                key = (seen.component, seen.detail)
                unsupported[key] += 1
                messages.setdefault(key, seen.message)
            elif seen.verdict == Verdict.BUG.value:
                found.append(_finding(case, seen))
    return JudgedBatch(
        campaign,
        issued.index,
        cases,
        seconds,
        result.conversions,
        dict(verdicts),
        result.funnel,
        tuple(
            UnsupportedCount(component, what, messages[component, what], count)
            for (component, what), count in unsupported.items()
        ),
        tuple(found),
        result.coverage,
    )


def verdict_of(case: CaseResult) -> str:
    """The gravest thing that was seen of a case, in a word."""
    if case.refused:
        return "refused"
    verdicts = {seen.verdict for seen in case.seen if seen.kind != Kind.UNSUPPORTED.value}
    if Verdict.BUG.value in verdicts:
        return Verdict.BUG.value
    if Verdict.INCONCLUSIVE.value in verdicts:
        return Verdict.INCONCLUSIVE.value
    return Kind.UNSUPPORTED.value if case.seen else Verdict.PASS.value


def refusals(result: BatchResult) -> Iterator[tuple[CaseResult, str]]:
    """Each case that was used, and why a subject refused it (empty when none did).

    A mismatch, or a high price, is no refusal: the subject took the case, and the case stood in nobody's way.
    """
    for case in result.results:
        if case.refused or case.number < 0 or not case.keys:
            continue
        reasons = [f"{seen.component}: {seen.detail}" for seen in case.seen if Kind(seen.kind) not in TAKEN]
        yield case, reasons[0] if reasons else ""


def _distinct(case: CaseResult) -> Iterator[Seen]:
    """Observations of a case, those that several variants of a runtime share once."""
    met: set[tuple[str, str, str, str]] = set()
    for seen in case.seen:
        key = (seen.stage, seen.component, seen.kind, seen.detail)
        if key not in met:
            met.add(key)
            yield seen


def _finding(case: CaseResult, seen: Seen) -> NewFinding:
    observation = seen.observation()
    return NewFinding(
        case.number,
        observation.signature,
        symptom_of(observation.signature.kind),
        seen.message,
        case.case,
        tuple(part for part in seen.settings.split(", ") if part),
        seen.numbers,
        case.nodes,
    )
