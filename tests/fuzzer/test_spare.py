"""Candidates spread among several workers: who is lent to whom, and what comes back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fuzzer.converters.identity import OnnxIdentity
from fuzzer.spare import Spare
from fuzzer.supervisor import Worker
from fuzzer.survival import RemoteTester
from fuzzer.tasks import BatchResult, CaseResult, JudgeTask, Seen, Subject
from generators.graph import Case, Graph, Input, Node, Ref, TensorType, Value
from generators.serial import loads
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict

WRONG = Signature(Stage.CONVERT, "identity.onnx", Kind.VALUE)
KIND = TensorType("float32", (2,))


def case_of(nodes: int) -> Case:
    """A chain of that many nodes."""
    names = [f"v{number}" for number in range(nodes + 1)]
    chain = tuple(
        Node("onnx.Neg", (Ref(before),), (), (Value(after, KIND),)) for before, after in itertools.pairwise(names)
    )
    graph = Graph("onnx", (Input("v0", KIND),), (), chain, (names[-1],))
    return Case(graph, {"v0": np.zeros(2, np.float32)})


class Judging(Worker):
    """Answers without a process: cases of more than two nodes are wrong. Waits for all at the ``gate``."""

    def __init__(self, gate: threading.Barrier) -> None:
        super().__init__()
        self.gate = gate
        self.sizes: list[int] = []
        self.cpu_seconds = 1.5

    def call(
        self, task: Any, deadline: float | None = None, *, partial: Callable[[BatchResult], None] | None = None
    ) -> BatchResult:
        assert isinstance(task, JudgeTask)
        self.gate.wait(timeout=60)
        results = []
        for number, blob in task.cases:
            size = len(loads(blob).graph.nodes)
            self.sizes.append(size)
            seen = (Seen.of(Observation(WRONG, Verdict.BUG, "wrong")),) if size > 2 else ()
            results.append(CaseResult(number, seen, case=blob))
        return BatchResult(tuple(results), conversions=1, parts={"subjects": 0.25})


def remote(worker: Worker) -> RemoteTester:
    return RemoteTester(worker, Subject("onnx", "identity.onnx", {}, ()), OnnxIdentity())


def test_two_workers_judge_their_parts_at_the_same_time() -> None:
    gate = threading.Barrier(2)
    first, second = Judging(gate), Judging(gate)
    tester = remote(first)
    tester.spread(lambda: [second], 1)
    assert tester.lanes == 2
    trials = tester.test([case_of(size) for size in (1, 3, 2, 2)])
    assert [trial.shows(WRONG) for trial in trials] == [False, True, False, False]
    assert [len(trial.case.graph.nodes) for trial in trials if trial.case] == [1, 3, 2, 2]
    assert (first.sizes, second.sizes) == ([1, 3], [2, 2])
    assert tester.conversions == 2
    assert tester.parts["subjects"] == pytest.approx(0.5)


def test_one_worker_judges_what_is_too_little_to_be_shared() -> None:
    first, second = Judging(threading.Barrier(1)), Judging(threading.Barrier(1))
    tester = remote(first)
    tester.spread(lambda: [second], 64)
    tester.test([case_of(size) for size in (1, 3, 2)])
    assert (first.sizes, second.sizes, tester.conversions) == ([1, 3, 2], [], 1)


def test_spare_workers_go_to_the_first_who_asks_and_come_back() -> None:
    spare, ended = Spare(), list[Worker]()

    def make() -> Worker:
        return Judging(threading.Barrier(1))

    with spare.borrowing(make, ended.append) as one, spare.borrowing(make, ended.append) as other:
        assert one() == []
        spare.add()
        assert len(one()) == 1
        assert one() == one()
        assert other() == []
        spare.add()
        assert (len(other()), len(one())) == (1, 1)
    assert len(ended) == 2
    with spare.borrowing(make, ended.append) as again:
        assert len(again()) == 2
