"""The support matrix: what each status means, and the three formats."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from corpus.records import CellCount, Coverage, CoverageReport, FindingState, NewFinding, RefusalCount
from corpus.store import Store
from fuzzer import cli, cli_installed
from fuzzer.reports.matrix import Status, as_html, as_json, as_markdown, build
from generators.graph import Graph
from generators.serial import dumps
from oracles.outcome import Kind, Signature, Stage, Symptom
from tests.corpus.builders import campaign, issued, judged, verified
from tests.fuzzer.graphs import unary

NASTY = "<script>alert(1)</script> | [x](http://y) `z` & \x1b\n*"
RELU = unary("tensorflow", "relu", "float32", 2)


def cell(key: str, outcome: str, variant: str = "", count: int = 2, converter: str = "tflite") -> CellCount:
    return CellCount("tensorflow", converter, variant, outcome, key, count)


REPORT = CoverageReport(
    {"tensorflow": ("tflite", "tf2onnx")},
    (),
    {},
    (
        cell("tf.add(float32,float32)", "started", count=5),
        cell("tf.add(float32,float32)", "success", "litert xnnpack", 3),
        cell("tf.add(float32,float32)", "success", "litert builtin", 4),
        cell("tf.conj(complex64)", "started"),
        cell("tf.conj(complex64)", "unsupported"),
        cell("tf.odd(int8)", "started"),
        cell("tf.odd(int8)", "mismatch", "litert xnnpack"),
        cell("tf.nn.relu(float32)", "started", converter="tf2onnx"),
        cell("tf.nn.relu(float32)", "success", "onnxruntime optimized", converter="tf2onnx"),
    ),
    (),
    refusals=(RefusalCount("tensorflow", "tflite", "tflite", "tf.conj(complex64)", NASTY, 2),),
)
ROUTES = [("tensorflow", "tflite", "litert"), ("tensorflow", "tf2onnx", "onnxruntime"), ("torch", "other", "runtime")]
REGISTERED = {"tensorflow": ["tf.add", "tf.never"]}


def finding(graph: Graph, component: str = "tflite") -> tuple[object, Graph]:
    from corpus.records import Finding

    signature = Signature(Stage.CONVERT, component, Kind.VALUE)
    return (
        Finding(
            "abc123", "c", 0, 0, signature, Symptom.WRONG_MODEL, "tensorflow", "tflite", {}, (), "", {},
            FindingState.VERIFIED, 0.0, "",
        ),
        graph,
    )  # fmt: skip


def matrix(component: str = "tflite"):  # type: ignore[no-untyped-def]
    return build(
        REPORT, [finding(RELU.graph, component)], ROUTES, REGISTERED, campaigns=["c0ffee"], versions={"onnx": "1.23"}
    )


def statuses(component: str = "tflite") -> dict[tuple[str, str, str], Status]:
    return {(one.operator, one.dtypes, one.converter): one.status for one in matrix(component).cells}


def test_statuses() -> None:
    assert statuses() == {
        ("tf.add", "float32,float32", "tflite"): Status.OK,
        ("tf.conj", "complex64", "tflite"): Status.UNSUPPORTED,
        ("tf.odd", "int8", "tflite"): Status.UNCLEAR,
        ("tf.nn.relu", "float32", "tflite"): Status.DEFECT,
        ("tf.never", "", "tflite"): Status.UNTESTED,
        ("tf.add", "float32,float32", "tf2onnx"): Status.UNTESTED,
        ("tf.conj", "complex64", "tf2onnx"): Status.UNTESTED,
        ("tf.odd", "int8", "tf2onnx"): Status.UNTESTED,
        ("tf.nn.relu", "float32", "tf2onnx"): Status.OK,
        ("tf.never", "", "tf2onnx"): Status.UNTESTED,
    }
    assert statuses("litert")["tf.nn.relu", "float32", "tflite"] is Status.DEFECT
    assert statuses("another runtime")["tf.nn.relu", "float32", "tflite"] is Status.UNTESTED


def test_counts_and_reasons() -> None:
    found = {(one.operator, one.converter): one for one in matrix().cells}
    add = found["tf.add", "tflite"]
    # The same cases, under both variants.
    assert (add.cases, add.succeeded, add.runtime) == (5, 4, "litert")
    assert found["tf.conj", "tflite"].messages == (NASTY,)
    assert found["tf.nn.relu", "tflite"].findings == ("abc123",)
    assert matrix().counts() == {
        Status.DEFECT: 1,
        Status.OK: 2,
        Status.UNSUPPORTED: 1,
        Status.UNCLEAR: 1,
        Status.UNTESTED: 5,
    }


def test_json() -> None:
    read = json.loads(as_json(matrix()))
    assert (read["campaigns"], read["versions"]) == (["c0ffee"], {"onnx": "1.23"})
    assert len(read["cells"]) == 10
    assert {"operator", "dtypes", "converter", "runtime", "status", "messages", "findings"} <= read["cells"][0].keys()


def test_markdown_is_one_row_a_line_and_nothing_in_it_is_markup() -> None:
    text = as_markdown(matrix())
    lines = text.splitlines()
    assert "| operator | element types | tflite / litert | tf2onnx / onnxruntime |" in lines
    assert "| tf.nn.relu | float32 | defect abc123 | ok |" in lines
    assert "| tf.never |  | untested | untested |" in lines
    [reason] = [line for line in lines if line.startswith("- tf.conj")]
    assert "\\<script\\>" in reason
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)[<|`]", reason)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_html_is_escaped_stands_alone_and_can_be_filtered() -> None:
    text = as_html(matrix())
    page = _Page()
    page.feed(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "&lt;script&gt;" in text
    # Nothing is asked of the network, and the browser is told not to.
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.tags)
    [policy] = [one["content"] for tag, one in page.tags if tag == "meta" and "http-equiv" in one]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    rows = [one for tag, one in page.tags if tag == "tr" and "data-status" in one]
    assert len(rows) == 10
    filters = {one["data-of"] for tag, one in page.tags if tag == "select"}
    assert filters == {"frontend", "converter", "runtime", "status"}
    assert all(f"data-{name}" in row for row in rows for name in filters)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str]:
    """A corpus with a verified finding, and one campaign more; the finding's campaign and id."""
    coverage = Coverage(
        "onnx",
        {"tf.nn.relu": 2},
        cells={"": {"started": {"tf.nn.relu(float32)": 2}}, "onnxruntime optimized": {"success": {"tf.abs(int8)": 1}}},
    )
    directory = tmp_path / "corpus"
    with Store.open(directory, create=True) as store:
        first, second = campaign(store, batches=1), campaign(store)
        store.issue(second, [issued(0)])
        new = NewFinding(0, Signature(Stage.CONVERT, "tf2onnx", Kind.VALUE), Symptom.WRONG_MODEL, "", dumps(RELU))
        store.record_batch(msgspec.structs.replace(judged(first, 0, new), coverage=coverage))
        store.record_batch(msgspec.structs.replace(judged(second, 0), coverage=coverage))
        [found] = store.list_findings(campaign=first)
        store.finish_finding(found.id, verified("bucket", minimized=dumps(RELU)))
    monkeypatch.setenv("CONVFUZZ_CORPUS", str(directory))
    monkeypatch.setattr(cli_installed, "registered", {"tensorflow": ("tf.abs", "tf.nn.relu", "tf.add")}.__getitem__)
    return directory, first, found.id


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (["--output", "m.html"], "<!DOCTYPE html>"),
        (["-o", "m.md"], "# Support matrix"),
        (["-o", "m.json"], "{"),
        (["--format", "json", "-o", "m.txt"], "{"),
    ],
)
def test_the_command_writes_a_file(
    corpus: tuple[Path, str, str],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    begins: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["matrix", *arguments]) == 0
    assert capfd.readouterr().out == f"written: {arguments[-1]}\n"
    text = (tmp_path / arguments[-1]).read_text()
    assert text.startswith(begins)
    assert corpus[2] in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", arguments[-1]]


def test_of_a_campaign_on_standard_output(corpus: tuple[Path, str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["matrix", "--campaign", corpus[1]]) == 0
    out = capfd.readouterr().out
    assert f"campaigns: {corpus[1]}" in out
    assert f"| tf.nn.relu | float32 | defect {corpus[2]} |" in out
    # In a column of which it depends on what is installed.
    assert re.search(r"^\| tf\.abs \| int8 \|.* ok \|", out, re.MULTILINE)
    assert "| tf.add |  | untested |" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "pdf"], "html, markdown, json"),
        (["-o", "matrix.pdf"], "the suffix of matrix.pdf"),
        (["--converter", "nobody"], "no judged batch through nobody"),
        (["--campaign", "zz"], "no campaign 'zz'"),
        (["-o", "/nowhere/m.html"], "no directory /nowhere"),
    ],
)
def test_what_cannot_be_written(
    corpus: tuple[Path, str, str], capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(["matrix", *arguments]) == 2
    assert words in capfd.readouterr().err
