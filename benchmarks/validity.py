"""How many of the finished graphs are valid, and what random graphs look like.

Graphs of 10 and of 40 nodes on fresh seeds, per frontend: the share that runs in its framework, interpreted and as
printed source with the very same results, and the share of draws that growth accepts; the distributions of node
counts, ranks and element types of results, of sequences of operators along the data flow, and of structures. Usage:
``python -m benchmarks.validity [GRAPHS] [FRONTEND ...]``.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fuzzer.data_flow import flow_of
from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, Frontend, frontend
from generators.graph import GraphError
from generators.random_graphs import Grown, Weights, grow
from generators.structures import NAMES, structures_of
from generators.wellformed import check_case
from oracles.compare import same

FRONTENDS = ("torch", "tensorflow", "onnx", "keras")
NODES = (10, 40)


@dataclass
class Distribution:
    """What graphs of one frontend and size are like."""

    valid: int = 0
    accepted: int = 0
    drawn: int = 0
    nodes: list[int] = field(default_factory=list)
    ranks: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    sequences: dict[int, Counter[str]] = field(default_factory=dict)
    structures: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def problem(chosen: Frontend, grown: Grown) -> str:
    """Why a finished graph is not valid: it runs in no way, or in two ways with different results. Empty if it is."""
    case = grown.case
    try:
        check_case(case)
        chosen.check_arguments(case.graph)
        values = chosen.run(case.graph, case.feeds)
        chosen.check_values(case.graph, values)
        outputs = chosen.execute(chosen.load(case))
    except (EvaluationError, GraphError, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    for name, array in zip(case.graph.outputs, outputs, strict=True):
        if not same(array, values[name]) or not same(array, grown.values[name]):
            return "differs when it is run again"
    return ""


def measure(name: str, nodes: int, graphs: int) -> Distribution:
    """Grow and run that many graphs."""
    chosen = frontend(name)
    weights = Weights.of(chosen)
    found = Distribution()
    for seed in range(graphs):
        grown = grow(chosen, SeededChoices(19, nodes, seed), nodes=nodes, weights=weights)
        graph = grown.case.graph
        if reason := problem(chosen, grown):
            found.refused[reason] += 1
        else:
            found.valid += 1
        found.accepted += grown.accepted
        found.drawn += grown.accepted + sum(grown.dropped.values()) - grown.dropped["unconnected"]
        found.nodes.append(len(graph.nodes))
        for node in graph.nodes:
            for value in node.outputs:
                found.ranks[str(value.type.rank)] += 1
                found.dtypes[value.type.dtype] += 1
        found.structures.update((*structures_of(graph), *(("with a motif",) if grown.motifs else ())))
        for alike in flow_of(graph).sequences():
            for sequence in alike:
                found.sequences.setdefault(sequence.count(" ") + 1, Counter())[sequence] += 1
    return found


def shares(counts: Mapping[str, int], total: int) -> str:
    """Shares in per cent, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {100 * count / total:.1f}" for name, count in ordered)


def described(name: str, size: int, graphs: int, found: Distribution) -> list[str]:
    """Lines about the distributions."""
    ordered = sorted(found.nodes)
    marks = [ordered[min(len(ordered) - 1, len(ordered) * part // 100)] for part in (0, 5, 50, 95, 100)]
    values = sum(found.ranks.values())
    grams = [
        f"{length}: {len(counts):,} ({100 * sum(count == 1 for count in counts.values()) / sum(counts.values()):.0f}%)"
        for length, counts in sorted(found.sequences.items())
    ]
    there = {item: found.structures[item] for item in ("with a motif", *NAMES)}
    return [
        f"{name}, {size} nodes",
        f"  nodes: least {marks[0]}, 5% {marks[1]}, median {marks[2]}, 95% {marks[3]}, most {marks[4]}",
        f"  ranks of results, %: {shares(found.ranks, values)}",
        f"  dtypes of results, %: {shares(found.dtypes, values)}",
        f"  distinct sequences by length (of occurrences, unique): {'; '.join(grams)}",
        f"  graphs with, %: {shares(there, graphs)}",
        *(f"  not valid, {count}: {reason}" for reason, count in found.refused.most_common(10)),
    ]


def main(graphs: int, names: tuple[str, ...]) -> None:
    """Print the table and the distributions."""
    rows, lines = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            for size in NODES:
                found = measure(name, size, graphs)
                share = 100 * found.valid / graphs
                rows.append(
                    f"| {name} | {size} | {graphs:,} | {share:.2f}% | {100 * found.accepted / found.drawn:.1f}% |"
                )
                print(rows[-1], file=sys.stderr, flush=True)
                lines += described(name, size, graphs, found)
    print("| frontend | nodes | graphs | run in their framework | accepted draws |\n|---|---|---|---|---|")
    print("\n".join((*rows, "", *lines)))


if __name__ == "__main__":
    given = sys.argv[1:]
    number = int(given.pop(0)) if given and given[0].isdigit() else 2000
    main(number, tuple(given) or FRONTENDS)
