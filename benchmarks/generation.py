"""How fast graphs grow, and how many of the finished ones are valid.

The baseline is running the very same graphs eagerly, alternating with their growth in one process: a ratio of 3 says
that growing a graph costs three times what executing it costs. Usage: ``python -m benchmarks.generation [GRAPHS]``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import warnings

import numpy as np

from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, frontend
from generators.graph import Array
from generators.random_graphs import Weights, grow

FRONTENDS = ("torch", "tensorflow")
NODES = (10, 40)
WARM_UP = 30


def finite(array: Array) -> bool:
    """Whether all elements are finite; integers and booleans always are."""
    if array.dtype.kind in "fc":
        return bool(np.isfinite(array).all())
    return array.dtype.kind != "V" or bool(np.isfinite(array.astype(np.float32)).all())


def measure(name: str, nodes: int, graphs: int) -> str:
    """A table row for one frontend and size: milliseconds are of CPU time and per graph."""
    chosen = frontend(name)
    weights = Weights.of(chosen)
    growth: list[float] = []
    execution: list[float] = []
    valid = all_finite = accepted = drawn = 0
    for seed in range(graphs + WARM_UP):
        started = time.process_time()
        grown = grow(chosen, SeededChoices(17, seed), nodes=nodes, weights=weights)
        middle = time.process_time()
        try:
            values = chosen.run(grown.case.graph, grown.case.feeds)
        except EvaluationError:
            continue
        ended = time.process_time()
        if seed < WARM_UP:
            continue
        growth.append(1000 * (middle - started))
        execution.append(1000 * (ended - middle))
        valid += 1
        all_finite += all(finite(array) for array in values.values())
        accepted += grown.accepted
        drawn += grown.accepted + sum(grown.dropped.values())
    ratio = statistics.median(growth) / statistics.median(execution)
    return (
        f"| {name} | {nodes} | {statistics.median(growth):.2f} ms | {statistics.median(execution):.2f} ms "
        f"| {ratio:.2f} "
        f"| {100 * valid / graphs:.2f}% | {100 * all_finite / max(valid, 1):.1f}% | {100 * accepted / drawn:.1f}% |"
    )


def main(graphs: int) -> None:
    """Print the table."""
    print(f"Growth of random graphs, medians over {graphs} graphs of each kind, one thread.\n")
    print("| frontend | nodes | growth | baseline: execution | ratio | valid | all values finite | draws accepted |")
    print("|---|---|---|---|---|---|---|---|")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in FRONTENDS:
            for nodes in NODES:
                print(measure(name, nodes, graphs), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
