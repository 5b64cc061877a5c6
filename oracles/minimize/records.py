"""What a minimization is given and what it returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from generators.graph import Case
from oracles.outcome import Observation


@dataclass(frozen=True)
class Budget:
    """What a minimization may use: ``seconds`` by the monotonic ``clock``, and ``conversions``.

    Checked before each question, so that the last conversion may end after the time is up.
    """

    seconds: float = 600.0
    conversions: int = 200
    clock: Callable[[], float] = time.monotonic


@dataclass
class PassStatistics:
    """What one pass did: candidates judged, those that still failed, candidates whose answer was known already,
    conversions and seconds used. Where passes share a conversion, it is counted with its seconds under their common
    name (``simplify``), and their candidates under their own ones."""

    tries: int = 0
    successes: int = 0
    remembered: int = 0
    conversions: int = 0
    seconds: float = 0.0


class Unreproducible(Exception):
    """The original case does not show the signature, so that there is nothing to minimize."""


@dataclass(frozen=True)
class Minimized:
    """The simplest case found that still shows the signature.

    ``observation`` is what was seen of exactly this case. ``conversions`` and ``seconds`` are what the whole
    minimization used, ``conversions_to_nodes`` the conversions until the set of nodes was final. ``complete`` is false
    when the budget ended it. ``others`` are cases that showed another bug on the way, the simplest one for each
    signature; nodes that, alone, fail with the same signature but call another operator are among them too.
    ``needs_special`` says that the failure needs NaN, infinities or extremes of integers in inputs or constants,
    ``flaky`` that a case which had failed passed when it was judged again.
    """

    case: Case
    observation: Observation
    conversions: int
    seconds: float
    complete: bool
    conversions_to_nodes: int = 0
    passes: Mapping[str, PassStatistics] = field(default_factory=dict)
    others: tuple[tuple[Case, Observation], ...] = ()
    needs_special: bool = False
    flaky: bool = False
