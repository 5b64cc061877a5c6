"""Which profiles operands were drawn from, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from corpus.records import ProfileCount
from fuzzer.cli_text import clean
from fuzzer.profile_cells import SELECTING, never_from
from generators import values
from generators.argument_classes import dtype_kind

#: Kinds of element types that the table has columns for, as far as there are any.
_KINDS = ("bool", "integer", "unsigned", "half", "float", "complex")


def at_zero(frontend: str, counts: Iterable[ProfileCount]) -> list[tuple[str, str, str, int]]:
    """See :func:`fuzzer.profile_cells.never_from`."""
    return never_from(frontend, {(row.profile, row.dtype, row.family): row.count for row in counts})


def by_frontend(counts: Sequence[ProfileCount]) -> dict[str, list[ProfileCount]]:
    """The counts of each frontend."""
    found: dict[str, list[ProfileCount]] = {}
    for row in counts:
        found.setdefault(row.frontend, []).append(row)
    return found


def profile_table(frontend: str, counts: Sequence[ProfileCount]) -> Table:
    """Operands by profile and kind of element type; and in how many families of operators a profile was met."""
    totals: dict[str, dict[str, int]] = {}
    families: dict[str, set[str]] = {}
    for row in counts:
        kinds = totals.setdefault(row.profile, {})
        kind = dtype_kind(row.dtype) if dtype_kind(row.dtype) in _KINDS else "float"
        kinds[kind] = kinds.get(kind, 0) + row.count
        families.setdefault(row.profile, set()).add(row.family)
    kinds_there = [kind for kind in _KINDS if any(kind in kinds for kinds in totals.values())]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(f"{clean(frontend)} profiles", overflow="fold")
    for name in (*kinds_there, "families"):
        table.add_column(name, justify="right")
    for profile in _listed(totals):
        kinds = totals.get(profile, {})
        cells = [f"{kinds[kind]:,}" if kind in kinds else "" for kind in kinds_there]
        table.add_row(Text(clean(profile)), *cells, str(len(families.get(profile, ()))))
    return table


def _listed(totals: Mapping[str, object]) -> Iterator[str]:
    """The profiles of each group of which one was met, in a fixed order; then what is met under other names."""
    groups = [values.PROFILES, *(profiles for profiles, _ in SELECTING)]
    for profiles in groups:
        if any(profile in totals for profile in profiles):
            yield from profiles
    known = {profile for profiles in groups for profile in profiles}
    yield from sorted(profile for profile in totals if profile not in known)
