"""Growing ``torch.cond`` and the loops of ``torch._higher_order_ops``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from generators.control.bodies import LARGEST, Bodies
from generators.control.loops import counted
from generators.control.registry import ControlFlow
from generators.draw import Draw
from generators.frontends.torch_control import COND, MAP, SCAN, WHILE
from generators.frontends.torch_modules import is_module
from generators.graph import DType
from generators.handles import Call, Handle


class TorchControl(ControlFlow):
    """torch.export takes all of them; torch.onnx has no function for a map, so that it comes up seldom."""

    targets: ClassVar[Mapping[str, float]] = {COND: 4.0, WHILE: 3.0, SCAN: 3.0, MAP: 0.3}

    def suits(self, target: str) -> bool:
        # What writes into its arguments is refused in bodies.
        return not is_module(target) and not target.endswith("_")

    def independent(self, value: Handle, others: Sequence[Handle]) -> bool:
        storage = _storage(value.native)
        return all(_storage(other.native) != storage for other in others)

    def dense(self, value: Handle) -> bool:
        return bool(value.native.is_contiguous())

    def densely(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="torch.Tensor.contiguous")

    def grow(self, target: str, bodies: Bodies) -> Call:
        return {COND: _cond, WHILE: _while, SCAN: _scan, MAP: _map}[target](target, bodies)

    def cast(self, draw: Draw, x: Handle, dtype: str) -> Call:
        return draw.call(x, DType(dtype), target="torch.Tensor.to")

    def expand(self, draw: Draw, x: Handle, shape: tuple[int, ...]) -> Call:
        return draw.call(x, shape, target="torch.Tensor.expand")

    def largest(self, draw: Draw, x: Handle) -> Call:
        whole = "torch.max" if draw.flag(0.97) else "torch.amax"
        return draw.call(x, target="torch.any" if x.dtype == "bool" else whole)

    def compare(self, draw: Draw, x: Handle, operator: str, number: float) -> Call:
        return draw.call(x, number, target="torch.lt" if operator == "<" else "torch.gt")

    def negate(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="torch.logical_not")

    def both(self, draw: Draw, x: Handle, y: Handle) -> Call:
        return draw.call(x, y, target="torch.logical_and")

    def add(self, draw: Draw, x: Handle, y: Handle | int) -> Call:
        return draw.call(x, y, target="torch.add")

    def copy(self, draw: Draw, x: Handle) -> Call:
        return draw.call(x, target="torch.clone")


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _cond(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    predicate = bodies.predicate(draw.flag())
    operands = bodies.operands(3, least=0)
    then, other = bodies.branches(target, operands, like=() if operands else bodies.operands(2))
    return Call(target, (predicate, then, other, tuple(operands)), {})


def _while(target: str, bodies: Bodies) -> Call:
    counter, limit = counted(bodies)
    carried = [counter, *bodies.densely(bodies.operands(2))]
    condition, body = bodies.loop(target, carried, limit)
    return Call(target, (condition, body, tuple(carried)), {})


def _scan(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    carried, xs = bodies.densely(bodies.operands(2)), bodies.alike(draw.integer(1, 2))
    dim = draw.integer(0, min(x.rank for x in xs) - 1) if len({x.shape for x in xs}) == 1 and draw.flag(0.4) else 0
    reverse = draw.flag(0.4)
    given = [*(x.native for x in carried), *(_first(x, dim, reverse) for x in xs)]
    body = bodies.inside(target, given, nodes=draw.integer(1, 4))
    made = [bodies.fitted(body, x.type) for x in carried]
    made += [x for x in bodies.results(body, 2) if x.size * xs[0].shape[dim] <= LARGEST * 2]
    if len(made) == len(carried):
        draw.reject("nothing to stack")
    graph = bodies.graph(body, bodies.returned(body, made))
    arguments: dict[str, Any] = {"dim": dim} if dim or draw.flag(0.3) else {}
    if reverse or draw.flag(0.2):
        arguments["reverse"] = reverse
    return Call(target, (graph, _structure(draw, carried), _structure(draw, xs)), arguments)


def _first(x: Handle, dim: int, reverse: bool) -> torch.Tensor:
    """The slice that is worked on first, as it then lies in memory."""
    moved = torch.movedim(x.native, dim, 0) if dim else x.native
    return (torch.flip(moved, [0]) if reverse else moved).select(0, 0)


def _map(target: str, bodies: Bodies) -> Call:
    draw = bodies.draw
    xs = bodies.alike(draw.integer(1, 2))
    body = bodies.inside(target, [_first(x, 0, False) for x in xs], nodes=draw.integer(1, 4))
    made = [x for x in bodies.results(body, 2) if x.size * xs[0].shape[0] <= LARGEST * 2]
    graph = bodies.graph(body, bodies.returned(body, made or draw.reject("nothing to stack")))
    return Call(target, (graph, _structure(draw, xs)), {})


def _structure(draw: Draw, values: Sequence[Handle]) -> Any:
    """A single tensor mostly as such."""
    return values[0] if len(values) == 1 and draw.flag(0.8) else tuple(values)
