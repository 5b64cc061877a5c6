"""What a campaign tells of itself while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from corpus.records import Batch, Campaign, Finding, Summary
from fuzzer.config import CampaignConfig


class WorkerState(msgspec.Struct, frozen=True):
    """What a worker is doing: the step it announced, the component (subject or target) and for how many seconds."""

    name: str
    step: str
    component: str = ""
    seconds: float = 0.0


class Snapshot(msgspec.Struct, frozen=True):
    """Progress of a campaign, all runs of it together.

    ``elapsed`` and ``remaining`` are seconds (None: no time limit), ``graphs`` cases judged, ``graph_limit`` how many
    are wanted (None: no limit). ``by_route`` counts cases by route, ``verdicts`` by verdict. ``phase`` says in words
    what minimization is at (``''`` when idle), ``pending`` how many findings wait for it. ``parts`` are seconds of CPU
    time of this run by what they were spent on, workers' own overhead included once they have ended.
    """

    elapsed: float
    remaining: float | None
    graphs: int
    graph_limit: int | None = None
    batches: int = 0
    conversions: int = 0
    by_route: dict[str, int] = {}
    verdicts: dict[str, int] = {}
    phase: str = ""
    pending: int = 0
    workers: tuple[WorkerState, ...] = ()
    parts: dict[str, float] = {}


class Listener(Protocol):
    """Told by the campaign's main thread, which waits until each call returns. Implementations do not raise."""

    def started(self, campaign: Campaign, config: CampaignConfig, routes: Sequence[str]) -> None:
        """The campaign runs (again); ``routes`` are the names of those that it uses."""
        ...

    def batch_done(self, batch: Batch) -> None:
        """A batch was judged and recorded."""
        ...

    def finding_new(self, finding: Finding) -> None:
        """A raw finding was recorded."""
        ...

    def finding_updated(self, finding: Finding) -> None:
        """A finding got smaller or reached another state."""
        ...

    def progress(self, snapshot: Snapshot) -> None:
        """Called about four times a second."""
        ...

    def log(self, line: str) -> None:
        """Something worth a line: a worker restarted, a route left out and why."""
        ...

    def finished(self, summary: Summary) -> None:
        """The run is over, by itself or because it was asked to stop."""
        ...
