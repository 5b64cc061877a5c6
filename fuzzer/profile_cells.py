"""Combinations of value profile, element type and family of operators, and those that nothing was drawn from yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from generators import selectors, values

#: Profile, element type (empty for what selects, where it does not matter) and family of operators.
Cell: TypeAlias = tuple[str, str, str]

#: Profiles of what selects, each with the families of operators in which such operands select. The same tensors are
#: also operands of others, as any value at hand may be.
SELECTING: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (tuple(selectors.INDICES), frozenset({"indexing", "scatter", "loss"})),
    (tuple(selectors.SEGMENTS), frozenset({"segment"})),
    (tuple(selectors.MASKS), frozenset({"indexing", "scatter", "selection", "clamp", "logic", "attention", "linear"})),
    (tuple(selectors.LENGTHS), frozenset({"creation", "shape"})),
    (tuple(selectors.PROBABILITIES), frozenset({"loss"})),
)


#: Profiles that no operand of a family can have, with the reason.
_IMPOSSIBLE: tuple[tuple[frozenset[str], frozenset[str], str], ...] = (
    (frozenset({"indices negative"}), frozenset({"loss"}), "classes count from 0"),
    (frozenset({"mask none", "mask rows"}), frozenset({"attention", "linear"}), "a softmax over nothing is NaN"),
)
#: With fewer operands than that, a profile may be at zero by chance: there are a dozen, of unlike weights.
FEW = 40


def impossible(profile: str, family: str) -> str:
    """Why no operand in operators of the family can have the profile; empty when one can."""
    for profiles, families, reason in _IMPOSSIBLE:
        if profile in profiles and family in families:
            return reason
    return ""


def reason(operands: int) -> str:
    """Why a combination is at zero, of which others of the type and family had that many operands."""
    return (
        "few operands of that type" if operands < FEW else "samplers give operands that the operators are defined for"
    )


def never_from(counts: Mapping[Cell, int]) -> list[tuple[str, str, str, int]]:
    """Profile, element type and family of operators, of combinations that no operand had, with how many operands of
    that type and family had other profiles of the kind (some had): those of most operands first. For what selects, the
    element type does not matter, and is empty. What is :func:`impossible` is left out."""
    seen: set[Cell] = set()
    operands: dict[tuple[tuple[str, ...], str, str], int] = {}
    for (profile, dtype, family), count in counts.items():
        for profiles, families in ((values.profiles_of(dtype), None), *SELECTING):
            if profile in profiles and (families is None or family in families):
                kind = dtype if families is None else ""
                seen.add((profile, kind, family))
                place = (profiles, kind, family)
                operands[place] = operands.get(place, 0) + count
    missing = [
        (profile, dtype, family, count)
        for (profiles, dtype, family), count in operands.items()
        for profile in profiles
        if (profile, dtype, family) not in seen and not impossible(profile, family)
    ]
    return sorted(missing, key=lambda row: (-row[3], row))
