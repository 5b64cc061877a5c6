"""The second step of judging: what may a correct implementation in this precision return?

Monte Carlo arithmetic (Parker 1997; Verificarlo; CADNA): the source graph is run several times in its own precision
with random errors of the size of a rounding put in wherever a rounding can happen (:mod:`oracles.noisy_runs`), and once
in double precision. The largest deviation seen at an element bounds, times a factor of safety, what rounding can do to
it, through cancellation, chaos and discontinuities alike (:mod:`oracles.bounds`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from generators.frontends.base import Frontend
from generators.graph import Array, Case
from oracles.bounds import SAFETY, Bound, NoiseAnalysis, include, start
from oracles.noisy_runs import NoisyRuns

#: Samples of a first look, of the one that a bug must survive, and of one more where results jump.
FEW, MANY, MOST = 8, 32, 128


class Analyst:
    """Noise analysis of one case, which goes on from what it has when more is asked. ``seed`` fixes the noise;
    ``getting_on`` is called before each run of the graph, of which a large one takes seconds for each."""

    def __init__(
        self, frontend: Frontend, case: Case, seed: int = 0, getting_on: Callable[[], None] = lambda: None
    ) -> None:
        self._frontend = frontend
        self._case = case
        self._seed = seed
        self._getting_on = getting_on
        self._runs: NoisyRuns | None = None
        self._bounds: dict[int, Bound] = {}
        #: Samples taken so far of each output.
        self._taken: Counter[int] = Counter()

    def eager(self) -> Mapping[str, Array]:
        """Every value by name as eager mode computes it. EvaluationError when it refuses the case."""
        if self._runs is None:
            self._getting_on()
            self._runs = NoisyRuns(self._frontend, self._case, self._seed)
        return self._runs.eager

    @property
    def refused(self) -> bool:
        """Whether an operator refused what noise made of its arguments, in any sample so far."""
        return any(bound.problem and not bound.reshapes for bound in self._bounds.values())

    def bounds(self, outputs: Iterable[int] | None = None, samples: int = FEW) -> NoiseAnalysis:
        """Bound the outputs with these indices (all of them unless given) from at least ``samples`` noisy runs.

        EvaluationError when eager mode refuses the case itself. A noisy run that an operator refuses makes the outputs
        that depend on it unbounded; a refusal in double precision makes the reference go on from the eager operator.
        """
        names = self._case.graph.outputs
        wanted = list(range(len(names))) if outputs is None else sorted(set(outputs))
        eager = self.eager()
        assert self._runs is not None
        run = self._runs
        for index in wanted:
            if index not in self._bounds:
                self._getting_on()
                reference = run.reference([names[index]])
                self._bounds[index] = start(eager[names[index]], reference[names[index]])
        while fewest := [index for index in wanted if self._taken[index] < samples]:
            number = min(self._taken[index] for index in fewest)
            fewest = [index for index in fewest if self._taken[index] == number]
            amplitude = SAFETY if number % 2 else 1.0
            self._getting_on()
            values, problem = run.sample(amplitude, [names[index] for index in fewest])
            for index in fewest:
                self._taken[index] += 1
                if names[index] in values:
                    include(self._bounds[index], values[names[index]], amplitude)
                else:
                    self._bounds[index].problem = problem
        return NoiseAnalysis({index: self._bounds[index] for index in wanted}, tuple(run.notes))
