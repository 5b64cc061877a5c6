"""Resizing, sampling on grids, and moving elements between channels and space."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.shapes import largest_kernel, windows
from generators.operators.torch.common import ANY, complex_too, listed, product
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
F = "torch.nn.functional."

_MODES = {
    3: ("nearest", "nearest-exact", "linear", "linear", "area"),
    4: ("nearest", "nearest-exact", "bilinear", "bilinear", "bicubic", "bicubic", "area"),
    5: ("nearest", "nearest-exact", "trilinear", "trilinear", "area"),
}
_SCALES = (2.0, 0.5, 1.5, 3.0, 0.75, 1.3, 0.6, 2.5, 1.0, 4.0)


@operator(F + "interpolate", family="resize", weight=4)
def interpolate(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING if draw.flag(0.93) else ("uint8",), ranks=(3, 4, 5), minimum=1)
    mode = draw.choice(_MODES[x.rank])
    if x.dtype == "uint8" and (mode == "area" or ("linear" in mode and x.rank != 4)):
        mode = "nearest"
    options: dict[str, Any] = {}
    if mode not in ("nearest", "nearest-exact", "area") and draw.flag(0.7):
        options["align_corners"] = draw.flag()
    if mode in ("bilinear", "bicubic") and x.dtype in ("float32", "float64", "uint8") and draw.flag(0.3):
        options["antialias"] = True
    spatial = x.shape[2:]
    if draw.flag():
        sizes = [draw.integer(1, 9) for _ in spatial]
        options["size"] = listed(draw, sizes)
    else:
        scales = [draw.choice(_SCALES if n > 1 else _SCALES[:1] + _SCALES[8:]) for n in spatial]
        if draw.flag(0.4):
            scales = [scales[0]] * len(scales)
        sizes = [math.floor(n * scale) for n, scale in zip(spatial, scales, strict=True)]
        if min(sizes) < 1:
            scales = [max(scale, 1.0) for scale in scales]
            sizes = [math.floor(n * scale) for n, scale in zip(spatial, scales, strict=True)]
        options["scale_factor"] = scales[0] if len(set(scales)) == 1 and draw.flag(0.7) else tuple(scales)
        if draw.flag(0.4):
            options["recompute_scale_factor"] = draw.flag(0.7)
    if x.shape[0] * x.shape[1] * product(sizes) > MAX_ELEMENTS:
        draw.reject("too many elements")
    return draw.call(x, **options, mode=mode)


@operator(F + "grid_sample", family="resize", weight=1.5)
def grid_sample(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=(4, 4, 5), minimum=1)
    spatial = x.rank - 2
    shape = (x.shape[0], *(draw.integer(1, 4) for _ in range(spatial)), spatial)
    if draw.flag(0.5):
        grid = draw.tensor(shape, x.dtype)
    else:
        from_inside = draw.choice(("fractions", "ties", "zeros_and_signs"))
        grid = draw.tensor(shape, x.dtype, from_inside)
    mode = draw.choice(("bilinear", "nearest", "bicubic") if x.rank == 4 else ("bilinear", "nearest"))
    if not grid.within(-1e4, 1e4):  # converting larger coordinates to integers overflows
        draw.reject("coordinates out of range")
    draw.require(grid, lambda grid: grid.within(-1e4, 1e4))
    return draw.call(
        x,
        grid,
        mode=mode,
        padding_mode=draw.choice(("zeros", "border", "reflection")),
        align_corners=draw.flag(),
    )


@operator(F + "affine_grid", family="resize", weight=0.6)
def affine_grid(draw: Draw) -> Call:
    spatial = draw.choice((2, 2, 3))
    batch = draw.integer(1, 3)
    theta = draw.tensor((batch, spatial, spatial + 1), draw.dtype(("float32", "float64")))
    size = (batch, draw.integer(1, 3), *(draw.integer(1, 5) for _ in range(spatial)))
    return draw.call(theta, size, align_corners=draw.flag())


@operator("torch.pixel_shuffle", family="resize", rounding=Rounding.EXACT, weight=0.8)
def pixel_shuffle(draw: Draw) -> Call:
    def fits(x: Handle) -> bool:
        return x.shape[-3] % 4 == 0 or x.shape[-3] == 9

    if draw.flag(0.5):
        x = draw.value(dtypes=complex_too(draw, ANY), ranks=(3, 4, 5), minimum=1, where=fits)
    else:
        shape = (
            *draw.shape((0, 1, 2), minimum=1, maximum=3),
            draw.choice((4, 8, 9)),
            draw.integer(1, 4),
            draw.integer(1, 4),
        )
        x = draw.tensor(shape, draw.dtype(ANY))
    return draw.call(x, 3 if x.shape[-3] == 9 else 2)


@operator("torch.pixel_unshuffle", family="resize", rounding=Rounding.EXACT, weight=0.6)
def pixel_unshuffle(draw: Draw) -> Call:
    factor = draw.choice((2, 2, 3))
    leading = draw.shape((1, 2, 3), minimum=1, maximum=4)
    x = draw.tensor((*leading, factor * draw.integer(1, 3), factor * draw.integer(1, 3)), draw.dtype(ANY))
    return draw.call(x, factor)


@operator("torch.channel_shuffle", family="resize", rounding=Rounding.EXACT, weight=0.6)
def channel_shuffle(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY, ranks=(3, 4, 5), minimum=1, where=lambda x: x.shape[1] > 2)
    return draw.call(x, draw.choice([count for count in range(1, x.shape[1] + 1) if x.shape[1] % count == 0]))


def _listed(draw: Draw, options: dict[str, list[int]]) -> dict[str, Any]:
    return {name: listed(draw, values) for name, values in options.items()}


@operator(F + "unfold", family="patches", rounding=Rounding.EXACT, weight=1.2)
def unfold(draw: Draw) -> Call:
    x = draw.value(dtypes=(*FLOATING, "bool"), ranks=(3, 4), minimum=1)
    dilation = [draw.weighted({1: 3, 2: 1, 3: 0.5}) for _ in range(2)]
    padding = [draw.integer(0, 2) for _ in range(2)]
    stride = [draw.integer(1, 3) for _ in range(2)]
    room = [n + 2 * pad for n, pad in zip(x.shape[-2:], padding, strict=True)]
    kernel = [draw.integer(1, min(3, largest_kernel(n, step))) for n, step in zip(room, dilation, strict=True)]
    count = product([windows(*each) for each in zip(room, kernel, stride, dilation, strict=True)])
    if count * product(kernel) * product(x.shape[:-2]) > MAX_ELEMENTS:
        draw.reject("too many elements")
    options = {"dilation": dilation, "padding": padding, "stride": stride}
    return draw.call(x, listed(draw, kernel), **_listed(draw, options))


@operator(F + "fold", family="patches", weight=0.8)
def fold(draw: Draw) -> Call:
    size = [draw.integer(1, 7) for _ in range(2)]
    dilation = [draw.weighted({1: 3, 2: 1}) for _ in range(2)]
    padding = [draw.integer(0, 2) for _ in range(2)]
    stride = [draw.integer(1, 3) for _ in range(2)]
    room = [n + 2 * pad for n, pad in zip(size, padding, strict=True)]
    kernel = [draw.integer(1, min(3, largest_kernel(n, step))) for n, step in zip(room, dilation, strict=True)]
    count = product([windows(*each) for each in zip(room, kernel, stride, dilation, strict=True)])
    leading = (draw.integer(1, 2),) if draw.flag(0.8) else ()
    x = draw.tensor((*leading, draw.integer(1, 3) * product(kernel), count), draw.dtype(FLOATING))
    options = {"dilation": dilation, "padding": padding, "stride": stride}
    return draw.call(x, tuple(size), listed(draw, kernel), **_listed(draw, options))
