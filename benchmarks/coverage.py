"""What counting coverage costs, in time and in space.

The baseline is the batch itself: counting is timed inside whole batches (generated, converted, run, judged) of each
converter. The store's part is recording the same batches with and without their counts. Usage:
``python -m benchmarks.coverage [BATCHES]``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from corpus.records import IssuedBatch, JudgedBatch
from corpus.store import Store
from fuzzer.coverage import Tally
from fuzzer.learning import Learnt
from fuzzer.pipeline import Pipeline
from fuzzer.planning import Plan, task_of
from fuzzer.recording import judged_batch
from fuzzer.routes import select

CONVERTERS = ("torch.onnx-dynamo", "torch.onnx-torchscript", "tf2onnx", "tflite")
SEED, NODES, PACK = 17, 10, 16
WARM_UP = 1


class Stopwatch:
    """Seconds spent in the methods of Tally."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for name in ("case", "artifact", "record"):
            setattr(Tally, name, self._timed(getattr(Tally, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def measure(converter: str, batches: int, watch: Stopwatch, store: Store) -> str:
    """A table row for one converter."""
    plan = Plan(SEED, select([converter]), NODES, PACK, ())
    campaign = store.create_campaign(SEED, {}, {}).id
    counting: list[float] = []
    judging: list[float] = []
    without: list[float] = []
    recording: list[float] = []
    for index in range(batches + WARM_UP):
        issued = plan.batch(index, Learnt())
        task = task_of(SEED, issued, tuple(range(issued.cases)))
        pipeline = Pipeline(task.subject, lambda step: None, lambda note: None, lambda: "")
        watch.seconds = 0.0
        started = time.perf_counter()
        result = pipeline.batch(task)
        seconds = time.perf_counter() - started
        judged = msgspec.structs.replace(judged_batch(campaign, issued, result, seconds), findings=())
        bare = msgspec.structs.replace(judged, index=index + 10**6, coverage=None)
        times = [_record(store, issued, one) for one in (bare, judged)]
        if index >= WARM_UP:
            counting.append(watch.seconds / issued.cases)
            judging.append(seconds / issued.cases)
            without.append(times[0])
            recording.append(times[1])
    count, whole = statistics.median(counting), statistics.median(judging)
    return (
        f"| {converter} | {1000 * whole:.0f} ms | {1000 * count:.2f} ms | {100 * sum(counting) / sum(judging):.2f}% "
        f"| {1000 * statistics.median(without):.1f} ms | {1000 * statistics.median(recording):.1f} ms |"
    )


def _record(store: Store, issued: IssuedBatch, judged: JudgedBatch) -> float:
    store.issue(judged.campaign, [msgspec.structs.replace(issued, index=judged.index)])
    started = time.perf_counter()
    store.record_batch(judged)
    return time.perf_counter() - started


def main(batches: int) -> None:
    """Print the table."""
    print(f"Counting coverage, medians over {batches} batches of {PACK} graphs of {NODES} nodes for each converter.\n")
    print("| converter | baseline: a graph judged | counting it | share | baseline: a batch recorded | with counts |")
    print("|---|---|---|---|---|---|")
    logging.disable(logging.WARNING)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as directory, Store.open(Path(directory) / "corpus", create=True) as store:
        for converter in CONVERTERS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                print(measure(converter, batches, watch, store), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
