"""Known issues: a user's list of what has been reported or decided already, which suppresses or tags findings.

A TOML file, given with ``--known`` or kept as ``known.toml`` in the corpus::

    [[known]]
    component = "torch.onnx-*"
    operator = "*cdist"
    title = "expected 0.0, got inf"
    link = "https://github.com/pytorch/pytorch/issues/1"
    action = "tag"

All patterns of an entry must match; ``component`` and ``operator`` (any operator of the minimized graph) match whole
names, ``message`` and ``title`` anywhere in the text, all with the wildcards of a shell. What is suppressed is not
listed and only counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from corpus.records import Finding
from corpus.store import Store
from fuzzer.errors import UsageError
from generators.serial import loads

#: The list that is kept with a corpus.
FILE = "known.toml"
_LARGEST = 1 << 20


class KnownIssue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry: patterns, and what is to happen to findings that match all of them. ``link`` is shown with them."""

    link: str = ""
    component: str = ""
    operator: str = ""
    message: str = ""
    title: str = ""
    action: Literal["tag", "suppress"] = "tag"
    note: str = ""

    def __post_init__(self) -> None:
        if not (self.component or self.operator or self.message or self.title):
            raise ValueError("an entry needs a component, operator, message or title, or it would match everything")
        if self.link and not self.link.startswith(("https://", "http://")):
            raise ValueError(f"a link begins with https://, not {self.link[:40]!r}")
        if not (self.link or self.note):
            raise ValueError("an entry needs a link, or a note that says what is known")

    @property
    def label(self) -> str:
        """What is shown with a finding: the link, and the note behind it."""
        return f"{self.link} ({self.note})" if self.link and self.note else self.link or self.note

    def matches(self, finding: Finding, operators: Callable[[], Sequence[str]]) -> bool:
        """Whether the finding is this issue. ``operators`` gives those of its graph, and is asked only if need be."""
        return (
            (not self.component or fnmatchcase(finding.signature.component, self.component))
            and _found(self.title, finding.title)
            and _found(self.message, f"{finding.message}\n{finding.signature.detail}")
            and (not self.operator or any(fnmatchcase(target, self.operator) for target in operators()))
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    known: tuple[KnownIssue, ...] = ()


class KnownIssues:
    """The entries of a list, asked about findings of one corpus."""

    def __init__(self, entries: Sequence[KnownIssue] = (), store: Store | None = None) -> None:
        self.entries = tuple(entries)
        self._store = store

    def __bool__(self) -> bool:
        return bool(self.entries)

    def of(self, finding: Finding) -> KnownIssue | None:
        """The first entry that matches; one that suppresses before one that tags."""
        operators: list[tuple[str, ...]] = []

        def asked() -> tuple[str, ...]:
            if not operators:
                operators.append(self._operators(finding))
            return operators[0]

        found = [entry for entry in self.entries if entry.matches(finding, asked)]
        return min(found, key=lambda entry: entry.action != "suppress") if found else None

    def suppresses(self, finding: Finding) -> bool:
        """Whether the finding is not to be listed."""
        entry = self.of(finding)
        return entry is not None and entry.action == "suppress"

    def label(self, finding: Finding) -> str:
        """What is to be shown with the finding; empty when it is not known."""
        entry = self.of(finding)
        return entry.label if entry is not None else ""

    def _operators(self, finding: Finding) -> tuple[str, ...]:
        digest = finding.minimized_object or finding.case_object
        if self._store is None or not digest:
            return ()
        return loads(self._store.objects.get(digest)).graph.operators()


def known_issues(store: Store, path: Path | None = None) -> KnownIssues:
    """The list in ``path``, else that of the corpus, else an empty one. UsageError for one that cannot be read."""
    chosen = path or store.directory / FILE
    if path is None and not chosen.exists():
        return KnownIssues((), store)
    return KnownIssues(read(chosen), store)


def read(path: Path) -> tuple[KnownIssue, ...]:
    """The entries of a file. UsageError when it is missing, too large, no TOML or has other entries."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"the known issues in {path} cannot be read: {os.strerror(error.errno or 0)}", "name another file"
        ) from error
    if len(data) > _LARGEST:
        raise UsageError(
            f"{path} is larger than {_LARGEST >> 20} MiB, which no list of known issues is", "name another"
        )
    try:
        return msgspec.toml.decode(data, type=_File).known
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no list of known issues: {' '.join(str(error).split())[:300]}",
            "an entry is [[known]] with component, operator, message or title, and link, action (tag, suppress), note",
        ) from error


def _found(pattern: str, text: str) -> bool:
    return not pattern or fnmatchcase(text, f"*{pattern}*")
