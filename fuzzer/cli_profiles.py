"""Which profiles operands were drawn from, as a table, and the combinations that nothing was drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from corpus.records import ProfileCount
from fuzzer.cli_text import clean
from generators import selectors, values
from generators.argument_classes import dtype_kind

#: Kinds of element types that the table has columns for, as far as there are any.
_KINDS = ("bool", "integer", "unsigned", "half", "float", "complex")
#: Profiles of what selects, each with the families of operators in which such operands select. The same tensors are
#: also operands of others, as any value at hand may be.
SELECTING: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (tuple(selectors.INDICES), frozenset({"indexing", "scatter", "loss"})),
    (tuple(selectors.SEGMENTS), frozenset({"segment"})),
    (tuple(selectors.MASKS), frozenset({"indexing", "scatter", "selection", "clamp", "logic", "attention", "linear"})),
    (tuple(selectors.LENGTHS), frozenset({"creation", "shape"})),
    (tuple(selectors.PROBABILITIES), frozenset({"loss"})),
)


def never_from(counts: Iterable[ProfileCount]) -> list[tuple[str, str, str, int]]:
    """Profile, element type and family of operators, of combinations that no operand had, with how many operands of
    that type and family had other profiles of the kind (some had): those of most operands first. For what selects, the
    element type does not matter, and is empty."""
    seen: set[tuple[str, str, str]] = set()
    operands: dict[tuple[tuple[str, ...], str, str], int] = {}
    for row in counts:
        for profiles, families in ((values.profiles_of(row.dtype), None), *SELECTING):
            if row.profile in profiles and (families is None or row.family in families):
                dtype = row.dtype if families is None else ""
                seen.add((row.profile, dtype, row.family))
                place = (profiles, dtype, row.family)
                operands[place] = operands.get(place, 0) + row.count
    missing = [
        (profile, dtype, family, count)
        for (profiles, dtype, family), count in operands.items()
        for profile in profiles
        if (profile, dtype, family) not in seen
    ]
    return sorted(missing, key=lambda row: (-row[3], row))


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
