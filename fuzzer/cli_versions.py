"""What ``bisect`` and ``versions`` do: a finding's reproducer with other versions of a package."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from corpus.records import Finding
from corpus.store import Store
from corpus.versions import TELLING, Showing, VersionResult
from fuzzer.bisection import Change, halve, search
from fuzzer.cli_output import terminal
from fuzzer.cli_text import SHORT, headline, versions_table
from fuzzer.converters.base import converters
from fuzzer.dossier import redraft
from fuzzer.errors import UsageError
from fuzzer.laboratory import Laboratory, versions_between
from fuzzer.packages import installed, parse, releases
from fuzzer.runtimes.base import runtimes
from fuzzer.screen import to_json
from fuzzer.toolchain_building import packages_here

#: Frameworks of half a gigabyte and more a version, which are only tried when they are asked for.
_HEAVY = {"tensorflow", "torch"}
_RUNS_OF_FLAKY = 5


@dataclass(frozen=True)
class How:
    """How reproducers are run: with pre-releases, how often with each version, for how many seconds at most; whether to
    keep toolchains, and to ask again what is known; what to install ``beside`` each version, as requirements."""

    pre: bool = False
    runs: int | None = None
    deadline: float = 360.0
    keep: bool = False
    again: bool = False
    beside: tuple[str, ...] = ()


def bisect(
    corpus: Path, database: str, as_json: bool, prefix: str, package: str, good: str, bad: str, how: How
) -> None:
    """Find where the answer changes, record what was seen, and print it. UsageError where no version shows the defect,
    or ``good`` and ``bad`` are not what they are called."""
    package = canonicalize_name(package)
    with _laboratory(corpus, database, prefix, how) as (store, finding, laboratory):
        known = releases(package, pre=how.pre)
        seen = bad or _default_bad(package, known)
        versions_between(known, seen, seen, package)

        def ask(version: str) -> Showing:
            return laboratory.ask(package, version).showing

        changes: list[Change] = []
        if good:
            ascending = Version(good) < Version(seen)
            chosen = versions_between(known, *((good, seen) if ascending else (seen, good)), package)
            for version, wanted in ((good, Showing.ABSENT), (seen, Showing.SHOWS)):
                if (answer := ask(version)) is not wanted:
                    detail = laboratory.ask(package, version).detail
                    raise UsageError(
                        f"with {package} {version} the defect of {finding.id[:SHORT]} {answer}"
                        f"{': ' + detail if detail else ''}",
                        "give another version with --good or --bad, or none: both are then looked for",
                    )
            changes = [change for change in (halve(chosen, ask),) if change]
        else:
            if (answer := ask(seen)) is not Showing.SHOWS:
                raise UsageError(
                    f"with {package} {seen} the defect of {finding.id[:SHORT]} {answer}: nothing to begin from",
                    "name a version that shows it with --bad",
                )
            changes = [change for change in search(known, seen, ask) if change]
        results = [one for one in store.versions(finding.id) if one.package == package]
        redraft(store, finding)
    lines = conclusions(package, results, changes)
    if as_json:
        print(to_json({"finding": finding.id, "package": package, "changes": changes, "versions": results}))
        return
    print(f"{finding.id[:SHORT]}  {headline(finding)}")
    terminal().print(versions_table(results))
    for line in lines:
        print(line)


def versions(
    corpus: Path, database: str, as_json: bool, prefix: str, packages: Sequence[str], last: int, how: How
) -> None:
    """Ask the ``last`` releases of each package, record what was seen, and print the matrix."""
    with _laboratory(corpus, database, prefix, how) as (store, finding, laboratory):
        names = [canonicalize_name(name) for name in packages] or subjects_of(finding)
        for name in names:
            for version in releases(name, pre=how.pre)[-last:]:
                laboratory.ask(name, version)
        results = store.versions(finding.id)
        redraft(store, finding)
    if as_json:
        print(to_json({"finding": finding.id, "versions": results}))
        return
    print(f"{finding.id[:SHORT]}  {headline(finding)}")
    terminal().print(versions_table(results))


def subjects_of(finding: Finding) -> list[str]:
    """The packages that a finding is about: what its converter and its runtimes need, without frameworks whose every
    version is half a gigabyte. UsageError when there are none but those."""
    needed = list(converters()[finding.converter].requires) if finding.converter in converters() else []
    for variant in finding.settings:
        name = variant.partition(" ")[0]
        if name in runtimes():
            needed += runtimes()[name].requires
    if finding.signature.component in runtimes():
        needed += runtimes()[finding.signature.component].requires
    found: list[str] = list(dict.fromkeys(canonicalize_name(Requirement(text).name) for text in needed))
    light = [name for name in found if name not in _HEAVY]
    if not light:
        raise UsageError(
            f"finding {finding.id[:SHORT]} is about {' and '.join(found)}, of which each version takes a gigabyte",
            f"`--package {found[0]}` tries it all the same",
        )
    return light


def conclusions(package: str, results: Sequence[VersionResult], changes: Sequence[Change]) -> list[str]:
    """What the results of one package say, in sentences."""
    lines = []
    for change in changes:
        between = f", or one of {', '.join(change.between)}, of which nothing can be said" if change.between else ""
        verb = "first shows with" if change.appears else "no longer shows since"
        last = "the last without it" if change.appears else "the last with it"
        lines.append(f"the defect {verb} {package} {change.after} ({last}: {change.before}){between}")
    shown = [one.version for one in results if one.showing is Showing.SHOWS]
    if shown and not any(change.appears for change in changes):
        lines.append(f"no version that can be run is without it before {package} {shown[0]}")
    if shown and all(change.appears for change in changes):
        lines.append(f"it still shows with {package} {shown[-1]}")
    return lines


def _default_bad(package: str, known: Sequence[str]) -> str:
    here = installed(packages_here()).get(package, "")
    if here in known:
        return here
    try:
        public = Version(here).public
    except InvalidVersion:
        public = ""
    if public in known:
        return public
    raise UsageError(
        f"{package} {here or ''} is not among the releases that pip finds".replace("  ", " "),
        "name a version that shows the defect with --bad",
    )


@contextmanager
def _laboratory(corpus: Path, database: str, prefix: str, how: How) -> Iterator[tuple[Store, Finding, Laboratory]]:
    """The store, the finding, and what runs its reproducer and records what comes of it."""
    with Store.open(corpus, database=database) as store:
        finding = store.find(prefix)
        if not finding.reproducer_object:
            raise UsageError(
                f"finding {finding.id} has no reproducer: it is {finding.state}",
                f"`convfuzz resume {finding.campaign}` goes on with it",
            )
        script = store.objects.get(finding.reproducer_object).decode()
        runs = how.runs or (1 if finding.failures == finding.runs else _RUNS_OF_FLAKY)
        # With other packages beside it, a version of which nothing could be said may be one of which something can.
        known = {
            (one.package, one.version): one
            for one in store.versions(finding.id)
            if not how.again and one.settled and (not how.beside or one.showing in TELLING)
        }
        yield (
            store,
            finding,
            Laboratory(
                script,
                runs,
                how.deadline,
                how.keep,
                lambda line: print(line, file=sys.stderr, flush=True),
                lambda result: store.record_version(finding.id, result),
                known,
                tuple(map(str, parse(how.beside))),
            ),
        )
