"""Structures of graphs: which values are inputs and outputs, and the rare shapes of a whole graph.

What real models have and random wiring never gives: a value returned twice, an input or a constant returned as it is,
an input that nothing uses, several inputs or results in a tuple, a list or a dictionary, two hundred operators in a
row, a hundred side by side, a large constant; and control flow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from generators.choices import Choices
from generators.feeding import STRUCTURES as FED
from generators.graph import Case, Graph, Input, captured
from generators.grouping import GROUPINGS, RESULTS, structures
from generators.sizes import extents_at

#: Share of the graphs of more than one node that get an unusual output or input. Each is one of many outputs or inputs
#: to a converter, and goes wrong or does not: few are enough.
SHARE = 0.16
#: Which, with their weights.
UNUSUAL: Mapping[str, float] = {
    "value twice an output": 3.0,
    "input as output": 2.5,
    "constant as output": 2.0,
    "outputs out of order": 2.0,
    "unused input": 2.5,
    **GROUPINGS,
    **RESULTS,
}
#: Those that a frontend has no way to say: a functional Keras model knows constants as weights alone.
#: An ONNX model has tensors for inputs and outputs.
#: A list is what a functional model of Keras returns anyway, and it has no bodies here.
WITHOUT: Mapping[str, frozenset[str]] = {
    "keras": frozenset(
        ("constant as output", "list output", "nested outputs", "control flow", "nested bodies", "body that captures")
    ),
    "onnx": frozenset((*GROUPINGS, *RESULTS)),
}
#: Shares of the graphs of at least LEAST nodes that take a rare shape. A chain of 200 nodes costs what twenty usual
#: graphs do, and joins a pack of four to sixteen: one in 1,500 adds a little over one per cent to a campaign's nodes,
#: and no batch takes more than a few seconds for it.
RARE: Mapping[str, float] = {
    "deep chain": 1 / 1500,
    "wide graph": 1 / 1500,
    "large constant": 1 / 500,
    "constant of kilobytes": 1 / 300,
}
LEAST = 5
#: Nodes of a deep chain (the longest path) and of a wide graph (uses of one value).
DEPTH, WIDTH = 200, 100
#: Bytes of a large constant: just above 2 MiB, beyond every limit on folding and inlining that converters set in
#: elements or bytes (onnxscript: 2^20 elements of an output; ONNX: 2 GiB, too slow to go to), at 4 ms to draw.
LARGE = 2 << 20
#: Bytes of a constant that converters store beside the model when they are asked to (torch.onnx from 256 bytes on,
#: tf2onnx from 1024 elements), and that is cheap to compute with.
KILOBYTES = (1 << 10, 64 << 10)

#: Further sizes of a case with dynamic dimensions.
SIZES = ("run at size 0", "run at size 1", "run at a larger size")

#: Every structure that is counted. A size that a converted model does not promise to take is one that it is not run at.
NAMES = (
    "several outputs",
    *UNUSUAL,
    "no input",
    "deep chain",
    "wide graph",
    "large constant",
    "constant of kilobytes",
    "control flow",
    "nested bodies",
    "body that captures",
    "dynamic dimension",
    "dynamic dimensions of one symbol",
    "dynamic dimensions of several symbols",
    *SIZES,
    "size not promised",
    *FED,
)


def possible_names(frontend: str) -> tuple[str, ...]:
    """Those of :data:`NAMES` that graphs of the frontend can have."""
    return tuple(name for name in NAMES if name not in WITHOUT.get(frontend, ()))


def rare_shape(choices: Choices) -> str:
    """The rare shape that a graph is to have; mostly none."""
    left = choices.fraction()
    for name, share in RARE.items():
        left -= share
        if left < 0:
            return name
    return ""


def unusual(choices: Choices, nodes: int, frontend: str) -> str:
    """What is unusual in the outputs or inputs of a graph of the frontend; mostly nothing. Graphs of a single node are
    left alone: they are there to tell of their operator, which would be blamed for what a converter makes of the rest.
    """
    if nodes < 2 or choices.fraction() >= SHARE:
        return ""
    without = WITHOUT.get(frontend, frozenset())
    possible = {name: weight for name, weight in UNUSUAL.items() if name not in without}
    left = choices.fraction() * sum(possible.values())
    for name, weight in possible.items():
        left -= weight
        if left < 0:
            return name
    return next(reversed(possible))


def arranged(
    choices: Choices, kind: str, outputs: Sequence[str], inputs: Sequence[Input], constants: Sequence[str]
) -> list[str]:
    """The outputs with what is unusual in them, where the graph has what it takes."""
    found = list(outputs)
    added: Sequence[str] = ()
    if kind == "value twice an output":
        added = found
    elif kind == "input as output":
        added = [value.name for value in inputs]
    elif kind == "constant as output":
        added = constants
    elif kind == "outputs out of order":
        for index in range(len(found) - 1, 0, -1):
            other = choices.integer(0, index)
            found[index], found[other] = found[other], found[index]
    if added:
        found.insert(choices.integer(0, len(found)), choices.pick(added))
    return found


def structures_of(graph: Graph) -> tuple[str, ...]:
    """Those of :data:`NAMES` that a graph has."""
    inputs = {value.name for value in graph.inputs}
    constants = {constant.name for constant in graph.constants}
    uses: dict[str, int] = {}
    depth: dict[str, int] = {}
    place: dict[str, int] = {}
    for node in graph.nodes:
        names = set(node.references())
        longest = 0
        for name in names:
            uses[name] = uses.get(name, 0) + 1
            longest = max(longest, depth.get(name, 0))
        for value in node.outputs:
            depth[value.name] = longest + 1
            place[value.name] = len(place)
    bodies = [body for node in graph.nodes for body in node.bodies()]
    outputs = set(graph.outputs)
    symbols = [symbol for value in graph.inputs for symbol in value.dynamic if symbol]
    made = [place[name] for name in dict.fromkeys(graph.outputs) if name in place]
    present = {
        "several outputs": len(outputs) > 1,
        "value twice an output": len(outputs) < len(graph.outputs),
        "input as output": not inputs.isdisjoint(outputs),
        "constant as output": not constants.isdisjoint(outputs),
        "outputs out of order": made != sorted(made),
        "unused input": not inputs <= uses.keys() | outputs,
        "no input": not inputs,
        "deep chain": max(depth.values(), default=0) >= DEPTH // 2,
        "wide graph": max(uses.values(), default=0) >= WIDTH // 2,
        "large constant": any(constant.data.nbytes >= LARGE for constant in graph.constants),
        "constant of kilobytes": any(
            KILOBYTES[0] <= constant.data.nbytes <= KILOBYTES[1] for constant in graph.constants
        ),
        "control flow": bool(bodies),
        "nested bodies": any(next(node.bodies(), None) is not None for body in bodies for node in body.nodes),
        "body that captures": any(next(captured(body), None) is not None for body in bodies),
        "dynamic dimension": bool(symbols),
        "dynamic dimensions of one symbol": len(set(symbols)) < len(symbols),
        "dynamic dimensions of several symbols": len(set(symbols)) > 1,
    }
    present.update(dict.fromkeys(structures(graph), True))
    return tuple(name for name in NAMES if present.get(name))


def sizes_of(case: Case) -> tuple[str, ...]:
    """Those of :data:`SIZES` that a case has among its further sizes."""
    if not case.further:
        return ()
    first = extents_at(case, 0)
    further = [extents_at(case, number) for number in range(1, len(case.further) + 1)]
    present = (
        any(0 in extents.values() for extents in further),
        any(1 in extents.values() for extents in further),
        any(extent > first[symbol] for extents in further for symbol, extent in extents.items()),
    )
    return tuple(name for name, there in zip(SIZES, present, strict=True) if there)
