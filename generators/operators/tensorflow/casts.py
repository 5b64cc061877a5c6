"""Casts and reinterpretations. A float that no element of the target can represent, or a NaN, is never cast to an
integer: the result would be the processor's own."""

from __future__ import annotations

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, FLOATING, INTEGRAL, DType
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import ANY, LARGEST, REAL, moderate, no_nan

operator = REGISTRY.operator


def _representable(x: Handle, target: str) -> bool:
    """Whether a cast of these floats to an integer dtype is defined: strictly inside, for float32 rounds the
    greatest int32 up to one that is out of range."""
    info = np.iinfo(DTYPES[target])
    low, high = x.bounds
    if x.dtype not in FLOATING:
        return x.dtype != "complex64" or x.size == 0 or _representable_complex(x, int(info.min), int(info.max))
    return x.size == 0 or (low > float(info.min) - (1.0 if info.bits < 32 else 0.0) and high < float(info.max))


def _representable_complex(x: Handle, low: int, high: int) -> bool:
    real = x.array.real
    return bool(((real > low) & (real < high)).all())


def _targets(draw: Draw, x: Handle) -> list[str]:
    """The dtypes that a cast of ``x`` is defined for and that keep some information."""
    targets = []
    for name in ANY:
        if name in INTEGRAL and not _representable(x, name):
            continue
        if name in INTEGRAL and x.dtype in FLOATING and x.size > 1 and x.within(-0.999, 0.999):
            continue
        if name == "bool" and x.size > 1 and bool((x.array != 0).all()):
            continue
        if name in LARGEST and not draw.nonfinite and not moderate(x, LARGEST[name]):
            continue
        targets.append(name)
    return targets


@operator("tf.cast", family="cast", rounding=Rounding.BASIC, weight=3)
def cast(draw: Draw) -> Call:
    x = draw.value(dtypes=ANY)
    targets = _targets(draw, x)
    if x.dtype == "complex64" and draw.flag(0.7):
        targets = [name for name in targets if name in FLOATING] or targets
    target = draw.dtype(targets)
    draw.require(x, lambda x: target not in INTEGRAL or _representable(x, target))
    return draw.call(x, DType(target))


@operator("tf.saturate_cast", family="cast", rounding=Rounding.BASIC, weight=0.7)
def saturate_cast(draw: Draw) -> Call:
    """Out-of-range numbers become the nearest of the target's. NaN to an integer stays undefined."""
    x = draw.value(dtypes=REAL, where=no_nan)
    targets = [name for name in REAL if _keeps_information(x, name)]
    return draw.call(x, DType(draw.dtype(targets or ("float32",))))


def _keeps_information(x: Handle, target: str) -> bool:
    if target not in INTEGRAL or x.size < 2:
        return True
    info = np.iinfo(DTYPES[target])
    if x.dtype in FLOATING and (info.bits >= 32 and not _representable(x, target)):
        return False  # float32 cannot hold the bound that it would be clipped to
    low, high = x.bounds
    return min(high, float(info.max)) - max(low, float(info.min)) >= 1.5


#: dtype to those of the same width, whose values are all numbers (a float from random bits may be NaN).
_BITS = {
    "float16": ("int16",),
    "bfloat16": ("int16",),
    "float32": ("int32",),
    "float64": ("int64",),
    "int8": ("uint8",),
    "uint8": ("int8",),
}


@operator("tf.bitcast", family="cast", rounding=Rounding.EXACT, weight=0.3)
def bitcast(draw: Draw) -> Call:
    """To an integer type of the same width, or of bytes, which adds an axis."""
    x = draw.value(dtypes=(*REAL,), where=lambda x: x.size <= 512 and no_nan(x))
    return draw.call(x, DType(draw.choice((*_BITS.get(x.dtype, ()), "uint8"))))
