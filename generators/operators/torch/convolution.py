"""Convolution and transposed convolution over one to three dimensions."""

from __future__ import annotations

from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.shapes import largest_kernel, transposed
from generators.operators.torch.common import listed, product
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
F = "torch.nn.functional."


def dimensions(target: str) -> int:
    """The number of spatial dimensions in a name such as ``conv2d``."""
    return int(target[-2])


def image(draw: Draw, spatial: int, *, dtypes: tuple[str, ...] = FLOATING, unbatched: bool = True) -> Handle:
    """A value ``(N, C, *spatial)`` or, with ``unbatched``, sometimes ``(C, *spatial)``; no empty dimension."""
    ranks = (spatial + 2,) if not unbatched or draw.flag(0.8) else (spatial + 1,)
    return draw.value(dtypes=dtypes, ranks=ranks, minimum=1)


def grouping(draw: Draw, channels: int) -> int:
    """A number of groups that divides the channels: one, all (depthwise) or any between."""
    fraction = draw.choices.fraction()
    if fraction < 0.5:
        return 1
    if fraction < 0.75:
        return channels
    return draw.choice([count for count in range(1, channels + 1) if channels % count == 0])


def _bias(draw: Draw, options: dict[str, Any], channels: int, dtype: str) -> None:
    if draw.flag(0.6):
        options["bias"] = draw.tensor((channels,), dtype, constant=True if draw.flag(0.7) else None)


@operator(F + "conv1d", F + "conv2d", F + "conv3d", family="convolution", weight=1.6)
def convolution(draw: Draw) -> Call:
    count = dimensions(draw.target)
    x = image(draw, count, dtypes=FLOATING if draw.flag(0.95) else ("int64",))
    spatial = x.shape[-count:]
    channels = x.shape[-count - 1]
    groups = grouping(draw, channels)
    produced = groups * draw.integer(1, max(1, 6 // groups))
    options: dict[str, Any] = {}
    dilation = [draw.weighted({1: 3, 2: 1.5, 3: 0.7}) for _ in spatial]
    fraction = draw.choices.fraction()
    if fraction < 0.2:
        options["padding"] = "same"
        kernel = [draw.integer(1, 4) for _ in spatial]
    else:
        padding = [0] * count if fraction < 0.4 else [draw.integer(0, 3) for _ in spatial]
        room = [n + 2 * pad for n, pad in zip(spatial, padding, strict=True)]
        kernel = [draw.integer(1, min(4, largest_kernel(n, step))) for n, step in zip(room, dilation, strict=True)]
        if fraction < 0.3:
            options["padding"] = "valid"
        elif any(padding):
            options["padding"] = listed(draw, padding)
        if draw.flag(0.6):
            options["stride"] = listed(draw, [draw.integer(1, 3) for _ in spatial])
    if x.dtype == "float16":
        # oneDNN crashes (torch 2.13, CPUs with AMX) on a dilated kernel of one element in float16: it reads past
        # the input when a stride steps over it. Dilation means nothing to a single element.
        dilation = [step if size > 1 else 1 for step, size in zip(dilation, kernel, strict=True)]
    if any(step > 1 for step in dilation) or draw.flag(0.2):
        options["dilation"] = listed(draw, dilation)
    if groups > 1 or draw.flag(0.1):
        options["groups"] = groups
    shape = (produced, channels // groups, *kernel)
    if product(shape) > MAX_ELEMENTS // 4 or produced * product(room_of(spatial, options)) > MAX_ELEMENTS:
        draw.reject("too many elements")
    weight = draw.tensor(shape, x.dtype, constant=True if draw.flag(0.7) else None)
    _bias(draw, options, produced, x.dtype)
    return draw.call(x, weight, **options)


def room_of(spatial: tuple[int, ...], options: dict[str, Any]) -> tuple[int, ...]:
    """The spatial extents with padding: no output has more."""
    padding = options.get("padding", 0)
    if isinstance(padding, str):
        return spatial
    pads = (padding,) * len(spatial) if isinstance(padding, int) else padding
    return tuple(n + 2 * pad for n, pad in zip(spatial, pads, strict=True))


@operator(F + "conv_transpose1d", F + "conv_transpose2d", F + "conv_transpose3d", family="convolution", weight=1.2)
def transposed_convolution(draw: Draw) -> Call:
    count = dimensions(draw.target)
    x = image(draw, count)
    spatial = x.shape[-count:]
    channels = x.shape[-count - 1]
    groups = grouping(draw, channels)
    per_group = draw.integer(1, max(1, 4 // groups))
    kernel, stride, dilation, padding, extra = [], [], [], [], []
    extents = []
    for n in spatial:
        kernel.append(draw.integer(1, 3))
        stride.append(draw.integer(1, 3))
        dilation.append(draw.weighted({1: 3, 2: 1}))
        extra.append(draw.integer(0, max(stride[-1], dilation[-1]) - 1) if draw.flag(0.5) else 0)
        whole = transposed(n, kernel[-1], stride[-1], dilation[-1], 0, extra[-1])
        padding.append(draw.integer(0, min(2, (whole - 1) // 2)))
        extents.append(whole - 2 * padding[-1])
    batch = x.shape[0] if x.rank == count + 2 else 1
    if batch * groups * per_group * product(extents) > MAX_ELEMENTS:  # then nothing is spread out
        stride, dilation, extra, padding = ([1] * count, [1] * count, [0] * count, [0] * count)
        kernel = [min(size, 2) for size in kernel]
        if batch * groups * per_group * product([n + 1 for n in spatial]) > 2 * MAX_ELEMENTS:
            draw.reject("too many elements")
    options: dict[str, Any] = {}
    for name, values, usual in (
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("output_padding", extra, 0),
        ("dilation", dilation, 1),
    ):
        if any(value != usual for value in values) or draw.flag(0.1):
            options[name] = listed(draw, values)
    if groups > 1 or draw.flag(0.1):
        options["groups"] = groups
    weight = draw.tensor((channels, per_group, *kernel), x.dtype, constant=True if draw.flag(0.7) else None)
    _bias(draw, options, groups * per_group, x.dtype)
    return draw.call(x, weight, **options)
