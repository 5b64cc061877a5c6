"""Drafts about the defects that are shipped: each is there, and the command makes it of the record and the script."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import msgspec
import pytest

from corpus.regressions import Kept, kept
from fuzzer import cli
from fuzzer.errors import UsageError
from fuzzer.upstream.draft import LONGEST_LINK
from fuzzer.upstream.projects import projects
from fuzzer.upstream.shipped import draft, project_for

SHIPPED = kept()
#: Whose defects those are that are not of the component's own project: parts of the exporter come from elsewhere.
ELSEWHERE = {
    "dynamo-amin-without-dim": "microsoft/onnxscript",
    "dynamo-index-int32": "microsoft/onnxscript",
    "dynamo-scatter-reduce-mean-overwrites": "microsoft/onnxscript",
    "dynamo-log-softmax-of-constant": "onnx/onnx",
}
PROJECTS = {
    "torch.onnx-dynamo": "pytorch/pytorch",
    "torch.onnx-torchscript": "pytorch/pytorch",
    "tf2onnx": "onnx/tensorflow-onnx",
    "tflite": "tensorflow/tensorflow",
    "litert": "google-ai-edge/LiteRT",
    "onnxruntime": "microsoft/onnxruntime",
}
#: Beginnings of paths that are of one machine. Messages of subjects may have paths of where those were built.
MACHINE = re.compile(r"(?<![\w.])/(?:work|tmp|home|root|var|opt|usr|Users)/|site-packages")


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_each_has_a_draft_for_its_project(one: Kept) -> None:
    text = one.draft
    assert text.startswith("> **This is a draft. Nobody has filed it, and convfuzz never does.** A person must read it")
    [repository] = re.findall(r"^- for: \[(.+?)\]", text, re.MULTILINE)
    assert repository == ELSEWHERE.get(one.name, PROJECTS[one.record.component])
    assert repository == project_for(one).repository
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks.count(one.script) == 1
    assert not MACHINE.search(text)
    assert f"Found by hand: {one.record.cause}." in text
    assert f"Which data show it, by hand: {one.record.severity}." in text
    assert all(link in text for link in one.record.known)
    [link] = re.findall(r"^\[Open a new issue with this text\]\((\S+)\)$", text, re.MULTILINE)
    assert len(link) <= LONGEST_LINK
    assert urlparse(link).path == f"/{repository}/issues/new"
    [title] = parse_qs(urlparse(link).query)["title"]
    assert f"```text\n{title}\n```" in text


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_causes_are_plain_text_in_markdown(one: Kept) -> None:
    for text in (one.record.cause, one.record.severity):
        assert not re.search(r"[`*\n]|<\w|(?<!\w)_\w.*\w_(?!\w)", text)
        assert not text.endswith(".")


def test_a_record_names_a_project_that_there_is() -> None:
    assert {one.record.project for one in SHIPPED if one.record.project} <= projects().keys()
    stray = msgspec.structs.replace(
        SHIPPED[0], record=msgspec.structs.replace(SHIPPED[0].record, project="", component="x")
    )
    with pytest.raises(UsageError, match="no template is for findings of x"):
        project_for(stray)


def test_the_command_makes_it_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "torchscript-cdist-p-zero"
    out = tmp_path / "draft.md"
    assert cli.run(["draft", "--regression", name, "--no-collect", "--out", str(out)]) == 0
    [one] = [one for one in SHIPPED if one.name == name]
    text = out.read_text(encoding="utf-8")
    # Judged here, along its route and with the settings of its script.
    assert "The same model computed in float64 gives 0 at this element" in text
    assert "- Wrong with: onnxruntime unoptimized, onnxruntime optimized" in text
    assert "- met: a result in higher precision as the baseline" in text
    assert one.script in text
    assert f"convfuzz rerun --regressions {name} --toolchain NAME" in text
    assert "Run `python -m torch.utils.collect_env`" in text
    assert f"{tmp_path}" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [("tf2onnx-diag", "near: tf2onnx-diag-batch-of-one"), ("litert-*", "'litert-*' is of 3 defects")],
)
def test_one_defect_is_named(name: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["draft", "--regression", name]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_what_does_not_show_here_has_no_draft() -> None:
    mended = msgspec.structs.replace(SHIPPED[0], script="print('expected 2, got 2')\n")
    with pytest.raises(UsageError, match="does not show here") as raised:
        draft(mended, projects()["pytorch"])
    assert f"convfuzz rerun --regressions {SHIPPED[0].name} --toolchain NAME" in raised.value.remedy
