"""What reproducers do with other versions, as the corpus keeps it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from corpus.store import Store
from corpus.versions import Showing, VersionResult
from tests.corpus.builders import campaign, finding, judged


def test_results_come_back_in_the_order_of_versions_and_are_replaced(store: Store) -> None:
    name = campaign(store, batches=1)
    store.record_batch(judged(name, 0, finding()))
    (one,) = store.list_findings()
    results = [
        VersionResult("onnx", "1.10.0", Showing.SHOWS, "", {}, 1.0),
        VersionResult("onnx", "1.9.0", Showing.CHANGED, "odd \ud800 words", {"numpy": "1.26"}, 2.0),
        VersionResult("tf2onnx", "1.2", Showing.NOT_INSTALLED, "no", {}, 3.0),
    ]
    for result in results:
        store.record_version(one.id, result)
    assert store.versions(one.id) == [results[1], results[0], results[2]]
    again = VersionResult("onnx", "1.10.0", Showing.ABSENT, "", {}, 4.0)
    store.record_version(one.id, again)
    assert store.versions(one.id) == [results[1], again, results[2]]


def test_an_older_corpus_is_read_and_gets_the_table_when_it_is_written(tmp_path: Path) -> None:
    directory = tmp_path / "corpus"
    with Store.open(directory, create=True) as store:
        name = campaign(store, batches=1)
        store.record_batch(judged(name, 0, finding()))
        (one,) = store.list_findings()
    with sqlite3.connect(directory / "corpus.sqlite") as connection:
        connection.execute("DROP TABLE finding_version")
    with Store.open(directory, write=False) as store:
        assert store.versions(one.id) == []
    with Store.open(tmp_path / "here", create=True) as here, Store.open(directory, write=False) as old:
        assert here.merge(old) == 1
    with Store.open(directory) as store:
        result = VersionResult("onnx", "1.9.0", Showing.SHOWS, "", {}, 2.0)
        store.record_version(one.id, result)
        assert store.versions(one.id) == [result]
