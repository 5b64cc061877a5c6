"""Counts of coverage: added with their batch exactly once, by campaign and converter, and read back as they went in."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from itertools import islice, product
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from corpus import coverage as tables
from corpus.coverage_report import ABSENT
from corpus.errors import CorpusError
from corpus.records import Coverage, IssuedBatch, ProfileCount, SequenceCount
from corpus.sequences import OTHERS, bounds, compress, decompress, pack, unpack
from corpus.store import Store
from corpus.tables import Base, LongSequencesRow
from tests.corpus.builders import campaign, issued, judged, reopened

COVERAGE = Coverage(
    "onnx",
    {"tf.add": 4, "tf.abs": 2, "tf.add tf.abs": 2, "tf.add tf.add tf.abs": 2, "tf.abs tf.abs tf.abs tf.abs tf.abs": 1},
    {"Add": 3, "Add Abs": 1},
    {"tf.add": {"0": {"input": 3, "node": 1}, "name": {"None": 1}, "0[]": {"input": 1}}},
    {
        "": {"started": {"tf.add(float32,float32)": 4, "tf.abs(int8)": 2}, "unsupported": {"tf.abs(int8)": 2}},
        "onnxruntime unoptimized": {"success": {"tf.add(float32,float32)": 4}},
    },
    {"graph": 4, "motif layer norm": 2, "unused input": 1},
    {"large": {"float32": {"arithmetic": 3, "elementwise": 1}}, "mask rows": {"bool": {"selection": 2}}},
    {"optimize": {"off": {"started": 4, "success": 3, "mismatch": 1}}},
    {"tf2onnx": {"tf.abs(int8)": {"Abs of int8\0": 2}}},
)


def record(store: Store, name: str, index: int, counts: Coverage | None = COVERAGE) -> bool:
    return store.record_batch(msgspec.structs.replace(judged(name, index), coverage=counts))


def sequences(store: Store, **chosen: str) -> dict[tuple[str, str, int], tuple[int, int, int]]:
    rows = store.coverage(**chosen).sequences
    return {(row.side, row.vocabulary, row.length): (row.total, row.distinct, row.once) for row in rows}


def test_nothing_is_counted_in_an_empty_corpus(store: Store) -> None:
    report = store.coverage()
    assert (report.converters, report.sequences, report.drawn, report.cells, report.arguments) == ({}, (), {}, (), ())
    assert store.drawn("tf2onnx") == ({}, {})


def test_a_batch_is_counted_once(store: Store) -> None:
    name = campaign(store, batches=2)
    for _ in range(3):
        record(store, name, 0)
    once = {
        ("source", "tensorflow", 1): (6, 2, 0),
        ("source", "tensorflow", 2): (2, 1, 0),
        ("source", "tensorflow", 3): (2, 1, 0),
        ("source", "tensorflow", 5): (1, 1, 1),
        ("artifact", "onnx", 1): (3, 1, 0),
        ("artifact", "onnx", 2): (1, 1, 1),
    }
    with reopened(store) as again:
        assert sequences(again) == once
        record(again, name, 1, None)  # what an older worker sends
        assert sequences(again) == once


def test_batches_add_up(store: Store) -> None:
    name = campaign(store, batches=3)
    for index in range(3):
        record(store, name, index)
    assert sequences(store)["source", "tensorflow", 1] == (18, 2, 0)
    assert sequences(store)["source", "tensorflow", 5] == (3, 1, 0)
    report = store.coverage()
    assert report.drawn == {"tensorflow": {"tf.add": 12, "tf.abs": 6}}
    cells = {(cell.variant, cell.outcome, cell.key): cell.count for cell in report.cells}
    assert cells == {
        ("", "started", "tf.add(float32,float32)"): 12,
        ("", "started", "tf.abs(int8)"): 6,
        ("", "unsupported", "tf.abs(int8)"): 6,
        ("onnxruntime unoptimized", "success", "tf.add(float32,float32)"): 12,
    }
    options = {(row.option, row.setting, row.outcome): row.count for row in report.options}
    assert options == {
        ("optimize", "off", "started"): 12,
        ("optimize", "off", "success"): 9,
        ("optimize", "off", "mismatch"): 3,
    }
    [refusal] = report.refusals
    assert (refusal.component, refusal.key, refusal.what, refusal.count) == (
        "tf2onnx",
        "tf.abs(int8)",
        "Abs of int8\0",
        6,
    )
    assert report.structures == {"tensorflow": {"graph": 12, "motif layer norm": 6, "unused input": 3}}
    assert report.profiles == (
        ProfileCount("tensorflow", "large", "float32", "arithmetic", 9),
        ProfileCount("tensorflow", "large", "float32", "elementwise", 3),
        ProfileCount("tensorflow", "mask rows", "bool", "selection", 6),
    )
    assert {cell.operator for cell in report.cells} == {"tf.add", "tf.abs"}
    assert {(cell.frontend, cell.converter) for cell in report.cells} == {("tensorflow", "tf2onnx")}


def test_an_argument_that_some_nodes_leave_out_is_absent_there(store: Store) -> None:
    name = campaign(store, batches=1)
    record(store, name, 0)
    found = {(row.operator, row.place, row.kind): row.count for row in store.coverage().arguments}
    assert found == {
        ("tf.add", "0", "input"): 3,
        ("tf.add", "0", "node"): 1,
        ("tf.add", "name", "None"): 1,
        ("tf.add", "name", ABSENT): 3,
        ("tf.add", "0[]", "input"): 1,  # a part of an argument: nothing says how many could have been
    }


def test_counts_are_kept_apart_by_campaign_and_converter(store: Store) -> None:
    one, two = campaign(store, batches=1), campaign(store)
    tflite = IssuedBatch(0, "tensorflow", "tflite", {}, 4, 10)
    store.issue(two, [tflite, issued(1)])
    record(store, one, 0)
    other = Coverage(
        "tflite", {"tf.abs": 1, "tf.abs tf.add tf.abs": 1}, {"ABS": 1}, {}, {"": {"started": {"tf.abs(int8)": 1}}}
    )
    record(store, two, 0, other)
    assert store.coverage().converters == {"tensorflow": ("tf2onnx", "tflite")}
    assert store.coverage(campaign=one).converters == {"tensorflow": ("tf2onnx",)}
    assert sequences(store)["source", "tensorflow", 1] == (7, 2, 0)
    assert sequences(store)["source", "tensorflow", 3] == (3, 2, 1)
    assert sequences(store, campaign=two) == {
        ("source", "tensorflow", 1): (1, 1, 1),
        ("source", "tensorflow", 3): (1, 1, 1),
        ("artifact", "tflite", 1): (1, 1, 1),
    }
    assert sequences(store, converter="tflite") == sequences(store, campaign=two)
    assert store.coverage(campaign=one, converter="tflite").converters == {}


def test_what_guidance_asks_for(store: Store) -> None:
    name = campaign(store, batches=2)
    for index in range(2):
        record(store, name, index)
    keys, pairs = store.drawn("tf2onnx")
    assert keys == {"tf.add(float32,float32)": 8, "tf.abs(int8)": 4}
    assert pairs == {("tf.add", "tf.abs"): 4}
    assert store.drawn("tf2onnx", campaign=name) == (keys, pairs)
    assert store.drawn("tf2onnx", campaign=campaign(store)) == ({}, {})
    assert store.drawn("tflite") == ({}, {})


def test_names_may_be_anything(store: Store) -> None:
    name = campaign(store, batches=1)
    odd = ("nul\0", "\ud800", "json:x", "ä", "'; DROP TABLE batch")
    spelled = [text.replace(" ", "_") for text in odd]
    counts = Coverage(
        "onnx", dict.fromkeys(spelled, 1), {}, {spelled[0]: {"0": {"\0": 1}}}, {"": {"started": {odd[1]: 1}}}
    )
    record(store, name, 0, counts)
    assert set(store.coverage().drawn["tensorflow"]) == set(spelled)
    assert store.coverage().arguments[0].kind == "\0"
    assert store.drawn("tf2onnx")[0] == {"\ud800": 1}


def test_more_operators_than_numbers_share_the_last(store: Store) -> None:
    name = campaign(store, batches=2)
    many = {f"op{index}": 1 for index in range(OTHERS + 50)}
    record(store, name, 0, Coverage("onnx", many))
    record(store, name, 1, Coverage("onnx", {"another": 1, "another op0": 2, "op1 another op2": 1}))
    found = sequences(store)
    assert found["source", "tensorflow", 1] == (len(many) + 1, OTHERS, OTHERS - 1)
    assert found["source", "tensorflow", 2] == (2, 1, 0)
    assert found["source", "tensorflow", 3] == (1, 1, 1)
    (pair,) = store.drawn("tf2onnx")[1]
    assert pair[0] == "…"


def test_good_turing() -> None:
    assert SequenceCount("source", "torch", 2, total=10, distinct=4, once=3).unseen == 0.3
    assert SequenceCount("source", "torch", 2, total=0, distinct=0, once=0).unseen == 1.0


# -- a sequence as a number --------------------------------------------------------------------------------------


def some_sequences() -> Iterable[tuple[int, ...]]:
    for length in range(1, 6):
        yield from islice(product((1, 2, OTHERS - 1, OTHERS), repeat=length), 300)


def test_packing_loses_nothing() -> None:
    packed = {pack(numbers): numbers for numbers in some_sequences()}
    assert len(packed) == len(list(some_sequences()))
    for number, numbers in packed.items():
        assert unpack(number) == numbers
        assert 0 < number < 2**63
        low, high = bounds(len(numbers))
        assert low <= number < high


def test_compression_loses_nothing() -> None:
    packed = [pack(numbers) for numbers in some_sequences()] * 2
    assert decompress(compress(packed)).tolist() == sorted(packed)
    assert decompress(compress(packed)).dtype == np.int64


@pytest.mark.parametrize("data", [b"", b"garbage", compress([1, 2, 3])[:-3], zlib.compress(bytes(12))])
def test_what_is_damaged_is_named(store: Store, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decompress(data)
    name = campaign(store, batches=1)
    record(store, name, 0)
    with store._database.write() as session:
        session.execute(update(LongSequencesRow).values(data=data))
    with pytest.raises(CorpusError, match="batch 0 is damaged"):
        store.coverage()


def test_a_few_bytes_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus.sequences._MOST_BYTES", 1 << 16)
    assert len(decompress(zlib.compress(bytes(1 << 16)))) == 1 << 13
    with pytest.raises(ValueError, match="too long"):
        decompress(zlib.compress(bytes(1 << 20)))


def test_four_and_five_operators_take_few_bytes() -> None:
    """Against eight bytes for a digest alone, without a row around it."""
    rng = np.random.default_rng(1)
    packed = [pack(rng.integers(1, 350, 5).tolist()) for _ in range(500)]
    assert len(compress(packed)) < 7 * len(packed)


# -- corpora of other versions -----------------------------------------------------------------------------------


def older(store: Store) -> Path:
    """The corpus as a version without coverage left it."""
    directory = store.directory
    store.close()
    with sqlite3.connect(directory / "corpus.sqlite") as connection:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name.startswith("coverage_"):
                connection.execute(f"DROP TABLE {table.name}")
    connection.close()
    return directory


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A corpus of a version without coverage, with one judged batch and one that is issued."""
    with Store.open(tmp_path / "corpus", create=True) as store:
        record(store, campaign(store, batches=2), 0)
    return older(store)


