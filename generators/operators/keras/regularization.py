"""Layers that do something in training only: in inference, converters have to leave them out."""

from __future__ import annotations

from generators.draw import Call, Draw
from generators.operators.keras.common import layer, operand, operator, policy
from generators.operators.registry import Rounding


@operator(
    "keras.layers.Dropout",
    "keras.layers.AlphaDropout",
    "keras.layers.GaussianDropout",
    family="shape",
    rounding=Rounding.EXACT,
    weight=0.2,
)
def dropout(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    return layer(draw, x, rate=draw.choice((0.5, 0.1, 0.0)), **policy(draw, x))


@operator(
    "keras.layers.SpatialDropout1D",
    "keras.layers.SpatialDropout2D",
    "keras.layers.SpatialDropout3D",
    family="shape",
    rounding=Rounding.EXACT,
    weight=0.1,
)
def spatial_dropout(draw: Draw) -> Call:
    x = operand(draw, (int(draw.target[-2]) + 2,))
    return layer(draw, x, rate=draw.choice((0.5, 0.1)), **policy(draw, x))


@operator("keras.layers.GaussianNoise", family="shape", rounding=Rounding.EXACT, weight=0.15)
def gaussian_noise(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    return layer(draw, x, stddev=draw.choice((0.5, 0.1)), **policy(draw, x))


@operator("keras.layers.ActivityRegularization", family="shape", rounding=Rounding.EXACT, weight=0.15)
def activity_regularization(draw: Draw) -> Call:
    """Adds to the loss in training."""
    x = operand(draw, range(2, 6))
    return layer(draw, x, l2=0.5, **policy(draw, x))
