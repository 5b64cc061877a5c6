"""The store: what is recorded once stays recorded once."""

from __future__ import annotations

import math
import threading

import msgspec
import pytest

from corpus.errors import CorpusError
from corpus.records import (
    BatchState,
    CampaignStatus,
    FindingState,
    Finish,
    FunnelRow,
    PassRecord,
    Quarantine,
    UnsupportedCount,
)
from corpus.store import Store
from oracles.blame import Blame, Confidence, Evidence, Outcome, Role, Rule
from oracles.outcome import Signature
from tests.corpus.builders import CRASH, VALUE, campaign, finding, issued, judged, reopened, verified


def test_a_campaign_comes_back_as_it_was(store: Store) -> None:
    made = store.create_campaign(2**63 - 1, {"minutes": 2.0, "routes": ["tflite"]}, {"torch": "2.13"})
    store.close()
    again = reopened(store)
    assert again.load_campaign(made.id) == made
    assert again.load_campaign(made.id[:3]) == made
    assert again.campaigns() == [made]


def test_the_time_of_a_campaign_adds_up_over_its_runs(store: Store) -> None:
    name = campaign(store)
    store.add_elapsed(name, 2.0)
    store.end_campaign(name, CampaignStatus.INTERRUPTED, 3.0)
    assert store.load_campaign(name).ended is not None
    store.resume_campaign(name)
    assert store.load_campaign(name).status is CampaignStatus.RUNNING
    store.end_campaign(name, CampaignStatus.FINISHED, 4.5)
    ended = store.load_campaign(name)
    assert (ended.elapsed, ended.status) == (9.5, CampaignStatus.FINISHED)


def test_batches_are_issued_once_and_resumed_in_order(store: Store) -> None:
    name = campaign(store)
    assert store.next_index(name) == 0
    assert store.issue(name, [issued(1), issued(0)]) == 2
    assert store.issue(name, [issued(1), issued(2)]) == 1
    assert store.next_index(name) == 3
    assert store.record_batch(judged(name, 1))
    assert [batch.issued for batch in store.unjudged(name)] == [issued(0), issued(2)]
    assert [batch.issued.index for batch in store.batches(name, BatchState.JUDGED)] == [1]
    assert store.batch(name, 2).issued == issued(2)


def test_a_batch_judged_twice_counts_once(store: Store) -> None:
    name = campaign(store, batches=2)
    result = judged(name, 0, finding(0), finding(1), finding(1, CRASH))
    assert store.record_batch(result) is True
    before = store.summary(name)
    assert store.record_batch(result) is False
    assert store.record_batch(judged(name, 0, finding(3))) is False
    assert store.summary(name) == before
    assert len(store.list_findings()) == 3


def test_a_batch_that_was_never_issued_is_refused(store: Store) -> None:
    name = campaign(store, batches=1)
    with pytest.raises(CorpusError, match="no batch 5"):
        store.record_batch(judged(name, 5, finding()))
    assert store.list_findings() == []


def test_a_batch_that_fails_half_way_leaves_nothing(store: Store) -> None:
    name = campaign(store, batches=1)
    with pytest.raises(CorpusError):
        # No text where text is required: the last statement of the transaction fails.
        store.record_batch(
            msgspec.structs.replace(
                judged(name, 0, finding()),
                unsupported=(UnsupportedCount("tf2onnx", None, "", 1),),  # type: ignore[arg-type]
            )
        )
    assert store.list_findings() == []
    assert store.summary(name).funnel == ()
    assert [batch.issued.index for batch in store.unjudged(name)] == [0]
    assert store.record_batch(judged(name, 0, finding()))


def test_sixteen_threads_judging_the_same_batches_record_each_once(store: Store) -> None:
    name = campaign(store, batches=12)
    recorded: list[int] = []
    failures: list[Exception] = []

    def judge() -> None:
        try:
            for index in range(12):
                if store.record_batch(judged(name, index, finding(0), finding(1))):
                    recorded.append(index)
        except Exception as error:  # noqa: BLE001  (asserted on below)
            failures.append(error)

    threads = [threading.Thread(target=judge) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(recorded) == list(range(12))
    summary = store.summary(name)
    assert summary.funnel[0].counts == {"started": 48, "unsupported": 12}
    assert len(store.list_findings()) == 24


def test_a_finding_that_a_vote_gave_keeps_what_it_is_judged_with(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding()))
    variants = (("mnn", "cpu"), ("openvino", "f32"))
    new = msgspec.structs.replace(finding(0, CRASH), converter_settings={"opset": 17}, variants=variants)
    identifier = store.add_finding(name, 0, new)
    assert identifier is not None
    found = store.find(identifier)
    assert (found.variants, found.converter_settings) == (variants, {"opset": 17})
    assert store.add_finding(name, 0, new) is None
    [first, _] = store.list_findings()
    assert (first.variants, first.converter_settings) == ((), issued(0).settings)


