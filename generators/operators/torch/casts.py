"""Conversions between dtypes, but none that is undefined: floats out of the range of an integer, or NaN, to it."""

from __future__ import annotations

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, FLOATING, INTEGRAL, DType
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, LARGEST
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator

_NAMED = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "bfloat16",
    "int": "int32",
    "long": "int64",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
}
#: What a conversion to the integer dtype may start from: truncated, it is in range. The neighbours of the ends of
#: int32 and int64 are not representable in narrower floats, hence the distance from them.
_RANGES = {
    name: (float(np.iinfo(DTYPES[name]).min), float(np.iinfo(DTYPES[name]).max) * (1 - 2.0**-20)) for name in INTEGRAL
}


def _converts(x: Handle, dtype: str) -> bool:
    """Whether the conversion is defined and neither overflows to infinity nor makes all elements alike."""
    if x.dtype not in FLOATING:
        return True
    if dtype in INTEGRAL:
        low, high = _RANGES[dtype]
        least, greatest = x.bounds
        return x.within(max(low, -1e18), min(high, 1e18)) and (x.size < 2 or greatest - least >= 1.5)
    if dtype == "bool":
        return x.size < 2 or not bool(x.array.all())
    return x.within(-LARGEST[dtype], LARGEST[dtype]) or bool(np.isnan(x.bounds[0]))


def source_for(draw: Draw, dtype: str) -> Handle:
    """A value that may be converted to the dtype, mostly of another one."""
    others = tuple(name for name in ANY if name != dtype)
    return draw.value(dtypes=others, where=lambda x: _converts(x, dtype))


@operator("torch.Tensor.to", "torch.Tensor.type", family="cast", rounding=Rounding.BASIC, weight=1.8)
def to(draw: Draw) -> Call:
    dtype = draw.dtype(ANY)
    return draw.call(source_for(draw, dtype), DType(dtype))


@operator(*(f"torch.Tensor.{name}" for name in _NAMED), family="cast", rounding=Rounding.BASIC, weight=0.3)
def named(draw: Draw) -> Call:
    return draw.call(source_for(draw, _NAMED[draw.target.rsplit(".", 1)[1]]))


@operator("torch.Tensor.type_as", family="cast", rounding=Rounding.BASIC, weight=0.5)
def type_as(draw: Draw) -> Call:
    y = draw.value()
    x = source_for(draw, y.dtype)
    return draw.call(x, y)
