"""Activation functions."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw
from generators.graph import FLOATING, SIGNED
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import REAL

operator = REGISTRY.operator


@operator("tf.nn.relu", "tf.nn.relu6", family="activation", rounding=Rounding.EXACT, weight=1.2)
def clipped(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING if draw.flag(0.8) else REAL, where=lambda x: not x.within(-1e9, 0)))


@operator("tf.nn.crelu", family="activation", rounding=Rounding.EXACT, weight=0.6)
def crelu(draw: Draw) -> Call:
    x = draw.value(dtypes=(*FLOATING, *SIGNED), ranks=range(1, 6))
    return draw.call(x, axis=draw.axis(x.rank)) if draw.flag(0.7) else draw.call(x)


@operator("tf.nn.leaky_relu", family="activation", rounding=Rounding.BASIC)
def leaky_relu(draw: Draw) -> Call:
    """Integers give float32."""
    x = draw.value(dtypes=FLOATING if draw.flag(0.8) else REAL)
    return draw.call(x) if draw.flag(0.2) else draw.call(x, alpha=draw.choice((0.2, 0.01, 0.0, 1.0, 0.75, -0.5, 1.5)))


@operator(
    "tf.nn.elu",
    "tf.nn.selu",
    "tf.nn.softplus",
    "tf.nn.softsign",
    family="activation",
    weight=0.8,
)
def smooth(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING))


@operator("tf.nn.gelu", family="activation")
def gelu(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, approximate=draw.flag()) if draw.flag(0.8) else draw.call(x)


@operator("tf.nn.silu", family="activation")
def silu(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, beta=draw.choice((1.0, 0.5, 2.0, -1.0, 1.702, 0.0))) if draw.flag(0.6) else draw.call(x)


@operator("tf.nn.softmax", "tf.nn.log_softmax", family="activation", weight=1.2)
def softmax(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 6), minimum=1, where=lambda x: x.shape[-1] > 1)
    kwargs: dict[str, Any] = {}
    if draw.flag(0.7):
        wide = [axis for axis in range(x.rank) if x.shape[axis] > 1]
        axis = draw.choice(wide)
        kwargs["axis"] = axis - x.rank if draw.flag() else axis
    return draw.call(x, **kwargs)
