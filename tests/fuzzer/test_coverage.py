"""What workers count: each case once, under the outcome that the funnel has it under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from corpus.records import Coverage, IssuedBatch, Outcome
from fuzzer import attempt
from fuzzer.converters.identity import TorchIdentity
from fuzzer.coverage import UNREADABLE, Tally, classes_of, merge, outcomes_of
from fuzzer.formats import Artifact, Format, InvalidModel, Settings, Unsupported
from fuzzer.pipeline import Pipeline
from fuzzer.recording import judged_batch
from fuzzer.runtimes.interpreter import Interpreter
from fuzzer.supervisor import Worker, WorkerDied
from fuzzer.survival import judge_numbers
from fuzzer.tasks import BatchResult, BatchTask, JudgeTask, Result, Step, Subject, Task
from generators import selectors, values
from generators.frontends.base import LoadedModel
from generators.graph import Argument, Array, DType, Node, Ref, Slice
from generators.patterns import node_keys
from generators.serial import dumps, loads
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from tests.fuzzer.graphs import unary


class Moody(TorchIdentity):
    """Refuses, fails and errs, each at an operator of its own."""

    name = "moody"

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        operators = model.graph.operators()
        if "torch.neg" in operators:
            raise Unsupported("neg")
        if "torch.sin" in operators:
            raise ValueError("no sine")
        return super().convert(model, settings)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        if "torch.cos" in model.graph.operators():
            raise InvalidModel("cosine")


class MoodyRuntime(Interpreter):
    """As the converter, but only when it is tired."""

    name = "moody-runtime"
    variants: ClassVar[dict[str, Settings]] = {"fresh": {}, "tired": {"tired": True}}

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        operators = loads(artifact.data).graph.operators()
        tired = bool(settings.get("tired"))
        if tired and "torch.tanh" in operators:
            raise Unsupported("tanh")
        if tired and "torch.abs" in operators:
            raise RuntimeError("cannot load")
        return super().load(artifact, settings), tired, operators

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        inner, tired, operators = session
        if tired and "torch.sign" in operators:
            raise RuntimeError("cannot run")
        outputs = super().run(inner, artifact, feeds)
        if "torch.floor" in operators or (tired and "torch.ceil" in operators):
            outputs[0] = outputs[0] + np.ones((), outputs[0].dtype)
        return outputs


OPERATORS = ("neg", "sin", "cos", "tanh", "abs", "sign", "floor", "ceil", "exp")
SUBJECT = Subject("torch", "moody", {}, (("moody-runtime", "fresh"), ("moody-runtime", "tired")))


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """What a worker judges with, over the moody subjects."""
    monkeypatch.setattr(attempt, "converters", lambda: {"moody": Moody()})
    monkeypatch.setattr(attempt, "runtimes", lambda: {"moody-runtime": MoodyRuntime()})
    return Pipeline(SUBJECT, lambda step: None, lambda note: None, lambda: "")


def batch(cases: int, *operators: str, nodes: int = 1) -> BatchTask:
    return BatchTask(SUBJECT, 5, 0, tuple(range(cases)), nodes, operators=tuple(f"torch.{name}" for name in operators))


def test_cells_agree_with_the_funnel(worker: Pipeline) -> None:
    """In graphs of one node a case is in one cell, so that sums over the cells are the numbers of cases."""
    result = worker.batch(batch(60, *OPERATORS))
    assert result.coverage is not None
    sums = {
        variant: {outcome: sum(counts.values()) for outcome, counts in outcomes.items()}
        for variant, outcomes in result.coverage.cells.items()
    }
    assert sums == result.funnel
    assert set(sums[""]) == {"started", "unsupported", "converter failed", "invalid"}
    assert set(sums["moody-runtime fresh"]) == {"mismatch", "success"}
    assert set(sums["moody-runtime tired"]) == {
        *("unsupported", "runtime failed to load", "runtime failed", "mismatch", "success")
    }
    for key in result.coverage.cells["moody-runtime tired"]["runtime failed"]:
        assert key.startswith("torch.sign(")


def test_an_outcome_counts_for_all_operators_of_the_case_once(worker: Pipeline) -> None:
    result = worker.batch(batch(8, "neg", "exp", nodes=6))
    assert result.coverage is not None
    cells = result.coverage.cells
    assert cells[""]["unsupported"]
    assert max(cells[""]["started"].values()) <= 8
    assert any(key.startswith("torch.exp(") for key in cells[""]["unsupported"])
    operators = {name: count for name, count in result.coverage.source.items() if " " not in name}
    assert set(operators) == {"torch.neg", "torch.exp"}
    assert sum(operators.values()) == sum(case.nodes for case in result.results)


def test_a_batch_is_counted_and_a_question_is_not(worker: Pipeline) -> None:
    case = dumps(unary("torch", "exp", "float32", 2))
    assert worker.judge(JudgeTask(SUBJECT, ((0, case),))).coverage is None
    result = worker.batch(batch(2, "exp"))
    record = judged_batch("c", IssuedBatch(0, "torch", "moody", {}, 2, 1), result, 0.1)
    assert record.coverage is result.coverage is not None
    assert record.coverage.format == "graph"


def test_structures_and_motifs_are_counted(worker: Pipeline) -> None:
    """Each once for a graph, whether it passed or not; those of other batches are not."""
    result = worker.batch(BatchTask(SUBJECT, 5, 1, tuple(range(24)), 10, pack=4))
    assert result.coverage is not None
    counted = result.coverage.structures
    assert counted["graph"] == result.funnel[""]["started"] == 24
    assert 2 <= counted["graph with a motif"] <= 20
    motifs = [count for name, count in counted.items() if name.startswith("motif ")]
    assert max(motifs) <= counted["graph with a motif"] <= sum(motifs)
    chosen = worker.batch(batch(4, "exp", "sin")).coverage
    assert chosen is not None
    assert chosen.structures["graph"] == 4
    assert "graph with a motif" not in chosen.structures


def test_profiles_are_counted_by_dtype_and_family(worker: Pipeline) -> None:
    """Of operands that were drawn, and only those: all but the results of nodes."""
    result = worker.batch(BatchTask(SUBJECT, 5, 2, tuple(range(40)), 10, pack=4))
    assert result.coverage is not None
    counted = result.coverage.profiles
    total = sum(count for dtypes in counted.values() for families in dtypes.values() for count in families.values())
    arguments = result.coverage.arguments.values()
    drawn = sum(
        kinds.get(role, 0) for places in arguments for kinds in places.values() for role in ("input", "constant")
    )
    # Of a tuple of values, such as the weights of a module, the arguments count one of each class.
    assert total >= 0.8 * drawn >= 80
    assert set(counted) <= {*values.PROFILES, values.OWN, *selectors.PROFILES}
    assert len(counted) >= 12
    for profile in (name for name in counted if name.startswith("mask")):
        assert set(counted[profile]) == {"bool"}
    assert "typical" not in {name for name, dtypes in counted.items() if "int64" in dtypes}


def test_a_graph_without_profiles_counts_none() -> None:
    tally = Tally("graph")
    tally.case(CASE.graph, (), {})
    assert tally.record().profiles == {}
    graph = replace(CASE.graph, nodes=(replace(CASE.graph.nodes[0], target="torch.of_a_later_release"),))
    tally.case(graph, (), {}, (), ({CASE.graph.inputs[0].name: "ties"},))
    assert tally.record().profiles == {"ties": {"float32": {"other": 1}}}


def observation(stage: Stage, kind: Kind, settings: str = "", verdict: Verdict = Verdict.BUG) -> Observation:
    component = "rt" if stage in {Stage.INFERENCE, Stage.RUNTIME_LOAD} else "converter"
    return Observation(Signature(stage, component, kind), verdict, settings=settings)


def test_outcomes_by_variant() -> None:
    variants = (("rt", "a"), ("rt", "b"), ("other", "a"))
    assert set(outcomes_of([], variants).values()) == {Outcome.SUCCESS}
    everywhere = observation(Stage.CONVERT, Kind.VALUE, "rt a, rt b, other a")
    assert outcomes_of([everywhere], variants) == dict.fromkeys(("rt a", "rt b", "other a"), Outcome.MISMATCH)
    seen = [
        observation(Stage.INFERENCE, Kind.SHAPE, "a, b"),
        observation(Stage.INFERENCE, Kind.VALUE, "b", Verdict.INCONCLUSIVE),
    ]
    assert outcomes_of(seen, variants) == {
        "rt a": Outcome.MISMATCH,
        "rt b": Outcome.INCONCLUSIVE,
        "other a": Outcome.SUCCESS,
    }


@pytest.mark.parametrize(
    ("stage", "kind", "outcome"),
    [
        (Stage.LOAD, Kind.EXCEPTION, Outcome.CONVERTER_FAILED),
        (Stage.VALIDATE, Kind.SIGNAL, Outcome.CONVERTER_FAILED),
        (Stage.VALIDATE, Kind.INVALID, Outcome.INVALID),
        (Stage.CONVERT, Kind.UNSUPPORTED, Outcome.UNSUPPORTED),
        (Stage.CONVERT, Kind.STDOUT, Outcome.CONVERTER_FAILED),
        (Stage.INFERENCE, Kind.STDOUT, Outcome.RUN_FAILED),
    ],
)
def test_what_ends_a_case_before_any_runtime(stage: Stage, kind: Kind, outcome: Outcome) -> None:
    assert outcomes_of([observation(stage, kind)], (("rt", "a"),)) == {"": outcome}


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        (None, {("0", "None")}),
        (True, {("0", "True")}),
        (3, {("0", "number positive")}),
        (-0.5, {("0", "real negative")}),
        (float("nan"), {("0", "real nan")}),
        (2j, {("0", "complex")}),
        ("SAME", {("0", "'SAME'")}),
        ("ij,jk->ik", {("0", "text")}),
        (DType("bfloat16"), {("0", "dtype half")}),
        (Ref("x"), {("0", "input")}),
        (Ref("v"), {("0", "node")}),
        ((), {("0", "empty tuple")}),
        ((2, 2), {("0", "uniform tuple of number positive")}),
        ((2, 3), {("0", "mixed tuple of number positive")}),
        ((2, -1), {("0", "mixed tuple of number negative, number positive")}),
        ((Ref("x"), Ref("v"), Ref("x")), {("0", "tuple of values"), ("0[]", "input"), ("0[]", "node")}),
        (
            (Slice(1, None, -1), ...),
            {
                *(("0", "tuple of values"), ("0[]", "slice"), ("0[]", "Ellipsis")),
                *(("0[].start", "number positive"), ("0[].stop", "None"), ("0[].step", "number negative")),
            },
        ),
    ],
)
def test_classes_of_arguments(value: Argument, classes: set[tuple[str, str]]) -> None:
    roles = {"x": "input", "v": "node"}
    assert set(classes_of(Node("f", (value,), (), ()), roles)) == classes
    named = {(place.replace("0", "dim", 1), kind) for place, kind in classes}
    assert set(classes_of(Node("f", (), (("dim", value),), ()), roles)) == named


def test_an_artifact_that_cannot_be_read_is_counted_as_such() -> None:
    tally = Tally("onnx")
    tally.artifact(Artifact(Format.ONNX, b"\xff\xff garbage", (), ()))
    tally.artifact(Artifact(Format.TFLITE, b"\xff\xff garbage", (), ()))
    assert tally.record().artifact == {UNREADABLE: 2}


def test_merging_adds() -> None:
    one = Coverage(
        "onnx",
        {"a": 1, "a b": 1},
        {"X": 2},
        {"a": {"0": {"input": 1}}},
        {"": {"started": {"a()": 1}}},
        {"graph": 1},
        {"ties": {"int8": {"scatter": 2}}},
    )
    arguments = {"a": {"0": {"input": 1}, "1": {"None": 1}}}
    other = Coverage("onnx", {"a": 2}, {}, arguments, {"r v": {"success": {"a()": 3}}}, {"graph": 3, "no input": 1})
    other = msgspec.structs.replace(other, profiles={"ties": {"int8": {"scatter": 1, "loss": 1}, "bool": {"loss": 1}}})
    assert merge([None, one]) is one
    assert merge([None]) is None
    assert merge([one, None, other]) == Coverage(
        "onnx",
        {"a": 3, "a b": 1},
        {"X": 2},
        {"a": {"0": {"input": 2}, "1": {"None": 1}}},
        {"": {"started": {"a()": 1}}, "r v": {"success": {"a()": 3}}},
        {"graph": 4, "no input": 1},
        {"ties": {"int8": {"scatter": 3, "loss": 1}, "bool": {"loss": 1}}},
    )
    assert one.source == {"a": 1, "a b": 1}


CASE = unary("torch", "exp", "float32", 2)


class Mortal(Worker):
    """Dies of case 1 while it runs the model, whoever asks."""

    def call(self, task: Task, deadline: float | None = None, **_: Any) -> Result:
        assert isinstance(task, (BatchTask, JudgeTask))
        numbers = task.cases if isinstance(task, BatchTask) else tuple(number for number, _ in task.cases)
        if 1 in numbers:
            step = Step("run", "rt", numbers, dumps(CASE) if len(numbers) == 1 else b"", "tired")
            raise WorkerDied(Kind.SIGNAL, "SIGSEGV", step, "", (), "")
        tally = Tally("graph")
        for _ in numbers:
            tally.case(CASE.graph, node_keys(CASE.graph), {"rt tired": Outcome.SUCCESS})
        return BatchResult((), coverage=tally.record() if isinstance(task, BatchTask) else None)


def test_a_case_that_ends_the_worker_is_counted_too() -> None:
    converter = Moody()
    result = judge_numbers(Mortal(), range(4), lambda numbers: BatchTask(SUBJECT, 0, 0, numbers, 1), converter)
    assert result.coverage is not None
    key = "torch.exp(float32)"
    assert result.coverage.source == {"torch.exp": 4}
    assert result.coverage.cells == {
        "": {"started": {key: 4}},
        "rt tired": {"success": {key: 3}, "runtime failed": {key: 1}},
    }
    asked = judge_numbers(
        Mortal(), range(2), lambda numbers: JudgeTask(SUBJECT, tuple((n, b"") for n in numbers)), converter
    )
    assert asked.coverage is None


def test_settings_and_variants_are_counted_by_outcome() -> None:
    case = unary("torch", "relu", "float32", 2)
    tally = Tally("onnx", {"opset": 18, "optimize": False, "extra": ""})
    outcomes = {"onnxruntime a": Outcome.SUCCESS, "onnxruntime b": Outcome.MISMATCH}
    tally.case(case.graph, ["torch.relu(float32)"], outcomes)
    tally.case(case.graph, ["torch.relu(float32)"], {"": Outcome.UNSUPPORTED})
    options = tally.record().options
    assert options["opset"] == {"18": {"started": 2, "mismatch": 1, "unsupported": 1}}
    assert options["optimize"].keys() == {"off"}
    assert options["extra"].keys() == {"none"}
    assert options["runtime"] == {"onnxruntime a": {"success": 1}, "onnxruntime b": {"mismatch": 1}}
    both = merge([tally.record(), tally.record()])
    assert both is not None
    assert both.options["opset"]["18"]["started"] == 4


def test_a_refusal_is_counted_for_the_operator_that_it_is_about() -> None:
    case = unary("torch", "relu", "float32", 2)

    def refusals(keys: list[str], what: str) -> dict[str, dict[str, dict[str, int]]]:
        seen = Observation(Signature(Stage.CONVERT, "subject", Kind.UNSUPPORTED, what), Verdict.PASS)
        tally = Tally("onnx")
        tally.case(case.graph, keys, {"": Outcome.UNSUPPORTED}, seen=[seen, seen])
        return tally.record().refusals

    assert refusals(["torch.relu(int8)"], "no such thing") == {"subject": {"torch.relu(int8)": {"no such thing": 1}}}
    named = refusals(["torch.relu(int8)", "torch.abs(int8)"], "Relu(int8)")
    assert named == {"subject": {"torch.relu(int8)": {"Relu(int8)": 1}}}
    assert refusals(["torch.relu(int8)", "torch.abs(int8)"], "no such thing") == {}
