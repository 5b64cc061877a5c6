"""What jurors get wrong themselves becomes a finding of theirs; what they get right by accident is no vote."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from corpus.records import FindingState, IssuedBatch
from corpus.store import Store
from fuzzer.blaming import Blamer
from fuzzer.config import CampaignConfig
from fuzzer.converters.base import converters
from fuzzer.experiments import Experiment, Scene
from fuzzer.handling import Handler
from fuzzer.other_values import other_values
from fuzzer.own_errors import Vote, own_errors
from fuzzer.planning import subject_of
from fuzzer.recording import judged_batch
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Limits, Worker
from fuzzer.tasks import ExperimentResult, ExperimentTask, JudgeTask, Ran, Result, Seen, Subject, Task
from generators.graph import Array, Case, Graph, Input, Node, Ref, TensorType, Value, type_of
from generators.serial import dumps, loads
from oracles.blame import Accused, Blame, Confidence, Outcome, Role, Rule
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from tests.fuzzer.graphs import given
from tests.fuzzer.planted_campaigns import finish, start
from tests.fuzzer.test_blaming import EVERYWHERE, WRONG, finding
from tests.fuzzer.test_witness import CONVERTER, negative_any

RIGHT, SAME, OTHER, NONE = Outcome.RIGHT, Outcome.SAME, Outcome.OTHER, Outcome.ABSTAINS
SUBJECT = Subject("torch", CONVERTER, {"opset": 17}, ())
VERIFIED, ALWAYS = FindingState.VERIFIED, ("unoptimized", "optimized")
CASE, EXTENDED = b"the case", b"with other values"


def scene(converter: str = CONVERTER) -> Scene:
    accused = Accused(Signature(Stage.INFERENCE, "onnxruntime", Kind.VALUE), "torch", converter)
    return Scene(SUBJECT, converters()[converter], runtimes()["onnxruntime"], "optimized", accused)


def vote(runtime: str, variant: str, outcome: Outcome, *kinds: Kind, case: bytes = CASE) -> Vote:
    """A juror's, with wrong outputs of these kinds."""
    role = Role.VARIANT if runtime == "onnxruntime" else Role.JUROR
    seen = tuple(
        Seen.of(Observation(Signature(Stage.INFERENCE, runtime, kind), Verdict.BUG, f"{runtime} {kind}", (0,)))
        for kind in kinds
    )
    result = ExperimentResult(sizes=(Ran(seen, b"outputs"),))
    return Vote(Experiment(role, runtime, variant, SUBJECT, runtime), case, result, outcome)


def verdict(rule: Rule = Rule.MAJORITY) -> Blame:
    return Blame("onnxruntime", Confidence.HIGH, rule)


ACCUSED = vote("onnxruntime", "optimized", SAME, Kind.VALUE)
ORT_RIGHT = vote("onnxruntime", "unoptimized", RIGHT)
OPENVINO = vote("openvino", "f32", RIGHT)
REFERENCE = vote("onnx.reference", "python", RIGHT)
TVM = vote("tvm", "llvm", RIGHT)
MNN = vote("mnn", "cpu", OTHER, Kind.VALUE)


@pytest.mark.parametrize(
    ("votes", "detail", "variants"),
    [
        ([ACCUSED, OPENVINO, MNN, REFERENCE], "cpu", (("mnn", "cpu"), ("openvino", "f32"))),
        ([ACCUSED, TVM, MNN], "cpu", (("mnn", "cpu"), ("tvm", "llvm"))),
        ([ACCUSED, TVM, MNN, OPENVINO], "cpu", (("mnn", "cpu"), ("openvino", "f32"))),
        ([ACCUSED, ORT_RIGHT, MNN], "cpu", (("mnn", "cpu"), ("onnxruntime", "unoptimized"))),
        # Judged alone, it is contradicted by the evaluator, which says so in other words.
        ([ACCUSED, REFERENCE, MNN], "mnn cpu", (("mnn", "cpu"),)),
    ],
    ids=["a fast one is right", "a slow one is", "a fast one before a slow one", "the accused is", "the evaluator is"],
)
def test_a_juror_that_is_wrong_in_its_own_way_is_judged_beside_one_that_is_right(
    votes: list[Vote], detail: str, variants: tuple[tuple[str, str], ...]
) -> None:
    [error] = own_errors(scene(), verdict(), votes)
    assert error.observation.signature == Signature(Stage.INFERENCE, "mnn", Kind.VALUE, detail)
    assert (error.observation.message, error.observation.settings) == ("mnn value", detail)
    assert (error.case, error.settings, error.variants) == (CASE, {"opset": 17}, variants)


