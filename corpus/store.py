"""The store: campaigns, batches and findings, each change one transaction.

A corpus is a directory: a marker file that says whose it is, the SQLite database (unless a database URL is given),
``objects/`` with serialised cases and scripts by content, ``findings/<id>/`` with the reproducers of verified
findings. Objects are written before the transaction that names them, so a committed row never points to nothing; what a
crash leaves behind is at most an object that no row names.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from corpus import batches, classes, coverage, coverage_report, findings, merge, versions
from corpus.database import Database, open_database, sqlite_url
from corpus.directory import claim_directory, probe
from corpus.errors import CorpusError, from_os_error
from corpus.objects import Objects, write_durably
from corpus.records import (
    Batch,
    BatchState,
    Bucket,
    Campaign,
    CampaignStatus,
    CoverageReport,
    Finding,
    FindingState,
    Finish,
    IssuedBatch,
    JudgedBatch,
    NewFinding,
    PassRecord,
    Quarantine,
    Summary,
)
from corpus.tables import CampaignRow, QuarantineRow
from corpus.versions import VersionResult
from oracles.blame import Blame, as_markdown
from oracles.taxonomy import Classification

_DATABASE = "corpus.sqlite"


class Store:
    """A corpus that is open. Every method may be called from any thread, and raises CorpusError when the database or
    the disk fails; then nothing of what the call was to record has been recorded."""

    def __init__(self, directory: Path, database: Database, objects: Objects) -> None:
        self.directory = directory
        self.objects = objects
        self._database = database

    # -- opening -----------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls, directory: str | Path, *, create: bool = False, write: bool = True, database: str = "", objects: str = ""
    ) -> Store:
        """Open the corpus in a directory, made when ``create`` is set and there is nothing yet.

        ``write=False`` opens it for reading, also from a read-only disk. ``database`` is the URL of a PostgreSQL
        database to use in place of the SQLite file, ``objects`` an fsspec URL in place of ``objects/``.

        CorpusError for a directory that holds something else, one of a newer version, one that cannot be written
        or whose disk is full, and a damaged database.
        """
        directory = Path(directory)
        try:
            claim_directory(directory, create=create)
            if write:
                probe(directory)
        except OSError as error:
            raise from_os_error(error, str(directory)) from error
        file = directory / _DATABASE
        if not database and not file.exists():
            if any((directory / "objects").glob("*/*")):
                raise CorpusError(
                    f"the corpus at {directory} has lost its database {_DATABASE}",
                    "restore it from a backup, or start a new corpus with --corpus",
                )
            if not write:
                raise CorpusError(f"the corpus at {directory} is still empty", "run `convfuzz fuzz` first")
        opened = open_database(database or sqlite_url(file, writable=write), str(directory))
        opened.prepare() if write else opened.check()
        return cls(directory, opened, Objects(objects or str(directory / "objects")))

    @property
    def dialect(self) -> str:
        """The kind of database: ``sqlite`` or ``postgresql``."""
        return self._database.dialect

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- campaigns ---------------------------------------------------------------------------------------------

    def create_campaign(self, seed: int, config: Mapping[str, Any], versions: Mapping[str, str]) -> Campaign:
        """Record a new campaign, running from now."""
        campaign = Campaign(secrets.token_hex(4), seed, dict(config), dict(versions), time.time())
        with self._database.write() as session:
            batches.add_campaign(session, campaign)
        return campaign

    def load_campaign(self, prefix: str) -> Campaign:
        """The campaign whose id begins with ``prefix``. CorpusError when there is none or more than one."""
        with self._database.read() as session:
            return batches.load_campaign(session, prefix, str(self.directory))

    def campaigns(self) -> list[Campaign]:
        """All campaigns, the oldest first."""
        with self._database.read() as session:
            return batches.campaigns(session)

    def resume_campaign(self, campaign: str) -> None:
        """Record that a campaign is running again."""
        with self._database.write() as session:
            row = session.get_one(CampaignRow, campaign)
            row.status, row.ended = CampaignStatus.RUNNING, None

    def end_campaign(self, campaign: str, status: CampaignStatus, elapsed: float) -> None:
        """Record that a run of a campaign is over; ``elapsed`` seconds are added to those of its earlier runs."""
        with self._database.write() as session:
            row = session.get_one(CampaignRow, campaign)
            row.status, row.ended, row.elapsed = status, time.time(), row.elapsed + elapsed

    def add_elapsed(self, campaign: str, seconds: float) -> None:
        """Add to the time that a campaign has run, so that a killed one resumes with the time it had left."""
        with self._database.write() as session:
            session.get_one(CampaignRow, campaign).elapsed += seconds

    @contextmanager
    def claim(self, campaign: str) -> Iterator[None]:
        """Hold the campaign while it runs. CorpusError when another process holds it; a killed one holds nothing."""
        path = self.directory / f".running-{campaign}"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise from_os_error(error, str(self.directory)) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
                raise CorpusError(
                    f"campaign {campaign} is being run by process {holder}", "wait for it, or stop it first"
                ) from error
            os.truncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    # -- batches -----------------------------------------------------------------------------------------------

    def issue(self, campaign: str, issued: Iterable[IssuedBatch]) -> int:
        """Record batches before they run, in one transaction; those with an index already issued are left as they
        are. Returns how many were new."""
        with self._database.write() as session:
            return batches.issue(session, campaign, issued)

    def next_index(self, campaign: str) -> int:
        """The lowest batch index above all issued ones."""
        with self._database.read() as session:
            return batches.next_index(session, campaign)

    def unjudged(self, campaign: str) -> list[Batch]:
        """Batches issued and not judged, by index: what a resumed campaign does first."""
        return self.batches(campaign, BatchState.ISSUED)

    def batches(self, campaign: str, state: BatchState | None = None) -> list[Batch]:
        """Batches of a campaign by index, all or those in one state."""
        with self._database.read() as session:
            return batches.batches(session, campaign, state)

    def batch(self, campaign: str, index: int) -> Batch:
        """One batch. CorpusError when it was never issued."""
        with self._database.read() as session:
            return batches.batch(session, campaign, index)

    def record_batch(self, result: JudgedBatch) -> bool:
        """Record everything that a batch gave, its findings included, in one transaction.

        False, and no change, when the batch has been judged before. CorpusError when it was never issued.
        """
        digests = [self.objects.put(finding.data) for finding in result.findings]
        with self._database.write() as session:
            row = batches.issued_row(session, result.campaign, result.index)
            if row.state == BatchState.JUDGED:
                return False
            batches.judged(row, result)
            for finding, digest in zip(result.findings, digests, strict=True):
                findings.insert(session, row, finding, digest)
            batches.count(session, row, result, self.dialect)
            if result.coverage is not None:
                coverage.add(session, row, result.coverage)
        return True

    # -- coverage ----------------------------------------------------------------------------------------------

    def coverage(self, *, campaign: str | None = None, converter: str | None = None) -> CoverageReport:
        """What the judged batches exercised, those of a campaign and of a converter where asked for. Empty for a corpus
        of a version that did not count."""
        with self._database.read() as session:
            return coverage_report.report(session, campaign, converter)

    def drawn(
        self, converter: str, *, campaign: str | None = None
    ) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
        """For one converter, how many cases had a node of each key, and how often each pair of operators of the source
        graphs occurred, the second consuming a result of the first. What guides the choice of operators asks for."""
        with self._database.read() as session:
            return coverage_report.drawn(session, converter, campaign)

    # -- findings ----------------------------------------------------------------------------------------------

    def add_finding(self, campaign: str, batch: int, finding: NewFinding) -> str | None:
        """Record a finding met while another was worked on, under its batch. Returns its id, or None when the batch
        has one of that case number and signature already. CorpusError when the batch was never issued."""
        digest = self.objects.put(finding.data)
        with self._database.write() as session:
            return findings.insert(session, batches.issued_row(session, campaign, batch), finding, digest)

    def list_findings(
        self,
        *,
        campaign: str | None = None,
        batch: int | None = None,
        states: Sequence[FindingState] = (),
        bucket: str | None = None,
    ) -> list[Finding]:
        """Findings, the oldest first, of a campaign, of a batch, in some states, of a bucket, as asked."""
        with self._database.read() as session:
            return findings.select_findings(session, campaign, batch, states, bucket)

    def classes(self, listed: Sequence[Finding]) -> dict[str, Classification]:
        """Stage, symptom and cause of each finding by its id: as recorded, or found out now where they were not, as in
        a corpus of an older version."""
        with self._database.read() as session:
            found = classes.kept(session, listed)
        return {finding.id: found.get(finding.id) or classes.made(finding, self.objects) for finding in listed}

    def all_buckets(self) -> list[Bucket]:
        """The buckets of all campaigns, verified ones first, then the fullest."""
        with self._database.read() as session:
            return list(findings.buckets(session, None))

    def find(self, prefix: str) -> Finding:
        """The finding whose id begins with ``prefix``. CorpusError, with candidates, when it is not exactly one."""
        with self._database.read() as session:
            return findings.find(session, prefix, str(self.directory))

    def save_progress(self, finding: str, case: bytes, *, nodes: int, conversions: int) -> bool:
        """Save an improvement made by minimization (its serialised case). False when work on it has ended already."""
        digest = self.objects.put(case)
        with self._database.write() as session:
            return findings.progress(session, finding, FindingState.MINIMIZING, digest, nodes, conversions)

    def add_passes(self, finding: str, done: Sequence[PassRecord]) -> None:
        """Add what passes of the minimizer did to what they had done for the finding before."""
        with self._database.write() as session:
            findings.add_passes(session, finding, done)

    def passes(self, finding: str) -> list[PassRecord]:
        """What each pass of the minimizer did for the finding, in the order in which they came first."""
        with self._database.read() as session:
            return findings.passes(session, finding)

    def minimized(self, finding: str, case: bytes, *, nodes: int, conversions: int) -> bool:
        """Record that minimization is over, verification not. Returns as :meth:`save_progress`."""
        digest = self.objects.put(case)
        with self._database.write() as session:
            return findings.progress(session, finding, FindingState.MINIMIZED, digest, nodes, conversions)

    def finish_finding(self, finding: str, finish: Finish) -> Finding:
        """Record how the work on a finding ended, and put it into its bucket.

        The first finding of a bucket represents it; a verified one takes the place of one that is not. A verified
        finding whose bucket has a verified representative becomes a DUPLICATE. A second call changes nothing.
        Returns the finding as it then is. The reproducer of a representative is also written to
        ``findings/<id>/reproducer.py``.
        """
        minimized = self.objects.put(finish.minimized) if finish.minimized else ""
        # A lone surrogate in a message quoted by the script must not make it a file that Python refuses to read.
        script = finish.reproducer.encode(errors="backslashreplace")
        reproducer = self.objects.put(script) if script else ""
        with self._database.write() as session:
            done = findings.finish(session, finding, finish, minimized, reproducer)
            if done.state is FindingState.VERIFIED and done.reproducer_object:
                self._write_reproducer(done)  # before the commit: a verified finding always has its file
        return done

    def set_blame(self, finding: str, verdict: Blame) -> Finding:
        """Record who is to blame for a finding, in place of what was recorded before; also as a table in
        ``findings/<id>/blame.md``. Returns the finding."""
        with self._database.write() as session:
            done = findings.set_blame(session, finding, verdict)
            # What the experiments tell of the stage and the cause, too.
            classes.keep(session, done.id, classes.made(done, self.objects))
            path = self.directory / "findings" / done.id / "blame.md"
            try:
                write_durably(path, as_markdown(verdict, done.title).encode(errors="backslashreplace"))
            except OSError as error:
                raise from_os_error(error, str(path)) from error
        return done

    def unblamed(self, campaign: str) -> list[Finding]:
        """Verified findings of the campaign for which nobody has been blamed yet, the oldest first."""
        with self._database.read() as session:
            return findings.unblamed(session, campaign)

    def bucket(self, key: str) -> Bucket | None:
        """The bucket of that key, if any finding was ever put into it."""
        with self._database.read() as session:
            return next(iter(findings.buckets(session, None, key)), None)

    def reproducer_path(self, finding: Finding) -> Path | None:
        """The reproducer's file, written anew from the object when it is gone. None when there is no reproducer."""
        if not finding.reproducer_object:
            return None
        path = self._reproducer_path(finding)
        return path if path.exists() else self._write_reproducer(finding)

    def _reproducer_path(self, finding: Finding) -> Path:
        return self.directory / "findings" / finding.id / "reproducer.py"

    def _write_reproducer(self, finding: Finding) -> Path:
        return self._write_script(finding.id, finding.reproducer_object)

    def _write_script(self, finding: str, digest: str) -> Path:
        path = self.directory / "findings" / finding / "reproducer.py"
        try:
            write_durably(path, self.objects.get(digest))
        except OSError as error:
            raise from_os_error(error, str(path)) from error
        return path

    def record_version(self, finding: str, result: VersionResult) -> None:
        """Record what the reproducer of a finding does with a version of a package, in place of an earlier result."""
        with self._database.write() as session:
            versions.record(session, finding, result)

    def versions(self, finding: str) -> list[VersionResult]:
        """What is known of a finding's reproducer and versions of packages, by package, the oldest version first."""
        with self._database.read() as session:
            return versions.results(session, finding)

    def merge(self, other: Store, say: Callable[[merge.MergedCampaign], None] = lambda done: None) -> int:
        """Add what another corpus has and this one lacks: its campaigns with their batches, findings and counts, each
        campaign in one transaction, and what it quarantines. ``say`` is called behind each. Returns how many findings
        were added. May be repeated, also after it was interrupted, and adds nothing twice.

        CorpusError when the same campaign went on in both, or is running here.
        """
        added = 0
        with other._database.read() as source:
            for campaign in merge.campaigns_of(source):
                with self.claim(campaign):
                    for digest in merge.objects_of(source, campaign):
                        if digest not in self.objects:
                            self.objects.put(other.objects.get(digest))
                    with self._database.write() as target:
                        done = merge.merge_campaign(source, target, campaign, self._write_script)
                added += done.findings
                say(done)
            with self._database.write() as target:
                merge.merge_quarantine(source, target)
        return added

    # -- quarantine and summary --------------------------------------------------------------------------------

    def set_quarantine(self, entry: Quarantine) -> None:
        """Add an entry, or replace the one for the same converter, target and dtype."""
        with self._database.write() as session:
            session.merge(QuarantineRow(**msgspec.to_builtins(entry)))

    def quarantine(self, converter: str | None = None) -> list[Quarantine]:
        """All entries, or those of a converter, in a fixed order."""
        query = select(QuarantineRow).order_by(QuarantineRow.converter, QuarantineRow.target, QuarantineRow.dtype)
        if converter is not None:
            query = query.where(QuarantineRow.converter == converter)
        with self._database.read() as session:
            return [
                Quarantine(row.converter, row.target, row.reason, row.dtype, row.factor, row.versions)
                for row in session.scalars(query)
            ]

    def summary(self, campaign: str) -> Summary:
        """Everything that is to be told about a campaign, from one consistent state of the database."""
        with self._database.read() as session:
            return batches.summary(session, campaign)
