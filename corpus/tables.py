"""The tables. Only the store sees these classes; what it takes and gives are the structs of ``corpus.records``."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

#: Raised with every change of the tables that an older version could not read. New tables are none: they are added to a
#: corpus that lacks them when it is opened for writing.
SCHEMA = 1

_ESCAPE = "json:"


class ExactText(TypeDecorator[str]):
    """Any Python string. Databases take neither lone surrogates nor (PostgreSQL) NUL characters, and messages of
    subjects hold both; such strings are kept as JSON behind a prefix, all others as they are."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        # Nearly all strings are ASCII, and a batch binds thousands of them.
        odd = not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value)
        if odd or value.startswith(_ESCAPE) or "\0" in value:
            return _ESCAPE + json.dumps(value)
        return value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and value.startswith(_ESCAPE):
            return str(json.loads(value.removeprefix(_ESCAPE)))
        return value


class Word(TypeDecorator[str]):
    """A name, an id or a member of a StrEnum, which drivers would otherwise each store in their own way."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)


class Json(TypeDecorator[Any]):
    """JSON as text, NaN and infinities included (which JSON columns of databases refuse)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value, sort_keys=True)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """All tables."""


class MetaRow(Base):
    """What the database is: ``application`` and ``schema``."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(Word, primary_key=True)
    value: Mapped[str] = mapped_column(Word)


class CampaignRow(Base):
    """See :class:`corpus.records.Campaign`."""

    __tablename__ = "campaign"

    id: Mapped[str] = mapped_column(Word, primary_key=True)
    seed: Mapped[int] = mapped_column(BigInteger)
    config: Mapped[Any] = mapped_column(Json)
    versions: Mapped[Any] = mapped_column(Json)
    started: Mapped[float]
    ended: Mapped[float | None]
    elapsed: Mapped[float] = mapped_column(default=0.0)
    status: Mapped[str] = mapped_column(Word)


class BatchRow(Base):
    """See :class:`corpus.records.Batch`. The primary key is what makes judging exactly-once."""

    __tablename__ = "batch"

    campaign_id: Mapped[str] = mapped_column(Word, ForeignKey("campaign.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    frontend: Mapped[str] = mapped_column(Word)
    converter: Mapped[str] = mapped_column(Word)
    issued: Mapped[Any] = mapped_column(Json)
    state: Mapped[str] = mapped_column(Word)
    cases: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    conversions: Mapped[int] = mapped_column(default=0)
    verdicts: Mapped[Any] = mapped_column(Json, default=dict)
    funnel: Mapped[Any] = mapped_column(Json, default=dict)

    __table_args__ = (Index("batch_by_state", "campaign_id", "state"),)


class BucketRow(Base):
    """One defect. How many findings it has is counted, never stored, so that it cannot go wrong."""

    __tablename__ = "bucket"

    key: Mapped[str] = mapped_column(Word, primary_key=True)
    representative_id: Mapped[str] = mapped_column(Word)


class FindingRow(Base):
    """See :class:`corpus.records.Finding`."""

    __tablename__ = "finding"

    id: Mapped[str] = mapped_column(Word, primary_key=True)
    campaign_id: Mapped[str] = mapped_column(Word)
    batch_number: Mapped[int]
    case_number: Mapped[int]
    signature_key: Mapped[str] = mapped_column(Word)
    stage: Mapped[str] = mapped_column(Word)
    component: Mapped[str] = mapped_column(Word)
    kind: Mapped[str] = mapped_column(Word)
    detail: Mapped[str] = mapped_column(ExactText)
    symptom: Mapped[str] = mapped_column(Word)
    settings: Mapped[Any] = mapped_column(Json)
    message: Mapped[str] = mapped_column(ExactText)
    numbers: Mapped[Any] = mapped_column(Json)
    state: Mapped[str] = mapped_column(Word)
    created: Mapped[float]
    case_object: Mapped[str] = mapped_column(Word)
    minimized_object: Mapped[str] = mapped_column(Word, default="")
    reproducer_object: Mapped[str] = mapped_column(Word, default="")
    bucket_key: Mapped[str | None] = mapped_column(Word, ForeignKey("bucket.key"), index=True)
    title: Mapped[str] = mapped_column(ExactText, default="")
    source: Mapped[str] = mapped_column(ExactText, default="")
    nodes: Mapped[int] = mapped_column(default=0)
    needs_special: Mapped[bool | None]
    runs: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    conversions: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        ForeignKeyConstraint(["campaign_id", "batch_number"], ["batch.campaign_id", "batch.number"]),
        UniqueConstraint("campaign_id", "batch_number", "case_number", "signature_key"),
        Index("finding_by_state", "campaign_id", "state"),
    )


class FindingSettingsRow(Base):
    """Settings of the converter that a minimized finding needs, where they are fewer than its batch's."""

    __tablename__ = "finding_settings"

    finding_id: Mapped[str] = mapped_column(Word, ForeignKey("finding.id"), primary_key=True)
    settings: Mapped[Any] = mapped_column(Json)