@pytest.mark.parametrize(
    ("rule", "votes"),
    [
        (Rule.UNANIMOUS, [ACCUSED, OPENVINO, MNN]),
        (Rule.SPLIT, [ACCUSED, OPENVINO, MNN]),
        (Rule.MAJORITY, [ACCUSED, MNN]),
        (Rule.MAJORITY, [ACCUSED, OPENVINO, vote("mnn", "cpu", SAME, Kind.VALUE)]),
        (Rule.MAJORITY, [ACCUSED, OPENVINO, vote("mnn", "cpu", NONE)]),
        (Rule.MAJORITY, [ACCUSED, OPENVINO, vote("onnx.reference", "python", OTHER, Kind.VALUE)]),
        # Right where the accused is wrong, and wrong elsewhere.
        (Rule.MAJORITY, [ACCUSED, vote("openvino", "f32", RIGHT, Kind.VALUE), MNN]),
        (Rule.MAJORITY, [ACCUSED, OPENVINO, vote("openvino", "f32", OTHER, case=EXTENDED), MNN]),
    ],
    ids=[
        "the artifact is wrong",
        "nobody knows",
        "nobody is right",
        "it errs alike",
        "it has no vote",
        "a witness is no subject",
        "the other is not right about all",
        "the other is right by accident",
    ],
)
def test_no_finding_is_made(rule: Rule, votes: list[Vote]) -> None:
    assert own_errors(scene(), verdict(rule), votes) == []


def test_the_gravest_kind_on_the_variants_that_always_run() -> None:
    votes = [
        vote("openvino", "f32", OTHER, Kind.VALUE, Kind.NONFINITE),
        vote("openvino", "threads", OTHER, Kind.NONFINITE),
        TVM,
    ]
    [error] = own_errors(scene(), verdict(), votes)
    assert error.observation.signature == Signature(Stage.INFERENCE, "openvino", Kind.NONFINITE, "f32")
    [error] = own_errors(scene(), verdict(), votes[1:])
    assert error.variants == (("openvino", "threads"), ("tvm", "llvm"))


def test_what_is_wrong_with_other_values_is_told_of_these() -> None:
    accident = [vote("mnn", "cpu", RIGHT), vote("mnn", "cpu", OTHER, Kind.VALUE, case=EXTENDED)]
    both = [OPENVINO, replace(OPENVINO, case=EXTENDED)]
    [error] = own_errors(scene(), verdict(), [*accident, *both])
    assert (error.case, error.variants) == (EXTENDED, (("mnn", "cpu"), ("openvino", "f32")))


# -- other values --------------------------------------------------------------------------------------------------


def fed(*arrays: Array) -> Case:
    inputs = tuple(Input(f"x{place}", type_of(array)) for place, array in enumerate(arrays))
    return Case(Graph("torch", inputs, (), (), ()), {f"x{place}": array for place, array in enumerate(arrays)})


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.complex64])
def test_numbers_are_moved_and_what_is_special_about_them_stays(dtype: type) -> None:
    given = np.array([0.0, 1.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 3e4], dtype)
    first, second = (feeds["x0"] for feeds in other_values(fed(given)))
    for found in (first, second):
        assert type_of(found) == type_of(given)
        assert len(set(found[1:4].tolist())) == 3
        assert (np.sign(found[1:4].real) == np.sign(given[1:4].real)).all()
        ratio = np.abs(found[1:4].astype(complex))
        assert ((ratio >= 1) & (ratio <= 2)).all()
        np.testing.assert_array_equal(found[4:7].astype(complex), given[4:7].astype(complex))
        assert np.isfinite(found[7].astype(complex))
    assert (first[0], second[0]) != (0, 0)
    assert second[0] == 0


def test_integers_are_put_in_another_order_at_first() -> None:
    found = [feeds["x0"].tolist() for feeds in other_values(fed(np.array([[0, 1], [2, 3]], np.int64)))]
    assert found == [[[3, 0], [1, 2]]]
    assert list(other_values(fed(np.array([True, True])))) == list(other_values(fed())) == []


# -- votes ---------------------------------------------------------------------------------------------------------


