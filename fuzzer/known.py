"""What is known of the pinned releases before a campaign starts: kinds of node that a converter refuses.

The knowledge is data, ``data/quarantine.json``: for each converter, entries with the versions they were learnt with; an
entry counts only with exactly those. It makes a first campaign start where a longer one left off. Made from a corpus by
``python -m fuzzer.known CORPUS … > new.json``, which adds to what ships.
"""

from __future__ import annotations

import importlib.resources
import sys
from collections.abc import Container, Iterable, Mapping, Sequence

import msgspec

from corpus.records import Quarantine
from corpus.store import Store
from fuzzer.converters.base import converters
from fuzzer.quarantine import bare, named
from fuzzer.runtimes.base import runtimes
from generators.patterns import target_of


class _Group(msgspec.Struct, frozen=True):
    """Entries of one converter: what is refused, by the reason given for it."""

    converter: str
    versions: dict[str, str]
    refused: dict[str, list[str]]


def shipped() -> list[Quarantine]:
    """The entries that come with this release."""
    data = importlib.resources.files("fuzzer").joinpath("data", "quarantine.json").read_bytes()
    return [
        Quarantine(group.converter, target, reason, versions=group.versions)
        for group in msgspec.json.decode(data, type=list[_Group])
        for reason, targets in group.refused.items()
        for target in targets
    ]


def applies(entry: Quarantine, versions: Mapping[str, str]) -> bool:
    """Whether an entry was learnt with the versions that are installed."""
    return bool(entry.versions) and all(versions.get(name) == version for name, version in entry.versions.items())


def grouped(entries: Iterable[Quarantine]) -> bytes:
    """The entries as the JSON of ``data/quarantine.json``."""
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, list[str]]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.converter, entry.reason, entry.target)):
        key = (entry.converter, tuple(sorted(entry.versions.items())))
        groups.setdefault(key, {}).setdefault(entry.reason[:80], []).append(entry.target)
    made = [_Group(converter, dict(versions), refused) for (converter, versions), refused in groups.items()]
    return msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"


def certain(store: Store) -> list[Quarantine]:
    """The entries of a corpus that are worth shipping: a subject said that it does not support an operator, and named
    it. What looks like a defect stays in everybody's campaigns. Versions are reduced to the subjects' own."""
    said = {
        f"{item.component}: {item.what}"
        for campaign in store.campaigns()
        for item in store.summary(campaign.id).unsupported
    }
    kept: list[Quarantine] = []
    for entry in store.quarantine():
        # A condition is a guess that the campaign itself may correct; the next one should make its own.
        if ("{" in entry.target and "setting" not in entry.target) or not bare(entry.reason):
            continue
        if entry.converter in converters() and entry.reason in said and named([entry.target], entry.reason):
            converter = converters()[entry.converter]
            needed = {**converter.availability().versions}
            for runtime in runtimes().values():
                if runtime.format is converter.target:
                    needed.update(runtime.availability().versions)
            if applies(entry, {**entry.versions, **needed}):
                kept.append(msgspec.structs.replace(entry, versions=needed))
    return kept


def main(corpora: Sequence[str]) -> None:
    """Print what ships already and what the corpora add to it."""
    found = {(entry.converter, entry.target): entry for entry in shipped() if bare(entry.reason)}
    for corpus in corpora:
        with Store.open(corpus, write=False) as store:
            found |= {(entry.converter, entry.target): entry for entry in certain(store)}
    # What a wider pattern says already needs no entry of its own.
    kept = [entry for (converter, pattern), entry in found.items() if not covered(pattern, converter, found)]
    sys.stdout.buffer.write(grouped(kept))


def covered(pattern: str, converter: str, known: Container[tuple[str, str]]) -> bool:
    """Whether the target alone, or with these dtypes, is known without the pattern's conditions."""
    head = pattern.partition("{")[0]
    return any((converter, wider) in known for wider in {head, target_of(pattern)} - {pattern})


if __name__ == "__main__":
    main(sys.argv[1:])
