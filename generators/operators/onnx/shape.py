"""Shapes: views, transposition, joining, cutting, padding, repetition, and what tells of shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw
from generators.operators.onnx.common import USUAL, dtypes, given, integers, maybe, scalar, trimmed
from generators.operators.onnx.registry import REGISTRY
from generators.operators.registry import Rounding
from generators.selectors import lengths

EXACT = Rounding.EXACT


@REGISTRY.operator("onnx.Identity", family="identity", rounding=EXACT, weight=0.5)
def identity(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=USUAL))


@REGISTRY.operator("onnx.Reshape", family="shape", rounding=EXACT, weight=1.5)
def reshape(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    target = _factors(draw, x.size) if x.size else [0, *[draw.integer(1, 3)] * draw.integer(0, 2)]
    attributes: dict[str, Any] = {}
    if not x.size:
        attributes["allowzero"] = 1
    elif target and draw.flag(0.4):
        target[draw.integer(0, len(target) - 1)] = -1
    elif draw.flag(0.3):
        # Zero stands for the extent at the same place.
        target = [0 if place < x.rank and x.shape[place] == extent else extent for place, extent in enumerate(target)]
    return draw.call(x, integers(draw, target), **attributes)


def _factors(draw: Draw, size: int) -> list[int]:
    found: list[int] = []
    while size > 1 and len(found) < 5 and draw.flag(0.75):
        divisor = draw.choice([n for n in range(1, min(size, 12) + 1) if size % n == 0])
        found.append(divisor)
        size //= divisor
    if size > 1 or draw.flag(0.3):
        found.insert(draw.integer(0, len(found)), size)
    return found


@REGISTRY.operator("onnx.Transpose", family="shape", rounding=EXACT, weight=2.0)
def transpose(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 6))
    return draw.call(x) if draw.flag(0.2) else draw.call(x, perm=draw.permutation(x.rank))


@REGISTRY.operator("onnx.Squeeze", family="shape", rounding=EXACT)
def squeeze(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 6), where=lambda handle: 1 in handle.shape)
    ones = [axis for axis, extent in enumerate(x.shape) if extent == 1]
    if draw.flag(0.3):
        return draw.call(x)
    chosen = [axis - x.rank if draw.flag() else axis for axis in ones if draw.flag(0.7)] or ones[:1]
    return draw.call(x, integers(draw, chosen))


@REGISTRY.operator("onnx.Unsqueeze", family="shape", rounding=EXACT)
def unsqueeze(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(5))
    count = draw.integer(1, 2)
    return draw.call(x, integers(draw, draw.axes(x.rank + count, low=count, high=count)))


@REGISTRY.operator("onnx.Flatten", family="shape", rounding=EXACT)
def flatten(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 6))
    return draw.call(x, **maybe(draw, 0.7, axis=draw.integer(-x.rank, x.rank)))


@REGISTRY.operator("onnx.Expand", family="shape", rounding=EXACT)
def expand(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    shape = draw.broadcast_shape(x.shape)
    if math.prod(np.broadcast_shapes(shape, x.shape)) > MAX_ELEMENTS:
        draw.reject("too many elements")
    return draw.call(x, integers(draw, shape))


@REGISTRY.operator("onnx.Tile", family="shape", rounding=EXACT)
def tile(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5))
    repeats = [draw.choice((0, 1, 1, 1, 2, 3)) if draw.flag(0.3) else draw.integer(1, 2) for _ in x.shape]
    if x.size * math.prod(repeats) > MAX_ELEMENTS:
        draw.reject("too many elements")
    return draw.call(x, integers(draw, repeats))


@REGISTRY.operator("onnx.Concat", family="shape", rounding=EXACT, weight=1.5)
def concat(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5))
    axis = draw.axis(x.rank)
    parts = [x]
    for _ in range(draw.integer(0, 2)):
        shape = list(x.shape)
        shape[axis] = draw.integer(0 if draw.flag(0.05) else 1, 4)
        parts.append(x if draw.flag(0.1) else draw.tensor(shape, x.dtype))
    return draw.call(*parts, axis=axis)


@REGISTRY.operator("onnx.Split", family="shape", rounding=EXACT, weight=1.5)
def split(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank)
    extent = x.shape[axis]
    count = draw.integer(1, min(extent, 4))
    attributes: dict[str, Any] = {"axis": axis} if axis or draw.flag() else {}
    if draw.flag():
        # The last part is smaller where the extent is no multiple; none may be empty.
        if -(-extent // count) * (count - 1) >= extent:
            count = 1
        return draw.call(x, num_outputs=count, outputs=count, **attributes)
    cuts = sorted(draw.integer(0, extent) for _ in range(count - 1))
    sizes = [after - before for before, after in zip([0, *cuts], [*cuts, extent], strict=True)]
    return draw.call(x, integers(draw, sizes), outputs=count, **attributes)


@REGISTRY.operator("onnx.Slice", family="shape", rounding=EXACT, weight=1.5)
def slices(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 6))
    axes = draw.axes(x.rank)
    every = draw.flag(0.2)
    axes = tuple(range(x.rank)) if every else axes
    starts, ends, steps = [], [], []
    for axis in axes:
        extent = x.shape[axis]
        step = draw.choice((1, 1, 1, 2, 3, -1, -2))
        first, last = sorted((draw.integer(0, extent), draw.integer(0, extent)))
        if step < 0:
            first, last = last, first - 1
        start = first - extent if draw.flag(0.3) and first < extent else first
        end = draw.choice((2**63 - 1, 2**31 - 1)) if last == extent and step > 0 and draw.flag() else last
        if step < 0 and last < 0:
            end = draw.choice((-(2**63), -extent - 1))
        starts.append(start)
        ends.append(end)
        steps.append(step)
    kind = "int32" if max(map(abs, ends)) < 2**31 and draw.flag(0.2) else "int64"
    places = None if every and draw.flag() else integers(draw, axes, kind)
    strides = None if all(step == 1 for step in steps) and draw.flag() else integers(draw, steps, kind)
    return draw.call(*trimmed([x, integers(draw, starts, kind), integers(draw, ends, kind), places, strides]))


@REGISTRY.operator("onnx.Pad", family="padding", rounding=EXACT, weight=1.5)
def pad(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    mode = draw.weighted({"constant": 3, "reflect": 1, "edge": 1, "wrap": 1})
    axes = draw.axes(x.rank) if draw.flag(0.3) else None
    places = range(x.rank) if axes is None else axes
    amounts: list[tuple[int, int]] = []
    for axis in places:
        extent = x.shape[axis]
        high = min(extent - 1, 3) if mode == "reflect" else min(extent, 3)
        # Negative amounts cut off, and leave at least one element.
        low = -((extent - 1) // 2) if draw.flag(0.15) and mode == "constant" else 0
        amounts.append((draw.integer(low, high), draw.integer(low, high)) if draw.flag(0.7) else (0, 0))
    pads = integers(draw, [before for before, _ in amounts] + [after for _, after in amounts])
    value = scalar(draw, draw.choice((0, 1, 2)), x.dtype) if mode == "constant" and draw.flag() else None
    where = None if axes is None else integers(draw, axes)
    attributes = {} if mode == "constant" and draw.flag() else {"mode": mode}
    return draw.call(*trimmed([x, pads, value, where]), **attributes)


@REGISTRY.operator("onnx.CenterCropPad", family="padding", rounding=EXACT)
def center(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    axes = draw.axes(x.rank) if draw.flag() else None
    shape = [draw.integer(1, x.shape[axis] + 3) for axis in (range(x.rank) if axes is None else axes)]
    return draw.call(x, integers(draw, shape), **given({"axes": axes}, axes is not None))


@REGISTRY.operator("onnx.DepthToSpace", family="shape", rounding=EXACT)
def depth_to_space(draw: Draw) -> Call:
    block = draw.integer(1, 3)
    shape = (draw.integer(1, 2), draw.integer(1, 3) * block**2, draw.integer(1, 4), draw.integer(1, 4))
    return draw.call(draw.tensor(shape, dtypes(draw)), blocksize=block, **maybe(draw, mode=draw.choice(("DCR", "CRD"))))


@REGISTRY.operator("onnx.SpaceToDepth", family="shape", rounding=EXACT)
def space_to_depth(draw: Draw) -> Call:
    block = draw.integer(1, 3)
    shape = (draw.integer(1, 2), draw.integer(1, 3), draw.integer(1, 3) * block, draw.integer(1, 3) * block)
    return draw.call(draw.tensor(shape, dtypes(draw)), blocksize=block)


@REGISTRY.operator("onnx.Shape", family="shape", rounding=EXACT)
def shape_of(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    return draw.call(x, **maybe(draw, 0.3, start=draw.integer(-3, 3), end=draw.integer(-3, 5)))


@REGISTRY.operator("onnx.Size", family="shape", rounding=EXACT, weight=0.5)
def size_of(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=dtypes(draw)))


@REGISTRY.operator("onnx.Trilu", family="shape", rounding=EXACT)
def triangle(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(2, 5))
    inputs = [scalar(draw, draw.integer(-4, 4))] if draw.flag() else []
    return draw.call(x, *inputs, **maybe(draw, upper=draw.integer(0, 1)))


@REGISTRY.operator("onnx.ReverseSequence", family="shape", rounding=EXACT)
def reverse(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(2, 5), minimum=1)
    batch = draw.integer(0, 1)
    counts = lengths(draw, (x.shape[batch],), 1, x.shape[1 - batch])
    return draw.call(x, counts, batch_axis=batch, time_axis=1 - batch)
