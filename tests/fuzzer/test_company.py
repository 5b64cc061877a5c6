"""What fails only in company, or only alone, is told as such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest

from fuzzer import attempt
from fuzzer.converters.identity import TorchIdentity
from fuzzer.formats import Artifact, InvalidModel, Settings
from fuzzer.pipeline import Pipeline
from fuzzer.runtimes.interpreter import Interpreter
from fuzzer.tasks import BatchResult, BatchTask, CaseResult, JudgeTask, Subject
from generators.frontends.base import LoadedModel
from generators.graph import Array, Case, Constant, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps, loads
from generators.transforms import trim, with_outputs
from oracles.outcome import Kind
from tests.fuzzer.graphs import unary

OPERATORS = ("torch.neg", "torch.sin", "torch.cos")


class Sociable(TorchIdentity):
    """Raises for a negation and a sine in one model."""

    name = "sociable"

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        if settings.get("raises") and {"torch.neg", "torch.sin"} <= set(model.graph.operators()):
            raise ValueError("too much")
        return super().convert(model, settings)


class Cut(Sociable):
    """As a converter whose artifacts can be cut, with a validator that refuses unions."""

    name = "cut"
    sliceable = True

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        if {"torch.neg", "torch.sin"} <= set(loads(artifact.data).graph.operators()):
            raise InvalidModel("not together")

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        case = loads(artifact.data)
        parts, start = [], 0
        for inputs, outputs in counts:
            part = trim(replace(case, graph=with_outputs(case.graph, case.graph.outputs[start : start + outputs])))
            names = tuple(value.name for value in part.graph.inputs)
            assert len(names) == inputs
            parts.append(replace(artifact, data=dumps(part), inputs=names, outputs=part.graph.outputs))
            start += outputs
        return parts


class Shy(Interpreter):
    """Negates wrongly beside a sine, or only alone."""

    name = "shy"
    variants: ClassVar[dict[str, Settings]] = {"beside": {}, "alone": {"alone": True}, "right": {"right": True}}

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        return super().load(artifact, settings), loads(artifact.data).graph, settings

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        inner, graph, settings = session
        outputs = super().run(inner, artifact, feeds)
        makers = {value.name: node.target for node in graph.nodes for value in node.outputs}
        wrong = len(graph.nodes) == 1 if settings.get("alone") else "torch.sin" in graph.operators()
        if wrong and not settings.get("right"):
            for index, name in enumerate(graph.outputs):
                if makers.get(name) == "torch.neg":
                    outputs[index] = outputs[index] + np.ones((), outputs[index].dtype)
        return outputs


def judged(
    monkeypatch: pytest.MonkeyPatch, variant: str, index: int = 0, converter: str = "sociable", **settings: bool
) -> BatchResult:
    monkeypatch.setattr(attempt, "converters", lambda: {"sociable": Sociable(), "cut": Cut()})
    monkeypatch.setattr(attempt, "runtimes", lambda: {"shy": Shy()})
    subject = Subject("torch", converter, dict(settings), (("shy", variant),))
    pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
    return pipeline.batch(BatchTask(subject, 5, index, tuple(range(8)), 1, operators=OPERATORS, pack=8))


def bugs(result: CaseResult) -> list[str]:
    return [seen.kind for seen in result.seen if seen.verdict == "bug"]


def test_a_mismatch_that_is_gone_alone_is_a_finding_of_the_union(monkeypatch: pytest.MonkeyPatch) -> None:
    result = judged(monkeypatch, "beside")
    union, *others = result.results
    assert union.number == -1
    assert set(bugs(union)) == {Kind.VALUE.value}
    graph = loads(union.case).graph
    assert {"torch.neg", "torch.sin"} <= set(graph.operators())
    makers = {value.name: node.target for node in graph.nodes for value in node.outputs}
    told = {makers[graph.outputs[output]] for seen in union.seen for output in seen.outputs}
    assert told == {"torch.neg"}
    assert not any(bugs(other) for other in others)
    assert result.funnel["shy beside"] == {"success": 8}


def test_an_exception_of_the_union_alone_is_a_finding_of_the_union(monkeypatch: pytest.MonkeyPatch) -> None:
    result = judged(monkeypatch, "right", raises=True)
    assert [bugs(item) for item in result.results if item.number < 0] == [[Kind.EXCEPTION.value]]
    assert not any(bugs(item) for item in result.results if item.number >= 0)


def test_a_union_that_only_its_validator_refuses_is_a_finding_beside_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    result = judged(monkeypatch, "right", converter="cut")
    assert [bugs(item) for item in result.results if item.number < 0] == [[Kind.INVALID.value]]
    assert [item.number for item in result.results if item.number >= 0] == list(range(8))
    assert not any(bugs(item) for item in result.results if item.number >= 0)
    assert result.conversions == 1


def test_now_and_then_a_graph_is_converted_alone_and_what_shows_then_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [judged(monkeypatch, "alone", index) for index in range(300)]
    found = [seen for result in results for item in result.results for seen in item.seen if seen.verdict == "bug"]
    # One pack in forty, and a third of its graphs negate.
    assert 0 < len(found) < 20
    assert all("only alone" in seen.message for seen in found)


def test_what_is_refused_alone_is_not_judged_in_company() -> None:
    """tf2onnx takes no graph without inputs. In a union it would take one, and write an invalid model of bfloat16."""
    kind = TensorType("bfloat16", (1,))
    node = Node("tf.transpose", (Ref("c"),), (), (Value("y", kind),))
    constant = Case(Graph("tensorflow", (), (Constant("c", np.zeros(1, ml_dtypes.bfloat16)),), (node,), ("y",)), {})
    subject = Subject("tensorflow", "tf2onnx", {"opset": 11}, (("onnxruntime", "unoptimized"),))
    cases = [constant, unary("tensorflow", "exp", "float32", 2), constant]
    pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
    result = pipeline.judge(JudgeTask(subject, tuple(enumerate(map(dumps, cases)))))
    seen = [[(one.kind, one.detail) for one in item.seen] for item in result.results]
    refused = [(Kind.UNSUPPORTED.value, "a graph without inputs")]
    assert seen == [refused, [], refused]
