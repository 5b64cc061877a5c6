"""Arguments and results that hold several tensors are taken apart, and dictionaries become tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from generators.graph import Case, Graph, Input, Path
from generators.grouping import WHOLE, is_grouped, returns_grouped, ungrouped
from oracles.minimize.edits import Edit

NAME = "grouping"


def propose(case: Case) -> Iterator[Edit]:
    """Each input an argument by itself, and each output a result (bold), then the outputs alone, then the inputs of
    each argument, then each; one level less; dictionaries and lists tuples."""
    graph = case.graph
    if is_grouped(graph) or returns_grouped(graph):
        yield Edit(NAME, "no grouping", lambda case: replace(case, graph=ungrouped(case.graph)), bold=True)
    if returns_grouped(graph):
        yield from _results(graph)
    if not is_grouped(graph):
        return
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


def _results(graph: Graph) -> Iterator[Edit]:
    """The outputs without places, one after the other, and all of them in one level."""
    yield Edit(NAME, "results apart", lambda case: replace(case, graph=replace(case.graph, places=())))
    if graph.frontend in WHOLE:
        return
    there = [name for name, _ in graph.places if name in graph.outputs]
    for gone in there if len(there) > 1 else ():
        yield Edit(NAME, f"result {gone} apart", partial(_placed, gone=gone))
    if any(len(path) > 2 for _, path in graph.places):
        yield Edit(NAME, "results of one level", _flattened)


def _placed(case: Case, *, gone: str) -> Case:
    places = tuple((name, path) for name, path in case.graph.places if name != gone)
    return replace(case, graph=replace(case.graph, places=places))


def _flattened(case: Case) -> Case:
    """Each result a dictionary of one level."""
    numbers: dict[str, int] = {}
    places = []
    for name, path in case.graph.places:
        holder = str(path[0])
        places.append((name, (holder, f"k{numbers.setdefault(holder, 0)}")))
        numbers[holder] += 1
    return replace(case, graph=replace(case.graph, places=tuple(places)))


def _apart(names: frozenset[str]) -> Callable[[Input], Path | None]:
    return lambda value: () if value.name in names else None


def _paths(change: Callable[[Input], Path | None]) -> Callable[[Case], Case | None]:
    """An edit that gives inputs the paths that ``change`` says, where it says one."""

    def apply(case: Case) -> Case | None:
        inputs = []
        for value in case.graph.inputs:
            path = change(value)
            inputs.append(value if path is None else replace(value, path=path))
        paths = [value.path for value in inputs if value.path]
        kinds = {(path[0], type(path[1])) for path in paths}
        if len(set(paths)) < len(paths) or len({group for group, _ in kinds}) < len(kinds):
            return None
        return replace(case, graph=replace(case.graph, inputs=tuple(inputs)))

    return apply


def _numbered(case: Case) -> Case | None:
    """Arguments of one level become tuples, in the order of their keys."""
    counts: dict[object, int] = {}
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
