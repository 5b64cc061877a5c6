"""Pooling over one to three dimensions: max, average, power mean and adaptive."""

from __future__ import annotations

import math
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, INTEGRAL
from generators.operators.registry import Rounding
from generators.operators.shapes import largest_kernel
from generators.operators.torch.common import distinct, listed, shuffled
from generators.operators.torch.convolution import dimensions, image
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
F = "torch.nn.functional."


def _without_ties(draw: Draw, x: Handle) -> Handle:
    """``x``, or a value like it, without equal elements: which of equal maxima's indices is returned is not said."""
    if distinct(x.array, None):
        draw.require(x, lambda x: distinct(x.array, None))
        return x
    shape, dtype = x.shape, x.dtype
    draw.forget(x)
    if math.prod(shape) > (200 if dtype in ("bfloat16", "uint8", "int8") else 2000):
        draw.reject("too many elements for distinct ones")
    return draw.tensor(shape, dtype, shuffled(None), reuse=False)


@operator(F + "max_pool1d", F + "max_pool2d", F + "max_pool3d", family="pooling", rounding=Rounding.EXACT)
def max_pool(draw: Draw) -> Call:
    count = dimensions(draw.target)
    x = image(draw, count, dtypes=FLOATING if count == 1 or draw.flag(0.85) else INTEGRAL)
    kernel, padding, dilation = [], [], []
    for n in x.shape[-count:]:
        dilation.append(draw.weighted({1: 3, 2: 1, 3: 0.5}))
        pad = draw.integer(0, 1)
        kernel.append(
            draw.integer(
                2 if n > dilation[-1] and pad else 1, max(1, min(4, largest_kernel(n + 2 * pad, dilation[-1])))
            )
        )
        padding.append(min(pad, kernel[-1] // 2))
        if largest_kernel(n + 2 * padding[-1], dilation[-1]) < kernel[-1]:
            kernel[-1] = 1
            padding[-1] = 0
    options: dict[str, Any] = {}
    if any(padding):
        options["padding"] = listed(draw, padding)
    if any(step > 1 for step in dilation):
        options["dilation"] = listed(draw, dilation)
    _stride(draw, options, count)
    if draw.flag(0.25):
        x = _without_ties(draw, x)
        options["return_indices"] = True
    return draw.call(x, listed(draw, kernel), **options)


def _stride(draw: Draw, options: dict[str, Any], count: int) -> None:
    if draw.flag(0.7):
        options["stride"] = listed(draw, [draw.integer(1, 3) for _ in range(count)])
    if draw.flag(0.4):
        options["ceil_mode"] = True


_AVERAGED = {1: (*FLOATING, "int64"), 2: (*FLOATING, "int64"), 3: ("float32", "float64", "int64")}


@operator(F + "avg_pool1d", F + "avg_pool2d", F + "avg_pool3d", family="pooling")
def avg_pool(draw: Draw) -> Call:
    count = dimensions(draw.target)
    x = image(draw, count, dtypes=_AVERAGED[count] if draw.flag(0.2) else _AVERAGED[count][:-1])
    kernel, padding = [], []
    for n in x.shape[-count:]:
        pad = draw.integer(0, 1)
        # In three dimensions a kernel may not exceed the input without its padding.
        kernel.append(draw.integer(min(2, n), min(4, n if count == 3 else n + 2 * pad)))
        padding.append(min(pad, kernel[-1] // 2))
    options: dict[str, Any] = {}
    if any(padding):
        options["padding"] = listed(draw, padding)
    _stride(draw, options, count)
    if draw.flag(0.7):
        options["count_include_pad"] = draw.flag(0.25)
    # A divisor of its own leaves nothing of what padding counts for.
    if count > 1 and draw.flag(0.12):
        options["divisor_override"] = draw.choice((1, 2, 3, 7, -2))
    return draw.call(x, listed(draw, kernel), **options)


@operator(F + "lp_pool1d", F + "lp_pool2d", F + "lp_pool3d", family="pooling", weight=0.5)
def lp_pool(draw: Draw) -> Call:
    count = dimensions(draw.target)
    dtypes = FLOATING if count < 3 else ("float32", "float64")
    order = draw.choice((2, 1.0, 2.0, 3.0, 1.5))
    if order in (3.0, 1.5):  # roots of negative sums are NaN
        ranks = (count + 2,) if draw.flag(0.8) else (count + 1,)
        x = draw.bounded(0.0, 20.0, dtypes=dtypes, ranks=ranks, minimum=1)
    else:
        x = image(draw, count, dtypes=dtypes)
    kernel = [draw.integer(1, min(4, n)) for n in x.shape[-count:]]
    options: dict[str, Any] = {}
    _stride(draw, options, count)
    if count == 1:  # takes only plain numbers
        if "stride" in options:
            options["stride"] = draw.integer(1, 3)
        return draw.call(x, order, kernel[0], **options)
    return draw.call(x, order, listed(draw, kernel), **options)


def _output_size(draw: Draw, x: Handle, count: int) -> Any:
    """Extents smaller and larger than the input's; None, which keeps an extent, for two and three dimensions."""
    if draw.flag(0.3):
        return draw.integer(1, 5)
    sizes = [draw.integer(1, min(n + 2, 6)) for n in x.shape[-count:]]
    if count > 1:
        return tuple(None if draw.flag(0.2) else size for size in sizes)
    return sizes[0]


@operator(F + "adaptive_avg_pool1d", F + "adaptive_avg_pool2d", F + "adaptive_avg_pool3d", family="pooling", weight=0.8)
def adaptive_avg_pool(draw: Draw) -> Call:
    count = dimensions(draw.target)
    x = image(draw, count)
    return draw.call(x, _output_size(draw, x, count))


@operator(
    F + "adaptive_max_pool1d",
    F + "adaptive_max_pool2d",
    F + "adaptive_max_pool3d",
    family="pooling",
    rounding=Rounding.EXACT,
    weight=0.7,
)
def adaptive_max_pool(draw: Draw) -> Call:
    count = dimensions(draw.target)
    x = image(draw, count)
    options: dict[str, Any] = {}
    if draw.flag(0.3):
        x = _without_ties(draw, x)
        options["return_indices"] = True
    return draw.call(x, _output_size(draw, x, count), **options)
