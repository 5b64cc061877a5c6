"""Coverage inside a transaction of the store: counts are added with each batch, and read as reports.

A sequence of operators is one integer: each operator has a number of :data:`BITS` bits in its vocabulary, the first
operator of the sequence the highest place. Up to five fit into 63 bits, nothing is lost by it, and sequences of one
length are a range of numbers. Short sequences, of which there are not too many, are counted in a table. Long ones are
nearly all distinct; each batch leaves those that it met, compressed, and who wants to know counts them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table, func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from corpus.errors import CorpusError
from corpus.records import (
    ArgumentCount,
    CellCount,
    Coverage,
    CoverageReport,
    OptionCount,
    Outcome,
    ProfileCount,
    RefusalCount,
    SequenceCount,
)
from corpus.tables import (
    ArgumentRow,
    BatchRow,
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

#: Bits of an operator's number.
BITS = 12
#: The number that all operators share for which no other is left.
OTHERS = (1 << BITS) - 1
#: Length of the sequences that the table of short ones holds, and of the longest.
SHORT, LONGEST = 2, 5

#: The class of an argument that is left to its default.
ABSENT = "absent"

_Counted: TypeAlias = "ArgumentRow | CellRow | OptionRow | ProfileRow | RefusalRow | SequenceRow | StructureRow"
_SIDES = ("source", "artifact")
#: Bytes of the sequences of one batch: eight for each, and hundreds of sequences for each node would be very many.
_MOST_BYTES = 1 << 28
#: Names that are asked for in one statement; databases limit the parameters of one.
_AT_ONCE = 5000


def pack(numbers: Sequence[int]) -> int:
    """One integer for a sequence of operators' numbers, each from 1 to OTHERS."""
    packed = 0
    for number in numbers:
        packed = packed << BITS | number
    return packed


