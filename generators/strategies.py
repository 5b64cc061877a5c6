"""Hypothesis strategies: random graphs whose every decision Hypothesis makes, so that failures shrink.

A property over graphs takes a case and need not know how it came about::

    @given(graphs("torch", nodes=(1, 4)))
    def test_my_exporter(case): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from generators.frontends.base import frontend as find_frontend
from generators.graph import Case
from generators.growth import Growth
from generators.random_graphs import CONTROL_TRIES, PATIENCE, begin
from generators.weights import Weights

T = TypeVar("T")

#: Decisions are drawn as integers below this: they shrink to simpler ones faster than floats do.
_STEPS = 1 << 16


class HypothesisChoices:
    """:class:`generators.choices.Choices` on a Hypothesis ``draw`` function."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    @contextmanager
    def drawing(self, draw: Any) -> Iterator[None]:
        """Make decisions with another ``draw`` for a while."""
        before, self._draw = self._draw, draw
        try:
            yield
        finally:
            self._draw = before

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def fraction(self) -> float:
        # Shrinks towards 1, at which no optional thing is chosen: flags are fractions below their probability.
        return 1.0 - float(self._draw(st.integers(1, _STEPS)) / _STEPS)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.integer(0, _STEPS - 1))


@st.composite
def graphs(
    draw: Any,
    frontend: str = "torch",
    *,
    nodes: int | tuple[int, int] = (1, 6),
    operators: Sequence[str] = (),
    factors: Mapping[str, float] | None = None,
    control_flow: bool = False,
    dynamic: bool = False,
    fed: bool = False,
) -> Case:
    """Cases of a frontend with that number of nodes, or from the first to the second number of them.

    With ``control_flow``, an operator that takes bodies is added to them, and what computes its predicate. ``factors``
    multiply the weights of operators (0 excludes one), as in :meth:`generators.weights.Weights.of`; with
    ``operators``, graphs are made of those whose target matches one of these patterns (``tf.nn.*``) alone.
    With ``dynamic``, cases have dynamic dimensions and feeds at several sizes, as far as a marking is found that their
    graph takes (:mod:`generators.marking`); with ``fed``, further feeds of other values (:mod:`generators.feeding`).
    Every case is valid: it has been executed while it grew. KeyError for a frontend that is not installed, ValueError
    when no operator matches.
    """
    vocabulary = find_frontend(frontend)
    low, high = (nodes, nodes) if isinstance(nodes, int) else nodes
    choices = HypothesisChoices(draw)
    growth = begin(vocabulary, choices, weights=Weights.of(vocabulary, factors, only=operators))
    for _ in range(high * PATIENCE):
        if len(growth.nodes) >= high or not draw(_attempt(growth, choices, optional=len(growth.nodes) >= low)):
            break
    if control_flow and not any(not draw(_control(growth, choices)) for _ in range(CONTROL_TRIES)):
        reject()
    if len(growth.nodes) < max(low, 1):
        reject()
    return growth.finish(float(dynamic), float(fed)).case


@st.composite
def _attempt(draw: Any, growth: Growth, choices: HypothesisChoices, *, optional: bool) -> bool:
    """Try an operator, unless it is optional and Hypothesis wants no more. A strategy of its own, since what one
    strategy draws is what Hypothesis can delete in one piece: nodes vanish from anywhere in the graph."""
    if optional and not draw(st.integers(0, 7)):
        return False
    with choices.drawing(draw):
        growth.attempt()
    return True


@st.composite
def _control(draw: Any, growth: Growth, choices: HypothesisChoices) -> str:
    """Try an operator of control flow; why it could not be added."""
    with choices.drawing(draw):
        return growth.control()
