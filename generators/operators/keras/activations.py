"""Activations as layers."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw
from generators.operators.keras.common import ACTIVATIONS, FLOATS, layer, operand, operator, policy
from generators.operators.registry import Rounding


@operator("keras.layers.Activation", family="activation", weight=3)
def activation(draw: Draw) -> Call:
    x = operand(draw, range(2, 6), limit=60.0)
    return layer(draw, x, activation=draw.choice(ACTIVATIONS), **policy(draw, x))


@operator("keras.layers.ReLU", family="activation", weight=1.5)
def relu(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    kwargs: dict[str, Any] = {}
    if draw.flag(0.4):
        kwargs["max_value"] = draw.choice((6.0, 1.0, 0.5, 20.0))
    if draw.flag(0.4):
        kwargs["negative_slope"] = draw.choice((0.1, 0.5, 0.0, 1.0))
    if draw.flag(0.3):
        kwargs["threshold"] = draw.choice((0.5, 1.0, 0.0))
    return layer(draw, x, **kwargs, **policy(draw, x))


@operator("keras.layers.LeakyReLU", family="activation", rounding=Rounding.BASIC)
def leaky_relu(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    kwargs: dict[str, Any] = {"negative_slope": draw.choice((0.1, 0.0, 0.5, 1.0))} if draw.flag() else {}
    return layer(draw, x, **kwargs, **policy(draw, x))


@operator("keras.layers.PReLU", family="activation", weight=1.2)
def prelu(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    kwargs: dict[str, Any] = {}
    if x.rank > 2 and draw.flag(0.6):
        kwargs["shared_axes"] = tuple(axis for axis in range(1, x.rank - 1) if draw.flag(0.7)) or (1,)
    return layer(draw, x, **kwargs, **policy(draw, x))


@operator("keras.layers.ELU", family="activation")
def elu(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    kwargs: dict[str, Any] = {"alpha": draw.choice((0.5, 1.0, 2.0, 0.1))} if draw.flag() else {}
    return layer(draw, x, **kwargs, **policy(draw, x))


@operator("keras.layers.Softmax", family="activation", weight=1.2)
def softmax(draw: Draw) -> Call:
    """Over an axis, or over several."""
    x = operand(draw, range(2, 6), dtypes=FLOATS, where=lambda x: x.shape[-1] > 1)
    kwargs: dict[str, Any] = {}
    if draw.flag():
        wide = [axis for axis in range(1, x.rank) if x.shape[axis] > 1]
        axis = draw.choice(wide)
        kwargs["axis"] = axis - x.rank if draw.flag() else axis
        if len(wide) > 1 and draw.flag(0.25):
            kwargs["axis"] = tuple(wide[-2:])
    return layer(draw, x, **kwargs, **policy(draw, x))
