"""Reproducers run again: what is told, the JUnit file, and the exit status."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from corpus.records import FindingState, Finish
from corpus.regressions import kept
from corpus.store import Store
from fuzzer import cli
from fuzzer.laboratory import Run, Showing
from fuzzer.rerunning import Item, Now, Rerun, junit, of_regressions, rerun
from tests.corpus.builders import CRASH, campaign, finding, judged, verified

STILL = "print('expected 2, got 1')\nraise SystemExit(1)\n"
FIXED = "print('expected 2, got 2')\n"
CHANGED = "print('expected no exception, got KeyError: x')\nraise SystemExit(2)\n"
CANNOT = "import convfuzz_no_such_module\n"


def corpus_of(directory: Path, *scripts: str) -> Path:
    """A corpus with a verified finding for each script."""
    with Store.open(directory, create=True) as store:
        name = campaign(store, batches=1)
        store.record_batch(judged(name, 0, *(finding(number) for number in range(len(scripts)))))
        for number, (one, script) in enumerate(zip(store.list_findings(), scripts, strict=True)):
            store.finish_finding(one.id, verified(f"bucket {number}", title=f"defect {number}", reproducer=script))
    return directory


def test_each_outcome_is_told_apart() -> None:
    scripts = (STILL, FIXED, CHANGED, CANNOT)
    items = [Item(name, "a defect", "tf2onnx", script) for name, script in zip("abcd", scripts, strict=True)]
    found = {one.item.id: one.now for one in rerun(items, sys.executable, jobs=2)}
    assert found == {"a": Now.STILL, "b": Now.FIXED, "c": Now.CHANGED, "d": Now.CANNOT}


@pytest.mark.parametrize(
    ("scripts", "expect", "status"),
    [
        ((STILL, FIXED), "fixed", 1),
        ((FIXED, FIXED), "fixed", 0),
        ((FIXED, CHANGED), "fixed", 1),
        ((FIXED, CANNOT), "fixed", 2),
        ((STILL, CANNOT), "fixed", 1),
        ((STILL, STILL), "failing", 0),
        ((STILL, FIXED), "failing", 1),
        ((STILL, CHANGED), "failing", 1),
    ],
)
def test_the_exit_status(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], scripts: tuple[str, ...], expect: str, status: int
) -> None:
    corpus = corpus_of(tmp_path / "corpus", *scripts)
    report = tmp_path / "report.xml"
    assert cli.run(["rerun", str(corpus), "--expect", expect, "--junit", str(report)]) == status
    assert "2 reproducers: " in capfd.readouterr().out
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert suite.get("tests") == "2"
    wrong = sum(int(suite.get(name, "")) for name in ("failures", "errors"))
    assert wrong == len(suite.findall("testcase/failure")) + len(suite.findall("testcase/error"))
    assert (wrong > 0) == (status > 0)
    assert {one.get("name") for one in suite.findall("properties/property")} >= {"torch", "onnx", "numpy"}


def test_findings_and_corpora_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = corpus_of(tmp_path / "first", STILL, FIXED)
    second = corpus_of(tmp_path / "second", CHANGED)
    monkeypatch.setenv("CONVFUZZ_CORPUS", str(first))
    with Store.open(first) as store:
        fixed = store.list_findings()[1].id
    assert cli.run(["rerun", fixed, "--json"]) == 0
    (told,) = map(json.loads, capfd.readouterr().out.splitlines())
    assert (told["id"], told["now"], told["title"]) == (fixed[:6], "fixed", "defect 1")
    assert cli.run(["rerun", str(second), "--json"]) == 1
    (told,) = map(json.loads, capfd.readouterr().out.splitlines())
    assert (told["now"], told["detail"]) == ("changed", "expected no exception, got KeyError: x")
    assert cli.run(["rerun", "--json", "--jobs", "2"]) == 1
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_flaky_findings_are_run_more_often(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "mark"
    script = f"import pathlib, sys\np = pathlib.Path({str(mark)!r})\nwas = p.exists()\np.touch()\n"
    script += "print('expected')\nsys.exit(was)\n"
    with Store.open(tmp_path / "corpus", create=True) as store:
        name = campaign(store, batches=1)
        store.record_batch(judged(name, 0, finding(0, CRASH)))
        end = Finish(FindingState.FLAKY, "one", reproducer=script, runs=3, failures=1)
        store.finish_finding(store.list_findings()[0].id, end)
    assert cli.run(["rerun", str(tmp_path / "corpus")]) == 1
    assert "still fails" in capfd.readouterr().out


def test_shipped_defects_are_chosen_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    shipped = kept()
    chosen = of_regressions(shipped, ["tf2onnx-cum*", "ort-logsumexp-loses-nan"])
    assert [one.id for one in chosen] == ["ort-logsumexp-loses-nan", "tf2onnx-cumprod-negative-axis"]
    assert len(of_regressions(shipped)) == len(shipped)
    assert cli.run(["rerun", "--regressions", "tf2onnx-cumprod-axis"]) == 2
    told = capfd.readouterr().err
    assert "no defect that is shipped is called 'tf2onnx-cumprod-axis'" in told
    assert "near: tf2onnx-cumprod-negative-axis" in told


def test_a_file_that_cannot_be_written_is_told_before_anything_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    corpus = corpus_of(tmp_path / "corpus", f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    (tmp_path / "file").touch()
    assert cli.run(["rerun", str(corpus), "--junit", str(tmp_path / "file" / "report.xml")]) == 2
    assert "report.xml cannot be written" in capfd.readouterr().err
    assert not (tmp_path / "mark").exists()


def test_what_is_done_is_in_the_file_before_all_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.xml"
    seen = tmp_path / "seen.xml"
    look = f"import shutil; shutil.copy({str(report)!r}, {str(seen)!r})\nprint('expected')\n"
    corpus = corpus_of(tmp_path / "corpus", STILL, look)
    assert cli.run(["rerun", str(corpus), "--junit", str(report)]) == 1
    early, late = (ElementTree.parse(path).getroot().find("testsuite") for path in (seen, report))
    assert early is not None
    assert late is not None
    assert (early.get("tests"), early.get("failures")) == ("1", "1")
    assert (late.get("tests"), late.get("failures")) == ("2", "1")


def test_a_stream_gets_one_document(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    corpus = corpus_of(tmp_path / "corpus", FIXED, FIXED)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(pipe.read_bytes)
        assert cli.run(["rerun", str(corpus), "--junit", str(pipe)]) == 0
        suite = ElementTree.fromstring(told.result(60)).find("testsuite")
    assert suite is not None
    assert suite.get("tests") == "2"
    assert pipe.is_fifo()


def test_there_must_be_something_to_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "corpus", create=True) as store:
        campaign(store, batches=1)
    assert cli.run(["rerun", str(tmp_path / "corpus")]) == 2
    assert "nothing to rerun" in capfd.readouterr().err


def test_what_scripts_write_does_not_break_the_file() -> None:
    item = Item("a", "title \x00 <&>", "tf2onnx\x1b[31m", "")
    done = Rerun(item, Now.STILL, Run(Showing.SHOWS, "", 1.5, "a\x00b\ud800 <tag> \x1b[0m\nsecond"))
    case = ElementTree.fromstring(junit([done], Now.FIXED, {"torch": "2"})).find("testsuite/testcase")
    assert case is not None
    failure = case.find("failure")
    assert failure is not None
    assert failure.text is not None
    assert "<tag>" in failure.text
    assert failure.text.endswith("second")
    assert "\\x00" in (case.get("name") or "")
