"""Campaigns and batches in the database: what the store does to their rows within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from corpus import findings
from corpus.errors import CorpusError
from corpus.records import (
    Batch,
    BatchState,
    Campaign,
    CampaignStatus,
    FunnelRow,
    IssuedBatch,
    JudgedBatch,
    Summary,
    UnsupportedCount,
)
from corpus.tables import BatchRow, CampaignRow, OutcomeRow, UnsupportedRow


def add_campaign(session: Session, campaign: Campaign) -> None:
    """Add a new campaign."""
    session.add(CampaignRow(**{name: getattr(campaign, name) for name in campaign.__struct_fields__}))


def load_campaign(session: Session, prefix: str, where: str) -> Campaign:
    """The campaign whose id begins with ``prefix``. CorpusError, which names the corpus ``where``, when there is none
    or more than one."""
    rows = session.scalars(
        select(CampaignRow)
        .where(CampaignRow.id.startswith(prefix, autoescape=True))
        .order_by(CampaignRow.started)
        .limit(6)
    ).all()
    return _campaign(findings.only(rows, prefix, "campaign", where))


def campaigns(session: Session) -> list[Campaign]:
    """All campaigns, the oldest first."""
    return [_campaign(row) for row in session.scalars(select(CampaignRow).order_by(CampaignRow.started))]


def issue(session: Session, campaign: str, batches: Iterable[IssuedBatch]) -> int:
    """Add the batches that have not been issued, and return how many were new."""
    new = 0
    for batch in batches:
        if session.get(BatchRow, (campaign, batch.index)) is None:
            session.add(
                BatchRow(
                    campaign_id=campaign,
                    number=batch.index,
                    frontend=batch.frontend,
                    converter=batch.converter,
                    issued=msgspec.to_builtins(batch),
                    state=BatchState.ISSUED,
                    verdicts={},
                    funnel={},
                )
            )
            session.flush()
            new += 1
    return new


def next_index(session: Session, campaign: str) -> int:
    """The lowest batch index above all issued ones."""
    highest = session.scalar(select(func.max(BatchRow.number)).where(BatchRow.campaign_id == campaign))
    return 0 if highest is None else highest + 1


def batches(session: Session, campaign: str, state: BatchState | None) -> list[Batch]:
    """Batches of a campaign by index, all or those in one state."""
    query = select(BatchRow).where(BatchRow.campaign_id == campaign).order_by(BatchRow.number)
    if state is not None:
        query = query.where(BatchRow.state == state)
    return [_batch(row) for row in session.scalars(query)]


def batch(session: Session, campaign: str, index: int) -> Batch:
    """One batch. CorpusError when it was never issued."""
    return _batch(issued_row(session, campaign, index))


def issued_row(session: Session, campaign: str, index: int) -> BatchRow:
    """The row of a batch. CorpusError when it was never issued."""
    row = session.get(BatchRow, (campaign, index))
    if row is None:
        raise CorpusError(f"campaign {campaign} has no batch {index}", "`convfuzz findings` names batches that exist")
    return row


def judged(row: BatchRow, result: JudgedBatch) -> None:
    """Put into the row what the batch gave."""
    row.state = BatchState.JUDGED
    row.cases, row.seconds, row.conversions = result.cases, result.seconds, result.conversions
    row.verdicts, row.funnel = result.verdicts, result.funnel


def count(session: Session, row: BatchRow, result: JudgedBatch, dialect: str) -> None:
    """Add the outcomes of a batch, and what it found unsupported, to those of its campaign."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    for variant, counts in result.funnel.items():
        for outcome, count in counts.items():
            statement = insert(OutcomeRow).values(
                campaign_id=row.campaign_id,
                frontend=row.frontend,
                converter=row.converter,
                variant=variant,
                outcome=outcome,
                count=count,
            )
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=list(OutcomeRow.__table__.primary_key),
                    set_={"count": OutcomeRow.count + statement.excluded.count},
                )
            )
    for item in result.unsupported:
        statement = insert(UnsupportedRow).values(
            campaign_id=row.campaign_id,
            component=item.component,
            what=item.what,
            message=item.message,
            count=item.count,
        )
        session.execute(
            statement.on_conflict_do_update(
                index_elements=list(UnsupportedRow.__table__.primary_key),
                set_={"count": UnsupportedRow.count + statement.excluded.count},
            )
        )


def summary(session: Session, campaign: str) -> Summary:
    """Everything that is to be told about a campaign."""
    record = _campaign(session.get_one(CampaignRow, campaign))
    rows = session.scalars(select(BatchRow).where(BatchRow.campaign_id == campaign)).all()
    verdicts: dict[str, int] = {}
    for row in rows:
        for verdict, number in row.verdicts.items():
            verdicts[verdict] = verdicts.get(verdict, 0) + number
    return Summary(
        campaign=record,
        batches=len(rows),
        judged=sum(row.state == BatchState.JUDGED for row in rows),
        cases=sum(row.cases for row in rows),
        conversions=sum(row.conversions for row in rows),
        seconds=sum(row.seconds for row in rows),
        verdicts=verdicts,
        states=findings.states(session, campaign),
        funnel=tuple(_funnel(session, campaign)),
        unsupported=tuple(_unsupported(session, campaign)),
        buckets=tuple(findings.buckets(session, campaign)),
    )


def _campaign(row: CampaignRow) -> Campaign:
    status = CampaignStatus(row.status)
    return Campaign(row.id, row.seed, row.config, row.versions, row.started, row.ended, row.elapsed, status)


def _batch(row: BatchRow) -> Batch:
    return Batch(
        campaign=row.campaign_id,
        issued=msgspec.convert(row.issued, IssuedBatch),
        state=BatchState(row.state),
        cases=row.cases,
        seconds=row.seconds,
        conversions=row.conversions,
        verdicts=row.verdicts,
        funnel=row.funnel,
    )


def _funnel(session: Session, campaign: str) -> Iterator[FunnelRow]:
    query = (
        select(OutcomeRow)
        .where(OutcomeRow.campaign_id == campaign)
        .order_by(OutcomeRow.frontend, OutcomeRow.converter, OutcomeRow.variant)
    )
    grouped: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in session.scalars(query):
        grouped.setdefault((row.frontend, row.converter, row.variant), {})[row.outcome] = row.count
    for (frontend, converter, variant), counts in grouped.items():
        yield FunnelRow(frontend, converter, variant, counts)


def _unsupported(session: Session, campaign: str) -> Iterator[UnsupportedCount]:
    query = (
        select(UnsupportedRow)
        .where(UnsupportedRow.campaign_id == campaign)
        .order_by(UnsupportedRow.component, UnsupportedRow.count.desc(), UnsupportedRow.what)
    )
    for row in session.scalars(query):
        yield UnsupportedCount(row.component, row.what, row.message, row.count)
