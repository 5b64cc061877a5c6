"""Convolutions and transposed convolutions, channels last.

All extents are at least 1: some kernels abort the process on empty tensors. Strides, dilations and paddings are drawn
per dimension, and output shapes of transposed convolutions over all that give the input's shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.operators.registry import Rounding
from generators.operators.shapes import largest_kernel, reach, windows
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import fitting, moderate

operator = REGISTRY.operator

FLOATS = ("float16", "bfloat16", "float32", "float64")
#: oneDNN's kernels; Eigen's know no dilated 3d or transposed convolution.
DILATED_FLOATS = ("float16", "bfloat16", "float32")


def _image(draw: Draw, spatial: int, dtypes: Sequence[str], largest: int = MAX_ELEMENTS // 2) -> Handle:
    """An input (batch, spatial..., channels) small enough for products not to overflow."""
    limit = 40.0
    return draw.value(
        dtypes=dtypes,
        ranks=(spatial + 2,),
        minimum=1,
        where=lambda x: x.size <= largest and (draw.nonfinite or moderate(x, limit if x.dtype == "float16" else 1e6)),
        otherwise="typical" if draw.flag() else None,
    )


def _filters(draw: Draw, shape: tuple[int, ...], dtype: str) -> Handle:
    """A filter; in float16 of numbers that do not overflow when summed."""
    fitting(draw, math.prod(shape))
    if dtype == "float16" or draw.flag(0.6):
        return draw.tensor(shape, dtype, "typical" if draw.flag(0.7) else "fractions")
    return draw.tensor(shape, dtype)


def explicit_paddings(draw: Draw, spatial: int, high: int = 2) -> tuple[tuple[int, int], ...]:
    """Paddings before and after for batch (none), each spatial dimension and channels (none), asymmetric ones too."""
    return ((0, 0), *((draw.integer(0, high), draw.integer(0, high)) for _ in range(spatial)), (0, 0))


class Window:
    """Kernel, strides, dilations and padding of a convolution over an input."""

    def __init__(
        self,
        draw: Draw,
        extents: Sequence[int],
        *,
        explicit: bool,
        dilated: bool = True,
        exclusive: bool = False,
        equal: bool = False,
        transposed: bool = False,
    ) -> None:
        count = len(extents)
        paddings = ["SAME", "VALID", "EXPLICIT"] if explicit else ["SAME", "VALID"]
        self.padding: Any = draw.choice(paddings)
        self.pads = [0] * count
        if self.padding == "EXPLICIT":
            self.padding = explicit_paddings(draw, count)
            self.pads = [sum(pair) for pair in self.padding[1:-1]]
        wants = dilated and draw.flag(0.35)
        self.dilations = [draw.integer(1, 3) if wants else 1 for _ in extents]
        wants = not (exclusive and max(self.dilations) > 1) and draw.flag(0.5)
        self.strides = [draw.integer(1, 3) if wants else 1 for _ in extents]
        if equal:
            self.strides = self.strides[:1] * count
        self.kernel = []
        for index, extent in enumerate(extents):
            room = 3
            if self.padding != "SAME" and not transposed:
                room = largest_kernel(extent + self.pads[index], self.dilations[index])
            self.kernel.append(draw.integer(1, min(3, room)))

    def output(self, extents: Sequence[int]) -> list[int]:
        """Spatial extents of the convolution's result."""
        if self.padding == "SAME":
            return [-(-extent // stride) for extent, stride in zip(extents, self.strides, strict=True)]
        return [
            windows(extent, self.kernel[index], self.strides[index], self.dilations[index], self.pads[index])
            for index, extent in enumerate(extents)
        ]

    def transposed_output(self, draw: Draw, extents: Sequence[int]) -> list[int]:
        """Extents that this convolution shrinks to the given ones: ``stride`` of them for each dimension. With SAME,
        ``ceil(output / stride)`` is the extent."""
        found = []
        for index, extent in enumerate(extents):
            stride = self.strides[index]
            slack = draw.integer(0, stride - 1)
            if self.padding == "SAME":
                least = (extent - 1) * stride + 1
            else:
                least = (extent - 1) * stride + reach(self.kernel[index], self.dilations[index]) - self.pads[index]
            if least + slack < 1:
                draw.reject("padding takes everything away")
            found.append(least + slack)
        return found

    def whole(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Numbers for batch, spatial dimensions and channels."""
        return (1, *numbers, 1)

    def argument(self, draw: Draw, numbers: Sequence[int]) -> int | tuple[int, ...]:
        """In one of the forms that the functions take: one number, one for each spatial dimension, or for all."""
        if len(set(numbers)) == 1 and draw.flag(0.4):
            return numbers[0]
        return tuple(numbers) if draw.flag() else self.whole(numbers)


def _ends_the_process(x: Handle, window: Window) -> bool:
    """Whether oneDNN's kernel for bfloat16 may end the process: in eager mode it does for a dilated kernel that reaches
    beyond an extent padded with SAME (TensorFlow 2.21, extents of 1 and 6, kernel 2, dilation 3)."""
    spatial = x.shape[1:-1]
    return (
        x.dtype == "bfloat16"
        and max(window.dilations) > 1
        and any(reach(k, d) > n for k, d, n in zip(window.kernel, window.dilations, spatial, strict=True))
    )


@operator("tf.nn.conv2d", family="convolution", weight=2)
def conv2d(draw: Draw) -> Call:
    """Grouped where the filter's input channels are a divisor of the input's."""
    x = _image(draw, 2, (*FLOATS, "int32") if draw.flag(0.15) else FLOATS)
    window = Window(draw, x.shape[1:3], explicit=True)
    if _ends_the_process(x, window):
        draw.reject("ends the process")
    channels = x.shape[3]
    groups = draw.choice([n for n in range(1, channels + 1) if channels % n == 0]) if draw.flag(0.3) else 1
    outputs = groups * draw.integer(1, max(1, 4 // groups))
    fitting(draw, x.shape[0] * math.prod(window.output(x.shape[1:3])) * outputs)
    filters = _filters(draw, (*window.kernel, channels // groups, outputs), x.dtype)
    kwargs: dict[str, Any] = {}
    if max(window.dilations) > 1 or draw.flag(0.2):
        kwargs["dilations"] = window.argument(draw, window.dilations)
    return draw.call(x, filters, strides=window.argument(draw, window.strides), padding=window.padding, **kwargs)


@operator("tf.nn.conv1d", family="convolution")
def conv1d(draw: Draw) -> Call:
    x = _image(draw, 1, FLOATS)
    window = Window(draw, x.shape[1:2], explicit=False)
    outputs = draw.integer(1, 4)
    fitting(draw, x.shape[0] * math.prod(window.output(x.shape[1:2])) * outputs)
    filters = _filters(draw, (*window.kernel, x.shape[2], outputs), x.dtype)
    kwargs: dict[str, Any] = {}
    if max(window.dilations) > 1:
        kwargs["dilations"] = window.dilations[0]
    return draw.call(x, filters, stride=window.strides[0], padding=window.padding, **kwargs)


@operator("tf.nn.conv3d", family="convolution", weight=0.6)
def conv3d(draw: Draw) -> Call:
    x = _image(draw, 3, FLOATS)
    window = Window(draw, x.shape[1:4], explicit=False, dilated=x.dtype in DILATED_FLOATS)
    outputs = draw.integer(1, 3)
    fitting(draw, x.shape[0] * math.prod(window.output(x.shape[1:4])) * outputs)
    filters = _filters(draw, (*window.kernel, x.shape[4], outputs), x.dtype)
    kwargs: dict[str, Any] = {}
    if max(window.dilations) > 1:
        kwargs["dilations"] = window.whole(window.dilations)
    return draw.call(x, filters, strides=window.whole(window.strides), padding=window.padding, **kwargs)


@operator("tf.nn.convolution", family="convolution", weight=0.6)
def convolution(draw: Draw) -> Call:
    """Of one to three spatial dimensions; strides and dilations exclude each other."""
    spatial = draw.integer(1, 3)
    x = _image(draw, spatial, FLOATS)
    extents = x.shape[1:-1]
    window = Window(draw, extents, explicit=False, exclusive=True, dilated=x.dtype in DILATED_FLOATS)
    outputs = draw.integer(1, 3)
    fitting(draw, x.shape[0] * math.prod(window.output(extents)) * outputs)
    filters = _filters(draw, (*window.kernel, x.shape[-1], outputs), x.dtype)
    kwargs: dict[str, Any] = {}
    if max(window.dilations) > 1:
        kwargs["dilations"] = tuple(window.dilations)
    if max(window.strides) > 1 or draw.flag(0.3):
        kwargs["strides"] = tuple(window.strides)
    return draw.call(x, filters, padding=window.padding, **kwargs)


@operator("tf.nn.depthwise_conv2d", family="convolution")
def depthwise_conv2d(draw: Draw) -> Call:
    x = _image(draw, 2, FLOATS)
    window = Window(draw, x.shape[1:3], explicit=True, exclusive=True, equal=True)
    multiplier = draw.integer(1, 3)
    fitting(draw, x.shape[0] * math.prod(window.output(x.shape[1:3])) * x.shape[3] * multiplier)
    filters = _filters(draw, (*window.kernel, x.shape[3], multiplier), x.dtype)
    kwargs: dict[str, Any] = {}
    if max(window.dilations) > 1:
        kwargs["dilations"] = tuple(window.dilations)
    return draw.call(x, filters, strides=window.whole(window.strides), padding=window.padding, **kwargs)


@operator("tf.nn.separable_conv2d", family="convolution", weight=0.6)
def separable_conv2d(draw: Draw) -> Call:
    x = _image(draw, 2, FLOATS)
    window = Window(draw, x.shape[1:3], explicit=False, exclusive=True, equal=True)
    multiplier, outputs = draw.integer(1, 2), draw.integer(1, 4)
    middle = x.shape[3] * multiplier
    fitting(draw, x.shape[0] * math.prod(window.output(x.shape[1:3])) * max(middle, outputs))
    depthwise = _filters(draw, (*window.kernel, x.shape[3], multiplier), x.dtype)
    pointwise = _filters(draw, (1, 1, middle, outputs), x.dtype)
    kwargs: dict[str, Any] = {}
    if max(window.dilations) > 1:
        kwargs["dilations"] = tuple(window.dilations)
    return draw.call(x, depthwise, pointwise, strides=window.whole(window.strides), padding=window.padding, **kwargs)


@operator("tf.nn.atrous_conv2d", family="convolution", weight=0.4)
def atrous_conv2d(draw: Draw) -> Call:
    x = _image(draw, 2, FLOATS)
    rate = draw.integer(1, 3)
    padding = draw.choice(("SAME", "VALID"))
    kernel = [
        draw.integer(1, 3 if padding == "SAME" else min(3, largest_kernel(extent, rate))) for extent in x.shape[1:3]
    ]
    outputs = draw.integer(1, 4)
    fitting(draw, math.prod(x.shape[:3]) * outputs)
    return draw.call(x, _filters(draw, (*kernel, x.shape[3], outputs), x.dtype), rate, padding)


def _transposed(
    draw: Draw, spatial: int, *, explicit: bool, dilated: bool
) -> tuple[Handle, Handle, Window, tuple[int, ...]]:
    x = _image(draw, spatial, DILATED_FLOATS if dilated else FLOATS, MAX_ELEMENTS // 16)
    extents = x.shape[1:-1]
    window = Window(draw, extents, explicit=explicit, dilated=dilated, transposed=True)
    outputs = draw.integer(1, 3)
    shape = (x.shape[0], *window.transposed_output(draw, extents), outputs)
    fitting(draw, math.prod(shape))
    return x, _filters(draw, (*window.kernel, outputs, x.shape[-1]), x.dtype), window, shape


@operator("tf.nn.conv2d_transpose", family="convolution")
def conv2d_transpose(draw: Draw) -> Call:
    # oneDNN, which alone has a dilated kernel, is not called for explicit paddings.
    dilated = draw.flag(0.3)
    x, filters, window, shape = _transposed(draw, 2, explicit=not dilated, dilated=dilated)
    kwargs: dict[str, Any] = {}
    if max(window.dilations) > 1:
        kwargs["dilations"] = window.argument(draw, window.dilations)
    return draw.call(x, filters, shape, strides=window.argument(draw, window.strides), padding=window.padding, **kwargs)


@operator("tf.nn.conv1d_transpose", family="convolution", weight=0.7)
def conv1d_transpose(draw: Draw) -> Call:
    x, filters, window, shape = _transposed(draw, 1, explicit=False, dilated=False)
    return draw.call(x, filters, shape, strides=window.strides[0], padding=window.padding)


@operator("tf.nn.conv3d_transpose", family="convolution", weight=0.5)
def conv3d_transpose(draw: Draw) -> Call:
    x, filters, window, shape = _transposed(draw, 3, explicit=False, dilated=False)
    return draw.call(x, filters, shape, strides=window.argument(draw, window.strides), padding=window.padding)


@operator("tf.nn.dilation2d", "tf.nn.erosion2d", family="convolution", rounding=Rounding.BASIC, weight=0.2)
def morphology(draw: Draw) -> Call:
    """Grey-scale dilation and erosion: the maximum of sums, the minimum of differences."""
    x = _image(draw, 2, FLOATS)
    window = Window(draw, x.shape[1:3], explicit=False)
    name = "filters"
    filters = _filters(draw, (*window.kernel, x.shape[3]), x.dtype)
    return Call(
        draw.target,
        (x,),
        {
            name: filters,
            "strides": window.whole(window.strides),
            "padding": window.padding,
            "data_format": "NHWC",
            "dilations": window.whole(window.dilations),
        },
    )
