"""Inputs become dense and row-major."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from generators.graph import Case
from oracles.minimize.edits import Edit

NAME = "layouts"


def propose(case: Case) -> Iterator[Edit]:
    """All inputs dense (bold), then each."""
    yield Edit(NAME, "all dense", _dense(None), bold=True)
    for value in case.graph.inputs:
        if value.layout:
            yield Edit(NAME, f"{value.name} dense", _dense(value.name))


def _dense(name: str | None) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        inputs = tuple(
            replace(value, layout=()) if name in (None, value.name) else value for value in case.graph.inputs
        )
        return None if inputs == case.graph.inputs else replace(case, graph=replace(case.graph, inputs=inputs))

    return apply
