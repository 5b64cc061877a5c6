"""Coverage read as reports, inside a transaction of the store; :mod:`corpus.coverage` counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from corpus.coverage import keys_of
from corpus.records import (
    ArgumentCount,
    CellCount,
    CoverageReport,
    OptionCount,
    Outcome,
    ProfileCount,
    RefusalCount,
    SequenceCount,
)
from corpus.sequences import LONGEST, SHORT, bounds, sequences_of, unpack
from corpus.tables import (
    ArgumentRow,
    CellRow,
    LongSequencesRow,
    NameRow,
    OptionRow,
    ProfileRow,
    RefusalRow,
    ScopeRow,
    SequenceRow,
    StructureRow,
)

#: The class of an argument that is left to its default.
ABSENT = "absent"
_SIDES = ("source", "artifact")


def counted(session: Session) -> bool:
    """Whether the corpus has tables for coverage: one that an older version made, and that was never opened for writing
    since, has not."""
    return bool(inspect(session.connection()).has_table(ScopeRow.__tablename__))


def drawn(session: Session, converter: str, campaign: str | None) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """See :meth:`corpus.store.Store.drawn`."""
    keys: dict[str, int] = {}
    pairs: dict[tuple[str, str], int] = {}
    if not counted(session):
        return keys, pairs
    for frontend, scopes in _grouped(_scopes(session, campaign, converter), lambda scope: scope.frontend):
        cells = select(CellRow.key, func.sum(CellRow.count)).where(
            CellRow.scope_id.in_(scopes), CellRow.variant == "", CellRow.outcome == Outcome.STARTED.value
        )
        names = _names(session, keys_of(frontend))
        for key, count in session.execute(cells.group_by(CellRow.key)):
            keys[names[key]] = keys.get(names[key], 0) + int(count)
        names = _names(session, frontend)
        for sequence, count in _short(session, scopes, 0, SHORT):
            first, second = unpack(sequence)
            pairs[names[first], names[second]] = pairs.get((names[first], names[second]), 0) + count
    return keys, pairs


def report(session: Session, campaign: str | None, converter: str | None) -> CoverageReport:
    """See :meth:`corpus.store.Store.coverage`."""
    scopes = _scopes(session, campaign, converter) if counted(session) else []
    converters: dict[str, tuple[str, ...]] = {}
    sequences: list[SequenceCount] = []
    operators: dict[str, dict[str, int]] = {}
    cells: list[CellCount] = []
    arguments: list[ArgumentCount] = []
    structures: dict[str, dict[str, int]] = {}
    profiles: list[ProfileCount] = []
    options: list[OptionCount] = []
    refusals: list[RefusalCount] = []
    for frontend, chosen in _grouped(scopes, lambda scope: scope.frontend):
        converters[frontend] = tuple(sorted({scope.converter for scope in scopes if scope.frontend == frontend}))
        names = _names(session, frontend)
        operators[frontend] = {names[sequence]: count for sequence, count in _short(session, chosen, 0, 1)}
        sequences += _sequences(session, 0, frontend, chosen)
        arguments += _arguments(session, frontend, chosen, names, operators[frontend])
        structures[frontend] = _structures(session, chosen)
        profiles += _profiles(session, frontend, chosen)
        for name in converters[frontend]:
            own = [scope.id for scope in scopes if (scope.frontend, scope.converter) == (frontend, name)]
            cells += _cells(session, frontend, name, own)
            options += _options(session, frontend, name, own)
            refusals += _refusals(session, frontend, name, own)
    for format, chosen in _grouped(scopes, lambda scope: scope.format):
        sequences += _sequences(session, 1, format, chosen)
    return CoverageReport(
        converters,
        tuple(sequences),
        operators,
        tuple(cells),
        tuple(arguments),
        structures,
        tuple(profiles),
        tuple(options),
        tuple(refusals),
    )


def _structures(session: Session, scopes: Sequence[int]) -> dict[str, int]:
    """Cases by structure; none in a corpus of a version that did not count them, opened for reading alone."""
    if not inspect(session.connection()).has_table(StructureRow.__tablename__):
        return {}
    query = (
        select(StructureRow.name, func.sum(StructureRow.count))
        .where(StructureRow.scope_id.in_(scopes))
        .group_by(StructureRow.name)
        .order_by(StructureRow.name)
    )
    return {name: int(count) for name, count in session.execute(query)}


def _profiles(session: Session, frontend: str, scopes: Sequence[int]) -> Iterator[ProfileCount]:
    """Operands by profile; none in a corpus of a version that did not count them, opened for reading alone."""
    if not inspect(session.connection()).has_table(ProfileRow.__tablename__):
        return
    places = (ProfileRow.profile, ProfileRow.dtype, ProfileRow.family)
    query = (
        select(*places, func.sum(ProfileRow.count))
        .where(ProfileRow.scope_id.in_(scopes))
        .group_by(*places)
        .order_by(*places)
    )
    for profile, dtype, family, count in session.execute(query):
        yield ProfileCount(frontend, profile, dtype, family, int(count))


def _scopes(session: Session, campaign: str | None, converter: str | None) -> list[ScopeRow]:
    query = select(ScopeRow).order_by(ScopeRow.frontend, ScopeRow.converter, ScopeRow.id)
    if campaign is not None:
        query = query.where(ScopeRow.campaign_id == campaign)
    if converter is not None:
        query = query.where(ScopeRow.converter == converter)
    return list(session.scalars(query))


def _grouped(scopes: Iterable[ScopeRow], by: Callable[[ScopeRow], str]) -> Iterator[tuple[str, list[int]]]:
    """The ids of the scopes that share a frontend (or a format), with its name."""
    found: dict[str, list[int]] = {}
    for scope in scopes:
        found.setdefault(by(scope), []).append(scope.id)
    yield from sorted(found.items())


class _Names(dict[int, str]):
    def __missing__(self, number: int) -> str:
        return "…"  # OTHERS


def _names(session: Session, vocabulary: str) -> _Names:
    query = select(NameRow.number, NameRow.name).where(NameRow.vocabulary == vocabulary)
    return _Names((number, name) for number, name in session.execute(query))


def _short(session: Session, scopes: Sequence[int], side: int, length: int) -> Iterator[tuple[int, int]]:
    """The short sequences of a length with their counts."""
    low, high = bounds(length)
    query = (
        select(SequenceRow.sequence, func.sum(SequenceRow.count))
        .where(
            SequenceRow.scope_id.in_(scopes),
            SequenceRow.side == side,
            SequenceRow.sequence >= low,
            SequenceRow.sequence < high,
        )
        .group_by(SequenceRow.sequence)
    )
    for sequence, count in session.execute(query):
        yield sequence, int(count)


def _sequences(session: Session, side: int, vocabulary: str, scopes: Sequence[int]) -> Iterator[SequenceCount]:
    for length in range(1, LONGEST + 1):
        if length <= SHORT:
            counts = np.array([count for _, count in _short(session, scopes, side, length)], np.int64)
        else:
            # One length at a time: all of them together would take as much more memory.
            _, counts = np.unique(_long(session, scopes, side, length), return_counts=True)
        if len(counts):
            once = int((counts == 1).sum())
            yield SequenceCount(_SIDES[side], vocabulary, length, int(counts.sum()), len(counts), once)


def _long(session: Session, scopes: Sequence[int], side: int, length: int) -> NDArray[np.int64]:
    query = select(LongSequencesRow.batch_number, LongSequencesRow.data).where(
        LongSequencesRow.scope_id.in_(scopes), LongSequencesRow.side == side
    )
    parts: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for batch, data in session.execute(query.execution_options(yield_per=500)):
        sequences = sequences_of(batch, data)
        start, stop = np.searchsorted(sequences, bounds(length))
        parts.append(sequences[start:stop].copy())
    return np.concatenate(parts)


def _cells(session: Session, frontend: str, converter: str, scopes: Sequence[int]) -> Iterator[CellCount]:
    names = _names(session, keys_of(frontend))
    query = (
        select(CellRow.variant, CellRow.outcome, CellRow.key, func.sum(CellRow.count))
        .where(CellRow.scope_id.in_(scopes))
        .group_by(CellRow.variant, CellRow.outcome, CellRow.key)
        .order_by(CellRow.variant, CellRow.outcome, CellRow.key)
    )
    for variant, outcome, key, count in session.execute(query):
        yield CellCount(frontend, converter, variant, outcome, names[key], int(count))


def _options(session: Session, frontend: str, converter: str, scopes: Sequence[int]) -> Iterator[OptionCount]:
    if not inspect(session.connection()).has_table(OptionRow.__tablename__):
        return  # a corpus of a version that did not count them, opened for reading alone
    place = (OptionRow.option, OptionRow.setting, OptionRow.outcome)
    query = (
        select(*place, func.sum(OptionRow.count))
        .where(OptionRow.scope_id.in_(scopes))
        .group_by(*place)
        .order_by(*place)
    )
    for option, setting, outcome, count in session.execute(query):
        yield OptionCount(frontend, converter, option, setting, outcome, int(count))


def _refusals(session: Session, frontend: str, converter: str, scopes: Sequence[int]) -> Iterator[RefusalCount]:
    if not inspect(session.connection()).has_table(RefusalRow.__tablename__):
        return
    names = _names(session, keys_of(frontend))
    place = (RefusalRow.component, RefusalRow.key, RefusalRow.what)
    query = select(*place, func.sum(RefusalRow.count)).where(RefusalRow.scope_id.in_(scopes))
    for component, key, what, count in session.execute(query.group_by(*place).order_by(*place)):
        yield RefusalCount(frontend, converter, component, names[key], what, int(count))


def _arguments(
    session: Session, frontend: str, scopes: Sequence[int], names: Mapping[int, str], nodes: Mapping[str, int]
) -> Iterator[ArgumentCount]:
    query = (
        select(ArgumentRow.operator, ArgumentRow.place, ArgumentRow.kind, func.sum(ArgumentRow.count))
        .where(ArgumentRow.scope_id.in_(scopes))
        .group_by(ArgumentRow.operator, ArgumentRow.place, ArgumentRow.kind)
        .order_by(ArgumentRow.operator, ArgumentRow.place, ArgumentRow.kind)
    )
    given: dict[tuple[str, str], int] = {}
    for operator, place, kind, count in session.execute(query):
        if not set(place) & set("[."):
            given[names[operator], place] = given.get((names[operator], place), 0) + int(count)
        yield ArgumentCount(frontend, names[operator], place, kind, int(count))
    # Each place has one class in a node that gives the argument, so that the rest of the nodes have left it out.
    for (name, place), count in given.items():
        if nodes.get(name, 0) > count:
            yield ArgumentCount(frontend, name, place, ABSENT, nodes[name] - count)
