"""TFLite's operators in double precision, for the oracle: LiteRT has next to no such kernels.

Formulas are those of the reference kernels (``tensorflow/lite/kernels/internal/reference``), on floats that nothing
quantizes. What only moves elements is run by LiteRT itself on both halves of a number. A formula that was wrong would
widen the bounds that it is used for, and accuse nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import erf, pi, sqrt
from typing import TypeAlias

import numpy as np

from generators.frontends.tflite_nodes import Parts, words
from generators.graph import Array

#: Options and operands to a result; None for operands that are left out.
Rule: TypeAlias = "Callable[[Parts, Sequence[Array | None]], Array]"

#: Operators that only move elements of floats, and put zeros between them.
MOVES = words(
    "BATCH_TO_SPACE_ND BROADCAST_TO CONCATENATION DEPTH_TO_SPACE EMBEDDING_LOOKUP EXPAND_DIMS GATHER GATHER_ND "
    "MIRROR_PAD PACK PAD RESHAPE RESIZE_NEAREST_NEIGHBOR REVERSE_SEQUENCE REVERSE_V2 SELECT SELECT_V2 SLICE "
    "SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQUEEZE STRIDED_SLICE TILE TRANSPOSE UNPACK"
)
_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "NONE": lambda x: x,
    "RELU": lambda x: np.maximum(x, 0),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1),
    "RELU6": lambda x: np.clip(x, 0, 6),
    "TANH": np.tanh,
}


def in_double(parts: Parts, operands: Sequence[Array | None]) -> Array | None:
    """The result of an operator on float64 arrays; None where no formula is here, or something is quantized."""
    rule = _RULES.get(parts.kind)
    if rule is None or any(parts.given) or any(parts.made) or parts.state or set(parts.dtypes) != {"float32"}:
        return None
    activation = _ACTIVATIONS.get(str(parts.values.get("fusedActivationFunction", "NONE")))
    if activation is None:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(activation(rule(parts, operands)), np.float64)


def halves(array: Array) -> tuple[Array, Array]:
    """Two float32 arrays whose sum is the float64 array, to 48 bits."""
    with np.errstate(all="ignore"):
        high = array.astype(np.float32)
        low = np.where(np.isfinite(high), array - high, 0.0).astype(np.float32)
    return high, low


def _operand(operands: Sequence[Array | None], place: int) -> Array:
    found = operands[place] if place < len(operands) else None
    if found is None:
        raise ValueError(f"operand {place} is lacking")
    return found


def _number(parts: Parts, key: str, default: float = 0.0) -> float:
    value = parts.values.get(key, default)
    return float(value) if isinstance(value, (bool, int, float)) else default


def _unary(function: Callable[[Array], Array]) -> Rule:
    return lambda parts, operands: function(_operand(operands, 0))


def _binary(function: Callable[[Array, Array], Array]) -> Rule:
    return lambda parts, operands: function(_operand(operands, 0), _operand(operands, 1))


def _softmax(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x = _operand(operands, 0) * _number(parts, "beta", 1.0)
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def _log_softmax(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x = _operand(operands, 0)
    x = x - x.max(-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))


def _gelu(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x = _operand(operands, 0)
    if parts.values.get("approximate"):
        return np.asarray(0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + np.vectorize(erf, otypes=[np.float64])(x / sqrt(2))))


def _reduced(function: Callable[..., Array]) -> Rule:
    def rule(parts: Parts, operands: Sequence[Array | None]) -> Array:
        axes = tuple(dict.fromkeys(int(axis) for axis in _operand(operands, 1).reshape(-1)))
        return function(_operand(operands, 0), axis=axes, keepdims=bool(parts.values.get("keepDims")))

    return rule


def _dense(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x, w = _operand(operands, 0), _operand(operands, 1)
    made = x.reshape(-1, w.shape[-1]) @ w.T
    if len(operands) > 2 and operands[2] is not None:
        made = made + operands[2]
    return made.reshape(*x.shape[:-1], w.shape[0]) if parts.values.get("keepNumDims") else made


def _batched(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x, y = _operand(operands, 0), _operand(operands, 1)
    x = np.swapaxes(x, -1, -2) if parts.values.get("adjX") else x
    y = np.swapaxes(y, -1, -2) if parts.values.get("adjY") else y
    return np.asarray(x @ y)


def _windows(parts: Parts, x: Array, height: int, width: int, fill: float) -> Array:
    """What the window sees at each place of the result: batch, height, width, channels, window's height and width."""
    pads, steps, apart = [], [], []
    for axis, (extent, of) in enumerate(((height, "H"), (width, "W")), 1):
        step, dilation = int(_number(parts, f"stride{of}", 1)), int(_number(parts, f"dilation{of}Factor", 1))
        reach = (extent - 1) * dilation + 1
        count = -(-x.shape[axis] // step)
        total = max((count - 1) * step + reach - x.shape[axis], 0) if parts.values.get("padding") == "SAME" else 0
        pads.append((total // 2, total - total // 2))
        steps.append(step)
        apart.append((reach, dilation))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (apart[0][0], apart[1][0]), (1, 2))
    return seen[:, :: steps[0], :: steps[1], :, :: apart[0][1], :: apart[1][1]]


def _with_bias(made: Array, operands: Sequence[Array | None]) -> Array:
    bias = operands[2] if len(operands) > 2 else None
    return made if bias is None else made + bias


def _convolved(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x, w = _operand(operands, 0), _operand(operands, 1)
    groups = x.shape[3] // w.shape[3]
    found = []
    for inner, kernel in zip(np.split(x, groups, 3), np.split(w, groups, 0), strict=True):
        seen = _windows(parts, inner, w.shape[1], w.shape[2], 0.0)
        found.append(np.tensordot(seen, kernel, ((3, 4, 5), (3, 1, 2))))
    return _with_bias(np.concatenate(found, -1), operands)


def _depthwise(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x, w = _operand(operands, 0), _operand(operands, 1)
    seen = _windows(parts, x, w.shape[1], w.shape[2], 0.0)
    kernel = w[0].reshape(*w.shape[1:3], x.shape[3], -1)
    made = np.einsum("nhwcij,ijcm->nhwcm", seen, kernel)
    return _with_bias(made.reshape(*made.shape[:3], -1), operands)


def _averaged(parts: Parts, operands: Sequence[Array | None]) -> Array:
    x = _operand(operands, 0)
    extents = int(_number(parts, "filterHeight", 1)), int(_number(parts, "filterWidth", 1))
    counts = _windows(parts, np.ones_like(x), *extents, 0.0).sum((4, 5))
    return np.asarray(_windows(parts, x, *extents, 0.0).sum((4, 5)) / counts)


_RULES: Mapping[str, Rule] = {
    "ADD": _binary(np.add),
    "SUB": _binary(np.subtract),
    "MUL": _binary(np.multiply),
    "DIV": _binary(np.divide),
    "POW": _binary(np.power),
    "MAXIMUM": _binary(np.maximum),
    "MINIMUM": _binary(np.minimum),
    "SQUARED_DIFFERENCE": _binary(lambda x, y: (x - y) ** 2),
    "ABS": _unary(np.abs),
    "NEG": _unary(np.negative),
    "EXP": _unary(np.exp),
    "LOG": _unary(np.log),
    "SQRT": _unary(np.sqrt),
    "RSQRT": _unary(lambda x: 1 / np.sqrt(x)),
    "SQUARE": _unary(np.square),
    "SIN": _unary(np.sin),
    "COS": _unary(np.cos),
    "TANH": _unary(np.tanh),
    "LOGISTIC": _unary(lambda x: 1 / (1 + np.exp(-x))),
    "ELU": _unary(lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x)),
    "RELU": _unary(_ACTIVATIONS["RELU"]),
    "RELU6": _unary(_ACTIVATIONS["RELU6"]),
    "RELU_N1_TO_1": _unary(_ACTIVATIONS["RELU_N1_TO_1"]),
    "HARD_SWISH": _unary(lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "GELU": _gelu,
    "LEAKY_RELU": lambda parts, operands: np.where(
        _operand(operands, 0) > 0, _operand(operands, 0), _operand(operands, 0) * _number(parts, "alpha")
    ),
    "PRELU": _binary(lambda x, alpha: np.where(x >= 0, x, x * alpha)),
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _log_softmax,
    "SUM": _reduced(np.sum),
    "MEAN": _reduced(np.mean),
    "REDUCE_MAX": _reduced(np.max),
    "REDUCE_MIN": _reduced(np.min),
    "REDUCE_PROD": _reduced(np.prod),
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _batched,
    "CONV_2D": _convolved,
    "DEPTHWISE_CONV_2D": _depthwise,
    "AVERAGE_POOL_2D": _averaged,
}
