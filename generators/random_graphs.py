"""Growing a random graph while executing it, so that every finished graph is valid by construction."""

from __future__ import annotations

import bisect
import fnmatch
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from generators.choices import Choices
from generators.draw import Call, Draw, Handle, Profiles, Rejected, argument_of
from generators.frontends.base import EvaluationError, Frontend
from generators.graph import Array, Case, Constant, Graph, Input, Node, Value, dtype_name
from generators.argument_classes import Form
from generators.patterns import Avoided, Context
from generators.values import WEIGHTS

#: Draws allowed per wanted node before the graph is finished with what it has.
PATIENCE = 12
#: Share of the graphs that came out without inputs which get one: a model without inputs is legal, but nobody's.
WITH_INPUT = 0.95
#: Share of the draws of a quarantined kind that are kept, so that a second defect behind a known one is still found.
QUARANTINE_SHARE = 0.02


@dataclass(frozen=True)
class Weights:
    """Operators with their probabilities; ``factors`` multiply the base weights (0 excludes a target)."""

    targets: tuple[str, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def of(cls, frontend: Frontend, factors: Mapping[str, float] | None = None, *, only: Sequence[str] = ()) -> Weights:
        """The frontend's operators at their base weights times the factors; with ``only``, those whose target matches
        one of its patterns (``*`` and ``?`` are wildcards). ValueError when nothing is left."""
        registry = frontend.registry()
        factors = factors or {}
        weighted = {
            target: registry[target].weight * factors.get(target, 1.0)
            for target in registry.targets()
            if factors.get(target, 1.0) > 0
            and (not only or any(fnmatch.fnmatchcase(target, pattern) for pattern in only))
        }
        if not weighted:
            raise ValueError(f"no operator of {frontend.name} is left to draw from")
        return cls(tuple(weighted), tuple(itertools.accumulate(weighted.values())))

    def pick(self, choices: Choices) -> str:
        index = bisect.bisect(self.cumulative, choices.fraction() * self.cumulative[-1])
        return self.targets[min(index, len(self.targets) - 1)]


@dataclass(frozen=True)
class Grown:
    """A finished case, every value by name as growth computed it, and why draws were dropped (reason to count)."""

    case: Case
    values: Mapping[str, Array]
    accepted: int
    dropped: Counter[str] = field(default_factory=Counter)


def grow(
    frontend: Frontend,
    choices: Choices,
    *,
    nodes: int = 10,
    weights: Weights | None = None,
    avoid: Avoided | None = None,
    settings: Mapping[str, Form] | None = None,
    announce: Callable[[str], None] | None = None,
) -> Grown:
    """A random graph of up to ``nodes`` nodes with its feeds.

    ``announce`` is called with each target before it is executed, since eager frameworks can take the process down.
    ``avoid`` are the patterns that quarantine makes rare: a draw that matches one is dropped, but for a small share;
    ``settings`` are the converter's, as far as they are not its defaults, which patterns may ask for.
    Fewer nodes than asked for come back when draws keep being dropped, ValueError when none is found.
    """
    growth = begin(frontend, choices, weights=weights, avoid=avoid, settings=settings, announce=announce)
    for _ in range(nodes * PATIENCE):
        if len(growth.nodes) >= nodes:
            break
        growth.attempt()
    return growth.finish()


def begin(
    frontend: Frontend,
    choices: Choices,
    *,
    weights: Weights | None = None,
    avoid: Avoided | None = None,
    settings: Mapping[str, Form] | None = None,
    announce: Callable[[str], None] | None = None,
) -> Growth:
    """An empty graph to be grown, its value profiles drawn; arguments as for :func:`grow`."""
    weights = weights or Weights.of(frontend)
    nonfinite = choices.fraction() < 0.12
    profile_weights = {**WEIGHTS, "special": 3.0, "integer_extremes": 2.0} if nonfinite else WEIGHTS
    if not nonfinite and choices.fraction() < 0.15:
        profile_weights = {**WEIGHTS, "integer_extremes": 2.0}
    profiles = Profiles(profile_weights, nonfinite=nonfinite)
    return Growth(frontend, choices, weights, profiles, avoid or Avoided(), settings or {}, announce)


class Growth:
    """A graph while it grows, one attempted operator at a time."""

    def __init__(
        self,
        frontend: Frontend,
        choices: Choices,
        weights: Weights,
        profiles: Profiles,
        avoid: Avoided,
        settings: Mapping[str, Form],
        announce: Callable[[str], None] | None,
    ) -> None:
        self.frontend = frontend
        self.choices = choices
        self.weights = weights
        self.profiles = profiles
        self.avoid = avoid
        self.settings = settings
        #: The target that makes each value, and the constants' names: what patterns may ask for.
        self.makers: dict[str, str] = {}
        self.announce = announce
        self.handles: list[Handle] = []
        self.inputs: list[Input] = []
        self.constants: list[Constant] = []
        self.nodes: list[Node] = []
        self.feeds: dict[str, Array] = {}
        self.drawn: dict[str, str] = {}
        self.dropped: Counter[str] = Counter()
        self.names = itertools.count()
        self._new: list[Handle] = []

    def attempt(self) -> None:
        target = self.weights.pick(self.choices)
        operator = self.frontend.registry()[target]
        draw = Draw(self.frontend, self.choices, target, self.handles, self.profiles, self.names)
        try:
            call = operator.sampler(draw)
        except Rejected:
            self.dropped["rejected by the sampler"] += 1
            return
        node, reason = self._execute(call, draw)
        if node is None:
            self.dropped[reason] += 1
            return
        for value, array in draw.fresh.inputs:
            self.inputs.append(value)
            self.feeds[value.name] = array
        self.constants.extend(draw.fresh.constants)
        self.drawn.update(draw.fresh.profiles)
        self.handles.extend(draw.fresh.handles)
        self.nodes.append(node)
        self.handles.extend(self._new)
        self.makers.update((handle.name, node.target) for handle in self._new)

    def _execute(self, call: Call, draw: Draw) -> tuple[Node | None, str]:
        frontend = self.frontend
        args = tuple(argument_of(value) for value in call.args)
        kwargs = tuple((key, argument_of(value)) for key, value in call.kwargs.items())
        bare = Node(call.target, args, kwargs, ())
        used = set(bare.references())
        handles = {handle.name: handle for handle in (*self.handles, *draw.fresh.handles) if handle.name in used}
        if self.avoid.about(call.target):
            constants = frozenset(constant.name for constant in (*self.constants, *draw.fresh.constants))
            types = {name: handle.type for name, handle in handles.items()}
            context = Context(types, self.makers, constants, self.settings)
            if self.avoid.matches(bare, context) and self.choices.fraction() >= QUARANTINE_SHARE:
                return None, "quarantined"
        natives = {name: handle.native for name, handle in handles.items()}
        if self.announce:
            self.announce(call.target)
        try:
            outputs, unpack = frontend.call(bare, natives)
            arrays = [frontend.to_array(output) for output in outputs]
            dtypes = [dtype_name(array.dtype) for array in arrays]
        except (EvaluationError, ValueError) as error:
            return None, f"raised in eager mode: {call.target}: {_first_line(error)}"
        if not arrays:
            return None, f"no outputs: {call.target}"
        if sum(array.size for array in arrays) > 16384:
            return None, "too large"
        if not self.profiles.nonfinite and not all(_finite(array) for array in arrays):
            return None, "not finite"
        if any(_uninformative(array) for array in arrays) and self.choices.fraction() < 0.9:
            return None, "all elements equal"
        self._new = [
            Handle(frontend, f"v{next(self.names)}", output, array, dtype)
            for output, array, dtype in zip(outputs, arrays, dtypes, strict=True)
        ]
        values = tuple(Value(handle.name, handle.type) for handle in self._new)
        return Node(call.target, args, kwargs, values, unpack), ""

    def finish(self) -> Grown:
        if not self.nodes:
            raise ValueError(f"no operator could be placed; draws were dropped: {dict(self.dropped)}")
        if not self.inputs and self.constants and self.choices.fraction() < WITH_INPUT:
            first = self.constants.pop(self.choices.integer(0, len(self.constants) - 1))
            self.inputs.append(Input(first.name, first.type))
            self.feeds[first.name] = first.data
        consumed = {name for node in self.nodes for name in node.references()}
        outputs = []
        for node in self.nodes:
            for value in node.outputs:
                # Some intermediates are outputs too: that forbids fusions over them, and others stay allowed.
                if value.name not in consumed or self.choices.fraction() < 0.08:
                    outputs.append(value.name)
        graph = Graph(self.frontend.name, tuple(self.inputs), tuple(self.constants), tuple(self.nodes), tuple(outputs))
        values = {handle.name: handle.array for handle in self.handles}
        return Grown(Case(graph, self.feeds, self.drawn), values, len(self.nodes), self.dropped)


def _finite(array: Array) -> bool:
    if array.dtype.kind in "fc":
        return bool(np.isfinite(array).all())
    if array.dtype.kind == "V":
        return bool(np.isfinite(array.astype(np.float32)).all())
    return True


def _uninformative(array: Array) -> bool:
    """Whether several elements are all the same: such a tensor hides most errors made with it."""
    if array.size < 2:
        return False
    flat = array.reshape(-1)
    return bool((flat == flat[0]).all())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120]
