"""Findings, buckets and summaries as text for people. Nothing here is colour only: it must survive a pipe."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from corpus.records import (
    Bucket,
    Campaign,
    Finding,
    FindingState,
    FunnelRow,
    Outcome,
    PassRecord,
    Summary,
    UnsupportedCount,
)
from corpus.versions import VersionResult
from fuzzer.toolchains import Toolchain
from oracles.blame import Blame
from oracles.blame import summary as summary_of
from oracles.taxonomy import Classification

#: Digits of an id that are shown; any prefix that is unique finds the finding.
SHORT = 6
#: Unsupported things listed per component before the rest is only counted.
_UNSUPPORTED_LISTED = 3


def clean(text: str) -> str:
    """The text with control characters written as escapes: messages of subjects must not drive the terminal."""
    return "".join(
        letter
        if letter in "\n\t" or unicodedata.category(letter)[0] != "C"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def one_line(text: str, width: int) -> str:
    """The text on one line of at most ``width`` characters."""
    text = " ".join(clean(text).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def duration(seconds: float) -> str:
    """Such as ``1:02:03`` or ``2:05``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def identity(finding: Finding) -> str:
    """Symptom, stage and component: ``wrong model · node conversion · torch.onnx-dynamo``."""
    return f"{finding.symptom} · {finding.signature.stage} · {finding.signature.component}"


def headline(finding: Finding) -> str:
    """The title of a minimized finding, else the first words of its message."""
    return clean(finding.title) or one_line(finding.message, 160)


def relative(path: Path) -> str:
    """The path as one would type it from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def bucket_table(
    buckets: Sequence[Bucket],
    directory: Path,
    classes: Mapping[str, Classification] | None = None,
    known: Callable[[Finding], str] | None = None,
) -> Table:
    """One row per bucket: identity, title, its class, what is known of it, and the path of its reproducer. ``known``
    gives the link to a known issue that a finding is, or nothing."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    paths = {
        bucket.key: relative(directory / "findings" / bucket.representative.id / "reproducer.py")
        for bucket in buckets
        if bucket.representative.reproducer_object
    }
    table.add_column("id", no_wrap=True)
    # Paths are there to be copied: they are not broken, as long as the terminal is wide enough at all.
    table.add_column("finding", overflow="fold", min_width=max(map(len, paths.values()), default=0))
    for bucket in buckets:
        shown = bucket.representative
        words = Text(identity(shown), style="bold")
        words.append(f"\n{one_line(headline(shown), 200)}", style="not bold")
        if classes and shown.id in classes:
            words.append(f"\n{class_line(classes[shown.id])}", style="not bold dim")
        words.append(f"\n{' · '.join(facts(shown, bucket.count))}", style="not bold dim")
        if known is not None and (link := known(shown)):
            words.append(f"\nknown: {clean(link)}", style="not bold yellow")
        if bucket.key in paths:
            words.append(f"\n{paths[bucket.key]}", style="not bold cyan")
        if shown.blame is not None:
            words.append(f"\nto blame: {clean(summary_of(shown.blame))}", style="not bold")
        table.add_row(shown.id[:SHORT], words)
    return table


def facts(finding: Finding, count: int | None = None) -> list[str]:
    """What is known of a finding, in words; ``count`` is how many findings its bucket holds."""
    words = [] if finding.state is FindingState.VERIFIED else [str(finding.state)]
    if finding.nodes:
        words.append(f"{finding.nodes} node{'' if finding.nodes == 1 else 's'}")
    if finding.runs:
        words.append(f"{finding.failures}/{finding.runs} runs")
    if count is not None:
        words.append("seen once" if count == 1 else f"seen {count} times")
    if finding.needs_special:
        words.append("needs special values")
    return words


def class_line(found: Classification) -> str:
    """Stage, symptom and cause: ``stage load · symptom wrong model · cause shape problem``."""
    return f"stage {found.stage} · symptom {found.symptom} · cause {found.cause}"


def _class_lines(found: Classification) -> Iterator[str]:
    """The same, one a line, each with the rule that decided."""
    yield f"stage    {found.stage}  ({found.stage_rule})"
    yield f"symptom  {found.symptom}  ({found.symptom_rule})"
    yield f"cause    {found.cause}  ({found.cause_rule})"


