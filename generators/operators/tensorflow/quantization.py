"""Quantization simulated in floats."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, spread
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import WIDE_FLOATING, no_nan

operator = REGISTRY.operator


def _levels(draw: Draw) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"num_bits": draw.choice((8, 8, 4, 16, 2, 7))} if draw.flag() else {}
    if draw.flag():
        kwargs["narrow_range"] = draw.flag()
    return kwargs


@operator("tf.quantization.fake_quant_with_min_max_args", family="quantization", weight=0.6)
def fake_quant_args(draw: Draw) -> Call:
    """Not over a symmetric range, nor the default, which is one: its zero point is a tie, half of an odd number of
    steps, and which way float32 and double round that is not a defect of either."""
    x = draw.value(dtypes=("float32",), where=no_nan)
    low, high = draw.choice(((-5.5, 6.0), (-1.0, 1.5), (0.0, 6.0), (-3.5, 1.25), (-0.1, 10.0)))
    return draw.call(x, low, high, **_levels(draw))


@operator("tf.quantization.fake_quant_with_min_max_vars", family="quantization", weight=0.4)
def fake_quant_vars(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32",), where=no_nan)
    low = draw.tensor((), "float32", spread(-6.0, -0.1))
    return draw.call(x, low, draw.tensor((), "float32", spread(0.1, 6.0)), **_levels(draw))


@operator("tf.quantization.fake_quant_with_min_max_vars_per_channel", family="quantization", weight=0.4)
def fake_quant_channels(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32",), ranks=range(1, 5), minimum=1, where=no_nan)
    low = draw.tensor(x.shape[-1:], "float32", spread(-6.0, -0.1))
    return draw.call(x, low, draw.tensor(x.shape[-1:], "float32", spread(0.1, 6.0)), **_levels(draw))


@operator("tf.quantization.quantize_and_dequantize_v2", family="quantization", weight=0.3)
def quantize_and_dequantize(draw: Draw) -> Call:
    x = draw.value(dtypes=WIDE_FLOATING, where=no_nan, minimum=1)
    low, high = draw.choice(((-6.0, 6.0), (-1.0, 1.0), (-3.5, 1.25)))
    return draw.call(
        x,
        low,
        high,
        num_bits=draw.choice((8, 4, 5)),
        range_given=draw.flag(0.8),
        round_mode=draw.choice(("HALF_TO_EVEN", "HALF_UP")),
        narrow_range=draw.flag(),
    )
