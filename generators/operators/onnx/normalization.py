"""Normalisations over channels, axes, groups and neighbours."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.onnx.common import dtypes, floating, maybe, normal, positive, weights
from generators.operators.onnx.registry import REGISTRY

_EPSILONS = (1e-5, 1e-3, 1e-2, 0.1)


def _image(draw: Draw, ranks: tuple[int, ...] = (2, 3, 4, 4, 5), parameter: str = "T") -> Handle:
    kinds = tuple(name for name in floating(draw, parameter) if name != "bfloat16")
    return draw.value(dtypes=kinds, ranks=ranks, minimum=1)


@REGISTRY.operator("onnx.BatchNormalization", family="normalization", weight=1.5)
def batch(draw: Draw) -> Call:
    x = _image(draw)
    shape = x.shape[1:2]
    statistics = [draw.tensor(shape, x.dtype, normal()), draw.tensor(shape, x.dtype, positive())]
    scale = [weights(draw, shape, x.dtype) for _ in range(2)]
    return draw.call(
        x, *scale, *statistics, **maybe(draw, epsilon=draw.choice(_EPSILONS)), **maybe(draw, 0.2, momentum=0.8)
    )


@REGISTRY.operator("onnx.InstanceNormalization", family="normalization")
def instance(draw: Draw) -> Call:
    x = _spread(draw, _image(draw, (3, 4, 4, 5)), lambda handle: handle.size // (handle.shape[0] * handle.shape[1]))
    scale = [weights(draw, x.shape[1:2], x.dtype) for _ in range(2)]
    return draw.call(x, *scale, **maybe(draw, epsilon=draw.choice(_EPSILONS)))


def _spread(draw: Draw, x: Handle, count: Any) -> Handle:
    """The value, if what is normalised together is more than one element: of one nothing but rounding is left."""
    if count(x) < 2:
        draw.reject("a single element is normalised")
    return x


@REGISTRY.operator("onnx.LayerNormalization", "onnx.RMSNormalization", family="normalization", weight=1.5)
def layer(draw: Draw) -> Call:
    kinds = tuple(name for name in floating(draw) if name in ("float32", "float64", "float16"))
    x = draw.value(dtypes=kinds, ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank) if draw.flag(0.6) else -1
    shape = x.shape[axis % x.rank :]
    _spread(draw, x, lambda handle: handle.size // max(1, _product(x.shape[: axis % x.rank])))
    scale = weights(draw, shape, x.dtype)
    attributes = maybe(draw, epsilon=draw.choice(_EPSILONS))
    if axis != -1 or draw.flag(0.3):
        attributes["axis"] = axis
    if draw.target == "onnx.RMSNormalization":
        return draw.call(x, scale, **attributes)
    bias = [weights(draw, shape, x.dtype)] if draw.flag() else []
    if x.dtype == "float32" and draw.flag(0.2):
        attributes["outputs"] = 3
    return draw.call(x, scale, *bias, **attributes)


def _product(extents: tuple[int, ...]) -> int:
    result = 1
    for extent in extents:
        result *= extent
    return result


@REGISTRY.operator("onnx.GroupNormalization", family="normalization")
def group(draw: Draw) -> Call:
    x = _image(draw, (3, 4, 4))
    channels = x.shape[1]
    groups = draw.choice([n for n in range(1, channels + 1) if channels % n == 0])
    _spread(draw, x, lambda handle: handle.size // (handle.shape[0] * groups))
    scale = [weights(draw, (channels,), x.dtype) for _ in range(2)]
    return draw.call(x, *scale, num_groups=groups, **maybe(draw, epsilon=draw.choice(_EPSILONS)))


@REGISTRY.operator("onnx.LRN", family="normalization")
def neighbours(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=(4,), minimum=1)
    attributes = maybe(draw, alpha=draw.real(1e-4, 0.5), beta=draw.real(0.3, 1.0), bias=draw.real(0.5, 2.0))
    return draw.call(x, size=draw.choice((1, 3, 5)), **attributes)
