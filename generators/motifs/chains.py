"""Operators of one kind in a row, whose attributes and operands a model holds: what rewrite rules make one of.

They are those of onnxscript (clips, transposes, unsqueezed axes, slices, Gemm and normalization), of ONNX Runtime
(clips, transposes before products, products and sums with constants) and of tf2onnx (transposes, concatenations).
"""

from __future__ import annotations

import math

from generators.draw import MAX_ELEMENTS
from generators.handles import Handle
from generators.motifs.builder import Builder
from generators.motifs.registry import motif

_LOW, _HIGH = (-2.0, -1.0, -0.5, 0.0), (0.5, 1.0, 2.0, 6.0)


def _limited(m: Builder, x: Handle, kind: str) -> Handle:
    if kind == "clip":
        return m.op("clip", x, low=m.draw.choice(_LOW), high=m.draw.choice(_HIGH))
    if kind in ("minimum", "maximum"):
        return m.op(kind, x, m.draw.choice(_HIGH if kind == "minimum" else _LOW))
    return m.op(kind, x)


@motif("limits in a row", weight=2.0)
def limits(m: Builder) -> None:
    """Two or three of clips, relus, minima and maxima with numbers; their ranges overlap."""
    x = m.value((1, 2, 3, 4), where=lambda x: not x.within(-0.5, 0.5))
    first = m.draw.choice(("clip", "clip", "relu", "minimum", "maximum"))
    second = first if m.draw.flag() else m.draw.choice(("clip", "relu", "relu6", "minimum", "maximum"))
    y = _limited(m, _limited(m, x, first), second)
    if m.draw.flag(0.2):
        _limited(m, y, "clip")


@motif("transposes in a row", weight=1.5)
def transposes(m: Builder) -> None:
    """Two or three that do not cancel, mostly such that their order matters."""
    x = m.value((3, 4), where=lambda x: min(x.shape) > 1)
    identity = tuple(range(x.rank))
    orders = [m.draw.permutation(x.rank) for _ in range(m.draw.choice((2, 2, 3)))]
    # A rotation and a swap of the last two axes do not commute.
    if identity in orders or m.draw.flag():
        orders[:2] = [(*identity[1:], 0), (*identity[:-2], x.rank - 1, x.rank - 2)]
    for order in orders:
        x = m.op("transpose", x, order=order)


@motif("slices in a row", weight=1.5)
def slices(m: Builder) -> None:
    """Two or three slices along the same axis or another; some of all, some of all but one, some with a step. An
    operator behind them, sometimes."""
    x = m.value((1, 2, 3), where=lambda x: max(x.shape) > 2)
    for _ in range(m.draw.choice((2, 2, 3))):
        axes = [axis for axis in range(x.rank) if x.shape[axis] > 2]
        if not axes:
            break
        axis = m.draw.choice(axes)
        extent = x.shape[axis]
        way = m.draw.integer(0, 3)
        if way == 0:
            x = m.item(x, axis, None, None, m.draw.choice((2, 1)))
        elif way == 1:
            x = m.slice(x, axis, 0, extent - m.draw.integer(0, 1))
        elif way == 2:
            x = m.item(x, axis, m.draw.integer(1, extent - 1) - extent)
        else:
            x = m.slice(x, axis, m.draw.integer(0, 1), extent - m.draw.integer(0, 1))
    if m.draw.flag(0.4):
        m.op("mul", m.op("relu", x) if m.draw.flag() else x, m.parameter(x.shape[-1:], x.dtype, apart=True))


@motif("dimensions in a row", weight=1.5)
def dimensions(m: Builder) -> None:
    """Axes put in and taken out again, extents of 1 expanded, between reshapes."""
    x = m.value((1, 2, 3))
    for _ in range(m.draw.choice((2, 2, 3))):
        ones = [axis for axis, extent in enumerate(x.shape) if extent == 1]
        way = m.draw.choice(("unsqueeze", "unsqueeze", "squeeze", "expand", "reshape"))
        if ones and way == "squeeze":
            x = m.op("squeeze", x, axis=m.draw.choice(ones))
        elif ones and way == "expand" and x.size * 3 <= MAX_ELEMENTS:
            shape = list(x.shape)
            shape[m.draw.choice(ones)] = m.draw.integer(1, 3)
            x = m.op("expand", x, shape=tuple(shape))
        elif way == "reshape":
            x = m.op("reshape", x, shape=_split(m, x.size))
        elif x.rank < 5:
            x = m.op("unsqueeze", x, axis=m.draw.integer(0, x.rank))


