"""Normalisations written out by hand, as they are in models older than their operators, or wiser."""

from __future__ import annotations

from generators.handles import Handle
from generators.motifs.builder import Builder
from generators.motifs.registry import motif

_EPSILONS = (1e-5, 1e-5, 1e-6, 1e-3, 1e-12, 0.1)


def _wide(x: Handle) -> bool:
    return x.shape[-1] > 1


def _standardized(m: Builder, x: Handle, axes: tuple[int, ...]) -> Handle:
    """``(x - mean) / sqrt(variance + eps)`` over the axes."""
    mean = m.op("mean", x, axes=axes, keepdims=True)
    centred = m.op("sub", x, mean)
    if m.draw.flag(0.2):  # the variance as the mean of squares less the square of the mean
        variance = m.op("sub", m.op("mean", m.squared(x), axes=axes, keepdims=True), m.squared(mean))
    else:
        variance = m.op("mean", m.squared(centred), axes=axes, keepdims=True)
    return m.over_root(centred, variance, m.draw.choice(_EPSILONS))


@motif("layer norm", weight=1.5)
def layer_norm(m: Builder) -> None:
    x = m.value(where=_wide)
    count = 1 if m.draw.flag(0.75) else m.draw.integer(1, x.rank - 1)
    axes = tuple(range(-count, 0))
    if m.draw.flag(0.25):  # a residual before it, which fusions take in
        x = m.op("add", x, m.parameter(x.shape, x.dtype, apart=True))
    m.affine(_standardized(m, x, axes), x.shape[-count:])


@motif("RMS norm", weight=1.5)
def rms_norm(m: Builder) -> None:
    x = m.value(where=_wide)
    dtype = x.dtype
    if dtype in ("float16", "bfloat16") and m.draw.flag(0.6):  # as in language models
        x = m.op("cast", x, dtype="float32")
    variance = m.op("mean", m.squared(x), axes=(-1,), keepdims=True)
    y = m.over_root(x, variance, m.draw.choice(_EPSILONS))
    if y.dtype != dtype:
        y = m.op("cast", y, dtype=dtype)
    m.affine(y, x.shape[-1:], bias=False)


@motif("group norm")
def group_norm(m: Builder) -> None:
    """Groups of channels; one group for all, or one for each, at the ends."""
    x = m.image(where=lambda x: x.size > x.shape[0])
    channels = m.channels_of(x)
    groups = m.draw.choice([count for count in range(1, channels + 1) if channels % count == 0])
    spatial = [x.shape[axis] for axis in m.spatial_axes(x)]
    inner: tuple[int, ...]
    axes: tuple[int, ...]
    if m.words.channels == 1:
        inner, axes = (x.shape[0], groups, channels // groups, *spatial), (2, 3, 4)
        if m.draw.flag():
            inner, axes = (x.shape[0], groups, -1), (2,)
    else:
        inner, axes = (x.shape[0], *spatial, groups, channels // groups), (1, 2, 4)
    y = _standardized(m, m.op("reshape", x, shape=inner), axes)
    m.affine(m.op("reshape", y, shape=x.shape), m.per_channel(x, channels))


@motif("instance norm")
def instance_norm(m: Builder) -> None:
    x = m.image(where=lambda x: x.shape[2] > 1)
    m.affine(_standardized(m, x, m.spatial_axes(x)), m.per_channel(x, m.channels_of(x)))


@motif("batch norm by hand")
def batch_norm(m: Builder) -> None:
    """With statistics that are constants: all of it can be folded into a scale and a shift."""
    x = m.image()
    shape = m.per_channel(x, m.channels_of(x))
    centred = m.op("sub", x, m.parameter(shape, x.dtype, apart=True))
    variance = m.parameter(shape, x.dtype, elements="fractions")
    m.affine(m.over_root(centred, variance, m.draw.choice(_EPSILONS)), shape)


@motif("L2 normalization")
def unit_length(m: Builder) -> None:
    x = m.value(where=_wide)
    axis = m.draw.axis(x.rank)
    total = m.op("sum", m.squared(x), axes=(axis,), keepdims=True)
    if m.draw.flag():
        m.op("mul", x, m.op("rsqrt", m.op("maximum", total, 1e-6, role="epsilon")))
    else:
        m.over_root(x, total, m.draw.choice(_EPSILONS))
