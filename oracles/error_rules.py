"""What the operators of a converted model do to the errors of their operands.

A rule gives a bound on the error of a result from the operands' values as they were computed (so with their errors)
and the bounds on those errors. For a function f of one number that is monotone, it is the larger of
\\|f(x + e) − f(x)\\| and \\|f(x − e) − f(x)\\|; for others a Lipschitz constant times e; for sums of K products
Σ\\|w\\| e_x + K e_w (\\|x\\| + e_x). Names are those of TFLite's builtin operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from generators.graph import Array


@dataclass(frozen=True)
class Tensor:
    """A tensor of a converted model.

    ``values`` are the real numbers that it stands for as they were computed, in float64, or integers and booleans as
    they are (None when that is not known). ``step`` is its scale, or the scales along the dimension they belong to in
    a shape that broadcasts, None when it is not quantized; ``zero`` its zero point. ``half`` tells a float16 constant.
    """

    values: Array | None
    constant: bool = False
    step: Array | None = None
    zero: Array | None = None
    half: bool = False


@dataclass(frozen=True)
class Operation:
    """A call of an operator: tensors by index, -1 for an operand that is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: Mapping[str, float] = field(default_factory=dict)


Operands: TypeAlias = "Sequence[Tensor | None]"
Errors: TypeAlias = "Sequence[Array]"
Rule: TypeAlias = "Callable[[Operation, Operands, Errors, Tensor], Array]"

_INFINITE = np.asarray(np.inf)
_NONE = np.asarray(0.0)

#: Results are elements of the operands; other operands are shapes, axes and indices.
_MOVES = frozenset(
    [
        "RESHAPE",
        "TRANSPOSE",
        "SQUEEZE",
        "EXPAND_DIMS",
        "SLICE",
        "STRIDED_SLICE",
        "GATHER",
        "GATHER_ND",
        "CONCATENATION",
        "PACK",
        "UNPACK",
        "SPLIT",
        "SPLIT_V",
        "PAD",
        "PADV2",
        "MIRROR_PAD",
        "TILE",
        "BROADCAST_TO",
        "BROADCAST_ARGS",
        "REVERSE_V2",
        "SPACE_TO_DEPTH",
        "DEPTH_TO_SPACE",
        "SPACE_TO_BATCH_ND",
        "BATCH_TO_SPACE_ND",
        "REVERSE_SEQUENCE",
        "MATRIX_DIAG",
        "MATRIX_SET_DIAG",
        "DYNAMIC_UPDATE_SLICE",
        "MAX_POOL_2D",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "MAXIMUM",
        "MINIMUM",
        "RESIZE_NEAREST_NEIGHBOR",
        "FILL",
        "EMBEDDING_LOOKUP",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "RELU_0_TO_1",
    ]
)
#: Results differ by no more than the operands do in the maximum norm, but are computed.
_NONEXPANSIVE = frozenset(
    ["AVERAGE_POOL_2D", "MEAN", "RESIZE_BILINEAR", "ABS", "NEG", "SIN", "COS", "QUANTIZE", "DEQUANTIZE"]
)
#: Results that do not depend on the elements of the first operand.
_TYPES = frozenset(["SHAPE", "RANK", "ZEROS_LIKE"])

_MONOTONE: dict[str, Callable[[Array], Array]] = {
    "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)),
    "TANH": np.tanh,
    "EXP": np.exp,
    "LOG": np.log,
    "SQRT": np.sqrt,
    "RSQRT": lambda x: 1 / np.sqrt(x),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND": np.rint,
    "SIGN": np.sign,
}
#: Bounds of the derivative: of x Φ(x) at x = √2 (of its approximation by tanh a little more), of x relu6(x + 3) / 6
#: at 3.
_LIPSCHITZ = {"GELU": 1.14, "HARD_SWISH": 1.5}
_COMPARISONS = frozenset(["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"])
#: Axis of the output channels of the weights, at place 1.
_CHANNELS = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "CONV_3D": 4, "TRANSPOSE_CONV": 0}