class Juror(Worker):
    """A worker in which the evaluator is right about the case, and wrong in its own way about others."""

    asked: list[int]

    def call(self, task: Task, deadline: float | None = None, **options: object) -> Result:
        if not isinstance(task, ExperimentTask) or task.runtime != "onnx.reference":
            return super().call(task, deadline)
        further = len(loads(task.case).further)
        self.asked.append(further)
        signature = Signature(Stage.INFERENCE, "onnx.reference", Kind.VALUE)
        wrong = Seen.of(Observation(signature, Verdict.BUG, "expected True, got 7", (0,)))
        held = super().call(task, deadline)
        assert isinstance(held, ExperimentResult)
        return ExperimentResult(
            sizes=(Ran((), held.sizes[0].outputs), *(Ran((wrong,), ran.outputs) for ran in held.sizes[1:]))
        )


def test_a_juror_that_is_right_by_accident_has_no_vote() -> None:
    worker = Juror(Limits(deadline=60))
    worker.asked = []
    try:
        blamed = Blamer(worker, 120).blame(finding(WRONG, EVERYWHERE), dumps(negative_any()))
    finally:
        worker.close()
    assert worker.asked == [0, 1]
    [juror] = [item for item in blamed.evidence if item.role is Role.JUROR and item.component == "onnx.reference"]
    assert (juror.outcome, juror.words) == (OTHER, "right about these values, not about others: expected True, got 7")
    assert blamed.component == CONVERTER


def logsumexp() -> Case:
    """ONNX Runtime gives inf for nan, and MNN 87."""
    node = Node("torch.logsumexp", (Ref("x"), 0), (), (Value("y", TensorType("float32", ())),))
    graph = Graph("torch", (given("x", "float32", 2),), (), (node,), ("y",))
    return Case(graph, {"x": np.array([np.inf, np.nan], np.float32)})


def test_what_a_vote_shows_of_mnn_is_minimized_and_verified(tmp_path: Path) -> None:
    if problem := runtimes()["mnn"].availability().problem:
        pytest.skip(problem)
    config = CampaignConfig(seed=0, minimize_seconds=120, verify_runs=1, blame_seconds=240.0)
    worker = Worker(Limits(deadline=60))
    # In a batch of ONNX Runtime alone, all of which is wrong, and right by ONNX's evaluator.
    issued = IssuedBatch(0, "torch", CONVERTER, {}, 1, 1, tuple(("onnxruntime", name) for name in ALWAYS))
    try:
        with Store.open(tmp_path / "corpus", create=True) as store:
            campaign = store.create_campaign(0, config.to_builtins(), {}).id
            store.issue(campaign, [issued])
            handler = Handler(store, config, lambda: False, lambda: math.inf)
            task = JudgeTask(subject_of(issued), ((0, dumps(logsumexp())),))
            store.record_batch(judged_batch(campaign, issued, worker.call(task), 0.0))  # type: ignore[arg-type]
            batch = store.batch(campaign, 0)
            [first] = store.list_findings()
            handled = handler.handle(first, batch, worker, lambda text: None)
            assert handled.finding.blame is not None
            assert (handled.finding.state, handled.finding.blame.component) == (VERIFIED, "onnxruntime:kernels")
            [other] = handled.others
            assert ("mnn", "cpu") in store.find(other).variants
            handled = handler.handle(store.find(other), batch, worker, lambda text: None)
            assert (handled.finding.state, handled.others) == (VERIFIED, ())
            assert handled.finding.signature.component == "mnn"
    finally:
        worker.close()


def test_a_runtime_that_nobody_had_accused_gets_a_finding_of_its_own(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    routes = [f"torch:identity.torch:{name}" for name in ("planted-saturates", "interpreter")]
    operators: Sequence[str] = ("torch.neg", "torch.add")
    campaign = finish(start(corpus, seed=3, graphs=48, routes=routes, operators=operators, blame=60.0))
    with Store.open(corpus) as store:
        recorded = store.list_findings(campaign=campaign)
        own = [one for one in recorded if one.signature.component == "planted-off-by-one"]
        assert {one.signature.component for one in recorded} == {"planted-saturates", "planted-off-by-one"}
        assert own
        assert {one.variants for one in own} == {(("planted-off-by-one", "eager"), ("interpreter", "eager"))}
        assert Counter(one.state for one in own)[FindingState.VERIFIED] == 1
        [shown] = [one for one in own if one.state is FindingState.VERIFIED]
        assert shown.blame is not None
        assert (shown.nodes, shown.blame.component) == (1, "planted-off-by-one")
        # What votes on them gave was known: no case has two of a runtime and kind.
        places = Counter((one.batch, one.case, one.signature.component, one.signature.kind) for one in recorded)
        assert max(places.values()) == 1
