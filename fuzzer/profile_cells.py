"""Combinations of value profile, element type and family of operators, and those that nothing was drawn from yet."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping

import msgspec

from generators import selectors, values
from generators.seeking import Cell

#: Profiles of what selects, each with the families of operators in which such operands select. The same tensors are
#: also operands of others, as any value at hand may be.
SELECTING: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (tuple(selectors.INDICES), frozenset({"indexing", "scatter", "loss"})),
    (tuple(selectors.SEGMENTS), frozenset({"segment"})),
    (tuple(selectors.MASKS), frozenset({"indexing", "scatter", "selection", "clamp", "logic", "attention", "linear"})),
    (tuple(selectors.LENGTHS), frozenset({"creation", "shape"})),
    (tuple(selectors.PROBABILITIES), frozenset({"loss"})),
)


#: The family of operators without a sampler.
OTHER = "other"
#: With fewer operands than that, a profile may be at zero by chance: there are a dozen, of unlike weights.
FEW = 40


def possible(frontend: str) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The profiles that operands can have, by family of operators and element type (empty for what selects), of the
    hand-written operators: all but those of which a search has found none (``python -m benchmarks.cells``, which wrote
    ``data/cells.json``). Empty for a frontend of which nothing is known."""
    return {
        family: {
            dtype: tuple(name for name in profiles_for(dtype, family) if name not in without)
            for dtype, reasons in dtypes.items()
            for without in [{name for names in reasons.values() for name in names}]
        }
        for family, dtypes in _searched().get(frontend, {}).items()
    }


def profiles_for(dtype: str, family: str) -> tuple[str, ...]:
    """The profiles that operands of that element type may have by definition; for an empty one, those of what selects
    in operators of the family."""
    if dtype:
        return values.profiles_of(dtype)
    return tuple(name for profiles, families in SELECTING if family in families for name in profiles)


@functools.cache
def _searched() -> dict[str, dict[str, dict[str, dict[str, list[str]]]]]:
    """What the search has found no operand of, with the reason: by frontend, family, element type and reason. Element
    types that are not there belong to no operand that is drawn afresh."""
    data = importlib.resources.files("fuzzer").joinpath("data", "cells.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, dict[str, dict[str, dict[str, list[str]]]]])


def impossible(frontend: str) -> list[tuple[str, str, str, str]]:
    """Profile, element type, family and the reason why a search has found no such operand, where it has found operands
    of that element type in the family."""
    return [
        (name, dtype, family, reason)
        for family, dtypes in _searched().get(frontend, {}).items()
        for dtype, reasons in dtypes.items()
        for reason, names in reasons.items()
        for name in names
    ]


def reason(operands: int) -> str:
    """Why a combination is at zero, of which others of the type and family had that many operands."""
    return "few operands of that type" if operands < FEW else "others were drawn"


def never_from(frontend: str, counts: Mapping[Cell, int]) -> list[tuple[str, str, str, int]]:
    """Profile, element type and family of operators, of combinations that no operand had, with how many operands of
    that type and family had other profiles of the kind: those of most operands first. For what selects, the element
    type does not matter, and is empty. Only families of which operands were drawn, and what is :func:`possible`; of
    families that nothing is known of (harvested ones), what others of the element type had."""
    seen: set[Cell] = set()
    operands: dict[tuple[str, str], int] = {}
    known = possible(frontend)
    for (profile, dtype, family), count in counts.items():
        for kind in (dtype, ""):
            if profile in profiles_for(kind, family):
                seen.add((profile, kind, family))
                operands[kind, family] = operands.get((kind, family), 0) + count
    # What is given to control flow on the way to its bodies is of no family.
    families = {family for _, family in operands if family != OTHER}
    wanted = {
        (kind, family): profiles_for(kind, family) for kind, family in operands if family in families - known.keys()
    }
    wanted.update(
        ((kind, family), profiles)
        for family, dtypes in known.items()
        if family in families
        for kind, profiles in dtypes.items()
    )
    missing = [
        (profile, kind, family, operands.get((kind, family), 0))
        for (kind, family), profiles in wanted.items()
        for profile in profiles
        if (profile, kind, family) not in seen
    ]
    return sorted(missing, key=lambda row: (-row[3], row))
