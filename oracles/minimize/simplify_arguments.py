"""Arguments become defaults, numbers simple ones, tuples uniform or shorter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from generators.graph import Argument, Case, DType, Graph, Node, Ref, Slice, Symbol
from generators.transforms import map_arguments
from oracles.minimize.bodies import Place, edited, places
from oracles.minimize.edits import Edit, change_node
from oracles.minimize.literals import Path, argument_at, arguments, drop_argument, replace_argument
from oracles.minimize.simplicity import argument_cost

NAME = "arguments"


def propose(case: Case) -> Iterator[Edit]:
    """Everything default (bold), then each argument of each node: left out, or replaced by something simpler."""
    yield from _propose(case)
    for place, body in places(case.graph):
        for edit in _propose(_as_case(body)):
            yield Edit(NAME, f"{place}: {edit.what}", _inside(place, edit))


def _as_case(body: Graph) -> Case:
    """A body as a case: what its inputs hold has no part in this."""
    return Case(body, {value.name: np.zeros(()) for value in body.inputs})


def _inside(place: Place, edit: Edit) -> Callable[[Case], Case | None]:
    """The edit of a body, as one of the case."""

    def change(body: Graph) -> Graph:
        changed = edit.apply(_as_case(body))
        return body if changed is None else replace(body, nodes=changed.graph.nodes)

    return lambda case: edited(case, place, change, {})


def _propose(case: Case) -> Iterator[Edit]:
    nodes = case.graph.nodes
    for label, change in (("keywords dropped", _without_keywords), ("numbers near 0", _near_zero)):
        yield Edit(NAME, label, _every(change), bold=True)
    for index, node in enumerate(nodes):
        if len(node.kwargs) > 1:
            yield _edit(index, "keywords dropped", _without_keywords)
        for path, value in arguments(node):
            if len(path) == 1 and (isinstance(path[0], str) or path[0] == len(node.args) - 1):
                yield _edit(index, f"drop {path}", _dropped(path))
            for simpler in _simpler(value, first=path == (0,)):
                yield _edit(index, f"{path} = {simpler!r}", _replacement(path, value, simpler))


def _edit(index: int, what: str, change: Callable[[Node], Node | None]) -> Edit:
    return Edit(NAME, f"node {index}: {what}", lambda case: change_node(case, index, change))


def _every(change: Callable[[Node], Node | None]) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        changed: Case | None = None
        for index in range(len(case.graph.nodes)):
            changed = change_node(changed or case, index, change) or changed
        return changed

    return apply


def _without_keywords(node: Node) -> Node:
    return replace(node, kwargs=())


def _near_zero(node: Node) -> Node:
    """Integers beyond 1 and below -1 become 1 and -1, floats their sign."""

    def change(value: Argument) -> Argument:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) <= 1:
            return value
        return type(value)(1 if value > 0 else -1)

    return map_arguments(node, change)


def _dropped(path: Path) -> Callable[[Node], Node | None]:
    return lambda node: drop_argument(node, path)


def _replacement(path: Path, old: Argument, new: Argument) -> Callable[[Node], Node | None]:
    def change(node: Node) -> Node | None:
        try:
            current = argument_at(node, path)
        except KeyError:
            return None
        # repr tells True from 1 and 0.0 from 0, which are equal.
        return replace_argument(node, path, new) if repr(current) == repr(old) else None

    return change


def _simpler(value: Argument, *, first: bool) -> list[Argument]:
    """Candidates that cost less than the value. References only become None, and never the first argument."""
    found: list[Argument] = []
    if isinstance(value, Ref):
        return [] if first else [None]
    if isinstance(value, bool):
        found = [False, None]
    elif isinstance(value, int):
        found = [0, 1, 2, -1, abs(value), value // 2, value - 1, None]
    elif isinstance(value, float):
        found = [0.0, 1.0, 2.0, 0.5, -1.0]
        if value == value and abs(value) < 1e15:
            found += [float(round(value)), round(value, 1), round(value, 2), abs(value)]
    elif isinstance(value, complex):
        found = [0.0, 1.0, value.real, complex(round(value.real), round(value.imag))]
    elif isinstance(value, (str, Symbol, DType)):
        found = [None]
    elif isinstance(value, Slice):
        found = [Slice(), Slice(value.start, value.stop), Slice(None, value.stop, value.step), Slice(value.start)]
    elif isinstance(value, tuple) and not any(isinstance(item, (Ref, Graph)) for item in value):
        found = [None]
        distinct = list(dict.fromkeys(item for item in value if isinstance(item, (int, float))))
        if len(distinct) == len({repr(item) for item in value}):
            found += [*distinct, *((item,) * len(value) for item in (0, 1, *distinct) if len(distinct) > 1)]
        found += [tuple(sorted(distinct))] if distinct and len(distinct) == len(value) else []
        found += [value[:at] + value[at + 1 :] for at in range(len(value))] if len(value) > 1 else []
        found += [(value[0],)] if len(value) > 2 else []
    elif isinstance(value, tuple):
        found = [value[:at] + value[at + 1 :] for at in range(len(value))] if len(value) > 1 else []
    cost = argument_cost(value)
    return [item for item in found if argument_cost(item) < cost]
