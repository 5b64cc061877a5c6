"""Element types, and tensors made from attributes, shapes and ranges."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.frontends.onnx_schema import types
from generators.graph import DTYPES, FLOATING, DType
from generators.operators.onnx.common import USUAL, dtypes, integers, maybe, scalar
from generators.operators.onnx.registry import REGISTRY
from generators.operators.registry import Rounding

EXACT = Rounding.EXACT
_EIGHT = ("float8_e4m3fn", "float8_e5m2")


def _convertible(draw: Draw, wanted: str) -> Handle:
    """A value whose elements the element type can hold: others convert to nothing defined."""
    sources = dtypes(draw, "T1", within=(*USUAL, *_EIGHT) if draw.flag(0.1) else USUAL)
    kind = DTYPES[wanted]
    if kind.kind not in "iu":
        return draw.value(dtypes=sources)
    info = np.iinfo(kind)
    return draw.value(
        dtypes=sources,
        where=lambda handle: handle.dtype not in FLOATING or handle.within(float(info.min), float(info.max) * 0.99),
    )


@REGISTRY.operator("onnx.Cast", family="cast", rounding=Rounding.BASIC, weight=2.0)
def cast(draw: Draw) -> Call:
    wanted = draw.choice(dtypes(draw, "T2", within=(*USUAL, *_EIGHT) if draw.flag(0.15) else USUAL))
    x = _convertible(draw, wanted)
    return draw.call(x, to=DType(wanted), **(maybe(draw, saturate=draw.integer(0, 1)) if wanted in _EIGHT else {}))


@REGISTRY.operator("onnx.CastLike", family="cast", rounding=Rounding.BASIC)
def cast_like(draw: Draw) -> Call:
    like = draw.value(dtypes=USUAL)
    return draw.call(_convertible(draw, like.dtype), like)


@REGISTRY.operator("onnx.BitCast", family="cast", rounding=EXACT)
def bit_cast(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw, "T1"))
    same = [name for name in types("BitCast", "T2") if DTYPES[name].itemsize == x.array.dtype.itemsize]
    return draw.call(x, to=DType(draw.choice([name for name in same if name in USUAL and name != "bool"])))


@REGISTRY.operator("onnx.Constant", family="creation", rounding=EXACT, weight=0.7)
def constant(draw: Draw) -> Call:
    """A tensor, a number or a list, as an attribute."""
    form = draw.weighted({"value": 4, "value_float": 1, "value_floats": 1, "value_int": 1, "value_ints": 1})
    given: Any
    if form == "value":
        x = draw.tensor(
            draw.shape(range(4), maximum=4), ("float32", "float64", "float16", "int64", "int32", "bool", "uint8")
        )
        if x.size > 64:
            draw.reject("too many elements for an attribute")
        draw.forget(x)
        given = (DType(x.dtype), x.shape, tuple(x.array.reshape(-1).tolist()))
    elif form.startswith("value_float"):
        given = (
            draw.real(-3, 3) if form == "value_float" else tuple(draw.real(-3, 3) for _ in range(draw.integer(1, 4)))
        )
    else:
        given = (
            draw.integer(-9, 9)
            if form == "value_int"
            else tuple(draw.integer(-9, 9) for _ in range(draw.integer(1, 4)))
        )
    return draw.call(**{form: given})


@REGISTRY.operator("onnx.ConstantOfShape", family="creation", rounding=EXACT, weight=0.5)
def constant_of_shape(draw: Draw) -> Call:
    shape = draw.shape(range(4), maximum=5)
    attributes: dict[str, Any] = {}
    if draw.flag(0.7):
        kind = draw.choice([name for name in dtypes(draw, "T2") if name != "bfloat16"])
        attributes["value"] = (DType(kind), (1,), (draw.integer(0, 5),))
    return draw.call(integers(draw, shape), **attributes)


@REGISTRY.operator("onnx.EyeLike", family="creation", rounding=EXACT)
def eye_like(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw, "T1"), ranks=(2,), minimum=1)
    made = [name for name in types("EyeLike", "T2") if name in ("float32", "int64", "int32", "float64")]
    return draw.call(x, **maybe(draw, dtype=DType(draw.choice(made)), k=draw.integer(-3, 3)))


@REGISTRY.operator("onnx.Range", family="creation", rounding=EXACT)
def ranges(draw: Draw) -> Call:
    """Of numbers that are exact, so that the length does not depend on rounding."""
    kind = draw.choice(dtypes(draw))
    fractions = kind in FLOATING
    start, delta = draw.integer(-6, 6), draw.choice((1, 1, 2, 3, -1, -2))
    count = draw.integer(1, 9)
    limit = start + delta * count - (delta // abs(delta) if abs(delta) > 1 and draw.flag() else 0)
    step = 0.5 if fractions and draw.flag() else 1
    return draw.call(*(scalar(draw, value * step, kind) for value in (start, limit, delta)))


@REGISTRY.operator("onnx.BlackmanWindow", "onnx.HammingWindow", "onnx.HannWindow", family="signal", weight=0.5)
def window(draw: Draw) -> Call:
    kind = draw.choice(("float32", "float64"))
    size = scalar(draw, draw.integer(2, 16), draw.choice(("int64", "int32")))
    return draw.call(size, **maybe(draw, output_datatype=DType(kind), periodic=draw.integer(0, 1)))


@REGISTRY.operator("onnx.MelWeightMatrix", family="signal", weight=0.5)
def mel(draw: Draw) -> Call:
    length = draw.choice((16, 32, 64))
    rate = draw.choice((8000, 16000))
    low = draw.choice((0.0, 20.0, 125.0))
    high = draw.choice((3000.0, rate / 2))
    inputs = [scalar(draw, draw.integer(2, 6)), scalar(draw, length), scalar(draw, rate)]
    inputs += [scalar(draw, low, "float32"), scalar(draw, high, "float32")]
    return draw.call(*inputs, **maybe(draw, output_datatype=DType(draw.choice(("float32", "float64")))))