def test_a_finding_comes_back_as_it_was(store: Store) -> None:
    name = campaign(store, batches=1)
    hostile = 'NUL \0, surrogate \ud800, json:"x", \x1b[31m, 漢字'
    new = msgspec.structs.replace(
        finding(2, Signature(VALUE.stage, VALUE.component, VALUE.kind, hostile), hostile),
        numbers={"error": math.inf, "bound": -0.0, "share": 0.1},
    )
    store.record_batch(judged(name, 0, new))
    found = store.list_findings()[0]
    assert (found.signature, found.message, found.numbers) == (new.signature, hostile, new.numbers)
    assert (found.campaign, found.batch, found.case, found.nodes) == (name, 0, 2, 7)
    assert (found.frontend, found.converter, found.converter_settings) == ("tensorflow", "tf2onnx", issued(0).settings)
    assert found.state is FindingState.RAW
    assert found.settings == ("unoptimized",)
    assert store.objects.get(found.case_object) == new.data


def test_numbers_that_are_not_a_number_survive(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, msgspec.structs.replace(finding(), numbers={"actual": math.nan})))
    assert math.isnan(store.list_findings()[0].numbers["actual"])


def test_ids_depend_on_the_content_alone(store: Store) -> None:
    name = campaign(store, batches=2)
    store.record_batch(judged(name, 0, finding(0), finding(0, CRASH)))
    store.record_batch(judged(name, 1, finding(0)))
    assert len({one.id for one in store.list_findings()}) == 3
    assert store.add_finding(name, 0, finding(0)) is None
    assert store.add_finding(name, 1, finding(0, CRASH)) is not None
    assert len(store.list_findings(batch=1)) == 2


def test_minimization_is_saved_step_by_step(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding()))
    raw = store.list_findings()[0]
    assert store.save_progress(raw.id, b"smaller", nodes=3, conversions=5)
    half = store.find(raw.id)
    assert (half.state, half.nodes, half.conversions) == (FindingState.MINIMIZING, 3, 5)
    assert store.objects.get(half.minimized_object) == b"smaller"
    assert store.objects.get(half.case_object) == finding().data
    assert store.minimized(raw.id, b"smallest", nodes=1, conversions=9)
    assert store.find(raw.id).state is FindingState.MINIMIZED
    store.finish_finding(raw.id, verified("bucket"))
    assert store.save_progress(raw.id, b"late", nodes=2, conversions=99) is False
    assert store.find(raw.id).conversions == 12


def test_a_verified_finding_has_its_reproducer_beside_the_corpus(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding()))
    done = store.finish_finding(store.list_findings()[0].id, verified("bucket"))
    path = store.reproducer_path(done)
    assert path == store.directory / "findings" / done.id / "reproducer.py"
    assert path.read_text() == verified("bucket").reproducer
    path.unlink()
    again = store.reproducer_path(done)
    assert again is not None
    assert again.read_text() == verified("bucket").reproducer


def test_the_second_of_a_bucket_is_a_duplicate_and_finishing_twice_changes_nothing(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding(0), finding(1), finding(2)))
    first, second, third = store.list_findings()
    store.finish_finding(first.id, verified("bucket"))
    for _ in range(3):
        assert store.finish_finding(second.id, verified("bucket")).state is FindingState.DUPLICATE
    store.finish_finding(third.id, Finish(FindingState.DUPLICATE, "bucket"))
    bucket = store.bucket("bucket")
    assert bucket is not None
    assert (bucket.representative.id, bucket.count) == (first.id, 3)
    assert store.bucket("other") is None
    assert not (store.directory / "findings" / second.id).exists()


def test_a_verified_finding_takes_the_place_of_a_flaky_one(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding(0), finding(1)))
    first, second = store.list_findings()
    flaky = msgspec.structs.replace(verified("bucket", failures=1), state=FindingState.FLAKY)
    store.finish_finding(first.id, flaky)
    assert store.summary(name).verified == ()
    assert store.finish_finding(second.id, verified("bucket")).state is FindingState.VERIFIED
    assert [one.representative.id for one in store.summary(name).verified] == [second.id]
    assert store.find(first.id).state is FindingState.FLAKY


def test_what_cannot_be_shown_again_belongs_to_no_bucket(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding(0), finding(1)))
    for one in store.list_findings():
        store.finish_finding(one.id, Finish(FindingState.UNREPRODUCIBLE, ""))
    assert store.all_buckets() == []
    assert store.summary(name).states == {"unreproducible": 2}


def test_a_finding_is_not_verified_without_a_script(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding(0)))
    raw = store.list_findings()[0]
    with pytest.raises(ValueError, match="reproducer"):
        store.finish_finding(raw.id, Finish(FindingState.VERIFIED, "bucket"))
    with pytest.raises(ValueError, match="final"):
        store.finish_finding(raw.id, Finish(FindingState.RAW, "bucket"))
    assert store.find(raw.id).state is FindingState.RAW


