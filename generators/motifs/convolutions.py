"""Motifs around convolutions: what is folded into them, and what they are folded from."""

from __future__ import annotations

from typing import Any

from generators.draw import MAX_ELEMENTS
from generators.handles import Handle
from generators.motifs.builder import Builder
from generators.motifs.registry import motif
from generators.motifs.vocabulary import elements_of


def convolution(
    m: Builder, x: Handle, produced: int, *, kernel: int = 0, depthwise: bool = False, same: bool = False
) -> Handle:
    """A convolution of an image, mostly without a bias; ``same`` keeps the spatial extents."""
    if x.rank != 4:
        m.end("a mutation has made something else of the image")
    channels = m.channels_of(x)
    spatial = [x.shape[axis] for axis in m.spatial_axes(x)]
    if not kernel:
        kernel = m.draw.choice((1, 3) if same else [size for size in (1, 2, 3) if size <= min(spatial)])
    window = (kernel,) * len(spatial)
    pad = kernel // 2 if same or m.draw.flag(0.3) else 0
    if min(spatial) + 2 * pad < kernel:
        m.end("the kernel does not fit")
    if m.words.channels == 1:
        shape = (produced, 1 if depthwise else channels, *window)
    else:
        shape = (*window, channels, produced // channels if depthwise else produced)
    if elements_of(shape) > MAX_ELEMENTS // 4 or x.size // channels * produced > MAX_ELEMENTS:
        m.end("too many elements")
    weight = m.parameter(shape, x.dtype)
    options: dict[str, Any] = {
        "stride": 1 if same or m.draw.flag(0.6) else 2,
        "pads": (pad,) * len(spatial) if pad else (),
        "groups": channels if depthwise else 1,
    }
    if m.words.channels == 1 and m.draw.flag(0.3):
        return m.op("conv", x, weight, m.parameter((produced,), x.dtype), **options)
    return m.op("conv", x, weight, **options)


def normalized(m: Builder, x: Handle) -> Handle:
    """Batch normalization of an image, its statistics given: as an operator, or folded into a scale and a shift."""
    channels = m.channels_of(x)
    if m.draw.flag(0.3):
        return m.affine(x, m.per_channel(x, channels))
    mean, scale, bias = (m.parameter((channels,), x.dtype, apart=name == "bias") for name in ("mean", "scale", "bias"))
    variance = m.parameter((channels,), x.dtype, elements="fractions")
    return m.op("normalize", x, mean, variance, scale, bias, epsilon=m.draw.choice((1e-5, 1e-3, 0.1)))


def _width(m: Builder) -> int:
    return m.draw.integer(1, 5)


@motif("conv, norm, activation", weight=2.0)
def conv_norm_activation(m: Builder) -> None:
    y = normalized(m, convolution(m, m.image(), _width(m)))
    m.activation(y)


@motif("conv with a scale")
def conv_scale(m: Builder) -> None:
    """A product with a constant behind the convolution, or before it: both fold into the weights."""
    x = m.image()
    if m.draw.flag(0.4):
        x = m.op("mul", x, m.parameter(m.per_channel(x, m.channels_of(x)), x.dtype, apart=True))
    y = convolution(m, x, _width(m))
    shape = m.per_channel(y, m.channels_of(y)) if m.draw.flag(0.7) else ()
    m.op("mul", y, m.parameter(shape, y.dtype, apart=True))


@motif("conv, bias added")
def conv_bias(m: Builder) -> None:
    y = convolution(m, m.image(), _width(m))
    count = m.channels_of(y)
    if m.words.knows("bias_add") and m.draw.flag():
        y = m.op("bias_add", y, m.parameter((count,), y.dtype))
    else:
        y = m.op("add", y, m.parameter(m.per_channel(y, count), y.dtype, apart=True))
    if m.draw.flag():
        m.activation(y)


@motif("depthwise separable conv")
def depthwise(m: Builder) -> None:
    x = m.image(where=lambda x: x.shape[1] <= 8 and x.shape[-1] <= 8)
    count = m.channels_of(x) * (1 if m.draw.flag(0.7) else 2)
    y = convolution(m, x, count, depthwise=True)
    if m.draw.flag():
        y = m.activation(normalized(m, y))
    convolution(m, y, _width(m), kernel=1)


@motif("residual block", weight=1.3)
def residual(m: Builder) -> None:
    x = m.image()
    y = convolution(m, x, m.channels_of(x), same=True)
    if m.draw.flag(0.6):
        y = normalized(m, y)
    if m.draw.flag(0.6):
        y = m.activation(y)
        y = convolution(m, y, m.channels_of(x), same=True)
    y = m.op("add", *((x, y) if m.draw.flag() else (y, x)))
    if m.draw.flag(0.7):
        m.activation(y)


@motif("squeeze and excite")
def squeeze_excite(m: Builder) -> None:
    x = m.image()
    channels = m.channels_of(x)
    y = m.op("mean", x, axes=m.spatial_axes(x), keepdims=True)
    narrow = max(1, channels // 2)
    y = m.op("relu", convolution(m, y, narrow, kernel=1))
    y = convolution(m, y, channels, kernel=1)
    hard = m.draw.flag(0.3)
    gate = m.op("div", m.op("relu6", m.op("add", y, 3.0)), 6.0) if hard else m.op("sigmoid", y)
    m.op("mul", *((x, gate) if m.draw.flag() else (gate, x)))


@motif("pad, conv")
def pad_conv(m: Builder) -> None:
    """Padding that can be folded into the convolution when it is of zeros and of spatial axes alone."""
    x = m.image()
    pads = [(0, 0)] * x.rank
    for axis in m.spatial_axes(x):
        pads[axis] = (m.draw.integer(0, 2), m.draw.integer(0, 2))
    if m.draw.flag(0.1):
        pads[m.words.channels] = (0, 1)
    value = 0.0 if m.draw.flag(0.8) else m.draw.choice((1.0, -0.5))
    y = convolution(m, m.op("pad", x, pads=tuple(pads), value=value), _width(m))
    if m.draw.flag(0.3):
        m.activation(y)


@motif("pad, pool")
def pad_pool(m: Builder) -> None:
    """Padding with zeros is not the same as a pool's own padding."""
    x = m.image()
    pads = [(0, 0)] * x.rank
    for axis in m.spatial_axes(x):
        pads[axis] = (1, 1)
    m.op("pool", m.op("pad", x, pads=tuple(pads), value=0.0), kind=m.draw.choice(("max", "avg")), size=2)


@motif("resize and concat")
def resize_concat(m: Builder) -> None:
    """As in a U-Net: a coarse image made as large as a fine one, and put beside it."""
    x = m.image(dtypes=("float32",), where=lambda x: x.size <= MAX_ELEMENTS // 8)
    size = tuple(x.shape[axis] * 2 for axis in m.spatial_axes(x))
    method = m.draw.choice(("nearest", "nearest", "bilinear"))
    large = m.op("resize", x, size=size, method=method)
    shape = list(large.shape)
    shape[m.words.channels] = m.draw.integer(1, 3)
    beside = m.draw.tensor(shape, large.dtype)
    y = m.op("concat", *((large, beside) if m.draw.flag() else (beside, large)), axis=m.words.channels)
    if m.draw.flag():
        convolution(m, y, _width(m))


@motif("channel shuffle")
def channel_shuffle(m: Builder) -> None:
    x = m.image()
    channels = m.channels_of(x)
    groups = m.draw.choice([count for count in range(1, channels + 1) if channels % count == 0])
    spatial = [x.shape[axis] for axis in m.spatial_axes(x)]
    if m.words.channels == 1:
        y = m.op("reshape", x, shape=(x.shape[0], groups, channels // groups, *spatial))
        y = m.op("transpose", y, order=(0, 2, 1, 3, 4))
    else:
        y = m.op("reshape", x, shape=(x.shape[0], *spatial, groups, channels // groups))
        y = m.op("transpose", y, order=(0, 1, 2, 4, 3))
    m.op("reshape", y, shape=x.shape)


@motif("conv in the other layout")
def other_layout(m: Builder) -> None:
    """Transposes to the frontend's layout before a convolution and back behind it, and an operator per channel there:
    what layout passes push through the graph."""
    x = m.image(where=lambda x: min(x.shape[1:]) > 1)
    there, back = ((0, 3, 1, 2), (0, 2, 3, 1)) if m.words.channels == 1 else ((0, 2, 3, 1), (0, 3, 1, 2))
    y = convolution(m, m.op("transpose", x, order=there), _width(m), same=True)
    if m.draw.flag():
        y = m.activation(y)
    y = m.op("transpose", y, order=back)
    y = m.affine(y, y.shape[-1:] if m.words.channels == 1 else (y.shape[1], 1, 1))
    if m.draw.flag(0.4):
        m.op("transpose", y, order=there)