class FindingVariantsRow(Base):
    """The runtime variants that a finding is judged on, where they are not its batch's: pairs of names."""

    __tablename__ = "finding_variants"

    finding_id: Mapped[str] = mapped_column(Word, ForeignKey("finding.id"), primary_key=True)
    variants: Mapped[Any] = mapped_column(Json)


class ClassificationRow(Base):
    """See :class:`oracles.taxonomy.Classification`; none for a finding that was not worked on to an end, or not by a
    version that classified."""

    __tablename__ = "classification"

    finding_id: Mapped[str] = mapped_column(Word, ForeignKey("finding.id"), primary_key=True)
    stage: Mapped[str] = mapped_column(Word)
    stage_rule: Mapped[str] = mapped_column(Word)
    symptom: Mapped[str] = mapped_column(Word)
    symptom_rule: Mapped[str] = mapped_column(Word)
    cause: Mapped[str] = mapped_column(Word)
    cause_rule: Mapped[str] = mapped_column(Word)


class PassesRow(Base):
    """What the passes of the minimizer did for a finding: a list of :class:`corpus.records.PassRecord`."""

    __tablename__ = "passes"

    finding_id: Mapped[str] = mapped_column(Word, ForeignKey("finding.id"), primary_key=True)
    passes: Mapped[Any] = mapped_column(Json)


class BlameRow(Base):
    """Who is to blame for a finding: an :class:`oracles.blame.Blame`."""

    __tablename__ = "blame"

    finding_id: Mapped[str] = mapped_column(Word, ForeignKey("finding.id"), primary_key=True)
    component: Mapped[str] = mapped_column(Word, index=True)
    confidence: Mapped[str] = mapped_column(Word)
    rule: Mapped[str] = mapped_column(ExactText)
    evidence: Mapped[Any] = mapped_column(Json)


class OutcomeRow(Base):
    """The funnel of a campaign, summed over its judged batches."""

    __tablename__ = "outcome"

    campaign_id: Mapped[str] = mapped_column(Word, ForeignKey("campaign.id"), primary_key=True)
    frontend: Mapped[str] = mapped_column(Word, primary_key=True)
    converter: Mapped[str] = mapped_column(Word, primary_key=True)
    variant: Mapped[str] = mapped_column(Word, primary_key=True)
    outcome: Mapped[str] = mapped_column(Word, primary_key=True)
    count: Mapped[int]


class UnsupportedRow(Base):
    """The support matrix of a campaign, summed over its judged batches."""

    __tablename__ = "unsupported"

    campaign_id: Mapped[str] = mapped_column(Word, ForeignKey("campaign.id"), primary_key=True)
    component: Mapped[str] = mapped_column(Word, primary_key=True)
    what: Mapped[str] = mapped_column(ExactText, primary_key=True)
    message: Mapped[str] = mapped_column(ExactText)
    count: Mapped[int]


