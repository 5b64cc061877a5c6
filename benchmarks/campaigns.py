"""Whole campaigns against one another: where CPU time goes, two workers against one, guidance and quarantine.

Each campaign has a corpus of its own in a temporary directory, the default routes and the same seed; nothing else
should run on the machine. Usage: ``python -m benchmarks.campaigns share|workers|guidance [MINUTES]``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import msgspec

from corpus.records import Batch, Campaign, CoverageReport, Finding, Summary
from corpus.store import Store
from fuzzer.campaign import run
from fuzzer.config import CampaignConfig
from fuzzer.handling import IN_REPRODUCERS
from fuzzer.inquiry import EXPERIMENTS
from fuzzer.listener import Snapshot

SEED = 2026


def in_subjects(parts: Mapping[str, float]) -> float:
    """CPU seconds spent inside subjects' own calls, in workers, in reproducers and in experiments about blame."""
    return sum(parts.get(part, 0.0) for part in ("subjects", IN_REPRODUCERS, EXPERIMENTS))


@dataclass
class Outcome:
    """What a campaign came to."""

    summary: Summary
    coverage: CoverageReport
    parts: dict[str, float]

    @property
    def subjects(self) -> float:
        """CPU seconds spent inside subjects' own calls."""
        return in_subjects(self.parts)


@dataclass
class Quiet:
    """A listener that keeps the last snapshot."""

    snapshot: Snapshot = field(default_factory=lambda: Snapshot(0.0, None, 0))

    def started(self, campaign: Campaign, config: CampaignConfig, routes: Sequence[str]) -> None:
        """Nothing."""

    def batch_done(self, batch: Batch) -> None:
        """Nothing."""

    def finding_new(self, finding: Finding) -> None:
        """Nothing."""

    def finding_updated(self, finding: Finding) -> None:
        """Nothing."""

    def progress(self, snapshot: Snapshot) -> None:
        """Keep it."""
        self.snapshot = snapshot

    def log(self, line: str) -> None:
        """Tell of what goes wrong."""
        print(f"  {line}", file=sys.stderr)

    def finished(self, summary: Summary) -> None:
        """Nothing."""


def campaign(minutes: float, *, workers: int = 2, guidance: bool = True, quarantine: bool = True) -> Outcome:
    """Run one in a fresh corpus."""
    config = CampaignConfig(SEED, minutes, workers=workers, guidance=guidance, quarantine=quarantine)
    with (
        tempfile.TemporaryDirectory(prefix="convfuzz-") as directory,
        Store.open(f"{directory}/corpus", create=True) as store,
    ):
        identifier = store.create_campaign(config.seed, config.to_builtins(), {}).id
        return _run(store, identifier, config)


def _run(store: Store, identifier: str, config: CampaignConfig) -> Outcome:
    listener = Quiet()
    summary = run(store, identifier, config, listener)
    return Outcome(summary, store.coverage(campaign=identifier), listener.snapshot.parts)


def share(minutes: float) -> None:
    """Where the CPU time goes of a campaign, and of one that goes on for as long: by then fewer defects are new."""
    config = CampaignConfig(SEED, minutes)
    with (
        tempfile.TemporaryDirectory(prefix="convfuzz-") as directory,
        Store.open(f"{directory}/corpus", create=True) as store,
    ):
        identifier = store.create_campaign(config.seed, config.to_builtins(), {}).id
        for part in (1, 2):
            before = store.summary(identifier).cases
            done = _run(store, identifier, msgspec.structs.replace(config, minutes=part * minutes))
            total = sum(done.parts.values())
            print(
                f"Minutes {(part - 1) * minutes:g} to {part * minutes:g}, {done.summary.cases - before} graphs judged, "
                f"{100 * done.subjects / total:.1f}% in subjects:\n"
            )
            print("| part | CPU seconds | share |")
            print("|---|---|---|")
            for name, seconds in sorted(done.parts.items(), key=lambda item: -item[1]):
                print(f"| {name} | {seconds:.1f} | {100 * seconds / total:.1f}% |")
            print(flush=True)


def workers(minutes: float) -> None:
    """Two workers against one."""
    one, two = (campaign(minutes, workers=count) for count in (1, 2))
    print(f"Campaigns of {minutes:g} minutes with one worker and with two.\n")
    print("| workers | graphs judged | conversions | CPU seconds in subjects | findings minimized |")
    print("|---|---|---|---|---|")
    rows = []
    for count, done in ((1, one), (2, two)):
        finished = sum(done.summary.states.get(state, 0) for state in ("verified", "duplicate", "flaky"))
        rows.append((done.summary.cases, done.summary.conversions, round(done.subjects), finished))
        print(f"| {count} | {' | '.join(map(str, rows[-1]))} |")
    print(f"| ratio | {' | '.join(f'{right / max(left, 1):.2f}' for left, right in zip(*rows, strict=True))} |")


def guidance(minutes: float) -> None:
    """With and without guidance and quarantine, in equal time: both at the same time, with one worker each, so that
    whatever else the machine does slows both."""
    print(f"Campaigns of {minutes:g} minutes of the same seed, at the same time, one worker each.\n")
    heads = ("quarantine, guidance", "graphs", "source n-grams 2 / 3 / 4 / 5", "artifact n-grams", "cells", "buckets")
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|")
    command = [sys.executable, "-m", "benchmarks.campaigns"]
    arms = [
        subprocess.Popen([*command, "arm", str(minutes), arm], stdout=subprocess.PIPE, text=True)
        for arm in ("off", "on")
    ]
    for process in arms:
        print(process.communicate()[0], end="", flush=True)


def arm(minutes: float, switch: str) -> None:
    """One row of the table: guidance and quarantine both ``on`` or both ``off``."""
    done = campaign(minutes, workers=1, quarantine=switch == "on", guidance=switch == "on")
    print(f"| {switch}, {switch} | {done.summary.cases} | {_row(done)} | {len(done.summary.verified)} |")


def _row(done: Outcome) -> str:
    sides = []
    for side in ("source", "artifact"):
        counts: Counter[int] = Counter()
        for row in done.coverage.sequences:
            if row.side == side:
                counts[row.length] += row.distinct
        sides.append(" / ".join(str(counts[length]) for length in range(2, 6)))
    passed = {(cell.key, cell.converter, cell.variant) for cell in done.coverage.cells if cell.outcome == "success"}
    return " | ".join([*sides, f"{len(done.coverage.cells)} ({len(passed)} with success)"])


def main(arguments: Sequence[str]) -> None:
    """Run the measurement that is named, or all of them."""
    chosen = {"share": (share, 10.0), "workers": (workers, 5.0), "guidance": (guidance, 20.0)}
    if arguments[:1] == ["arm"]:
        arm(float(arguments[1]), arguments[2])
        return
    names = arguments[:1] or list(chosen)
    for name in names:
        measure, minutes = chosen[name]
        measure(float(arguments[1]) if len(arguments) > 1 else minutes)
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
