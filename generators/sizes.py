"""Dynamic dimensions and several feeds of a case: its symbols, its sizes, the marking that fits its feeds.

A graph says which dimensions of its inputs are dynamic (:attr:`generators.graph.Input.dynamic`). A case has feeds at
the sizes that the model is converted with and, in ``further``, at others, or at the same with other values. Sizes are
numbered: 0 are the former, and a size that equals another with other values has a number of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from generators.graph import Array, Case, Graph, Input, TensorType


class Recorded(dict[str, Array]):
    """Every value of a case by name as eager mode computed it; ``further`` has them at the case's further sizes."""

    def __init__(self, values: Mapping[str, Array], further: Iterable[Mapping[str, Array]] = ()) -> None:
        super().__init__(values)
        self.further = tuple(further)


def is_dynamic(graph: Graph) -> bool:
    """Whether a dimension of an input is marked."""
    return any(value.dynamic for value in graph.inputs)


def symbols_of(graph: Graph) -> tuple[str, ...]:
    """The symbols of dynamic dimensions, each once, in the order of the inputs."""
    return tuple(dict.fromkeys(symbol for value in graph.inputs for symbol in value.dynamic if symbol))


def marking_of(graph: Graph) -> list[dict[int, str]]:
    """For each input the symbols of its dynamic dimensions by axis."""
    return [{axis: symbol for axis, symbol in enumerate(value.dynamic) if symbol} for value in graph.inputs]


def extents_at(case: Case, number: int) -> dict[str, int]:
    """The extent of each symbol at the size of that number."""
    feeds = case.further[number - 1] if number else case.feeds
    return {
        symbol: feeds[value.name].shape[axis]
        for value in case.graph.inputs
        for axis, symbol in enumerate(value.dynamic)
        if symbol
    }


def size_text(case: Case, number: int) -> str:
    """Such as ``s0=5, s1=1``, or ``feeds 2`` where there are several of that size (1 are those that the model is
    converted with)."""
    extents = extents_at(case, number)
    alike = sum(extents_at(case, other) == extents for other in range(len(case.further) + 1))
    parts = [f"{symbol}={extent}" for symbol, extent in extents.items()]
    return ", ".join([*parts, f"feeds {number + 1}"] if alike > 1 else parts)


def static(case: Case) -> Case:
    """The case with the feeds that it is converted with and no others, no dimension marked."""
    return at_size(case, 0) if case.further or is_dynamic(case.graph) else case


def pinned(case: Case) -> Case:
    """The case at the sizes that it is converted with, no dimension marked, with all of its feeds that have these."""
    if not is_dynamic(case.graph):
        return case
    first = extents_at(case, 0)
    alike = [number for number in range(1, len(case.further) + 1) if extents_at(case, number) == first]
    return replace(at_size(case, 0), further=tuple(case.further[number - 1] for number in alike))


def at_size(case: Case, number: int) -> Case:
    """The case at the size of that number, no dimension marked. Types of the inputs are right, those of nodes are for
    execution to correct."""
    feeds = case.further[number - 1] if number else case.feeds
    inputs = tuple(
        replace(value, type=TensorType(value.type.dtype, feeds[value.name].shape), dynamic=())
        for value in case.graph.inputs
    )
    return Case(replace(case.graph, inputs=inputs), feeds, case.profiles)


def fitted(array: Array, shape: Sequence[int]) -> Array:
    """The array cut or repeated along each axis to another shape of the same rank; zeros where it has no elements."""
    shape = tuple(shape)
    if array.shape == shape:
        return array
    if not array.size:
        return np.zeros(shape, array.dtype)
    for axis, extent in enumerate(shape):
        if array.shape[axis] != extent:
            array = np.take(array, np.arange(extent) % array.shape[axis], axis)
    return array


def remarked(case: Case) -> Case:
    """The case with the marking that fits its feeds, which must have the same ranks at all sizes.

    What is marked stays marked, and a dimension whose extent varies becomes so. Symbols are named anew: dimensions that
    had one symbol keep one where they agree at all sizes; one that had none shares that of a dimension which always has
    the same extent. Feeds that are there twice go.
    """
    inputs = case.graph.inputs
    sets = [case.feeds]
    seen = {_identity(inputs, case.feeds)}
    for feeds in case.further:
        identity = _identity(inputs, feeds)
        if identity not in seen:
            seen.add(identity)
            sets.append(feeds)
    names: dict[tuple[str, tuple[int, ...]], str] = {}
    by_extents: dict[tuple[int, ...], str] = {}
    found: dict[tuple[str, int], str] = {}
    places = [
        (value.name, axis, value.dynamic[axis] if value.dynamic else None)
        for value in inputs
        for axis in range(value.type.rank)
    ]
    for name, axis, symbol in sorted(places, key=lambda place: place[2] is None):
        extents = tuple(feeds[name].shape[axis] for feeds in sets)
        if symbol is None and len(set(extents)) == 1:
            continue
        new = by_extents.get(extents) if symbol is None else names.get((symbol, extents))
        if new is None:
            new = names[symbol or "", extents] = f"s{len(names)}"
            by_extents.setdefault(extents, new)
        found[name, axis] = new
    marked = []
    for value in inputs:
        marking = tuple(found.get((value.name, axis)) for axis in range(value.type.rank))
        marked.append(replace(value, dynamic=marking if any(marking) else ()))
    graph = replace(case.graph, inputs=tuple(marked))
    return Case(graph, case.feeds, case.profiles, tuple(sets[1:]))


def _identity(inputs: Sequence[Input], feeds: Mapping[str, Array]) -> tuple[tuple[tuple[int, ...], bytes], ...]:
    return tuple((feeds[value.name].shape, feeds[value.name].tobytes()) for value in inputs)
