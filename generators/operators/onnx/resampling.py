"""Images on other grids."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw
from generators.graph import DTYPES, FLOATING
from generators.operators.onnx.common import dtypes, integers, maybe, tensor_of
from generators.operators.onnx.registry import REGISTRY

#: Ratios at which every coordinate is exact in binary, so that rounding to the nearest is no matter of rounding.
_EXACT_SCALES = (0.5, 1.0, 2.0, 2.0, 4.0)
_SCALES = (0.5, 0.6, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
_TRANSFORMATIONS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


@REGISTRY.operator("onnx.Resize", family="resampling", weight=1.5)
def resize(draw: Draw) -> Call:
    mode = draw.weighted({"nearest": 2, "linear": 2, "cubic": 1})
    kinds = [name for name in dtypes(draw, "T1") if name in ("float32", "uint8", "int8", "float16")]
    if mode == "cubic":
        kinds = [name for name in kinds if name in FLOATING]
    ranks = (4,) if mode == "cubic" else (3, 4, 4, 5) if mode == "nearest" else (4, 4, 3)
    x = draw.value(dtypes=kinds, ranks=ranks, minimum=1)
    scales = [1.0, 1.0, *(draw.choice(_EXACT_SCALES if mode == "nearest" else _SCALES) for _ in x.shape[2:])]
    sizes = [int(np.floor(extent * scale)) for extent, scale in zip(x.shape, scales, strict=True)]
    if min(sizes) < 1 or np.prod(sizes) > 4096:
        draw.reject("nothing or too much is left")
    transformations = [name for name in _TRANSFORMATIONS if mode != "nearest" or name in ("half_pixel", "asymmetric")]
    attributes: dict[str, Any] = {"mode": mode} if mode != "nearest" or draw.flag() else {}
    attributes |= maybe(draw, 0.7, coordinate_transformation_mode=draw.choice(transformations))
    if mode == "nearest":
        attributes |= maybe(
            draw, nearest_mode=draw.choice(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
        )
    elif mode == "cubic":
        attributes |= maybe(draw, 0.4, cubic_coeff_a=draw.choice((-0.5, -0.75)), exclude_outside=draw.integer(0, 1))
    if mode != "nearest" and x.dtype == "float32" and draw.flag(0.25):
        attributes["antialias"] = 1
    by_size = draw.flag(0.4) and (
        mode != "nearest"
        or all(size == extent * scale for size, extent, scale in zip(sizes, x.shape, scales, strict=True))
    )
    if draw.flag(0.2):
        attributes["axes"] = tuple(range(2, x.rank))
        scales, sizes = scales[2:], sizes[2:]
    if by_size:
        return draw.call(x, None, None, integers(draw, sizes), **attributes)
    return draw.call(x, None, tensor_of(draw, np.array(scales, np.float32)), **attributes)


def _near(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    return rng.uniform(-1.2, 1.2, shape).astype(DTYPES[dtype])


@REGISTRY.operator("onnx.GridSample", family="resampling")
def grid_sample(draw: Draw) -> Call:
    kinds = [name for name in dtypes(draw, "T1") if name in ("float32", "float64")]
    rank = draw.choice((4, 4, 5))
    x = draw.tensor([draw.integer(1, 2), draw.integer(1, 3), *(draw.integer(2, 5) for _ in range(rank - 2))], kinds)
    grid = draw.tensor((x.shape[0], *(draw.integer(1, 4) for _ in range(rank - 2)), rank - 2), x.dtype, _near)
    modes = ("linear", "nearest", "cubic") if rank == 4 else ("linear", "nearest")
    return draw.call(
        x,
        grid,
        **maybe(
            draw,
            0.7,
            mode=draw.choice(modes),
            padding_mode=draw.choice(("zeros", "border", "reflection")),
            align_corners=draw.integer(0, 1),
        ),
    )


@REGISTRY.operator("onnx.AffineGrid", family="resampling")
def affine_grid(draw: Draw) -> Call:
    kind = draw.choice(dtypes(draw, "T1", within=("float32", "float64")))
    count = draw.choice((2, 2, 3))
    batch = draw.integer(1, 2)
    theta = draw.tensor((batch, count, count + 1), kind)
    size = integers(draw, [batch, draw.integer(1, 3), *(draw.integer(2, 5) for _ in range(count))])
    return draw.call(theta, size, **maybe(draw, align_corners=draw.integer(0, 1)))
