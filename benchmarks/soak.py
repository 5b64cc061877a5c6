"""Memory and rate of a long campaign over time, as a table and a plot.

Usage: ``python -m benchmarks.soak [MINUTES] [PLOT.svg] [WORKERS] [CORPUS]``; the plot needs matplotlib
(``pip install '.[bench]'``). Beside the plot, samples go to a file of JSON lines as they are taken. A new corpus that
is named is kept, to look at what was found. On a machine that has other work the rate a CPU minute says more than the
rate a minute. What workers take to start is known when they end only, and not in the shares.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil

from benchmarks.campaigns import SEED, Quiet, in_subjects
from corpus.store import Store
from fuzzer.campaign import run
from fuzzer.config import CampaignConfig

#: Seconds between two samples.
INTERVAL = 15.0


@dataclass(frozen=True)
class Sample:
    """Minutes since the start, MiB resident of the campaign's process and of all its children, graphs judged so far,
    findings that wait for minimization, CPU minutes spent so far, MiB of the largest child, what slots are at, and CPU
    minutes spent inside subjects' own calls."""

    minutes: float
    campaign: float
    workers: float
    graphs: int
    pending: int
    cpu: float
    largest: float = 0.0
    doing: str = ""
    subjects: float = 0.0


class Watcher(threading.Thread):
    """Samples this process and its children until it is stopped; each sample is written to ``log`` at once."""

    def __init__(self, listener: Quiet, log: TextIO | None) -> None:
        super().__init__(daemon=True)
        self._log = log
        self.samples: list[Sample] = []
        self.ended = threading.Event()
        self._listener = listener
        self._since = time.monotonic()

    def run(self) -> None:
        """Take a sample every INTERVAL seconds."""
        me = psutil.Process()
        while not self.ended.wait(INTERVAL):
            children = [0.0]
            for child in me.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    children.append(child.memory_info().rss / 2**20)
            shot = self._listener.snapshot
            self.samples.append(
                Sample(
                    (time.monotonic() - self._since) / 60,
                    me.memory_info().rss / 2**20,
                    sum(children),
                    shot.graphs,
                    shot.pending,
                    sum(shot.parts.values()) / 60,
                    max(children),
                    "; ".join(f"{worker.step} {worker.component}" for worker in shot.workers),
                    in_subjects(shot.parts) / 60,
                )
            )
            if self._log is not None:
                self._log.write(json.dumps(asdict(self.samples[-1])) + "\n")
                self._log.flush()


def soak(minutes: float, workers: int, log: TextIO | None, corpus: Path | None = None) -> list[Sample]:
    """Run a campaign of so many minutes, watched, in a fresh corpus: ``corpus``, or one that is removed afterwards."""
    config = CampaignConfig(SEED, minutes, workers=workers)
    listener = Quiet()
    watcher = Watcher(listener, log)
    with (
        tempfile.TemporaryDirectory(prefix="convfuzz-") as directory,
        Store.open(corpus or f"{directory}/corpus", create=True) as store,
    ):
        identifier = store.create_campaign(config.seed, config.to_builtins(), {}).id
        watcher.start()
        run(store, identifier, config, listener)
        watcher.ended.set()
        watcher.join()
    return watcher.samples


def table(samples: list[Sample], parts: int = 8) -> str:
    """Medians over equal parts of the time: MiB, graphs a minute and a CPU minute; share of CPU time in subjects."""
    lines = [
        "| minutes | campaign MiB | workers MiB | largest one | graphs a minute | a CPU minute | in subjects "
        "| findings waiting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    size = max(1, len(samples) // parts)
    for start in range(0, len(samples) - size + 1, size):
        part = samples[start : start + size]
        before = samples[start - 1] if start else Sample(0, 0, 0, 0, 0, 0)
        cpu = max(part[-1].cpu - before.cpu, 1e-9)
        rate = (part[-1].graphs - before.graphs) / max(part[-1].minutes - before.minutes, 1e-9)
        per_cpu = (part[-1].graphs - before.graphs) / cpu
        share = (part[-1].subjects - before.subjects) / cpu
        memory = [statistics.median(values) for values in zip(*((s.campaign, s.workers) for s in part), strict=True)]
        lines.append(
            f"| {before.minutes:.0f} to {part[-1].minutes:.0f} | {memory[0]:.0f} | {memory[1]:.0f} "
            f"| {max(sample.largest for sample in part):.0f} | {rate:.0f} "
            f"| {per_cpu:.0f} | {100 * share:.0f}% | {part[-1].pending} |"
        )
    return "\n".join(lines)


def plot(samples: list[Sample], path: Path) -> None:
    """Memory above, below the rates over the last ten minutes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    minutes = [sample.minutes for sample in samples]
    upper.plot(minutes, [sample.workers for sample in samples], label="workers and verification")
    upper.plot(minutes, [sample.campaign for sample in samples], label="campaign")
    upper.set_ylabel("resident MiB")
    upper.set_ylim(bottom=0)
    upper.legend(frameon=False)
    window = 40
    pairs = [(samples[max(index - window, 0)], samples[index]) for index in range(1, len(samples))]
    for name, spent in (("a minute", "minutes"), ("a CPU minute", "cpu")):
        rates = [
            (now.graphs - then.graphs) / max(getattr(now, spent) - getattr(then, spent), 1e-3) for then, now in pairs
        ]
        lower.plot(minutes[8:], rates[7:], label=name)
    lower.set_ylabel("graphs judged")
    lower.legend(frameon=False)
    lower.set_xlabel("minutes")
    lower.set_ylim(bottom=0)
    figure.savefig(path)


def main(arguments: list[str]) -> None:
    """Soak, print the table, and draw the plot where asked for."""
    minutes = float(arguments[0]) if arguments else 120.0
    picture = Path(arguments[1]) if len(arguments) > 1 else None
    workers = int(arguments[2]) if len(arguments) > 2 else 2
    corpus = Path(arguments[3]) if len(arguments) > 3 else None
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(picture.with_suffix(".jsonl"), "w")) if picture else None
        samples = soak(minutes, workers, log, corpus)
    print(f"A campaign of {minutes:g} minutes with {workers} worker(s).\n\n{table(samples)}")
    if picture:
        plot(samples, picture)


if __name__ == "__main__":
    main(sys.argv[1:])
