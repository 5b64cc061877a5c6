"""Flipping, rotating, cutting and padding of images (rank 3, or 4 with a batch)."""

from __future__ import annotations

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, fitting, moderate

operator = REGISTRY.operator


def _image(draw: Draw) -> Handle:
    return draw.value(dtypes=ANY, ranks=(3, 4), minimum=1)


@operator(
    "tf.image.flip_left_right",
    "tf.image.flip_up_down",
    "tf.image.transpose",
    family="image",
    rounding=Rounding.EXACT,
    weight=0.4,
)
def flip(draw: Draw) -> Call:
    return draw.call(_image(draw))


@operator("tf.image.rot90", family="image", rounding=Rounding.EXACT, weight=0.4)
def rot90(draw: Draw) -> Call:
    return draw.call(_image(draw), k=draw.integer(0, 5)) if draw.flag(0.8) else draw.call(_image(draw))


@operator("tf.image.central_crop", family="image", rounding=Rounding.EXACT, weight=0.3)
def central_crop(draw: Draw) -> Call:
    return draw.call(_image(draw), draw.choice((0.5, 0.75, 1.0, 0.3, 0.9)))


@operator("tf.image.crop_to_bounding_box", family="image", rounding=Rounding.EXACT, weight=0.3)
def crop_to_bounding_box(draw: Draw) -> Call:
    x = _image(draw)
    height, width = x.shape[-3:-1]
    top, left = draw.integer(0, height - 1), draw.integer(0, width - 1)
    return draw.call(x, top, left, draw.integer(1, height - top), draw.integer(1, width - left))


@operator("tf.image.pad_to_bounding_box", family="image", rounding=Rounding.EXACT, weight=0.3)
def pad_to_bounding_box(draw: Draw) -> Call:
    x = _image(draw)
    height, width = x.shape[-3:-1]
    top, left = draw.integer(0, 2), draw.integer(0, 2)
    target = (height + top + draw.integer(0, 2), width + left + draw.integer(0, 2))
    fitting(draw, x.size // (height * width) * target[0] * target[1])
    return draw.call(x, top, left, *target)


@operator("tf.image.resize_with_crop_or_pad", family="image", rounding=Rounding.EXACT, weight=0.3)
def resize_with_crop_or_pad(draw: Draw) -> Call:
    x = _image(draw)
    size = (draw.integer(1, 9), draw.integer(1, 9))
    fitting(draw, x.size // (x.shape[-3] * x.shape[-2]) * size[0] * size[1])
    return draw.call(x, *size)


@operator("tf.image.rgb_to_yuv", "tf.image.rgb_to_grayscale", family="image", weight=0.2)
def colours(draw: Draw) -> Call:
    shape = (*draw.shape((2, 3), minimum=1), 3)
    fitting(draw, 3 * shape[0] * shape[1])
    x = draw.tensor(shape, draw.dtype(FLOATING))
    if not (draw.nonfinite or moderate(x, 1e4)):
        draw.reject("overflows")
    return draw.call(x)


@operator("tf.image.adjust_brightness", "tf.image.adjust_contrast", family="image", weight=0.2)
def adjust(draw: Draw) -> Call:
    dtypes = ("bfloat16", "float32", "float64")
    x = draw.value(dtypes=dtypes, ranks=(3, 4), minimum=1, where=lambda x: draw.nonfinite or moderate(x, 1e4))
    return draw.call(x, draw.choice((0.5, 2.0, -0.25, 1.5)))
