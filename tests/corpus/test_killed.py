"""A process that writes to the corpus is killed at random moments: nothing committed is lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import msgspec

from corpus.records import BatchState, Coverage, FindingState
from corpus.store import Store
from tests.corpus.builders import finding, issued, judged, verified

ROUNDS = 20
COVERAGE = Coverage("onnx", {"tf.abs": 3, "tf.abs tf.abs tf.abs": 1})


def _write(directory: Path, told: int) -> None:
    """Issue and judge batches and finish findings, for ever; to ``told`` the index of each batch that was recorded."""
    with Store.open(directory) as store:
        name = store.campaigns()[0].id
        while True:
            waiting = store.unjudged(name)
            if not waiting:
                start = store.next_index(name)
                store.issue(name, map(issued, range(start, start + 3)))
                continue
            index = waiting[0].issued.index
            result = judged(name, index, finding(0), finding(1))
            assert store.record_batch(msgspec.structs.replace(result, coverage=COVERAGE))
            os.write(told, index.to_bytes(4, "big"))
            for raw in store.list_findings(campaign=name, batch=index):
                store.save_progress(raw.id, f"half of {raw.id}".encode(), nodes=2, conversions=1)
                store.finish_finding(raw.id, verified(f"bucket {index % 5}"))


def _killed_writer(directory: Path, rng: random.Random) -> list[int]:
    """Run a writer and kill it after some batches, at a random moment; the batches that it said were recorded."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _write(directory, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        data = b""
        for _ in range(rng.randrange(4)):
            data += pipe.read(4)
        time.sleep(rng.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the writer failed by itself"
        data += pipe.read()
    return [int.from_bytes(data[start : start + 4], "big") for start in range(0, len(data), 4)]


def test_killing_the_writer_loses_and_doubles_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "corpus"
    with Store.open(directory, create=True) as store:
        name = store.create_campaign(1, {}, {}).id
    rng = random.Random(0)
    told = [index for _ in range(ROUNDS) for index in _killed_writer(directory, rng)]
    assert len(told) >= ROUNDS, "too few batches were recorded for the test to mean anything"
    assert len(told) == len(set(told)), "a batch was recorded twice"

    with Store.open(directory) as store:
        done = {batch.issued.index for batch in store.batches(name, BatchState.JUDGED)}
        assert done >= set(told), "a batch was lost after it was recorded"
        assert len(done) <= len(told) + ROUNDS
        found = store.list_findings(campaign=name)
        assert sorted((one.batch, one.case) for one in found) == sorted((i, case) for i in done for case in (0, 1))
        for one in found:
            assert store.objects.get(one.case_object)
            if one.state is not FindingState.RAW:
                assert store.objects.get(one.minimized_object)
        summary = store.summary(name)
        assert summary.cases == 4 * len(done)
        assert summary.funnel[0].counts == {"started": 4 * len(done), "unsupported": len(done)}
        assert [row.total for row in store.coverage().sequences] == [3 * len(done), len(done)]
        finished = [one for one in found if one.state in (FindingState.VERIFIED, FindingState.DUPLICATE)]
        assert sum(bucket.count for bucket in summary.buckets) == len(finished)
        verified_now = [one for one in finished if one.state is FindingState.VERIFIED]
        assert len(verified_now) == len(summary.buckets) <= 5
        for one in verified_now:
            assert (directory / "findings" / one.id / "reproducer.py").is_file()
        for batch in store.unjudged(name):
            assert store.record_batch(judged(name, batch.issued.index))
        assert store.unjudged(name) == []