def test_an_older_corpus_is_read_as_one_in_which_nothing_was_counted(old: Path) -> None:
    with Store.open(old, write=False) as store:
        assert store.coverage().converters == {}
        assert store.drawn("tf2onnx") == ({}, {})
        assert len(store.campaigns()) == 1


def test_a_corpus_older_than_structures_and_profiles_has_none(tmp_path: Path) -> None:
    with Store.open(tmp_path / "corpus", create=True) as store:
        record(store, campaign(store, batches=1), 0)
    with sqlite3.connect(tmp_path / "corpus" / "corpus.sqlite") as connection:
        connection.execute("DROP TABLE coverage_structure")
        connection.execute("DROP TABLE coverage_profile")
    connection.close()
    with Store.open(tmp_path / "corpus", write=False) as store:
        assert store.coverage().structures == {"tensorflow": {}}
        assert store.coverage().profiles == ()
        assert store.coverage().drawn == {"tensorflow": {"tf.add": 4, "tf.abs": 2}}


def test_an_older_corpus_counts_from_now_on(old: Path) -> None:
    with Store.open(old) as store:
        record(store, store.campaigns()[0].id, 1)
    with Store.open(old, write=False) as store:
        assert sequences(store)["source", "tensorflow", 1] == (6, 2, 0)


def test_tables_of_counts_hold_nothing_twice_on_sqlite_and_suit_postgresql() -> None:
    for name in ("sequence", "cell", "argument", "name", "option", "refusal"):
        table = Base.metadata.tables[f"coverage_{name}"]
        assert "WITHOUT ROWID" in str(CreateTable(table).compile(dialect=sqlite.dialect()))
        assert "ROWID" not in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_a_batch_is_a_statement_per_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    upsert = tables._upsert

    def noted(session: object, kind: type[Base], rows: list[dict[str, object]]) -> None:
        calls.append(kind.__tablename__)
        upsert(session, kind, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(tables, "_upsert", noted)
    record(store, campaign(store, batches=1), 0)
    assert sorted(calls) == [
        "coverage_argument",
        "coverage_cell",
        "coverage_option",
        "coverage_profile",
        "coverage_refusal",
        "coverage_sequence",
        "coverage_sequence",
        "coverage_structure",
    ]
