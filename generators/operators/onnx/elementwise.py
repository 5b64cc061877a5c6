"""Element by element: arithmetic, functions, activations, comparisons, logic, bits, selection."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING, DType
from generators.operators.onnx.common import (
    SIGNED,
    UNSIGNED,
    dtypes,
    elementwise,
    floating,
    maybe,
    normal,
    other,
    scalar,
)
from generators.operators.onnx.registry import REGISTRY
from generators.operators.registry import Rounding

EXACT, BASIC, COMPOSITE = Rounding.EXACT, Rounding.BASIC, Rounding.COMPOSITE

elementwise("Abs", "Neg", "Relu", rounding=EXACT)
elementwise("Sign", "Ceil", "Floor", "Round", rounding=EXACT)
elementwise("Reciprocal", rounding=BASIC)
elementwise("Sqrt", rounding=BASIC, low=0.0, high=1e6)
elementwise("Exp", low=-60.0, high=10.0)
elementwise("Log", low=1e-6, high=1e6)
elementwise("Sin", "Cos", "Tan", low=-1000.0, high=1000.0)
elementwise("Asin", "Acos", low=-1.0, high=1.0)
elementwise("Atanh", low=-0.99, high=0.99)
elementwise("Acosh", low=1.0, high=1e6)
elementwise("Sinh", "Cosh", low=-10.0, high=10.0)
elementwise("Asinh", "Atan", "Tanh", "Erf", "Sigmoid", "Softplus", "Softsign", family="activation")
# Their definitions call operators for which ONNX Runtime has no kernel in double precision.
elementwise("HardSwish", "Mish", family="activation", within=("float32", "float16"))
elementwise("IsNaN", rounding=EXACT, parameter="T1", family="comparison")
elementwise(
    "IsInf",
    rounding=EXACT,
    parameter="T1",
    family="comparison",
    attributes=lambda draw: maybe(draw, detect_negative=draw.integer(0, 1), detect_positive=draw.integer(0, 1)),
)
elementwise("Not", rounding=EXACT, parameter="T", family="logic")
elementwise("BitwiseNot", rounding=EXACT, family="logic")


def _alpha(low: float, high: float, **others: tuple[float, float]) -> Any:
    def attributes(draw: Draw) -> dict[str, Any]:
        ranges = {"alpha": (low, high), **others}
        return {name: draw.real(*ends) for name, ends in ranges.items() if draw.flag(0.7)}

    return attributes


elementwise("LeakyRelu", family="activation", rounding=BASIC, attributes=_alpha(-0.5, 2.0))
elementwise("ThresholdedRelu", family="activation", rounding=EXACT, attributes=_alpha(-1.0, 2.0))
elementwise("Elu", family="activation", attributes=_alpha(0.1, 2.0))
elementwise("Celu", family="activation", attributes=_alpha(0.2, 2.0))
elementwise("Selu", family="activation", attributes=_alpha(0.5, 2.0, gamma=(0.5, 2.0)))
elementwise("Swish", family="activation", attributes=_alpha(0.2, 2.0))
elementwise("HardSigmoid", family="activation", attributes=_alpha(0.1, 1.0, beta=(0.0, 1.0)))
elementwise(
    "Shrink", rounding=BASIC, attributes=lambda draw: maybe(draw, 0.8, lambd=draw.real(0, 2), bias=draw.real(0, 1))
)
elementwise("Gelu", family="activation", attributes=lambda draw: maybe(draw, approximate=draw.choice(("none", "tanh"))))


@REGISTRY.operator("onnx.Add", "onnx.Sub", "onnx.Mul", family="elementwise", rounding=BASIC, weight=1.5)
def arithmetic(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    if draw.flag(0.15) and x.dtype not in UNSIGNED:
        y = scalar(draw, float(draw.scalar("float32" if x.dtype in FLOATING else "int8")), x.dtype)
    else:
        y = other(draw, x)
    return draw.call(x, y) if draw.flag(0.8) else draw.call(y, x)


@REGISTRY.operator("onnx.Div", family="elementwise", rounding=BASIC, weight=1.5)
def quotient(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    return draw.call(x, _divisor(draw, x))


@REGISTRY.operator("onnx.Mod", family="elementwise")
def remainder(draw: Draw) -> Call:
    # Without fmod the operands are integers, whose signs then matter most.
    x = draw.value(dtypes=dtypes(draw) if draw.flag(0.4) else [name for name in dtypes(draw) if name in SIGNED])
    fmod = 1 if x.dtype in FLOATING else draw.choice((None, 0, 1))
    return draw.call(x, _divisor(draw, x), fmod=fmod)


def _divisor(draw: Draw, x: Handle) -> Handle:
    y = other(draw, x)
    if y.array.all() or (draw.nonfinite and x.dtype in FLOATING):
        return y
    shape = y.shape
    draw.forget(y)

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
        data = normal(2.0)(rng, shape, dtype)
        return np.where(data == 0, np.ones_like(data) * 3, data)

    return draw.tensor(shape, x.dtype, elements)


@REGISTRY.operator("onnx.Pow", family="elementwise")
def power(draw: Draw) -> Call:
    if draw.flag(0.5):
        x = draw.bounded(0.05, 8.0, dtypes=floating(draw))
        y = (
            draw.broadcastable(x, FLOATING)
            if draw.flag(0.5)
            else scalar(draw, draw.choice((2.0, 0.5, 3.0, -1.0, 0.0)), x.dtype)
        )
        return draw.call(x, y)
    x = draw.value(dtypes=dtypes(draw))
    exponents = dtypes(draw, "T1")
    y = scalar(draw, draw.choice((0, 1, 2, 2, 3)), draw.choice([name for name in exponents if name != "bool"]))
    return draw.call(x, y)


@REGISTRY.operator("onnx.Max", "onnx.Min", family="elementwise", rounding=EXACT)
def extremes(draw: Draw) -> Call:
    return draw.call(*_several(draw))


@REGISTRY.operator("onnx.Sum", "onnx.Mean", family="elementwise")
def sums(draw: Draw) -> Call:
    return draw.call(*_several(draw))


def _several(draw: Draw) -> list[Handle]:
    x = draw.value(dtypes=dtypes(draw))
    found = [x]
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
        joint = np.broadcast_shapes(*(item.shape for item in found))
        shape = draw.broadcast_shape(joint) if draw.flag() else joint
        if np.prod(np.broadcast_shapes(shape, joint)) > 4096:
            shape = joint
        found.append(draw.tensor(shape, x.dtype))
    return found


@REGISTRY.operator("onnx.PRelu", family="activation", rounding=BASIC)
def prelu(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    # The slope broadcasts to the input, not the other way around.
    shape = [extent if draw.flag() else 1 for extent in x.shape][draw.integer(0, x.rank) :]
    return draw.call(x, draw.tensor(shape, x.dtype, reuse=False))


@REGISTRY.operator("onnx.Clip", family="elementwise", rounding=EXACT)
def clip(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    low, high = (
        sorted((draw.integer(0, 6), draw.integer(0, 6)))
        if x.dtype in UNSIGNED
        else sorted((draw.integer(-4, 4), draw.integer(-2, 6)))
    )
    bounds = [scalar(draw, bound, x.dtype) if draw.flag(0.8) else None for bound in (low, high)]
    while bounds and bounds[-1] is None:
        bounds.pop()
    return draw.call(x, *bounds)


@REGISTRY.operator(
    *(f"onnx.{name}" for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    family="comparison",
    rounding=EXACT,
)
def compare(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    return draw.call(x, other(draw, x))


@REGISTRY.operator("onnx.And", "onnx.Or", "onnx.Xor", family="logic", rounding=EXACT)
def logic(draw: Draw) -> Call:
    x = draw.value(dtypes=("bool",))
    return draw.call(x, other(draw, x))


@REGISTRY.operator("onnx.BitwiseAnd", "onnx.BitwiseOr", "onnx.BitwiseXor", family="logic", rounding=EXACT)
def bits(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    return draw.call(x, other(draw, x))


@REGISTRY.operator("onnx.BitShift", family="logic", rounding=EXACT)
def shift(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    width = 8 * x.array.dtype.itemsize
    shape = draw.broadcast_shape(x.shape)
    counts = draw.tensor(
        shape, x.dtype, lambda rng, shape, dtype: np.asarray(rng.integers(0, width, shape)).astype(dtype)
    )
    return draw.call(x, counts, direction=draw.choice(("LEFT", "RIGHT")))


@REGISTRY.operator("onnx.Where", family="selection", rounding=EXACT)
def where(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw))
    y = other(draw, x)
    joint = np.broadcast_shapes(x.shape, y.shape)
    shape = draw.broadcast_shape(joint)
    if np.prod(np.broadcast_shapes(shape, joint)) > 4096:
        shape = joint
    return draw.call(draw.tensor(shape, "bool"), x, y)


@REGISTRY.operator("onnx.Dropout", family="identity", rounding=EXACT)
def dropout(draw: Draw) -> Call:
    """In inference: the identity, with a mask of nothing dropped."""
    x = draw.value(dtypes=floating(draw))
    inputs: list[Handle | None] = []
    if draw.flag():
        inputs.append(
            scalar(
                draw,
                draw.choice((0.0, 0.3, 0.5, 0.9)),
                draw.choice(("float32", x.dtype)) if x.dtype != "bfloat16" else "float32",
            )
        )
        if draw.flag():
            inputs.append(scalar(draw, False, "bool", constant=True))
    return draw.call(x, *inputs, **maybe(draw, 0.3, outputs=2))


@REGISTRY.operator("onnx.Bernoulli", family="random", rounding=EXACT, weight=0.2)
def bernoulli(draw: Draw) -> Call:
    """With probabilities of zero and one: others give random numbers, which nothing can be compared with."""
    x = draw.tensor(draw.shape(), dtypes(draw, "T1", within=("float32",)), _certain)
    return draw.call(x, **maybe(draw, dtype=DType(draw.choice(("float32", "int32", "bool", "int64")))))


def _certain(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    return (rng.random(shape) < 0.5).astype(dtype)
