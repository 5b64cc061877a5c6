"""Where every variant of a runtime is wrong, the format's own evaluator tells whose fault it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from fuzzer import attempt
from fuzzer.converters.base import converters
from fuzzer.formats import Artifact, Format
from fuzzer.pipeline import Pipeline
from fuzzer.runtimes.onnx_reference import OnnxReference
from fuzzer.runtimes.onnxruntime import OnnxRuntime
from fuzzer.supervisor import Limits, WorkerDied
from fuzzer.survival import judge_numbers
from fuzzer.tasks import WITNESS, BatchResult, JudgeTask, Seen, Step, Subject
from generators.graph import Array, Case, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps, loads
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


class DyingWitness:
    """Does a worker's work in this process; the witness ends it, in ``what`` way."""

    limits = Limits()

    def __init__(self, kind: Kind, what: str) -> None:
        self.end = kind, what
        self.asked: list[tuple[int, ...]] = []

    def call(self, task: JudgeTask, deadline: float, partial: Callable[[BatchResult], None]) -> BatchResult:
        def announce(step: Step) -> None:
            if step.name == WITNESS:
                assert dumps(loads(step.case)) == step.case
                self.asked.append(step.cases)
                raise WorkerDied(*self.end, step, "", (), "")

        return Pipeline(task.subject, announce, lambda text: None, lambda: "").judge(task)


@pytest.mark.parametrize("end", [(Kind.SIGNAL, "SIGSEGV"), (Kind.HANG, "over 30 s"), (Kind.MEMORY, "over 100 MiB")])
def test_a_witness_that_dies_is_not_asked_again_and_costs_no_finding(end: tuple[Kind, str]) -> None:
    subject = Subject("torch", CONVERTER, {}, (("onnxruntime", "unoptimized"), ("onnxruntime", "optimized")))
    cases = [negative_any(), unary("torch", "exp", "float32", 2), negative_any()]
    blobs = {number: dumps(case) for number, case in enumerate(cases)}

    def task(numbers: tuple[int, ...]) -> JudgeTask:
        return JudgeTask(subject, tuple((number, blobs[number]) for number in numbers))

    worker = DyingWitness(*end)
    result = judge_numbers(worker, tuple(blobs), task, converters()[CONVERTER])  # type: ignore[arg-type]
    assert worker.asked == [(0,), (2,)]
    seen = [[(one.component, one.stage, one.kind) for one in item.seen] for item in result.results]
    assert seen == [[(CONVERTER, Stage.CONVERT, Kind.VALUE)], [], [(CONVERTER, Stage.CONVERT, Kind.VALUE)]]


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


def test_a_witness_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(OnnxReference):
        def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
            for _ in range(3000):
                time.sleep(0.01)
            return super().run(session, artifact, feeds)

    monkeypatch.setitem(attempt.WITNESSES, Format.ONNX, Slow())
    monkeypatch.setattr(attempt, "_WITNESS_SECONDS", 1)
    started = time.monotonic()
    [[seen, *_]] = judged(negative_any())
    assert time.monotonic() - started < 25
    assert (seen.component, seen.stage) == (CONVERTER, Stage.CONVERT.value)
