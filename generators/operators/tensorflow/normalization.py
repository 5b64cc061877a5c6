"""Normalisations and losses."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle, spread
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import INDEX, NUMERIC, moderate
from generators.selectors import distribution, probabilities

operator = REGISTRY.operator


def _tame(
    draw: Draw, ranks: range | tuple[int, ...], dtypes: tuple[str, ...] = FLOATING, limit: float = 100.0
) -> Handle:
    return draw.value(
        dtypes=dtypes, ranks=ranks, minimum=1, where=lambda x: draw.nonfinite or moderate(x, limit), otherwise="typical"
    )


_POSITIVE = spread(0.05, 4.0)


@operator("tf.nn.batch_normalization", family="normalization", weight=1.2)
def batch_normalization(draw: Draw) -> Call:
    """Statistics of the last axis, or of shapes that broadcast; offset and scale may be missing."""
    x = _tame(draw, range(1, 6))
    shape = x.shape[-1:]
    if x.rank > 1 and draw.flag(0.3):
        shape = tuple(extent if draw.flag() else 1 for extent in x.shape)
    mean = draw.tensor(shape, x.dtype, "typical")
    variance = draw.tensor(shape, x.dtype, _POSITIVE)
    offset = draw.tensor(shape, x.dtype, "typical") if draw.flag(0.7) else None
    scale = draw.tensor(shape, x.dtype, "typical") if draw.flag(0.7) else None
    return draw.call(x, mean, variance, offset, scale, draw.choice((1e-3, 1e-5, 0.1, 0.0)))


@operator("tf.compat.v1.nn.fused_batch_norm", family="normalization", weight=0.7)
def fused_batch_norm(draw: Draw) -> Call:
    """The fused kernel with given statistics (float32 whatever the input), or with those of the batch. The epsilon is
    a number that the kernel does not raise to its own least one."""
    x = _tame(draw, (4,), ("float16", "bfloat16", "float32"))
    shape = x.shape[-1:]
    scale, offset = (draw.tensor(shape, "float32", "typical") for _ in range(2))
    kwargs: dict[str, Any] = {"epsilon": draw.choice((1e-3, 2e-5, 0.1))} if draw.flag(0.8) else {}
    if draw.flag(0.2) and x.size // shape[0] > 1:
        return draw.call(x, scale, offset, is_training=True, **kwargs)
    mean, variance = draw.tensor(shape, "float32", "typical"), draw.tensor(shape, "float32", _POSITIVE)
    return draw.call(x, scale, offset, mean, variance, is_training=False, **kwargs)


@operator("tf.nn.local_response_normalization", family="normalization", weight=0.6)
def local_response_normalization(draw: Draw) -> Call:
    x = _tame(draw, (4,), ("float16", "float32"))
    kwargs: dict[str, Any] = {}
    if draw.flag(0.7):
        kwargs["depth_radius"] = draw.integer(1, 5)
    if draw.flag():
        kwargs["bias"] = draw.choice((1.0, 0.5, 2.0))
    if draw.flag():
        kwargs["alpha"] = draw.choice((1.0, 1e-2, 0.5))
    if draw.flag():
        kwargs["beta"] = draw.choice((0.5, 0.75, 1.0))
    return draw.call(x, **kwargs)


@operator("tf.nn.l2_normalize", family="normalization")
def l2_normalize(draw: Draw) -> Call:
    x = _tame(draw, range(1, 6), limit=20.0)
    kwargs: dict[str, Any] = {"epsilon": draw.choice((1e-12, 1e-6, 0.1))} if draw.flag(0.3) else {}
    if draw.flag(0.15):
        return draw.call(x, **kwargs)
    return draw.call(x, axis=draw.axis(x.rank) if draw.flag(0.6) else draw.axes(x.rank), **kwargs)


@operator("tf.nn.moments", family="normalization", weight=0.7)
def moments(draw: Draw) -> Call:
    x = _tame(draw, range(1, 6))
    kwargs: dict[str, Any] = {"keepdims": draw.flag()} if draw.flag(0.6) else {}
    return draw.call(x, draw.axes(x.rank), **kwargs)


@operator("tf.nn.bias_add", family="normalization", rounding=Rounding.BASIC)
def bias_add(draw: Draw) -> Call:
    """Along the last axis, or with channels first along the second."""
    x = draw.value(dtypes=NUMERIC, ranks=range(2, 6), minimum=1)
    # Without a spatial dimension, tf.function refuses what eager mode takes.
    if x.rank > 2 and draw.flag(0.25):
        return draw.call(x, draw.tensor(x.shape[1:2], x.dtype), data_format="NC" + "DHW"[5 - x.rank :])
    return draw.call(x, draw.tensor(x.shape[-1:], x.dtype))


@operator("tf.nn.l2_loss", family="loss", weight=0.3)
def l2_loss(draw: Draw) -> Call:
    return draw.call(_tame(draw, range(1, 5), limit=5.0))


@operator("tf.nn.softmax_cross_entropy_with_logits", family="loss", weight=0.4)
def softmax_cross_entropy(draw: Draw) -> Call:
    x = _tame(draw, range(2, 5))
    if max(x.shape) == 1:
        draw.reject("the loss of a single class is zero")
    # Of the negative axes, only the last works.
    axis = draw.integer(-1, x.rank - 1) if draw.flag() else None
    labels = distribution(draw, x.shape, x.dtype, -1 if axis is None else axis)
    return draw.call(labels, x) if axis is None else draw.call(labels, x, axis=axis)


@operator("tf.nn.sparse_softmax_cross_entropy_with_logits", family="loss", weight=0.4)
def sparse_softmax_cross_entropy(draw: Draw) -> Call:
    x = _tame(draw, range(2, 5))
    return draw.call(draw.indices(x.shape[:-1], 0, x.shape[-1] - 1, dtypes=INDEX), x)


@operator("tf.nn.sigmoid_cross_entropy_with_logits", family="loss", weight=0.4)
def sigmoid_cross_entropy(draw: Draw) -> Call:
    x = _tame(draw, range(5))
    return draw.call(probabilities(draw, x.shape, x.dtype), x)
