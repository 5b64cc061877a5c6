"""Artifacts that are far larger, or run far slower, than they need be are found, and what has a fixed cost is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from corpus.records import Bucket, FindingState
from corpus.store import Store
from fuzzer.converters.base import converters
from fuzzer.formats import Artifact, Format
from fuzzer.gauge import Gauge
from fuzzer.handling import script_of
from fuzzer.planning import default_settings
from fuzzer.prepared import Prepared, Sized
from fuzzer.tasks import Subject
from generators.frontends.base import Frontend, frontend
from generators.graph import Case, Graph, Input, Node, Ref, TensorType, Value
from oracles.noise import Analyst
from oracles.outcome import Kind, Observation, Signature, Stage, Symptom, Verdict
from oracles.performance import FOUND, KEPT, expected_bytes, usual
from oracles.taxonomy import Cause
from oracles.verification import verify
from tests.fuzzer.planted_campaigns import finish, start

#: Converter or runtime to what its bucket has to say.
PLANTED = {
    "planted.bloats": (Stage.CONVERT, Kind.BLOATED, ""),
    "planted.slow": (Stage.CONVERT, Kind.SLOW, ""),
    "planted-slow": (Stage.INFERENCE, Kind.SLOW, "eager"),
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    corpus = tmp_path_factory.mktemp("performance") / "corpus"
    routes = [f"torch:{name}:interpreter" for name in ("planted.bloats", "planted.slow", "planted.correct")]
    routes += ["torch:identity.torch:planted-slow", "torch:identity.torch:interpreter"]
    identifier = finish(start(corpus, seed=25, graphs=4 * 48, routes=routes))
    return Store.open(corpus), identifier


@pytest.fixture(scope="module")
def buckets(campaign: tuple[Store, str]) -> dict[str, list[Bucket]]:
    store, identifier = campaign
    found: dict[str, list[Bucket]] = {}
    for bucket in store.summary(identifier).buckets:
        found.setdefault(bucket.representative.signature.component, []).append(bucket)
    return found


@pytest.mark.parametrize("component", PLANTED)
def test_a_planted_cost_is_one_bucket(component: str, buckets: dict[str, list[Bucket]], tmp_path: Path) -> None:
    stage, kind, detail = PLANTED[component]
    [bucket] = buckets[component]
    finding = bucket.representative
    assert finding.state is FindingState.VERIFIED
    assert (finding.signature.stage, finding.signature.kind, finding.signature.detail) == (stage, kind, detail)
    assert finding.symptom is Symptom.BAD_PERFORMANCE
    assert finding.nodes == 1
    assert "neg" in finding.source


def test_what_costs_no_more_than_it_need_is_not_found(buckets: dict[str, list[Bucket]]) -> None:
    assert set(buckets) == set(PLANTED)


def test_what_costs_too_much_is_classified_and_passes_through_the_funnel(
    campaign: tuple[Store, str], buckets: dict[str, list[Bucket]]
) -> None:
    store, identifier = campaign
    shown = [found.representative for members in buckets.values() for found in members]
    for found in store.classes(shown).values():
        assert found.symptom is Symptom.BAD_PERFORMANCE
        assert found.cause is Cause.OTHER_ALGORITHM
        assert found.distinguishable
    counts = {row.variant: row.counts for row in store.summary(identifier).funnel if row.converter == "planted.slow"}
    assert counts["interpreter eager"] == {"success": 48}


@pytest.fixture
def torch() -> Frontend:
    return frontend("torch")


@pytest.fixture
def item(torch: Frontend) -> Prepared:
    kind = TensorType("float32", (4,))
    graph = Graph("torch", (Input("x", kind),), (), (Node("torch.neg", (Ref("x"),), (), (Value("y", kind),)),), ("y",))
    case = Case(graph, {"x": np.arange(4, dtype=np.float32)})
    return Prepared(0, case, [Sized(case, [-case.feeds["x"]], Analyst(torch, case))])


def artifact(size: int) -> Artifact:
    return Artifact(Format.GRAPH, bytes(size), ("x",), ("y",))


def test_an_artifact_is_large_by_ratio_and_by_excess(torch: Frontend, item: Prepared) -> None:
    gauge = Gauge(torch, "some")
    fits = expected_bytes(item.case, {"x": np.zeros(4, np.float32), "y": np.zeros(4, np.float32)})
    assert gauge.bloated([item], artifact(int(FOUND.size.excess))) is None  # many times, and little
    found = gauge.bloated([item], artifact(fits + int(FOUND.size.excess) + 1))
    assert found is not None
    assert found.signature.kind is Kind.BLOATED
    assert found.numbers["expected_bytes"] == fits
    # Of several cases, each is looked at as soon as it may be one of them.
    assert gauge.bloated([item] * 16, artifact(16 * fits + int(FOUND.size.excess))) is None
    assert gauge.bloated([item] * 16, artifact(2 * 16 * fits + int(FOUND.size.excess))) is not None


def test_files_beside_the_artifact_count(torch: Frontend, item: Prepared) -> None:
    beside = Artifact(Format.ONNX, b"", ("x",), ("y",), files={"data": bytes(1 << 21)})
    assert Gauge(torch, "some").bloated([item], beside) is not None


def test_a_first_run_that_compiles_is_no_suspect(torch: Frontend, item: Prepared) -> None:
    gauge = Gauge(torch, "some")
    runs: list[None] = []
    gauge.timed(("xla", "cpu"), lambda: runs.append(None), taken=5.0)
    assert len(runs) == 1
    assert gauge.suspects([item]) == []


def test_a_run_is_slow_by_ratio_and_by_excess(torch: Frontend, item: Prepared) -> None:
    gauge = Gauge(torch, "some")
    gauge.seconds = {("ort", "slow"): 0.5, ("ort", "overhead"): FOUND.time.excess / 2, ("ort", "fast"): 1e-5}
    assert gauge.suspects([item]) == [("ort", "slow")]


Timed = dict[tuple[str, str], list[float]]


@pytest.fixture
def judged(torch: Frontend) -> Callable[[Timed, list[float]], list[tuple[Stage, str, str]]]:
    def judge(times: Timed, eager: list[float]) -> list[tuple[Stage, str, str]]:
        found = Gauge(torch, "some")._judged(times, eager, list(times))
        return [(seen.signature.stage, seen.signature.component, seen.signature.detail) for seen in found]

    return judge


def test_the_fault_is_the_converters_where_every_variant_is_slow(
    judged: Callable[[Timed, list[float]], list[tuple[Stage, str, str]]],
) -> None:
    slow, fast = [0.4, 0.5, 0.9], [1e-4, 2e-4, 1e-4]
    assert judged({("ort", "a"): slow, ("ort", "b"): slow}, fast) == [(Stage.CONVERT, "some", "")]
    assert judged({("ort", "a"): slow, ("ort", "b"): fast}, fast) == [(Stage.INFERENCE, "ort", "a")]
    assert judged({("ort", "a"): slow, ("ort", "b"): fast}, slow) == []


def test_noise_on_either_side_makes_no_finding(
    judged: Callable[[Timed, list[float]], list[tuple[Stage, str, str]]],
) -> None:
    fast = [1e-4, 1e-4, 1e-4]
    # Slow in all runs but one: what it can do counts.
    assert judged({("ort", "a"): [0.5, 0.5, 0.5, 2e-4]}, fast) == []
    # Eager mode was fast in one run only.
    assert judged({("ort", "a"): [0.5, 0.5, 0.5]}, [0.4, 0.4, 1e-4]) == []


def test_what_is_kept_while_minimizing_is_less_than_what_is_found() -> None:
    for found, kept in ((FOUND.size, KEPT.size), (FOUND.time, KEPT.time)):
        assert kept.ratio <= found.ratio / 2
        assert kept.excess <= found.excess / 2
        assert not found.exceeded(found.excess, 0)  # a fixed cost up to there is none
    assert usual([3.0, 1.0, 2.0], [9.0, 8.0, 7.0]) == 2.0


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        (Kind.BLOATED, ("an allowance for nodes: 9000", "what torch.onnx-dynamo makes of it: ", "of the artifact: ")),
        (Kind.SLOW, ("seconds of a run: ", "seconds in eager mode: ")),
    ],
)
def test_reproducers_print_both_numbers_and_call_a_usual_price_none(
    kind: Kind, printed: tuple[str, ...], item: Prepared
) -> None:
    converter = converters()["torch.onnx-torchscript"]
    subject = Subject("torch", converter.name, default_settings(converter), (("onnxruntime", "optimized"),))
    signature = Signature(Stage.CONVERT, converter.name, kind)
    seen = Observation(
        signature, Verdict.BUG, settings="onnxruntime optimized", numbers={"expected_bytes": 9000.0, "seconds": 1.0}
    )
    script = script_of(item.case, seen, frontend("torch").load(item.case).source, subject, converter)
    done = verify(script, 1)
    assert done.statuses == (0,), done.outputs
    assert all(words in done.outputs[0] for words in printed)
