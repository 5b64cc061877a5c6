"""Pooling: over windows, global, adaptive. What the maximum of a window with NaN is, is not documented."""

from __future__ import annotations

from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.operators.keras.common import layer, operand, operator, policy
from generators.operators.registry import Rounding
from generators.operators.tensorflow.common import no_nan

#: Eigen's pooling in three dimensions has kernels for these.
_FLOATS_3D = ("float32",)


def _image(draw: Draw, spatial: int) -> Handle:
    more: dict[str, Any] = {"dtypes": _FLOATS_3D} if spatial == 3 else {}
    return operand(draw, (spatial + 2,), largest=MAX_ELEMENTS // 2, where=no_nan, **more)


def _pool(draw: Draw, spatial: int) -> Call:
    x = _image(draw, spatial)
    extents = x.shape[1:-1]
    padding = draw.choice(("same", "valid"))
    pool = [draw.integer(1, min(4, extent) if padding == "valid" else 4) for extent in extents]
    kwargs: dict[str, Any] = {"pool_size": pool[0] if len(set(pool)) == 1 and draw.flag() else tuple(pool)}
    if draw.flag(0.6):
        # Eigen's pooling in three dimensions is wrong for some strides larger than the window.
        limits = pool if spatial == 3 else [3] * spatial
        strides = [draw.integer(1, min(3, limit)) for limit in limits]
        kwargs["strides"] = strides[0] if len(set(strides)) == 1 and draw.flag() else tuple(strides)
    if padding != "valid":
        kwargs["padding"] = padding
    return layer(draw, x, **kwargs, **policy(draw, x))


def _global(draw: Draw, spatial: int) -> Call:
    x = _image(draw, spatial)
    kwargs: dict[str, Any] = {"keepdims": draw.flag(0.8)} if draw.flag() else {}
    if draw.flag(0.15):
        kwargs["data_format"] = "channels_first"
    return layer(draw, x, **kwargs, **policy(draw, x))


def _adaptive(draw: Draw, spatial: int) -> Call:
    """To fewer positions than there are: Keras pools with windows of ``ceil(extent / size)`` elements and of one more,
    and where the latter is more than the extent, a kernel of TensorFlow ends the process with SIGFPE."""
    x = _image(draw, spatial)
    sizes = tuple(
        draw.choice([size for size in range(1, extent + 1) if -(-extent // size) < extent]) for extent in x.shape[1:-1]
    )
    size = sizes[0] if len(set(sizes)) == 1 and draw.flag() else sizes
    return layer(draw, x, output_size=size, **policy(draw, x))


def _register() -> None:
    for spatial, weight in ((1, 0.8), (2, 1.2), (3, 0.4)):
        for name, form, share in (("{}Pooling", _pool, 1.0), ("Global{}Pooling", _global, 0.7)):
            for kind in ("Max", "Average"):
                target = f"keras.layers.{name.format(kind)}{spatial}D"
                _one(target, form, spatial, weight * share, kind)
        for kind in ("Max", "Average"):
            _one(f"keras.layers.Adaptive{kind}Pooling{spatial}D", _adaptive, spatial, weight * 0.5, kind)


def _one(target: str, form: Any, spatial: int, weight: float, kind: str) -> None:
    rounding = Rounding.EXACT if kind == "Max" else Rounding.COMPOSITE

    @operator(target, family="pooling", rounding=rounding, weight=weight)
    def sampler(draw: Draw) -> Call:
        call: Call = form(draw, spatial)
        return call


_register()