def _split(m: Builder, size: int) -> tuple[int, ...]:
    """A shape of rank 2 or 1 with so many elements."""
    first = m.draw.choice([extent for extent in range(1, math.isqrt(size) + 1) if size % extent == 0])
    return (first, size // first) if m.draw.flag() else (size // first, first)


@motif("concats in a row")
def concats(m: Builder) -> None:
    """One whose result is a part of another, along the same axis or not; a value twice among the parts of some."""
    x = m.value((1, 2, 3), largest=MAX_ELEMENTS // 16)
    axis = m.draw.axis(x.rank)
    other = m.parameter(x.shape, x.dtype) if m.draw.flag(0.7) else x
    parts = [x, other] if m.draw.flag() else [other, x]
    y = m.op("concat", *parts, axis=axis)
    outer = axis if m.draw.flag(0.7) else m.draw.axis(x.rank)
    shape = list(x.shape if outer == axis else y.shape)
    beside = m.draw.tensor(tuple(shape), x.dtype)
    m.op("concat", *((y, beside) if m.draw.flag() else (beside, y)), axis=outer)


@motif("constants in a row")
def constants(m: Builder) -> None:
    """Sums and products with numbers and tensors that the model holds, two to four of them."""
    x = m.value((1, 2, 3))
    for _ in range(m.draw.integer(2, 4)):
        shape = x.shape[m.draw.integer(0, x.rank - 1) :]
        tensor = m.draw.flag()
        operand = m.parameter(shape, x.dtype, apart=True) if tensor else m.draw.choice((0.5, -1.0, 2.0, 3.0))
        word = m.draw.choice(("add", "mul", "sub"))
        x = m.op(word, *((operand, x) if tensor and m.draw.flag(0.3) else (x, operand)))


@motif("linear, norm")
def linear_norm(m: Builder) -> None:
    """A product with a matrix, mostly with a bias, and batch normalization of its columns."""
    x = m.value((2,), largest=MAX_ELEMENTS // 8)
    columns = m.draw.integer(2, 6)
    bias = m.parameter((columns,), x.dtype) if m.draw.flag(0.7) else None
    if m.words.channels == 1:
        weight = m.matrix(columns, x.shape[1], x.dtype)
        y = m.op("linear", x, weight) if bias is None else m.op("linear", x, weight, bias)
    else:
        y = m.op("matmul", x, m.matrix(x.shape[1], columns, x.dtype))
        y = y if bias is None else m.op("add", y, bias)
    mean, scale, shift = (m.parameter((columns,), x.dtype) for _ in range(3))
    variance = m.parameter((columns,), x.dtype, elements="fractions")
    m.op("normalize", y, mean, variance, scale, shift, epsilon=m.draw.choice((1e-5, 1e-3, 0.1)))


@motif("transposes before a product")
def transposed_product(m: Builder) -> None:
    """One or both operands of a product of matrices transposed; a bias behind it, the product scaled, or neither."""
    x = m.value((2, 3), largest=MAX_ELEMENTS // 8)
    swap = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    left = m.op("transpose", x, order=swap) if m.draw.flag(0.7) else x
    inner, columns = left.shape[-1], m.draw.integer(1, 5)
    if m.draw.flag():
        right = m.op("transpose", m.draw.tensor((columns, inner), x.dtype), order=(1, 0))
    else:
        right = m.matrix(inner, columns, x.dtype)
    y = m.op("matmul", left, right)
    way = m.draw.integer(0, 2)
    if way == 1:
        m.op("add", y, m.parameter((columns,), y.dtype, apart=True))
    elif way == 2:
        m.op("mul", y, m.draw.choice((0.5, 0.125, -2.0)))
