"""Several corpora become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus import merge as merging
from corpus.errors import CorpusError
from corpus.records import Coverage, FindingState, JudgedBatch, PassRecord, Quarantine
from corpus.store import Store
from corpus.versions import Showing, VersionResult
from fuzzer import cli
from tests.corpus.builders import CRASH, campaign, finding, issued, judged, verified


def covering(result: JudgedBatch, *operators: str) -> JudgedBatch:
    """The batch with coverage in which these operators follow one another."""
    import msgspec

    chain = {" ".join(operators[:length]): length for length in range(1, len(operators) + 1)}
    cells = {"": {"started": {f"{name}(float32)": 2 for name in operators}}}
    arguments = {name: {"axis": {"negative": 1}} for name in operators}
    coverage = Coverage("onnx", source=chain, artifact=chain, cells=cells, arguments=arguments)
    return msgspec.structs.replace(result, coverage=coverage)


def filled(directory: Path, *operators: str) -> Store:
    """A corpus with a campaign of two batches, of which one is judged, and a verified finding."""
    store = Store.open(directory, create=True)
    name = campaign(store, batches=2)
    store.record_batch(covering(judged(name, 0, finding(0), finding(1, CRASH)), *operators))
    one = store.list_findings()[0]
    store.finish_finding(one.id, verified("the bucket", converter_settings={"opset": 18}))
    store.add_passes(one.id, [PassRecord("isolate", 64, 1, 0, 1, 0.5)])
    store.record_version(one.id, VersionResult("onnxscript", "0.6.0", Showing.SHOWS, "x", {"onnx-ir": "1"}, 5.0))
    return store


def content(store: Store, campaign: str) -> object:
    """All that a corpus tells about a campaign, whatever order it is in."""
    import msgspec

    def ordered(value: object) -> object:
        if isinstance(value, dict):
            return sorted((str(key), ordered(item)) for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return sorted((ordered(item) for item in value), key=repr)
        return value

    told = [store.summary(campaign), store.batches(campaign), store.coverage(campaign=campaign)]
    versions = [(store.versions(one.id), store.passes(one.id)) for one in store.list_findings(campaign=campaign)]
    return ordered([msgspec.to_builtins(one) for one in told] + [msgspec.to_builtins(versions)])


def test_a_campaign_comes_over_whole(tmp_path: Path) -> None:
    # The same names have other numbers there.
    with (
        filled(tmp_path / "here", "z.first", "b", "a", "c") as here,
        filled(tmp_path / "there", "a", "b", "z.first", "d") as there,
    ):
        (theirs,) = there.campaigns()
        before = content(there, theirs.id)
        (ours,) = here.campaigns()
        kept = {one.id: one for one in here.list_findings()}
        own = content(here, ours.id)
        assert here.merge(there) == 2
        assert {one.id for one in here.campaigns()} == {ours.id, theirs.id}
        assert content(there, theirs.id) == before
        # Both found the same defect: one bucket, one representative, and the other finding is a duplicate.
        (bucket,) = here.all_buckets()
        assert (bucket.key, bucket.count) == ("the bucket", 2)
        assert bucket.representative.id in kept
        (duplicate,) = [one for one in here.list_findings(campaign=theirs.id) if one.bucket]
        assert duplicate.state is FindingState.DUPLICATE
        assert here.objects.get(duplicate.reproducer_object) == there.objects.get(duplicate.reproducer_object)
        assert duplicate.converter_settings == {"opset": 18}
        assert here.versions(duplicate.id) == there.versions(duplicate.id) != []
        assert content(here, ours.id) == own
        ordered = lambda report: sorted(map(repr, (*report.sequences, *report.cells, *report.arguments)))  # noqa: E731
        assert ordered(here.coverage(campaign=theirs.id)) == ordered(there.coverage(campaign=theirs.id))
        assert here.coverage(campaign=theirs.id).drawn == there.coverage(campaign=theirs.id).drawn


def test_into_an_empty_corpus_nothing_changes(tmp_path: Path) -> None:
    with Store.open(tmp_path / "here", create=True) as here, filled(tmp_path / "there", "a", "b", "c") as there:
        there.set_quarantine(Quarantine("tf2onnx", "tf.foo", "refused", versions={"tf2onnx": "1"}))
        (theirs,) = there.campaigns()
        here.merge(there)
        assert content(here, theirs.id) == content(there, theirs.id)
        assert here.quarantine() == there.quarantine()
        (one,) = [one for one in here.list_findings() if one.state is FindingState.VERIFIED]
        path = here.directory / "findings" / one.id / "reproducer.py"
        assert path.read_bytes() == there.objects.get(one.reproducer_object)


def test_done_again_it_adds_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "here", "b", "a") as here, filled(tmp_path / "there", "a", "b") as there:
        (theirs,) = there.campaigns()
        here.merge(there)
        (ours,) = [one.id for one in here.campaigns() if one.id != theirs.id]
        before = content(here, theirs.id), content(here, ours)
        told: list[merging.MergedCampaign] = []
        assert here.merge(there, told.append) == 0
        assert (content(here, theirs.id), content(here, ours)) == before
        assert told == [merging.MergedCampaign(theirs.id, kept=True)]


def test_what_has_grown_since_is_added(tmp_path: Path) -> None:
    with Store.open(tmp_path / "here", create=True) as here, filled(tmp_path / "there", "a", "b") as there:
        (theirs,) = there.campaigns()
        here.merge(there)
        there.record_batch(covering(judged(theirs.id, 1, finding(3)), "b", "c", "a"))
        raw = next(one for one in there.list_findings() if one.signature == CRASH)
        there.finish_finding(raw.id, verified("another"))
        assert here.merge(there) == 1
        assert content(here, theirs.id) == content(there, theirs.id)
        # And back: the other corpus has all of it.
        assert there.merge(here) == 0
        assert content(here, theirs.id) == content(there, theirs.id)


def test_a_campaign_that_went_on_in_both_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "here", create=True) as here, filled(tmp_path / "there", "a") as there:
        (theirs,) = there.campaigns()
        here.merge(there)
        here.record_batch(judged(theirs.id, 1))
        there.issue(theirs.id, [issued(2)])
        there.record_batch(judged(theirs.id, 2))
        before = content(here, theirs.id)
        with pytest.raises(CorpusError, match="went on in both corpora: batches 1 were"):
            here.merge(there)
        assert content(here, theirs.id) == before


def test_an_interrupted_merge_leaves_whole_campaigns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(tmp_path / "here", create=True) as here, filled(tmp_path / "there", "a", "b") as there:
        second = campaign(there, batches=1)
        there.record_batch(covering(judged(second, 0, finding(5)), "c"))
        calls = []

        def fails(*arguments: object) -> None:
            calls.append(arguments)
            if len(calls) == 2:
                raise KeyboardInterrupt

        real = merging._findings
        monkeypatch.setattr(merging, "_findings", lambda *arguments: (fails(), real(*arguments))[1])
        with pytest.raises(KeyboardInterrupt):
            here.merge(there)
        assert len(here.campaigns()) == 1
        monkeypatch.undo()
        here.merge(there)
        for one in there.campaigns():
            assert content(here, one.id) == content(there, one.id)


def test_a_campaign_that_is_running_here_is_left_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path / "here", create=True) as here, filled(tmp_path / "there", "a") as there:
        (theirs,) = there.campaigns()
        here.merge(there)
        with here.claim(theirs.id), pytest.raises(CorpusError, match="is being run by"):
            here.merge(there)


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        filled(tmp_path / name, "a", "b").close()
    together = tmp_path / "all"
    assert cli.run(["merge", str(together), str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    out = capfd.readouterr().out
    assert out.count("2 batches, 2 new findings") == 2
    assert "2 campaigns, 1 buckets (0 before)" in out
    assert cli.run(["merge", str(together), str(together)]) == 2
    assert "cannot be merged with itself" in capfd.readouterr().err
    assert cli.run(["merge", str(tmp_path / "new"), str(tmp_path / "nowhere")]) == 2
    assert not (tmp_path / "new").exists()
