"""A tester for subjects with planted defects: torch as the reference, the same interpreter as the subject, but for
what a defect changes. Nothing is packed or split for real; conversions are counted as the pipeline counts them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, frontend
from generators.graph import FLOATING, Array, Case, Graph, Input, Node, Ref, TensorType, Value, type_of
from generators.random_graphs import Weights, grow
from generators.transforms import all_names, rename_case, replace_references, retype, trim
from oracles.outcome import Kind, Observation, Signature, Stage, Trial, Verdict

TORCH = frontend("torch")
WRONG = Signature(Stage.INFERENCE, "planted", Kind.VALUE)
CRASH = Signature(Stage.CONVERT, "planted", Kind.EXCEPTION, "PlantedError: no")

INVALID = Signature(Stage.VALIDATE, "planted", Kind.INVALID, "no")


class PlantedError(Exception):
    """What a planted converter raises."""


@dataclass
class Defect:
    """``miscompiled`` says, of a node in its graph with the types at hand, whether its first result is off at one
    element; ``refused`` says whether the converter raises for a graph."""

    miscompiled: Callable[[Graph, int, Mapping[str, TensorType]], bool] = lambda graph, index, types: False
    refused: Callable[[Graph], bool] = lambda graph: False


@dataclass
class PlantedTester:
    """Judges cases against a defect. ``luck`` below 1 makes the subject fail only that often."""

    defect: Defect
    luck: float = 1.0
    seed: int = 0
    conversions: int = 0
    slices: bool = False
    lanes: int = 1
    packs: list[int] = field(default_factory=list)
    crash: Signature = CRASH

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def values(self, case: Case) -> dict[str, Array]:
        try:
            return TORCH.run(case.graph, case.feeds)
        except EvaluationError as error:  # the protocol says ValueError
            raise ValueError(str(error)) from error

    def test(self, cases: Sequence[Case]) -> list[Trial]:
        prepared = [self._prepare(case) for case in cases]
        alive = [index for index, item in enumerate(prepared) if item is not None]
        trials = [Trial(None)] * len(cases)
        if alive:
            self._convert(prepared, alive, trials)
        return trials

    def _prepare(self, case: Case) -> tuple[Case, dict[str, Array]] | None:
        try:
            values = self.values(case)
        except ValueError:
            return None
        return replace(case, graph=retype(case.graph, values)), values

    def _convert(self, prepared: list, indices: list[int], trials: list[Trial]) -> None:
        """One conversion of the union of these cases; split in two when it is refused."""
        self.conversions += 1
        self.packs.append(len(indices))
        refused = [index for index in indices if self.defect.refused(prepared[index][0].graph)]
        if refused and self.slices:
            # The artifact is cut: each case is refused, or judged, for itself.
            for index in indices:
                case, values = prepared[index]
                refusal = (Observation(self.crash, Verdict.BUG, "no"),) if index in refused else ()
                trials[index] = Trial(case, refusal or self._compare(case, values))
            return
        if refused and self._random.random() < self.luck:
            if len(indices) == 1:
                seen = Observation(self.crash, Verdict.BUG, "PlantedError: no")
                trials[indices[0]] = Trial(prepared[indices[0]][0], (seen,))
                return
            half = len(indices) // 2
            self._convert(prepared, indices[:half], trials)
            self._convert(prepared, indices[half:], trials)
            return
        for index in indices:
            case, values = prepared[index]
            trials[index] = Trial(case, self._compare(case, values))

    def _compare(self, case: Case, expected: Mapping[str, Array]) -> tuple[Observation, ...]:
        actual = self._subject(case, expected)
        wrong = tuple(
            index for index, name in enumerate(case.graph.outputs) if actual[name].tobytes() != expected[name].tobytes()
        )
        if not wrong or self._random.random() >= self.luck:
            return ()
        return (Observation(WRONG, Verdict.BUG, f"outputs {wrong} differ", wrong),)

    def _subject(self, case: Case, expected: Mapping[str, Array]) -> dict[str, Array]:
        """All values as the subject computes them; those that no wrong value reaches are the expected ones."""
        types = {name: type_of(array) for name, array in expected.items()}
        values = dict(expected)
        changed: set[str] = set()
        for index, node in enumerate(case.graph.nodes):
            names = [value.name for value in node.outputs]
            if not changed.isdisjoint(node.references()):
                try:
                    results = TORCH.evaluate(node, {name: values[name] for name in node.references()})
                except EvaluationError:  # an index that the error made invalid: the subject returns anything
                    results = [np.zeros_like(expected[name]) for name in names]
                values.update(zip(names, results, strict=True))
                changed.update(names)
            if self.defect.miscompiled(case.graph, index, types):
                values[names[0]] = off_by_one(values[names[0]])
                changed.add(names[0])
        return values


def off_by_one(array: Array) -> Array:
    """The array with 1 added to its last element (or the element negated, where 1 is lost in it)."""
    result = np.array(array, order="C")
    flat = result.reshape(-1)
    if flat.size:
        with np.errstate(all="ignore"):
            last = flat[-1]
            flat[-1] = (not last) if flat.dtype == bool else last + np.asarray(1, flat.dtype)
            if flat[-1] == last or last != last:
                flat[-1] = -last if last == last else 0
    return flat.reshape(array.shape)


def miscompiled(target: str, where: Callable[[Node, Mapping[str, TensorType]], bool] | None = None) -> Defect:
    """Every call of the target is off, if its node satisfies ``where``."""

    def guilty(graph: Graph, index: int, types: Mapping[str, TensorType]) -> bool:
        node = graph.nodes[index]
        return node.target == target and (where is None or where(node, types))

    return Defect(miscompiled=guilty)


def miscompiled_chain(*targets: str) -> Defect:
    """The last target is off if its first argument comes from the one before, whose first comes from …"""

    def guilty(graph: Graph, index: int, types: Mapping[str, TensorType]) -> bool:
        producers = graph.producers()
        for place, target in enumerate(reversed(targets)):
            node = graph.nodes[index]
            if node.target != target:
                return False
            if place == len(targets) - 1:
                return True
            name = next(node.references(), "")
            if name not in producers:
                return False
            index = producers[name]
        return False

    return Defect(miscompiled=guilty)


def refused(*targets: str) -> Defect:
    """The converter raises for graphs that call all of the targets."""
    return Defect(refused=lambda graph: set(targets) <= set(graph.operators()))


Link = tuple[str, tuple[object, ...], tuple[tuple[str, object], ...], bool]


def link(target: str, *args: object, unpack: bool = False, **kwargs: object) -> Link:
    """A planted call: its first argument is a value at hand or the result of the link before, the others as given."""
    return target, args, tuple(kwargs.items()), unpack


def plant(
    *links: Link,
    seed: int,
    nodes: int = 64,
    avoid: Sequence[str] = (),
    type: TensorType | None = None,
    spread: bool = False,
    feed: Array | None = None,
) -> Case:
    """A random torch graph of about ``nodes`` nodes with the links among them, one consuming the other's result.

    The first link takes a fresh input of the type (default: a value of the graph). With ``spread``, the links do not
    consume one another but each a value of the graph. Some later nodes use the results. No other node calls one of
    the links' targets or of ``avoid``.
    """
    choices = SeededChoices(seed, 7)
    targets = {item[0] for item in links} | set(avoid)
    weights = Weights.of(TORCH, dict.fromkeys(targets, 0.0))
    before = grow(TORCH, choices, nodes=(nodes - len(links)) // 2, weights=weights)
    case, values = trim(before.case), dict(before.values)
    rng = random.Random(seed)
    inputs, feeds, made = list(case.graph.inputs), dict(case.feeds), []
    outputs = [*_made(case.graph)]
    current: str | None = None
    if type is not None:
        data = np.random.default_rng(seed).normal(size=type.shape).astype(type.dtype) if feed is None else feed
        inputs.append(Input("planted", type_of(data)))
        feeds["planted"] = values["planted"] = data
        current = "planted"
    for number, (target, args, kwargs, unpack) in enumerate(links):
        if current is None or spread:
            fitting = [
                name
                for name, array in values.items()
                if array.ndim >= 2 and array.size > 3 and type_of(array).dtype in FLOATING
            ]
            if not fitting:
                data = np.random.default_rng(seed + number).normal(size=(3, 4)).astype(np.float32)
                name = f"fresh{number}"
                inputs.append(Input(name, type_of(data)))
                feeds[name] = values[name] = data
                fitting = [name]
            current = rng.choice(fitting)
        node = Node(target, (Ref(current), *args), kwargs, (), unpack)
        results = TORCH.evaluate(node, {name: values[name] for name in node.references()})
        named = tuple(Value(f"p{number}_{place}", type_of(result)) for place, result in enumerate(results))
        values.update(zip((value.name for value in named), results, strict=True))
        made.append(replace(node, outputs=named))
        current = named[0].name
    outputs.append(str(current))
    if spread:
        outputs += [node.outputs[0].name for node in made if node.outputs[0].name not in outputs]
    tail = grow(TORCH, choices, nodes=nodes - len(links) - len(case.graph.nodes), weights=weights).case
    tail = _prefixed(tail, "t_")
    behind = _attached(tail, values, rng)
    graph = Graph(
        "torch",
        (*inputs, *behind.inputs),
        (*case.graph.constants, *behind.constants),
        (*case.graph.nodes, *made, *behind.nodes),
        (*outputs, *behind.outputs),
    )
    planted = Case(graph, {**feeds, **{value.name: tail.feeds[value.name] for value in behind.inputs}})
    return replace(planted, graph=retype(graph, TORCH.run(graph, planted.feeds)))


def _prefixed(case: Case, prefix: str) -> Case:
    return rename_case(case, {name: prefix + name for name in all_names(case.graph)})


def _attached(tail: Case, values: Mapping[str, Array], rng: random.Random) -> Graph:
    """The tail's graph with some of its inputs replaced by values at hand of the same type, planted ones first, where
    eager mode still takes it."""
    for value in tail.graph.inputs:
        fitting = [name for name, array in values.items() if type_of(array) == value.type and name.startswith("p")]
        fitting = fitting or [name for name, array in values.items() if type_of(array) == value.type]
        if not fitting:
            continue
        name = rng.choice(fitting)
        graph = replace_references(tail.graph, {value.name: Ref(name)})
        inputs = graph.inputs if name in graph.types() else (*graph.inputs, Input(name, value.type))
        probe = replace(tail, graph=replace(graph, inputs=inputs), feeds={**tail.feeds, name: values[name]})
        try:
            TORCH.run(probe.graph, probe.feeds)
        except EvaluationError:
            continue
        tail = probe
    at_hand = set(values)
    used = {name for node in tail.graph.nodes for name in node.references()}
    inputs = tuple(value for value in tail.graph.inputs if value.name in used and value.name not in at_hand)
    return replace(tail.graph, inputs=inputs, outputs=_made(tail.graph))


def _made(graph: Graph) -> tuple[str, ...]:
    """The outputs that nodes make, each once: what is unusual about outputs has tests of its own."""
    made = graph.producers()
    return tuple(dict.fromkeys(name for name in graph.outputs if name in made))
