"""Complex numbers: making them, taking them apart, and Fourier transforms."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw
from generators.graph import DType
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import magnitudes, moderate

operator = REGISTRY.operator


@operator("tf.complex", family="complex", rounding=Rounding.EXACT, weight=0.5)
def complex_(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32",))
    return draw.call(x, draw.like(x))


@operator("tf.math.real", "tf.math.imag", "tf.math.conj", family="complex", rounding=Rounding.EXACT, weight=0.3)
def parts(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=("complex64",)))


@operator("tf.math.angle", family="complex", weight=0.2)
def angle(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=("complex64",), otherwise=magnitudes(0.1, 5.0)))


@operator("tf.raw_ops.ComplexAbs", family="complex", weight=0.2)
def magnitude(draw: Draw) -> Call:
    return draw.call(x=draw.value(dtypes=("complex64",)), Tout=DType("float32"))


@operator("tf.signal.rfft", family="complex", weight=0.3)
def rfft(draw: Draw) -> Call:
    """Of the last axis, cut or padded with zeros to a length."""
    x = draw.value(
        dtypes=("float32",), ranks=range(1, 5), minimum=1, where=lambda x: draw.nonfinite or moderate(x, 1e6)
    )
    kwargs: dict[str, Any] = {"fft_length": (draw.integer(2, 10),)} if draw.flag(0.4) else {}
    return draw.call(x, **kwargs)


@operator("tf.signal.fft", "tf.signal.ifft", family="complex", weight=0.2)
def fft(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=("complex64",), ranks=range(1, 5), minimum=1, where=lambda x: moderate(x, 1e6)))