VERDICT = Blame(
    "onnxruntime:ConstantFolding",
    Confidence.HIGH,
    Rule.OPTIMIZER,
    (Evidence(Role.OPTIMIZER, "onnxruntime:ConstantFolding", "optimized", Outcome.RIGHT, "NUL \0, \ud800 | <b>"),),
)


def test_blame_is_kept_with_its_evidence_and_beside_the_reproducer(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding(0), finding(1), finding(2)))
    first, second, _ = store.list_findings()
    store.finish_finding(first.id, verified("a"))
    store.finish_finding(second.id, verified("b"))
    assert [one.id for one in store.unblamed(name)] == [first.id, second.id]
    assert store.set_blame(first.id, VERDICT).blame == VERDICT
    assert store.find(second.id).blame is None
    assert [one.id for one in store.unblamed(name)] == [second.id]
    table = (store.directory / "findings" / first.id / "blame.md").read_text()
    assert "**onnxruntime:ConstantFolding**, confidence high" in table
    assert table.count("\n|") == 3
    again = msgspec.structs.replace(VERDICT, component="torch", evidence=())
    store.set_blame(first.id, again)
    assert reopened(store).find(first.id).blame == again


def test_lookup_by_prefix(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, *(finding(number) for number in range(40))))
    one, *_ = found = store.list_findings()
    assert store.find(one.id) == one
    assert store.find(one.id[:8].upper()) == one
    with pytest.raises(CorpusError, match=r"no finding 'zz'"):
        store.find("zz")
    with pytest.raises(CorpusError, match="no finding '%'"):
        store.find("%")
    with pytest.raises(CorpusError, match="ambiguous") as caught:
        store.find("")
    named = [finding for finding in found if finding.id in caught.value.message]
    assert len(named) == 5
    assert "…" in caught.value.message


def test_the_summary_adds_up(store: Store) -> None:
    name, other = campaign(store, batches=3), campaign(store, batches=1)
    for index in range(2):
        store.record_batch(judged(name, index, finding(0)))
    store.record_batch(judged(other, 0, finding(0), finding(1)))
    for one in store.list_findings():
        store.finish_finding(one.id, verified("shared"))
    summary = store.summary(name)
    assert (summary.batches, summary.judged, summary.cases, summary.conversions, summary.seconds) == (3, 2, 8, 4, 1.0)
    assert summary.verdicts == {"pass": 6, "bug": 2}
    assert summary.funnel == (
        FunnelRow("tensorflow", "tf2onnx", "", {"started": 8, "unsupported": 2}),
        FunnelRow("tensorflow", "tf2onnx", "onnxruntime unoptimized", {"success": 6}),
    )
    assert summary.unsupported == (UnsupportedCount("tf2onnx", "Foo", "no Foo here", 2),)
    assert [(bucket.key, bucket.count) for bucket in summary.buckets] == [("shared", 2)]
    assert [bucket.count for bucket in store.all_buckets()] == [4]


def test_verified_buckets_come_first_those_without_special_values_before_the_others(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, *(finding(number) for number in range(4))))
    a, b, c, d = store.list_findings()
    store.finish_finding(a.id, Finish(FindingState.FLAKY, "flaky"))
    store.finish_finding(b.id, verified("special", needs_special=True))
    store.finish_finding(c.id, verified("plain"))
    store.finish_finding(d.id, verified("special", needs_special=True))
    assert [bucket.key for bucket in store.summary(name).buckets] == ["plain", "special", "flaky"]


def test_what_passes_did_is_added_up_in_the_order_in_which_they_came(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding(0)))
    [one] = store.list_findings()
    assert store.passes(one.id) == []
    store.add_passes(one.id, [PassRecord("isolate", 64, 1, 0, 1, 0.5), PassRecord("deletion", 3, 0, 1, 2, 0.25)])
    store.add_passes(one.id, [PassRecord("deletion", 1, 1, 0, 1, 0.25), PassRecord("bypass", 2)])
    assert store.passes(one.id) == [
        PassRecord("isolate", 64, 1, 0, 1, 0.5),
        PassRecord("deletion", 4, 1, 1, 3, 0.5),
        PassRecord("bypass", 2),
    ]


def test_quarantine_is_replaced_not_doubled(store: Store) -> None:
    store.set_quarantine(Quarantine("tflite", "tf.add int8", "not supported", versions={"tensorflow": "2.21"}))
    store.set_quarantine(Quarantine("tflite", "tf.add int8", "still not supported"))
    store.set_quarantine(Quarantine("tf2onnx", "tf.add int8", "crashes", dtype="int8", factor=0.5))
    assert [entry.reason for entry in store.quarantine()] == ["crashes", "still not supported"]
    assert store.quarantine("tf2onnx") == [Quarantine("tf2onnx", "tf.add int8", "crashes", dtype="int8", factor=0.5)]


def test_a_campaign_is_run_by_one_process_at_a_time(store: Store) -> None:
    name = campaign(store)
    with store.claim(name), pytest.raises(CorpusError, match="is being run by process"), store.claim(name):
        pass
    with store.claim(name):
        pass
