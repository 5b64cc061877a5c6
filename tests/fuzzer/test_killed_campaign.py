"""A campaign that is killed again and again, its workers too: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path

import psutil
import pytest

from corpus.records import BatchState, FindingState
from corpus.store import Store
from fuzzer.planning import task_of
from fuzzer.recording import judged_batch
from fuzzer.supervisor import Limits, Worker
from fuzzer.survival import judge_numbers
from fuzzer.tasks import BatchResult
from tests.fuzzer.planted_campaigns import environment, finish, start
from tests.fuzzer.test_supervisor import PLANTED

ROUTES = ["torch:planted.raises:interpreter", "torch:planted.one-percent:interpreter"]
GRAPHS = 160


def kill_something(process: subprocess.Popen[str], rng: random.Random) -> bool:
    """Kill the campaign, or half of the time a worker or what workers are forked from; whether it was the campaign."""
    workers = psutil.Process(process.pid).children(recursive=True)
    if workers and rng.random() < 0.5:
        os.kill(rng.choice(workers).pid, signal.SIGKILL)
        return False
    process.kill()
    process.wait()
    return True


def run_with_kills(corpus: Path, moments: int, seed: int) -> str:
    """A campaign that loses itself or a worker at random moments and is resumed until it finishes; its id."""
    rng = random.Random(seed)
    process = start(corpus, seed=seed, graphs=GRAPHS, routes=ROUTES, blame=60.0)
    assert process.stdout is not None
    campaign = process.stdout.readline().strip()
    for _ in range(moments):
        time.sleep(rng.uniform(0.2, 5.0))
        if process.poll() is not None or kill_something(process, rng):
            process.communicate()
            process = start(corpus, seed=seed, graphs=GRAPHS, routes=ROUTES, blame=60.0, resume=campaign)
    finish(process)
    return campaign


def check_nothing_lost_or_doubled(corpus: Path, campaign: str) -> None:
    with Store.open(corpus) as store:
        batches = store.batches(campaign)
        assert all(batch.state is BatchState.JUDGED for batch in batches)
        assert [batch.issued.index for batch in batches] == list(range(len(batches)))
        recorded = store.list_findings(campaign=campaign)
        assert store.unblamed(campaign) == []
        verified = [finding for finding in recorded if finding.state is FindingState.VERIFIED]
        blamed = {finding.signature.component: finding.blame for finding in verified}
        assert {name: verdict and verdict.component for name, verdict in blamed.items()} == {
            name: name for name in blamed
        }
        assert sum(batch.cases for batch in batches) >= GRAPHS
        keys = Counter((finding.batch, finding.case, finding.signature) for finding in recorded)
        assert max(keys.values(), default=1) == 1
        # Every batch, judged again, gives what is in the store.
        worker = Worker(Limits(deadline=30), environment=environment())
        record = store.load_campaign(campaign)
        try:
            for batch in batches:
                result = judge_numbers(
                    worker,
                    range(batch.issued.cases),
                    partial(task_of, record.seed, batch.issued),
                    PLANTED,
                )
                assert isinstance(result, BatchResult)
                again = judged_batch(campaign, batch.issued, result, 0.0)
                assert again.verdicts == batch.verdicts
                for finding in again.findings:
                    assert (batch.issued.index, finding.case, finding.signature) in keys
        finally:
            worker.close()


def test_a_campaign_survives_being_killed(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    check_nothing_lost_or_doubled(corpus, run_with_kills(corpus, moments=4, seed=5))


@pytest.mark.sweep
def test_a_campaign_survives_being_killed_at_twenty_moments(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    check_nothing_lost_or_doubled(corpus, run_with_kills(corpus, moments=20, seed=6))
