"""Growing ``tf.cond``, ``tf.while_loop`` and ``tf.map_fn``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from generators.control.bodies import LARGEST, Bodies
from generators.control.loops import STEPS, counted
from generators.control.registry import ControlFlow
from generators.draw import Draw
from generators.frontends.tensorflow_control import COND, MAP, WHILE
from generators.graph import DType
from generators.handles import Call, Handle


class TensorFlowControl(ControlFlow):
    """Functions of ``tf.cond`` have no parameters: branches capture all that they use."""

    targets: ClassVar[Mapping[str, float]] = {COND: 4.0, WHILE: 3.5, MAP: 2.5}

    def grow(self, target: str, bodies: Bodies) -> Call:
        return {COND: _cond, WHILE: _while, MAP: _map}[target](target, bodies)

    def cast(self, draw: Draw, x: Handle, dtype: str) -> Call:
        return draw.call(x, DType(dtype), target="tf.cast")

    def expand(self, draw: Draw, x: Handle, shape: tuple[int, ...]) -> Call:
        return draw.call(x, shape, target="tf.broadcast_to")

    def largest(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="tf.reduce_any" if x.dtype == "bool" else "tf.reduce_max")

    def compare(self, draw: Draw, x: Handle, operator: str, number: float) -> Call:
        return draw.call(x, number, target="tf.less" if operator == "<" else "tf.greater")

    def negate(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="tf.logical_not")

    def both(self, draw: Draw, x: Handle, y: Handle) -> Call:
        return draw.call(x, y, target="tf.logical_and")

    def add(self, draw: Draw, x: Handle, y: Handle | int) -> Call:
        return draw.call(x, y, target="tf.add")

    def copy(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="tf.identity")


def _cond(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    predicate = bodies.predicate(draw.flag())
    then, other = bodies.branches(target, (), like=bodies.operands(2))
    return Call(target, (predicate, then, other), {})


def _while(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    if draw.flag(0.25):
        # The condition is of data alone; the number of steps is bounded otherwise.
        carried = bodies.operands(2)
        condition, body = bodies.loop(target, carried, None)
        return Call(target, (condition, body, tuple(carried)), {"maximum_iterations": draw.integer(1, STEPS)})
    counter, limit = counted(bodies)
    carried = [counter, *bodies.operands(2)]
    condition, body = bodies.loop(target, carried, limit)
    arguments: dict[str, Any] = {"maximum_iterations": draw.integer(1, STEPS + 2)} if draw.flag(0.3) else {}
    if draw.flag(0.2):
        arguments["parallel_iterations"] = draw.choice((1, 2))
    return Call(target, (condition, body, tuple(carried)), arguments)


def _map(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    xs = bodies.alike(draw.integer(1, 2))
    body = bodies.inside(target, [x.native[0] for x in xs], nodes=draw.integer(1, 4))
    made = [x for x in bodies.results(body, 2) if x.size * xs[0].shape[0] <= LARGEST * 2]
    made = bodies.returned(body, made or draw.reject("nothing to stack"))
    single = len(xs) == 1 and draw.flag(0.8)
    kinds = tuple(DType(x.dtype) for x in made)
    arguments: dict[str, Any] = {}
    # Left out where it is what the elements are.
    if kinds != ((DType(xs[0].dtype),) if single else tuple(DType(x.dtype) for x in xs)) or draw.flag(0.3):
        arguments["fn_output_signature"] = kinds[0] if len(kinds) == 1 else kinds
    return Call(target, (bodies.graph(body, made), xs[0] if single else tuple(xs)), arguments)
