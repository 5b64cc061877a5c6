"""Where every variant of a runtime is wrong, the format's own evaluator tells whose fault it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fuzzer import attempt
from fuzzer.formats import Artifact
from fuzzer.pipeline import Pipeline
from fuzzer.runtimes.onnxruntime import OnnxRuntime
from fuzzer.tasks import JudgeTask, Seen, Subject
from generators.graph import Array, Case, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.outcome import Kind, Stage
from tests.fuzzer.graphs import given, mapping, unary

CONVERTER = "torch.onnx-torchscript"


class OneMore(OnnxRuntime):
    """Adds one to every floating result."""

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        outputs = super().run(session, artifact, feeds)
        return [output + 1 if output.dtype.kind == "f" else output for output in outputs]


def judged(*cases: Case) -> list[tuple[Seen, ...]]:
    subject = Subject("torch", CONVERTER, {}, (("onnxruntime", "unoptimized"), ("onnxruntime", "optimized")))
    pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
    result = pipeline.judge(JudgeTask(subject, tuple(enumerate(map(dumps, cases)))))
    assert result.conversions == 1
    return [item.seen for item in result.results]


def negative_any() -> Case:
    """``any([-1, 1])``, which torch.onnx-torchscript takes for false: it adds the elements up."""
    node = Node("torch.any", (Ref("x"),), (), (Value("y", TensorType("bool", ())),))
    graph = Graph("torch", (given("x", "float32", 2),), (), (node,), ("y",))
    return Case(graph, {"x": np.array([-1.0, 1.0], np.float32)})


def test_a_runtime_that_is_wrong_alone_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "runtimes", lambda: {"onnxruntime": OneMore()})
    for cases in ([unary("torch", "exp", "float32", 2)], [unary("torch", "exp", "float32", 2), mapping("torch")]):
        for seen in judged(*cases):
            assert [(one.component, one.stage, one.kind) for one in seen] == [
                ("onnxruntime", Stage.INFERENCE, Kind.VALUE)
            ]
            assert seen[0].detail == "onnxruntime unoptimized, onnxruntime optimized"


def test_a_model_that_is_wrong_on_the_witness_too_is_the_converters() -> None:
    for seen in (judged(negative_any())[0], judged(mapping("torch"), negative_any())[1]):
        assert [(one.component, one.stage, one.kind) for one in seen] == [(CONVERTER, Stage.CONVERT, Kind.VALUE)]
