"""Between real numbers and integers with a scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.frontends.onnx_schema import types
from generators.graph import DTYPES, DType
from generators.operators.onnx.common import tensor_of
from generators.operators.onnx.registry import REGISTRY

_EIGHT = ("uint8", "int8")
_WHOLE = ("uint8", "int8", "uint16", "int16")


def _grain(draw: Draw, x: Handle) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shape of the scale: one for all, one for each place along an axis, or one for each block of an axis."""
    form = draw.weighted({"tensor": 5, "axis": 3, "blocks": 1.5}) if x.rank else "tensor"
    if form == "tensor":
        return (() if draw.flag(0.8) else (1,)), {}
    axis = draw.axis(x.rank)
    if form == "axis":
        return (x.shape[axis],), {"axis": axis}
    size = draw.integer(1, x.shape[axis])
    shape = list(x.shape)
    shape[axis] = -(-x.shape[axis] // size)
    return tuple(shape), {"axis": axis, "block_size": size}


def _scales(draw: Draw, shape: tuple[int, ...], dtype: str) -> Handle:
    """Mostly powers of two and their likes, so that quotients are exact and ties are real ones."""
    rng = draw.choices.generator()
    data = rng.choice([0.5, 0.25, 0.125, 1.0], shape) if draw.flag() else rng.uniform(0.02, 0.5, shape)
    return tensor_of(draw, np.asarray(data).astype(DTYPES[dtype]))


def _zeros(draw: Draw, shape: tuple[int, ...], dtype: str) -> Handle:
    info = np.iinfo(DTYPES[dtype])
    low, high = max(info.min, -200), min(info.max, 200)
    data = draw.choices.generator().integers(low, high, shape, endpoint=True) if draw.flag(0.8) else np.zeros(shape)
    return tensor_of(draw, np.asarray(data).astype(DTYPES[dtype]))


@REGISTRY.operator("onnx.QuantizeLinear", family="quantization", weight=1.5)
def quantize(draw: Draw) -> Call:
    kinds = [name for name in types("QuantizeLinear", "T1") if name in ("float32", "float16")]
    x = draw.value(dtypes=kinds, ranks=range(5), minimum=1, where=lambda handle: handle.within(-1e6, 1e6))
    shape, attributes = _grain(draw, x)
    kind = draw.choice((*_EIGHT, *_WHOLE))
    inputs = [x, _scales(draw, shape, x.dtype)]
    if draw.flag(0.75):
        inputs.append(_zeros(draw, shape, kind))
    elif kind != "uint8":
        attributes["output_dtype"] = DType(kind)
    return draw.call(*inputs, **attributes)


@REGISTRY.operator("onnx.DequantizeLinear", family="quantization", weight=1.5)
def dequantize(draw: Draw) -> Call:
    kinds = [name for name in types("DequantizeLinear", "T1") if name in (*_WHOLE, "int32")]
    x = draw.value(dtypes=kinds, ranks=range(5), minimum=1)
    shape, attributes = _grain(draw, x)
    scale = _scales(draw, shape, draw.choice(("float32", "float32", "float16")))
    # A zero point of 32 bits is zero.
    zero = [_zeros(draw, shape, x.dtype)] if x.dtype != "int32" and draw.flag(0.75) else []
    return draw.call(x, scale, *zero, **attributes)


@REGISTRY.operator("onnx.DynamicQuantizeLinear", family="quantization")
def dynamic(draw: Draw) -> Call:
    x = draw.value(
        dtypes=("float32",), minimum=1, where=lambda handle: handle.within(-1e6, 1e6) and bool(handle.array.any())
    )
    return draw.call(x)
