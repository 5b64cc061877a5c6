"""What only goes wrong with other values than those that a model was converted with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from corpus.records import FindingState
from corpus.store import Store
from fuzzer.converters.base import converters
from fuzzer.pipeline import Pipeline
from fuzzer.supervisor import Worker
from fuzzer.survival import judge_numbers
from fuzzer.tasks import BatchTask, Subject
from fuzzer.verdicts import dissenting
from generators.feeding import STRUCTURES
from generators.graph import Case
from generators.serial import loads
from generators.sizes import is_dynamic
from oracles.outcome import Kind, Signature, Stage
from tests.fuzzer.planted_campaigns import MOSTLY_GUILTY, environment, finish, start


def found(tmp_path: Path, route: str, seed: int, graphs: int) -> tuple[Case, Signature]:
    """The minimized case of the only bucket of a campaign, and its signature; its reproducer shows the defect."""
    corpus = tmp_path / "corpus"
    campaign = finish(start(corpus, seed=seed, graphs=graphs, routes=[route], operators=MOSTLY_GUILTY))
    with Store.open(corpus) as store:
        [bucket] = store.summary(campaign).buckets
        finding = bucket.representative
        assert finding.state is FindingState.VERIFIED
        assert finding.nodes == 1
        case = loads(store.objects.get(finding.minimized_object))
        script = store.objects.get(finding.reproducer_object).decode()
    assert not is_dynamic(case.graph)
    path = tmp_path / "reproducer.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, path], env=environment(), capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    return case, finding.signature


def test_a_defect_with_large_values_is_minimized_to_these(tmp_path: Path) -> None:
    case, signature = found(tmp_path, "torch:identity.torch:planted-saturates", 33, 60)
    assert signature.kind is Kind.VALUE
    assert case.further == ()
    [feed] = case.feeds.values()
    assert abs(float(feed.item())) > 40


def test_a_defect_that_only_shows_with_other_feeds_than_the_first_keeps_two(tmp_path: Path) -> None:
    case, signature = found(tmp_path, "torch:planted.folded:interpreter", 32, 80)
    assert (signature.stage, signature.kind) == (Stage.CONVERT, Kind.VALUE)
    [feed], [other] = (list(feeds.values()) for feeds in (case.feeds, *case.further))
    assert (feed.size, other.size) == (1, 1)
    assert sorted((feed.item(), other.item())) == [0, 1]


def test_statistics_count_the_kinds_and_their_profiles() -> None:
    subject = Subject("torch", "identity.torch", {}, (("interpreter", "eager"),))
    worker = Worker()
    try:
        counted = [
            judge_numbers(
                worker,
                range(24),
                lambda numbers, share=share: BatchTask(subject, 33, 0, numbers, 5, fed=share),  # type: ignore[misc]
                converters()["identity.torch"],
            ).coverage
            for share in (0.0, 1.0)
        ]
    finally:
        worker.close()
    assert counted[0] is not None
    assert counted[1] is not None
    assert not counted[0].structures.keys() & set(STRUCTURES)
    assert sum(counted[1].structures.get(name, 0) for name in STRUCTURES) >= 40

    def operands(profiles: dict[str, dict[str, dict[str, int]]]) -> int:
        return sum(count for kinds in profiles.values() for counts in kinds.values() for count in counts.values())

    assert operands(counted[1].profiles) > 1.5 * operands(counted[0].profiles)
    assert counted[0].source == counted[1].source


def test_quantized_models_have_the_feeds_that_bound_their_errors() -> None:
    for quantization, several in (("none", True), ("dynamic", False)):
        subject = Subject("onnx", "onnx", {"quantization": quantization}, (("onnxruntime", "unoptimized"),))
        pipeline = Pipeline(subject, lambda step: None, lambda text: None, str)
        assert pipeline.converter.quantizes(subject.settings) is not several
        pipeline.batch(BatchTask(subject, 34, 0, (0, 1, 2, 3), 3, pack=1, fed=1.0))
        assert pipeline._tally is not None
        assert bool(pipeline._tally.record().structures.keys() & set(STRUCTURES)) is several


def test_a_question_that_no_runtime_is_asked_has_no_dissent() -> None:
    """As minimization asks them of a model that its validator refuses."""
    assert dissenting([]) == []
