"""Planted faults in random graphs of 64 nodes: to how many nodes minimization reduces them, in how many conversions.

Usage: ``python -m benchmarks.minimizer [GRAPHS] [ROUTE …]``; routes are ``torch``, ``tensorflow`` (a converter that
writes graphs of ours, so that any operator may be guilty), ``torchscript`` and ``tflite`` (the real converters). Each
task has GRAPHS graphs (30), of which the first ten are given to the other minimizers, too. The fault is that of
``benchmarks/faulty/convfuzz_chains.py``: where one operator (or two or six, each using a result of the one before) is
called, what the converter writes computes something else. Which operators these are is drawn among those of the graph.
Minimization is that of campaigns, in a worker, and conversions are counted as the store counts them: to the end, when
shapes and values are simple, too. The baselines of the same run are one conversion of the whole graph, and two
minimizers that ask about one candidate at a time and stop at the nodes: delta debugging and, for torch, PyTorch's own
(:mod:`benchmarks.alternatives.minimizers`).
"""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "faulty"), str(ROOT.parent), os.environ.get("PYTHONPATH", "")])
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(ROOT / "faulty")]

import psutil  # noqa: E402
from convfuzz_chains import CHAIN, CHANGED  # noqa: E402

from benchmarks.alternatives.minimizers import Reduced, ddmin, fx_minifier  # noqa: E402
from fuzzer.config import CampaignConfig  # noqa: E402
from fuzzer.converters.base import converters  # noqa: E402
from fuzzer.planning import default_settings  # noqa: E402
from fuzzer.reduction import reduce  # noqa: E402
from fuzzer.runtimes.base import runtimes  # noqa: E402
from fuzzer.supervisor import Limits, Worker  # noqa: E402
from fuzzer.survival import RemoteTester  # noqa: E402
from fuzzer.tasks import Subject  # noqa: E402
from generators.choices import SeededChoices  # noqa: E402
from generators.frontends.base import frontend  # noqa: E402
from generators.graph import Case, Graph, node_count  # noqa: E402
from generators.random_graphs import Weights, grow  # noqa: E402
from oracles.minimize import Budget  # noqa: E402
from oracles.outcome import Kind, Signature, Verdict  # noqa: E402

SEED, NODES = 64, 64
#: Guilty operators in a chain, to what the task is called.
TASKS = {1: "one operator", 2: "an adjacent pair", 6: "a path of six"}
#: Graphs of each task that the other minimizers are given, too.
COMPARED = 10
#: Attempts to draw a chain from a graph.
_TRIES = 50


@dataclass(frozen=True)
class Route:
    """Frontend, converter and runtime, and patterns of the operators that graphs are made of (all when empty):
    a real converter refuses most graphs of 64 nodes drawn from all operators."""

    frontend: str
    converter: str
    runtime: str
    operators: tuple[str, ...] = ()


_TAKEN_TORCH = (
    *(f"torch.{name}" for name in ("abs", "neg", "exp", "tanh", "sigmoid", "sin", "sqrt", "relu", "floor")),
    *(f"torch.{name}" for name in ("add", "sub", "mul", "maximum", "minimum", "where", "clamp", "transpose")),
    *(f"torch.{name}" for name in ("cat", "stack", "reshape", "flatten", "unsqueeze", "squeeze", "permute")),
    *(f"torch.{name}" for name in ("mean", "sum", "amax", "matmul", "softmax", "gt", "lt", "logical_not")),
)
_TAKEN_TENSORFLOW = (
    *(f"tf.math.{name}" for name in ("abs", "negative", "exp", "tanh", "sigmoid", "sin", "sqrt", "floor", "square")),
    *(f"tf.math.{name}" for name in ("add", "subtract", "multiply", "maximum", "minimum", "greater", "less")),
    *(f"tf.{name}" for name in ("transpose", "concat", "stack", "reshape", "expand_dims", "squeeze", "nn.relu")),
    *(f"tf.math.{name}" for name in ("reduce_mean", "reduce_sum", "reduce_max")),
    *("tf.linalg.matmul", "tf.nn.softmax", "tf.tile", "tf.slice", "tf.nn.relu6"),
)
ROUTES = {
    "torch": Route("torch", "planted.chain.torch", "interpreter"),
    "tensorflow": Route("tensorflow", "planted.chain.tensorflow", "interpreter"),
    "torchscript": Route("torch", "planted.chain.torch.onnx-torchscript", "onnxruntime", _TAKEN_TORCH),
    "tflite": Route("tensorflow", "planted.chain.tflite", "litert", _TAKEN_TENSORFLOW),
}


