"""The defects that are shipped: each is whole, and its script stands alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from corpus.errors import CorpusError
from corpus.regressions import Kept, kept
from oracles.outcome import Stage, Symptom
from tests.test_architecture import LAYERS, ROOT

SHIPPED = kept()
CONVERTERS = {"torch.onnx-dynamo", "torch.onnx-torchscript", "tf2onnx", "tflite"}


def test_they_cover_the_converters_and_runtimes() -> None:
    assert 15 <= len(SHIPPED) <= 30
    assert {one.record.converter for one in SHIPPED} == CONVERTERS
    assert {one.record.component for one in SHIPPED} == {*CONVERTERS, "onnxruntime", "litert"}
    assert {one.record.symptom for one in SHIPPED} == {"wrong model", "invalid model", "crash"}


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_each_is_whole(one: Kept) -> None:
    record = one.record
    Symptom(record.symptom)
    Stage(record.stage)
    assert record.title
    assert record.cause
    assert record.severity
    assert any(seen.shows and seen.runs for seen in record.seen)
    assert all(seen.versions for seen in record.seen)
    audit = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert f"| {record.bucket} |" in audit
    row = next(line for line in audit.splitlines() if line.startswith(f"| {record.bucket} |"))
    assert "| real" in row


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_each_script_stands_alone_and_an_import_that_fails_is_no_defect(one: Kept) -> None:
    tree = ast.parse(one.script)
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {
        name.split(".")[0]
        for node in imports
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert names.isdisjoint(LAYERS)
    # Python exits with 1 for an exception that nothing handles: the hook comes before what may not be there.
    hook = one.script.index("sys.excepthook = ")
    for framework in ("import torch", "import tensorflow", "import numpy", "import onnx"):
        place = one.script.find(f"\n{framework}")
        assert place < 0 or hook < place


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "defect.json").write_text('{"title": 3}')
    with pytest.raises(CorpusError, match="one is damaged"):
        kept(tmp_path)


def test_a_draft_comes_along(tmp_path: Path) -> None:
    source = ROOT / "corpus" / "regressions" / SHIPPED[0].name
    (tmp_path / "one").mkdir()
    for name in ("defect.json", "reproducer.py"):
        (tmp_path / "one" / name).write_bytes((source / name).read_bytes())
    (tmp_path / "one" / "draft.md").write_text("a draft")
    (found,) = kept(tmp_path)
    assert found.draft == "a draft"
    assert found.record == SHIPPED[0].record


@pytest.mark.sweep
@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_each_still_shows_with_the_versions_that_are_pinned(one: Kept) -> None:
    from oracles.verification import verify

    done = verify(one.script, 1)
    assert done.statuses == (1,), done.outputs
    assert "expected" in done.outputs[0]
