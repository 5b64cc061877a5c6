"""What validation says of a model: pools in ceil_mode, of which onnx counts a window too many, and functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import pytest
from onnx import TensorProto, helper

from fuzzer.onnx_artifacts import _checked

Shapes = Mapping[str, Sequence[int]]
#: Of 3 elements and one of padding on both sides: two windows begin in the data, a third in the padding.
POOL = helper.make_node("AveragePool", ["x"], ["y"], "pool", kernel_shape=[2], strides=[2], pads=[1, 1], ceil_mode=1)
RELU = helper.make_node("Relu", ["y"], ["z"], "relu")
#: Two spatial dimensions of a value that has one: what torch's exporter makes of images without a batch.
FLAT = helper.make_node("AveragePool", ["a"], ["b"], "flat", kernel_shape=[2, 1], strides=[1, 1])
WRONG = "Attribute strides has incorrect size"


def complaints(
    nodes: Sequence[onnx.NodeProto],
    inputs: Shapes,
    outputs: Shapes,
    known: Shapes | None = None,
    opset: int = 11,
    kind: int = TensorProto.FLOAT,
) -> list[str]:
    """What validation says of a model of tensors of a type."""
    values = [
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in side.items()]
        for side in (inputs, outputs, known or {})
    ]
    graph = helper.make_graph(nodes, "graph", values[0], values[1], value_info=values[2])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 20 else 10)
    return _checked(model.SerializeToString(), model)


def test_a_window_too_many_is_no_complaint() -> None:
    assert not complaints([POOL], {"x": (1, 1, 3)}, {"y": (1, 1, 2)})
    assert not complaints([POOL, RELU], {"x": (1, 1, 3)}, {"z": (1, 1, 2)})
    assert not complaints([POOL, RELU], {"x": (1, 1, 3)}, {"z": (1, 1, 2)}, {"y": (1, 1, 2)})


def test_nor_is_what_follows_from_it() -> None:
    add = helper.make_node("Add", ["y", "w"], ["z"], "add")
    assert not complaints([POOL, add], {"x": (1, 1, 3), "w": (1, 1, 2)}, {"z": (1, 1, 2)})


@pytest.mark.parametrize("name", ["flat", ""])
def test_what_is_wrong_elsewhere_is_told(name: str) -> None:
    node = onnx.NodeProto()
    node.CopyFrom(FLAT)
    node.name = name
    [told] = complaints([POOL, node], {"x": (1, 1, 3), "a": (4, 3, 1)}, {"y": (1, 1, 2), "b": (4, 2, 1)})
    assert WRONG in told


def test_what_is_wrong_with_such_a_pool_beside_its_windows_is_told() -> None:
    node = onnx.NodeProto()
    node.CopyFrom(FLAT)
    node.attribute.append(helper.make_attribute("ceil_mode", 1))
    [told] = complaints([node], {"a": (4, 3, 1)}, {"b": (4, 2, 1)})
    assert WRONG in told


def test_a_type_that_a_pool_cannot_have_is_told_behind_it() -> None:
    nodes = [POOL, helper.make_node("Not", ["y"], ["z"], "not")]
    [told] = complaints(nodes, {"x": (1, 1, 3)}, {"z": (1, 1, 2)})
    assert "op_type:Not" in told


def test_positions_that_a_pool_returns_have_their_type() -> None:
    pool = helper.make_node(
        "MaxPool", ["x"], ["y", "i"], "pool", kernel_shape=[2], strides=[2], pads=[1, 1], ceil_mode=1
    )
    behind = helper.make_node("Cast", ["i"], ["z"], "cast", to=TensorProto.FLOAT)
    assert not complaints([pool, behind], {"x": (1, 1, 3)}, {"y": (1, 1, 2), "z": (1, 1, 2)})
    [told] = complaints(
        [pool, helper.make_node("Sin", ["i"], ["z"], "sin")], {"x": (1, 1, 3)}, {"y": (1, 1, 2), "z": (1, 1, 2)}
    )
    assert "op_type:Sin" in told


def test_what_is_wrong_in_the_body_of_a_function_is_one_complaint() -> None:
    """The function that onnx gives MeanVarianceNormalization with default axes is not valid."""
    x = {"x": (1, 1, 2, 2)}
    y = {"y": (1, 1, 2, 2)}
    [told] = complaints([helper.make_node("MeanVarianceNormalization", ["x"], ["y"])], x, y, opset=20)
    assert "op_type:MeanVarianceNormalization" in told
    assert "op_type:Constant" in told
    assert not told.endswith("Inference error(s):")
    # Of float16, more than one node of that body is wrong.
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"])
    [told] = complaints([node], x, y, opset=20, kind=TensorProto.FLOAT16)
    assert "op_type:Add" in told
