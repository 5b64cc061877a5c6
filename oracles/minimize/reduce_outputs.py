"""Outputs reduced to one that shows the failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from generators.graph import Case
from generators.transforms import trim, with_graph, with_outputs
from oracles.minimize.edits import Edit

NAME = "outputs"


def propose(case: Case) -> Iterator[Edit]:
    """Each output alone, then all but each."""
    names = tuple(dict.fromkeys(case.graph.outputs))
    if len(case.graph.outputs) == 1:
        return
    for name in names:
        yield Edit(NAME, f"only {name}", _keep((name,)))
    for left_out in names if len(names) > 2 else ():
        yield Edit(NAME, f"without {left_out}", _keep(tuple(name for name in names if name != left_out)))


def _keep(names: tuple[str, ...]) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        if not set(names) < set(case.graph.outputs) and len(names) >= len(case.graph.outputs):
            return None
        if not set(names) <= set(case.graph.outputs):
            return None
        return trim(with_graph(case, with_outputs(case.graph, names)))

    return apply