def funnel_table(rows: Sequence[FunnelRow]) -> Table:
    """Cases by converter and runtime variant: how many ended at each step of the funnel, in the order of the steps."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("converter\n  runtime variant", no_wrap=True)
    table.add_column("cases")
    for row in rows:
        name = f"  {row.variant}" if row.variant else f"{row.converter} ({row.frontend})"
        counts = (f"{row.counts[step]} {step}" for step in Outcome if row.counts.get(step))
        table.add_row(name, ", ".join(counts))
    return table


def unsupported_lines(items: Sequence[UnsupportedCount]) -> Iterator[Text]:
    """What each component said that it does not support, the most frequent first."""
    by_component: dict[str, list[UnsupportedCount]] = {}
    for item in items:
        by_component.setdefault(item.component, []).append(item)
    for component, entries in by_component.items():
        entries.sort(key=lambda item: -item.count)
        more = len(entries) - _UNSUPPORTED_LISTED
        rest = f", and {more} more" if more > 0 else ""
        lines = [f"  {component}: {sum(item.count for item in entries)} cases; most often{rest}:"]
        lines += [f"    {item.count:>4}  {one_line(item.what, 400)}" for item in entries[:_UNSUPPORTED_LISTED]]
        yield from (Text(line, no_wrap=True, overflow="ellipsis") for line in lines)


def summary(result: Summary, directory: Path) -> RenderableType:
    """What a campaign came to: its verified buckets, the funnel, and apart from them what is not supported."""
    campaign = result.campaign
    verdicts = ", ".join(f"{count} {name}" for name, count in sorted(result.verdicts.items())) or "none"
    parts: list[RenderableType] = []
    if result.verified:
        parts.append(bucket_table(result.verified, directory))
    if result.funnel:
        parts.append(funnel_table(result.funnel))
    if result.unsupported:
        parts.append(Text("not supported, which is no bug:"))
        parts.extend(unsupported_lines(result.unsupported))
        parts.append(Text())
    parts.append(
        Text(
            f"campaign {campaign.id}, seed {campaign.seed}, {campaign.status}: {result.cases} graphs in "
            f"{result.judged} batches and {result.conversions} conversions, {duration(campaign.elapsed)}; "
            f"verdicts: {verdicts}"
        )
    )
    count = len(result.verified)
    defects = f"{count} defect{'' if count == 1 else 's'} with a verified reproducer" if count else "nothing found"
    parts.append(Text(f"{defects}{_remainder(result)}"))
    if count:
        parts.append(Text(f"next: convfuzz show {result.verified[0].representative.id[:SHORT]}"))
    return Group(*parts)


def _remainder(result: Summary) -> str:
    """What else there is, in words."""
    words = []
    waiting = sum(
        result.states.get(state, 0) for state in (FindingState.RAW, FindingState.MINIMIZING, FindingState.MINIMIZED)
    )
    if waiting:
        words.append(f"{waiting} raw finding{'' if waiting == 1 else 's'} left to minimize (`convfuzz resume`)")
    for state in (FindingState.FLAKY, FindingState.UNREPRODUCIBLE):
        if result.states.get(state):
            words.append(f"{result.states[state]} {state}")
    return "; " + ", ".join(words) if words else ""


def finding_details(
    finding: Finding,
    reproducer: Path | None,
    lines: int,
    found: Classification | None = None,
    passes: Sequence[PassRecord] = (),
) -> RenderableType:
    """Everything about one finding. ``lines`` is the length of its reproducer, ``found`` its class, ``passes`` what
    minimization did."""
    margin = " " * (SHORT + 2)
    variants = f" ({', '.join(finding.settings)})" if finding.settings else ""
    head = Text(f"{finding.id[:SHORT]}  ", style="bold")
    head.append(identity(finding) + variants)
    words = [headline(finding), *facts(finding)]
    if lines:
        words.append(f"script of {lines} lines")
    parts: list[RenderableType] = [head, Text(margin + " · ".join(words))]
    if reproducer is not None:
        parts.append(Text(f"{margin}reproducer  {relative(reproducer)}", style="cyan"))
    if finding.blame is not None:
        parts.append(Text(f"{margin}to blame    {clean(summary_of(finding.blame))}"))
    settings = ", ".join(f"{name}={value!r}" for name, value in finding.converter_settings.items())
    origin = f"{margin}campaign {finding.campaign}, batch {finding.batch}, case {finding.case}"
    parts.append(Text(f"{origin}; {finding.converter}({settings})"))
    if finding.bucket and finding.state is FindingState.DUPLICATE:
        parts.append(Text(f"{margin}one of the findings in bucket {finding.bucket}"))
    if found is not None:
        parts.append(Text("\n".join(margin + line for line in _class_lines(found))))
    if finding.message:
        parts.append(Text())
        parts.append(Text("\n".join(margin + line for line in clean(finding.message).splitlines()[:25])))
    if finding.blame is not None and finding.blame.evidence:
        parts += [Text(), Padding(evidence_table(finding.blame), (0, 0, 0, len(margin)))]
    if finding.source:
        parts.append(Text())
        parts.append(Text("\n".join(margin + line for line in clean(finding.source).rstrip().splitlines())))
    if passes:
        parts += [Text(), Padding(passes_table(passes), (0, 0, 0, len(margin)))]
    return Group(*parts)


def passes_table(passes: Sequence[PassRecord]) -> Table:
    """One row per pass of the minimizer: candidates judged, those that failed in the same way, those whose answer was
    known already, conversions, and seconds; then their sums."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    counted = (
        ("candidates", [one.tries for one in passes]),
        ("still fail", [one.successes for one in passes]),
        ("known", [one.remembered for one in passes]),
        ("conversions", [one.conversions for one in passes]),
    )
    seconds = [one.seconds for one in passes]
    table.add_column("pass of minimization", footer="all", no_wrap=True)
    for name, numbers in counted:
        table.add_column(name, footer=str(sum(numbers)), justify="right")
    table.add_column("seconds", footer=f"{sum(seconds):.1f}", justify="right")
    for row, one in enumerate(passes):
        # What passes share is counted under their common name.
        shared = not (one.conversions or one.seconds)
        counts = [str(numbers[row]) for _, numbers in counted[:3]]
        rest = ("", "") if shared else (str(one.conversions), f"{one.seconds:.1f}")
        table.add_row(f"  {one.name}" if shared else one.name, *counts, *rest)
    return table


