"""Classes of findings are kept with them, and found out where they were not."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import msgspec
import numpy as np

from corpus.records import Finding, FindingState, NewFinding
from corpus.store import Store
from generators.graph import Case, Graph, Input, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.outcome import Stage, Symptom
from oracles.taxonomy import Cause, Classification, classify
from tests.corpus.builders import VALUE, campaign, finding, judged, reopened, verified

KIND = TensorType("float32", (2,))
CASE = dumps(
    Case(
        Graph("torch", (Input("x", KIND),), (), (Node("torch.exp", (Ref("x"),), (), (Value("y", KIND),)),), ("y",)),
        {"x": np.ones(2, np.float32)},
    )
)
KEPT = Classification(
    Stage.OPTIMIZE, "a rule", Symptom.WRONG_MODEL, "another", Cause.WRONG_OPTIMIZATION, "and a third one"
)


def recorded(store: Store, new: NewFinding) -> Finding:
    store.record_batch(judged(campaign(store, batches=1), 0, new))
    [one] = store.list_findings()
    return one


def test_a_class_is_kept_with_its_finding(store: Store) -> None:
    one = recorded(store, finding())
    store.finish_finding(one.id, verified("bucket", classification=KEPT))
    store.close()
    with reopened(store) as again:
        assert again.classes([again.find(one.id)]) == {one.id: KEPT}


def test_a_finding_without_a_class_gets_it_when_it_is_read(store: Store) -> None:
    one = recorded(store, msgspec.structs.replace(finding(), data=CASE))
    assert one.state is FindingState.RAW
    assert not store.classes([one])[one.id].distinguishable  # not minimized
    done = store.finish_finding(one.id, verified("bucket", minimized=CASE))
    read = store.classes([done])[one.id]
    assert (read.stage, read.stage_rule) == (Stage.CONVERT, "one operator suffices")


def test_a_case_that_cannot_be_read_tells_nothing_and_breaks_nothing(store: Store) -> None:
    one = recorded(store, finding())  # its data are no case
    assert store.classes([one])[one.id] == classify(VALUE, converter="tf2onnx", settings=("unoptimized",))


def test_a_corpus_of_an_older_version_stays_readable(tmp_path: Path) -> None:
    with Store.open(tmp_path / "corpus", create=True) as store:
        one = recorded(store, finding())
        store.finish_finding(one.id, verified("bucket", minimized=CASE, classification=KEPT))
    with sqlite3.connect(tmp_path / "corpus" / "corpus.sqlite") as connection:
        connection.execute("DROP TABLE classification")
    connection.close()
    with Store.open(tmp_path / "corpus", write=False) as store:
        assert store.classes(store.list_findings())[one.id].stage_rule == "one operator suffices"
    with Store.open(tmp_path / "corpus") as store:  # the table is added
        again = dataclasses.replace(store.classes(store.list_findings())[one.id])
    assert again.stage is Stage.CONVERT
