"""Motifs of real models, mutated or not, grown on the values at hand. Importing this package registers all of them.

:func:`grow_motif` is all that growth needs to know; see :mod:`generators.motifs.builder` for how it works.
"""

from __future__ import annotations

from generators.draw import Draw, Rejected
from generators.motifs import (
    activations,
    attention,
    chains,
    convolutions,
    exported,
    keras_models,
    layouts,
    normalizations,
)
from generators.motifs.builder import Builder, Ended, Place
from generators.motifs.mutations import KINDS
from generators.motifs.registry import MOTIFS, names, pick

__all__ = [
    "CUT",
    "KINDS",
    "MOTIFS",
    "activations",
    "attention",
    "chains",
    "convolutions",
    "exported",
    "grow_motif",
    "keras_models",
    "layouts",
    "names",
    "normalizations",
]

#: Share of the motifs that are mutated: a fusion has to be hit as well as missed.
MUTATED = 0.5
#: What is added to the name of a motif of which not all nodes could be placed.
CUT = " (cut short)"


def grow_motif(place: Place, draw: Draw, *, name: str = "", mutation: str = "") -> tuple[str, ...]:
    """Grow a motif, the named one or a drawn one, and say what was grown, for statistics: ``motif layer norm``, or
    ``motif layer norm (cut short)`` when a node of it could not be placed, and ``mutation axis`` if one was made."""
    chosen = MOTIFS[name] if name else pick(draw.choices, draw.frontend.name)
    builder = Builder(place, draw, mutation)
    if not mutation and draw.flag(MUTATED):
        without = builder.words.without
        builder.mutation = draw.weighted({kind: weight for kind, weight in KINDS.items() if kind not in without})
    cut = ""
    try:
        chosen.grow(builder)
    except (Ended, Rejected):
        cut = CUT
    except (IndexError, KeyError, ValueError, ZeroDivisionError):
        # A mutation has given a value another rank or extent than the motif reckons with.
        if not builder.made:
            raise
        cut = CUT
    return (f"motif {chosen.name}{cut}", *(f"mutation {kind}" for kind in builder.made))
