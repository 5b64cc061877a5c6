"""ONNX graphs are run by ONNX Runtime, which is a subject as well: what ends it is a finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from fuzzer.converters.base import converters
from fuzzer.pipeline import Pipeline
from fuzzer.reduction import reduce
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Worker
from fuzzer.survival import RemoteTester, judge_numbers
from fuzzer.tasks import JudgeTask, Subject
from generators.frontends.base import Frontend, frontend
from generators.graph import Array, Case, Graph, Input, Node, Ref, TensorType, Value
from generators.serial import dumps, loads
from oracles.minimize import Budget
from oracles.outcome import Kind, Signature, Stage, Verdict
from oracles.reproducer import render
from oracles.verification import verify

SUBJECT = Subject("onnx", "onnx", {"opset": 22, "symbolic": False}, (("onnxruntime", "unoptimized"),))
ENDED = Signature(Stage.INFERENCE, "onnxruntime", Kind.SIGNAL, "SIGABRT")


def f32(*shape: int) -> TensorType:
    return TensorType("float32", shape)


def layer_of(steps: int) -> Case:
    """A rectifier, and a GRU over so many steps behind it: ONNX Runtime 1.31.1 aborts where there are none."""
    inputs = {"x": (steps, 1, 2), "w": (1, 3, 2), "r": (1, 3, 1)}
    results = (Value("y", f32(steps, 1, 1, 1)), Value("h", f32(1, 1, 1)))
    nodes = (
        Node("onnx.Relu", (Ref("x"),), (), (Value("v", f32(*inputs["x"])),)),
        Node("onnx.GRU", (Ref("v"), Ref("w"), Ref("r")), (("hidden_size", 1), ("outputs", 2)), results, unpack=True),
    )
    graph = Graph("onnx", tuple(Input(name, f32(*shape)) for name, shape in inputs.items()), (), nodes, ("y", "h"))
    return Case(graph, {name: np.full(shape, 0.5, np.float32) for name, shape in inputs.items()})


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def onnx() -> Iterator[Frontend]:
    chosen = frontend("onnx")
    yield chosen
    chosen.stand_in(False)


def test_what_stands_in_runs_and_prints_the_same(onnx: Frontend) -> None:
    case = layer_of(3)
    for active in (False, True):
        onnx.stand_in(active)
        values = onnx.run(case.graph, case.feeds)
        for name, printed in zip(case.graph.outputs, onnx.execute(onnx.load(case)), strict=True):
            np.testing.assert_array_equal(printed, values[name])
        wide = onnx.evaluate(case.graph.nodes[1], {**case.feeds, "v": values["v"]}, double=True)
        np.testing.assert_allclose(wide[1], values["h"], rtol=1e-6)


def test_what_ends_eager_mode_and_its_runtime_is_a_finding(worker: Worker) -> None:
    cases = tuple(enumerate(map(dumps, (layer_of(2), layer_of(0), layer_of(1)))))

    def task(numbers: tuple[int, ...], subject: Subject = SUBJECT) -> JudgeTask:
        return JudgeTask(subject, tuple(cases[number] for number in numbers))

    found = judge_numbers(worker, range(3), task, converters()["onnx"]).results
    assert [item.refused for item in found] == ["", "", ""]
    assert [item.stand_in for item in found] == [False, True, False]
    assert [[seen.observation().signature for seen in item.seen] for item in found] == [[], [ENDED], []]
    assert loads(found[1].case).graph == layer_of(0).graph


def test_what_ends_eager_mode_alone_is_refused(worker: Worker) -> None:
    subject = Subject("onnx", "onnx", SUBJECT.settings, ())

    def task(numbers: tuple[int, ...]) -> JudgeTask:
        return JudgeTask(subject, tuple((number, dumps(layer_of(0))) for number in numbers))

    [result] = judge_numbers(worker, [0], task, converters()["onnx"]).results
    assert not result.seen
    assert result.refused.startswith("eager mode of onnx dies at")


def test_it_is_minimized_and_its_script_shows_it(worker: Worker) -> None:
    converter = converters()["onnx"]
    tester = RemoteTester(worker, SUBJECT, converter)
    assert set(tester.values(layer_of(0))) >= {"v", "y", "h"}
    reduced = reduce(layer_of(0), ENDED, tester, budget=Budget(600, 200))
    assert [node.target for node in reduced.case.graph.nodes] == ["onnx.GRU"]
    assert reduced.observation.verdict is Verdict.BUG
    runtime = runtimes()["onnxruntime"]
    script = render(
        reduced.case,
        reduced.observation,
        frontend_source=frontend("onnx").source(reduced.case.graph),
        frontend="onnx",
        converter_name="onnx",
        convert_script=converter.script(SUBJECT.settings),
        runtime_script=runtime.script(runtime.variants["unoptimized"]),
    )
    assert "run_nodes" not in script
    outcome = verify(script, runs=2, deadline=120)
    assert outcome.failures == 2, outcome.outputs


def test_nothing_is_compared_with_what_stands_in(onnx: Frontend, monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(node: Node, opset: int, arrays: Sequence[Array | None]) -> list[Array]:
        return [np.zeros(value.type.shape, value.type.dtype) for value in node.outputs]

    monkeypatch.setattr("generators.frontends.onnx.run_or_infer", zeros)
    for active in (False, True):
        subject = replace(SUBJECT, stand_in=active)
        pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
        [result] = pipeline.judge(JudgeTask(subject, ((0, dumps(layer_of(2))),))).results
        assert not result.refused
        assert result.seen == ()
