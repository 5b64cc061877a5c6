"""Values that ONNX leaves without a meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generators.frontends.onnx_processor import products_saturate
from generators.graph import Node, Ref
from generators.operators.onnx.domains import undefined

BIG = 2**30


def reduction(name: str, array: Any, dtype: str = "int32", axes: tuple[int, ...] | None = None, **given: Any) -> str:
    arrays = [np.asarray(array, dtype)] + ([] if axes is None else [np.asarray(axes, np.int64)])
    return undefined(Node(f"onnx.{name}", (Ref("x"), Ref("axes"))[: len(arrays)], tuple(given.items()), ()), arrays)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("ReduceSum", [BIG, BIG]),
        ("ReduceMean", [BIG, BIG]),
        ("ReduceL1", [-BIG, BIG]),
        # On the way, though not in the end.
        ("ReduceSum", [BIG, BIG, -BIG]),
        ("ReduceSumSquare", [46341]),
        ("ReduceL2", [46341]),
        ("ReduceProd", [65536, 0, 65536]),
    ],
)
def test_integers_that_a_reduction_does_not_hold(name: str, array: list[int]) -> None:
    assert reduction(name, array) == "a reduction of integers does not fit into their type"
    assert reduction(name, array, "int64") == ""
    assert reduction(name, array, "float32") == ""


def test_it_is_what_is_added_up_that_has_to_fit() -> None:
    square = [[BIG, 1], [BIG, 1]]
    assert reduction("ReduceSum", square, axes=(1,)) == ""
    assert reduction("ReduceSum", square, axes=(-1,)) == ""
    assert reduction("ReduceSum", square, axes=(0,)) != ""
    assert reduction("ReduceSum", square, axes=(-2,)) != ""
    assert reduction("ReduceSum", square) != ""
    assert reduction("ReduceSum", square, noop_with_empty_axes=1) == ""
    assert reduction("ReduceSumSquare", square, noop_with_empty_axes=1) != ""
    assert reduction("ReduceMax", square) == ""
    assert reduction("ReduceSum", np.zeros((0, 2)), axes=(0,)) == "a reduction of no elements"


@pytest.mark.parametrize(
    ("left", "right", "undefined_here"),
    [("uint8", "int8", True), ("int8", "uint8", True), ("uint8", "uint8", False), ("int8", "int8", False)],
)
@pytest.mark.parametrize("name", ["MatMulInteger", "ConvInteger"])
def test_products_that_a_processor_saturates_have_no_reference(
    name: str, left: str, right: str, undefined_here: bool
) -> None:
    node = Node(f"onnx.{name}", (Ref("x"), Ref("y")), (), ())
    shape = (1, 1) if name == "MatMulInteger" else (1, 1, 1, 1)
    large = [np.full(shape, np.iinfo(dtype).max, dtype) for dtype in (left, right)]
    assert bool(undefined(node, large)) == (undefined_here and products_saturate())
    assert undefined(node, [array // 2 for array in large]) == ""


@pytest.mark.parametrize("name", ["QuantizeLinear", "DequantizeLinear"])
def test_a_scalar_has_no_axis_for_scales(name: str) -> None:
    node = Node(f"onnx.{name}", (Ref("x"), Ref("scale")), (), ())
    x = np.ones((), np.float32 if name == "QuantizeLinear" else np.int8)
    assert undefined(node, [x, np.ones((), np.float32)]) == ""
    assert undefined(node, [x.reshape(1), np.ones(1, np.float32)]) == ""
    assert undefined(node, [x, np.ones(1, np.float32)]) == "a scale for an axis that is not there"