def unpack(packed: int) -> tuple[int, ...]:
    """The numbers that were packed."""
    length = -(-packed.bit_length() // BITS)
    return tuple(packed >> BITS * place & OTHERS for place in reversed(range(length)))


def bounds(length: int) -> tuple[int, int]:
    """The range of the packed sequences of a length: not below the first number, below the second."""
    return 1 << BITS * (length - 1), 1 << BITS * length


# -- adding ------------------------------------------------------------------------------------------------------


def add(session: Session, batch: BatchRow, coverage: Coverage) -> None:
    """Add the counts of a batch to those of its converter and campaign."""
    scope = _scope(session, batch, coverage.format)
    operators: Mapping[str, int] = {}
    for side, counts in reversed(list(enumerate((coverage.source, coverage.artifact)))):
        vocabulary = coverage.format if side else batch.frontend
        operators = numbers(session, vocabulary, {name for key in counts for name in key.split(" ")}, OTHERS)
        _add_sequences(session, scope, side, batch.number, operators, counts)
    arguments = [
        {"scope_id": scope, "operator": operators[operator], "place": place, "kind": kind, "count": count}
        for operator, place, kind, count in _flat(coverage.arguments)
    ]
    _upsert(session, ArgumentRow, arguments)
    names = {key for outcomes in coverage.cells.values() for counts in outcomes.values() for key in counts}
    names |= {key for refusals in coverage.refusals.values() for key in refusals}
    keys = numbers(session, _keys_of(batch.frontend), names)
    cells = [
        {"scope_id": scope, "variant": variant, "outcome": outcome, "key": keys[key], "count": count}
        for variant, outcome, key, count in _flat(coverage.cells)
    ]
    _upsert(session, CellRow, cells)
    structures = [
        {"scope_id": scope, "name": name, "count": count} for name, count in sorted(coverage.structures.items())
    ]
    _upsert(session, StructureRow, structures)
    profiles = [
        {"scope_id": scope, "profile": profile, "dtype": dtype, "family": family, "count": count}
        for profile, dtype, family, count in _flat(coverage.profiles)
    ]
    _upsert(session, ProfileRow, profiles)
    options = [
        {"scope_id": scope, "option": option, "setting": setting, "outcome": outcome, "count": count}
        for option, setting, outcome, count in _flat(coverage.options)
    ]
    _upsert(session, OptionRow, options)
    refusals = [
        {"scope_id": scope, "component": component, "key": keys[key], "what": what, "count": count}
        for component, key, what, count in _flat(coverage.refusals)
    ]
    _upsert(session, RefusalRow, refusals)


def _flat(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[tuple[str, str, str, int]]:
    """Counts by three names, each with its names."""
    for first, inner in counts.items():
        for second, innermost in inner.items():
            for third, count in innermost.items():
                yield first, second, third, count


def _keys_of(frontend: str) -> str:
    """The vocabulary of a frontend's node keys."""
    return f"{frontend} keys"


def _scope(session: Session, batch: BatchRow, format: str) -> int:
    place = {
        "campaign_id": batch.campaign_id,
        "frontend": batch.frontend,
        "converter": batch.converter,
        "format": format,
    }
    row = session.scalars(select(ScopeRow).filter_by(**place)).first()
    if row is None:
        row = ScopeRow(**place)
        session.add(row)
        session.flush()
    return row.id


def numbers(session: Session, vocabulary: str, names: Iterable[str], others: int | None = None) -> dict[str, int]:
    """The number of each name, new ones for those that have none. With ``others``, numbers end below it, and all names
    that find none left have that one."""
    ordered = sorted(names)
    known: dict[str, int] = {}
    for start in range(0, len(ordered), _AT_ONCE):
        query = select(NameRow.name, NameRow.number).where(
            NameRow.vocabulary == vocabulary, NameRow.name.in_(ordered[start : start + _AT_ONCE])
        )
        known.update((name, number) for name, number in session.execute(query))
    missing = [name for name in ordered if name not in known]
    if missing:
        highest = session.scalar(select(func.max(NameRow.number)).where(NameRow.vocabulary == vocabulary)) or 0
        for number, name in enumerate(missing, highest + 1):
            if others is None or number < others:
                session.add(NameRow(vocabulary=vocabulary, number=number, name=name))
                known[name] = number
            else:
                known[name] = others
        session.flush()
    return known


def _add_sequences(
    session: Session, scope: int, side: int, batch: int, operators: Mapping[str, int], counts: Mapping[str, int]
) -> None:
    limit = bounds(SHORT)[1]
    short: dict[int, int] = {}
    long: list[int] = []
    for text, count in counts.items():
        sequence = pack([operators[name] for name in text.split(" ")])
        if sequence < limit:
            short[sequence] = short.get(sequence, 0) + count
        else:
            long += [sequence] * count
    rows = [
        {"scope_id": scope, "side": side, "sequence": sequence, "count": count} for sequence, count in short.items()
    ]
    _upsert(session, SequenceRow, rows)
    if long:
        session.add(LongSequencesRow(scope_id=scope, batch_number=batch, side=side, data=compress(long)))
        session.flush()


def compress(sequences: Sequence[int]) -> bytes:
    """Packed sequences, in ascending order and byte plane by byte plane, which leaves most to compress."""
    ordered = np.sort(np.array(sequences, "<i8"))
    return zlib.compress(ordered.view(np.uint8).reshape(-1, 8).T.tobytes())


def decompress(data: bytes) -> NDArray[np.int64]:
    """The packed sequences in ascending order. ValueError for data that :func:`compress` did not make: a corpus may
    come from somebody else, and a few bytes can be made to fill any memory."""
    reader = zlib.decompressobj()
    try:
        planes = np.frombuffer(reader.decompress(data, _MOST_BYTES), np.uint8).reshape(8, -1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not reader.eof:
        raise ValueError("too long, or cut short")
    return np.ascontiguousarray(planes.T).view("<i8").reshape(-1)


def sequences_of(batch: int, data: bytes) -> NDArray[np.int64]:
    """The long sequences that a batch left, packed. CorpusError when they are damaged."""
    try:
        return decompress(data)
    except ValueError as error:
        raise CorpusError(
            f"the coverage of batch {batch} is damaged: {error}", "restore the corpus from a backup"
        ) from error


def _upsert(session: Session, kind: type[_Counted], rows: list[dict[str, Any]]) -> None:
    """Add the counts of the rows to those that are there, in one statement."""
    if not rows:
        return
    table = kind.__table__
    assert isinstance(table, Table)
    connection = session.connection()
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(table)
    statement = statement.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={"count": table.c.count + statement.excluded["count"]}
    )
    connection.execute(statement, rows)


# -- reading -----------------------------------------------------------------------------------------------------


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
        names = _names(session, _keys_of(frontend))
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
    names = _names(session, _keys_of(frontend))
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
    names = _names(session, _keys_of(frontend))
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
