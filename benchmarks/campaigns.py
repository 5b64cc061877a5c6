"""Whole campaigns against one another: where CPU time goes, two workers against one, guidance and quarantine.

Each campaign has a corpus of its own in a temporary directory, the default routes and the same seed; nothing else
should run on the machine. Usage: ``python -m benchmarks.campaigns share|workers|guidance [MINUTES]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

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
T = TypeVar("T")


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
    """Two workers against one, and two campaigns of one worker at the same time: what the cores give at most."""
    print(f"Campaigns of {minutes:g} minutes with one worker, with two, and two at once with one each.\n")
    print("| workers | graphs judged | conversions | CPU seconds in subjects | findings minimized |")
    print("|---|---|---|---|---|")
    one, two = (_counted(campaign(minutes, workers=count)) for count in (1, 2))
    both = [sum(pair) for pair in zip(*_at_once("worker", minutes, ("1", "1"), json.loads), strict=True)]
    for name, row in (("1", one), ("2", two), ("1 + 1", both)):
        print(f"| {name} | {' | '.join(map(str, row))} |")
    for name, row in (("2", two), ("1 + 1", both)):
        ratios = (f"{right / max(left, 1):.2f}" for left, right in zip(one, row, strict=True))
        print(f"| {name} against 1 | {' | '.join(ratios)} |")


def _counted(done: Outcome) -> list[int]:
    finished = sum(done.summary.states.get(state, 0) for state in ("verified", "duplicate", "flaky"))
    return [done.summary.cases, done.summary.conversions, round(done.subjects), finished]


def _at_once(step: str, minutes: float, choices: Sequence[str], read: Callable[[str], T]) -> list[T]:
    """What campaigns in processes of their own print, run at the same time, so that whatever else the machine does
    slows all of them."""
    command = [sys.executable, "-m", "benchmarks.campaigns", "--step", step, str(minutes)]
    arms = [subprocess.Popen([*command, choice], stdout=subprocess.PIPE, text=True) for choice in choices]
    return [read(process.communicate()[0]) for process in arms]


def guidance(minutes: float) -> None:
    """With and without guidance and quarantine, in equal time, with one worker each."""
    print(f"Campaigns of {minutes:g} minutes of the same seed, at the same time, one worker each.\n")
    heads = ("quarantine, guidance", "graphs", "source n-grams 2 / 3 / 4 / 5", "artifact n-grams", "cells", "buckets")
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|")
    print("".join(_at_once("arm", minutes, ("off", "on"), str)), end="", flush=True)


def step(name: str, minutes: float, choice: str) -> None:
    """One of the campaigns that run at the same time: an ``arm`` with guidance and quarantine both ``on`` or both
    ``off``, as a row of the table, or one of so many workers, ``worker``, as its counts in JSON."""
    if name == "worker":
        print(json.dumps(_counted(campaign(minutes, workers=int(choice)))))
        return
    done = campaign(minutes, workers=1, quarantine=choice == "on", guidance=choice == "on")
    print(f"| {choice}, {choice} | {done.summary.cases} | {_row(done)} | {len(done.summary.verified)} |")


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
    if arguments[:1] == ["--step"]:
        step(arguments[1], float(arguments[2]), arguments[3])
        return
    names = arguments[:1] or list(chosen)
    for name in names:
        measure, minutes = chosen[name]
        measure(float(arguments[1]) if len(arguments) > 1 else minutes)
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
