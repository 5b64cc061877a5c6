"""Making tensors without randomness: ranges, fills, grids.

Tensors of one repeated element carry no information and are mostly dropped by growth, so that fills are small.
"""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw
from generators.graph import FLOATING, DType
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, REAL
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
EXACT = Rounding.EXACT


def _maybe_dtype(draw: Draw, dtypes: tuple[str, ...], probability: float = 0.5) -> dict[str, Any]:
    return {"dtype": DType(draw.dtype(dtypes))} if draw.flag(probability) else {}


@operator("torch.arange", family="creation", weight=1.0)
def arange(draw: Draw) -> Call:
    count = draw.integer(2, 9)
    if draw.flag(0.4):
        dtype = _maybe_dtype(draw, REAL)
        if draw.flag():
            return draw.call(count, **dtype)
        start, step = draw.integer(0, 9), draw.integer(1, 3)
        signed = not dtype or dtype["dtype"].name != "uint8"
        if signed and draw.flag(0.4):
            return draw.call(start, start - step * count, -step, **dtype)
        return draw.call(start, start + step * count - draw.integer(0, step - 1), step, **dtype)
    # A stop between two steps: the number of elements hangs on no rounding.
    first, stride = draw.real(-3.0, 3.0), draw.choice((0.5, 0.25, 1.5, -0.5, 0.3, -0.7))
    return draw.call(first, first + stride * (count - 0.5), stride, **_maybe_dtype(draw, FLOATING))


@operator("torch.linspace", "torch.logspace", family="creation", weight=0.5)
def linspace(draw: Draw) -> Call:
    start, stop = draw.choice((0, -1.0, 1, 2.5, -3)), draw.choice((3, 1.5, 4, -2.0))
    return draw.call(start, stop, draw.integer(1, 9), **_maybe_dtype(draw, FLOATING))


@operator("torch.full", family="creation", rounding=EXACT, weight=0.3)
def full(draw: Draw) -> Call:
    dtype = draw.dtype(ANY)
    fill = draw.scalar(dtype)
    return draw.call(_small(draw), fill, dtype=DType(dtype)) if draw.flag() else draw.call(_small(draw), fill)


def _small(draw: Draw) -> tuple[int, ...]:
    """Mostly the shape of a single element."""
    return tuple(draw.integer(1, 3) if draw.flag(0.05) else 1 for _ in range(draw.integer(0, 3)))


@operator("torch.zeros", "torch.ones", family="creation", rounding=EXACT, weight=0.15)
def constant(draw: Draw) -> Call:
    return draw.call(_small(draw), **_maybe_dtype(draw, ANY))


@operator("torch.full_like", "torch.zeros_like", "torch.ones_like", family="creation", rounding=EXACT, weight=0.2)
def like(draw: Draw) -> Call:
    x = draw.value(where=lambda x: x.size == 1) if draw.flag(0.95) else draw.value()
    options: dict[str, Any] = _maybe_dtype(draw, ANY, 0.4)
    if draw.target == "torch.full_like":
        return draw.call(x, draw.scalar(options["dtype"].name if options else x.dtype), **options)
    return draw.call(x, **options)


@operator("torch.Tensor.new_full", "torch.Tensor.new_zeros", family="creation", rounding=EXACT, weight=0.15)
def new(draw: Draw) -> Call:
    x = draw.value()
    if draw.target == "torch.Tensor.new_full":
        return draw.call(x, _small(draw), draw.scalar(x.dtype))
    return draw.call(x, _small(draw), **_maybe_dtype(draw, ANY))


@operator("torch.scalar_tensor", family="creation", rounding=EXACT, weight=0.2)
def scalar_tensor(draw: Draw) -> Call:
    dtype = draw.dtype(ANY)
    return draw.call(draw.scalar(dtype), dtype=DType(dtype))


@operator("torch.eye", family="creation", rounding=EXACT, weight=0.5)
def eye(draw: Draw) -> Call:
    rows = draw.integer(2, 5)
    columns = (draw.integer(1, 5),) if draw.flag() else ()
    return draw.call(rows, *columns, **_maybe_dtype(draw, ANY))


@operator("torch.tril_indices", "torch.triu_indices", family="creation", rounding=EXACT, weight=0.3)
def triangle_indices(draw: Draw) -> Call:
    rows, columns = draw.integer(2, 5), draw.integer(2, 5)
    options: dict[str, Any] = {"dtype": DType("int32")} if draw.flag(0.3) else {}
    return draw.call(rows, columns, draw.integer(-1, 1), **options)


@operator("torch.meshgrid", family="creation", rounding=EXACT, weight=0.7)
def meshgrid(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=(0, 1), where=lambda x: x.size > 1)
    others = [draw.tensor((draw.integer(2, 4),), x.dtype) for _ in range(draw.integer(1, 2))]
    return draw.call(x, *others, indexing=draw.choice(("ij", "xy")))


@operator("torch.cartesian_prod", "torch.block_diag", family="creation", rounding=EXACT, weight=0.3)
def combined(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=(1,), minimum=1)
    others = [draw.tensor((draw.integer(1, 4),), x.dtype) for _ in range(draw.integer(1, 2))]
    return draw.call(x, *others)


@operator("torch.vander", family="creation", weight=0.3)
def vander(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=(1,), minimum=2, where=lambda x: x.within(-20.0, 20.0))
    return draw.call(x, N=draw.integer(2, 4), increasing=draw.flag())
