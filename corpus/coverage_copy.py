"""Coverage from one corpus into another, where the same names have other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table, delete, select
from sqlalchemy.orm import Session

from corpus.coverage import numbers
from corpus.sequences import BITS, LONGEST, OTHERS, compress, sequences_of
from corpus.tables import Base, NameRow, ScopeRow

#: Rows that are written in one statement.
_AT_ONCE = 500


def copy_scope(source: Session, target: Session, scope: ScopeRow, tables: set[str]) -> None:
    """The counts of a scope in the place of those that the target has of it. ``tables`` are those of the source.

    CorpusError for coverage that is damaged.
    """
    place = {"campaign_id": scope.campaign_id, "frontend": scope.frontend, "converter": scope.converter}
    there = target.scalars(select(ScopeRow).filter_by(**place, format=scope.format)).first()
    if there is None:
        there = ScopeRow(**place, format=scope.format)
        target.add(there)
        target.flush()
    operators = _renumbering(source, target, scope.frontend, OTHERS)
    sides = (operators, _renumbering(source, target, scope.format, OTHERS))
    keys = _renumbering(source, target, f"{scope.frontend} keys", None)
    for table in Base.metadata.sorted_tables:
        if "scope_id" not in table.c:
            continue
        target.execute(delete(table).where(table.c.scope_id == there.id))
        if table.name not in tables:
            continue
        rows = []
        for row in source.execute(select(table).where(table.c.scope_id == scope.id)):
            values = {**row._mapping, "scope_id": there.id}
            if "sequence" in values:
                values["sequence"] = int(renumbered(np.array([values["sequence"]]), sides[values["side"]])[0])
            if "data" in values:
                found = sequences_of(values["batch_number"], values["data"])
                values["data"] = compress(renumbered(found, sides[values["side"]]).tolist())
            if "operator" in values:
                values["operator"] = int(operators[values["operator"]])
            if "key" in values:
                values["key"] = int(keys[values["key"]])
            rows.append(values)
        _insert(target, table, rows)


def renumbered(sequences: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Packed sequences with another number for each operator; ``numbers`` holds the new one at the place of the old."""
    found = np.zeros_like(sequences)
    for place in range(LONGEST):
        digits = (sequences >> BITS * place) & OTHERS
        found |= numbers[digits] << BITS * place
    return found


def _renumbering(source: Session, target: Session, vocabulary: str, others: int | None) -> NDArray[np.int64]:
    """The target's number of each of the source's names, at the place of the source's number; 0 stays, and what has no
    number of its own keeps the one that all those share."""
    query = select(NameRow.number, NameRow.name).where(NameRow.vocabulary == vocabulary)
    theirs = {number: name for number, name in source.execute(query)}
    ours = numbers(target, vocabulary, theirs.values(), others)
    found = np.zeros(max([*theirs, OTHERS]) + 1, np.int64)
    if others is not None:
        found[others] = others
    for number, name in theirs.items():
        found[number] = ours[name]
    return found


def _insert(session: Session, table: Table, rows: list[dict[str, Any]]) -> None:
    """Write rows; those that became one by renumbering are counted together."""
    keys = [column.name for column in table.primary_key]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        place = tuple(row[name] for name in keys)
        if place in found:
            found[place]["count"] += row["count"]
        else:
            found[place] = row
    merged = list(found.values())
    for start in range(0, len(merged), _AT_ONCE):
        session.execute(table.insert(), merged[start : start + _AT_ONCE])
