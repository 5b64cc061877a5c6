"""Rules that ONNX states in words are held against models, and sound models pass."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from fuzzer.onnx_rules import WORDED, worded_rules

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def model(operator: str, *inputs: tuple[int, tuple[int, ...]], **attributes: Any) -> onnx.ModelProto:
    names = [f"i{index}" for index in range(len(inputs))]
    node = onnx.helper.make_node(operator, names, ["o"], name="n", **attributes)
    given = [
        onnx.helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in zip(names, inputs, strict=True)
    ]
    output = onnx.helper.make_tensor_value_info("o", FLOAT, None)
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", given, [output]))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (model("CumSum", (FLOAT, ()), (INT64, ())), "CumSum: the input is a scalar"),
        (
            model("ReverseSequence", (FLOAT, (2, 3, 4)), (INT64, (2,)), batch_axis=0, time_axis=2),
            "ReverseSequence: batch_axis and time_axis are [0, 2]",
        ),
        (
            model("SoftmaxCrossEntropyLoss", (FLOAT, (3,)), (INT64, ())),
            "SoftmaxCrossEntropyLoss: the scores have rank 1",
        ),
        (
            model("ScatterElements", (FLOAT, (3, 4)), (INT64, (2, 1)), (FLOAT, (2, 2))),
            "ScatterElements: the updates have shape [2, 2], the indices [2, 1]",
        ),
        (model("Slice", (FLOAT, (3,)), (INT64, (1, 1)), (INT64, (1,))), "Slice: the bounds have ranks [2, 1]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_is_told(broken: onnx.ModelProto, words: str) -> None:
    [complaint] = worded_rules(broken)
    assert complaint.startswith(WORDED + words)


@pytest.mark.parametrize(
    "sound",
    [
        model("CumSum", (FLOAT, (3,)), (INT64, ())),
        model("ReverseSequence", (FLOAT, (2, 3)), (INT64, (3,))),
        model("ReverseSequence", (FLOAT, (2, 3)), (INT64, (2,)), batch_axis=0, time_axis=1),
        model("SoftmaxCrossEntropyLoss", (FLOAT, (2, 3)), (INT64, (2,))),
        model("Exp", (FLOAT, ())),
        model("ScatterElements", (FLOAT, (3, 4)), (INT64, (2, 1)), (FLOAT, (2, 1))),
        model("Slice", (FLOAT, (3,)), (INT64, (1,)), (INT64, (1,))),
    ],
)
def test_a_sound_model_passes(sound: onnx.ModelProto) -> None:
    assert worded_rules(sound) == []
