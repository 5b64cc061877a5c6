"""Coverage counted inside a transaction of the store, with each batch; :mod:`corpus.coverage_report` reads it.

Short sequences of operators (:mod:`corpus.sequences`), of which there are not too many, are counted in a table. Long
ones are nearly all distinct; each batch leaves those that it met, compressed, and who wants to know counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from corpus.records import Coverage
from corpus.sequences import OTHERS, SHORT, bounds, compress, pack
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

_Counted: TypeAlias = "ArgumentRow | CellRow | OptionRow | ProfileRow | RefusalRow | SequenceRow | StructureRow"
#: Names that are asked for in one statement; databases limit the parameters of one.
_AT_ONCE = 5000


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
    keys = numbers(session, keys_of(batch.frontend), names)
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


def keys_of(frontend: str) -> str:
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
