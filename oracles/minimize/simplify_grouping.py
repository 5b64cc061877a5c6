"""Arguments that hold several tensors are taken apart, and dictionaries become tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from generators.graph import Case, Input
from generators.grouping import is_grouped, ungrouped
from oracles.minimize.edits import Edit

NAME = "grouping"


def propose(case: Case) -> Iterator[Edit]:
    """Each input an argument by itself (bold), then those of each argument, then each; one level less; dictionaries
    tuples."""
    graph = case.graph
    if not is_grouped(graph):
        return
    yield Edit(NAME, "no grouping", lambda case: replace(case, graph=ungrouped(case.graph)), bold=True)
    groups = dict.fromkeys(value.path[0] for value in graph.inputs if value.path)
    for group in groups if len(groups) > 1 else ():
        members = frozenset(value.name for value in graph.inputs if group in value.path[:1])
        yield Edit(NAME, f"{group} apart", _paths(_apart(members)))
    for value in graph.inputs:
        if value.path:
            yield Edit(NAME, f"{value.name} apart", _paths(_apart(frozenset((value.name,)))))
    # What is deeper goes where the argument itself was, and keys that are there twice cannot be.
    yield Edit(NAME, "one level", _paths(lambda value: (value.path[0], value.path[-1]) if value.path else None))
    yield Edit(NAME, "tuples", _numbered)


def _apart(names: frozenset[str]) -> Callable[[Input], tuple[str | int, ...] | None]:
    return lambda value: () if value.name in names else None


def _paths(change: Callable[[Input], tuple[str | int, ...] | None]) -> Callable[[Case], Case | None]:
    """An edit that gives inputs the paths that ``change`` says, where it says one."""

    def apply(case: Case) -> Case | None:
        inputs = []
        for value in case.graph.inputs:
            path = change(value)
            inputs.append(value if path is None else replace(value, path=path))
        paths = [value.path for value in inputs if value.path]
        kinds = {(path[0], isinstance(path[1], str)) for path in paths}
        if len(set(paths)) < len(paths) or len({group for group, _ in kinds}) < len(kinds):
            return None
        return replace(case, graph=replace(case.graph, inputs=tuple(inputs)))

    return apply


def _numbered(case: Case) -> Case | None:
    """Arguments of one level become tuples, in the order of their keys."""
    counts: dict[str | int, int] = {}
    inputs = []
    for value in case.graph.inputs:
        if len(value.path) > 2:
            return None
        if value.path:
            number = counts.get(value.path[0], 0)
            counts[value.path[0]] = number + 1
            value = replace(value, path=(value.path[0], number))
        inputs.append(value)
    return replace(case, graph=replace(case.graph, inputs=tuple(inputs)))
