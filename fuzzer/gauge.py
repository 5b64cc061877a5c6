"""Finding artifacts that are far larger, or run far slower, than they need be; see :mod:`oracles.performance`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from fuzzer.formats import Artifact
from fuzzer.prepared import Prepared, Sized
from fuzzer.runtimes.base import Runtime
from generators.frontends.base import EvaluationError, Frontend
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.performance import FOUND, ROUNDS, Limits, best, expected_bytes, size_words, time_words, usual

#: Seconds that the runs of one measurement may take together, roughly: after that there are no more rounds.
_PATIENCE = 10.0
#: A runtime's name and its variant.
Place = tuple[str, str]
#: Takes the step of a run on a runtime, under a variant: the supervisor has to know what is at work.
Stepping = Callable[[str, str], AbstractContextManager[None]]


@dataclass
class Gauge:
    """Measures for one subject. ``limits`` tell what is too much."""

    frontend: Frontend
    converter: str
    limits: Limits = FOUND
    #: Seconds of the runs of the artifact at work, at its first size.
    seconds: dict[Place, float] = field(default_factory=dict)

    def timed(self, place: Place, run: Callable[[], object], taken: float) -> None:
        """Take note of what a first run took. One that took long is run again: the first may have compiled."""
        if taken > self.limits.time.excess:
            started = time.perf_counter()
            run()
            taken = min(taken, time.perf_counter() - started)
        self.seconds[place] = taken

    def bloated(self, prepared: Sequence[Prepared], artifact: Artifact) -> Observation | None:
        """What is too large about the artifact of these cases, if anything is."""
        size = len(artifact.data) + sum(map(len, artifact.files.values()))
        if size <= self.limits.size.excess:
            return None
        try:
            expected = sum(expected_bytes(item.case, item.sizes[0].analyst.eager()) for item in prepared)
        except EvaluationError:
            return None  # nothing to compare with
        if not self.limits.size.among(len(prepared)).exceeded(size, expected):
            return None
        numbers = {"bytes": float(size), "expected_bytes": float(expected), "ratio": size / expected}
        signature = Signature(Stage.CONVERT, self.converter, Kind.BLOATED)
        return Observation(signature, Verdict.BUG, size_words(size, expected), numbers=numbers)

    def suspects(self, prepared: Sequence[Prepared]) -> list[Place]:
        """Where the runs took so long that they are to be measured."""
        limit = self.limits.time.among(len(prepared))
        slow = [place for place, taken in self.seconds.items() if taken > limit.excess]
        if not slow:
            return []
        try:
            eager = sum(self._eager(item.sizes[0]) for item in prepared)
        except EvaluationError:
            return []  # nothing to compare with
        return [place for place in slow if limit.exceeded(self.seconds[place], eager)]

    def measured(
        self,
        item: Prepared,
        artifact: Artifact,
        suspects: Sequence[Place],
        variants: Sequence[tuple[Runtime, str]],
        step: Stepping,
    ) -> list[Observation]:
        """What is too slow about the artifact of one case, from several runs of everybody in turns. Where each variant
        is that was asked, the converter is at fault, else the runtime."""
        asked = [(runtime, variant) for runtime, variant in variants if (runtime.name, variant) in self.seconds]
        size = item.sizes[0]
        runs: dict[Place, list[float]] = {}
        eager: list[float] = []
        sessions: dict[Place, object] = {}
        started = time.perf_counter()
        while len(eager) <= ROUNDS and (len(eager) < 2 or time.perf_counter() - started < _PATIENCE):
            eager.append(self._eager(size))
            for runtime, variant in asked:
                place = (runtime.name, variant)
                with step(*place):
                    if place not in sessions:
                        sessions[place] = runtime.load(artifact, runtime.variants[variant])
                    before = time.perf_counter()
                    runtime.run(sessions[place], artifact, size.feeds())
                    runs.setdefault(place, []).append(time.perf_counter() - before)
        # What runs for the first time in a session, or at all, is slower.
        times = {place: taken[1:] for place, taken in runs.items()}
        return self._judged(times, eager[1:], suspects)

    def _judged(
        self, times: Mapping[Place, Sequence[float]], eager: Sequence[float], suspects: Sequence[Place]
    ) -> list[Observation]:
        limit = self.limits.time
        slow = [place for place in suspects if limit.exceeded(best(times[place]), usual(eager))]
        others = [taken for place, taken in times.items() if place not in slow]
        if others:
            slow = [place for place in slow if limit.exceeded(best(times[place]), usual(*others))]
        if not slow:
            return []
        sibling = usual(*others) if others else None
        groups: dict[tuple[Stage, str], list[Place]] = {}
        for place in slow:
            key = (Stage.INFERENCE, place[0]) if others else (Stage.CONVERT, self.converter)
            groups.setdefault(key, []).append(place)
        found = []
        for (stage, component), places in groups.items():
            seconds = best(times[places[0]])
            own = ", ".join(variant for _, variant in places)
            settings = own if others else ", ".join(map(" ".join, places))
            numbers = {"seconds": seconds, "eager_seconds": usual(eager), "ratio": seconds / usual(eager)}
            if sibling is not None:
                numbers["sibling_seconds"] = sibling
            signature = Signature(stage, component, Kind.SLOW, own if others else "")
            words = time_words(seconds, usual(eager), sibling)
            found.append(Observation(signature, Verdict.BUG, words, settings=settings, numbers=numbers))
        return found

    def _eager(self, size: Sized) -> float:
        """Seconds that eager mode takes."""
        started = time.perf_counter()
        self.frontend.run(size.case.graph, size.case.feeds)
        return time.perf_counter() - started
