"""Which versions of a package show a defect, as it is told in an issue."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from corpus.versions import TELLING, Showing, VersionResult
from fuzzer.bisection import changes_in

#: What a script about an exception begins with when it meets another one: beside "fails otherwise" it says nothing.
_NO_EXCEPTION = "expected no exception, got "


class Tried(msgspec.Struct, frozen=True):
    """A row of the table: versions of a package, one after another, with which the reproducer did the same, for the
    same reason in words."""

    package: str
    versions: tuple[str, ...]
    showing: str
    remarks: str


class History(msgspec.Struct, frozen=True):
    """What the versions that were tried tell: ``rows`` of a table by package and version, ``sentences`` that say what
    follows, the ``regression`` in words, if an earlier version is
    without the defect and none later, and which newest version is without it again (``mended``)."""

    rows: tuple[Tried, ...] = ()
    sentences: tuple[str, ...] = ()
    regression: str = ""
    mended: str = ""

    def __bool__(self) -> bool:
        return bool(self.sentences)


def history(results: Sequence[VersionResult]) -> History:
    """What is told of results (ascending by package and version, as a store gives them)."""
    sentences: list[str] = []
    regression = mended = ""
    for package, group in groupby(results, key=lambda one: one.package):
        of_one = list(group)
        sentences += _sentences(package, of_one)
        changes = changes_in(of_one)
        if changes and changes[-1].appears:
            regression = regression or f"{package} {changes[-1].before} does not have it, {changes[-1].after} does"
        elif changes:
            mended = mended or f"It does not show with {package} {changes[-1].after}"
    return History(tuple(_rows(results)), tuple(sentences), regression, mended)


def _rows(results: Sequence[VersionResult]) -> list[Tried]:
    grouped = groupby(results, key=lambda one: (one.package, str(one.showing), _remarks(one)))
    return [Tried(package, tuple(one.version for one in group), *words) for (package, *words), group in grouped]


def _remarks(one: VersionResult) -> str:
    others = ", ".join(f"{name} {version}" for name, version in sorted(one.others.items()))
    said = " ".join(one.detail.removeprefix(_NO_EXCEPTION).split())
    return "; ".join(filter(None, (said, others and f"with {others}")))


def _sentences(package: str, results: Sequence[VersionResult]) -> list[str]:
    """Nothing is said of versions that were not tried, so of a gap between two that were, both ends are named."""
    shown = [one.version for one in results if one.showing is Showing.SHOWS]
    telling = [one.version for one in results if one.showing in TELLING]
    if not shown:
        return [f"None of the versions of {package} that were tried shows it."]
    lines = []
    changes = changes_in(results)
    for change in changes:
        answer, verb = ("is the last one without it", "shows it") if change.appears else ("shows it", "no longer does")
        between = f"; of {', '.join(change.between)} nothing can be said" if change.between else ""
        lines.append(f"Of the versions tried, {package} {change.before} {answer}, and {change.after} {verb}{between}.")
    if len(telling) == 1:
        lines.append(f"{package} {shown[0]} shows it; of other versions nothing can be said.")
    elif not changes:
        lines.append(f"Every version of {package} that was tried and can be run shows it, {shown[0]} to {shown[-1]}.")
    elif shown[-1] == telling[-1]:
        lines.append(f"It still shows with {package} {shown[-1]}, the newest one tried.")
    return lines
