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


def col2im(padding: list[int]) -> onnx.ModelProto:
    """18 blocks of 2 by 2, as an image of 4 by 5 has them that is padded by one column on both sides."""
    made = model("Col2Im", (FLOAT, (1, 4, 18)), (INT64, (2,)), (INT64, (2,)), pads=padding)
    image = onnx.helper.make_node("Constant", [], ["i1"], value=onnx.helper.make_tensor("", INT64, (2,), [4, 5]))
    made.graph.node.insert(0, image)
    made.graph.initializer.append(onnx.helper.make_tensor("i2", INT64, (2,), [2, 2]))
    del made.graph.input[1:]
    return made


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (col2im([0, 0, 1, 1]), "Col2Im: there are 18 blocks, pads and the rest make it 20"),
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
        col2im([0, 1, 0, 1]),
        model("Col2Im", (FLOAT, (1, 4, 18)), (INT64, (2,)), (INT64, (2,)), pads=[0, 0, 1, 1]),
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


def in_branches(inner: onnx.ModelProto, depth: int) -> onnx.ModelProto:
    """The model's nodes in a branch of an If, or of one in a branch of one, which capture its inputs."""
    body = onnx.helper.make_graph(list(inner.graph.node), "body", [], list(inner.graph.output))
    body.initializer.extend(inner.graph.initializer)
    for level in range(depth):
        plain = onnx.helper.make_node("Identity", ["x"], ["other"])
        other = onnx.helper.make_graph([plain], "plain", [], [onnx.helper.make_tensor_value_info("other", FLOAT, None)])
        output = onnx.helper.make_tensor_value_info(f"out{level}", FLOAT, None)
        choice = onnx.helper.make_node("If", ["c"], [f"out{level}"], then_branch=body, else_branch=other)
        body = onnx.helper.make_graph([choice], f"level{level}", [], [output])
    body.input.extend(inner.graph.input)
    body.input.append(onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, ()))
    body.input.append(onnx.helper.make_tensor_value_info("x", FLOAT, (2,)))
    return onnx.helper.make_model(body)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_rule_that_is_broken_in_a_body_is_told(depth: int) -> None:
    scatter = model("ScatterElements", (FLOAT, (3, 4)), (INT64, (2, 1)), (FLOAT, (2, 2)))
    [complaint] = worded_rules(in_branches(scatter, depth))
    assert complaint.startswith(f"{WORDED}ScatterElements: the updates have shape [2, 2]")
    [complaint] = worded_rules(in_branches(col2im([0, 0, 1, 1]), depth))
    assert complaint.startswith(f"{WORDED}Col2Im: there are 18 blocks")
    assert worded_rules(in_branches(col2im([0, 1, 0, 1]), depth)) == []


def test_shapes_inside_a_body_are_inferred() -> None:
    """What breaks the rule is made in the body itself."""
    made = model("CumSum", (FLOAT, ()), (INT64, ()))
    doubled = onnx.helper.make_node("Add", ["i0", "i0"], ["twice"])
    made.graph.node[0].input[0] = "twice"
    made.graph.node.insert(0, doubled)
    [complaint] = worded_rules(in_branches(made, 1))
    assert complaint.startswith(f"{WORDED}CumSum: the input is a scalar")
