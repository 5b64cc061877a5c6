"""Experiments about real defects: what they give, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

import msgspec
import numpy as np
import pytest

from corpus.records import Finding, FindingState
from fuzzer.blaming import Blamer
from fuzzer.inquiry import BLAME, EXPERIMENTS
from fuzzer.runtimes.onnxruntime import OnnxRuntime
from fuzzer.supervisor import Limits, Worker, WorkerDied
from fuzzer.tasks import ExperimentResult, ExperimentTask, Ran, Result, Seen, Step, Subject, Task
from fuzzer.verdicts import NARROW_WORDS
from generators.graph import Case, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.blame import Blame, Confidence, Evidence, Outcome, Role, Rule
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict, symptom_of
from tests.fuzzer.graphs import given, unary
from tests.fuzzer.test_witness import CONVERTER, negative_any

EVERYWHERE = ("onnxruntime unoptimized", "onnxruntime optimized")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(Limits(deadline=60))
    yield worker
    worker.close()


def finding(signature: Signature, settings: tuple[str, ...] = (), converter: str = CONVERTER) -> Finding:
    return Finding(
        id="0" * 12,
        campaign="c",
        batch=0,
        case=0,
        signature=signature,
        symptom=symptom_of(signature.kind),
        frontend="torch",
        converter=converter,
        converter_settings={},
        settings=settings,
        message="",
        numbers={},
        state=FindingState.VERIFIED,
        created=0.0,
        case_object="",
    )


def rows(verdict: Blame, role: Role) -> dict[str, Outcome]:
    return {f"{item.component} {item.detail}".strip(): item.outcome for item in verdict.evidence if item.role is role}


WRONG = Signature(Stage.CONVERT, CONVERTER, Kind.VALUE)


def test_a_converter_that_is_wrong_for_every_runtime(worker: Worker) -> None:
    blamer = Blamer(worker, 120)
    started = time.process_time()
    verdict = blamer.blame(finding(WRONG, EVERYWHERE), dumps(negative_any()))
    assert (verdict.component, verdict.confidence, verdict.rule) == (CONVERTER, Confidence.HIGH, Rule.UNANIMOUS)
    own = {f"onnxruntime {variant}": Outcome.SAME for variant in OnnxRuntime.variants}
    assert rows(verdict, Role.VARIANT) == own
    [juror] = [item for item in verdict.evidence if item.component == "onnx.reference"]
    assert (juror.role, juror.outcome) == (Role.JUROR, Outcome.SAME)
    assert juror.words.endswith("; with other values, too")
    assert rows(verdict, Role.DOUBLE) == {"torch float64": Outcome.RIGHT}
    assert rows(verdict, Role.SIBLING) == {"torch.onnx-dynamo onnxruntime unoptimized": Outcome.RIGHT}
    [part] = [item for item in verdict.evidence if item.role is Role.PART]
    assert part.outcome is Outcome.SAME
    assert "expected True, got False" in part.words
    assert {BLAME, EXPERIMENTS} <= set(blamer.parts)
    assert blamer.parts[EXPERIMENTS] > time.process_time() - started  # it is the worker that worked


def test_what_is_not_seen_again_ends_the_experiments(worker: Worker) -> None:
    verdict = Blamer(worker, 120).blame(finding(WRONG, EVERYWHERE), dumps(unary("torch", "exp", "float32", 2)))
    assert (verdict.component, verdict.confidence, verdict.rule) == (CONVERTER, Confidence.LOW, Rule.NOT_AGAIN)
    assert [item.outcome for item in verdict.evidence] == [Outcome.RIGHT]


def test_what_there_is_no_time_for_abstains(worker: Worker) -> None:
    moments = iter([0.0, *[200.0] * 100])
    verdict = Blamer(worker, 120, lambda: next(moments)).blame(finding(WRONG, EVERYWHERE), dumps(negative_any()))
    assert verdict.evidence[0].outcome is Outcome.SAME
    assert {item.words for item in verdict.evidence[2:]} == {"no time left"}
    assert {item.outcome for item in verdict.evidence[2:]} == {Outcome.ABSTAINS}


class DyingJuror(Worker):
    """A worker that a juror ends, each time that it is asked."""

    def call(self, task: Task, deadline: float | None = None, **options: object) -> Result:
        if isinstance(task, ExperimentTask) and task.runtime == "onnx.reference":
            step = Step("run", "onnx.reference", (0,), task.case)
            raise WorkerDied(Kind.SIGNAL, "SIGSEGV", step, "", (), "", {"subjects": 0.5})
        return super().call(task, deadline)


def test_a_juror_that_dies_loses_its_vote_and_not_the_finding() -> None:
    worker = DyingJuror(Limits(deadline=60))
    try:
        verdict = Blamer(worker, 120).blame(finding(WRONG, EVERYWHERE), dumps(negative_any()))
    finally:
        worker.close()
    [juror] = [item for item in verdict.evidence if item.role is Role.JUROR and item.component == "onnx.reference"]
    assert (juror.outcome, juror.words) == (Outcome.ABSTAINS, "dies: signal (SIGSEGV) in step run onnx.reference")
    assert verdict.component == CONVERTER
    assert all(item.outcome is not Outcome.ABSTAINS for item in verdict.evidence if item.role is Role.VARIANT)


class Killed:
    """A worker that is killed from outside before it answers, so many times."""

    limits = Limits()

    def __init__(self, times: int) -> None:
        self.times = times

    def call(self, task: Task, deadline: float | None = None) -> Result:
        if self.times:
            self.times -= 1
            raise WorkerDied(Kind.SIGNAL, "SIGKILL", Step("idle"), "", (), "", {})
        return ExperimentResult(refused="nobody minds")


@pytest.mark.parametrize(("times", "words"), [(1, "eager mode refuses the case: nobody minds"), (2, "dies: signal")])
def test_who_is_killed_from_outside_is_asked_once_more(times: int, words: str) -> None:
    verdict = Blamer(cast(Worker, Killed(times)), 120).blame(finding(WRONG, EVERYWHERE), dumps(negative_any()))
    [control] = verdict.evidence
    assert control.outcome is Outcome.ABSTAINS
    assert control.words.startswith(words)


class TellingJuror(Worker):
    """A worker in which a juror is heard to say this."""

    said: Observation

    def call(self, task: Task, deadline: float | None = None, **options: object) -> Result:
        if isinstance(task, ExperimentTask) and task.runtime == "onnx.reference":
            return ExperimentResult(sizes=(Ran((Seen.of(self.said),)),))
        return super().call(task, deadline)


@pytest.mark.parametrize(
    ("kind", "detail", "words"),
    [
        (Kind.EXCEPTION, "no kernel", "fails: exception at inference by onnx.reference: no kernel"),
        (Kind.UNSUPPORTED, f"it {NARROW_WORDS}", f"onnx.reference does not support it: it {NARROW_WORDS}"),
    ],
)
def test_who_gives_no_result_has_no_vote_on_values(kind: Kind, detail: str, words: str) -> None:
    worker = TellingJuror(Limits(deadline=60))
    verdict = Verdict.BUG if kind is Kind.EXCEPTION else Verdict.INCONCLUSIVE
    worker.said = Observation(Signature(Stage.INFERENCE, "onnx.reference", kind, detail), verdict, detail)
    try:
        blamed = Blamer(worker, 120).blame(finding(WRONG, EVERYWHERE), dumps(negative_any()))
    finally:
        worker.close()
    [juror] = [item for item in blamed.evidence if item.role is Role.JUROR and item.component == "onnx.reference"]
    assert (juror.outcome, juror.words) == (Outcome.ABSTAINS, words)
    assert blamed.component == CONVERTER


def test_subjects_that_are_not_installed_leave_it_as_observed(worker: Worker) -> None:
    absent = Signature(Stage.CONVERT, "nobody", Kind.VALUE)
    verdict = Blamer(worker, 120).blame(finding(absent, EVERYWHERE, "nobody"), b"")
    assert (verdict.component, verdict.confidence, verdict.rule) == ("nobody", Confidence.LOW, Rule.OBSERVED)
    assert verdict.evidence == (
        Evidence(Role.CONTROL, "nobody", "", Outcome.ABSTAINS, "its subjects are not installed"),
    )


def test_kernels_that_are_held_against_each_other_are_not_looked_for_elsewhere(worker: Worker) -> None:
    signature = Signature(Stage.INFERENCE, "litert", Kind.VALUE, "xnnpack, builtin against reference")
    verdict = Blamer(worker, 120).blame(
        msgspec.structs.replace(finding(signature, ("xnnpack",), "tflite"), frontend="tensorflow"), b""
    )
    assert (verdict.component, verdict.confidence, verdict.rule) == ("litert", Confidence.LOW, Rule.OBSERVED)
    assert [item.outcome for item in verdict.evidence] == [Outcome.ABSTAINS]


def two_transposes() -> Case:
    """ONNX Runtime cancels the one against the other."""
    pairs, rows = TensorType("float32", (3, 2)), TensorType("float32", (2, 3))
    nodes = (
        Node("onnx.Transpose", (Ref("x"),), (("perm", (1, 0)),), (Value("a", pairs),)),
        Node("onnx.Transpose", (Ref("a"),), (("perm", (1, 0)),), (Value("b", rows),)),
        Node("onnx.Mul", (Ref("b"), Ref("x")), (), (Value("y", rows),)),
    )
    graph = Graph("onnx", (given("x", "float32", 2, 3),), (), nodes, ("y",))
    return Case(graph, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"optimization": "enable_all"}, ("TransposeOptimizer",)),
        # Another one steps in.
        (
            {"optimization": "enable_all", "disabled": "TransposeOptimizer"},
            ("TransposeOptimizer_CPUExecutionProvider",),
        ),
        (
            {
                "optimization": "enable_all",
                "disabled": "TransposeOptimizer,TransposeOptimizer_CPUExecutionProvider",
            },
            (),
        ),
        ({"optimization": "disable_all"}, ()),
    ],
)
def test_optimizers_of_onnxruntime_are_named_and_switched_off(
    worker: Worker, settings: dict[str, bool | int | float | str], names: tuple[str, ...]
) -> None:
    subject = Subject("onnx", "onnx", {}, ())
    task = ExperimentTask(subject, dumps(two_transposes()), "onnxruntime", settings, optimizers=True)
    result = worker.call(task)
    assert isinstance(result, ExperimentResult)
    assert result.optimizers == names
