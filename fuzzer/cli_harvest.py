"""The command ``harvest``, and what the others need to know of harvests.

A campaign never waits for a harvest to be built: it uses the one that is there when it is created, records which one
that was, and says in a line how to get one when there is none (docs/decisions/014-harvest-in-a-cache.md).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from fuzzer.errors import UsageError
from generators.harvest.records import Entry, Harvest, HarvestError

_KINDS = {"operator": "OpInfo", "module": "ModuleInfo"}


def harvest(force: bool, as_json: bool) -> None:
    """Build the harvest of the installed torch if it is not there yet (or ``force``), and print what is in it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from fuzzer.screen import to_json
    from generators.harvest.building import build
    from generators.harvest.records import cache_path, fingerprint

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing torch's test suite", total=None)

        def progress(done: int, total: int, entry: Entry) -> None:
            bar.update(task, completed=done, total=total, description=f"{entry.name[:40]:<40}")

        found = build(force=force, progress=progress)
    path = cache_path(found.framework, found.version)
    if as_json:
        print(to_json({"path": str(path), "fingerprint": fingerprint(found), **_record(found)}))
        return
    print(f"harvest of {found.framework} {found.version}: {fingerprint(found)}, {path}")
    for kind, name in _KINDS.items():
        entries = [entry for entry in found.entries if entry.kind == kind]
        usable = found.usable(kind)
        samples = sum(len(entry.samples) for entry in usable)
        seen = sum(entry.seen for entry in entries)
        targets = len({entry.target for entry in usable})
        print(f"{name}: {len(entries)} entries, {len(usable)} usable ({targets} targets), {samples} of {seen} samples")
        for reason, count in _ordered(found, kind):
            print(f"  {count:>5}  {reason}")


def _record(found: Harvest) -> dict[str, object]:
    return {
        "framework": found.framework,
        "version": found.version,
        **{
            name: {
                "entries": sum(entry.kind == kind for entry in found.entries),
                "usable": len(found.usable(kind)),
                "samples": sum(len(entry.samples) for entry in found.usable(kind)),
                "unusable": dict(_ordered(found, kind)),
            }
            for kind, name in _KINDS.items()
        },
    }


def _ordered(found: Harvest, kind: str) -> list[tuple[str, int]]:
    """Reasons with their counts, the most frequent first."""
    return sorted(found.reasons(kind).items(), key=lambda item: (-item[1], item[0]))


def available() -> str:
    """Fingerprint of the harvest in the cache; empty when there is none to use."""
    return _available()[0]


def usable() -> str:
    """As :func:`available`; says on standard error why there is none and what to do."""
    found, error = _available()
    if error:
        print(f"note: torch's own operator samples are not drawn from: {error}", file=sys.stderr)
    return found


def _available() -> tuple[str, str]:
    from generators.harvest.building import load
    from generators.harvest.records import fingerprint

    try:
        return fingerprint(load()), ""
    except HarvestError as error:
        return "", str(error)


def require(wanted: str) -> None:
    """UsageError unless the cache holds the harvest of that fingerprint (any will do when it is empty)."""
    if not wanted:
        return
    found, error = _available()
    if found != wanted:
        raise UsageError(
            f"the campaign draws from the harvest {wanted}: {error or f'the cache holds {found}'}",
            "`convfuzz harvest --force` makes it again with the torch that it was made with, or start a new campaign",
        )


def counted(families: Mapping[str, Sequence[str]], harvest: str) -> str:
    """How many of a frontend's operators are hand-written and harvested, as the end of a line."""
    from generators.harvest.building import load
    from generators.harvest.samplers import FAMILY

    new = len(families.get(FAMILY, ()))
    every = {target for targets in families.values() for target in targets}
    if not new:
        return f": {len(every)} hand-written, 0 harvested"
    both = len(every & load().targets().keys()) - new if harvest else 0
    return f": {len(every) - new} hand-written ({both} of them with harvested samples, too), {new} harvested"
