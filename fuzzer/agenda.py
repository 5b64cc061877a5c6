"""Which finding of a campaign is handled next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from corpus.records import PENDING, Finding
from oracles.outcome import DEADLY, MISMATCH


class Agenda:
    """The findings that wait: ``pending`` ones to be minimized and verified, ``unblamed`` ones, of runs that ended
    before, for who is to blame, by id. Of findings with one signature ``per_signature`` are handled in a run, all of
    those that are wrong models. Not safe for use by several threads: the campaign's lock guards it."""

    def __init__(self, pending: Iterable[Finding], unblamed: Iterable[Finding], per_signature: int) -> None:
        self.pending = {finding.id: finding for finding in pending}
        self._unblamed = {finding.id: finding for finding in unblamed}
        self._limit = per_signature
        self._handled: Counter[str] = Counter()
        self._under_way: set[str] = set()

    def next(self) -> Finding | None:
        """The finding to be handled next; None when there is none, or all that are left have a signature that has been
        handled often. Who gets it calls :meth:`take`."""
        return self._next_pending() or next(
            (one for one in self._unblamed.values() if one.id not in self._under_way), None
        )

    def _next_pending(self) -> Finding | None:
        """The one whose signature has been handled least, wrong models and small ones first."""
        free = [
            finding
            for finding in self.pending.values()
            if finding.id not in self._under_way and self._handled[_kind_of(finding)] < self._most(finding)
        ]
        return min(
            free,
            key=lambda finding: (
                self._handled[_kind_of(finding)],
                finding.signature.kind not in MISMATCH,
                finding.nodes,
                finding.created,
                finding.id,
            ),
            default=None,
        )

    def _most(self, finding: Finding) -> float:
        """How many findings of its signature are handled in this run."""
        if finding.signature.kind in MISMATCH:
            return float("inf")
        # Each question about a deadly one costs the start of a worker.
        return max(1, self._limit // 3) if finding.signature.kind in DEADLY else self._limit

    def take(self, finding: Finding) -> None:
        """The finding is being handled from now on."""
        self._under_way.add(finding.id)
        if finding.state in PENDING:
            self._handled[_kind_of(finding)] += 1

    def put_back(self, finding: Finding) -> None:
        """Nobody is handling it any more."""
        self._under_way.discard(finding.id)

    def add(self, found: Iterable[Finding]) -> None:
        """Findings to be handled."""
        self.pending.update((finding.id, finding) for finding in found)

    def handled(self, finding: Finding) -> None:
        """The finding as handling has left it: it waits on while it is pending."""
        self._unblamed.pop(finding.id, None)
        if finding.state in PENDING:
            self.pending[finding.id] = finding
        else:
            self.pending.pop(finding.id, None)

    def drop(self, identifier: str) -> None:
        """Leave a finding alone for the rest of this run."""
        self.pending.pop(identifier, None)
        self._unblamed.pop(identifier, None)


def _kind_of(finding: Finding) -> str:
    return f"{finding.frontend} {finding.signature}"
