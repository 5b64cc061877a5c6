"""Growing a random graph while executing it, so that every finished graph is valid by construction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from generators.argument_classes import Form
from generators.asking import heeded, motif_of, of_kind
from generators.choices import Choices
from generators.draw import Profiles
from generators.frontends.base import Frontend
from generators.growth import Grown, Growth
from generators.motifs.shapes import grow_shape
from generators.patterns import Avoided
from generators.seeking import Cell, seek, sought
from generators.structures import LEAST, RARE, rare_shape
from generators.values import WEIGHTS
from generators.weights import Weights

__all__ = ["CONTROL_TRIES", "PATIENCE", "Grown", "Growth", "Weights", "begin", "grow"]

#: Draws allowed per wanted node before the graph is finished with what it has.
PATIENCE = 12
#: Share of the graphs with a motif, of those large enough and drawn from all operators; larger graphs have a chance for
#: every ten nodes.
MOTIF_SHARE = 0.5
#: How often control flow is tried in a graph that is to have some.
CONTROL_TRIES = 4


def grow(
    frontend: Frontend,
    choices: Choices,
    *,
    nodes: int = 10,
    weights: Weights | None = None,
    avoid: Avoided | None = None,
    settings: Mapping[str, Form] | None = None,
    announce: Callable[[str], None] | None = None,
    dynamic: float = 0.0,
    wanted: Sequence[Cell] = (),
    asked: Sequence[str] = (),
    fed: float = 0.0,
    apart: bool = False,
) -> Grown:
    """A random graph of up to ``nodes`` nodes with its feeds. A share ``dynamic`` of them has, as far as they take it,
    dynamic dimensions and feeds at several sizes (:mod:`generators.marking`), and a share ``fed`` feeds of several
    kinds (:mod:`generators.feeding`). With ``apart`` no node uses what another does.

    ``announce`` is called with each target before it is executed, since eager frameworks can take the process down.
    ``avoid`` are the patterns that quarantine makes rare: a draw that matches one is dropped, but for a small share;
    ``settings`` are the converter's, as far as they are not its defaults, which patterns may ask for. ``wanted`` are
    combinations of a value profile, an element type and a family of operators which fresh operands have more often, and
    for the sake of which most graphs start with an operator or two (:mod:`generators.seeking`); ``asked`` are
    structures of which some graphs have one (:mod:`generators.asking`). Fewer nodes than asked for come back when draws
    keep being dropped, ValueError when none is found. More come back when a motif does not fit into the rest, and where
    the graph takes a rare shape (:mod:`generators.structures`).
    """
    growth = begin(frontend, choices, weights=weights, avoid=avoid, settings=settings, announce=announce, wanted=wanted)
    growth.apart = apart
    for cell in sought(growth, nodes):
        seek(growth, cell)
    starts: list[int] = []
    if growth.weights.motifs and nodes >= LEAST:
        growth.asked = heeded(choices, asked)
        if shape := of_kind(growth.asked, RARE) or rare_shape(choices):
            grow_shape(growth, shape)
        name, mutation = motif_of(growth.asked)
        if name or mutation:
            growth.motif(name, mutation)
        # A motif starts in the first half of every ten nodes.
        starts = [
            start + choices.integer(0, min(nodes, 10) // 2)
            for start in range(0, max(nodes - 9, 1), 10)
            if choices.fraction() < MOTIF_SHARE
        ]
        # Every motif takes the place of operators drawn at random: the one that was asked for is the first ten nodes'.
        starts = [start for start in starts if start >= 10 or not (name or mutation)]
    # Control flow mostly comes after the first nodes, and before the last.
    share = growth.weights.share
    wants = CONTROL_TRIES if share and choices.fraction() < share else 0
    place = choices.integer(0, max(nodes - 2, 0)) if wants and share < 1 else 0
    for _ in range(nodes * PATIENCE):
        if len(growth.nodes) >= nodes and not wants:
            break
        if (wants and len(growth.nodes) >= place) or share == 1:
            wants = 0 if not growth.control() else max(wants - 1, 0)
        elif starts and len(growth.nodes) >= starts[0]:
            del starts[0]
            growth.motif()
        else:
            growth.attempt()
    return growth.finish(dynamic, fed)


def begin(
    frontend: Frontend,
    choices: Choices,
    *,
    weights: Weights | None = None,
    avoid: Avoided | None = None,
    settings: Mapping[str, Form] | None = None,
    announce: Callable[[str], None] | None = None,
    wanted: Sequence[Cell] = (),
) -> Growth:
    """An empty graph to be grown, its value profiles drawn; arguments as for :func:`grow`."""
    weights = weights or Weights.of(frontend)
    # Special values come into graphs that want non-finite results alone.
    wanted = [cell for cell in wanted if cell[2] in weights.families or not weights.families]
    special = sum(profile == "special" for profile, _, _ in wanted)
    nonfinite = choices.fraction() < (max(0.25, 0.8 * special / len(wanted)) if special else 0.15)
    profile_weights = {**WEIGHTS, "special": 6.0, "integer_extremes": 2.0} if nonfinite else WEIGHTS
    if not nonfinite and choices.fraction() < 0.25:
        profile_weights = {**WEIGHTS, "integer_extremes": 2.0}
    profiles = Profiles(profile_weights, nonfinite=nonfinite, wanted=wanted)
    return Growth(frontend, choices, weights, profiles, avoid or Avoided(), settings, announce, wanted)