def error_of(
    operation: Operation, operands: Operands, errors: Errors, result: Tensor, place: int
) -> tuple[Array, bool]:
    """The error bound of the result at that place, but for the rounding of the result itself, infinite where none is
    known, and whether the operator only moves elements."""
    exact = all(not error.any() for error in errors)
    kind = operation.kind
    plain = all(one is None or one.step is None for one in (*operands, result))
    if kind == "DYNAMIC_QUANTIZE":
        # Its scale and zero point are what they are; what follows from them is held against the numbers.
        return (_quantized_as_it_runs(operation, operands, errors, result) if place == 0 else _NONE), False
    if kind in _TYPES or (exact and plain):
        # Nothing is quantized that this operator sees.
        return _NONE, False
    if any(one is not None and one.values is None for one in operands):
        return _INFINITE, False
    if kind in _MOVES:
        return _moved(operands, errors, result), True
    if kind == "TOPK_V2":
        return (_largest(errors), True) if place == 0 else (_INFINITE, False)
    if kind in _NONEXPANSIVE:
        return _moved(operands, errors, result), False
    rule = _RULES.get(kind)
    if rule is None:
        # Of exact operands, whatever the operator computes of them is exact but for its own rounding.
        return (_NONE if exact else _INFINITE), False
    return rule(operation, operands, errors, result), False


def _largest(errors: Errors) -> Array:
    return np.asarray(max((float(np.max(error, initial=0.0)) for error in errors), default=0.0))


def _moved(operands: Operands, errors: Errors, result: Tensor) -> Array:
    """The operand's errors where it has the result's shape, else the largest. Indices and lengths must be exact: what
    they pick would be another element."""
    for operand, error in zip(operands, errors, strict=True):
        if operand is not None and operand.values is not None and operand.values.dtype.kind in "iub" and error.any():
            return _INFINITE
    first = operands[0]
    if len(errors) == 1 and first is not None and _shape(first) == _shape(result) is not None:
        return errors[0]
    return _largest(errors)


def _shape(tensor: Tensor) -> tuple[int, ...] | None:
    return None if tensor.values is None else tensor.values.shape


