"""How many graphs to put into one conversion: what a conversion costs is measured, and so is how often one is refused.

The cost of a conversion of n nodes is ``fixed + linear n + quadratic n²``, fitted on line by least squares with
forgetting, none of the three below zero: the fixed part is what packing saves, the quadratic part what it costs (passes
that look at every node for every rule). A pack that a subject refuses is split in two, recursively. So the expected
cost of k graphs of n nodes, each refused with probability p, is::

    cost(k) = convert(k n) + (1 - (1 - p)^k) · 2 cost(k / 2),   cost(1) = convert(n)

and the best pack is the one with the least ``cost(k) / k``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from generators.graph import Array

#: Sizes of packs that are considered.
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
#: Conversions before the model is believed, and the weight of one that is a hundred conversions old.
_ENOUGH = 6
_FORGETTING = 0.99
#: Nodes are counted in this unit, so that the three terms are of one magnitude.
_UNIT = 100.0


@dataclass
class CostModel:
    """Seconds of a conversion by its number of nodes."""

    _moments: Array = field(default_factory=lambda: np.zeros((3, 3)))
    _sums: Array = field(default_factory=lambda: np.zeros(3))
    observed: int = 0

    def observe(self, nodes: int, seconds: float) -> None:
        """A conversion of so many nodes took so many seconds. Large ones weigh no more than small ones."""
        terms = _terms(nodes)
        weight = 1.0 / max(seconds, 1e-3) ** 2
        self._moments = _FORGETTING * self._moments + weight * np.outer(terms, terms)
        self._sums = _FORGETTING * self._sums + weight * seconds * terms
        self.observed += 1

    def coefficients(self) -> tuple[float, float, float]:
        """``fixed`` (seconds), ``linear`` (per 100 nodes) and ``quadratic`` (per 100 nodes squared)."""
        active = [0, 1, 2]
        while active:
            moments = self._moments[np.ix_(active, active)]
            ridge = 1e-6 * np.trace(moments) / len(active) * np.eye(len(active))
            solution = np.linalg.solve(moments + ridge, self._sums[active])
            if (solution >= 0).all():
                found = dict(zip(active, map(float, solution), strict=True))
                return found.get(0, 0.0), found.get(1, 0.0), found.get(2, 0.0)
            # The most negative term cannot be there.
            del active[int(np.argmin(solution))]
        return 0.0, 0.0, 0.0

    def seconds(self, nodes: float) -> float:
        """What a conversion of so many nodes is expected to take."""
        return float(np.dot(self.coefficients(), _terms(nodes)))

    @property
    def known(self) -> bool:
        """Whether enough conversions were seen to go by."""
        return self.observed >= _ENOUGH


def _terms(nodes: float) -> Array:
    scaled = nodes / _UNIT
    return np.array([1.0, scaled, scaled * scaled])


def best_pack(model: CostModel, nodes: int, refusal: float, usual: int) -> int:
    """How many graphs of so many nodes to convert together, each of which is refused with probability ``refusal``.

    Until the model is known it is ``usual``, or fewer where refusals are frequent.
    """
    if not model.known:
        return max(1, min(usual, round(0.5 / max(refusal, 0.01))))
    fixed, linear, quadratic = model.coefficients()

    def convert(count: float) -> float:
        scaled = count * nodes / _UNIT
        # Judging costs something, too, so that a model that is all zero does not ask for the largest pack.
        return fixed + linear * scaled + quadratic * scaled * scaled + 1e-4 * count

    @functools.cache
    def cost(count: int) -> float:
        if count == 1:
            return convert(1)
        splits = 1 - (1 - refusal) ** count
        return convert(count) + splits * (cost(count // 2) + cost(count - count // 2))

    return min(SIZES, key=lambda count: cost(count) / count)
