"""Every way to misbehave yields one bucket with the right stage, kind, component and guilty operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.records import Bucket, FindingState
from corpus.store import Store
from oracles.outcome import Kind, Stage
from tests.fuzzer.planted_campaigns import MOSTLY_GUILTY, OPERATORS, finish, start

GUILTY, PAIR = "torch.neg", "torch.unbind"
#: What it does shows in outputs of floating numbers other than zero only.
SMALL = "planted.one-percent"

#: Converter to what its bucket has to say.
CONVERTERS = {
    "planted.segfault": (Stage.CONVERT, Kind.SIGNAL, "SIGSEGV", GUILTY),
    "planted.abort": (Stage.CONVERT, Kind.SIGNAL, "SIGABRT", GUILTY),
    "planted.hang": (Stage.CONVERT, Kind.HANG, "", GUILTY),
    "planted.memory": (Stage.CONVERT, Kind.MEMORY, "", GUILTY),
    "planted.exit": (Stage.CONVERT, Kind.EXIT, "status 3", GUILTY),
    "planted.prints": (Stage.CONVERT, Kind.STDOUT, None, GUILTY),
    "planted.raises": (Stage.CONVERT, Kind.EXCEPTION, None, GUILTY),
    "planted.drops": (Stage.CONVERT, Kind.COUNT, "", GUILTY),
    "planted.swaps": (Stage.CONVERT, Kind.VALUE, "", PAIR),
    "planted.retypes": (Stage.CONVERT, Kind.DTYPE, "", GUILTY),
    "planted.reshapes": (Stage.CONVERT, Kind.SHAPE, "", GUILTY),
    "planted.nan": (Stage.CONVERT, Kind.NONFINITE, "", GUILTY),
    SMALL: (Stage.CONVERT, Kind.VALUE, "", GUILTY),
}
RUNTIMES = {
    "planted-off-by-one": (Stage.INFERENCE, Kind.VALUE, "eager", GUILTY),
    "planted-segfault": (Stage.INFERENCE, Kind.SIGNAL, "SIGSEGV", PAIR),
}


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Bucket]]:
    """Buckets by component of a campaign over all planted subjects but the one of which least shows, and one of it."""
    corpus = tmp_path_factory.mktemp("planted") / "corpus"
    routes = [f"torch:{name}:interpreter" for name in [*CONVERTERS, "planted.correct"] if name != SMALL]
    routes += [f"torch:identity.torch:{name}" for name in [*RUNTIMES, "planted-correct", "interpreter"]]
    # One batch of eight graphs for each of the fourteen converters; with this seed two to seven of them have the guilty
    # operator.
    campaigns = [
        finish(start(corpus, seed=45, graphs=14 * 8, routes=routes, operators=OPERATORS[:7], deadline=10)),
        finish(start(corpus, seed=45, graphs=24, routes=[f"torch:{SMALL}:interpreter"], operators=MOSTLY_GUILTY)),
    ]
    found: dict[str, list[Bucket]] = {}
    with Store.open(corpus) as store:
        for campaign in campaigns:
            for bucket in store.summary(campaign).buckets:
                found.setdefault(bucket.representative.signature.component, []).append(bucket)
            for finding in store.list_findings(campaign=campaign):
                # Those whose signature has been handled often enough wait for another run.
                assert finding.state in {FindingState.VERIFIED, FindingState.DUPLICATE, FindingState.RAW}, finding
    return found


@pytest.mark.parametrize("component", [*CONVERTERS, *RUNTIMES])
def test_a_planted_defect_is_one_bucket(component: str, buckets: dict[str, list[Bucket]], tmp_path: Path) -> None:
    stage, kind, detail, guilty = {**CONVERTERS, **RUNTIMES}[component]
    assert len(buckets.get(component, [])) == 1, [bucket.representative.title for bucket in buckets.get(component, [])]
    finding = buckets[component][0].representative
    assert (finding.signature.stage, finding.signature.kind) == (stage, kind)
    if detail is not None:
        assert finding.signature.detail == detail
    assert finding.nodes == 1
    assert guilty.rpartition(".")[2] in finding.source
    assert finding.state is FindingState.VERIFIED


def test_correct_subjects_give_no_findings(buckets: dict[str, list[Bucket]]) -> None:
    assert set(buckets) == {*CONVERTERS, *RUNTIMES}


def test_the_plugin_is_not_part_of_the_product() -> None:
    from fuzzer.converters.base import converters

    assert not any(name.startswith("planted") for name in converters())
