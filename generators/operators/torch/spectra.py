"""Fourier transforms of one, two and all dimensions, and what shifts their results."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.registry import Rounding
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
_COMPLEX = ("complex64",)
_REAL = ("float32", "float32", "float64")
_NORMS = ("forward", "backward", "ortho")


def _signal(draw: Draw, *, real: bool, ranks: range = range(1, 5)) -> Handle:
    """Small enough for sums of products. A complex one is at hand seldom, so that few graphs have complex inputs."""
    dtypes = _REAL if real or not draw.flag(0.4) else _COMPLEX
    return draw.value(
        dtypes=dtypes,
        ranks=ranks,
        minimum=1,
        where=lambda x: x.size <= 512 and (x.dtype == "complex64" or draw.nonfinite or x.within(-1e4, 1e4)),
    )


def _options(draw: Draw) -> dict[str, Any]:
    return {"norm": draw.choice(_NORMS)} if draw.flag() else {}


@operator("torch.fft.fft", "torch.fft.ifft", family="fft", weight=0.15)
def one(draw: Draw) -> Call:
    x = _signal(draw, real=False)
    axis = draw.axis(x.rank)
    count = draw.integer(1, x.shape[axis] + 2) if draw.flag(0.3) else None
    return draw.call(x, n=count, dim=axis, **_options(draw))


@operator("torch.fft.rfft", "torch.fft.ihfft", family="fft", weight=0.15)
def of_real(draw: Draw) -> Call:
    x = _signal(draw, real=True)
    axis = draw.axis(x.rank)
    count = draw.integer(1, x.shape[axis] + 2) if draw.flag(0.3) else None
    return draw.call(x, n=count, dim=axis, **_options(draw))


@operator("torch.fft.irfft", "torch.fft.hfft", family="fft", weight=0.1)
def to_real(draw: Draw) -> Call:
    """Of what is real at the ends, as a spectrum is, since the rest of it is not looked at by all implementations: a
    real tensor is."""
    x = _signal(draw, real=True)
    axis = draw.axis(x.rank)
    return draw.call(x, n=draw.integer(2, 2 * x.shape[axis] + 1), dim=axis, **_options(draw))


@operator(
    "torch.fft.fft2",
    "torch.fft.ifft2",
    "torch.fft.fftn",
    "torch.fft.ifftn",
    "torch.fft.rfft2",
    family="fft",
    weight=0.08,
)
def several(draw: Draw) -> Call:
    x = _signal(draw, real=draw.target.endswith("rfft2"), ranks=range(2, 5))
    if draw.target[-1] == "n" and draw.flag(0.3):
        return draw.call(x, **_options(draw))
    return draw.call(x, dim=draw.axes(x.rank, 2, 2), **_options(draw))


@operator("torch.fft.fftshift", "torch.fft.ifftshift", family="fft", rounding=Rounding.EXACT, weight=0.12)
def shifted(draw: Draw) -> Call:
    x = draw.value(dtypes=(*_REAL, "int64", "bool"), ranks=range(1, 5), minimum=1)
    return draw.call(x, dim=draw.axes(x.rank)) if draw.flag(0.7) else draw.call(x)


@operator("torch.fft.fftfreq", "torch.fft.rfftfreq", family="fft", weight=0.05)
def frequencies(draw: Draw) -> Call:
    return draw.call(draw.integer(2, 9), d=draw.choice((1.0, 0.5, 0.1)))
