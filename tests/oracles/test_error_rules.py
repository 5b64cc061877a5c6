"""The rules bound what operators do to errors: held against operators computed in NumPy on disturbed operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from generators.graph import Array
from oracles.error_rules import Operation, Tensor, error_of


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def convolved(x: Array, w: Array, bias: Array) -> Array:
    """A convolution without padding, as TFLite lays it out: NHWC, weights OHWI."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[1:3], axis=(1, 2))  # N, H, W, C, kh, kw
    return np.asarray(np.einsum("nhwcij,oijc->nhwo", windows, w) + bias)


#: Operator, what it computes, shapes of its operands, attributes; operands of a positive function are positive.
RULES: list[tuple[str, Callable[..., Array], tuple[tuple[int, ...], ...], dict[str, float]]] = [
    ("ADD", lambda a, b: a + b, ((3, 4), (4,)), {}),
    ("SUB", lambda a, b: a - b, ((3, 4), (3, 1)), {}),
    ("MUL", lambda a, b: a * b, ((3, 4), (4,)), {}),
    ("DIV", lambda a, b: a / b, ((3, 4), (4,)), {}),
    ("MAXIMUM", np.maximum, ((3, 4), (4,)), {}),
    ("SQUARED_DIFFERENCE", lambda a, b: (a - b) ** 2, ((3, 4), (4,)), {}),
    ("SQUARE", np.square, ((3, 4),), {}),
    ("PRELU", lambda x, alpha: np.where(x < 0, alpha * x, x), ((3, 4), (4,)), {}),
    ("LEAKY_RELU", lambda x: np.where(x < 0, 1.7 * x, x), ((3, 4),), {"alpha": 1.7}),
    ("RELU", lambda x: np.maximum(x, 0), ((3, 4),), {}),
    ("ABS", np.abs, ((3, 4),), {}),
    ("EXP", np.exp, ((3, 4),), {}),
    ("LOG", np.log, ((3, 4),), {}),
    ("SQRT", np.sqrt, ((3, 4),), {}),
    ("RSQRT", lambda x: 1 / np.sqrt(x), ((3, 4),), {}),
    ("TANH", np.tanh, ((3, 4),), {}),
    ("LOGISTIC", lambda x: 1 / (1 + np.exp(-x)), ((3, 4),), {}),
    ("ELU", lambda x: np.where(x > 0, x, np.expm1(x)), ((3, 4),), {}),
    ("GELU", lambda x: 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))), ((3, 4),), {}),
    ("HARD_SWISH", lambda x: x * np.clip(x + 3, 0, 6) / 6, ((3, 4),), {}),
    ("SIN", np.sin, ((3, 4),), {}),
    ("SOFTMAX", lambda x: softmax(2.5 * x), ((3, 4),), {"beta": 2.5}),
    ("LOG_SOFTMAX", lambda x: np.log(softmax(x)), ((3, 4),), {}),
    ("MEAN", lambda x: x.mean(0), ((3, 4),), {}),
    ("SUM", lambda x: x.sum(1), ((3, 4),), {}),
    ("CUMSUM", lambda x: x.cumsum(1), ((3, 4),), {}),
    ("REDUCE_MAX", lambda x: x.max(1), ((3, 4),), {}),
    ("TRANSPOSE", np.transpose, ((3, 4),), {}),
    ("CONCATENATION", lambda a, b: np.concatenate([a, b]), ((3, 4), (2, 4)), {}),
    ("FULLY_CONNECTED", lambda x, w, b: x @ w.T + b, ((3, 4), (5, 4), (5,)), {}),
    ("CONV_2D", convolved, ((2, 5, 6, 3), (4, 2, 3, 3), (4,)), {}),
    ("BATCH_MATMUL", lambda a, b: a @ b, ((2, 3, 4), (2, 4, 5)), {}),
    ("BATCH_MATMUL", lambda a, b: a.transpose(0, 2, 1) @ b, ((2, 6, 3), (2, 6, 5)), {"adj_x": 1.0}),
    ("FLOOR", np.floor, ((3, 4),), {}),
]
_POSITIVE = {"LOG", "SQRT", "RSQRT"}


