"""Padding in all modes, negative amounts (cropping) too."""

from __future__ import annotations

from typing import Any

from generators.draw import MAX_ELEMENTS, Call, Draw
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, REAL, complex_too, product
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator


@operator("torch.nn.functional.pad", family="padding", rounding=Rounding.EXACT, weight=3)
def pad(draw: Draw) -> Call:
    mode = draw.choice(("constant", "constant", "reflect", "replicate", "circular"))
    if mode == "constant":
        x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(1, 6))
        count = draw.integer(1, x.rank)
    else:
        # These pad the last one to three dimensions of an unbatched or batched image.
        x = draw.value(dtypes=REAL, ranks=range(2, 6), minimum=1)
        count = draw.choice([spatial for spatial in (1, 2, 3) if spatial + 1 <= x.rank <= spatial + 2])
    pads: list[int] = []
    shape = list(x.shape)
    for axis in range(x.rank - 1, x.rank - 1 - count, -1):
        n = x.shape[axis]
        high = {"reflect": n - 1, "circular": n}.get(mode, 3)
        before, after = (draw.integer(0, min(high, 3)) for _ in range(2))
        # Circular padding of one side and cropping of the other leaves memory uninitialised (torch 2.13).
        if mode != "circular" and n > 2:
            before = -draw.integer(1, (n - 1) // 2) if draw.flag(0.2) else before
            after = -draw.integer(1, (n - 1) // 2) if draw.flag(0.2) else after
        pads += [before, after]
        shape[axis] = n + before + after
    if product(shape) > MAX_ELEMENTS:
        draw.reject("too many elements")
    options: dict[str, Any] = {"mode": mode} if mode != "constant" or draw.flag(0.3) else {}
    if mode == "constant" and draw.flag(0.6):
        options["value"] = draw.scalar(x.dtype)
    return draw.call(x, tuple(pads), **options)
