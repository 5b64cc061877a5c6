"""What several families of ONNX samplers share: element types by schema, control inputs, ways to register a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.frontends.onnx_schema import types
from generators.graph import DTYPES, FLOATING, Array
from generators.operators.onnx.registry import REGISTRY
from generators.operators.registry import Rounding

UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
SIGNED = ("int8", "int16", "int32", "int64")
INTEGERS = (*SIGNED, *UNSIGNED)
#: Types of the large ones that graphs are drawn with.
USUAL = (*FLOATING, *INTEGERS, "bool")
#: Share of the control inputs (shapes, axes, …) that are initializers, as exporters write them.
INITIALIZED = 0.85


def operator_name(draw: Draw) -> str:
    """``onnx.Resize`` is ``Resize``."""
    return draw.target.removeprefix("onnx.")


def dtypes(draw: Draw, parameter: str = "T", *, within: Sequence[str] = USUAL) -> tuple[str, ...]:
    """Element types of a type parameter of the operator that ONNX Runtime computes with, among those of ``within``;
    rejects when there are none."""
    found = tuple(name for name in types(operator_name(draw), parameter) if name in within)
    if not found:
        draw.reject("no element type")
    return found


def floating(draw: Draw, parameter: str = "T") -> tuple[str, ...]:
    """The floating ones among :func:`dtypes`."""
    return dtypes(draw, parameter, within=FLOATING)


def integers(draw: Draw, values: Sequence[int], dtype: str = "int64", *, constant: bool | None = None) -> Handle:
    """A vector of these numbers, mostly an initializer."""
    return tensor_of(draw, np.array(values, dtype=DTYPES[dtype]), constant=constant)


def scalar(draw: Draw, value: float, dtype: str = "int64", *, constant: bool | None = None) -> Handle:
    """A scalar of that value, mostly an initializer."""
    return tensor_of(draw, np.array(value).astype(DTYPES[dtype]), constant=constant)


def tensor_of(draw: Draw, array: Array, *, constant: bool | None = None) -> Handle:
    """A fresh value with exactly these elements, mostly an initializer."""
    constant = draw.flag(INITIALIZED) if constant is None else constant
    name = next(key for key, dtype in DTYPES.items() if dtype == array.dtype)
    return draw.tensor(array.shape, name, lambda rng, shape, dtype: array, constant=constant, reuse=False)


def weights(draw: Draw, shape: Sequence[int], dtype: str, *, scale: float = 1.0) -> Handle:
    """Weights of a layer, mostly an initializer: normally distributed, or of the case's profile now and then."""
    constant = draw.flag(INITIALIZED)
    if draw.flag(0.2):
        return draw.tensor(shape, dtype, constant=constant, reuse=False)
    return draw.tensor(shape, dtype, normal(scale), constant=constant)


def normal(scale: float = 1.0) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """Normally distributed elements; small integers for integer types."""

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        kind = DTYPES[dtype]
        if kind.kind == "b":
            return np.asarray(rng.random(shape) < 0.5)
        if kind.kind in "iu":
            return np.asarray(rng.integers(-8 if kind.kind == "i" else 0, 9, shape).astype(kind))
        return np.asarray(rng.standard_normal(shape) * scale).astype(kind)

    return elements


def positive(low: float = 0.1, high: float = 3.0) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """Elements between the bounds, such as variances and scales."""
    return lambda rng, shape, dtype: np.asarray(rng.uniform(low, high, shape)).astype(DTYPES[dtype])


def maybe(draw: Draw, probability: float = 0.5, **attributes: Any) -> dict[str, Any]:
    """Each of the attributes with that probability: the rest keep their defaults."""
    return {name: value for name, value in attributes.items() if draw.flag(probability)}


def given(attributes: dict[str, Any], wanted: object) -> dict[str, Any]:
    """The attributes if they are wanted, else none."""
    return attributes if wanted else {}


def other(draw: Draw, x: Handle) -> Handle:
    """A value of the same element type that broadcasts with ``x``; seldom ``x`` itself."""
    y = draw.broadcastable(x)
    if y is x and draw.flag(0.8):
        y = draw.tensor(draw.broadcast_shape(x.shape), x.dtype, reuse=False)
    return y


def trimmed(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Inputs without those at the end that are left out; now and then an empty name would do the same."""
    found = list(inputs)
    while found and found[-1] is None:
        found.pop()
    return tuple(found)


def finite(handle: Handle) -> bool:
    """Whether no element is NaN or infinite."""
    low, high = handle.bounds
    return handle.size == 0 or (math.isfinite(low) and math.isfinite(high))


def small(count: int) -> bool:
    """Whether a tensor of so many elements is small enough to be made."""
    return count <= MAX_ELEMENTS


def elementwise(
    *names: str,
    family: str = "elementwise",
    rounding: Rounding = Rounding.COMPOSITE,
    parameter: str = "T",
    low: float = -math.inf,
    high: float = math.inf,
    weight: float = 1.0,
    within: Sequence[str] = USUAL,
    attributes: Callable[[Draw], dict[str, Any]] = lambda draw: {},
) -> None:
    """Register operators of one input. Outside of ``low`` to ``high`` they are not defined or overflow."""

    def sampler(draw: Draw) -> Call:
        kinds = dtypes(draw, parameter, within=within)
        everywhere = math.isinf(low) and math.isinf(high)
        x = draw.value(dtypes=kinds) if everywhere else draw.bounded(low, high, dtypes=kinds)
        return draw.call(x, **attributes(draw))

    REGISTRY.operator(*(f"onnx.{name}" for name in names), family=family, rounding=rounding, weight=weight)(sampler)
