"""Growing ``If``, ``Loop`` and ``Scan`` of ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from generators.control.bodies import LARGEST, Bodies
from generators.control.loops import STEPS
from generators.control.registry import ControlFlow
from generators.draw import Draw
from generators.frontends.onnx_nodes import IF, LOOP, SCAN
from generators.graph import DTYPES, Array, DType
from generators.handles import Call, Handle


class OnnxControl(ControlFlow):
    """Branches capture all that they use, and bodies may have initializers."""

    targets: ClassVar[Mapping[str, float]] = {IF: 4.0, LOOP: 3.5, SCAN: 2.5}
    holds_constants = True

    def grow(self, target: str, bodies: Bodies) -> Call:
        return {IF: _if, LOOP: _loop, SCAN: _scan}[target](target, bodies)

    def cast(self, draw: Draw, x: Handle, dtype: str) -> Call:
        return draw.call(x, to=DType(dtype), target="onnx.Cast")

    def expand(self, draw: Draw, x: Handle, shape: tuple[int, ...]) -> Call:
        return draw.call(x, draw.given(np.array(shape, np.int64), "int64", constant=True), target="onnx.Expand")

    def largest(self, draw: Draw, x: Handle) -> Call:
        # Of truth values since opset 20 only; before that, the largest of their numbers would do.
        return draw.call(x, keepdims=0, target="onnx.ReduceMax")

    def compare(self, draw: Draw, x: Handle, operator: str, number: float) -> Call:
        return draw.call(x, _number(draw, number, x.dtype), target="onnx.Less" if operator == "<" else "onnx.Greater")

    def negate(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="onnx.Not")

    def both(self, draw: Draw, x: Handle, y: Handle) -> Call:
        return draw.call(x, y, target="onnx.And")

    def add(self, draw: Draw, x: Handle, y: Handle | int) -> Call:
        other = y if isinstance(y, Handle) else _number(draw, y, x.dtype)
        return draw.call(x, other, target="onnx.Add")

    def copy(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="onnx.Identity")


def _number(draw: Draw, value: float, dtype: str) -> Handle:
    return draw.given(np.array(value).astype(DTYPES[dtype]), dtype, constant=True)


def _if(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    predicate = bodies.predicate(draw.flag())
    then, other = bodies.branches(target, (), like=bodies.operands(2))
    return Call(target, (predicate,), _outputs({"then_branch": then, "else_branch": other}, len(then.outputs)))


def _loop(target: str, bodies: Bodies) -> Call:
    """With a number of steps, a condition, or both; the condition for the next step is the last one, a constant, or
    computed by the body from the number of the step, or from a carried value."""
    draw = bodies.draw
    carried = bodies.operands(2, least=0)
    numbered = draw.flag(0.75)
    count = bodies.start(draw.integer(1, STEPS), constant=draw.flag(0.6)) if numbered else None
    going = bodies.predicate(draw.flag(0.93)) if draw.flag(0.5) else None
    given: list[Array] = [np.array(0, np.int64), np.array(True), *(x.array for x in carried)]
    body = bodies.inside(target, given, nodes=draw.integer(1, 4), like=() if carried else bodies.operands(1))
    step, last, *_ = body.given
    made: list[Handle] = []
    for x in carried:
        made.append(bodies.fitted(body, x.type, made))
    stacked = draw.integer(0 if carried else 1, 2)
    # No step at all would leave the shape of what is stacked unknown.
    if stacked and (going is None or going.array.item()):
        made += [x for x in bodies.results(body, stacked) if x.size * STEPS <= LARGEST * 2]
    if not made:
        draw.reject("nothing to return")
    if not numbered:
        more = bodies.put(body, bodies.words.compare, step, "<", draw.integer(0, STEPS - 2))
    elif draw.flag(0.5):
        more = last
    else:
        more = bodies.told(draw.choice(body.given[2:] or [step]), draw.flag(0.8), body)
    graph = bodies.graph(body, bodies.returned(body, [more, *made]))
    return Call(target, (count, going, *carried), _outputs({"body": graph}, len(made)))


def _scan(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    carried, xs = bodies.operands(2, least=0), bodies.alike(draw.integer(1, 3))
    axes = [draw.choice([axis for axis, extent in enumerate(x.shape) if extent == xs[0].shape[0]]) for x in xs]
    backwards = [int(draw.flag(0.3)) for _ in xs]
    parts = [x.array.take(-back, axis) for x, axis, back in zip(xs, axes, backwards, strict=True)]
    body = bodies.inside(target, [*(x.array for x in carried), *map(np.asarray, parts)], nodes=draw.integer(1, 4))
    made: list[Handle] = []
    for x in carried:
        made.append(bodies.fitted(body, x.type, made))
    stacked: list[Handle] = []
    if not carried or draw.flag(0.8):
        stacked = [x for x in bodies.results(body, 2) if x.size * xs[0].shape[0] <= LARGEST * 2]
    if not made + stacked:
        draw.reject("nothing to return")
    graph = bodies.graph(body, bodies.returned(body, [*made, *stacked]))
    attributes: dict[str, Any] = {"body": graph, "num_scan_inputs": len(xs)}
    given_axes = tuple(axis - x.rank if draw.flag(0.2) else axis for axis, x in zip(axes, xs, strict=True))
    _mention(draw, attributes, "scan_input_axes", given_axes)
    _mention(draw, attributes, "scan_input_directions", tuple(backwards))
    if stacked:
        _mention(
            draw,
            attributes,
            "scan_output_axes",
            tuple(draw.integer(0, x.rank) if draw.flag(0.3) else 0 for x in stacked),
        )
        _mention(draw, attributes, "scan_output_directions", tuple(int(draw.flag(0.3)) for _ in stacked))
    return Call(target, (*carried, *xs), _outputs(attributes, len(made) + len(stacked)))


def _mention(draw: Draw, attributes: dict[str, Any], name: str, values: tuple[int, ...]) -> None:
    """Set an attribute of which zeros are the default."""
    if any(values) or draw.flag(0.2):
        attributes[name] = values


def _outputs(attributes: dict[str, Any], count: int) -> dict[str, Any]:
    return attributes | {"outputs": count}
