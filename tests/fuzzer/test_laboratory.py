"""Reproducers with other versions of a package: what each run means, and the commands that compare versions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from corpus.records import Finding
from corpus.store import Store
from corpus.versions import Showing, VersionResult
from fuzzer import cli, toolchains
from fuzzer.blaming import Blamer
from fuzzer.laboratory import Laboratory, run
from fuzzer.toolchain_building import make
from oracles.blame import Blame, Confidence, Rule
from tests.corpus.builders import campaign, finding, judged, verified
from tests.fuzzer.wheels import PACKAGE, SCRIPT, index, wheel

__all__ = ["index"]


@pytest.mark.parametrize(
    ("script", "showing", "detail"),
    [
        ("print('expected 1, got 2'); raise SystemExit(1)", Showing.SHOWS, ""),
        ("print('expected 1, got 1')", Showing.ABSENT, ""),
        (
            "print('expected no exception, got ValueError: x'); raise SystemExit(2)",
            Showing.CHANGED,
            "got ValueError: x",
        ),
        # Python exits with 1 for this, which is no defect of a converter.
        ("import convfuzz_no_such_module", Showing.UNUSABLE, "convfuzz_no_such_module"),
        ("print('expected no exception, got ImportError: x'); raise SystemExit(2)", Showing.UNUSABLE, "ImportError: x"),
        ("from math import no_such_name", Showing.UNUSABLE, "no_such_name"),
        ("1 / 0", Showing.CHANGED, "ZeroDivisionError"),
        ("import importlib.metadata as m; m.version('convfuzz-no-such')", Showing.UNUSABLE, "convfuzz-no-such"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Showing.CHANGED, "killed by signal 11"),
        ("import time; time.sleep(60)", Showing.UNFINISHED, "did not end within 2 s"),
    ],
)
def test_what_a_run_means(script: str, showing: Showing, detail: str) -> None:
    # Python itself takes seconds to start on a busy machine.
    done = run(script, sys.executable, deadline=2 if showing is Showing.UNFINISHED else 60)
    assert done.showing is showing
    assert detail in done.detail


def test_a_defect_that_shows_now_and_then_shows(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = f"import pathlib, sys\np = pathlib.Path({str(mark)!r})\nwas = p.exists()\np.touch()\n"
    script += "print('expected')\nsys.exit(was)\n"
    assert run(script, sys.executable).showing is Showing.ABSENT
    mark.unlink()
    assert run(script, sys.executable, runs=3).showing is Showing.SHOWS


@pytest.fixture
def corpus(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus with a finding that is about a package, and its releases."""
    for version in ("1.0", "1.2", "1.3", "1.4", "2.0"):
        wheel(index, version)
    wheel(index, "1.1", body="import convfuzz_no_such_module")
    wheel(index, "3.0rc1")
    directory = tmp_path / "corpus"
    with Store.open(directory, create=True) as store:
        name = campaign(store, batches=1)
        store.record_batch(judged(name, 0, finding()))
        store.finish_finding(store.list_findings()[0].id, verified("one", reproducer=SCRIPT))
    monkeypatch.setenv("CONVFUZZ_CORPUS", str(directory))
    return directory


