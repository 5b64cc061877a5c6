"""Running reproducers again, all of a corpus or those that are shipped, and telling what became of the defects."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from xml.etree import ElementTree

from corpus.records import Finding, FindingState
from corpus.regressions import Kept
from corpus.store import Store
from corpus.versions import Showing
from fuzzer.cli_text import SHORT, clean, headline
from fuzzer.errors import UsageError
from fuzzer.laboratory import Run, run

_RUNS_OF_FLAKY = 5


class Now(StrEnum):
    """What became of a defect."""

    STILL = "still fails"
    FIXED = "fixed"
    CHANGED = "changed"
    CANNOT = "cannot run"


_MEANING: Mapping[Showing, Now] = {
    Showing.SHOWS: Now.STILL,
    Showing.ABSENT: Now.FIXED,
    Showing.CHANGED: Now.CHANGED,
    Showing.UNFINISHED: Now.CHANGED,
    Showing.UNUSABLE: Now.CANNOT,
    Showing.NOT_INSTALLED: Now.CANNOT,
}


@dataclass(frozen=True)
class Item:
    """A reproducer to run: ``runs`` times unless it shows the defect before."""

    id: str
    title: str
    component: str
    script: str
    runs: int = 1


@dataclass(frozen=True)
class Rerun:
    """What became of an item."""

    item: Item
    now: Now
    run: Run


def of_findings(store: Store, findings: Sequence[Finding] = ()) -> list[Item]:
    """The items of these findings, or of all verified and flaky representatives of a corpus. UsageError for a finding
    without a reproducer."""
    chosen = findings or [
        bucket.representative
        for bucket in store.all_buckets()
        if bucket.representative.state in (FindingState.VERIFIED, FindingState.FLAKY)
    ]
    items = []
    for finding in chosen:
        if not finding.reproducer_object:
            raise UsageError(
                f"finding {finding.id} has no reproducer: it is {finding.state}",
                f"`convfuzz resume {finding.campaign}` goes on with it",
            )
        script = store.objects.get(finding.reproducer_object).decode()
        runs = 1 if finding.failures == finding.runs else _RUNS_OF_FLAKY
        items.append(Item(finding.id[:SHORT], headline(finding), finding.signature.component, script, runs))
    return items


def of_regressions(kept: Sequence[Kept], patterns: Sequence[str] = ()) -> list[Item]:
    """The items of defects that are kept as data; with patterns, of those whose name matches one. UsageError for a
    pattern that matches none."""
    return [Item(one.name, one.record.title, one.record.component, one.script) for one in chosen(kept, patterns)]


def chosen(kept: Sequence[Kept], patterns: Sequence[str] = ()) -> list[Kept]:
    """Those whose name matches a pattern; all of them without any. UsageError for a pattern that matches none."""
    for pattern in patterns:
        if not any(fnmatchcase(one.name, pattern) for one in kept):
            near = difflib.get_close_matches(pattern, [one.name for one in kept], n=3, cutoff=0.4)
            raise UsageError(
                f"no defect that is shipped is called {pattern!r}",
                f"near: {', '.join(near)}"
                if near
                else "names begin with the subject: `convfuzz rerun --regressions 'tf2onnx-*'`",
            )
    return [one for one in kept if not patterns or any(fnmatchcase(one.name, pattern) for pattern in patterns)]


def rerun(items: Sequence[Item], python: str, *, jobs: int = 1, deadline: float = 360.0) -> Iterator[Rerun]:
    """Run each item with an interpreter, ``jobs`` at a time, and yield what came of it as it is done."""
    with ThreadPoolExecutor(jobs) as pool:

        def one(item: Item) -> Rerun:
            done = run(item.script, python, runs=item.runs, deadline=deadline)
            return Rerun(item, _MEANING[done.showing], done)

        futures = [pool.submit(one, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def unexpected(now: Now, expected: Now) -> bool:
    """Whether this is another outcome than the one that is hoped for (FIXED or STILL)."""
    return now is not expected and now is not Now.CANNOT


def junit(reruns: Sequence[Rerun], expected: Now, versions: Mapping[str, str]) -> bytes:
    """A JUnit XML file: a case for each item, failed where its outcome is not the expected one, with an error where it
    could not be run. ``versions`` become properties of the suite."""
    count = {now: sum(one.now is now for one in reruns) for now in Now}
    suite = ElementTree.Element(
        "testsuite",
        name="convfuzz rerun",
        tests=str(len(reruns)),
        failures=str(sum(unexpected(one.now, expected) for one in reruns)),
        errors=str(count[Now.CANNOT]),
        skipped="0",
        time=f"{sum(one.run.seconds for one in reruns):.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, version in sorted(versions.items()):
        ElementTree.SubElement(properties, "property", name=name, value=version)
    for one in sorted(reruns, key=lambda one: (one.item.component, one.item.id)):
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=clean(one.item.component),
            name=clean(f"{one.item.id} {one.item.title}"),
            time=f"{one.run.seconds:.3f}",
        )
        if one.now is Now.CANNOT or unexpected(one.now, expected):
            kind = "error" if one.now is Now.CANNOT else "failure"
            words = clean(f"{one.now}: {one.run.detail}" if one.run.detail else str(one.now))
            told = ElementTree.SubElement(case, kind, type=str(one.now), message=words)
            told.text = clean(one.run.output)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"
