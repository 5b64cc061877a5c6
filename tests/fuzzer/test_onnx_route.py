"""The route onnx -> onnxruntime: what is a finding when nothing was converted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from fuzzer import attempt
from fuzzer.converters.base import converters
from fuzzer.formats import Artifact, Settings
from fuzzer.pipeline import Pipeline
from fuzzer.runtimes.onnxruntime import OnnxRuntime
from fuzzer.tasks import BatchTask, JudgeTask, Seen, Subject
from generators.frontends.base import frontend
from generators.graph import Array, Case, Constant, Graph, Input, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.reproducer import render
from oracles.verification import verify

F32 = TensorType("float32", (2,))
VARIANTS = (("onnxruntime", "unoptimized"), ("onnxruntime", "optimized"))


def chain(*operators: str, kind: TensorType = F32) -> Case:
    """Operators of one input in sequence."""
    names = ["x", *(f"v{index}" for index in range(len(operators)))]
    nodes = tuple(
        Node(f"onnx.{operator}", (Ref(before),), (), (Value(after, kind),))
        for operator, before, after in zip(operators, names, names[1:], strict=False)
    )
    graph = Graph("onnx", (Input("x", kind),), (), nodes, (names[-1],))
    return Case(graph, {"x": np.array([0.5, -1.5], kind.dtype)})


class Adds(OnnxRuntime):
    """Adds one to every floating result, if optimized only or always."""

    def __init__(self, always: bool) -> None:
        self.always = always

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        return super().load(artifact, settings), self.always or settings["optimization"] == "enable_all"

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        inner, wrong = session
        return [
            output + wrong if output.dtype.kind == "f" else output for output in super().run(inner, artifact, feeds)
        ]


class Refuses(OnnxRuntime):
    """Refuses the model, if optimized only or always."""

    def __init__(self, always: bool) -> None:
        self.always = always

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        if self.always or settings["optimization"] == "enable_all":
            raise RuntimeError("no such model")
        return super().load(artifact, settings)


def judged(*cases: Case, opset: int = 17) -> list[tuple[Seen, ...]]:
    subject = Subject("onnx", "onnx", {"opset": opset, "symbolic": False}, VARIANTS)
    pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
    result = pipeline.judge(JudgeTask(subject, tuple(enumerate(map(dumps, cases)))))
    assert not [item.refused for item in result.results if item.refused]
    return [item.seen for item in result.results]


def test_what_agrees_passes() -> None:
    assert judged(chain("Relu", "Exp"), chain("Sigmoid")) == [(), ()]


def test_a_variant_that_differs_from_the_other_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "runtimes", lambda: {"onnxruntime": Adds(always=False)})
    for seen in judged(chain("Relu"), chain("Exp", "Sigmoid")):
        assert [(one.component, one.stage, one.kind, one.detail) for one in seen] == [
            ("onnxruntime", Stage.INFERENCE, Kind.VALUE, "optimized")
        ]


def test_both_variants_against_single_nodes_and_the_witness_are_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "runtimes", lambda: {"onnxruntime": Adds(always=True)})
    [[seen]] = judged(chain("Relu"))
    assert (seen.component, seen.kind, seen.verdict) == ("onnxruntime", Kind.VALUE, Verdict.BUG)


def test_both_variants_against_a_witness_that_differs_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "runtimes", lambda: {"onnxruntime": Adds(always=True)})
    monkeypatch.setattr(attempt.Attempt, "_exonerated", lambda self, item, artifact: False)
    [[seen]] = judged(chain("Relu"))
    assert (seen.component, seen.kind, seen.verdict) == ("onnx", Kind.VALUE, Verdict.INCONCLUSIVE)


def test_a_model_that_every_variant_refuses_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "runtimes", lambda: {"onnxruntime": Refuses(always=True)})
    for seen in judged(chain("Relu"), chain("Exp")):
        assert {(one.kind, one.verdict) for one in seen} == {(Kind.UNSUPPORTED, Verdict.PASS)}


def test_a_model_that_only_the_optimizer_refuses_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "runtimes", lambda: {"onnxruntime": Refuses(always=False)})
    for seen in judged(chain("Relu"), chain("Exp")):
        assert [(one.component, one.stage, one.kind, one.verdict) for one in seen] == [
            ("onnxruntime", Stage.RUNTIME_LOAD, Kind.EXCEPTION, Verdict.BUG)
        ]


def test_the_model_is_the_printed_one() -> None:
    model = frontend("onnx").load(chain("Relu", "Neg"))
    for symbolic in (False, True):
        artifact = converters()["onnx"].convert(model, {"opset": 15, "symbolic": symbolic})
        proto = onnx.load_from_string(artifact.data)
        assert [node.op_type for node in proto.graph.node] == ["Relu", "Neg"]
        assert proto.opset_import[0].version == 15
        assert (artifact.inputs, artifact.outputs) == (("input_0",), ("output_0",))
        assert proto == model.native.proto(opset=15, symbolic=symbolic)
        converters()["onnx"].validate(artifact, model)


@pytest.mark.parametrize("opset", [13, 18, 26])
def test_batches_hold_no_operator_that_their_opset_lacks(opset: int) -> None:
    subject = Subject("onnx", "onnx", {"opset": opset, "symbolic": False}, VARIANTS)
    pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
    result = pipeline.batch(BatchTask(subject, 4, 0, tuple(range(16)), 8, pack=16))
    unsupported = [seen for item in result.results for seen in item.seen if seen.kind == Kind.UNSUPPORTED]
    assert not unsupported
    assert not [item.refused for item in result.results if item.refused]
    assert pipeline.attempt.artifact is not None
    versions = onnx.load_from_string(pipeline.attempt.artifact.data).opset_import
    assert [entry.version for entry in versions] == [opset]


def test_a_reproducer_stands_alone() -> None:
    """It builds the model, runs its nodes one by one, then the whole; the constant is too large for a literal."""
    kind = TensorType("bfloat16", (70,))
    graph = Graph(
        "onnx",
        (Input("x", kind),),
        (Constant("c", np.arange(70, dtype=np.int64)[::-1].copy()),),
        (Node("onnx.Gather", (Ref("x"), Ref("c")), (), (Value("y", kind),)),),
        ("y",),
    )
    case = Case(
        graph, {"x": np.linspace(-1, 1, 70).astype(frontend("onnx").to_array(np.zeros(1)).dtype).astype("bfloat16")}
    )
    observation = Observation(Signature(Stage.INFERENCE, "onnxruntime", Kind.VALUE, "optimized"), Verdict.BUG)
    converter = converters()["onnx"]
    script = render(
        case,
        observation,
        frontend_source=frontend("onnx").source(graph),
        frontend="onnx",
        converter_name="onnx",
        convert_script=converter.script({"opset": 17, "symbolic": True}),
        runtime_script=OnnxRuntime().script({"optimization": "enable_all"}, {"bfloat16"}),
        versions=converter.requires,
    )
    assert "generators" not in script
    result = verify(script, runs=1)
    assert result.statuses == (0,), result.outputs
