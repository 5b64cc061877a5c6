"""Graphs of a rare shape: a deep chain, a wide graph, one with a constant that is large or of some kilobytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np

from generators.choices import Choices
from generators.draw import Call, Draw, Handle, Profiles, Rejected, argument_of
from generators.frontends.base import Frontend
from generators.graph import FLOATING, Array
from generators.motifs.builder import Builder, Ended, Place
from generators.motifs.vocabularies import VOCABULARIES
from generators.operators.registry import Registry
from generators.structures import DEPTH, KILOBYTES, LARGE, WIDTH

#: Attempts for each node of a chain or of a wide graph.
_PATIENCE = 10
#: Attempts in a row that fail before a chain goes on from the value before.
_STUCK = 12
_COMMON = (*FLOATING, "int32", "int64")
#: Columns of a large constant.
_COLUMNS = 64


class _Weighted(Protocol):
    def pick(self, choices: Choices) -> str: ...


class Growing(Place, Protocol):
    """A graph that grows, as far as a shape needs to know it."""

    frontend: Frontend
    registry: Registry
    choices: Choices
    profiles: Profiles
    names: Iterator[int]
    motifs: list[str]

    @property
    def weights(self) -> _Weighted:
        """Operators with their probabilities."""
        ...


def grow_shape(growth: Growing, shape: str) -> None:
    """Grow a graph of that shape (:data:`generators.structures.RARE`), as far as it gets: what a converter is known to
    fail on is left out of shapes, too. KeyError for another name."""
    grow = {"deep chain": _chain, "wide graph": _wide, "large constant": _large, "constant of kilobytes": _kilobytes}[
        shape
    ]
    with suppress(Ended, Rejected):
        grow(growth)


def _chain(growth: Growing) -> None:
    """Each node uses the result of the one before, which has more than one element and is not large."""
    chain = [_start(growth)]
    failed = 0
    for _ in range(DEPTH * _PATIENCE):
        if len(chain) > DEPTH:
            break
        result = _on(growth, chain[-1], lasting=True)
        if result is not None:
            chain.append(result)
            failed = 0
            continue
        failed += 1
        if failed == _STUCK and len(chain) > 1:  # few operators take such a value
            chain.pop()
            failed = 0


def _wide(growth: Growing) -> None:
    """All nodes use the same value; their results are outputs, but for those of a dtype that are added up."""
    root = _start(growth)
    results: list[Handle] = []
    for _ in range(WIDTH * _PATIENCE):
        if len(results) == WIDTH:
            break
        result = _on(growth, root, lasting=False)
        if result is not None:
            results.append(result)
    alike = [handle for handle in results if handle.type == root.type][:32]
    if len(alike) > 1 and growth.choices.fraction() < 0.5:
        m = Builder(growth, _draw(growth, growth.handles))
        m.op("concat", *alike, axis=-1 if m.words.batch_first else 0)


def _large(growth: Growing) -> None:
    """A constant of over 2 MiB."""
    m = Builder(growth, _draw(growth, growth.handles))
    _table(m, math.ceil(LARGE / 4 / _COLUMNS) + m.draw.integer(0, 64))


def _kilobytes(growth: Growing) -> None:
    """A constant of 1 to 64 KiB, small ones as often as large ones."""
    m = Builder(growth, _draw(growth, growth.handles))
    least, most = (math.log2(size / 4 / _COLUMNS) for size in KILOBYTES)
    _table(m, math.ceil(2 ** (least + growth.choices.fraction() * (most - least))))


def _table(m: Builder, rows: int) -> None:
    """A constant of 256 bytes a row, of which a few rows are looked up or sliced, or that a row is multiplied with."""

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    # Drawn beside Draw.tensor's limit, which is there for what is computed with in full.
    # Where constants are no operands, they are tables of layers.
    way = m.draw.integer(0, 2) if m.words.constants else 0
    shape = (rows, _COLUMNS) if way < 2 else (_COLUMNS, rows)
    table = m.draw.large(shape, "float32", elements)
    # Each way has an input, so that the table is not made one (see ``Growth.finish``).
    if way == 0:
        indices = m.draw.tensor((m.draw.integer(1, 8),), ("int64", "int32"), spread_over(rows), constant=False)
        m.op("gather", table, indices)
    elif way == 1:
        count = m.draw.integer(1, min(rows, 8))
        start = m.draw.integer(0, rows - count)
        part = m.slice(table, 0, start, start + count)
        m.op("mul", part, m.draw.tensor((_COLUMNS,), "float32", "typical", constant=False))
    else:
        row = m.draw.tensor((1, _COLUMNS), "float32", "typical", constant=False)
        m.op("max", m.op("matmul", row, table), axes=(1,), keepdims=m.draw.flag())


def spread_over(count: int) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """Elements for :meth:`Draw.tensor`: indices below ``count``."""
    return lambda rng, shape, dtype: rng.integers(0, count, shape).astype(dtype)


def _start(growth: Growing) -> Handle:
    """A value of 2 to 64 elements to begin with; it is added to the graph with the first node that uses it."""
    draw = _draw(growth, ())
    while True:
        ranks = (2, 3) if VOCABULARIES[growth.frontend.name].batch_first else (1, 2, 3)
        handle = draw.tensor(draw.shape(ranks, minimum=2, maximum=5), "float32", constant=False)
        if handle.size <= 64:
            break
        draw.forget(handle)
    m = Builder(growth, draw)
    return m.op("identity", handle)


def _on(growth: Growing, handle: Handle, *, lasting: bool) -> Handle | None:
    """The first result of a drawn operator on that value; None when it does not use it, or fails. A ``lasting`` result
    has 2 to 256 elements of a dtype that many operators take."""
    target = growth.weights.pick(growth.choices)
    draw = Draw(growth.frontend, growth.choices, target, (handle,), growth.profiles, growth.names)
    try:
        call: Call = growth.registry[target].sampler(draw)
    except Rejected:
        return None
    if not _uses(call, handle):
        return None
    before = len(growth.handles) + len(draw.fresh.handles)
    if growth.place(call, draw, wanted=False):
        return None
    result = growth.handles[before]
    if lasting and not (2 <= result.size <= 256 and result.dtype in _COMMON):
        return None
    return result


def _uses(call: Call, handle: Handle) -> bool:
    used: dict[str, Handle] = {}
    for value in (*call.args, *call.kwargs.values()):
        argument_of(value, used)
    return handle.name in used


def _draw(growth: Growing, handles: Sequence[Handle]) -> Draw:
    return Draw(growth.frontend, growth.choices, "", handles, growth.profiles, growth.names)
