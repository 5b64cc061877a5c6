"""Nodes that a graph has for the sake of a value profile with an element type in a family of operators.

Most combinations come up by themselves; some are rare in several ways at once. Those that a campaign has not had yet
are asked for, and most graphs of a batch that asks start with a node or two that have an operand of such a combination.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from generators.draw import Call, Draw, argument_of
from generators.graph import references
from generators.handles import Rejected

if TYPE_CHECKING:
    from generators.growth import Growth

#: A value profile, an element type (empty for what selects, where it does not matter) and a family of operators.
Cell: TypeAlias = tuple[str, str, str]

#: Share of the graphs that start with such nodes, where any are wanted: one, or one for so many nodes.
SHARE, NODES = 0.7, 4
#: Draws for one: most operators of a family take few of its element types, and the domains of some have few profiles.
TRIES = 40


def sought(growth: Growth, nodes: int) -> list[Cell]:
    """Combinations for which a graph of so many nodes is to have one. Special values are for graphs that want
    non-finite results."""
    left = [cell for cell in growth.wanted if growth.profiles.nonfinite or cell[0] != "special"]
    if not left or growth.choices.fraction() >= SHARE:
        return []
    most = min(max(nodes // NODES, 1), len(left))
    return [left.pop(growth.choices.integer(0, len(left) - 1)) for _ in range(most)]


def seek(growth: Growth, cell: Cell, tries: int = TRIES) -> bool:
    """Add an operator of the family with a fresh operand of the profile and element type. False, and counted among
    what was dropped, when none of the draws gives one."""
    for call, draw, used in draws(growth, cell, tries):
        if draw.found(used) and not growth.execute(call, draw, wanted=True):
            return True
    growth.dropped["sought in vain"] += 1
    return False


def draws(growth: Growth, cell: Cell, tries: int) -> Iterator[tuple[Call, Draw, set[str]]]:
    """Calls of the family's operators drawn for the sake of the combination, those that samplers do not reject among so
    many tries, with their draws and the names of the values that they use. None of an unknown family."""
    profile, dtype, family = cell
    targets = growth.weights.families.get(family, ())
    for _ in range(tries if targets else 0):
        target = growth.choices.pick(targets)
        draw = Draw(growth.frontend, growth.choices, target, (), growth.profiles, growth.names, (profile, dtype))
        try:
            call = growth.registry[target].sampler(draw)
        except Rejected:
            continue
        yield (
            call,
            draw,
            set(references(tuple(argument_of(value, {}) for value in (*call.args, *call.kwargs.values())))),
        )
