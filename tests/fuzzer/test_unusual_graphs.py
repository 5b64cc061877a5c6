"""Unusual outputs and inputs on every route: each converter takes them, alone and in a pack, and nothing is shifted."""

from __future__ import annotations

import numpy as np
import pytest

from fuzzer.converters.base import converters
from fuzzer.pipeline import Pipeline
from fuzzer.planning import Plan, default_settings
from fuzzer.routes import select
from fuzzer.tasks import JudgeTask, Subject
from generators.graph import Case, Constant, Graph, Input, Node, Ref, TensorType, Value
from generators.serial import dumps

CONVERTERS = ("torch.onnx-dynamo", "torch.onnx-torchscript", "tf2onnx", "tflite", "identity.torch")
OPERATORS = {"torch": ("torch.exp", "torch.add"), "tensorflow": ("tf.math.exp", "tf.math.add")}
KIND = TensorType("float32", (2, 3))
#: Outputs of ``v = exp(x); w = v + c``, with an input ``u`` that only an output can use.
OUTPUTS = (
    ("w", "w"),
    ("w", "v", "w"),
    ("x", "w"),
    ("x", "w", "x"),
    ("w", "c"),
    ("c", "w", "c"),
    ("w",),
    ("w", "u"),
    ("w", "v"),
)


def case(frontend: str, outputs: tuple[str, ...], number: int) -> Case:
    """Of values of its own, so that outputs of another graph, or in another order, are wrong."""
    exp, add = OPERATORS[frontend]
    nodes = (
        Node(exp, (Ref("x"),), (), (Value("v", KIND),)),
        Node(add, (Ref("v"), Ref("c")), (), (Value("w", KIND),)),
    )
    data = np.arange(6, dtype=np.float32).reshape(2, 3) + 10 * number
    graph = Graph(
        frontend, (Input("u", TensorType("float32", (4,))), Input("x", KIND)), (Constant("c", data),), nodes, outputs
    )
    return Case(graph, {"u": np.full(4, number, np.float32), "x": data / 50 - 1})


@pytest.mark.parametrize("name", CONVERTERS)
def test_they_are_converted_and_right(name: str) -> None:
    converter = converters()[name]
    [(_, frontend, variants)] = Plan(1, select([name]), 10, None).subjects
    subject = Subject(frontend, name, default_settings(converter), variants)
    pipeline = Pipeline(subject, lambda step: None, lambda note: None, lambda: "")
    cases = [dumps(case(frontend, outputs, number)) for number, outputs in enumerate(OUTPUTS)]
    together = pipeline.judge(JudgeTask(subject, tuple(enumerate(cases))))
    assert [(item.refused, item.seen) for item in together.results] == [("", ())] * len(cases)
    assert together.conversions == 1
    alone = pipeline.judge(JudgeTask(subject, ((0, cases[1]), (1, cases[3])))).results
    assert [(item.refused, item.seen) for item in alone] == [("", ())] * 2
