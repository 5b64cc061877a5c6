"""Elementwise functions of one and two tensors."""

from __future__ import annotations

from generators.draw import Call, Draw
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.torch import REGISTRY

operator = REGISTRY.operator


@operator("torch.sin", "torch.exp", family="elementwise")
def unary(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING))


@operator("torch.add", "torch.mul", family="elementwise", rounding=Rounding.BASIC)
def binary(draw: Draw) -> Call:
    x = draw.value()
    return draw.call(x, draw.operand(x))


@operator("torch.transpose", family="shape", rounding=Rounding.EXACT)
def transpose(draw: Draw) -> Call:
    x = draw.value(ranks=range(2, 6))
    return draw.call(x, draw.axis(x.rank), draw.axis(x.rank))
