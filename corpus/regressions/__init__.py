"""Defects that were found and judged real by hand, as data: a directory for each, with a reproducer and facts.

``defect.json`` holds a :class:`Regression`, ``reproducer.py`` the stand-alone script; a file ``draft.md`` beside them
is the report for the subject's authors, as `convfuzz draft --regression` made it. :mod:`fuzzer.rerunning` runs them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from corpus.errors import CorpusError

_RECORD, _SCRIPT, _DRAFT = "defect.json", "reproducer.py", "draft.md"


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the reproducer showed the defect (or, where ``shows`` is false, did not) with these versions; ``date`` as
    YYYY-MM-DD, ``runs`` how many fresh processes all said so."""

    versions: dict[str, str]
    date: str
    runs: int
    shows: bool = True


class Regression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A defect. ``component`` is the subject at fault, ``converter`` and ``runtime`` the route that shows it,
    ``symptom`` and ``stage`` as of a finding; ``cause`` where it comes from, ``severity`` which data show it;
    ``bucket`` its row in the audit; ``known`` links to issues of the subject's authors. ``settings`` are those of the
    converter, where the script has others than its defaults; ``project`` is the key of the upstream project whose
    defect it is, where the component does not tell (a converter's parts may be another project's)."""

    title: str
    component: str
    converter: str
    symptom: str
    stage: str
    cause: str
    severity: str
    bucket: str
    seen: tuple[Seen, ...]
    runtime: str = ""
    settings: dict[str, bool | int | float | str] = {}
    known: tuple[str, ...] = ()
    project: str = ""


class Kept(msgspec.Struct, frozen=True):
    """A defect with its name, its script, and the draft of a report if there is one."""

    name: str
    record: Regression
    script: str
    draft: str = ""


def kept(directory: Path | None = None) -> list[Kept]:
    """The defects in a directory (default: those that are shipped) by name. CorpusError for one that is damaged."""
    root = directory or Path(__file__).parent
    found = []
    for path in sorted(root.glob(f"*/{_RECORD}")):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Regression)
            script = path.with_name(_SCRIPT).read_text(encoding="utf-8")
        except (msgspec.DecodeError, OSError) as error:
            raise CorpusError(f"{path.parent} is damaged: {error}", "restore it from the repository") from error
        draft = path.with_name(_DRAFT)
        text = draft.read_text(encoding="utf-8") if draft.is_file() else ""
        found.append(Kept(path.parent.name, record, script, text))
    return found
