"""Spectra: Fourier transforms of two dimensions, windows, cosine transforms, frames added up."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import DType
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import moderate

operator = REGISTRY.operator
S = "tf.signal."


def _real(draw: Draw, ranks: range, *, least: int = 1) -> Handle:
    return draw.value(
        dtypes=("float32",),
        ranks=ranks,
        minimum=1,
        where=lambda x: x.size <= 512 and x.shape[-1] >= least and (draw.nonfinite or moderate(x, 1e4)),
    )


@operator(S + "fft2d", S + "ifft2d", family="signal", weight=0.15)
def two(draw: Draw) -> Call:
    """Of complex numbers at hand: few graphs have any."""
    return draw.call(draw.value(dtypes=("complex64",), ranks=range(2, 5), minimum=1, where=lambda x: moderate(x, 1e4)))


@operator(S + "rfft2d", family="signal", weight=0.2)
def rfft2d(draw: Draw) -> Call:
    x = _real(draw, range(2, 5))
    return draw.call(x, fft_length=(draw.integer(1, 5), draw.integer(2, 6))) if draw.flag(0.4) else draw.call(x)


@operator(S + "fftshift", S + "ifftshift", family="signal", rounding=Rounding.EXACT, weight=0.2)
def shifted(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32", "int32", "float64"), ranks=range(1, 5), minimum=1)
    return draw.call(x, axes=draw.axes(x.rank)) if draw.flag(0.7) else draw.call(x)


@operator(S + "dct", S + "idct", family="signal", weight=0.2)
def cosines(draw: Draw) -> Call:
    """Of types 1 to 4, of which the first needs two elements; a length cuts or pads in one direction."""
    x = _real(draw, range(1, 5), least=2)
    kind = draw.integer(1, 4)
    options: dict[str, Any] = {"type": kind}
    if kind > 1 and draw.flag(0.5):
        options["norm"] = "ortho"
    if draw.target == S + "dct" and draw.flag(0.3):
        options["n"] = draw.integer(2, x.shape[-1] + 2)
    return draw.call(x, **options)


@operator(S + "stft", family="signal", weight=0.2)
def stft(draw: Draw) -> Call:
    x = _real(draw, range(1, 3), least=3)
    length = draw.integer(2, x.shape[-1])
    options: dict[str, Any] = {"fft_length": draw.choice((4, 8))} if draw.flag() and length <= 4 else {}
    if draw.flag(0.3):
        options["pad_end"] = True
    return draw.call(x, length, draw.integer(1, 3), **options)


@operator(S + "overlap_and_add", family="signal", weight=0.2)
def overlapped(draw: Draw) -> Call:
    x = _real(draw, range(2, 5))
    return draw.call(x, draw.integer(1, x.shape[-1]))


@operator(S + "hann_window", S + "hamming_window", S + "kaiser_window", family="signal", weight=0.06)
def window(draw: Draw) -> Call:
    length = draw.integer(2, 9)
    if draw.target == S + "kaiser_window":
        return draw.call(length, beta=draw.choice((12.0, 1.0, 5.0)))
    return draw.call(length, periodic=draw.flag(), dtype=DType(draw.choice(("float32", "float64"))))
