"""How fast graphs grow, and how many of the finished ones are valid.

The baseline is running the very same graphs eagerly, alternating with their growth in one process: a ratio of 3 says
that growing a graph costs three times what executing it costs. TensorFlow makes a kernel for every new combination of
operator, attributes and dtypes and keeps it, so its growth is measured early in the life of a process and late. Usage:
``python -m benchmarks.generation [GRAPHS]``.
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

NODES = (10, 25, 40)
#: Graphs of ten nodes that a process has grown before anything is measured, and when it counts as warm.
EARLY, LATE = 30, 2000


def finite(array: Array) -> bool:
    """Whether all elements are finite; integers and booleans always are."""
    if array.dtype.kind in "fc":
        return bool(np.isfinite(array).all())
    return array.dtype.kind != "V" or bool(np.isfinite(array.astype(np.float32)).all())


def measure(name: str, nodes: int, graphs: int, before: int) -> str:
    """A table row for one frontend and size: milliseconds are of CPU time and per graph. ``before`` says how many
    graphs the process has grown, roughly."""
    chosen = frontend(name)
    weights = Weights.of(chosen)
    growth: list[float] = []
    execution: list[float] = []
    valid = all_finite = accepted = drawn = 0
    for seed in range(graphs):
        started = time.process_time()
        grown = grow(chosen, SeededChoices(17, nodes, before, seed), nodes=nodes, weights=weights)
        middle = time.process_time()
        growth.append(1000 * (middle - started))
        accepted += grown.accepted
        drawn += grown.accepted + sum(grown.dropped.values()) - grown.dropped["unconnected"]
        middle = time.process_time()
        try:
            values = chosen.run(grown.case.graph, grown.case.feeds)
        except EvaluationError:
            continue
        execution.append(1000 * (time.process_time() - middle))
        valid += 1
        all_finite += all(finite(array) for array in values.values())
    ratio = statistics.median(growth) / statistics.median(execution)
    return (
        f"| {name} | {nodes} | {before} | {statistics.median(growth):.2f} ms ({statistics.fmean(growth):.2f}) "
        f"| {statistics.median(execution):.2f} ms ({statistics.fmean(execution):.2f}) | {ratio:.2f} "
        f"| {100 * valid / graphs:.2f}% | {100 * all_finite / max(valid, 1):.1f}% | {100 * accepted / drawn:.1f}% |"
    )


def warm_up(name: str, graphs: int) -> None:
    """Grow that many graphs of ten nodes, on seeds that are not measured."""
    chosen = frontend(name)
    weights = Weights.of(chosen)
    for seed in range(graphs):
        grow(chosen, SeededChoices(18, seed), weights=weights)


def main(graphs: int) -> None:
    """Print the table."""
    print(f"Growth of random graphs on fresh seeds, medians (and means) over {graphs} graphs a row, one thread.\n")
    print("| frontend | nodes | graphs before | growth | baseline: execution | ratio | valid | all finite | accepted |")
    print("|---|---|---|---|---|---|---|---|---|")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up("torch", EARLY)
        for nodes in NODES:
            print(measure("torch", nodes, graphs, EARLY), flush=True)
        warm_up("tensorflow", EARLY)
        print(measure("tensorflow", NODES[0], graphs, EARLY), flush=True)
        warm_up("tensorflow", LATE)
        for nodes in NODES:
            print(measure("tensorflow", nodes, graphs, LATE), flush=True)
        warm_up("onnx", EARLY)
        for nodes in NODES:
            print(measure("onnx", nodes, graphs, EARLY), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
