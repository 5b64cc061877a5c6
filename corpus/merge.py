"""Two corpora become one: campaigns with all that belongs to them are copied, each in one transaction.

A campaign keeps its id, and so do its batches and findings, whose ids depend on nothing else. What is there already is
not added again: a merge that was interrupted, or is done again after the other corpus has grown, only adds what is new.
Of a campaign that both have, the one that has judged more is kept; where each has judged what the other has not, sums
over both cannot be told apart any more, and the campaign is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import delete, inspect, select
from sqlalchemy.orm import Session

from corpus.coverage_copy import copy_scope
from corpus.errors import CorpusError
from corpus.records import PENDING, BatchState, FindingState
from corpus.tables import (
    Base,
    BatchRow,
    BucketRow,
    CampaignRow,
    FindingRow,
    QuarantineRow,
    ScopeRow,
)

#: Rows that are written in one statement.
_AT_ONCE = 500
#: What depends on a finding's id alone is found by this column of its table.
_OF_FINDING = "finding_id"
#: Tables of a campaign that are not replaced as a whole.
_OWN = {row.__tablename__ for row in (BatchRow, FindingRow, ScopeRow)}


class MergedCampaign(msgspec.Struct, frozen=True):
    """What was added of a campaign. ``findings`` counts those that were not there; ``kept`` tells that the corpus had
    as much of it or more."""

    campaign: str
    batches: int = 0
    findings: int = 0
    kept: bool = False


def campaigns_of(session: Session) -> list[str]:
    """Ids of the campaigns, the oldest first."""
    return list(session.scalars(select(CampaignRow.id).order_by(CampaignRow.started, CampaignRow.id)))


def objects_of(session: Session, campaign: str) -> set[str]:
    """Digests of the objects that the findings of a campaign name."""
    columns = (FindingRow.case_object, FindingRow.minimized_object, FindingRow.reproducer_object)
    rows = session.execute(select(*columns).where(FindingRow.campaign_id == campaign))
    return {digest for row in rows for digest in row if digest}


def merge_campaign(
    source: Session, target: Session, campaign: str, write_reproducer: Callable[[str, str], object]
) -> MergedCampaign:
    """Copy a campaign into a transaction of another corpus. ``write_reproducer`` is called with the id of each finding
    that now is the verified representative of its bucket, and the digest of its script.

    CorpusError when both have it and neither has all that the other has, or they are different campaigns.
    """
    theirs = source.get_one(CampaignRow, campaign)
    ours = target.get(CampaignRow, campaign)
    have = _batches(target, campaign)
    come = _batches(source, campaign)
    if ours is not None:
        _check_same(ours, theirs, _judged(have), _judged(come))
    newer = ours is None or _judged(come) > _judged(have)
    if ours is None:
        target.add(CampaignRow(**_values(theirs)))
    elif newer:
        _update(ours, _values(theirs))
    target.flush()
    if newer:
        for number, row in come.items():
            known = have.get(number)
            if known is None:
                target.add(BatchRow(**_values(row)))
            else:
                _update(known, _values(row))
        target.flush()
        _sums(source, target, campaign)
    added = _findings(source, target, campaign, write_reproducer)
    target.flush()
    return MergedCampaign(campaign, len(come.keys() - have.keys()) if newer else 0, added, not newer)


def merge_quarantine(source: Session, target: Session) -> int:
    """Add what is quarantined there and not here. Returns how many entries."""
    added = 0
    for row in source.scalars(select(QuarantineRow)):
        if target.get(QuarantineRow, (row.converter, row.target, row.dtype)) is None:
            target.add(QuarantineRow(**_values(row)))
            added += 1
    target.flush()
    return added


# -- campaigns and batches -----------------------------------------------------------------------------------------


def _batches(session: Session, campaign: str) -> dict[int, BatchRow]:
    rows = session.scalars(select(BatchRow).where(BatchRow.campaign_id == campaign).order_by(BatchRow.number))
    return {row.number: row for row in rows}


def _judged(batches: dict[int, BatchRow]) -> set[int]:
    return {number for number, row in batches.items() if row.state == BatchState.JUDGED}


def _check_same(ours: CampaignRow, theirs: CampaignRow, have: set[int], come: set[int]) -> None:
    if (ours.seed, ours.started) != (theirs.seed, theirs.started):
        raise CorpusError(f"two different campaigns are called {ours.id}", "these corpora cannot become one")
    if have - come and come - have:
        raise CorpusError(
            f"campaign {ours.id} went on in both corpora: batches {_some(have - come)} were judged in one alone, "
            f"{_some(come - have)} in the other",
            "keep these corpora apart, or remove the campaign from one of them",
        )


def _some(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    return ", ".join(map(str, ordered[:3])) + (" …" if len(ordered) > 3 else "")


def _values(row: Base) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in inspect(type(row)).column_attrs}


def _update(row: Base, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)


# -- findings and buckets ------------------------------------------------------------------------------------------


def _findings(source: Session, target: Session, campaign: str, write: Callable[[str, str], object]) -> int:
    """Add the findings that are not there, and go on with those that the other corpus has got further with."""
    added = 0
    rows = source.scalars(
        select(FindingRow).where(FindingRow.campaign_id == campaign).order_by(FindingRow.created, FindingRow.id)
    )
    for row in rows:
        values = _values(row)
        bucket = values.pop("bucket_key")
        known = target.get(FindingRow, row.id)
        if known is None:
            # Its batch may have been judged further in this corpus than in the other.
            known = FindingRow(**values, bucket_key=None)
            target.add(known)
            target.flush()
            added += 1
        elif known.state in PENDING and row.state not in PENDING:
            _update(known, values)
        else:
            _dependents(source, target, row.id)
            continue
        if bucket:
            _into_bucket(target, known, bucket, write)
        target.flush()
        _dependents(source, target, row.id)
    return added


def _into_bucket(target: Session, row: FindingRow, key: str, write: Callable[[str, str], object]) -> None:
    """A finding into its bucket, as if it had been finished here: one verified finding represents it."""
    bucket = target.get(BucketRow, key)
    if bucket is None:
        target.add(BucketRow(key=key, representative_id=row.id))
        target.flush()
    elif row.state == FindingState.VERIFIED:
        representative = target.get_one(FindingRow, bucket.representative_id)
        if representative.state == FindingState.VERIFIED and representative.id != row.id:
            row.state = FindingState.DUPLICATE
        else:
            bucket.representative_id = row.id
    row.bucket_key = key
    if row.state == FindingState.VERIFIED and row.reproducer_object:
        write(row.id, row.reproducer_object)


def _dependents(source: Session, target: Session, finding: str) -> None:
    """What other tables hold of a finding, where this corpus holds nothing: rows that name it by its id."""
    for table in Base.metadata.sorted_tables:
        if _OF_FINDING not in table.c or table.name not in _tables(source):
            continue
        keys = list(table.primary_key)
        for values in _rows(source, table, {_OF_FINDING: finding}):
            there = select(table).where(*(column == values[column.name] for column in keys))
            if target.execute(there).first() is None:
                target.execute(table.insert().values(values))


# -- sums and coverage ---------------------------------------------------------------------------------------------


def _tables(session: Session) -> set[str]:
    """Names of the tables that a corpus has; one of an older version lacks some."""
    known: set[str] | None = session.info.get("tables")
    if known is None:
        known = set(inspect(session.connection()).get_table_names())
        session.info["tables"] = known
    return known


def _rows(session: Session, table: Any, place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    query = select(table).where(*(table.c[name] == value for name, value in place.items()))
    for row in session.execute(query):
        yield dict(row._mapping)


def _sums(source: Session, target: Session, campaign: str) -> None:
    """Whatever is summed over a campaign's batches, in the place of what is there of it."""
    for table in Base.metadata.sorted_tables:
        if "campaign_id" not in table.c or table.name in _OWN:
            continue
        target.execute(delete(table).where(table.c.campaign_id == campaign))
        if table.name in _tables(source):
            rows = list(_rows(source, table, {"campaign_id": campaign}))
            for start in range(0, len(rows), _AT_ONCE):
                target.execute(table.insert(), rows[start : start + _AT_ONCE])
    if ScopeRow.__tablename__ in _tables(source):
        for scope in source.scalars(select(ScopeRow).where(ScopeRow.campaign_id == campaign)):
            copy_scope(source, target, scope, _tables(source))
