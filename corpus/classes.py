"""Classes of findings: those that were kept, and those of findings that have none, made when they are read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from corpus.errors import CorpusError
from corpus.objects import Objects
from corpus.records import Finding, FindingState
from corpus.tables import Base, ClassificationRow
from generators.graph import Case, GraphError
from generators.serial import loads
from oracles.blame import Confidence
from oracles.outcome import Stage, Symptom
from oracles.taxonomy import Cause, Classification, classify

#: States in which the case is still the one that the batch drew.
_NOT_MINIMIZED = frozenset({FindingState.RAW, FindingState.MINIMIZING, FindingState.UNREPRODUCIBLE})


def has_table(session: Session, table: type[Base]) -> bool:
    """Whether the corpus has that table: one of an older version that is only read may not."""
    known: dict[str, bool] = session.info.setdefault("tables", {})
    name = table.__tablename__
    if name not in known:
        known[name] = inspect(session.connection()).has_table(name)
    return known[name]


def keep(session: Session, finding: str, found: Classification) -> None:
    """Record the class of a finding, in place of the one it had."""
    session.merge(
        ClassificationRow(
            finding_id=finding,
            stage=found.stage,
            stage_rule=found.stage_rule,
            symptom=found.symptom,
            symptom_rule=found.symptom_rule,
            cause=found.cause,
            cause_rule=found.cause_rule,
        )
    )


def kept(session: Session, findings: Iterable[Finding]) -> dict[str, Classification]:
    """The classes that were recorded, by id."""
    if not has_table(session, ClassificationRow):
        return {}
    rows = ((finding.id, session.get(ClassificationRow, finding.id)) for finding in findings)
    return {
        identifier: Classification(
            Stage(row.stage),
            row.stage_rule,
            Symptom(row.symptom),
            row.symptom_rule,
            Cause(row.cause),
            row.cause_rule,
        )
        for identifier, row in rows
        if row is not None
    }


def made(finding: Finding, objects: Objects) -> Classification:
    """The class of a finding from what the corpus holds of it, the evidence about who is to blame included. A case that
    cannot be read tells nothing."""
    blame = finding.blame
    evidence = (
        {f"{item.role}: {item.component} {item.detail}".strip(): str(item.outcome) for item in blame.evidence}
        if blame
        else {}
    )
    case: Case | None = None
    with contextlib.suppress(CorpusError, GraphError):
        case = loads(objects.get(finding.minimized_object or finding.case_object))
    return classify(
        finding.signature,
        converter=finding.converter,
        message=finding.message,
        settings=finding.settings,
        options=finding.converter_settings,
        case=case,
        minimized=finding.state not in _NOT_MINIMIZED,
        needs_special=bool(finding.needs_special),
        evidence=evidence,
        blamed=blame.component if blame and blame.confidence is not Confidence.LOW else "",
    )
