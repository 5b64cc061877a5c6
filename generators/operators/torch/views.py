"""Views that share memory with their tensor, by strides and by element type, and splits by dimension."""

from __future__ import annotations

from generators.draw import Call, Draw
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
EXACT = Rounding.EXACT


@operator("torch.as_strided", family="shape", rounding=EXACT, weight=0.4)
def as_strided(draw: Draw) -> Call:
    """Of what is dense in memory: strides of 0, overlapping windows, and an offset."""
    x = draw.value(dtypes=ANY, ranks=range(1, 4), minimum=1, where=lambda x: bool(x.native.is_contiguous()))
    offset = draw.integer(0, x.size - 1) if draw.flag(0.4) else 0
    room = x.size - 1 - offset
    size: list[int] = []
    stride: list[int] = []
    for _ in range(draw.integer(1, 3)):
        step = draw.integer(0, 3)
        extent = draw.integer(1, min(4, room // step + 1)) if step else draw.integer(1, 3)
        room -= step * (extent - 1)
        size.append(extent)
        stride.append(step)
    return draw.call(x, tuple(size), tuple(stride), offset) if offset else draw.call(x, tuple(size), tuple(stride))


@operator(
    "torch.Tensor.detach", "torch.Tensor.moveaxis", "torch.Tensor.swapdims", family="shape", rounding=EXACT, weight=0.2
)
def moved(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 5))
    if draw.target == "torch.Tensor.detach":
        return draw.call(x)
    return draw.call(x, draw.axis(x.rank), draw.axis(x.rank))


@operator("torch.hsplit", "torch.vsplit", "torch.dsplit", family="joining", rounding=EXACT, weight=0.15)
def split(draw: Draw) -> Call:
    """By a number of parts, or at places, parts of nothing among them."""
    least = {"h": 1, "v": 2, "d": 3}[draw.target[-6]]
    x = draw.value(dtypes=ANY, ranks=range(least, 5), minimum=1)
    axis = {"h": 0 if x.rank == 1 else 1, "v": 0, "d": 2}[draw.target[-6]]
    extent = x.shape[axis]
    if draw.flag():
        return draw.call(x, draw.choice([count for count in range(1, extent + 1) if extent % count == 0]))
    return draw.call(x, tuple(sorted(draw.integer(0, extent) for _ in range(draw.integer(1, 2)))))
