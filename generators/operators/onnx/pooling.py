"""Windows and regions: pooling, its inverse, regions of interest."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.onnx.common import dtypes, floating, integers, maybe
from generators.operators.onnx.convolution import Windows
from generators.operators.onnx.registry import REGISTRY
from generators.operators.registry import Rounding

_POOLED = (3, 4, 4, 4, 5)


def _pooled(draw: Draw, kinds: tuple[str, ...]) -> tuple[Handle, Windows, dict[str, Any]]:
    """An image, windows none of which lies in the padding altogether, and attributes."""
    x = draw.value(dtypes=kinds, ranks=_POOLED, minimum=1)
    shape = Windows(draw, x.shape[2:], below_kernel=True)
    attributes = shape.attributes(draw, kernel=True)
    if not shape.auto and draw.flag(0.25):
        attributes["ceil_mode"] = 1
    return x, shape, attributes


@REGISTRY.operator("onnx.MaxPool", family="pooling", rounding=Rounding.EXACT, weight=1.5)
def max_pool(draw: Draw) -> Call:
    """The index is that of the first of equal elements nowhere by the documentation: indices need distinct ones."""
    x, _, attributes = _pooled(draw, dtypes(draw))
    flat = np.sort(x.array.astype(np.float64), axis=None)
    distinct = bool((flat[1:] != flat[:-1]).all())
    if distinct and draw.flag(0.4):
        return draw.call(x, outputs=2, **attributes, **maybe(draw, 0.4, storage_order=1))
    return draw.call(x, **attributes)


@REGISTRY.operator("onnx.AveragePool", family="pooling", weight=1.5)
def average_pool(draw: Draw) -> Call:
    x, _, attributes = _pooled(draw, floating(draw))
    return draw.call(x, **attributes, **maybe(draw, count_include_pad=draw.integer(0, 1)))


@REGISTRY.operator("onnx.LpPool", family="pooling")
def lp_pool(draw: Draw) -> Call:
    x, _, attributes = _pooled(draw, floating(draw))
    return draw.call(x, **attributes, **maybe(draw, p=draw.integer(1, 3)))


@REGISTRY.operator("onnx.GlobalAveragePool", "onnx.GlobalLpPool", family="pooling")
def global_pool(draw: Draw) -> Call:
    x = draw.value(dtypes=floating(draw), ranks=_POOLED, minimum=1)
    return draw.call(x, **(maybe(draw, p=draw.integer(1, 3)) if draw.target.endswith("LpPool") else {}))


@REGISTRY.operator("onnx.GlobalMaxPool", family="pooling", rounding=Rounding.EXACT)
def global_max_pool(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=floating(draw), ranks=_POOLED, minimum=1))


@REGISTRY.operator("onnx.MaxUnpool", family="pooling", rounding=Rounding.EXACT)
def max_unpool(draw: Draw) -> Call:
    """Without padding, with places that are written once."""
    kinds = [name for name in dtypes(draw, "T1") if name in FLOATING]
    extents = (draw.integer(1, 2), draw.integer(1, 2), draw.integer(1, 3), draw.integer(1, 3))
    x = draw.tensor(extents, kinds)
    kernel = [draw.integer(1, 3) for _ in range(2)]
    # Without strides they are ones.
    strides = kernel if draw.flag(0.7) else [1, 1]
    spatial = [(extent - 1) * stride + size for extent, stride, size in zip(extents[2:], strides, kernel, strict=True)]
    total = extents[0] * extents[1] * spatial[0] * spatial[1]
    block = spatial[0] * spatial[1]

    def places(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
        count = shape[2] * shape[3]
        chosen = [np.sort(rng.permutation(block)[:count]) + plane * block for plane in range(shape[0] * shape[1])]
        return np.array(chosen, dtype).reshape(shape)

    inputs = [draw.tensor(extents, "int64", places)]
    if draw.flag(0.3):
        inputs.append(integers(draw, (*extents[:2], *spatial)))
    assert total
    attributes: dict[str, Any] = {"kernel_shape": tuple(kernel)}
    if strides != [1, 1] or draw.flag(0.2):
        attributes["strides"] = tuple(strides)
    return draw.call(x, *inputs, **attributes)


def _regions(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    first = rng.uniform(0, 3, (shape[0], 2))
    return np.concatenate([first, first + rng.uniform(0.6, 4, (shape[0], 2))], -1).astype(dtype)


@REGISTRY.operator("onnx.RoiAlign", family="detection")
def roi_align(draw: Draw) -> Call:
    kind = draw.choice(dtypes(draw, "T1", within=("float32", "float64")))
    x = draw.tensor((draw.integer(1, 2), draw.integer(1, 3), draw.integer(2, 6), draw.integer(2, 6)), kind)
    rois = draw.tensor((draw.integer(1, 3), 4), kind, _regions)
    batch = draw.indices((rois.shape[0],), 0, x.shape[0] - 1)
    attributes = maybe(
        draw,
        output_height=draw.integer(1, 3),
        output_width=draw.integer(1, 3),
        sampling_ratio=draw.integer(0, 3),
        spatial_scale=draw.choice((0.5, 1.0, 0.75)),
        mode=draw.choice(("avg", "max")),
        coordinate_transformation_mode=draw.choice(("half_pixel", "output_half_pixel")),
    )
    return draw.call(x, rois, batch, **attributes)


@REGISTRY.operator("onnx.MaxRoiPool", family="detection", rounding=Rounding.EXACT)
def max_roi_pool(draw: Draw) -> Call:
    """Corners are far from the halves at which they are rounded one way or the other."""
    kind = draw.choice(dtypes(draw, within=("float32",)))
    x = draw.tensor((draw.integer(1, 2), draw.integer(1, 3), draw.integer(3, 6), draw.integer(3, 6)), kind)
    count, images = draw.integer(1, 3), x.shape[0]

    def rois(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
        first = rng.integers(0, 2, (shape[0], 2))
        corners = np.concatenate(
            [rng.integers(0, images, (shape[0], 1)), first, first + rng.integers(1, 3, (shape[0], 2))], -1
        )
        corners = corners.astype(np.float64)
        corners[:, 1:] += rng.uniform(-0.2, 0.2, (shape[0], 4))
        return np.maximum(corners, 0).astype(dtype)

    return draw.call(x, draw.tensor((count, 5), kind, rois), pooled_shape=(draw.integer(1, 3), draw.integer(1, 3)))
