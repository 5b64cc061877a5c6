"""Layers that merge several tensors."""

from __future__ import annotations

from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import INTEGRAL, DType
from generators.operators.keras.common import FLOATS, layer, operand, operator
from generators.operators.registry import Rounding
from generators.operators.tensorflow.common import no_nan

_ADDING = ("keras.layers.Add", "keras.layers.Average")
_ANY = (*FLOATS, "int32", "int64")


def _merged(draw: Draw, most: int, *, dtypes: tuple[str, ...] = _ANY) -> tuple[Handle, ...]:
    """Operands of the same shape, or with dimensions of one in the place of others; the batch is the same, since Keras
    takes no other for a shape that it can merge."""
    x = operand(draw, range(2, 6), dtypes=dtypes, largest=MAX_ELEMENTS // 2, where=no_nan)
    operands = [x]
    for _ in range(draw.integer(1, most - 1)):
        shape = x.shape
        if draw.flag(0.3):
            shape = (shape[0], *(1 if draw.flag(0.4) else extent for extent in shape[1:]))
        other = draw.tensor(shape, x.dtype)
        if x.dtype not in INTEGRAL and not draw.nonfinite and not other.within(-1e4, 1e4):
            draw.forget(other)
            other = draw.tensor(shape, x.dtype, "typical", reuse=False)
        if not no_nan(other):
            draw.reject("what NaN is compared with is not documented")
        draw.require(other, no_nan)
        operands.append(other)
    order = draw.permutation(len(operands))
    return tuple(operands[place] for place in order)


def _taken_for_biases(shapes: list[tuple[int, ...]]) -> bool:
    """Whether Keras's addition on TensorFlow may mistake the dimension of an operand. One that has a single dimension
    of more than 1 is added as a bias to the last dimension that is as long, or to the second one, wherever its own is
    (Keras 3.15: ``add`` of shapes ``(1, 3, 5, 3)`` and ``(1, 3, 1, 1)`` differs from NumPy's). Exports with another
    batch add plainly, and the reference would be wrong."""
    seconds, lasts = {shape[1] for shape in shapes}, {shape[-1] for shape in shapes}
    for shape in shapes:
        wide = [axis for axis, extent in enumerate(shape) if extent > 1]
        if len(wide) != 1 or wide[0] == len(shape) - 1:
            continue
        extent = shape[wide[0]]
        if extent in lasts or (wide[0] != 1 and extent in seconds):
            return True
    return False


def _merge(draw: Draw, most: int, **kwargs: Any) -> Call:
    operands = _merged(draw, most)
    if draw.target in _ADDING and _taken_for_biases([x.shape for x in operands]):
        draw.reject("Keras adds along another dimension")
    dtype = operands[0].dtype
    # The default casts to float32, and half an integer's average is one half there.
    same = {"dtype": DType(dtype)} if dtype != "float32" and dtype not in INTEGRAL and draw.flag(0.85) else {}
    return layer(draw, operands, **kwargs, **same)


@operator("keras.layers.Add", "keras.layers.Average", family="arithmetic", weight=1.5)
def add(draw: Draw) -> Call:
    return _merge(draw, 4)


@operator("keras.layers.Multiply", family="arithmetic", weight=1.2)
def multiply(draw: Draw) -> Call:
    return _merge(draw, 3)


@operator("keras.layers.Subtract", family="arithmetic", rounding=Rounding.BASIC)
def subtract(draw: Draw) -> Call:
    return _merge(draw, 2)


@operator("keras.layers.Maximum", "keras.layers.Minimum", family="arithmetic", rounding=Rounding.EXACT)
def extremes(draw: Draw) -> Call:
    return _merge(draw, 4)


@operator("keras.layers.Concatenate", family="shape", rounding=Rounding.EXACT, weight=1.5)
def concatenate(draw: Draw) -> Call:
    x = operand(draw, range(2, 6), dtypes=_ANY, largest=MAX_ELEMENTS // 3)
    axis = draw.integer(1, x.rank - 1)
    operands = [x]
    for _ in range(draw.integer(1, 2)):
        shape = [*x.shape]
        if draw.flag():
            shape[axis] = draw.integer(1, 4)
        operands.append(draw.tensor(shape, x.dtype))
    kwargs: dict[str, Any] = {}
    if axis != x.rank - 1 or draw.flag(0.3):
        kwargs["axis"] = axis - x.rank if draw.flag() else axis
    same = {"dtype": DType(x.dtype)} if x.dtype != "float32" and x.dtype not in INTEGRAL else {}
    return layer(draw, tuple(operands), **kwargs, **same)


@operator("keras.layers.Dot", family="matmul")
def dot(draw: Draw) -> Call:
    x = operand(draw, (2, 3, 4), dtypes=("float32",), largest=512)
    left = draw.integer(1, x.rank - 1)
    rank = draw.integer(2, 3)
    right = draw.integer(1, rank - 1)
    shape = [x.shape[0], *(draw.integer(1, 4) for _ in range(rank - 1))]
    shape[right] = x.shape[left]
    y = draw.tensor(shape, x.dtype)
    if not draw.nonfinite and not y.within(-1e4, 1e4):
        draw.forget(y)
        y = draw.tensor(shape, x.dtype, "typical", reuse=False)
    kwargs: dict[str, Any] = {"normalize": draw.flag(0.7)} if draw.flag(0.4) else {}
    return layer(draw, (x, y), axes=left if left == right and draw.flag() else (left, right), **kwargs)
