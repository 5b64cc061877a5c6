"""Resizing images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, FLOATING, Array, Node
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import REAL, fitting, integers, moderate

operator = REGISTRY.operator

METHODS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


def _image(draw: Draw, ranks: Sequence[int] = (4,), dtypes: Sequence[str] = REAL) -> Handle:
    return draw.value(
        dtypes=FLOATING if draw.flag(0.75) and dtypes is REAL else dtypes,
        ranks=ranks,
        minimum=1,
        where=lambda x: draw.nonfinite or moderate(x, 1e30),
    )


def _size(draw: Draw, x: Handle) -> tuple[int, int]:
    """Up, down, one dimension of each, by whole factors, the same, and to 1."""
    size = []
    for extent in x.shape[-3:-1]:
        size.append(draw.choice((2 * extent, max(1, extent // 2), extent, draw.integer(1, 9), draw.integer(1, 9))))
    fitting(draw, x.size // max(1, math.prod(x.shape[-3:-1])) * math.prod(size))
    return size[0], size[1]


def _bicubic(node: Node) -> bool:
    """Without antialiasing, TensorFlow's kernel looks the four weights up in a table of 1024 positions
    (core/kernels/image/resize_bicubic_op.cc), in float32 whatever the images are."""
    given = dict(node.kwargs)
    return node.target == "tf.raw_ops.ResizeBicubic" or (
        given.get("method") == "bicubic" and not given.get("antialias", False)
    )


@operator("tf.image.resize", family="resize", weight=2, tabulated=_bicubic)
def resize(draw: Draw) -> Call:
    x = _image(draw, (3, 4))
    size = _size(draw, x)
    kwargs: dict[str, Any] = {}
    if draw.flag(0.9):
        kwargs["method"] = draw.choice(METHODS)
    if draw.flag(0.4):
        kwargs["antialias"] = draw.flag(0.7)
    height, width = x.shape[-3:-1]
    ratio = min(size[0] / height, size[1] / width)
    if min(height, width) * ratio >= 0.6 and draw.flag(0.25):  # less would be rounded to no pixel at all
        kwargs["preserve_aspect_ratio"] = draw.flag(0.8)
    return draw.call(x, size, **kwargs)


@operator("tf.raw_ops.ResizeBilinear", "tf.raw_ops.ResizeBicubic", family="resize", weight=0.8, tabulated=_bicubic)
def raw_resize(draw: Draw) -> Call:
    """The three conventions for coordinates."""
    x = _image(draw)
    return draw.call(images=x, size=_size(draw, x), **_coordinates(draw))


@operator("tf.raw_ops.ResizeNearestNeighbor", family="resize", rounding=Rounding.EXACT, weight=0.8)
def raw_resize_nearest(draw: Draw) -> Call:
    x = _image(draw)
    return draw.call(images=x, size=_size(draw, x), **_coordinates(draw))


@operator("tf.raw_ops.ResizeArea", family="resize", weight=0.3)
def raw_resize_area(draw: Draw) -> Call:
    x = _image(draw)
    return draw.call(images=x, size=_size(draw, x), align_corners=draw.flag())


def _coordinates(draw: Draw) -> dict[str, Any]:
    choice = draw.integer(0, 2)
    if choice == 0:
        return {}
    return {"align_corners": choice == 1, "half_pixel_centers": choice == 2}


def _boxes(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """y1, x1, y2, x2 as fractions of the image: flipped and outside ones among them, none on a border."""
    return np.asarray(rng.uniform(-0.3, 1.3, shape).astype(DTYPES[dtype]))


@operator("tf.image.crop_and_resize", family="resize", weight=0.4)
def crop_and_resize(draw: Draw) -> Call:
    x = _image(draw, dtypes=("float16", "float32", "float64", "uint8", "int32"))
    count = draw.integer(1, 3)
    boxes = draw.tensor((count, 4), "float32", _boxes)
    indices = draw.tensor((count,), "int32", integers(0, x.shape[0] - 1))
    size = (draw.integer(2, 5), draw.integer(2, 5))
    fitting(draw, count * math.prod(size) * x.shape[3])
    kwargs: dict[str, Any] = {"method": draw.choice(("bilinear", "nearest"))} if draw.flag(0.7) else {}
    if draw.flag():
        kwargs["extrapolation_value"] = draw.choice((0.0, -1.5, 2.0))
    return draw.call(x, boxes, indices, size, **kwargs)
