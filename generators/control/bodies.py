"""Growing bodies: by executing them on the values that they get the first time they run.

The branch that is not taken is grown so, too. What later steps of a loop do with it shows when the whole operator is
executed, which drops it if a step fails. Whatever a body makes fresh becomes an input or a constant of the graph around
it, which the body captures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from generators.control.registry import DTYPES_OF_BODIES, ControlFlow
from generators.draw import Draw
from generators.graph import DTYPES, FLOATING, Array, Constant, Graph, Input, TensorType, captured, type_of
from generators.handles import Call, Fresh, Handle, Rejected
from generators.transforms import all_names, drop_dead

if TYPE_CHECKING:
    from generators.growth import Growth

#: Share of the bodies that are to hold control flow, of those that are in none themselves, and how deep it may be.
NESTED, DEEPEST = 0.12, 2
#: Values from outside that a body may capture.
VISIBLE = 6
#: Draws allowed per wanted node of a body.
PATIENCE = 10
#: No result of a body has more elements.
LARGEST = 512
#: Constants of up to so many elements may be held by a body.
HELD = 16


class Bodies:
    """Hands the growing of an operator of control flow its operands and bodies.

    ``growth`` is where the operator is to be put; ``draw`` makes the choices, and its fresh values are added with the
    operator.
    """

    def __init__(self, growth: Growth, draw: Draw, words: ControlFlow) -> None:
        self.growth = growth
        self.draw = draw
        self.words = words
        #: Values of finished bodies, by name.
        self.inner: dict[str, Array] = {}

    # -- operands ----------------------------------------------------------------------------------------------

    def operand(self, *, lowest: int = 0, dtypes: Sequence[str] = DTYPES_OF_BODIES) -> Handle:
        """A value that is not empty, of at least that rank, mostly one that a node has made."""

        def fits(x: Handle) -> bool:
            return 0 < x.size <= LARGEST

        if self.draw.flag(0.7):
            made = [x for x in self.growth.operands if x.name in self.growth.makers]
            made = [x for x in made if fits(x) and x.rank >= lowest and x.dtype in dtypes]
            if made:
                return self.draw.choice(made[-4:])
        return self.draw.value(dtypes=dtypes, ranks=range(lowest, 5), minimum=1, where=fits)

    def operands(self, most: int, *, least: int = 1) -> list[Handle]:
        """Several distinct ones."""
        found = [self.operand() for _ in range(self.draw.integer(least, most))]
        return list({x.name: x for x in found}.values())

    def densely(self, values: Sequence[Handle]) -> list[Handle]:
        """The values as they may be carried on from step to step."""
        return [x if self.words.dense(x) else self.put(self.growth, self.words.densely, x) for x in values]

    def start(self, value: int, *, constant: bool | None = None) -> Handle:
        """A fresh scalar of int64."""
        return self.draw.given(np.array(value, np.int64), "int64", constant=constant)

    def predicate(self, outcome: bool) -> Handle:
        """A boolean scalar of that value, mostly computed in the graph."""
        if self.draw.flag(0.08):
            return self.draw.given(np.array(outcome), "bool", constant=self.draw.flag(0.3))
        known = [x for x in self.growth.operands if x.type == TensorType("bool", ()) and x.array.item() == outcome]
        if known and self.draw.flag(0.3):
            return self.draw.choice(known)
        return self.told(self.operand(), outcome, self.growth)

    def told(self, x: Handle, outcome: bool, growth: Growth) -> Handle:
        """A boolean scalar of that value, computed from ``x`` in ``growth``."""
        largest = self.put(growth, self.words.largest, x) if x.rank or self.draw.flag(0.3) else x
        if largest.dtype == "bool":
            same = largest.array.item() == outcome
            return largest if same else self.put(growth, self.words.negate, largest)
        value = float(largest.array)
        if not math.isfinite(value):
            self.draw.reject("nothing to compare")
        options = []
        for operator in "<>":
            for number in (math.floor(value) - 1, math.ceil(value) + 1, 0):
                held = bool(value < number) if operator == "<" else bool(value > number)
                if held == outcome and _holds(largest.array, number):
                    options.append((operator, float(number) if largest.array.dtype.kind not in "iu" else number))
        chosen = self.draw.choice(options)
        return self.put(growth, self.words.compare, largest, *chosen)

    # -- bodies ------------------------------------------------------------------------------------------------

    def inside(self, target: str, given: Sequence[Any], *, nodes: int, like: Sequence[Handle] = ()) -> Growth:
        """A body whose inputs are these native tensors, with up to so many nodes. ``like`` are values from outside that
        it should use, for those that have no inputs."""
        from generators.growth import Growth

        outer = self.growth
        settings = outer.settings if outer.heeds_settings else None
        body = Growth(
            outer.frontend, outer.choices, outer.weights, outer.profiles, outer.avoid, settings, outer.announce
        )
        body.outer, body.inside, body.depth, body.names = outer, target, outer.depth + 1, outer.names
        body.given = [self._input(native) for native in given]
        visible = [x for x in outer.operands if x.size <= LARGEST and x not in like]
        while len(visible) > VISIBLE:
            del visible[self.draw.integer(0, len(visible) - 1)]
        body.handles[:] = [*visible, *like, *body.given]
        body.linked = {x.name for x in (*like, *body.given)}
        wants = bool(nodes) and body.depth < DEEPEST and self.draw.flag(NESTED)
        place = self.draw.integer(0, nodes - 1) if wants else 0
        for _ in range(nodes * PATIENCE):
            if len(body.nodes) >= nodes:
                break
            if wants and len(body.nodes) >= place:
                wants = bool(body.control())
            else:
                body.attempt(suits=self.words.suits)
        return body

    def _input(self, native: Any) -> Handle:
        array = self.growth.frontend.to_array(native)
        return Handle(f"v{next(self.growth.names)}", native, array, type_of(array))

    def results(self, body: Growth, most: int) -> list[Handle]:
        """Results of the body's nodes that it may return, the last ones that nothing uses first."""
        made = [x for x in body.handles if x.name in body.makers and x.dtype in DTYPES_OF_BODIES and x.size <= LARGEST]
        made.sort(key=lambda x: body.consumes(x.name))
        count = self.draw.integer(1, most)
        return made[:count]

    def fitted(self, body: Growth, wanted: TensorType, taken: Sequence[Handle] = ()) -> Handle:
        """A value of the body of that very type: a result of its nodes, or one that is made to fit."""
        made = [x for x in body.handles if x.name in body.makers and x not in taken]
        fitting = [x for x in made if x.type == wanted]
        if fitting and self.draw.flag(0.9):
            return fitting[-1]
        sources = [x for x in (*body.given, *made) if x.dtype in DTYPES_OF_BODIES and x.size]
        if not sources:
            sources = [x for x in body.handles if x.dtype in DTYPES_OF_BODIES and x.size]
        x = sources[-1] if sources else self.draw.reject("nothing to return")
        if x.shape != wanted.shape and not _expands(x.shape, wanted.shape):
            x = self.put(body, self.words.largest, x)
        if x.dtype != wanted.dtype:
            if x.dtype != "bool" and (wanted.dtype == "bool" or (wanted.dtype in DTYPES_OF_BODIES[4:] and _real(x))):
                # Casts of large numbers to narrow integers are undefined: later steps may have any.
                x = self.put(body, self.words.compare, x, ">", 0.0 if x.array.dtype.kind not in "iu" else 0)
            if x.dtype != wanted.dtype:
                x = self.put(body, self.words.cast, x, wanted.dtype)
        # What is known of that type, changed by the result, tells more of it than an expanded number.
        known = [y for y in body.handles if y.type == wanted and wanted.dtype != "bool" and y is not x]
        if known and x.shape != wanted.shape and self.draw.flag(0.75):
            return self.put(body, self.words.add, known[-1], x)
        if x.shape != wanted.shape:
            x = self.put(body, self.words.expand, x, wanted.shape)
        return x

    def returned(self, body: Growth, outputs: Sequence[Handle]) -> list[Handle]:
        """The outputs as results of nodes that share no memory with anything that the body is given or returns."""
        found: list[Handle] = []
        for x in outputs:
            others = [y for y in (*body.handles, *found) if y.name not in body.makers or y in found]
            if x.name in body.makers and not self.words.dense(x):
                x = self.put(body, self.words.densely, x)
            if x.name not in body.makers or x in found or not self.words.independent(x, others):
                x = self.put(body, self.words.copy, x)
            found.append(x)
        return found

    def branches(self, target: str, operands: Sequence[Handle], *, like: Sequence[Handle] = ()) -> tuple[Graph, Graph]:
        """Two bodies that take the operands and return values of the same types."""
        given = [x.native for x in operands]
        first = self.inside(target, given, nodes=self.draw.integer(1, 4), like=like)
        second = self.inside(target, given, nodes=self.draw.integer(1, 4), like=like)
        outputs = self.results(first, 3) or self.draw.reject("a branch without results")
        outputs = self.returned(first, outputs)
        others: list[Handle] = []
        for x in outputs:
            others.append(self.fitted(second, x.type, others))
        graphs = (self.graph(first, outputs), self.graph(second, self.returned(second, others)))
        return graphs if self.draw.flag() else (graphs[1], graphs[0])

    def loop(self, target: str, carried: Sequence[Handle], limit: int | None) -> tuple[Graph, Graph]:
        """The condition and the body of a loop. The first of the carried values is a counter that stays below
        ``limit``; without, the condition is of the data alone."""
        draw, given = self.draw, [x.native for x in carried]
        condition = self.inside(target, given, nodes=0)
        going = None
        if limit is not None:
            going = self.put(condition, self.words.compare, condition.given[0], "<", limit)
        if going is None or draw.flag(0.35):
            data = draw.choice(condition.given[1:] if limit is not None else condition.given)
            # Mostly true at first, but close enough for later steps to change it.
            enough = self.told(data, draw.flag(0.9), condition)
            going = enough if going is None else self.put(condition, self.words.both, going, enough)
        body = self.inside(target, given, nodes=draw.integer(1, 4))
        made: list[Handle] = []
        if limit is not None:
            made.append(self.put(body, self.words.add, body.given[0], 1))
        for x in carried[len(made) :]:
            made.append(self.fitted(body, x.type, made))
        tests = self.graph(condition, self.returned(condition, [going]))
        return tests, self.graph(body, self.returned(body, made))

    def alike(self, count: int) -> list[Handle]:
        """Values of rank 1 or more, of the same extent along their first axis."""
        first = self.operand(lowest=1)
        if first.shape[0] > 8:
            self.draw.reject("too many steps")
        found = [first]
        for _ in range(count - 1):
            fitting = [
                x
                for x in self.growth.operands
                if x.rank and x.shape[0] == first.shape[0] and 0 < x.size <= LARGEST and x.dtype in DTYPES_OF_BODIES
            ]
            if fitting and self.draw.flag(0.6):
                found.append(self.draw.choice(fitting))
            else:
                shape = (first.shape[0], *self.draw.shape((0, 1, 2), minimum=1, maximum=4))
                found.append(self.draw.tensor(shape, DTYPES_OF_BODIES, reuse=False))
        return list({x.name: x for x in found}.values())

    def graph(self, body: Growth, outputs: Sequence[Handle]) -> Graph:
        """The finished body. What it made fresh goes to the operator's fresh values, as far as it is used; small
        constants may stay."""
        inputs = tuple([Input(x.name, x.type) for x in body.given])
        constants: tuple[Constant, ...] = ()
        if self.words.holds_constants and self.draw.flag(0.4):
            constants = tuple([item for item in body.constants if item.data.size <= HELD])
        names = tuple([x.name for x in outputs])
        graph = Graph(body.frontend.name, inputs, constants, tuple(body.nodes), names)
        graph = drop_dead(graph, keep_inputs=True)
        used = set(captured(graph))
        fresh = self.draw.fresh
        fresh.inputs += [(entry, body.feeds[entry.name]) for entry in body.inputs if entry.name in used]
        fresh.constants += [item for item in body.constants if item.name in used]
        made = {entry.name for entry in body.inputs} | {item.name for item in body.constants}
        fresh.handles += [x for x in body.handles if x.name in made & used]
        values = {**body.inner, **{x.name: x.array for x in body.handles}}
        self.inner.update((name, values[name]) for name in all_names(graph))
        fresh.profiles.update((name, profile) for name, profile in body.drawn.items() if name in used)
        return graph

    def put(self, growth: Growth, word: Callable[..., Call], *operands: Any) -> Handle:
        """Add a plain operator; its single result. Rejects when it cannot be added."""
        # In the graph around the operator, what has been made fresh for it may be an operand already.
        draw = self.draw if growth is self.growth else growth.new_draw()
        call = word(draw, *operands)
        if reason := growth.add(call, draw):
            raise Rejected(reason)
        draw.fresh = Fresh()
        return growth.handles[-1]


def _real(x: Handle) -> bool:
    return x.dtype in FLOATING or DTYPES[x.dtype].itemsize > 1


def _holds(array: Array, number: float) -> bool:
    """Whether the element type has the number."""
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        return bool(info.min <= number <= info.max)
    # Of whole numbers beyond 64 bits NumPy makes objects, which ml_dtypes does not convert.
    return float(np.asarray(float(number)).astype(array.dtype)) == number


def _expands(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    padded = (1,) * (len(wanted) - len(shape)) + shape
    return len(padded) == len(wanted) and all(a in (1, b) for a, b in zip(padded, wanted, strict=True))
