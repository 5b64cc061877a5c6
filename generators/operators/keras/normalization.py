"""Normalisations. Batch normalisation is in inference, with moving statistics that are none of zero and one."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.keras.common import bias, layer, made, operand, operator, policy

_EPSILONS = (1e-3, 1e-5, 1e-2, 0.1, 1e-7)


def _epsilon(draw: Draw) -> dict[str, Any]:
    return {"epsilon": draw.choice(_EPSILONS)} if draw.flag(0.4) else {}


def _affine(draw: Draw) -> dict[str, Any]:
    return {name: draw.flag() for name in ("center", "scale") if draw.flag(0.3)}


def _varied(axes: tuple[int, ...] | int) -> Any:
    """A condition: two elements at least along the axes, not all alike, so that there is a variance to divide by:
    without one the result is rounding errors, multiplied."""
    wanted = (axes,) if isinstance(axes, int) else axes

    def varies(x: Handle) -> bool:
        for axis in wanted:
            if axis >= x.rank or axis < -x.rank:
                return False
        return max(x.shape[axis] for axis in wanted) > 1

    return varies


@operator("keras.layers.BatchNormalization", family="normalization", weight=2.5)
def batch_normalization(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    kwargs: dict[str, Any] = {}
    if draw.flag(0.25):
        axis = draw.integer(1, x.rank - 1)
        kwargs["axis"] = axis - x.rank if draw.flag() else axis
    return layer(draw, x, **kwargs, **_epsilon(draw), **_affine(draw), **policy(draw, x))


@operator("keras.layers.LayerNormalization", family="normalization", weight=2)
def layer_normalization(draw: Draw) -> Call:
    x = operand(draw, range(2, 6), where=_varied(-1))
    kwargs: dict[str, Any] = {}
    if draw.flag(0.4):
        # Kernels are given ascending axes; Keras takes them in any order, and so do converters.
        axes = tuple(sorted({axis for axis in range(1, x.rank) if draw.flag()} | {x.rank - 1}))
        kwargs["axis"] = tuple(axis - x.rank for axis in axes) if draw.flag() else axes
    return layer(draw, x, **kwargs, **_epsilon(draw), **_affine(draw), **policy(draw, x))


@operator("keras.layers.GroupNormalization", family="normalization", weight=1.2)
def group_normalization(draw: Draw) -> Call:
    """Groups of each size, -1 for one to a channel."""
    x = operand(draw, range(2, 6), where=lambda x: x.size > x.shape[0])
    axis = -1 if draw.flag(0.8) else draw.integer(1, x.rank - 1)
    channels = x.shape[axis]
    groups = draw.choice([count for count in range(1, channels + 1) if channels % count == 0])
    if groups == channels and x.size // x.shape[0] == channels:
        draw.reject("groups of one element have no variance")
    kwargs: dict[str, Any] = {"groups": -1 if groups == channels and draw.flag() else groups}
    if axis != -1:
        kwargs["axis"] = axis
    return layer(draw, x, **kwargs, **_epsilon(draw), **_affine(draw), **policy(draw, x))


@operator("keras.layers.UnitNormalization", family="normalization")
def unit_normalization(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    kwargs: dict[str, Any] = {"axis": draw.axis(x.rank)} if draw.flag(0.4) else {}
    return layer(draw, x, **kwargs, **policy(draw, x))


@operator("keras.layers.RMSNormalization", family="normalization", weight=1.2)
def rms_normalization(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    kwargs: dict[str, Any] = {}
    if draw.flag(0.3):
        # Keras 3.15 multiplies the scale of any axis along the last dimension: with another extent of it, that is
        # refused or makes a result of another shape than the layer says.
        kwargs["axis"] = draw.choice([axis for axis in range(1, x.rank) if x.shape[axis] == x.shape[-1]])
    return layer(draw, x, **kwargs, **_epsilon(draw), **policy(draw, x))


@operator("keras.layers.SpectralNormalization", family="linear", weight=0.6)
def spectral_normalization(draw: Draw) -> Call:
    """In inference the wrapped layer as it is, its vector ``u`` unused."""
    x = operand(draw, (2, 3, 4), dtypes=("float32",))
    inner = {"units": draw.integer(1, 4), **bias(draw)}
    wrapped = made("keras.layers.Dense", **inner)
    if x.rank == 4 and draw.flag():
        wrapped = made("keras.layers.Conv2D", filters=draw.integer(1, 3), kernel_size=1, **bias(draw))
    kwargs = {"power_iterations": draw.integer(1, 3)} if draw.flag(0.3) else {}
    return layer(draw, x, layer=wrapped, **kwargs)