def _monotone(function: Callable[[Array], Array]) -> Rule:
    def rule(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
        x, e = _value(operands[0]), errors[0]
        middle = function(x)
        return np.asarray(np.maximum(np.abs(function(x + e) - middle), np.abs(function(x - e) - middle)))

    return rule


def _lipschitz(constant: float) -> Rule:
    return lambda operation, operands, errors, result: np.asarray(constant * errors[0])


def _sum(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    total = _NONE
    for error in errors:
        total = total + error
    return total


def _product(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    (a, b), (ea, eb) = (_value(one) for one in operands), errors
    return np.asarray(np.abs(a) * eb + np.abs(b) * ea + ea * eb)


def _quotient(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    (a, b), (ea, eb) = (_value(one) for one in operands), errors
    room = np.abs(b) - eb
    return np.where(room > 0, (ea + np.abs(a / b) * eb) / np.where(room > 0, room, 1.0), np.inf)


def _square(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    x, e = _value(operands[0]), errors[0]
    return np.asarray(2 * np.abs(x) * e + e * e)


def _squared_difference(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    difference, e = _value(operands[0]) - _value(operands[1]), errors[0] + errors[1]
    return np.asarray(2 * np.abs(difference) * e + e * e)


def _leaky(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    return np.asarray(max(1.0, abs(operation.attributes.get("alpha", 1.0))) * errors[0])


def _prelu(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    (x, alpha), (e, ea) = (_value(one) for one in operands), errors
    return np.asarray(np.maximum(1.0, np.abs(alpha) + ea) * e + np.abs(x) * ea)


def _softmax(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    # d s_i = s_i (dx_i − Σ s_j dx_j), so at most 2 s_i (1 − s_i) e in magnitude.
    return np.asarray(abs(operation.attributes.get("beta", 1.0)) * _largest(errors[:1]) / 2)


def _log_softmax(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    return np.asarray(2 * _largest(errors[:1]))


def _reduced_sum(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    x, y = _value(operands[0]), _value(result)
    return np.asarray(_largest(errors[:1]) * x.size / max(y.size, 1))


def _cumulated(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    return np.asarray(_largest(errors[:1]) * max(_value(operands[0]).shape, default=1))


def _products(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    """Sums of products with weights."""
    place = 2 if operation.kind == "TRANSPOSE_CONV" else 0
    x, w = np.abs(_value(operands[place])), np.abs(_value(operands[1]))
    ex = _largest(errors[place : place + 1])
    # By output channel, which is the last dimension of a result.
    axes = tuple(axis for axis in range(w.ndim) if axis != _CHANNELS[operation.kind])
    sums = w.sum(axis=axes)
    ew = np.broadcast_to(errors[1], w.shape).max(axis=axes, initial=0.0)
    terms = w.size / max(sums.size, 1)
    bias = 3 if operation.kind == "TRANSPOSE_CONV" else 2
    # Σ|x|: in a layer of its row, in a convolution at most that of as many terms as large as the largest.
    dense = operation.kind == "FULLY_CONNECTED" and x.ndim and x.shape[-1] == w.shape[-1]
    total = x.sum(axis=-1).max(initial=0.0) if dense else terms * x.max(initial=0.0)
    error = sums * ex + ew * (total + terms * ex)
    return np.asarray(error + _largest(errors[bias:]))


def _batched_products(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    x, y = (np.abs(_value(one)) for one in operands[:2])
    ex, ey = _largest(errors[:1]), _largest(errors[1:2])
    terms = x.shape[-2 if operation.attributes.get("adj_x") else -1]
    return np.asarray(terms * (y.max(initial=0.0) * ex + x.max(initial=0.0) * ey + ex * ey))


def _convolved(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    """A convolution with weights of shape (channels, terms of a sum …), and a bias if there is a third operand that is
    no zero point."""
    x, w = np.abs(_value(operands[0])), np.abs(_value(operands[1]))
    ex, ew = _largest(errors[:1]), _largest(errors[1:2])
    terms = w.size / max(w.shape[0], 1)
    sums = w.reshape(w.shape[0], -1).sum(axis=1).max(initial=0.0)
    bias = errors[2:] if operation.kind == "CONV" else ()
    return np.asarray(sums * ex + terms * ew * (x.max(initial=0.0) + ex) + _largest(bias))


def _gemm(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    x, y = (np.abs(_value(one)) for one in operands[:2])
    ex, ey = _largest(errors[:1]), _largest(errors[1:2])
    terms = max(*x.shape, *y.shape)  # at least those of a sum, whichever is transposed
    product = terms * (y.max(initial=0.0) * ex + x.max(initial=0.0) * ey + ex * ey)
    alpha, beta = (abs(operation.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    return np.asarray(alpha * product + beta * _largest(errors[2:]))


def _quantized_as_it_runs(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    """Integers, in steps of the scale: half a step for rounding and half for the zero point."""
    return np.asarray(_largest(errors[:1]) / operation.attributes["scale"] + 1.0)


def _compared(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    """Exact where the operands are further apart than their errors."""
    apart = np.abs(_value(operands[0]) - _value(operands[1]))
    e = errors[0] + errors[1]
    return np.asarray(np.where((apart > e) | (e == 0), 0.0, np.inf).max(initial=0.0))


def _selected(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    return _INFINITE if errors[0].any() else _largest(errors[1:])


def _cast(operation: Operation, operands: Operands, errors: Errors, result: Tensor) -> Array:
    if _value(result).dtype.kind == "f":
        return errors[0]
    # An integer is right or wrong: no bound holds where another may come out.
    return np.where(_monotone(np.trunc)(operation, operands, errors, result) > 0, np.inf, 0.0)


def _value(tensor: Tensor | None) -> Array:
    """The elements; those of a result that nobody knows are missing only where they are not used."""
    assert tensor is not None
    assert tensor.values is not None
    return tensor.values


_RULES: dict[str, Rule] = {
    **{kind: _monotone(function) for kind, function in _MONOTONE.items()},
    **{kind: _lipschitz(constant) for kind, constant in _LIPSCHITZ.items()},
    **dict.fromkeys(_COMPARISONS, _compared),
    **dict.fromkeys(_CHANNELS, _products),
    "ADD": _sum,
    "SUB": _sum,
    "ADD_N": _sum,
    "MUL": _product,
    "DIV": _quotient,
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
    "LEAKY_RELU": _leaky,
    "PRELU": _prelu,
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _log_softmax,
    "SUM": _reduced_sum,
    "CUMSUM": _cumulated,
    "BATCH_MATMUL": _batched_products,
    "MATMUL_INTEGER": _batched_products,
    "CONV": _convolved,
    "CONV_INTEGER": _convolved,
    "GEMM": _gemm,
    "SELECT": _selected,
    "SELECT_V2": _selected,
    "CAST": _cast,
}
