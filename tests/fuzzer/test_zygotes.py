"""What a campaign's workers and reproducers are forked from, and what is left of it afterwards."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from corpus.store import Store
from fuzzer.supervisor import Limits, Worker, WorkerDied
from fuzzer.survival import judge_numbers
from fuzzer.tasks import BatchTask, Subject, TargetsResult, TargetsTask
from fuzzer.zygotes import Zygotes
from oracles.forking import Zygote
from oracles.verification import verify
from tests.fuzzer.planted_campaigns import finish, start
from tests.fuzzer.test_supervisor import PLANTED
from tests.oracles.processes import eventually, gone


@pytest.fixture
def zygotes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zygotes]:
    # What pytest changes from one phase of a test to the next would make every environment another one.
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"})
    zygotes = Zygotes()
    yield zygotes
    zygotes.close()


def worker_of(zygotes: Zygotes, frontend: str) -> Worker:
    return Worker(Limits(deadline=60), zygote=lambda: zygotes.for_worker(frontend))


@pytest.mark.parametrize("frontend", ["torch", "tensorflow"])
def test_workers_of_a_frontend_are_forked(zygotes: Zygotes, frontend: str) -> None:
    worker = worker_of(zygotes, frontend)
    subject = Subject(frontend, f"identity.{frontend}", {}, (("interpreter", "eager"),))
    results = []
    for _ in range(2):
        task = BatchTask(subject, 3, 1, (0, 1, 2), 4)
        results.append(judge_numbers(worker, task.cases, lambda numbers, task=task: task, PLANTED).results)  # type: ignore[misc]
        worker.close()
    plain = Worker(Limits(deadline=60))
    results.append(
        judge_numbers(plain, (0, 1, 2), lambda numbers: BatchTask(subject, 3, 1, numbers, 4), PLANTED).results
    )
    plain.close()
    assert results[0] == results[1] == results[2]
    assert (worker.forks, plain.forks) == (2, 0)


@pytest.mark.parametrize("frontend", ["torch", "tensorflow"])
def test_reproducers_of_a_frontend_are_forked(zygotes: Zygotes, frontend: str) -> None:
    modules = "'torch', 'torch._dynamo'" if frontend == "torch" else "'tensorflow', 'tf2onnx.convert'"
    script = (
        f"import sys\nours = [name for name in sys.modules if name.partition('.')[0] in ('fuzzer', 'generators')]\n"
        f"print([name in sys.modules for name in ({modules})], ours)\nsys.exit(1)"
    )
    found = verify(script, 2, zygote=lambda: zygotes.for_reproducer(frontend))
    assert found.statuses == (1, 1)
    assert found.outputs == ("[False, False] []\n", "[True, True] []\n")


def test_tensorflow_shares_what_keras_has() -> None:
    zygotes = Zygotes(frontends={"keras", "tensorflow", "torch"})
    try:
        shared = zygotes.for_worker("keras")
        assert shared is not None
        assert zygotes.for_worker("tensorflow") is shared
        assert zygotes.for_reproducer("tensorflow") not in (None, shared)
        worker = worker_of(zygotes, "tensorflow")
        assert isinstance(worker.call(TargetsTask("tensorflow")), TargetsResult)
        assert worker.forks == 1
        worker.close()
    finally:
        zygotes.close()


def test_slots_share_a_zygote(zygotes: Zygotes) -> None:
    found: list[Zygote | None] = []
    threads = [threading.Thread(target=lambda: found.append(zygotes.for_worker("torch"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0] is not None
    assert zygotes.for_reproducer("torch") is not found[0]
    assert zygotes.for_worker("some plugin's") is None


def test_a_killed_zygote_kills_its_workers_and_the_next_are_started_plainly_in_the_end(zygotes: Zygotes) -> None:
    worker = worker_of(zygotes, "torch")
    forks = []
    for _ in range(4):
        assert isinstance(worker.call(TargetsTask("torch")), TargetsResult)
        forks.append(worker.forks)
        zygote = zygotes.for_worker("torch")
        if zygote is not None:
            os.kill(zygote.pid, signal.SIGKILL)
            assert eventually(lambda pid=zygote.pid: gone(pid))  # type: ignore[misc]
            with pytest.raises(WorkerDied, match="SIGKILL"):
                worker.call(TargetsTask("torch"))
    worker.close()
    assert forks == [1, 2, 3, 3]


def test_a_batch_survives_its_zygote(zygotes: Zygotes) -> None:
    worker = worker_of(zygotes, "torch")
    subject = Subject("torch", "identity.torch", {}, (("interpreter", "eager"),))
    worker.call(TargetsTask("torch"))
    zygote = zygotes.for_worker("torch")
    assert zygote is not None
    timer = threading.Timer(0.2, os.kill, (zygote.pid, signal.SIGKILL))
    timer.start()
    cases = tuple(range(60))
    result = judge_numbers(worker, cases, lambda numbers: BatchTask(subject, 3, 1, numbers, 6), PLANTED)
    timer.join()
    worker.close()
    assert tuple(item.number for item in result.results) == cases
    assert not any(item.seen for item in result.results)


def test_nothing_is_left_of_a_campaign(tmp_path: Path) -> None:
    """Of one that finishes, with subjects that kill their workers, and of one that is killed."""
    corpus = tmp_path / "corpus"
    routes = ["torch:planted.segfault:interpreter", "torch:planted.one-percent:interpreter"]
    process = start(corpus, seed=3, graphs=24, routes=routes)
    seen: set[int] = set()
    zombies = 0
    while process.poll() is None:
        try:
            family = psutil.Process(process.pid).children(recursive=True)
            seen.update(member.pid for member in family)
            zombies = max(zombies, sum(member.status() == psutil.STATUS_ZOMBIE for member in family))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.05)
    campaign = finish(process)
    assert len(seen) > 3
    # One that has just ended and is about to be reaped, for each of the two slots.
    assert zombies <= 4
    assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in seen))
    with Store.open(corpus) as store:
        assert store.list_findings(campaign=campaign)

    process = start(corpus, seed=4, graphs=10_000, routes=routes)
    assert eventually(lambda: len(psutil.Process(process.pid).children(recursive=True)) > 2, 60)
    seen = {member.pid for member in psutil.Process(process.pid).children(recursive=True)}
    process.kill()
    process.communicate()
    assert eventually(lambda: all(gone(pid) for pid in seen), 20)


def test_another_interpreter_or_environment_is_started_plainly(zygotes: Zygotes, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    for other in (
        Worker(Limits(deadline=60), python=str(python), zygote=lambda: zygotes.for_worker("torch")),
        Worker(Limits(deadline=60), environment={"A": "b"}, zygote=lambda: zygotes.for_worker("torch")),
    ):
        try:
            other.environment = {"PYTHONPATH": os.pathsep.join(sys.path), **other.environment}
            assert isinstance(other.call(TargetsTask("torch")), TargetsResult)
        finally:
            other.close()
        assert (other.starts, other.forks) == (1, 0)
