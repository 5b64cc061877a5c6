"""Structures that a graph can be asked to have: rare shapes, unusual inputs and outputs, motifs, mutations.

All of them come up by themselves, some rarely: a campaign asks for what it has not had yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from generators.choices import Choices
from generators.motifs import KINDS, names
from generators.motifs.vocabularies import VOCABULARIES
from generators.structures import RARE, UNUSUAL, WITHOUT

#: Share of the graphs that heed what is asked for.
SHARE = 0.3
_MOTIF, _MUTATION = "motif ", "mutation "


def askable(frontend: str) -> tuple[str, ...]:
    """Everything that graphs of the frontend can be asked to have, by the names under which it is counted."""
    known = names(frontend)
    if not known:
        return ()
    without = VOCABULARIES[frontend].without
    return (
        *(name for name in (*RARE, *UNUSUAL) if name not in WITHOUT.get(frontend, ())),
        *motifs_to_ask(frontend),
        *(f"{_MUTATION}{kind}" for kind in KINDS if kind not in without),
    )


def motifs_to_ask(frontend: str) -> tuple[str, ...]:
    """The motifs that graphs of the frontend can be asked to have, by the names under which they are counted."""
    return tuple(f"{_MOTIF}{name}" for name in names(frontend))


def heeded(choices: Choices, asked: Sequence[str]) -> str:
    """What a graph is to have of what is asked for; mostly nothing, and always where nothing is."""
    return choices.pick(asked) if asked and choices.fraction() < SHARE else ""


def of_kind(name: str, kind: Iterable[str]) -> str:
    """The name, if it is one of those."""
    return name if name in kind else ""


def motif_of(name: str) -> tuple[str, str]:
    """The motif and the mutation that a name asks for, each empty where it does not."""
    return (
        name.removeprefix(_MOTIF) if name.startswith(_MOTIF) else "",
        name.removeprefix(_MUTATION) if name.startswith(_MUTATION) else "",
    )
