"""Convolutions of all kinds, channels last: TensorFlow has no kernels for channels first on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.operators.keras.common import activation, bias, layer, operand, operator, policy
from generators.operators.shapes import largest_kernel, reach

#: Eigen's kernels of three dimensions abort or refuse where oneDNN's do not.
_FLOATS_3D = ("float32",)


def _image(draw: Draw, spatial: int) -> Handle:
    more: dict[str, Any] = {"dtypes": _FLOATS_3D} if spatial == 3 else {}
    return operand(draw, (spatial + 2,), largest=MAX_ELEMENTS // 6, **more)


def _plain(draw: Draw, numbers: Sequence[int]) -> int | tuple[int, ...]:
    return numbers[0] if len(set(numbers)) == 1 and draw.flag(0.6) else tuple(numbers)


def _window(
    draw: Draw, extents: Sequence[int], *, causal: bool = False, equal: bool = False, dilated: bool = True
) -> dict[str, Any]:
    """Kernel, strides, padding and dilation. Strides and dilation exclude each other in Keras; ``equal`` strides are
    what depthwise convolutions of TensorFlow insist on."""
    padding = draw.choice(("same", "valid", "causal") if causal else ("same", "valid"))
    strides, dilation = [1] * len(extents), [1] * len(extents)
    if dilated and draw.flag(0.25):
        dilation = [draw.integer(1, 3) for _ in extents]
    elif draw.flag(0.4):
        strides = [draw.integer(1, 3) for _ in extents]
    if equal:
        strides, dilation = strides[:1] * len(extents), dilation[:1] * len(extents)
    kernel = []
    for extent, spread in zip(extents, dilation, strict=True):
        room = 4 if padding != "valid" else largest_kernel(extent, spread)
        kernel.append(draw.integer(1, min(4, room)))
    kwargs: dict[str, Any] = {"kernel_size": _plain(draw, kernel)}
    if max(strides) > 1:
        kwargs["strides"] = _plain(draw, strides)
    if padding != "valid":
        kwargs["padding"] = padding
    if max(dilation) > 1:
        kwargs["dilation_rate"] = _plain(draw, dilation)
    return kwargs


@operator("keras.layers.Conv1D", family="convolution", weight=1.5)
def conv1d(draw: Draw) -> Call:
    return _conv(draw, 1)


@operator("keras.layers.Conv2D", family="convolution", weight=2.5)
def conv2d(draw: Draw) -> Call:
    return _conv(draw, 2)


@operator("keras.layers.Conv3D", family="convolution", weight=0.7)
def conv3d(draw: Draw) -> Call:
    return _conv(draw, 3)


def _conv(draw: Draw, spatial: int) -> Call:
    """Grouped where the channels allow it."""
    x = _image(draw, spatial)
    channels = x.shape[-1]
    kwargs = _window(draw, x.shape[1:-1], causal=spatial == 1)
    groups = 1
    if spatial < 3 and draw.flag(0.25):
        groups = draw.choice([count for count in range(1, channels + 1) if channels % count == 0])
    if groups > 1:
        kwargs["groups"] = groups
    filters = groups * draw.integer(1, max(1, 4 // groups))
    return layer(draw, x, filters=filters, **kwargs, **activation(draw), **bias(draw), **policy(draw, x))


@operator("keras.layers.DepthwiseConv1D", family="convolution")
def depthwise_conv1d(draw: Draw) -> Call:
    return _depthwise(draw, 1)


@operator("keras.layers.DepthwiseConv2D", family="convolution", weight=1.5)
def depthwise_conv2d(draw: Draw) -> Call:
    return _depthwise(draw, 2)


def _depthwise(draw: Draw, spatial: int) -> Call:
    x = _image(draw, spatial)
    kwargs = _window(draw, x.shape[1:-1], equal=True)
    if draw.flag(0.4):
        kwargs["depth_multiplier"] = draw.integer(1, 3)
    return layer(draw, x, **kwargs, **activation(draw), **bias(draw), **policy(draw, x))


@operator("keras.layers.SeparableConv1D", family="convolution")
def separable_conv1d(draw: Draw) -> Call:
    return _separable(draw, 1)


@operator("keras.layers.SeparableConv2D", family="convolution")
def separable_conv2d(draw: Draw) -> Call:
    return _separable(draw, 2)


def _separable(draw: Draw, spatial: int) -> Call:
    x = _image(draw, spatial)
    kwargs = _window(draw, x.shape[1:-1], equal=True)
    if draw.flag(0.4):
        kwargs["depth_multiplier"] = draw.integer(1, 3)
    return layer(draw, x, filters=draw.integer(1, 4), **kwargs, **activation(draw), **bias(draw), **policy(draw, x))


@operator("keras.layers.Conv1DTranspose", family="convolution")
def conv1d_transpose(draw: Draw) -> Call:
    return _transposed(draw, 1)


@operator("keras.layers.Conv2DTranspose", family="convolution", weight=1.5)
def conv2d_transpose(draw: Draw) -> Call:
    return _transposed(draw, 2)


@operator("keras.layers.Conv3DTranspose", family="convolution", weight=0.5)
def conv3d_transpose(draw: Draw) -> Call:
    return _transposed(draw, 3)


def _transposed(draw: Draw, spatial: int) -> Call:
    """``output_padding`` is less than the stride."""
    x = _image(draw, spatial)
    extents = x.shape[1:-1]
    strides = [draw.integer(1, 3) for _ in extents] if draw.flag(0.6) else [1] * spatial
    dilation = [1] * spatial
    if max(strides) == 1 and spatial < 3 and draw.flag(0.3):
        dilation = [draw.integer(1, 2) for _ in extents]
    kernel = [draw.integer(1, 3) for _ in extents]
    grown = [
        extent * stride + reach(size, spread)
        for extent, stride, size, spread in zip(extents, strides, kernel, dilation, strict=True)
    ]
    filters = draw.integer(1, 3)
    if x.shape[0] * math.prod(grown) * filters > MAX_ELEMENTS:
        draw.reject("too many elements")
    kwargs: dict[str, Any] = {"kernel_size": _plain(draw, kernel)}
    if max(strides) > 1:
        kwargs["strides"] = _plain(draw, strides)
        if draw.flag(0.25):
            kwargs["output_padding"] = tuple(draw.integer(0, stride - 1) for stride in strides)
    if draw.flag():
        kwargs["padding"] = "same"
    if max(dilation) > 1:
        kwargs["dilation_rate"] = _plain(draw, dilation)
    return layer(draw, x, filters=filters, **kwargs, **activation(draw), **bias(draw), **policy(draw, x))
