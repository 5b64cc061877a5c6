"""The motifs by name, and drawing one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from generators.choices import Choices
from generators.motifs.builder import Builder

Grower: TypeAlias = "Callable[[Builder], object]"

FRONTENDS = ("torch", "tensorflow", "onnx")


@dataclass(frozen=True, slots=True)
class Motif:
    """A motif: how it is grown, and by which frontends."""

    name: str
    grow: Grower
    frontends: tuple[str, ...]
    weight: float


MOTIFS: dict[str, Motif] = {}


def motif(name: str, *, frontends: Iterable[str] = FRONTENDS, weight: float = 1.0) -> Callable[[Grower], Grower]:
    """Decorator: register a function that grows a motif. ValueError when there is one of that name."""

    def register(grow: Grower) -> Grower:
        if name in MOTIFS:
            raise ValueError(f"there are two motifs called {name!r}")
        MOTIFS[name] = Motif(name, grow, tuple(frontends), weight)
        return grow

    return register


def names(frontend: str) -> tuple[str, ...]:
    """The names of a frontend's motifs, sorted, so that the order of imports never changes what a seed generates."""
    return tuple(sorted(name for name, item in MOTIFS.items() if frontend in item.frontends))


def pick(choices: Choices, frontend: str) -> Motif:
    """A motif of the frontend, by weight. ValueError when it has none."""
    candidates = [MOTIFS[name] for name in names(frontend)]
    if not candidates:
        raise ValueError(f"{frontend} has no motifs")
    left = choices.fraction() * sum(item.weight for item in candidates)
    for item in candidates:
        left -= item.weight
        if left < 0:
            return item
    return candidates[-1]
