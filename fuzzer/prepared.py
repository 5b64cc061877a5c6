"""What an attempt works on, and what it may come to: cases with what is expected of them, what was spent, refusals."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from corpus.records import Outcome
from generators.graph import Array, Case
from oracles.noise import Analyst
from oracles.outcome import Observation, Stage


@dataclass(slots=True)
class Sized:
    """A case at one of its sizes, with the types that it has there and no dimension marked; ``expected`` are its
    outputs."""

    case: Case
    expected: list[Array]
    analyst: Analyst

    def feeds(self) -> list[Array]:
        """The arrays in the order of the inputs."""
        return [self.case.feeds[value.name] for value in self.case.graph.inputs]


@dataclass(slots=True)
class Prepared:
    """A case that eager mode ran twice with the same results: its types are right. ``sizes`` has it at each of its
    sizes, the one that it is converted with first."""

    number: int
    case: Case
    sizes: list[Sized]

    @property
    def expected(self) -> list[Array]:
        """The outputs at the size that it is converted with."""
        return self.sizes[0].expected


@dataclass(slots=True)
class Spent:
    """What was spent and counted."""

    conversions: int = 0
    #: Seconds of CPU time by what they were spent on.
    parts: Counter[str] = field(default_factory=Counter)
    funnel: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    costs: list[tuple[int, float]] = field(default_factory=list)

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Count the CPU time spent inside under this part, and not under the one around it."""
        started, inner = time.process_time(), self.parts.total()
        try:
            yield
        finally:
            self.parts[part] += time.process_time() - started - (self.parts.total() - inner)  # type: ignore[assignment]

    def count(self, outcome: Outcome, variant: str = "", number: int = 1) -> None:
        """Count cases that came to this outcome, under a runtime variant or, before any runtime, under ``''``."""
        self.funnel.setdefault(variant, Counter())[outcome.value] += number


class Printed(Exception):
    """A subject wrote to standard output."""

    def __init__(self, text: str, component: str, stage: Stage) -> None:
        super().__init__(text)
        self.text = text
        self.component = component
        self.stage = stage


class Refused(Exception):
    """A subject refused the union (or the single case) with these observations, one for each thing that it said;
    ``bug`` unless it is unsupported."""

    def __init__(self, *observations: Observation, bug: bool) -> None:
        super().__init__(observations[0].message)
        self.observations = observations
        self.bug = bug


#: Number of a case in its batch, the case, what was observed of it.
Judgement: TypeAlias = "tuple[int, Case, list[Observation]]"
#: Name and variant of a runtime, and what it gave at each size; nothing behind a first size that it refused.
Results: TypeAlias = "tuple[str, str, list[list[Array] | Refused]]"
