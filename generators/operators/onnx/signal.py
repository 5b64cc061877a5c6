"""Fourier transforms."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.onnx.common import dtypes, maybe, positive, scalar, trimmed
from generators.operators.onnx.registry import REGISTRY


@REGISTRY.operator("onnx.DFT", family="signal")
def dft(draw: Draw) -> Call:
    """Of reals or of complex numbers as pairs; one-sided results are of real signals."""
    kind = draw.choice(dtypes(draw, "T1", within=("float32", "float64")))
    real = draw.flag()
    lead = [draw.integer(1, 3)] if draw.flag() else []
    shape = [draw.integer(1, 2), *lead, draw.integer(2, 8), 1 if real else 2]
    x = draw.tensor(shape, kind)
    attributes: dict[str, Any] = {}
    if real and draw.flag():
        attributes["onesided"] = 1
    elif not real and draw.flag():
        attributes["inverse"] = 1
    length = scalar(draw, draw.integer(2, shape[-2] + 2)) if draw.flag(0.4) else None
    axis = scalar(draw, draw.choice((-2, len(shape) - 2, 1))) if draw.flag() else None
    return draw.call(*trimmed([x, length, axis]), **attributes)


@REGISTRY.operator("onnx.STFT", family="signal")
def stft(draw: Draw) -> Call:
    kind = draw.choice(dtypes(draw, "T1", within=("float32", "float64")))
    length, frame = draw.integer(8, 20), draw.integer(3, 8)
    x = draw.tensor((draw.integer(1, 2), length, 1), kind)
    window: Handle | None = draw.tensor((frame,), kind, positive(0.1, 1.0)) if draw.flag(0.6) else None
    size = scalar(draw, frame) if window is None or draw.flag() else None
    # Shape inference of onnx takes the default, 1, for 0, and every node behind complains of it.
    attributes = maybe(draw, 0.99, onesided=draw.integer(0, 1))
    return draw.call(*trimmed([x, scalar(draw, draw.integer(1, 4)), window, size]), **attributes)
