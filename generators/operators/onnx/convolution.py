"""Convolutions: plain, transposed, of integers, quantized, deformable; their way back from columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.operators.onnx.common import dtypes, floating, given, integers, maybe, tensor_of, trimmed, weights
from generators.operators.onnx.registry import REGISTRY
from generators.operators.shapes import largest_kernel, transposed, windows

_CONVOLVED = (3, 4, 4, 4, 5)


class Windows:
    """The geometry of windows over the spatial extents of an input: kernel, strides, dilations, pads; what is not
    the default as attributes."""

    def __init__(
        self, draw: Draw, spatial: tuple[int, ...], *, dilated: bool = True, below_kernel: bool = False
    ) -> None:
        count = len(spatial)
        self.dilations = [draw.integer(1, 2) if dilated and draw.flag(0.3) else 1 for _ in range(count)]
        self.strides = [draw.integer(1, 3) if draw.flag(0.5) else 1 for _ in range(count)]
        self.auto = draw.weighted({"": 6, "SAME_UPPER": 1, "SAME_LOWER": 1, "VALID": 0.7})
        self.pads = [draw.integer(0, 2) if draw.flag(0.4) and not self.auto else 0 for _ in range(2 * count)]
        self.kernel = []
        for axis, extent in enumerate(spatial):
            padding = self.pads[axis] + self.pads[axis + count]
            room = extent + padding if not self.auto.startswith("SAME") else max(extent, 3)
            self.kernel.append(draw.integer(1, max(1, min(largest_kernel(room, self.dilations[axis]), 3))))
            if below_kernel:
                # A window that lies in the padding altogether has no greatest element and no average.
                most = self.kernel[-1] - 1
                for side in (axis, axis + count):
                    self.pads[side] = min(self.pads[side], most)
        if self.auto.startswith("SAME"):
            # With dilations the padding of SAME is told differently in different places.
            self.dilations = [1] * count
            # Where the stride exceeds the kernel, the formula for the padding gives a negative number.
            self.strides = [min(stride, size) for stride, size in zip(self.strides, self.kernel, strict=True)]
        for axis, extent in enumerate(spatial):
            padding = self.pads[axis] + self.pads[axis + count]
            if (
                not self.auto.startswith("SAME")
                and windows(extent, self.kernel[axis], 1, self.dilations[axis], padding) < 1
            ):
                draw.reject("the kernel does not fit")

    def attributes(self, draw: Draw, *, kernel: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if kernel:
            found["kernel_shape"] = tuple(self.kernel)
        for name, values, default in (("strides", self.strides, 1), ("dilations", self.dilations, 1)):
            if any(value != default for value in values) or draw.flag(0.2):
                found[name] = tuple(values)
        if self.auto:
            found["auto_pad"] = self.auto
        elif any(self.pads) or draw.flag(0.2):
            found["pads"] = tuple(self.pads)
        return found


def _image(draw: Draw, kinds: tuple[str, ...], ranks: tuple[int, ...] = _CONVOLVED) -> Handle:
    x = draw.value(dtypes=kinds, ranks=ranks, minimum=1)
    if x.size > 2048:
        draw.reject("too many elements")
    return x


def _group(draw: Draw, channels: int) -> int:
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    return 1 if draw.flag(0.6) else draw.choice(divisors)


@REGISTRY.operator("onnx.Conv", family="convolution", weight=2.5)
def conv(draw: Draw) -> Call:
    x = _image(draw, dtypes(draw))
    shape = Windows(draw, x.shape[2:])
    group = _group(draw, x.shape[1])
    filters = group * draw.integer(1, 3)
    w = weights(draw, (filters, x.shape[1] // group, *shape.kernel), x.dtype)
    bias = [weights(draw, (filters,), x.dtype)] if draw.flag() else []
    attributes = shape.attributes(draw, kernel=draw.flag())
    return draw.call(x, w, *bias, **attributes, **given({"group": group}, group > 1))


@REGISTRY.operator("onnx.ConvTranspose", family="convolution", weight=1.5)
def conv_transpose(draw: Draw) -> Call:
    x = _image(draw, dtypes(draw))
    spatial = x.shape[2:]
    count = len(spatial)
    kernel = [draw.integer(1, 3) for _ in spatial]
    strides = [draw.integer(1, 3) if draw.flag() else 1 for _ in spatial]
    dilations = [draw.integer(1, 2) if draw.flag(0.3) else 1 for _ in spatial]
    # ONNX Runtime wants it below the stride, whatever the dilation.
    extra = [draw.integer(0, stride - 1) if draw.flag(0.3) else 0 for stride in strides]
    pads = [draw.integer(0, 1) if draw.flag(0.4) else 0 for _ in range(2 * count)]
    for axis, extent in enumerate(spatial):
        # Extents of the result before and after it is cut.
        whole = transposed(extent, kernel[axis], strides[axis], dilations[axis], 0, extra[axis])
        if whole - pads[axis] - pads[axis + count] < 1:
            draw.reject("nothing is left")
    group = _group(draw, x.shape[1])
    w = weights(draw, (x.shape[1], draw.integer(1, 3), *kernel), x.dtype)
    bias = [weights(draw, (w.shape[1] * group,), x.dtype)] if draw.flag() else []
    attributes: dict[str, Any] = {"group": group} if group > 1 else {}
    for name, values, default in (
        ("strides", strides, 1),
        ("dilations", dilations, 1),
        ("output_padding", extra, 0),
        ("pads", pads, 0),
    ):
        if any(value != default for value in values):
            attributes[name] = tuple(values)
    return draw.call(x, w, *bias, **attributes)


@REGISTRY.operator("onnx.ConvInteger", family="convolution")
def conv_integer(draw: Draw) -> Call:
    x = _image(draw, dtypes(draw, "T1"), (3, 4, 4))
    shape = Windows(draw, x.shape[2:])
    group = _group(draw, x.shape[1])
    filters = group * draw.integer(1, 2)
    w = draw.tensor(
        (filters, x.shape[1] // group, *shape.kernel), dtypes(draw, "T2"), constant=draw.flag(0.85), reuse=False
    )
    left = _zero(draw, x.dtype) if draw.flag(0.7) else None
    right = _zero(draw, w.dtype) if left is not None and draw.flag(0.6) else None
    attributes = shape.attributes(draw, kernel=draw.flag())
    return draw.call(*trimmed([x, w, left, right]), **attributes, **given({"group": group}, group > 1))


@REGISTRY.operator("onnx.QLinearConv", family="convolution")
def quantized_conv(draw: Draw) -> Call:
    x = _image(draw, ("uint8", "int8"), (3, 4, 4))
    shape = Windows(draw, x.shape[2:])
    group = _group(draw, x.shape[1])
    filters = group * draw.integer(1, 2)
    w = draw.tensor(
        (filters, x.shape[1] // group, *shape.kernel),
        ("int8", "uint8") if x.dtype == "uint8" else "int8",
        constant=True,
    )
    each = filters if draw.flag() else None
    scales = tensor_of(
        draw,
        np.array([draw.real(0.01, 0.2) for _ in range(each or 1)], np.float32).reshape(() if each is None else (each,)),
        constant=True,
    )
    # The zero points of the weights agree: for each channel it is one of the same.
    zero = 0 if w.dtype == "int8" and each else int(_zero(draw, w.dtype, keep=False).array)
    zeros = tensor_of(draw, np.full(() if each is None else (each,), zero, w.dtype), constant=True)
    inputs = [x, _scale(draw), _zero(draw, x.dtype), w, scales, zeros, _scale(draw, 0.5, 20.0), _zero(draw, x.dtype)]
    if draw.flag():
        inputs.append(
            draw.tensor(
                (filters,), "int32", lambda rng, shape, dtype: rng.integers(-99, 99, shape).astype(dtype), constant=True
            )
        )
    attributes = shape.attributes(draw, kernel=draw.flag())
    return draw.call(*inputs, **attributes, **given({"group": group}, group > 1))


def _zero(draw: Draw, dtype: str, *, keep: bool = True) -> Handle:
    low, high = (0, 255) if dtype == "uint8" else (-128, 127)
    handle = tensor_of(draw, np.array(draw.integer(low, high) if draw.flag(0.7) else 0, dtype))
    if not keep:
        draw.forget(handle)
    return handle


def _scale(draw: Draw, low: float = 0.01, high: float = 0.2) -> Handle:
    return tensor_of(draw, np.array(draw.real(low, high), np.float32))


@REGISTRY.operator("onnx.DeformConv", family="convolution")
def deformable(draw: Draw) -> Call:
    kind = draw.choice(floating(draw))
    x = draw.tensor((draw.integer(1, 2), 2 * draw.integer(1, 2), draw.integer(3, 6), draw.integer(3, 6)), kind)
    shape = Windows(draw, x.shape[2:])
    if shape.auto:
        draw.reject("it has no automatic padding")
    group, offset_group = draw.integer(1, 2), draw.integer(1, 2)
    out = [
        windows(
            x.shape[2 + axis],
            shape.kernel[axis],
            shape.strides[axis],
            shape.dilations[axis],
            shape.pads[axis] + shape.pads[axis + 2],
        )
        for axis in range(2)
    ]
    w = weights(draw, (group * draw.integer(1, 2), x.shape[1] // group, *shape.kernel), kind)
    area = shape.kernel[0] * shape.kernel[1] * offset_group
    offset = draw.tensor((x.shape[0], 2 * area, *out), kind, "typical")
    bias = weights(draw, w.shape[:1], kind) if draw.flag() else None
    mask = draw.tensor((x.shape[0], area, *out), kind, "fractions") if draw.flag() else None
    attributes = shape.attributes(draw, kernel=draw.flag())
    return draw.call(
        *trimmed([x, w, offset, bias, mask]), **attributes, **maybe(draw, 1.0, group=group, offset_group=offset_group)
    )


@REGISTRY.operator("onnx.Col2Im", family="convolution")
def columns(draw: Draw) -> Call:
    spatial = [draw.integer(2, 5) for _ in range(2)]
    shape = Windows(draw, tuple(spatial))
    if shape.auto:
        draw.reject("it has no automatic padding")
    places = 1
    for axis, extent in enumerate(spatial):
        padding = shape.pads[axis] + shape.pads[axis + 2]
        places *= windows(extent, shape.kernel[axis], shape.strides[axis], shape.dilations[axis], padding)
    area = shape.kernel[0] * shape.kernel[1]
    x = draw.tensor(
        (draw.integer(1, 2), draw.integer(1, 3) * area, places), dtypes(draw, within=("float32", "float64", "int32"))
    )
    return draw.call(x, integers(draw, spatial), integers(draw, shape.kernel), **shape.attributes(draw, kernel=False))
