"""The command line: what it prints, what it refuses, and its exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.records import CampaignStatus, FindingState, Finish, PassRecord
from corpus.store import Store
from fuzzer import cli
from tests.corpus.builders import CRASH, campaign, finding, judged, verified

SCRIPT = """import sys
print("expected 2.0, got 1.5")
sys.exit({status})
"""


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus with a verified, a flaky and a raw finding, which commands use by default."""
    directory = tmp_path / "corpus"
    with Store.open(directory, create=True) as store:
        name = campaign(store, batches=2)
        store.record_batch(judged(name, 0, finding(0), finding(1, CRASH), finding(2)))
        first, second, _ = store.list_findings()
        store.finish_finding(first.id, verified("one", reproducer=SCRIPT.format(status=1)))
        store.finish_finding(
            second.id, Finish(FindingState.FLAKY, "two", reproducer=SCRIPT.format(status=0), runs=3, failures=1)
        )
        store.end_campaign(name, CampaignStatus.FINISHED, 120.0)
    monkeypatch.setenv("CONVFUZZ_CORPUS", str(directory))
    return directory


def ids(corpus: Path) -> list[str]:
    with Store.open(corpus) as store:
        return [one.id for one in store.list_findings()]


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command line that is refused says: one or two lines, on standard error, and exit status 2."""
    assert cli.run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith("error: ")
    assert len(lines) == 1 or lines[1].startswith("hint: ")
    return err


def test_findings_lists_what_is_verified(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["findings"]) == 0
    out = capfd.readouterr().out
    one, flaky, raw = ids(corpus)
    assert one[:6] in out
    assert str(Path("findings") / one / "reproducer.py") in out
    assert flaky[:6] not in out
    assert raw[:6] not in out


def test_findings_lists_everything_when_asked(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["findings", "--all"]) == 0
    out = capfd.readouterr().out
    for identifier, state in zip(ids(corpus), ("verified", "flaky", "raw"), strict=True):
        assert any(identifier[:6] in line and state in line for line in out.splitlines())


def test_findings_as_json(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["findings", "--json"]) == 0
    (bucket,) = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert bucket["representative"]["id"] == ids(corpus)[0]
    assert cli.run(["findings", "--json", "--all"]) == 0
    listed = [json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()]
    assert listed == ids(corpus)


def test_findings_of_one_campaign(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(corpus) as store:
        first, other = store.campaigns()[0].id, campaign(store)
    assert cli.run(["findings", "--campaign", first]) == 0
    assert ids(corpus)[0][:6] in capfd.readouterr().out
    assert cli.run(["findings", "--campaign", other]) == 0
    assert "nothing found" in capfd.readouterr().out


def test_show(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = ids(corpus)[0]
    assert cli.run(["show", one[:7]]) == 0
    out = capfd.readouterr().out
    assert "wrong model · node conversion · tf2onnx" in out
    assert "1 node · 3/3 runs · script of 3 lines" in out
    assert "class Model: ..." in out
    assert str(Path(one) / "reproducer.py") in out


def test_show_tells_what_each_pass_of_minimization_did(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = ids(corpus)[0]
    passes = [
        PassRecord("isolate", 128, 1, 0, 1, 0.5),
        PassRecord("simplify", 40, 3, 2, 2, 1.0),
        PassRecord("shapes", 7),
    ]
    with Store.open(corpus) as store:
        store.add_passes(one, passes)
    assert cli.run(["show", one[:7]]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ["candidates", "still", "fail", "known", "conversions", "seconds"] in [row[3:] for row in rows]
    assert ["isolate", "128", "1", "0", "1", "0.5"] in rows
    assert ["shapes", "7", "0", "0"] in rows
    assert ["all", "175", "4", "2", "3", "1.5"] in rows
    assert cli.run(["show", one, "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)["passes"]
    assert [(row["name"], row["tries"], row["conversions"]) for row in shown] == [
        (row.name, row.tries, row.conversions) for row in passes
    ]


def test_show_as_json(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", ids(corpus)[0], "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["script"] == SCRIPT.format(status=1)
    assert Path(shown["reproducer"]).read_text() == shown["script"]


def test_reproduce_runs_the_script_and_tells_whether_the_defect_shows(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    verified_id, flaky_id, raw_id = ids(corpus)
    assert cli.run(["reproduce", verified_id, "--runs", "2"]) == 1
    out = capfd.readouterr().out
    assert out.count("expected 2.0, got 1.5") == 2
    assert "the defect showed in 2 of 2 runs" in out
    assert cli.run(["reproduce", flaky_id, "--runs", "1"]) == 0
    assert "the defect showed in 0 of 1 runs" in capfd.readouterr().out
    assert "has no reproducer: it is raw" in refused(capfd, "reproduce", raw_id)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], "bogus"),
        (["fuzz", "--nodes", "0"], "--nodes"),
        (["fuzz", "--seed", "minus one"], "--seed"),
        (["fuzz", "--route", "no-such-converter"], "no-such-converter"),
        (["show"], "ID"),
        (["show", "zzzz"], "no finding 'zzzz'"),
        (["show", ""], "ambiguous"),
        (["findings", "--campaign", "zz"], "no campaign 'zz'"),
        (["resume"], "no campaign"),
        (["resume", "zz"], "no campaign 'zz'"),
        (["replay", "zz", "0"], "no campaign 'zz'"),
        (["replay", "", "99"], "no batch 99"),
        (["coverage"], "no judged batch with coverage"),
        (["coverage", "--campaign", "zz"], "no campaign 'zz'"),
    ],
)
def test_bad_use(corpus: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert words in refused(capfd, *arguments)


@pytest.mark.parametrize(
    "command", [["findings"], ["show", "a"], ["resume"], ["fuzz"], ["replay", "a", "0"], ["coverage"]]
)
def test_a_directory_that_is_no_corpus(tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str]) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "not a corpus of convfuzz" in refused(capfd, *command, "--corpus", str(tmp_path))
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_an_unknown_route_makes_no_corpus(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused(capfd, "fuzz", "--route", "no-such-converter", "--corpus", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_damaged_object_is_named(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open(corpus) as store:
        one = store.list_findings()[0]
        Path(store.objects.path(one.reproducer_object)).write_text("something else")
    assert one.reproducer_object in refused(capfd, "show", one.id)


def test_an_internal_error_says_how_to_report_it(
    corpus: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("fuzzer.cli_commands.findings", broken)
    assert cli.run(["findings"]) == 3
    err = capfd.readouterr().err
    assert "internal error: RuntimeError: unforeseen" in err
    assert "report" in err
    assert "Traceback" not in err
    assert cli.run(["findings", "--debug"]) == 3
    assert "Traceback" in capfd.readouterr().err


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fuzzer.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("arguments", [["--help"], ["fuzz", "--help"], ["findings"], ["show", "ID"]])
def test_looking_at_things_imports_no_framework(corpus: Path, arguments: list[str]) -> None:
    arguments = [ids(corpus)[0] if argument == "ID" else argument for argument in arguments]
    done = run(*arguments)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "typer" in imported
    assert not imported & {"torch", "tensorflow", "onnxruntime", "onnx", "tf2onnx"}


def test_exit_statuses_of_the_process(corpus: Path) -> None:
    assert run("findings").returncode == 0
    assert run("show", "zzzz").returncode == 2
    assert run("reproduce", ids(corpus)[0], "--runs", "1").returncode == 1


def test_a_reader_that_goes_away_is_no_error(corpus: Path) -> None:
    command = f"{sys.executable} -m fuzzer.cli findings --all | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
