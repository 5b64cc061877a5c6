"""Dynamic dimensions become static, at one of the sizes or one symbol after the other; cases have fewer feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from generators.graph import Array, Case, Input
from generators.sizes import at_size, extents_at, fitted, is_dynamic, remarked, symbols_of
from oracles.minimize.edits import Edit

NAME = "sizes"


def propose(case: Case) -> Iterator[Edit]:
    """Static with each of the feeds alone (bold), with those of a single further size (bold) or none, or with those of
    one in place of the first; each symbol static, all sizes but each."""
    dynamic, count = is_dynamic(case.graph), len(case.further)
    if not dynamic and not count:
        return
    for number in range(count + 1):
        yield Edit(NAME, f"static at size {number}", _static(number), bold=True)
    for number in range(1, count + 1) if dynamic else ():
        yield Edit(NAME, f"first at size {number}", _first(number))
    for number in range(count) if count > 1 else ():
        yield Edit(NAME, f"only further size {number + 1}", _keep(number), bold=True)
    yield Edit(NAME, "no further size", _keep(None))
    symbols = symbols_of(case.graph)
    for symbol in symbols if len(symbols) > 1 else ():
        yield Edit(NAME, f"{symbol} static", _pinned(symbol))
    for number in range(count) if count > 2 else ():
        yield Edit(NAME, f"without further size {number + 1}", _drop(number))


def _static(number: int) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        several = bool(case.further) or is_dynamic(case.graph)
        return at_size(case, number) if several and number <= len(case.further) else None

    return apply


def _first(number: int) -> Callable[[Case], Case | None]:
    """Converted with those feeds, where these have the first size, and run with no others."""

    def apply(case: Case) -> Case | None:
        if not is_dynamic(case.graph) or number > len(case.further):
            return None
        alike = extents_at(case, number) == extents_at(case, 0)
        return replace(case, feeds=case.further[number - 1], further=()) if alike else None

    return apply


def _keep(number: int | None) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        if number is None:
            return replace(case, further=()) if case.further else None
        return replace(case, further=(case.further[number],)) if number < len(case.further) > 1 else None

    return apply


def _drop(number: int) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        left = (*case.further[:number], *case.further[number + 1 :])
        return replace(case, further=left) if len(left) < len(case.further) else None

    return apply


def _pinned(symbol: str) -> Callable[[Case], Case | None]:
    """The dimensions of the symbol have the extent at any size that they are converted with."""

    def unmarked(value: Input) -> Input:
        marking = tuple(None if one == symbol else one for one in value.dynamic)
        return replace(value, dynamic=marking if any(marking) else ())

    def resized(value: Input, feed: Array) -> Array:
        shape = tuple(
            declared if marked == symbol else extent
            for extent, declared, marked in zip(feed.shape, value.type.shape, value.dynamic, strict=True)
        )
        return fitted(feed, shape)

    def apply(case: Case) -> Case | None:
        if symbol not in extents_at(case, 0):
            return None
        inputs = case.graph.inputs
        further = tuple(
            {value.name: resized(value, feeds[value.name]) if value.dynamic else feeds[value.name] for value in inputs}
            for feeds in case.further
        )
        graph = replace(case.graph, inputs=tuple(unmarked(value) for value in inputs))
        return remarked(replace(case, graph=graph, further=further))

    return apply