def cpu() -> float:
    """Seconds of CPU time of this process and those below it."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))


@dataclass(frozen=True)
class Planted:
    """A failing graph: ``span`` is how far apart the first and last of the guilty nodes are in it."""

    case: Case
    chain: tuple[str, ...]
    span: int
    signature: Signature
    tester: RemoteTester


@dataclass
class Row:
    """What was measured of one task."""

    drawn: int = 0
    spans: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    to_nodes: list[int] = field(default_factory=list)
    conversions: list[int] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    others: dict[str, list[tuple[Reduced, float]]] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)


def tester_of(route: Route, worker: Worker, chain: Sequence[str]) -> RemoteTester:
    """Asks the worker about the route, whose converter has the fault."""
    converter = converters()[route.converter]
    settings = {**default_settings(converter), CHAIN: " ".join(chain)}
    variants = tuple((route.runtime, variant) for variant in runtimes()[route.runtime].variants)
    return RemoteTester(worker, Subject(route.frontend, route.converter, settings, variants), converter)


def chain_in(graph: Graph, length: int, choices: SeededChoices) -> list[int] | None:
    """Indices of nodes of the graph, each using a result of the one before, the last of which has a result that can be
    changed. None when none was found."""
    producers = graph.producers()
    ends = [index for index, node in enumerate(graph.nodes) if node.outputs[0].type.dtype in CHANGED]
    for _ in range(_TRIES if ends else 0):
        found = [choices.pick(ends)]
        while len(found) < length:
            before = sorted({producers[name] for name in graph.nodes[found[0]].references() if name in producers})
            if not before:
                break
            found.insert(0, choices.pick(before))
        if len(found) == length:
            return found
    return None


def planted(route: Route, worker: Worker, length: int, count: int, row: Row) -> Iterator[Planted]:
    """So many graphs in which the fault is seen, and nothing is without it."""
    ours = frontend(route.frontend)
    without_bodies = dict.fromkeys(ours.control_targets(), 0.0)
    weights = Weights.of(ours, without_bodies, only=route.operators)
    number = 0
    while count:
        choices = SeededChoices(SEED, length, number)
        number += 1
        case = grow(ours, choices, nodes=NODES, weights=weights).case
        indices = chain_in(case.graph, length, choices)
        if indices is None or len(case.graph.nodes) < NODES:
            continue
        row.drawn += 1
        chain = tuple(case.graph.nodes[index].target for index in indices)
        [sound] = tester_of(route, worker, ("nothing",)).test([case])
        tester = tester_of(route, worker, chain)
        [trial] = tester.test([case])
        found = [seen for seen in trial.observations if seen.verdict is Verdict.BUG]
        if trial.case is None or any(seen.verdict is Verdict.BUG for seen in sound.observations):
            continue
        if not found or (found[0].signature.kind, found[0].signature.component) != (Kind.VALUE, route.converter):
            continue
        count -= 1
        yield Planted(trial.case, chain, indices[-1] - indices[0], found[0].signature, tester)


def measure(one: Planted, row: Row, *, compared: bool) -> None:
    """Minimize it, in each way if it is to be ``compared``."""
    tester, signature = one.tester, one.signature
    row.spans.append(one.span)
    row.sizes.append(node_count(one.case.graph))
    started = cpu()
    tester.test([one.case])
    row.whole.append(cpu() - started)
    # The conversions of a campaign; its seconds would depend on what else the machine does.
    budget = Budget(math.inf, CampaignConfig(SEED).minimize_conversions)
    started = cpu()
    result = reduce(one.case, signature, tester, budget=budget)
    row.seconds.append(cpu() - started)
    row.nodes.append(node_count(result.case.graph))
    row.conversions.append(result.conversions)
    row.to_nodes.append(result.conversions_to_nodes)
    row.tries.append(sum(statistics.tries for statistics in result.passes.values()))
    if not result.complete:
        row.failed["not complete"] += 1
    tell(
        row, f"{row.nodes[-1]} nodes in {row.to_nodes[-1]}, {row.conversions[-1]} conversions, {row.seconds[-1]:.2f} s"
    )
    if not compared:
        return

    def fails(case: Case) -> bool:
        return tester.test([case])[0].shows(signature)

    values = tester.values(one.case)
    ways: dict[str, Callable[[], Reduced]] = {"delta debugging": lambda: ddmin(one.case, values, fails)}
    if one.case.graph.frontend == "torch":
        ways["fx_minifier"] = lambda: fx_minifier(one.case, fails)
    for name, way in ways.items():
        started = cpu()
        try:
            reduced = way()
        except (RuntimeError, AssertionError) as error:  # what the minifier raises when it is at a loss
            row.failed[f"{name}: {str(error)[:80]}"] += 1
            continue
        row.others.setdefault(name, []).append((reduced, cpu() - started))
        tell(row, f"{name}: {reduced.nodes} nodes in {reduced.queries} queries, {row.others[name][-1][1]:.2f} s")


def tell(row: Row, text: str) -> None:
    """How far it is, for whoever waits, and where a run is cut short."""
    print(f"graph {len(row.nodes)} of {row.drawn} drawn: {text}", file=sys.stderr, flush=True)


def spread(numbers: Sequence[int]) -> str:
    """Median, mean and worst."""
    return f"{statistics.median(numbers):g} ({statistics.mean(numbers):.1f}, {max(numbers)})"


def sizes(numbers: Sequence[int]) -> str:
    """How many there are of each size."""
    return ", ".join(
        f"{size}" if count == len(numbers) else f"{size} ({count})" for size, count in sorted(Counter(numbers).items())
    )


def lines(name: str, length: int, row: Row) -> Iterator[str]:
    """The rows of the table."""
    start = f"| {name} | {TASKS[length]}"
    whole = statistics.median(row.whole)

    def cost(seconds: Sequence[float]) -> str:
        return f"{statistics.median(seconds):.2f} ({statistics.median(seconds) / whole:.1f})"

    yield (
        f"{start} | convfuzz | {sizes(row.nodes)} | {spread(row.to_nodes)} | {spread(row.conversions)} "
        f"| {statistics.median(row.tries):g} | {cost(row.seconds)} |"
    )
    for other, results in row.others.items():
        queries = [reduced.queries for reduced, _ in results]
        left = sizes([reduced.nodes for reduced, _ in results])
        seconds = [taken for _, taken in results]
        yield f"{start} | {other} | {left} | {spread(queries)} | | {statistics.median(queries):g} | {cost(seconds)} |"


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    count = int(arguments[0]) if arguments and arguments[0].isdecimal() else 30
    names = [name for name in arguments if not name.isdecimal()] or ["torch", "tensorflow"]
    print(
        f"Faults planted in random graphs of {NODES} nodes, {count} for each task. Medians (means, worst); of "
        "CPU seconds medians (and multiples of one conversion of the whole graph, judged).\n"
    )
    print(
        "| route | guilty | minimizer | nodes left | conversions to the nodes | to the end | candidates | CPU seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    remarks = []
    for name in names:
        worker = Worker(Limits(1800, 12_000, 12_000))
        try:
            for length in TASKS:
                row = Row()
                print(f"{name}, {TASKS[length]}", file=sys.stderr, flush=True)
                for number, one in enumerate(planted(ROUTES[name], worker, length, count, row)):
                    measure(one, row, compared=number < COMPARED)
                for line in lines(name, length, row):
                    print(line, flush=True)
                failed = "".join(f"; {what}: {times}" for what, times in row.failed.items())
                remarks.append(
                    f"- {name}, {TASKS[length]}: {count} of {row.drawn} graphs, of {min(row.sizes)} to "
                    f"{max(row.sizes)} nodes; guilty nodes {statistics.median(row.spans):g} apart (median); "
                    f"the whole graph: {statistics.median(row.whole):.2f} s{failed}"
                )
        finally:
            worker.close()
    print("\n" + "\n".join(remarks))


if __name__ == "__main__":
    main(sys.argv[1:])
