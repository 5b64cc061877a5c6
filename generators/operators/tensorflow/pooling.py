"""Pooling, channels last. What the maximum of a window with NaN is, is not documented: there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import DTYPES, Array
from generators.operators.registry import Rounding
from generators.operators.shapes import largest_kernel
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import REAL, fitting, no_nan

operator = REGISTRY.operator

FLOATS = ("float16", "bfloat16", "float32", "float64")


def _image(draw: Draw, spatial: int, dtypes: Sequence[str]) -> Handle:
    return draw.value(
        dtypes=dtypes, ranks=(spatial + 2,), minimum=1, where=lambda x: x.size <= MAX_ELEMENTS and no_nan(x)
    )


def _argument(draw: Draw, numbers: Sequence[int]) -> int | tuple[int, ...]:
    if len(set(numbers)) == 1 and draw.flag(0.5):
        return numbers[0]
    return tuple(numbers) if draw.flag(0.7) else (1, *numbers, 1)


def _pool(draw: Draw, spatial: int, dtypes: Sequence[str], *, explicit: bool = False) -> Call:
    x = _image(draw, spatial, dtypes)
    extents = x.shape[1:-1]
    padding: Any = draw.choice(("SAME", "VALID", "EXPLICIT") if explicit else ("SAME", "VALID"))
    kernel = [draw.integer(1, min(4, extent) if padding == "VALID" else 4) for extent in extents]
    if padding == "EXPLICIT":
        # Every window must hold an element: less padding than kernel on either side.
        padding = ((0, 0), *((draw.integer(0, k - 1), draw.integer(0, k - 1)) for k in kernel), (0, 0))
        kernel = [min(k, extent + sum(pair)) for k, extent, pair in zip(kernel, extents, padding[1:-1], strict=True)]
        fitting(draw, x.size * 2)
    strides = [draw.integer(1, 3) for _ in extents]
    return draw.call(x, _argument(draw, kernel), _argument(draw, strides), padding)


@operator("tf.nn.max_pool2d", family="pooling", rounding=Rounding.EXACT, weight=1.5)
def max_pool2d(draw: Draw) -> Call:
    return _pool(draw, 2, FLOATS if draw.flag(0.75) else REAL, explicit=True)


@operator("tf.nn.max_pool1d", family="pooling", rounding=Rounding.EXACT)
def max_pool1d(draw: Draw) -> Call:
    return _pool(draw, 1, FLOATS if draw.flag(0.75) else REAL)


@operator("tf.nn.max_pool3d", family="pooling", rounding=Rounding.EXACT, weight=0.6)
def max_pool3d(draw: Draw) -> Call:
    return _pool(draw, 3, ("bfloat16", "float32"))


@operator("tf.nn.avg_pool2d", family="pooling", weight=1.5)
def avg_pool2d(draw: Draw) -> Call:
    return _pool(draw, 2, FLOATS)


@operator("tf.nn.avg_pool1d", family="pooling")
def avg_pool1d(draw: Draw) -> Call:
    return _pool(draw, 1, FLOATS)


@operator("tf.nn.avg_pool3d", family="pooling", weight=0.6)
def avg_pool3d(draw: Draw) -> Call:
    return _pool(draw, 3, ("bfloat16", "float32"))


@operator("tf.nn.pool", family="pooling", weight=0.6)
def pool(draw: Draw) -> Call:
    """Dilated windows, which VALID alone allows, or strides."""
    spatial = draw.integer(1, 3)
    x = _image(draw, spatial, ("bfloat16", "float32") if spatial == 3 else FLOATS)
    kind = draw.choice(("MAX", "AVG"))
    extents = x.shape[1:-1]
    kwargs: dict[str, Any] = {}
    padding = draw.choice(("SAME", "VALID"))
    if padding == "VALID" and draw.flag(0.6):
        dilations = tuple(draw.integer(1, 3) for _ in extents)
        kernel = tuple(draw.integer(1, min(3, largest_kernel(e, d))) for e, d in zip(extents, dilations, strict=True))
        kwargs["dilations"] = dilations
    else:
        kernel = tuple(draw.integer(1, min(4, extent)) for extent in extents)
        # Strides beyond the window are refused here, though not by the single functions.
        kwargs["strides"] = tuple(draw.integer(1, min(3, size)) for size in kernel)
    return draw.call(x, kernel, kind, padding=padding, **kwargs)


def _distinct(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Elements that are all different: 7 bits of a bfloat16 hold 256 halves."""
    size = math.prod(shape)
    return np.asarray((rng.permutation(size).reshape(shape) - size // 2) / 2).astype(DTYPES[dtype])


@operator("tf.nn.max_pool_with_argmax", family="pooling", rounding=Rounding.EXACT, weight=0.5)
def max_pool_with_argmax(draw: Draw) -> Call:
    """Without ties, since which of them is the maximum is not documented."""
    shape = (draw.integer(1, 2), draw.integer(2, 6), draw.integer(2, 6), draw.integer(1, 3))
    x = draw.tensor(shape, ("float16", "float32", "float64"), _distinct)
    padding = draw.choice(("SAME", "VALID"))
    kernel = [draw.integer(1, min(4, extent)) for extent in shape[1:3]]
    strides = [draw.integer(1, 3) for _ in kernel]
    kwargs: dict[str, Any] = {"include_batch_in_index": draw.flag()} if draw.flag() else {}
    return draw.call(x, _argument(draw, kernel), _argument(draw, strides), padding, **kwargs)
