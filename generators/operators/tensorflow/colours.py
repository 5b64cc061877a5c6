"""Colours and contrast of images, gradients, and measures of two images."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import fitting, moderate

operator = REGISTRY.operator
I = "tf.image."  # noqa: E741


def _coloured(draw: Draw, *, fractions: bool = False) -> Handle:
    """Images of three channels; between 0 and 1 where hues are computed, which jump where no colour is left."""
    shape = (*draw.shape(range(2), minimum=1, maximum=2), draw.integer(1, 5), draw.integer(1, 5), 3)
    if fractions:
        return draw.tensor(shape, "float32", "fractions", reuse=False)
    return draw.tensor(shape, "float32")


@operator(I + "rgb_to_yiq", I + "yiq_to_rgb", I + "yuv_to_rgb", family="image", weight=0.2)
def turned(draw: Draw) -> Call:
    x = _coloured(draw)
    if not draw.nonfinite and not moderate(x, 1e4):
        draw.reject("large numbers cancel")
    return draw.call(x)


@operator(I + "rgb_to_hsv", I + "hsv_to_rgb", family="image", weight=0.2)
def hues(draw: Draw) -> Call:
    return draw.call(_coloured(draw, fractions=True))


@operator(I + "adjust_hue", I + "adjust_saturation", family="image", weight=0.15)
def adjusted_colours(draw: Draw) -> Call:
    amount = draw.choice((0.1, -0.3, 0.5)) if draw.target == I + "adjust_hue" else draw.choice((0.5, 2.0, 0.0, 1.0))
    return draw.call(_coloured(draw, fractions=True), amount)


@operator(I + "grayscale_to_rgb", family="image", rounding=Rounding.EXACT, weight=0.2)
def grey(draw: Draw) -> Call:
    return draw.call(draw.tensor((*draw.shape((2, 3), minimum=1, maximum=6), 1), ("float32", "uint8", "int32")))


@operator(I + "adjust_gamma", family="image", weight=0.2)
def gamma(draw: Draw) -> Call:
    options: dict[str, Any] = {"gamma": draw.choice((1, 0.5, 2.2, 2))}
    if draw.flag():
        options["gain"] = draw.choice((1.0, 0.5, 2.0))
    return draw.call(_coloured(draw, fractions=True), **options)


def _images(draw: Draw, ranks: tuple[int, ...], least: int = 1) -> Handle:
    return draw.value(
        dtypes=("float32",),
        ranks=ranks,
        minimum=1,
        where=lambda x: x.size <= 1024 and min(x.shape[-3:-1]) >= least and (draw.nonfinite or moderate(x, 1e4)),
    )


@operator(I + "per_image_standardization", family="image", weight=0.3)
def standardized(draw: Draw) -> Call:
    return draw.call(_images(draw, (3, 4)))


@operator(I + "image_gradients", I + "sobel_edges", family="image", weight=0.2)
def gradients(draw: Draw) -> Call:
    """Edges are looked for with reflection, which takes two rows."""
    return draw.call(_images(draw, (4,), least=2))


@operator(I + "total_variation", family="image", weight=0.2)
def variation(draw: Draw) -> Call:
    return draw.call(_images(draw, (3, 4), least=2))


@operator(I + "resize_with_pad", family="image", weight=0.2)
def resized(draw: Draw) -> Call:
    x = _images(draw, (3, 4))
    height, width = draw.integer(1, 9), draw.integer(1, 9)
    fitting(draw, x.size // (x.shape[-3] * x.shape[-2]) * height * width)
    ratio = min(height / x.shape[-3], width / x.shape[-2])
    if min(x.shape[-3:-1]) * ratio < 1.01:
        draw.reject("nothing is left of the shorter side")
    return draw.call(x, height, width, method=draw.choice(("bilinear", "nearest")))


@operator(I + "psnr", family="image", weight=0.15)
def psnr(draw: Draw) -> Call:
    x = _coloured(draw, fractions=True)
    return draw.call(x, draw.tensor(x.shape, "float32", "fractions", reuse=False), max_val=draw.choice((1.0, 255.0)))
