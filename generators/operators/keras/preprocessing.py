"""Preprocessing that is a function of its tensors: nothing random, no strings, nothing that has to be adapted, no
tables to look things up in (``IntegerLookup``), which are resources and no constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw
from generators.graph import DTYPES, Array, Node
from generators.operators.keras.common import layer, operand, operator
from generators.operators.registry import Rounding
from generators.operators.tensorflow.common import no_nan

_PLAIN = ("float32",)
_NUMBERS = ("float32", "float32", "int32", "uint8", "float16")


@operator("keras.layers.Rescaling", family="arithmetic", weight=1.2)
def rescaling(draw: Draw) -> Call:
    x = operand(draw, range(2, 6), dtypes=_NUMBERS)
    kwargs: dict[str, Any] = {"scale": draw.choice((1 / 255, 0.5, 2.0, -1.0, 1 / 127.5))}
    if draw.flag():
        kwargs["offset"] = draw.choice((-1.0, 0.5, 0.0, 3.0))
    return layer(draw, x, **kwargs)


@operator("keras.layers.Normalization", family="normalization")
def normalization(draw: Draw) -> Call:
    """Mean and variance given, as one number for all or one for each position of the axis."""
    x = operand(draw, range(2, 5), dtypes=_PLAIN)
    if draw.flag(0.5):
        kwargs: dict[str, Any] = {"axis": None, "mean": draw.real(-2, 2), "variance": draw.real(0.1, 4)}
    else:
        extent = x.shape[-1]
        kwargs = {
            "axis": -1,
            "mean": tuple(draw.real(-2, 2) for _ in range(extent)),
            "variance": tuple(draw.real(0.1, 4) for _ in range(extent)),
        }
    if draw.flag(0.25):
        kwargs["invert"] = True
    return layer(draw, x, **kwargs)


def _bicubic(node: Node) -> bool:
    """Without antialiasing, TensorFlow's kernel takes the weights of bicubic interpolation from a table."""
    given = dict(node.kwargs)
    return given.get("interpolation") == "bicubic" and not given.get("antialias", False)


@operator("keras.layers.Resizing", family="resize", weight=1.2, tabulated=_bicubic)
def resizing(draw: Draw) -> Call:
    x = operand(draw, (3, 4), dtypes=("float32", "float32", "float32", "uint8"), largest=MAX_ELEMENTS // 2)
    height, width = (draw.integer(1, 9), draw.integer(1, 9))
    if x.size // max(1, x.shape[-3] * x.shape[-2]) * height * width > MAX_ELEMENTS:
        draw.reject("too many elements")
    kwargs: dict[str, Any] = {"height": height, "width": width}
    if draw.flag(0.7):
        kwargs["interpolation"] = draw.choice(("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"))
    if draw.flag(0.25):
        kwargs["antialias"] = True
    if draw.flag(0.3):
        kwargs[draw.choice(("crop_to_aspect_ratio", "pad_to_aspect_ratio"))] = True
    return layer(draw, x, **kwargs)


@operator("keras.layers.CenterCrop", family="shape", weight=0.8)
def center_crop(draw: Draw) -> Call:
    """No larger than the image: else it would be resized."""
    x = operand(draw, (3, 4), dtypes=("float32", "float32", "uint8"))
    height, width = (draw.integer(1, extent) for extent in x.shape[-3:-1])
    return layer(draw, x, height=height, width=width)


@operator("keras.layers.CategoryEncoding", family="indexing", rounding=Rounding.EXACT)
def category_encoding(draw: Draw) -> Call:
    tokens = draw.integer(2, 6)
    mode = draw.choice(("multi_hot", "one_hot", "count"))
    shape = draw.shape((1, 2), minimum=1, maximum=5)
    if mode == "one_hot" and draw.flag():
        shape = (*shape[:1], 1)
    x = draw.indices(shape, 0, tokens - 1, dtypes=("int32", "int64"))
    kwargs: dict[str, Any] = {"output_mode": mode} if mode != "multi_hot" or draw.flag() else {}
    if mode == "count" and draw.flag(0.4):
        kwargs["count_weights"] = draw.tensor(shape, "float32", "fractions")
    return layer(draw, x, num_tokens=tokens, **kwargs)


@operator("keras.layers.Discretization", family="indexing", rounding=Rounding.EXACT)
def discretization(draw: Draw) -> Call:
    """Between which of the boundaries an element lies; boundaries themselves are among the elements."""
    count = draw.integer(1, 5)
    boundaries = tuple(sorted({draw.choice((-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 7.5)) for _ in range(count)}))
    table = np.array([*boundaries, -3.0, 0.25, 9.0])

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return np.asarray(table[rng.integers(0, len(table), shape)].astype(DTYPES[dtype]))

    x = draw.value(
        dtypes=_PLAIN if draw.flag(0.8) else ("int32",), ranks=(2, 3), minimum=1, where=no_nan, otherwise=elements
    )
    return layer(draw, x, bin_boundaries=boundaries)
