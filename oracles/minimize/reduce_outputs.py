"""Outputs reduced to one that shows the failure; inputs that nothing uses removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from generators.graph import Case
from generators.transforms import trim, with_outputs
from oracles.minimize.edits import Edit
from oracles.minimize.returned import idle_inputs, trimmed

NAME = "outputs"


def propose(case: Case) -> Iterator[Edit]:
    """No unused inputs; each output once; each output alone (and, of those that are there several times, twice), then
    all but each."""
    if idle_inputs(case.graph):
        yield Edit(NAME, "no unused input", _without_idle, bold=True)
    names = tuple(dict.fromkeys(case.graph.outputs))
    if len(case.graph.outputs) == 1:
        return
    if len(names) < len(case.graph.outputs):
        yield Edit(NAME, "each output once", _keep(names), bold=True)
    made = case.graph.producers()
    for name in names:
        # Of an output that no node makes, nothing but the outputs would be left to tell of.
        if name in made or not case.graph.nodes:
            yield Edit(NAME, f"only {name}", _keep((name,)))
    for name, count in Counter(case.graph.outputs).items():
        if count > 1 and len(case.graph.outputs) > 2:
            yield Edit(NAME, f"only {name}, twice", _keep((name, name)))
    for left_out in names if len(names) > 2 or len(names) < len(case.graph.outputs) else ():
        yield Edit(NAME, f"without {left_out}", _without(left_out))


def _keep(names: tuple[str, ...]) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        if len(names) >= len(case.graph.outputs) or Counter(names) - Counter(case.graph.outputs):
            return None
        return trimmed(case, with_outputs(case.graph, names))

    return apply


def _without(left_out: str) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        names = tuple(name for name in case.graph.outputs if name != left_out)
        if not names or len(names) == len(case.graph.outputs):
            return None
        return trimmed(case, with_outputs(case.graph, names))

    return apply


def _without_idle(case: Case) -> Case | None:
    return trim(case) if idle_inputs(case.graph) else None