def test_a_bisection_names_the_versions_and_is_remembered(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(corpus) as store:
        one = store.list_findings()[0].id
    assert cli.run(["bisect", one, "--package", PACKAGE, "--bad", "1.4"]) == 0
    out, err = capfd.readouterr()
    assert "first shows with convfuzz-tiny 1.2 (the last without it: 1.0), or one of 1.1, of which nothing" in out
    assert "no longer shows since convfuzz-tiny 2.0 (the last with it: 1.4)" in out
    assert "3.0rc1" not in out
    assert err.count("installing") >= 4
    assert toolchains.listed() == []
    assert cli.run(["show", one]) == 0
    shown = capfd.readouterr().out
    assert "convfuzz-tiny" in shown
    assert "does not import" in shown
    # Nothing is asked again; with both ends given, the same is found.
    assert cli.run(["bisect", one, "--package", PACKAGE, "--good", "2.0", "--bad", "1.3", "--json"]) == 0
    out, err = capfd.readouterr()
    assert "installing" not in err
    told = json.loads(out)
    assert told["changes"] == [{"appears": False, "before": "1.4", "after": "2.0", "between": []}] or (
        told["changes"][0]["appears"] is True
    )
    with Store.open(corpus, write=False) as store:
        known = {result.version: result.showing for result in store.versions(one)}
    assert known["1.0"] is known["2.0"] is Showing.ABSENT
    assert known["1.1"] is Showing.UNUSABLE
    assert known["1.2"] is known["1.4"] is Showing.SHOWS


def test_what_took_too_long_is_asked_again(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(corpus) as store:
        one = store.list_findings()[0].id
        store.record_version(one, VersionResult(PACKAGE, "1.3", Showing.UNFINISHED, "did not end within 1 s"))
        store.record_version(one, VersionResult(PACKAGE, "1.4", Showing.SHOWS))
    assert cli.run(["bisect", one, "--package", PACKAGE, "--good", "1.3", "--bad", "1.4"]) == 2
    assert "with convfuzz-tiny 1.3 the defect of" in capfd.readouterr().err
    with Store.open(corpus, write=False) as store:
        known = {result.version: result.showing for result in store.versions(one)}
    assert known == {"1.3": Showing.SHOWS, "1.4": Showing.SHOWS}


def test_blame_is_asked_in_a_toolchain_and_recorded_only_if_it_is_the_findings_own(
    corpus: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(self: Blamer, finding: Finding, case: bytes) -> Blame:
        return Blame(self._worker.python, Confidence.LOW, Rule.OBSERVED)

    monkeypatch.setattr(Blamer, "blame", told)
    made = make("tiny", [f"{PACKAGE}==1.4"])
    with Store.open(corpus) as store:
        one = store.list_findings()[0].id
    assert cli.run(["blame", one, "--toolchain", "tiny"]) == 0
    out = capfd.readouterr().out
    assert made.python in out
    assert "not recorded: the finding is of the packages here" in out
    with Store.open(corpus, write=False) as store:
        assert store.find(one).blame is None
    assert cli.run(["blame", one, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["recorded"] is True
    with Store.open(corpus, write=False) as store:
        blame = store.find(one).blame
    assert blame is not None
    assert blame.component == sys.executable
    assert cli.run(["blame", one, "--toolchain", "none"]) == 2


def test_what_cannot_be_bisected_is_told(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(corpus) as store:
        one = store.list_findings()[0].id
    for arguments, words in (
        (["--package", PACKAGE, "--bad", "1.7"], "pip finds no convfuzz-tiny 1.7"),
        (["--package", PACKAGE, "--bad", "2.0"], "does not show: nothing to begin from"),
        (["--package", PACKAGE], "is not among the releases"),
        (["--package", PACKAGE, "--bad", "1.4", "--good", "1.3"], "with convfuzz-tiny 1.3 the defect"),
        (["--package", "convfuzz-no-such-package", "--bad", "1"], "pip finds no release"),
    ):
        assert cli.run(["bisect", one, *arguments]) == 2
        assert words in capfd.readouterr().err


def test_a_matrix_of_versions(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(corpus) as store:
        one = store.list_findings()[0].id
    assert cli.run(["versions", one, "--package", PACKAGE, "--last", "2", "--pre", "--keep", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [(row["version"], row["showing"]) for row in told["versions"]] == [
        ("2.0", "does not show"),
        ("3.0rc1", "does not show"),
    ]
    assert [one.name for one in toolchains.listed()] == ["convfuzz-tiny==2.0-alone", "convfuzz-tiny==3.0rc1-alone"]


def test_other_packages_are_installed_beside_each_version(
    corpus: Path, index: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    beside = "convfuzz-beside"
    wheel(index, "2.0", name=beside)
    with Store.open(corpus) as store:
        one = store.list_findings()[0].id
        store.record_version(one, VersionResult(PACKAGE, "1.4", Showing.UNUSABLE, "not without the other"))
    asked = ["bisect", one, "--package", PACKAGE, "--good", "1.0", "--bad", "1.4", "--with", f"{beside}==2.0"]
    assert cli.run(asked) == 0
    assert "first shows with convfuzz-tiny 1.2" in capfd.readouterr().out
    with Store.open(corpus, write=False) as store:
        found = {result.version: result for result in store.versions(one)}
    assert found["1.4"].showing is Showing.SHOWS
    assert found["1.4"].others == {beside: "2.0"}
    assert cli.run([*asked[:-1], "no requirement"]) == 2


def test_dependencies_come_along_only_where_nothing_could_be_said(index: Path) -> None:
    wheel(index, "1.0", requires="numpy>=1")
    wheel(index, "1.1", body="import convfuzz_no_such_module", requires="numpy>=1")
    told: list[str] = []
    kept: list[VersionResult] = []
    laboratory = Laboratory("import convfuzz_tiny\nprint('expected')", say=told.append, record=kept.append)
    assert laboratory.ask(PACKAGE, "1.0").showing is Showing.ABSENT
    assert sum("installing" in line for line in told) == 1
    assert laboratory.ask(PACKAGE, "1.1").showing is Showing.UNUSABLE
    assert sum("installing" in line for line in told) == 3
    assert [one.version for one in kept] == ["1.0", "1.1"]
    assert laboratory.ask(PACKAGE, "4.0").showing is Showing.NOT_INSTALLED
