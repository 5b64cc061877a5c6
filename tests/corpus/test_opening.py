"""Opening a corpus: what is not ours is refused and left alone, in words that say what to do."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corpus.directory import MARKER
from corpus.errors import CorpusError
from corpus.records import FindingState
from corpus.store import Store
from corpus.tables import SCHEMA
from tests.corpus.builders import campaign, finding, judged, verified


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus with one verified finding, closed."""
    with Store.open(tmp_path / "corpus", create=True) as store:
        name = campaign(store, batches=2)
        store.record_batch(judged(name, 0, finding()))
        store.finish_finding(store.list_findings()[0].id, verified("bucket"))
    return tmp_path / "corpus"


def refused(directory: Path, *, create: bool = True) -> CorpusError:
    """The error that opening the directory gives; it is one line with a remedy of one line."""
    with pytest.raises(CorpusError) as caught:
        Store.open(directory, create=create)
    assert "\n" not in caught.value.message + caught.value.remedy
    assert str(directory) in caught.value.message
    assert caught.value.remedy
    return caught.value


def test_a_missing_directory_is_made_only_when_asked_for(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "a" / "b", create=False).message
    assert not (tmp_path / "a").exists()
    with Store.open(tmp_path / "a" / "b", create=True) as store:
        assert store.campaigns() == []
    assert (tmp_path / "a" / "b" / MARKER).is_file()


def test_an_empty_directory_becomes_a_corpus_only_when_asked_for(tmp_path: Path) -> None:
    assert "not a corpus" in refused(tmp_path, create=False).message
    Store.open(tmp_path, create=True).close()
    Store.open(tmp_path).close()


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "holds other files" in refused(tmp_path).message
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_file_is_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "not a directory" in refused(tmp_path / "file").message
    with pytest.raises(CorpusError):
        Store.open(tmp_path / "file" / "below", create=True)


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", '{"application": "convfuzz", "schema": "one"}'])
def test_a_damaged_marker_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content, encoding="latin-1")
    error = refused(tmp_path)
    assert str(tmp_path) in error.message
    assert os.listdir(tmp_path) == [MARKER]
    assert (tmp_path / MARKER).read_text(encoding="latin-1") == content


def test_the_marker_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text('{"application": "somebody else"}')
    assert "not a corpus" in refused(tmp_path).message


def test_a_newer_marker_is_refused(corpus: Path) -> None:
    (corpus / MARKER).write_text(json.dumps({"application": "convfuzz", "schema": SCHEMA + 1}))
    error = refused(corpus)
    assert "newer convfuzz" in error.message
    assert "upgrade" in error.remedy


def _sql(corpus: Path, statement: str) -> None:
    with sqlite3.connect(corpus / "corpus.sqlite") as connection:
        connection.execute(statement)
    connection.close()


def test_a_newer_database_is_refused(corpus: Path) -> None:
    _sql(corpus, f"UPDATE meta SET value = '{SCHEMA + 1}' WHERE key = 'schema'")
    assert "newer convfuzz" in refused(corpus).message


def test_the_database_of_something_else_is_refused(corpus: Path) -> None:
    (corpus / "corpus.sqlite").unlink()
    _sql(corpus, "CREATE TABLE recipes (name TEXT)")
    assert "not made by convfuzz" in refused(corpus).message


@pytest.mark.parametrize("damage", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_database_is_refused(corpus: Path, damage: bytes) -> None:
    (corpus / "corpus.sqlite").write_bytes(damage)
    assert "damaged" in refused(corpus).message
    assert (corpus / "corpus.sqlite").read_bytes() == damage


def test_a_lost_database_is_not_replaced_by_an_empty_one(corpus: Path) -> None:
    (corpus / "corpus.sqlite").unlink()
    assert "lost its database" in refused(corpus).message
    assert not (corpus / "corpus.sqlite").exists()


def test_a_corpus_whose_creation_was_cut_short_is_completed(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(json.dumps({"application": "convfuzz", "schema": SCHEMA}))
    with Store.open(tmp_path) as store:
        assert store.campaigns() == []


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "sqlite+nodriver://", "postgresql+nodriver://host/a"])
def test_a_bad_database_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(CorpusError) as caught:
        Store.open(tmp_path / "corpus", create=True, database=url)
    assert "\n" not in caught.value.message


