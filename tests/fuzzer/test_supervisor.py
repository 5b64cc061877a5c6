"""Workers that die: what killed them is known, and every case gets a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import psutil
import pytest

from fuzzer.converters.base import Converter
from fuzzer.formats import Format
from fuzzer.supervisor import Limits, Worker, WorkerDied, worker_environment
from fuzzer.survival import RemoteTester, judge_numbers, signature_of
from fuzzer.tasks import BatchResult, BatchTask, CaseResult, JudgeTask, Result, Step, Subject, Task, ValuesTask
from generators.graph import Case, Graph, Input, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.forking import Zygote
from oracles.outcome import Kind, Signature, Stage
from tests.fuzzer.planted_campaigns import environment

F32 = TensorType("float32", (3,))
LIMITS = Limits(deadline=8, memory=1200)


def chain(*targets: str) -> Case:
    """A graph that calls the targets one after the other on a vector of three."""
    nodes = tuple(
        Node(target, (Ref(f"v{index}"),), (), (Value(f"v{index + 1}", F32),)) for index, target in enumerate(targets)
    )
    graph = Graph("torch", (Input("v0", F32),), (), nodes, (f"v{len(targets)}",))
    return Case(graph, {"v0": np.array([0.5, -1.5, 2.0], np.float32)})


def subject(converter: str, *variants: tuple[str, str]) -> Subject:
    return Subject("torch", converter, {}, variants or (("interpreter", "eager"),))


class Planted:
    """Stands for the planted converter on this side, where its plugin is not installed."""

    stages: ClassVar[dict[str, Stage]] = {}
    target = Format.GRAPH
    sliceable = False


PLANTED: Converter = Planted()  # type: ignore[assignment]


@pytest.fixture(scope="module", params=["plain", "forked"])
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    if request.param == "plain":
        worker = Worker(LIMITS, environment=environment())
        yield worker
        worker.close()
        assert worker.forks == 0
        return
    zygote = Zygote(["fuzzer.preload:torch_worker"], {**worker_environment(), **environment()})
    worker = Worker(LIMITS, environment=environment(), zygote=lambda: zygote)
    yield worker
    worker.close()
    assert worker.forks == worker.starts
    assert psutil.Process(zygote.pid).children() == []
    zygote.close()


def judge(worker: Worker, converter: str, *cases: Case) -> list[list[Signature]]:
    trials = RemoteTester(worker, subject(converter), PLANTED).test(cases)
    return [[seen.signature for seen in trial.observations] for trial in trials]


@pytest.mark.parametrize(
    ("converter", "kind", "detail"),
    [
        ("planted.abort", Kind.SIGNAL, "SIGABRT"),
        ("planted.hang", Kind.HANG, ""),
        ("planted.memory", Kind.MEMORY, ""),
        ("planted.exit", Kind.EXIT, "status 3"),
    ],
)
def test_every_death_is_told(worker: Worker, converter: str, kind: Kind, detail: str) -> None:
    assert judge(worker, converter, chain("torch.neg")) == [[Signature(Stage.CONVERT, converter, kind, detail)]]


def test_a_death_is_told_of_the_guilty_case_alone(worker: Worker) -> None:
    seen = judge(worker, "planted.segfault", chain("torch.sin"), chain("torch.sin", "torch.neg"), chain("torch.cos"))
    assert seen == [[], [Signature(Stage.CONVERT, "planted.segfault", Kind.SIGNAL, "SIGSEGV")], []]


def test_a_hang_among_several_cases_is_told_with_the_whole_deadline(worker: Worker) -> None:
    cases = [chain("torch.sin"), chain("torch.cos"), chain("torch.neg")]
    trials = RemoteTester(worker, subject("planted.hang"), PLANTED).test(cases)
    assert [len(trial.observations) for trial in trials] == [0, 0, 1]
    assert f"over {LIMITS.deadline:g} s" in trials[2].observations[0].message


def test_what_a_subject_prints_is_told_of_the_guilty_case_alone(worker: Worker) -> None:
    seen = judge(worker, "planted.prints", chain("torch.sin"), chain("torch.neg"))
    assert [[signature.kind for signature in signatures] for signatures in seen] == [[], [Kind.STDOUT]]


def test_a_worker_goes_on_after_it_was_ended(worker: Worker) -> None:
    judge(worker, "planted.correct", chain("torch.neg"))
    starts = worker.starts
    judge(worker, "planted.exit", chain("torch.neg"))
    assert judge(worker, "planted.correct", chain("torch.neg")) == [[]]
    assert worker.starts == starts + 1


def test_the_announced_step_and_case_survive_the_worker(worker: Worker) -> None:
    blob = dumps(chain("torch.neg"))
    with pytest.raises(WorkerDied) as caught:
        worker.call(JudgeTask(subject("planted.segfault"), ((7, blob),)))
    death = caught.value
    assert (death.step.name, death.step.component, death.step.cases) == ("convert", "planted.segfault", (7,))
    assert death.step.case
    assert any("segfault" in frame for frame in death.frames)
    assert signature_of(death, PLANTED).kind is Kind.SIGNAL


def test_a_runtime_that_dies_is_told_apart_from_its_converter(worker: Worker) -> None:
    scalar = TensorType("float32", ())
    node = Node("torch.unbind", (Ref("v0"),), (), tuple(Value(name, scalar) for name in "abc"), unpack=True)
    pair = Case(Graph("torch", (Input("v0", F32),), (), (node,), ("a", "b", "c")), chain().feeds)
    tester = RemoteTester(worker, subject("identity.torch", ("planted-segfault", "eager")), PLANTED)
    [trial] = tester.test([pair])
    [seen] = trial.observations
    assert seen.signature == Signature(Stage.INFERENCE, "planted-segfault", Kind.SIGNAL, "SIGSEGV")
    assert seen.settings == "eager"


def test_a_batch_is_a_pure_function_of_its_task(worker: Worker) -> None:
    task = BatchTask(subject("planted.raises"), 11, 4, (0, 1, 2, 3, 4, 5), 6)
    first = judge_numbers(worker, task.cases, lambda numbers: BatchTask(task.subject, 11, 4, numbers, 6), PLANTED)
    worker.close()
    second = judge_numbers(worker, task.cases, lambda numbers: BatchTask(task.subject, 11, 4, numbers, 6), PLANTED)
    assert first.results == second.results
    assert [result.number for result in first.results] == list(task.cases)


def test_values_come_back_exact(worker: Worker) -> None:
    case = chain("torch.sin", "torch.neg")
    values = RemoteTester(worker, subject("planted.correct"), PLANTED).values(case)
    assert values["v0"].tobytes() == case.feeds["v0"].tobytes()
    np.testing.assert_array_equal(values["v2"], -values["v1"])


def test_eager_mode_refusing_a_case_is_an_error_of_the_case(worker: Worker) -> None:
    with pytest.raises(ValueError, match="no_such_function"):
        RemoteTester(worker, subject("planted.correct"), PLANTED).values(chain("torch.no_such_function"))
    assert worker.call(ValuesTask("torch", dumps(chain("torch.sin"))))


def test_the_processor_time_of_a_worker_is_counted(worker: Worker) -> None:
    judge(worker, "planted.correct", chain("torch.neg"))
    before = worker.cpu_seconds
    worker.close()
    assert worker.cpu_seconds > before


class Delayed(Worker):
    """Dies in case 2 of what case 1 did to it, and in case 3 of itself; what was judged before is sent at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, ...]] = []

    def call(
        self, task: Task, deadline: float | None = None, *, partial: Callable[[BatchResult], None] | None = None
    ) -> Result:
        assert isinstance(task, BatchTask)
        self.asked.append(task.cases)
        done: list[int] = []
        for number in task.cases:
            if number == 3 or (number == 2 and 1 in done):
                assert partial is not None
                partial(BatchResult(tuple(CaseResult(case) for case in done)))
                raise WorkerDied(Kind.SIGNAL, "SIGSEGV", Step("convert", "c", (number,), dumps(chain())), "", (), "")
            done.append(number)
        return BatchResult(tuple(CaseResult(case) for case in done))


def test_a_death_counts_only_when_it_ends_a_fresh_worker_too() -> None:
    worker = Delayed()
    result = judge_numbers(worker, range(5), lambda numbers: BatchTask(subject("c"), 0, 0, numbers, 1), PLANTED)
    assert [item.number for item in result.results] == [0, 1, 2, 3, 4]
    assert [bool(item.seen) for item in result.results] == [False, False, False, True, False]
    # 0 and 1 are judged once, 2 and 3 alone after the worker died over them.
    assert worker.asked == [(0, 1, 2, 3, 4), (2,), (3, 4), (3,), (4,)]
