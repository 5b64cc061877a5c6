"""Diagonals, bands and traces of matrices."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, NUMERIC, fitting, small

operator = REGISTRY.operator

_ALIGNMENTS = ("LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT")


@operator("tf.linalg.band_part", family="linalg", rounding=Rounding.EXACT, weight=0.7)
def band_part(draw: Draw) -> Call:
    """-1 keeps a whole triangle."""
    x = draw.value(dtypes=ANY, ranks=range(2, 6), minimum=1)
    rows, columns = x.shape[-2:]
    return draw.call(x, draw.integer(-1, rows - 1), draw.integer(-1, columns - 1))


def _diagonals(draw: Draw, rows: int, columns: int) -> int | tuple[int, int]:
    """One diagonal, or a band from a lower to an upper one, of a matrix of that shape."""
    low = draw.integer(1 - rows, columns - 1)
    if draw.flag(0.6):
        return low
    return low, draw.integer(low, columns - 1)


def _longest(rows: int, columns: int, k: int | tuple[int, int]) -> int:
    """Length of the longest of the diagonals, as documented for ``tf.linalg.diag_part``."""
    low, high = (k, k) if isinstance(k, int) else k
    return min(rows + min(high, 0), columns + min(-low, 0))


@operator("tf.linalg.diag_part", family="linalg", rounding=Rounding.EXACT, weight=0.7)
def diag_part(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(2, 6), minimum=1)
    if draw.flag(0.3):
        return draw.call(x)
    k = _diagonals(draw, *x.shape[-2:])
    kwargs: dict[str, Any] = {"k": k}
    if isinstance(k, tuple) and draw.flag(0.6):
        kwargs["align"] = draw.choice(_ALIGNMENTS)
    if isinstance(k, tuple) and x.dtype not in ("complex64", "bool") and draw.flag(0.5):
        kwargs["padding_value"] = draw.scalar(x.dtype)
    return draw.call(x, **kwargs)


@operator("tf.linalg.set_diag", family="linalg", rounding=Rounding.EXACT, weight=0.6)
def set_diag(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(2, 5), minimum=1)
    rows, columns = x.shape[-2:]
    k: int | tuple[int, int] = 0 if draw.flag(0.3) else _diagonals(draw, rows, columns)
    length = _longest(rows, columns, k)
    inner = (length,) if isinstance(k, int) or k[0] == k[1] else (k[1] - k[0] + 1, length)
    diagonal = draw.tensor((*x.shape[:-2], *inner), x.dtype)
    kwargs: dict[str, Any] = {} if k == 0 else {"k": k}
    if isinstance(k, tuple) and draw.flag(0.6):
        kwargs["align"] = draw.choice(_ALIGNMENTS)
    return draw.call(x, diagonal, **kwargs)


@operator("tf.linalg.diag", family="linalg", rounding=Rounding.EXACT, weight=0.7)
def diag(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=range(1, 4), minimum=1, where=lambda x: x.size <= 256)
    count = x.shape[-1]
    k = draw.integer(-2, 2) if draw.flag(0.7) else 0
    fitting(draw, x.size * (count + abs(k)) ** 2 // count)
    kwargs: dict[str, Any] = {"k": k} if k or draw.flag(0.2) else {}
    if draw.flag(0.3):
        kwargs["num_rows"] = count + max(-k, 0) + draw.integer(0, 2)
        kwargs["num_cols"] = count + max(k, 0)
    if x.dtype not in ("complex64", "bool") and draw.flag(0.4):
        kwargs["padding_value"] = draw.scalar(x.dtype)
    return draw.call(x, **kwargs)


@operator("tf.linalg.trace", family="linalg", weight=0.5)
def trace(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=NUMERIC, ranks=range(2, 6), minimum=1))


@operator("tf.linalg.tensor_diag", family="linalg", rounding=Rounding.EXACT, weight=0.3)
def tensor_diag(draw: Draw) -> Call:
    dtypes = ("float16", "float32", "float64", "int32", "int64", "complex64")
    return draw.call(draw.value(dtypes=dtypes, ranks=(1, 2), minimum=1, where=lambda x: x.size <= 64))


@operator("tf.linalg.tensor_diag_part", family="linalg", rounding=Rounding.EXACT, weight=0.3)
def tensor_diag_part(draw: Draw) -> Call:
    dtypes = ("float16", "float32", "float64", "int32", "int64", "complex64")
    shape = draw.shape((1, 2), minimum=1, maximum=5)
    fitting(draw, small_square(shape))
    return draw.call(draw.tensor((*shape, *shape), dtypes))


def small_square(shape: tuple[int, ...]) -> int:
    """Elements of a tensor whose shape is this one twice."""
    size = 1
    for extent in shape:
        size *= extent * extent
    return size


@operator("tf.eye", family="creation", rounding=Rounding.EXACT, weight=0.3)
def eye(draw: Draw) -> Call:
    from generators.graph import DType

    kwargs: dict[str, Any] = {"dtype": DType(draw.dtype(ANY))}
    if draw.flag():
        kwargs["num_columns"] = draw.integer(1, 5)
    if draw.flag(0.3):
        kwargs["batch_shape"] = draw.shape((1, 2), minimum=1, maximum=3)
    return draw.call(draw.integer(2, 5), **kwargs)


@operator("tf.linalg.norm", family="linalg", weight=0.1)
def frobenius(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32", "float64"), ranks=range(2, 5), minimum=1, where=small())
    return draw.call(x, ord="fro", axis=draw.axes(x.rank, 2, 2), keepdims=draw.flag())