class QuarantineRow(Base):
    """See :class:`corpus.records.Quarantine`."""

    __tablename__ = "quarantine"

    converter: Mapped[str] = mapped_column(Word, primary_key=True)
    target: Mapped[str] = mapped_column(ExactText, primary_key=True)
    dtype: Mapped[str] = mapped_column(Word, primary_key=True)
    factor: Mapped[float]
    reason: Mapped[str] = mapped_column(ExactText)
    versions: Mapped[Any] = mapped_column(Json)


# -- coverage ----------------------------------------------------------------------------------------------------
#
# Names are numbered, so that the many rows that count hold numbers alone. The tables of counts are kept in the order of
# their primary keys, without a second copy in an index.


class NameRow(Base):
    """A name of a vocabulary: the operators of a frontend or of a format, the node keys of a frontend. Numbers count
    from 1 in each vocabulary."""

    __tablename__ = "coverage_name"

    vocabulary: Mapped[str] = mapped_column(Word, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(ExactText)

    __table_args__ = (UniqueConstraint("vocabulary", "name"), {"sqlite_with_rowid": False})


class ScopeRow(Base):
    """What counts belong to: a converter in a campaign."""

    __tablename__ = "coverage_scope"

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[str] = mapped_column(Word, ForeignKey("campaign.id"))
    frontend: Mapped[str] = mapped_column(Word)
    converter: Mapped[str] = mapped_column(Word)
    format: Mapped[str] = mapped_column(Word)

    __table_args__ = (UniqueConstraint("campaign_id", "frontend", "converter", "format"),)


class SequenceRow(Base):
    """Occurrences of a short sequence of operators; see ``corpus.sequences.pack`` for how it is a number. ``side`` is 0
    for sources, 1 for artifacts."""

    __tablename__ = "coverage_sequence"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    side: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    count: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012  (the declaration is SQLAlchemy's)


class LongSequencesRow(Base):
    """The long sequences of a batch, all occurrences, packed and compressed. Nearly each is a new one: a row for each
    would be several times as large, and every batch would write to as many pages all over the table."""

    __tablename__ = "coverage_long_sequences"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    batch_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    side: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class CellRow(Base):
    """Cases with a node of a key by outcome; see :class:`corpus.records.CellCount`."""

    __tablename__ = "coverage_cell"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    variant: Mapped[str] = mapped_column(Word, primary_key=True)
    outcome: Mapped[str] = mapped_column(Word, primary_key=True)
    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class ArgumentRow(Base):
    """Nodes of an operator by place and class of an argument; see :class:`corpus.records.ArgumentCount`."""

    __tablename__ = "coverage_argument"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    operator: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    place: Mapped[str] = mapped_column(ExactText, primary_key=True)
    kind: Mapped[str] = mapped_column(ExactText, primary_key=True)
    count: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class ProfileRow(Base):
    """Operands by the profile that they were drawn from; see :class:`corpus.records.ProfileCount`."""

    __tablename__ = "coverage_profile"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    profile: Mapped[str] = mapped_column(Word, primary_key=True)
    dtype: Mapped[str] = mapped_column(Word, primary_key=True)
    family: Mapped[str] = mapped_column(Word, primary_key=True)
    count: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class OptionRow(Base):
    """Cases by a setting of their converter, or a runtime variant, and outcome; see
    :class:`corpus.records.OptionCount`."""

    __tablename__ = "coverage_option"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    option: Mapped[str] = mapped_column(ExactText, primary_key=True)
    setting: Mapped[str] = mapped_column(ExactText, primary_key=True)
    outcome: Mapped[str] = mapped_column(Word, primary_key=True)
    count: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class RefusalRow(Base):
    """Cases with nodes of a key that is not supported; see :class:`corpus.records.RefusalCount`."""

    __tablename__ = "coverage_refusal"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    component: Mapped[str] = mapped_column(Word, primary_key=True)
    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    what: Mapped[str] = mapped_column(ExactText, primary_key=True)
    count: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class StructureRow(Base):
    """Cases by what they are built of; see :class:`corpus.records.Coverage`."""

    __tablename__ = "coverage_structure"

    scope_id: Mapped[int] = mapped_column(ForeignKey("coverage_scope.id"), primary_key=True)
    name: Mapped[str] = mapped_column(ExactText, primary_key=True)
    count: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012
