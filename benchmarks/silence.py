"""False alarms: findings where everything is computed correctly, only otherwise than the frameworks do.

Usage: ``python -m benchmarks.silence [GRAPHS] [FRONTEND …] [--seed N]``.

Random graphs of each frontend, as campaigns grow them, go through the identity route: the converter hands them on, and
runtimes interpret them. The runtime ``interpreter`` does what eager mode does; ``alternative`` computes each operator
in float64 and rounds, adds in other orders (reversed, pairwise, blocked; convolutions by im2col), with fused
multiply-add, by other formulas, with elementwise functions off by up to 4 ulp (at random, or all to one side), and with
chains of sums and products associated otherwise. Every finding is a false alarm of ours; each is printed, and its case
is kept in the directory given with ``--keep``. What exceeds the customary tolerance and is explained by rounding counts
as inconclusive: those are the cases in which the second step of judging was needed.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    # The entry point of the runtime, for this process and no other that imports this module.
    sys.path.insert(0, str(Path(__file__).parent / "alternatives" / "plugin"))

from fuzzer.converters.base import converters
from fuzzer.learning import Learnt
from fuzzer.planning import Plan, task_of
from fuzzer.recording import verdict_of
from fuzzer.routes import select
from fuzzer.supervisor import Limits, Worker
from fuzzer.survival import judge_numbers
from oracles.outcome import Verdict

#: Where the entry point of the runtime is, for workers.
PLUGIN = Path(__file__).parent / "alternatives" / "plugin"
FRONTENDS = ("torch", "tensorflow", "onnx", "keras")
GRAPHS = 20_000
SEED = 2028
NODES = 10
PACK = 16


@dataclass
class Silence:
    """What came of the graphs of one frontend: verdicts, false alarms with their cases, and of the inconclusive
    observations how many each variant had."""

    verdicts: Counter[str] = field(default_factory=Counter)
    alarms: list[tuple[str, bytes]] = field(default_factory=list)
    unsure: Counter[str] = field(default_factory=Counter)


def environment() -> dict[str, str]:
    """The environment of workers that have the runtime ``alternative``."""
    root = str(Path(__file__).parents[1])
    return {"PYTHONPATH": os.pathsep.join([str(PLUGIN), root, os.environ.get("PYTHONPATH", "")])}


def measure(frontend: str, graphs: int, seed: int) -> Silence:
    """Judge so many graphs."""
    routes = [f"{frontend}:identity.{frontend}:{name}" for name in ("interpreter", "alternative")]
    plan = Plan(seed, select(routes), NODES, pack=PACK)
    converter = converters()[f"identity.{frontend}"]
    worker = Worker(Limits(deadline=120), environment=environment())
    found = Silence()
    index = 0
    try:
        while found.verdicts.total() < graphs:
            issued = plan.batch(index, Learnt())
            result = judge_numbers(worker, range(issued.cases), partial(task_of, seed, issued), converter)
            for case in result.results:
                found.verdicts[verdict_of(case)] += 1
                for seen in case.seen:
                    if seen.verdict == Verdict.INCONCLUSIVE.value:
                        found.unsure[seen.settings] += 1
                    if seen.verdict == Verdict.BUG.value:
                        text = f"{frontend} batch {index} case {case.number}: {seen.settings}: {seen.message}"
                        print(text, file=sys.stderr, flush=True)
                        found.alarms.append((text, case.case))
            index += 1
            if index % 20 == 0:
                print(f"{frontend}: {found.verdicts.total()} graphs", file=sys.stderr, flush=True)
    finally:
        worker.close()
    return found


def main(given: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.silence")
    parser.add_argument("graphs", nargs="?", type=int, default=GRAPHS)
    parser.add_argument("frontends", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args(list(given))
    print("| frontend | graphs | passed | rounding explains | refused by eager mode | false alarms |")
    print("|---|---|---|---|---|---|")
    unsure: Counter[str] = Counter()
    for frontend in asked.frontends or FRONTENDS:
        found = measure(frontend, asked.graphs, asked.seed)
        counts = found.verdicts
        print(
            f"| {frontend} | {counts.total():,} | {counts['pass']:,} | {counts['inconclusive']:,} | "
            f"{counts['refused']:,} | {len(found.alarms)} |",
            flush=True,
        )
        unsure.update(found.unsure)
        if asked.keep:
            asked.keep.mkdir(parents=True, exist_ok=True)
            for number, (text, case) in enumerate(found.alarms):
                (asked.keep / f"{frontend}.{number}.case").write_bytes(case)
                (asked.keep / f"{frontend}.{number}.txt").write_text(text + "\n")
    parts = ", ".join(f"{name} {count}" for name, count in unsure.most_common())
    print(f"\nOutputs beyond the customary tolerance, by the way they were computed: {parts or 'none'}.")


if __name__ == "__main__":
    main(sys.argv[1:])