@pytest.mark.parametrize("rule", RULES, ids=[f"{rule[0]}-{len(rule[3])}" for rule in RULES])
@pytest.mark.parametrize("size", [1e-3, 0.2])
def test_errors_are_bounded_and_not_by_far_too_much(rule: Any, size: float) -> None:
    kind, function, shapes, attributes = rule
    random = np.random.default_rng(len(kind))
    largest, bounds = [], []
    for _ in range(40):
        arrays = [random.normal(0, 2, shape) for shape in shapes]
        if kind in _POSITIVE:
            arrays = [np.abs(array) + 0.5 for array in arrays]
        errors = [np.asarray(size * random.uniform(0.2, 1)) for _ in arrays]
        result = Tensor(function(*arrays))
        bound, _ = error_of(
            Operation(kind, tuple(range(len(arrays))), (9,), attributes), [Tensor(a) for a in arrays], errors, result, 0
        )
        for _ in range(10):
            # At the ends of the range, where errors are largest.
            signs = [random.choice([-1.0, 1.0], array.shape) for array in arrays]
            moved = [array + error * sign for array, error, sign in zip(arrays, errors, signs, strict=True)]
            difference = np.abs(function(*moved) - result.values)
            assert (difference <= np.broadcast_to(bound, difference.shape) * (1 + 1e-9) + 1e-12).all(), kind
        largest.append(float(difference.max()))
        bounds.append(float(np.max(np.where(np.isfinite(bound), bound, 0.0))))
    # Bounds that are never reached to a fiftieth would find nothing.
    assert sum(largest) * 50 >= sum(bounds)


def test_exact_operands_have_exact_results() -> None:
    plain = Tensor(np.ones(3))
    for kind in ("POW", "SOMETHING_NEW", "FLOOR_DIV", "WHILE"):
        bound, _ = error_of(Operation(kind, (0, 1), (2,)), [plain, plain], [np.asarray(0.0)] * 2, plain, 0)
        assert not bound.any()


@pytest.mark.parametrize("kind", ["POW", "SOMETHING_NEW", "FLOOR_DIV", "WHILE", "ARG_MAX"])
def test_nothing_is_known_of_others(kind: str) -> None:
    plain = Tensor(np.ones(3))
    bound, _ = error_of(Operation(kind, (0,), (1,)), [plain], [np.asarray(0.1)], plain, 0)
    assert np.isinf(bound).all()


def test_a_comparison_is_exact_where_the_operands_are_apart() -> None:
    left, right = Tensor(np.array([1.0, 2.0])), Tensor(np.array([0.0, 3.0]))
    errors = [np.asarray(0.3), np.asarray(0.3)]
    result = Tensor(np.array([False, True]))
    assert not error_of(Operation("LESS", (0, 1), (2,)), [left, right], errors, result, 0)[0].any()
    near = Tensor(np.array([0.5, 3.0]))
    assert np.isinf(error_of(Operation("LESS", (0, 1), (2,)), [left, near], errors, result, 0)[0]).all()


def test_what_may_be_another_integer_has_no_bound() -> None:
    result = Tensor(np.array([1, 2]))
    for value, bounded in ((1.5, True), (1.95, False)):
        operand = Tensor(np.array([value, 2.5]))
        bound, _ = error_of(Operation("CAST", (0,), (1,)), [operand], [np.asarray(0.1)], result, 0)
        assert np.isfinite(bound).all() == bounded


def test_an_index_that_is_not_certain_may_pick_anything() -> None:
    operands = [Tensor(np.ones(4)), Tensor(np.array([1, 2]))]
    result = Tensor(np.ones(2))
    operation = Operation("GATHER", (0, 1), (2,))
    assert error_of(operation, operands, [np.asarray(0.1), np.asarray(0.0)], result, 0) == (0.1, True)
    assert np.isinf(error_of(operation, operands, [np.asarray(0.1), np.asarray(np.inf)], result, 0)[0])


def test_a_divisor_that_may_be_zero_bounds_nothing() -> None:
    operands = [Tensor(np.array([1.0, 1.0])), Tensor(np.array([0.05, 1.0]))]
    bound, _ = error_of(Operation("DIV", (0, 1), (2,)), operands, [np.asarray(0.1)] * 2, Tensor(np.ones(2)), 0)
    assert np.isinf(bound).tolist() == [True, False]
