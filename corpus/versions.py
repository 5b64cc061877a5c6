"""What reproducers do with other versions of a package, inside a transaction of the store."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from packaging.version import InvalidVersion, Version
from sqlalchemy import ForeignKey, inspect, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from corpus.tables import Base, ExactText, Json, Word


class Showing(StrEnum):
    """What a reproducer did. Of all but the first two nothing can be said about the defect."""

    SHOWS = "shows"
    ABSENT = "does not show"
    #: It failed in another way than the defect.
    CHANGED = "fails otherwise"
    #: It was not done in time, which may be the version's fault or that of a busy machine.
    UNFINISHED = "does not end"
    #: What it imports is not there or does not import.
    UNUSABLE = "does not import"
    NOT_INSTALLED = "does not install"


#: What says something about the defect.
TELLING = (Showing.SHOWS, Showing.ABSENT)


class VersionResult(msgspec.Struct, frozen=True):
    """What a reproducer did with a version of a package, and why in words. ``others`` are the packages that had to have
    another version for it than they have here; ``seen`` seconds since the epoch."""

    package: str
    version: str
    showing: Showing
    detail: str = ""
    others: dict[str, str] = {}
    seen: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether asking again would tell the same."""
        return self.showing is not Showing.UNFINISHED


class VersionRow(Base):
    """See :class:`VersionResult`."""

    __tablename__ = "finding_version"

    finding_id: Mapped[str] = mapped_column(Word, ForeignKey("finding.id"), primary_key=True)
    package: Mapped[str] = mapped_column(Word, primary_key=True)
    version: Mapped[str] = mapped_column(Word, primary_key=True)
    showing: Mapped[str] = mapped_column(Word)
    detail: Mapped[str] = mapped_column(ExactText)
    others: Mapped[Any] = mapped_column(Json)
    seen: Mapped[float]


def record(session: Session, finding: str, result: VersionResult) -> None:
    """See :meth:`corpus.store.Store.record_version`."""
    session.merge(VersionRow(finding_id=finding, **msgspec.to_builtins(result)))


def results(session: Session, finding: str) -> list[VersionResult]:
    """See :meth:`corpus.store.Store.versions`. None in a corpus of a version that did not ask, opened for reading."""
    if not inspect(session.connection()).has_table(VersionRow.__tablename__):
        return []
    rows = session.scalars(select(VersionRow).where(VersionRow.finding_id == finding))
    found = [
        VersionResult(row.package, row.version, Showing(row.showing), row.detail, dict(row.others), row.seen)
        for row in rows
    ]
    return sorted(found, key=lambda result: (result.package, _ordered(result.version)))


def _ordered(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0")
