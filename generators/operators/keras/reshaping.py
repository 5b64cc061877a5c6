"""Layers that move elements, repeat them, or leave some out."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import DType, Node
from generators.operators.keras.common import FLOATS, layer, operand, operator
from generators.operators.registry import Rounding

_ANY = (*FLOATS, "int32", "int64", "bool")


def _same(x: Handle) -> dict[str, Any]:
    """The dtype of a floating operand: else it would be cast."""
    return {"dtype": DType(x.dtype)} if x.dtype in ("float16", "bfloat16", "float64") else {}


def _any(draw: Draw, ranks: Any, largest: int = MAX_ELEMENTS) -> Handle:
    return operand(draw, ranks, dtypes=_ANY, largest=largest)


def _format(draw: Draw) -> dict[str, Any]:
    return {"data_format": "channels_first"} if draw.flag(0.15) else {}


@operator("keras.layers.Reshape", family="shape", rounding=Rounding.EXACT, weight=2)
def reshape(draw: Draw) -> Call:
    x = _any(draw, range(2, 6))
    rest = math.prod(x.shape[1:])
    shape: list[int] = []
    for _ in range(draw.integer(0, 3)):
        factor = draw.choice([size for size in range(1, 9) if rest % size == 0])
        shape.append(factor)
        rest //= factor
    shape.insert(draw.integer(0, len(shape)), rest)
    if draw.flag(0.3):
        shape[draw.integer(0, len(shape) - 1)] = -1
    return layer(draw, x, target_shape=tuple(shape), **_same(x))


@operator("keras.layers.Permute", family="shape", rounding=Rounding.EXACT, weight=1.5)
def permute(draw: Draw) -> Call:
    x = _any(draw, range(3, 6))
    return layer(draw, x, dims=tuple(axis + 1 for axis in draw.permutation(x.rank - 1)), **_same(x))


@operator("keras.layers.Flatten", family="shape", rounding=Rounding.EXACT)
def flatten(draw: Draw) -> Call:
    x = _any(draw, range(1, 6))
    return layer(draw, x, **(_format(draw) if x.rank > 2 else {}), **_same(x))


@operator("keras.layers.RepeatVector", family="shape", rounding=Rounding.EXACT)
def repeat_vector(draw: Draw) -> Call:
    x = _any(draw, (2,), MAX_ELEMENTS // 4)
    return layer(draw, x, n=draw.integer(1, 4), **_same(x))


@operator(
    "keras.layers.Cropping1D",
    "keras.layers.Cropping2D",
    "keras.layers.Cropping3D",
    family="shape",
    rounding=Rounding.EXACT,
    weight=0.7,
)
def cropping(draw: Draw) -> Call:
    spatial = int(draw.target[-2])
    x = _any(draw, (spatial + 2,))
    first = spatial > 1 and draw.flag(0.15)
    extents = x.shape[2:] if first else x.shape[1:-1]
    crops = []
    for extent in extents:
        before = draw.integer(0, min(2, extent - 1))
        crops.append((before, draw.integer(0, min(2, extent - 1 - before))))
    amount: Any = crops[0] if spatial == 1 else tuple(crops)
    largest = (min(extents) - 1) // 2
    if largest > 0 and draw.flag(0.3):
        amount = draw.integer(1, min(2, largest))
    return layer(draw, x, cropping=amount, **({"data_format": "channels_first"} if first else {}), **_same(x))


@operator(
    "keras.layers.ZeroPadding1D",
    "keras.layers.ZeroPadding2D",
    "keras.layers.ZeroPadding3D",
    family="shape",
    rounding=Rounding.EXACT,
    weight=0.7,
)
def zero_padding(draw: Draw) -> Call:
    spatial = int(draw.target[-2])
    x = operand(draw, (spatial + 2,), dtypes=(*FLOATS, "int32"), largest=MAX_ELEMENTS // 8)
    pads = tuple((draw.integer(0, 2), draw.integer(0, 2)) for _ in range(spatial))
    amount: Any = pads[0] if spatial == 1 else pads
    if draw.flag(0.3):
        amount = draw.integer(1, 2)
    return layer(draw, x, padding=amount, **_format(draw), **_same(x))


def _bicubic(node: Node) -> bool:
    """TensorFlow's kernel takes the weights of bicubic interpolation from a table."""
    return dict(node.kwargs).get("interpolation") == "bicubic"


@operator("keras.layers.UpSampling1D", "keras.layers.UpSampling3D", family="shape", rounding=Rounding.EXACT, weight=0.7)
def up_sampling(draw: Draw) -> Call:
    spatial = int(draw.target[-2])
    x = operand(draw, (spatial + 2,), largest=MAX_ELEMENTS // 27)
    size: Any = draw.integer(1, 3)
    if spatial == 3 and draw.flag():
        size = tuple(draw.integer(1, 3) for _ in range(3))
    return layer(draw, x, size=size, **_same(x))


@operator("keras.layers.UpSampling2D", family="resize", weight=1.2, tabulated=_bicubic)
def up_sampling_2d(draw: Draw) -> Call:
    x = operand(draw, (4,), largest=MAX_ELEMENTS // 9)
    size: Any = draw.integer(1, 3) if draw.flag() else (draw.integer(1, 3), draw.integer(1, 3))
    kwargs: dict[str, Any] = {}
    if draw.flag(0.6):
        kwargs["interpolation"] = draw.choice(("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"))
    return layer(draw, x, size=size, **kwargs, **_format(draw), **_same(x))
