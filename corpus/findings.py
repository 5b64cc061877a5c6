"""Findings and buckets inside a transaction of the store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TypeAlias, TypeVar

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus.classes import has_table, keep
from corpus.errors import CorpusError
from corpus.records import PENDING, Bucket, Finding, FindingState, Finish, NewFinding, PassRecord
from corpus.tables import (
    BatchRow,
    BlameRow,
    BucketRow,
    CampaignRow,
    FindingRow,
    FindingSettingsRow,
    FindingVariantsRow,
    PassesRow,
)
from generators.graph import digest_of
from oracles.blame import Blame
from oracles.outcome import Kind, Signature, Stage, Symptom

#: Hexadecimal digits of a finding's id: with a million findings, two share one with a probability of 1 in 500.
ID_DIGITS = 12

Setting: TypeAlias = "bool | int | float | str"
Row = TypeVar("Row", CampaignRow, FindingRow)


def signature_key(signature: Signature) -> str:
    """A digest that two signatures share when they are equal."""
    parts = [signature.stage, signature.component, signature.kind, signature.detail]
    return digest_of(json.dumps(parts).encode())


def insert(session: Session, batch: BatchRow, finding: NewFinding, digest: str) -> str | None:
    """Add a finding to a batch and return its id, which depends on campaign, batch, case and signature alone. None
    when it is there already."""
    key = signature_key(finding.signature)
    place = [batch.campaign_id, batch.number, finding.case, key]
    known = session.scalar(
        select(FindingRow.id).where(
            FindingRow.campaign_id == batch.campaign_id,
            FindingRow.batch_number == batch.number,
            FindingRow.case_number == finding.case,
            FindingRow.signature_key == key,
        )
    )
    if known is not None:
        return None
    row = FindingRow(
        id=digest_of(json.dumps(place).encode())[:ID_DIGITS],
        campaign_id=batch.campaign_id,
        batch_number=batch.number,
        case_number=finding.case,
        signature_key=key,
        stage=finding.signature.stage,
        component=finding.signature.component,
        kind=finding.signature.kind,
        detail=finding.signature.detail,
        symptom=finding.symptom,
        settings=list(finding.settings),
        message=finding.message,
        numbers=dict(finding.numbers),
        state=FindingState.RAW,
        created=time.time(),
        case_object=digest,
        nodes=finding.nodes,
    )
    session.add(row)
    session.flush()
    if finding.converter_settings is not None:
        session.add(FindingSettingsRow(finding_id=row.id, settings=finding.converter_settings))
    if finding.variants:
        session.add(FindingVariantsRow(finding_id=row.id, variants=finding.variants))
    session.flush()
    return row.id


def progress(session: Session, finding: str, state: FindingState, digest: str, nodes: int, conversions: int) -> bool:
    """Note a smaller case and the conversions spent so far, unless the finding is final."""
    row = session.get_one(FindingRow, finding)
    if row.state not in PENDING:
        return False
    row.state, row.minimized_object, row.nodes, row.conversions = state, digest, nodes, conversions
    return True


def add_passes(session: Session, finding: str, done: Sequence[PassRecord]) -> None:
    """See :meth:`corpus.store.Store.add_passes`."""
    known = {one.name: one for one in passes(session, finding)}
    for new in done:
        old = known.get(new.name, PassRecord(new.name))
        known[new.name] = PassRecord(
            new.name,
            old.tries + new.tries,
            old.successes + new.successes,
            old.remembered + new.remembered,
            old.conversions + new.conversions,
            old.seconds + new.seconds,
        )
    session.merge(PassesRow(finding_id=finding, passes=msgspec.to_builtins(list(known.values()))))


def passes(session: Session, finding: str) -> list[PassRecord]:
    """See :meth:`corpus.store.Store.passes`."""
    row = session.get(PassesRow, finding) if has_table(session, PassesRow) else None
    return [] if row is None else msgspec.convert(row.passes, list[PassRecord])


def finish(session: Session, finding: str, end: Finish, minimized: str, reproducer: str) -> Finding:
    """See :meth:`corpus.store.Store.finish_finding`."""
    if end.state in PENDING:
        raise ValueError(f"{end.state} is no final state of a finding")
    if end.state is FindingState.VERIFIED and not (end.bucket and end.reproducer):
        raise ValueError("a verified finding has a bucket and a reproducer")
    row = session.get_one(FindingRow, finding)
    if row.state in PENDING:
        row.state = end.state
        row.minimized_object = minimized or row.minimized_object
        row.reproducer_object = reproducer or row.reproducer_object
        row.title = end.title or row.title
        row.source = end.source or row.source
        row.nodes = end.nodes or row.nodes
        row.message = end.message or row.message
        row.conversions = end.conversions or row.conversions
        row.needs_special, row.runs, row.failures = end.needs_special, end.runs, end.failures
        if end.numbers is not None:
            row.numbers = end.numbers
        if end.settings is not None:
            row.settings = list(end.settings)
        if end.converter_settings is not None:
            session.merge(FindingSettingsRow(finding_id=row.id, settings=end.converter_settings))
        if end.classification is not None:
            keep(session, row.id, end.classification)
        if end.bucket:
            _put_into_bucket(session, row, end.bucket)
        session.flush()
    return _finding(session, row)


def set_blame(session: Session, finding: str, verdict: Blame) -> Finding:
    """See :meth:`corpus.store.Store.set_blame`."""
    row = session.get_one(FindingRow, finding)
    stored = msgspec.to_builtins(verdict)
    session.merge(
        BlameRow(
            finding_id=finding,
            component=verdict.component,
            confidence=verdict.confidence,
            rule=verdict.rule,
            evidence=stored["evidence"],
        )
    )
    session.flush()
    return _finding(session, row)


def unblamed(session: Session, campaign: str) -> list[Finding]:
    """See :meth:`corpus.store.Store.unblamed`."""
    query = (
        select(FindingRow)
        .where(
            FindingRow.campaign_id == campaign,
            FindingRow.state == FindingState.VERIFIED,
            FindingRow.id.not_in(select(BlameRow.finding_id)),
        )
        .order_by(FindingRow.created, FindingRow.id)
    )
    return [_finding(session, row) for row in session.scalars(query)]


def _put_into_bucket(session: Session, row: FindingRow, key: str) -> None:
    bucket = session.get(BucketRow, key)
    if bucket is None:
        session.add(BucketRow(key=key, representative_id=row.id))
        session.flush()
    elif row.state == FindingState.VERIFIED:
        representative = session.get_one(FindingRow, bucket.representative_id)
        if representative.state == FindingState.VERIFIED:
            row.state = FindingState.DUPLICATE
        else:
            bucket.representative_id = row.id
    row.bucket_key = key


def find(session: Session, prefix: str, where: str) -> Finding:
    """See :meth:`corpus.store.Store.find`."""
    rows = session.scalars(
        select(FindingRow)
        .where(FindingRow.id.startswith(prefix.lower(), autoescape=True))
        .order_by(FindingRow.created, FindingRow.id)
        .limit(6)
    ).all()
    return _finding(session, only(rows, prefix, "finding", where))


def only(rows: Sequence[Row], prefix: str, what: str, where: str) -> Row:
    """The single row of a look-up by prefix (at most 6 of them), or a CorpusError that lists the candidates."""
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise CorpusError(f"no {what} {prefix!r} in {where}", "`convfuzz findings --all` lists campaigns and findings")
    names = ", ".join(row.id for row in rows[:5]) + (", …" if len(rows) > 5 else "")
    raise CorpusError(f"{what} {prefix!r} is ambiguous: {names}", "give more digits")


def select_findings(
    session: Session, campaign: str | None, batch: int | None, states: Sequence[FindingState], bucket: str | None
) -> list[Finding]:
    """See :meth:`corpus.store.Store.list_findings`."""
    query = select(FindingRow).order_by(
        FindingRow.created, FindingRow.batch_number, FindingRow.case_number, FindingRow.id
    )
    if campaign is not None:
        query = query.where(FindingRow.campaign_id == campaign)
    if batch is not None:
        query = query.where(FindingRow.batch_number == batch)
    if states:
        query = query.where(FindingRow.state.in_(states))
    if bucket is not None:
        query = query.where(FindingRow.bucket_key == bucket)
    return [_finding(session, row) for row in session.scalars(query)]


def buckets(session: Session, campaign: str | None, key: str | None = None) -> Iterator[Bucket]:
    """Buckets with a finding of the campaign (of any when None), verified ones first, then the fullest."""
    query = select(FindingRow.bucket_key, func.count()).where(FindingRow.bucket_key.is_not(None))
    if campaign is not None:
        query = query.where(FindingRow.campaign_id == campaign)
    if key is not None:
        query = query.where(FindingRow.bucket_key == key)
    found = []
    for name, count in session.execute(query.group_by(FindingRow.bucket_key)):
        assert name is not None  # the query leaves those out
        representative = session.get_one(FindingRow, session.get_one(BucketRow, name).representative_id)
        found.append(Bucket(name, _finding(session, representative), count))
    found.sort(key=lambda bucket: (*_rank(bucket), bucket.key))
    yield from found


def states(session: Session, campaign: str) -> dict[str, int]:
    """How many findings of a campaign are in each state."""
    query = select(FindingRow.state, func.count()).where(FindingRow.campaign_id == campaign)
    return {state: count for state, count in session.execute(query.group_by(FindingRow.state))}


def _rank(bucket: Bucket) -> tuple[bool, bool, int]:
    shown = bucket.representative
    return (shown.state is not FindingState.VERIFIED, bool(shown.needs_special), -bucket.count)


def _needed_settings(session: Session, row: FindingRow) -> dict[str, Setting]:
    """The settings that the finding was found to need; none where nothing is known of that, as in a corpus of an older
    version that is only read."""
    needed = session.get(FindingSettingsRow, row.id) if has_table(session, FindingSettingsRow) else None
    return dict(needed.settings) if needed is not None else {}


def _variants(session: Session, row: FindingRow) -> tuple[tuple[str, str], ...]:
    """The runtime variants of its own, as :func:`_needed_settings`."""
    own = session.get(FindingVariantsRow, row.id) if has_table(session, FindingVariantsRow) else None
    return () if own is None else tuple((runtime, variant) for runtime, variant in own.variants)


def _blame(session: Session, row: FindingRow) -> Blame | None:
    """Who is to blame, as far as that is known."""
    stored = session.get(BlameRow, row.id) if has_table(session, BlameRow) else None
    if stored is None:
        return None
    fields = {
        "component": stored.component,
        "confidence": stored.confidence,
        "rule": stored.rule,
        "evidence": stored.evidence,
    }
    return msgspec.convert(fields, Blame)


def _finding(session: Session, row: FindingRow) -> Finding:
    batch = session.get_one(BatchRow, (row.campaign_id, row.batch_number))
    return Finding(
        id=row.id,
        campaign=row.campaign_id,
        batch=row.batch_number,
        case=row.case_number,
        signature=Signature(Stage(row.stage), row.component, Kind(row.kind), row.detail),
        symptom=Symptom(row.symptom),
        frontend=batch.frontend,
        converter=batch.converter,
        converter_settings=_needed_settings(session, row) or dict(batch.issued.get("settings", {})),
        settings=tuple(row.settings),
        message=row.message,
        numbers=row.numbers,
        state=FindingState(row.state),
        created=row.created,
        case_object=row.case_object,
        minimized_object=row.minimized_object,
        reproducer_object=row.reproducer_object,
        bucket=row.bucket_key or "",
        title=row.title,
        source=row.source,
        nodes=row.nodes,
        needs_special=row.needs_special,
        runs=row.runs,
        failures=row.failures,
        conversions=row.conversions,
        blame=_blame(session, row),
        variants=_variants(session, row),
    )
