"""The report of a campaign or a corpus: its verified findings on a page that stands alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from markupsafe import Markup

from corpus.records import Bucket, Campaign, Finding, FindingState
from corpus.store import Store
from fuzzer.cli_text import duration
from fuzzer.dossier import picture_of
from fuzzer.errors import UsageError
from fuzzer.pictures import Picture, source_picture
from fuzzer.reports.drawing import svg
from fuzzer.reports.page import page
from fuzzer.upstream.draft import Draft, choose, draft
from fuzzer.upstream.facts import Facts, facts
from fuzzer.upstream.known_issues import KnownIssues
from fuzzer.upstream.severity import Severity
from generators.serial import loads


class Drawn(msgspec.Struct, frozen=True):
    """A picture as an element, and what is said below it."""

    svg: Markup
    words: str = ""


class Entry(msgspec.Struct, frozen=True):
    """A finding of the report; ``count`` is how many findings its bucket holds."""

    facts: Facts
    count: int
    component: str
    source: Drawn
    converted: Drawn
    draft: Draft | None


def entries(
    store: Store,
    buckets: Sequence[Bucket],
    known: KnownIssues,
    *,
    convert: Callable[[Finding], Picture] | None = None,
    collect: bool = True,
) -> tuple[list[Entry], int]:
    """The verified findings, and how many more the list of known issues suppresses. ``convert`` makes the pictures of
    converted models that the corpus does not have; ``collect`` is that of :func:`fuzzer.upstream.draft.draft`."""
    found: list[Entry] = []
    suppressed = 0
    for bucket in buckets:
        finding = bucket.representative
        if finding.state is not FindingState.VERIFIED:
            continue
        if known.suppresses(finding):
            suppressed += 1
            continue
        found.append(_entry(store, finding, bucket.count, known, convert, collect))
    return found, suppressed


def _entry(
    store: Store,
    finding: Finding,
    count: int,
    known: KnownIssues,
    convert: Callable[[Finding], Picture] | None,
    collect: bool,
) -> Entry:
    try:
        made = draft(store, finding, choose(finding), known, collect=collect)
    except UsageError:
        made = None  # no project has a template for it
    picture = picture_of(store, finding)
    if picture is None and convert is not None:
        picture = convert(finding)
    if picture is None:
        picture = Picture(problem="not drawn: `convfuzz report --convert` converts it for a picture")
    graph = loads(store.objects.get(finding.minimized_object or finding.case_object)).graph
    return Entry(
        facts(store, finding, known),
        count,
        finding.signature.component,
        _drawn(source_picture(graph), "source graph"),
        _drawn(picture, "converted model"),
        made,
    )


def _drawn(picture: Picture, label: str) -> Drawn:
    words = picture.problem
    if picture.more:
        words = f"{picture.more} more operators are not drawn"
    elif not words and not any(box.kind == "node" for box in picture.boxes):
        words = "no operator is left in it"
    return Drawn(svg(picture, label), words)


def as_html(found: Sequence[Entry], suppressed: int, campaigns: Sequence[Campaign], cases: int) -> str:
    """The page. Findings are grouped by component, the groups and the findings in them by severity."""
    order = list(Severity)

    def gravity(entry: Entry) -> tuple[int, int]:
        return order.index(Severity(entry.facts.severity)), -entry.count

    groups: dict[str, list[Entry]] = {}
    for entry in sorted(found, key=gravity):
        groups.setdefault(entry.component, []).append(entry)
    choices = {
        "component": sorted(groups),
        "stage": sorted({entry.facts.stage for entry in found}),
        "symptom": sorted({entry.facts.symptom for entry in found}),
        "severity": [str(level) for level in order if any(entry.facts.severity == level for entry in found)],
    }
    return page(
        "findings.html.j2",
        styles=("page.css.j2", "findings.css.j2"),
        scripts=("filter.js.j2", "findings.js.j2"),
        about=_about(found, suppressed, campaigns, cases),
        choices=choices,
        groups=list(groups.items()),
    )


def _about(found: Sequence[Entry], suppressed: int, campaigns: Sequence[Campaign], cases: int) -> list[str]:
    count = f"{len(found)} defect{'' if len(found) == 1 else 's'} with a verified reproducer"
    if suppressed:
        count += f"; {suppressed} more suppressed by the list of known issues"
    named = ", ".join(f"{one.id} (seed {one.seed}, {one.status}, {duration(one.elapsed)})" for one in campaigns[:8])
    if len(campaigns) > 8:
        named += f" and {len(campaigns) - 8} more"
    versions: dict[str, str] = {}
    for one in campaigns:
        versions.update(one.versions)
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return [f"{count}, {cases:,} graphs judged", f"campaigns: {named or 'none'}", f"versions: {listed or 'not known'}"]