def evidence_table(blame: Blame) -> Table:
    """One row per experiment: what was asked, the experiment, its outcome and what was seen."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("asked", "experiment", "outcome", "seen"):
        table.add_column(name, overflow="fold")
    for item in blame.evidence:
        experiment = clean(f"{item.component} {item.detail}".strip())
        table.add_row(str(item.role), Text(experiment), str(item.outcome), Text(one_line(item.words, 160)))
    return table


def findings_table(findings: Sequence[Finding], classes: Mapping[str, Classification] | None = None) -> Table:
    """One row per finding, whatever its state."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "campaign", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("finding", overflow="fold")
    table.add_column("nodes", justify="right")
    for finding in findings:
        words = Text(f"{identity(finding)}\n{one_line(headline(finding), 160)}")
        if classes and finding.id in classes:
            words.append(f"\n{class_line(classes[finding.id])}", style="dim")
        row = (finding.id[:SHORT], finding.campaign, str(finding.state), words, str(finding.nodes or "-"))
        table.add_row(*row)
    return table


def campaigns_table(campaigns: Sequence[Campaign]) -> Table:
    """One row per campaign, the oldest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("campaign", "started", "ran for", "seed", "status"):
        table.add_column(name, no_wrap=True)
    for campaign in campaigns:
        started = datetime.datetime.fromtimestamp(campaign.started).isoformat(" ", "minutes")
        row = (campaign.id, started, duration(campaign.elapsed), str(campaign.seed), str(campaign.status))
        table.add_row(*row)
    return table


def toolchains_table(toolchains: Sequence[Toolchain]) -> Table:
    """One row per toolchain."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("asked for", overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("packages of its own", justify="right")
    table.add_column("conflicts", justify="right")
    for one in toolchains:
        kind = "isolated" if one.isolated else "layered"
        asked = ", ".join(one.record.requirements)
        table.add_row(one.name, asked, kind, str(len(one.record.made)), str(len(one.record.conflicts)))
    return table


def versions_table(results: Sequence[VersionResult]) -> Table:
    """One row per version of a package: what the reproducer did with it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("package", "version"):
        table.add_column(name, no_wrap=True)
    table.add_column("the defect", no_wrap=True)
    table.add_column("remarks", overflow="fold")
    before = ""
    for one in results:
        others = ", ".join(f"{name} {version}" for name, version in sorted(one.others.items()))
        remarks = [one_line(one.detail, 160)] if one.detail else []
        remarks += [f"with {others}"] if others else []
        package = "" if one.package == before else one.package
        table.add_row(package, one.version, str(one.showing), "; ".join(remarks))
        before = one.package
    return table
