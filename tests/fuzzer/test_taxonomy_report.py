"""The tables of `convfuzz taxonomy`: what they count, in each format, and what the command refuses."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from corpus.records import FunnelRow
from fuzzer import cli
from fuzzer.reports.taxonomy import (
    FORMATS,
    PAST_CAUSES,
    PAST_DETAILED,
    PAST_STAGES,
    PAST_SYMPTOMS,
    Report,
    as_json,
    as_markdown,
    as_text,
    build,
)
from oracles.causes import cause_rules
from oracles.outcome import Kind, Signature, Stage
from oracles.taxonomy import Classification, classify, stage_rules
from tests.fuzzer.test_cli import corpus, refused

__all__ = ["corpus"]
DOCS = Path(__file__).parents[2] / "docs"


def one(converter: str, stage: Stage, kind: Kind, detail: str = "") -> tuple[str, Classification]:
    return converter, classify(Signature(stage, converter, kind, detail), converter=converter)


@pytest.fixture
def report() -> Report:
    types = "onnx.checker: (op_type:Log): input typestr: T, has unsupported type: tensor(int32)"
    found = [
        one("tf2onnx", Stage.VALIDATE, Kind.INVALID, types),
        one("tf2onnx", Stage.VALIDATE, Kind.INVALID, types),
        one("tf2onnx", Stage.LOAD, Kind.EXCEPTION, "NameError: name 'x' is not defined @ tf2onnx.tf_loader.f"),
        one("tflite", Stage.CONVERT, Kind.VALUE),
    ]
    funnel = [
        FunnelRow("tensorflow", "tf2onnx", "", {"started": 5, "unsupported": 1, "invalid": 2}),
        FunnelRow("tensorflow", "tf2onnx", "", {"started": 2, "converter failed": 1}),
        FunnelRow("tensorflow", "tf2onnx", "onnxruntime optimized", {"success": 2, "mismatch": 1}),
    ]
    return build(found, funnel, counted="findings", campaigns=["one", "two"])


def tables(report: Report) -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = json.loads(as_json(report))["tables"]
    return found


def test_what_study_a_counted_adds_up() -> None:
    assert sum(PAST_STAGES.values()) == sum(PAST_SYMPTOMS.values()) == sum(PAST_CAUSES.values()) == 200
    incompatible = sum(count for cause, count in PAST_DETAILED.items() if cause.startswith("incompatibility"))
    assert incompatible == PAST_CAUSES["incompatibility"]
    assert sum(PAST_DETAILED.values()) - incompatible == PAST_CAUSES["type problem"]


def test_cross_tables_count_each_finding_once_beside_past_failures(report: Report) -> None:
    crossed = tables(report)
    stages = crossed["stage × symptom"]
    assert stages["node conversion"] == {
        **dict.fromkeys(stages["all"], 0),
        "invalid model": 2,
        "all": 2,
        "Study A": 148,
    }
    assert stages["all"]["all"] == 4
    assert stages["indistinguishable"]["wrong model"] == 1
    assert stages["Study A"]["crash"] == 112
    causes = crossed["symptom × cause"]
    assert causes["crash"]["incompatibility"] == "0 (47)"
    assert causes["crash"]["typo"] == 1
    assert causes["invalid model"]["type problem"] == 2
    assert crossed["cause × converter"]["type problem: operator's type"] == {
        "tf2onnx": 2,
        "tflite": 0,
        "all": 2,
        "Study A": 46,
    }
    assert crossed["stage × symptom of tf2onnx"]["all"]["all"] == 3
    assert report.indistinguishable == 0.25


def test_rules_that_decided_are_counted(report: Report) -> None:
    rules = tables(report)["rules that decided"]
    assert rules["stage: complaint about a node or the type of a value"] == {"for": "node conversion", "findings": 2}
    assert rules["cause: a name that is not defined"]["findings"] == 1


def test_the_funnel_adds_campaigns_up_and_has_the_steps_of_study_a(report: Report) -> None:
    funnel = tables(report)["funnel"]
    assert funnel["tf2onnx (tensorflow)"] == {
        **dict.fromkeys(funnel["tf2onnx (tensorflow)"], ""),
        "started": 7,
        "conversion refused": 1,
        "conversion failed": 1,
        "invalid": 2,
    }
    assert funnel["- onnxruntime optimized"]["mismatch"] == 1
    assert funnel["- onnxruntime optimized"]["pass"] == 2


def test_text_is_aligned_and_markdown_has_tables(report: Report) -> None:
    text = as_text(report)
    assert "4 findings of 2 campaigns; 25.0% indistinguishable by stage (Study A: 9% of 200)" in text
    lines = text[text.index("stage × symptom") :].splitlines()
    assert lines[2].startswith("load ")
    assert lines[2][lines[1].index("crash") + 4] == "1"
    markdown = as_markdown(report).splitlines()
    for line, below in itertools.pairwise(markdown):
        if line.startswith("| ") and below.startswith("| "):
            assert line.count("|") == below.count("|")
    assert "## Stage × symptom" in markdown


def test_nothing_found_is_no_division_by_zero() -> None:
    empty = build([], [], counted="findings", campaigns=[])
    assert empty.indistinguishable == 0
    assert all(write(empty) for write in FORMATS.values())


def test_the_command(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["taxonomy"]) == 0
    assert capfd.readouterr().out.startswith("1 verified defects of 1 campaign;")
    assert cli.run(["taxonomy", "--all", "--format", "json", "--converter", "tf2onnx"]) == 0
    assert json.loads(capfd.readouterr().out)["findings"] == 3
    assert cli.run(["taxonomy", "--format", "markdown"]) == 0
    assert capfd.readouterr().out.startswith("# Stages, symptoms and causes")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--format", "html"), "text, markdown, json"), (("--converter", "tflite"), "what was used: tf2onnx")],
)
def test_what_the_command_refuses(
    corpus: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(capfd, "taxonomy", *arguments)


def test_findings_are_shown_with_their_class(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["findings"]) == 0
    assert "symptom wrong model · cause algorithmic error: other" in capfd.readouterr().out
    assert cli.run(["findings", "--all", "--json"]) == 0
    listed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {line["classification"]["symptom"] for line in listed} == {"wrong model", "crash"}
    assert cli.run(["show", listed[0]["id"]]) == 0
    assert "cause    algorithmic error: other  (a wrong result)" in capfd.readouterr().out


def test_the_documentation_tells_of_every_rule() -> None:
    text = (DOCS / "taxonomy.md").read_text(encoding="utf-8")
    missing = [rule for rule in (*stage_rules(), *cause_rules()) if f"| {rule} |" not in text]
    assert missing == []
