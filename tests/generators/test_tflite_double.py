"""Operators of TFLite in double precision: what the reference kernels give, but for their rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generators.frontends.base import EvaluationError, frontend
from generators.frontends.tflite_nodes import enumeration_of
from generators.graph import Array, DType, Node, Ref, TensorType, Value

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

RNG = np.random.default_rng(8)


def node(kind: str, options: str, arrays: list[Array], **values: Any) -> tuple[Node, dict[str, Array]]:
    """A node of version 1 with default options but for ``values``, and its operands."""
    fields = vars(getattr(schema, f"{options}T")()) if options else {}
    kwargs = [("version", "1"), *([("options", options)] if options else [])]
    for key, default in fields.items():
        known = enumeration_of(key)
        kwargs.append((key, values.get(key, known.get(default, default) if known else default)))
    kwargs.append(("results", ((DType("float32"), None),)))
    names = {f"x{place}": array for place, array in enumerate(arrays)}
    made = Value("y", TensorType("float32", (1,)))
    return Node(f"tflite.{kind}", tuple(map(Ref, names)), tuple(kwargs), (made,)), names


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*items: int) -> Array:
    return np.array(items, np.int32)


STEP = {"strideW": 2, "strideH": 1, "padding": "SAME"}
POOL = {**STEP, "filterWidth": 3, "filterHeight": 2}
CALLS: list[tuple[str, str, list[Array], dict[str, Any]]] = [
    ("ADD", "AddOptions", [floats(2, 3), floats(3)], {"fusedActivationFunction": "RELU6"}),
    ("SUB", "SubOptions", [floats(2, 3), floats(1, 3)], {"fusedActivationFunction": "RELU_N1_TO_1"}),
    ("MUL", "MulOptions", [floats(2, 3), floats(2, 3)], {}),
    ("DIV", "DivOptions", [floats(4), np.abs(floats(4)) + 1], {}),
    ("MAXIMUM", "MaximumMinimumOptions", [floats(2, 3), floats(3)], {}),
    ("SQUARED_DIFFERENCE", "SquaredDifferenceOptions", [floats(2, 3), floats(3)], {}),
    *[(kind, "", [floats(3, 5)], {}) for kind in ("ABS", "EXP", "SIN", "COS", "TANH", "LOGISTIC", "ELU", "SQUARE")],
    *[(kind, "", [np.abs(floats(3, 5)) + 0.1], {}) for kind in ("LOG", "SQRT", "RSQRT")],
    ("HARD_SWISH", "HardSwishOptions", [3 * floats(3, 5)], {}),
    ("GELU", "GeluOptions", [floats(3, 5)], {"approximate": True}),
    ("GELU", "GeluOptions", [floats(3, 5)], {"approximate": False}),
    ("LEAKY_RELU", "LeakyReluOptions", [floats(3, 5)], {"alpha": 0.25}),
    ("PRELU", "", [floats(2, 3, 3, 4), floats(1, 1, 4)], {}),
    ("SOFTMAX", "SoftmaxOptions", [floats(3, 5)], {"beta": 1.5}),
    ("LOG_SOFTMAX", "LogSoftmaxOptions", [floats(3, 5)], {}),
    ("SUM", "ReducerOptions", [floats(2, 3, 4), whole(0, -1)], {"keepDims": True}),
    ("MEAN", "ReducerOptions", [floats(2, 3, 4), whole(1)], {"keepDims": False}),
    ("REDUCE_PROD", "ReducerOptions", [floats(2, 3, 4), whole(2)], {"keepDims": False}),
    ("REDUCE_MAX", "ReducerOptions", [floats(2, 3, 4), whole(2)], {"keepDims": False}),
    ("FULLY_CONNECTED", "FullyConnectedOptions", [floats(2, 3, 4), floats(5, 4), floats(5)], {"keepNumDims": True}),
    ("FULLY_CONNECTED", "FullyConnectedOptions", [floats(2, 3, 4), floats(5, 12)], {}),
    ("BATCH_MATMUL", "BatchMatMulOptions", [floats(2, 4, 3), floats(4, 5)], {"adjX": True}),
    ("CONV_2D", "Conv2DOptions", [floats(2, 7, 6, 3), floats(4, 3, 3, 3), floats(4)], STEP),
    ("CONV_2D", "Conv2DOptions", [floats(1, 7, 6, 4), floats(6, 2, 2, 2), floats(6)], {**STEP, "padding": "VALID"}),
    ("CONV_2D", "Conv2DOptions", [floats(1, 9, 9, 2), floats(3, 3, 3, 2), floats(3)],
     {"strideW": 1, "strideH": 1, "dilationWFactor": 2, "dilationHFactor": 3}),
    ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", [floats(2, 7, 6, 3), floats(1, 3, 2, 6), floats(6)],
     {**STEP, "strideH": 2, "depthMultiplier": 2}),
    ("AVERAGE_POOL_2D", "Pool2DOptions", [floats(2, 5, 7, 3)], POOL),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "options", "arrays", "values"), CALLS, ids=[f"{at}-{kind}" for at, (kind, *_) in enumerate(CALLS)]
)
def test_formulas_are_those_of_the_kernels(
    kind: str, options: str, arrays: list[Array], values: dict[str, Any]
) -> None:
    made, operands = node(kind, options, arrays, **values)
    ours = frontend("tflite")
    [single] = ours.evaluate(made, operands)
    wide = {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in operands.items()}
    [double] = ours.evaluate(made, wide, double=True)
    assert double.dtype == np.float64
    assert double.shape == single.shape
    np.testing.assert_allclose(single, double, rtol=2e-5, atol=2e-6)


def test_what_only_moves_elements_keeps_their_double_precision() -> None:
    x = RNG.standard_normal((2, 3, 4))
    made, _ = node("TRANSPOSE", "TransposeOptions", [x, whole(2, 0, 1)])
    [moved] = frontend("tflite").evaluate(made, {"x0": x, "x1": whole(2, 0, 1)}, double=True)
    np.testing.assert_allclose(moved, x.transpose(2, 0, 1), rtol=2.0**-46)


def test_what_has_no_formula_says_so() -> None:
    made, operands = node("CUMSUM", "CumsumOptions", [floats(3).astype(np.float64), whole(0)])
    with pytest.raises(EvaluationError, match="double precision"):
        frontend("tflite").evaluate(made, operands, double=True)