# -- disks that cannot be written --------------------------------------------------------------------------------


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without the rights of root, whom permissions do not stop."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only(corpus: Path) -> Iterator[Path]:
    """The corpus where everybody can read it and nobody write."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    shutil.copytree(corpus, place / "corpus")
    for path in (place, *place.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield place / "corpus"
    for path in (place, *place.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(place)


def test_a_read_only_corpus_is_refused_for_writing(read_only: Path) -> None:
    with unprivileged():
        error = refused(read_only)
        assert "cannot be written" in error.message
        assert "--corpus" in error.remedy
        assert "cannot be written" in refused(read_only / "new").message


def test_a_read_only_corpus_can_be_read(read_only: Path) -> None:
    with unprivileged(), Store.open(read_only, write=False) as store:
        found = store.list_findings()
        assert [one.state for one in found] == [FindingState.VERIFIED]
        assert store.objects.get(found[0].reproducer_object) == b"import sys\nsys.exit(1)\n"
        with pytest.raises(CorpusError, match="cannot be written"):
            store.create_campaign(1, {}, {})


def test_a_corpus_from_before_blame_is_read_as_it_is_and_completed_when_written(corpus: Path) -> None:
    _sql(corpus, "DROP TABLE blame")
    with Store.open(corpus, write=False) as store:
        [found] = store.list_findings()
        assert found.blame is None
    with Store.open(corpus) as store:
        assert [one.id for one in store.unblamed(found.campaign)] == [found.id]


def test_reading_sees_what_a_running_campaign_has_committed(corpus: Path) -> None:
    with Store.open(corpus) as writer:
        writer.create_campaign(2, {}, {})
        with Store.open(corpus, write=False) as reader:
            assert len(reader.campaigns()) == 2
            writer.create_campaign(3, {}, {})
            assert len(reader.campaigns()) == 3


def in_child(job: Callable[[], None]) -> None:
    """Run in a forked process, whose limits may be lowered; AssertionError when the job raises."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            job()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


def _fill(directory: Path) -> CorpusError:
    """Record batches with large findings until the disk is full; the error."""
    with Store.open(directory) as store:
        name = store.campaigns()[0].id
        for case in range(2000):
            large = finding(case, message="x" * 20_000)
            try:
                store.add_finding(name, 0, large)
            except CorpusError as error:
                return error
    raise AssertionError("the disk never filled up")


def _check_after_full_disk(directory: Path) -> None:
    """What was recorded is whole, and the corpus goes on when there is space again."""
    with Store.open(directory) as store:
        name = store.campaigns()[0].id
        kept = store.list_findings()
        assert len(kept) > 1
        for one in kept:
            store.objects.get(one.case_object)
        assert store.record_batch(judged(name, 1))


def test_a_full_disk_loses_nothing(corpus: Path) -> None:
    limit = (corpus / "corpus.sqlite").stat().st_size + 400_000

    def job() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        error = _fill(corpus)
        assert "no space left" in error.message or "disk I/O" in error.message, error.message
        assert error.remedy

    in_child(job)
    _check_after_full_disk(corpus)


def test_a_full_file_system_loses_nothing(corpus: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs rights that are not there")
    try:
        shutil.copytree(corpus, mounted / "corpus")
        assert "no space left" in _fill(mounted / "corpus").message
        (mounted / "padding").write_bytes(b"")
        with pytest.raises(OSError, match="No space"):
            (mounted / "padding").write_bytes(bytes(2**20))
        assert "no space left" in refused(mounted / "corpus").message
        (mounted / "padding").unlink()
        shutil.copytree(mounted / "corpus", tmp_path / "moved")
        _check_after_full_disk(tmp_path / "moved")
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
