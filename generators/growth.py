"""A graph while it grows: operators are attempted one at a time, and executed at once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from generators.argument_classes import Form
from generators.asking import of_kind
from generators.choices import Choices
from generators.control.bodies import Bodies
from generators.draw import ANY_DTYPE, Call, Draw, Handle, Profiles, Rejected, argument_of
from generators.feeding import Fed, Feeder
from generators.frontends.base import EvaluationError, Frontend
from generators.graph import Array, Case, Constant, Graph, Input, Node, Path, Value, references, type_of
from generators.grouping import GROUPINGS, RESULTS, WHOLE, grouped, placed
from generators.handles import Condition, Elements, Unconnected
from generators.marking import Marker
from generators.motifs import grow_motif
from generators.patterns import Avoided, Context
from generators.rerun import Rerun
from generators.seeking import Cell
from generators.sizes import Recorded
from generators.structures import UNUSUAL, arranged, unusual
from generators.weights import Weights

#: Share of the draws that use no result of another node, in a graph that has some, which are dropped: what optimizers
#: and fusions act on are operators in sequence.
CONNECTED = 0.8
#: Share of the graphs that came out without inputs which get one: a model without inputs is legal, but nobody's.
WITH_INPUT = 0.95
#: Share of the draws of a quarantined kind that are kept, so that a second defect behind a known one is still found.
QUARANTINE_SHARE = 0.02


@dataclass(frozen=True)
class Grown:
    """A finished case, every value by name as growth computed it (those of bodies as they ran first), why draws were
    dropped (reason to count), the motifs and mutations that were grown in it, by name, and its further feeds of the
    kinds of :mod:`generators.feeding`. ``values`` are a :class:`generators.sizes.Recorded` for all feeds of the case.
    """

    case: Case
    values: Mapping[str, Array]
    accepted: int
    dropped: Counter[str] = field(default_factory=Counter)
    motifs: tuple[str, ...] = ()
    fed: tuple[Fed, ...] = ()


class Growth:
    """A graph while it grows, one attempted operator at a time."""

    def __init__(
        self,
        frontend: Frontend,
        choices: Choices,
        weights: Weights,
        profiles: Profiles,
        avoid: Avoided,
        settings: Mapping[str, Form] | None,
        announce: Callable[[str], None] | None,
        wanted: Sequence[Cell] = (),
    ) -> None:
        self.frontend = frontend
        self.registry = frontend.registry()
        self.choices = choices
        self.weights = weights
        self.profiles = profiles
        self.avoid = avoid
        #: What nodes are sought for, and the structure that is asked for.
        self.wanted = wanted
        self.asked = ""
        self.settings = settings or {}
        #: Whether there is a converter at all, which may be unable to take a node.
        self.heeds_settings = settings is not None
        #: The target that makes each value, and the constants' names: what patterns may ask for.
        self.makers: dict[str, str] = {}
        #: Values of which mostly one at least is used by a node.
        self.linked: set[str] = set()
        #: Of a body: what it is grown in, the operator that takes it, how deep it is, and its inputs.
        self.outer: Growth | None = None
        self.inside = ""
        self.depth = 0
        self.given: list[Handle] = []
        #: Whether each operator is given values of its own.
        self.apart = False
        #: Values of bodies as they ran first, by name.
        self.inner: dict[str, Array] = {}
        self.announce = announce
        self.handles: list[Handle] = []
        #: Those that operators may take.
        self.operands: list[Handle] = self.handles if frontend.constants_are_operands else []
        self.inputs: list[Input] = []
        self.constants: list[Constant] = []
        self.nodes: list[Node] = []
        self.feeds: dict[str, Array] = {}
        self.drawn: dict[str, str] = {}
        #: What marking dimensions needs to know: how elements were drawn, and what samplers rely on.
        self.elements: dict[str, Elements] = {}
        self.conditions: list[tuple[str, Condition]] = []
        self.dropped: Counter[str] = Counter()
        self.names: Iterator[int] = itertools.count()
        #: Motifs and mutations that were grown, and values that are outputs whether anything uses them or not.
        self.motifs: list[str] = []
        self.shown: set[str] = set()
        self._consumed: set[str] = set()
        self._allowed: frozenset[str] = frozenset()

    def attempt(self, suits: Callable[[str], bool] | None = None) -> None:
        """Draw an operator, and add it if it can be; of those that ``suits`` allows."""
        target = self.weights.pick(self.choices)
        if suits is not None and not suits(target):
            self.dropped["not in a body"] += 1
            return
        operands = () if self.apart else self.operands
        draw = Draw(self.frontend, self.choices, target, operands, self.profiles, self.names)
        try:
            call = self.frontend.again(draw, self.nodes, self.handles) or self.registry[target].sampler(draw)
        except Rejected as error:
            self.dropped["unconnected" if isinstance(error, Unconnected) else "rejected by the sampler"] += 1
            return
        reason = self.execute(call, draw)
        if reason:
            self.dropped[reason] += 1

    def motif(self, name: str = "", mutation: str = "") -> None:
        """Grow a motif, the named one or a drawn one (:mod:`generators.motifs`), as far as it gets."""
        draw = Draw(self.frontend, self.choices, "", self.operands, self.profiles, self.names)
        self.motifs += grow_motif(self, draw, name=name, mutation=mutation)

    def control(self, target: str = "") -> str:
        """Grow an operator of control flow with its bodies, the named one or a drawn one, and say why not if it cannot
        be added."""
        vocabulary = self.frontend.control_flow()
        if vocabulary is None or not self.weights.control:
            return "no control flow"
        draw = self.new_draw()
        draw.target = target = target or draw.weighted(self.weights.control)
        bare = Node(target, (), (), ())
        avoided = self.avoid.about(target) and self.avoid.matches(bare, Context({}, {}, frozenset()))
        if avoided and self.choices.fraction() >= QUARANTINE_SHARE:
            self.dropped["quarantined"] += 1
            return "quarantined"
        bodies = Bodies(self, draw, vocabulary)
        try:
            call = vocabulary.grow(target, bodies)
            draw.keep(references(tuple(argument_of(value, {}) for value in (*call.args, *call.kwargs.values()))))
            reason = self.execute(call, draw, wanted=True)
        except Rejected as rejected:
            reason = f"rejected by the sampler: {target}: {rejected}"
        if reason:
            self.dropped[reason] += 1
        else:
            self.inner.update(bodies.inner)
        return reason

    def new_draw(self) -> Draw:
        return Draw(self.frontend, self.choices, "", self.operands, self.profiles, self.names)

    def add(self, call: Call, draw: Draw) -> str:
        """Add an operator that control flow needs, whatever the weighted ones are; else say why not."""
        if call.target in self.weights.excluded:
            return "excluded"
        return self.execute(call, draw, wanted=True)

    def consumes(self, name: str) -> bool:
        """Whether a node uses the value."""
        return name in self._consumed

    def _named(self, name: str, draw: Draw) -> Handle:
        """A value by name, of this graph or one around it."""
        for handle in (*draw.fresh.handles, *self.handles):
            if handle.name == name:
                return handle
        if self.outer is None:
            raise KeyError(name)
        return self.outer._named(name, draw)

    def place(self, call: Call, draw: Draw, *, wanted: bool = True) -> str:
        """Add an operator of a motif, if its target is one of the weighted ones, and say why not if it cannot be added.
        When it is ``wanted``, nobody asks whether it is connected or its elements are all equal."""
        if not self._allowed:
            self._allowed = self.weights.placed | frozenset(self.weights.targets)
        excluded = call.target not in self._allowed
        reason = "excluded" if excluded else self.execute(call, draw, wanted=wanted)
        if reason:
            self.dropped[reason] += 1
        return reason

    def execute(self, call: Call, draw: Draw, *, wanted: bool = False) -> str:
        """Add the call with the fresh values that it uses, when it can be executed; else say why not. ``wanted`` spares
        it the questions whether it is worth having."""
        frontend = self.frontend
        used: dict[str, Handle] = {}
        args = tuple([argument_of(value, used) for value in call.args])
        kwargs = tuple([(key, argument_of(value, used)) for key, value in call.kwargs.items()])
        bare = Node(call.target, args, kwargs, ())
        if any(type(value) is Graph for value in (*args, *call.kwargs.values())):
            for name in bare.references():
                if name not in used:
                    used[name] = self._named(name, draw)
        linked = not wanted and not self.apart and bool(self.linked)
        if linked and self.linked.isdisjoint(used) and self.choices.fraction() < CONNECTED:
            return "unconnected"
        if self.avoid.about(call.target):
            constants = frozenset(constant.name for constant in (*self.constants, *draw.fresh.constants))
            context = Context(
                {name: handle.type for name, handle in used.items()},
                self.makers,
                constants,
                self.settings,
                self.inside,
            )
            if self.avoid.matches(bare, context) and self.choices.fraction() >= QUARANTINE_SHARE:
                return "quarantined"
        if self.heeds_settings:
            known = {name: handle.type for name, handle in used.items()}
            if reason := frontend.excluded(bare, known, self.settings):
                return reason
        natives = {name: handle.native for name, handle in used.items()}
        if self.announce:
            self.announce(call.target)
        try:
            outputs, unpack = frontend.call(bare, natives)
            arrays = [frontend.to_array(output) for output in outputs]
            types = [type_of(array) for array in arrays]
        except (EvaluationError, ValueError) as error:
            return f"raised in eager mode: {call.target}: {_first_line(error)}"
        if not arrays:
            return f"no outputs: {call.target}"
        total, finite, uninformative = 0, True, False
        for array in arrays:
            total += array.size
            finite = finite and (self.profiles.nonfinite or _finite(array))
            uninformative = uninformative or _uninformative(array)
        if total > 16384:
            return "too large"
        if not finite:
            return "not finite"
        if uninformative and not wanted and self.choices.fraction() < 0.9:
            return "all elements equal"
        fresh = draw.fresh
        for entry, array in fresh.inputs:
            self.inputs.append(entry)
            self.feeds[entry.name] = array
        self.constants += fresh.constants
        self.drawn |= fresh.profiles
        self.elements |= fresh.elements
        self.conditions += fresh.conditions
        self.handles += fresh.handles
        if self.operands is not self.handles:
            weights = {constant.name for constant in fresh.constants}
            self.operands += [handle for handle in fresh.handles if handle.name not in weights]
        values = []
        for output, array, kind in zip(outputs, arrays, types, strict=True):
            handle = Handle(f"v{next(self.names)}", output, array, kind)
            self.handles.append(handle)
            if self.operands is not self.handles:
                self.operands.append(handle)
            self.makers[handle.name] = call.target
            self.linked.add(handle.name)
            values.append(Value(handle.name, kind))
        self._consumed.update(used)
        self.nodes.append(Node(call.target, args, kwargs, tuple(values), unpack))
        return ""

    def finish(self, dynamic: float = 0.0, fed: float = 0.0) -> Grown:
        """The graph as it is, with marked dimensions in a share ``dynamic`` of the graphs and feeds of several kinds in
        a share ``fed``. ValueError when it is empty."""
        if not self.nodes:
            raise ValueError(f"no operator could be placed; draws were dropped: {dict(self.dropped)}")
        held = {name for node in self.nodes for name in self.frontend.held(node)}
        loose = [index for index, constant in enumerate(self.constants) if constant.name not in held]
        if not self.inputs and loose and self.choices.fraction() < WITH_INPUT:
            first = self.constants.pop(loose[self.choices.integer(0, len(loose) - 1)])
            self.inputs.append(Input(first.name, first.type))
            self.feeds[first.name] = first.data
        outputs = []
        places: tuple[tuple[str, Path], ...] = ()
        for node in self.nodes:
            for value in node.outputs:
                # Some intermediates are outputs too: that forbids fusions over them, and others stay allowed.
                name = value.name
                if name not in self._consumed or self.choices.fraction() < 0.08 or name in self.shown:
                    outputs.append(name)
        kind = of_kind(self.asked, UNUSUAL) or unusual(self.choices, len(self.nodes), self.frontend.name)
        if kind:
            if kind == "unused input":
                self._unused_input()
            if kind in GROUPINGS and self.inputs:
                self.inputs = grouped(self.choices, self.inputs, kind)
            if kind in RESULTS:
                places = placed(self.choices, outputs, kind, whole=self.frontend.name in WHOLE)
            names = [constant.name for constant in self.constants]
            outputs = arranged(self.choices, kind, outputs, self.inputs, names)
        graph = Graph(
            self.frontend.name,
            tuple(self.inputs),
            tuple(self.constants),
            tuple(self.nodes),
            tuple(outputs),
            places,
        )
        values = {**self.inner, **{handle.name: handle.array for handle in self.handles}}
        case = Case(graph, self.feeds, self.drawn)
        rerun = Rerun(self.frontend, self.elements, self.conditions, self.profiles.nonfinite, self.announce)
        further: list[Mapping[str, Array]] = []
        if dynamic and self.choices.fraction() < dynamic:
            case, further = Marker(rerun, self.choices).mark(case, values)
        found: list[Fed] = []
        if fed and self.choices.fraction() < fed:
            found = Feeder(rerun, self.choices, self.drawn).feeds(case, values)
            case = replace(case, further=(*case.further, *(one.feeds for one in found)))
            further += [one.values for one in found]
        recorded = Recorded(values, further)
        return Grown(case, recorded, len(self.nodes), self.dropped, tuple(self.motifs), tuple(found))

    def _unused_input(self) -> None:
        draw = Draw(self.frontend, self.choices, "", self.handles, self.profiles, self.names)
        handle = draw.tensor(draw.shape(), ANY_DTYPE, reuse=False, constant=False)
        [(entry, array)] = draw.fresh.inputs
        self.inputs.insert(self.choices.integer(0, len(self.inputs)), entry)
        self.feeds[entry.name] = array
        self.feeds = {value.name: self.feeds[value.name] for value in self.inputs}
        self.drawn |= draw.fresh.profiles
        self.elements |= draw.fresh.elements
        self.handles.append(handle)


def _finite(array: Array) -> bool:
    kind = array.dtype.kind
    if kind not in "fcV":
        return True
    if kind == "V":
        array = array.astype(np.float32)
    # A search in bytes costs a third of the method ``all`` on small arrays.
    return 0 not in np.isfinite(array).tobytes()


def _uninformative(array: Array) -> bool:
    """Whether several elements are all the same: such a tensor hides most errors made with it."""
    if array.size < 2:
        return False
    first = array.item(0)
    # Mostly the ends differ, and nothing else need be looked at.
    return bool(array.item(-1) == first) and bool((array == array.reshape(-1)[0]).all())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120]
