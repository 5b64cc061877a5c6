"""``convfuzz coverage``: what it says, on a terminal of 80 columns, in a pipe and as JSON."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from corpus.records import CellCount, Coverage, CoverageReport, SequenceCount
from corpus.store import Store
from fuzzer import cli, cli_commands, cli_coverage
from tests.corpus.builders import campaign, issued, judged

COVERAGE = Coverage(
    "onnx",
    {"tf.add": 3, "tf.abs": 2, "tf.add tf.abs": 2, "tf.abs tf.add tf.abs": 1},
    {"Add": 3, "Add Abs": 1},
    {"tf.add": {"0": {"input": 3}, "1": {"input": 1, "node": 1, "constant": 1}}, "tf.abs": {"0": {"node": 2}}},
    {
        "": {"started": {"tf.add(float32,float32)": 3, "tf.abs(int8)": 2}, "unsupported": {"tf.abs(int8)": 2}},
        "onnxruntime unoptimized": {"success": {"tf.add(float32,float32)": 3}},
    },
    {"graph": 3, "motif layer norm": 1, "motif layer norm (cut short)": 1, "mutation of the future": 1},
    {
        "large": {"float32": {"arithmetic": 3}, "int8": {"arithmetic": 1}},
        "mask rows": {"bool": {"selection": 2, "arithmetic": 1}},
        "own": {"float32": {"arithmetic": 4}},
    },
    {
        "opset": {"15": {"started": 3, "success": 2, "mismatch": 1}, "99": {"started": 1, "unsupported": 1}},
        "runtime": {"onnxruntime optimized": {"success": 2, "mismatch": 1}},
    },
)
REGISTERED = {"tensorflow": ("tf.abs", "tf.add", "tf.tanh"), "torch": None}


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A corpus with two campaigns, of one and of two batches; the id of the first. No framework is imported."""
    with Store.open(tmp_path / "corpus", create=True) as store:
        first = campaign(store, batches=1)
        second = campaign(store)
        store.issue(second, [issued(0), msgspec.structs.replace(issued(1), frontend="torch", converter="other")])
        for name, index in ((first, 0), (second, 0), (second, 1)):
            store.record_batch(msgspec.structs.replace(judged(name, index), coverage=COVERAGE))
    monkeypatch.setenv("CONVFUZZ_CORPUS", str(tmp_path / "corpus"))
    monkeypatch.setattr(cli_commands, "registered", REGISTERED.__getitem__)
    return first


def shown(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.run(["coverage", *arguments]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def test_of_the_corpus(corpus: str, capfd: pytest.CaptureFixture[str]) -> None:
    out = shown(capfd)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "coverage of 2 campaigns"
    assert "tensorflow sources 1 10 2 0 0.0%" in lines
    assert "tensorflow: 2 of 3 operators drawn; never drawn:" in lines
    assert "tf.tanh" in lines
    assert "torch: 2 operators drawn; how many there are is not known without the framework" in lines
    assert "tf2onnx (tensorflow) 2 started, 1 unsupported" in lines
    assert "onnxruntime unoptimized 1 success" in lines
    assert lines[lines.index("tf2onnx: in no case that succeeded (cases that had it):") + 1] == "tf.abs (4)"
    assert "\x1b" not in out


def test_structures_that_nothing_had_are_listed_too(corpus: str, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in shown(capfd).splitlines()]
    assert "graphs with tensorflow torch" in lines
    assert "graph 6 3" in lines
    assert "motif layer norm 4 (2 cut short) 2 (1 cut short)" in lines
    assert "motif rotary embedding 0 0" in lines
    assert "motif scaled_dot_product_attention 0" in lines
    assert "mutation transpose sandwich 0 0" in lines
    assert "mutation of the future 2 1" in lines
    counted = json.loads(shown(capfd, "--json"))["structures"]
    assert counted["torch"]["unused input"] == 0
    assert counted["tensorflow"]["motif layer norm"] == 2


def test_profiles_and_what_stays_at_zero(corpus: str, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in shown(capfd).splitlines()]
    assert "tensorflow profiles bool integer float families" in lines
    assert "large 2 6 1" in lines
    assert "typical 0" in lines
    assert "mask rows 6 2" in lines
    assert "own 8 1" in lines
    assert any(line.endswith(" few operands of that type") for line in lines)
    record = json.loads(shown(capfd, "--json"))
    assert {"frontend": "torch", "profile": "own", "dtype": "float32", "family": "arithmetic", "count": 4} in record[
        "profiles"
    ]
    zero = record["profiles_at_zero"]["tensorflow"]
    assert ["special", "float32", "arithmetic", 6] in zero
    assert ["integers", "int8", "arithmetic", 2] in zero
    # A mask selects in where, and is one more operand in an addition; elements of a sampler's own are of no profile.
    assert ["mask none", "", "selection", 4] in zero
    # No other type was drawn, but the search knows which there are in the families that were met.
    places = {(dtype, family) for _, dtype, family, _ in zero}
    assert places > {("float32", "arithmetic"), ("int8", "arithmetic"), ("float64", "arithmetic"), ("", "selection")}
    assert {family for _, family in places} == {"arithmetic", "selection"}
    # Fractions are nothing to an integer, and what was met is not at zero.
    absent = {("large", "float32"), ("fractions", "int8"), ("special", "int8")}
    assert not absent & {(profile, dtype) for profile, dtype, family, _ in zero if family == "arithmetic"}


def test_options_by_setting_also_those_that_nothing_had(corpus: str, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in shown(capfd, "--converter", "tf2onnx").splitlines()]
    start = lines.index("tf2onnx opset")
    assert lines[start + 1] == "15 6 2 mismatch, 4 success"
    assert "17 0" in lines[start:]
    assert "99 2 2 unsupported" in lines[start:]
    assert "com.microsoft 0" in lines[lines.index("tf2onnx extra_opset") :]
    runtime = lines[lines.index("tf2onnx runtime") :]
    assert "onnxruntime optimized 6 2 mismatch, 4 success" in runtime
    assert "onnxruntime threads 0" in runtime
    counted = json.loads(shown(capfd, "--json"))["options"]
    assert counted["tf2onnx"]["api"] == {"from_graph_def": {}, "from_function": {}}
    assert counted["other"]["opset"]["99"] == {"started": 1, "unsupported": 1}


def test_of_a_campaign_and_of_a_converter(corpus: str, capfd: pytest.CaptureFixture[str]) -> None:
    out = shown(capfd, "--campaign", corpus[:5])
    assert f"coverage of campaign {corpus}\n" in out
    assert "other (torch)" not in out
    out = shown(capfd, "--converter", "other")
    assert "coverage of 2 campaigns, through other\n" in out
    assert "tf2onnx" not in out


def test_as_json(corpus: str, capfd: pytest.CaptureFixture[str]) -> None:
    report = json.loads(shown(capfd, "--json", "--converter", "tf2onnx"))
    assert report["converters"] == {"tensorflow": ["tf2onnx"]}
    assert report["operators"]["tensorflow"] == {"drawn": {"tf.add": 6, "tf.abs": 4}, "never_drawn": ["tf.tanh"]}
    assert report["never_succeeded"] == {"tf2onnx": ["tf.abs"]}
    longest = max(report["sequences"], key=lambda row: row["length"])
    assert {**longest, "unseen": 0} == {
        "side": "source",
        "vocabulary": "tensorflow",
        "length": 3,
        "total": 2,
        "distinct": 1,
        "once": 0,
        "unseen": 0,
    }
    assert len(report["cells"]) == 4
    assert report["cells"][0]["key"].startswith("tf.")
    assert {"frontend": "tensorflow", "operator": "tf.abs", "place": "0", "kind": "node", "count": 4} in report[
        "arguments"
    ]
    assert len(report["campaigns"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--converter", "nobody"], "for: other, tf2onnx"),
        (["--campaign", "zz"], "no campaign 'zz'"),
    ],
)
def test_what_is_not_there(corpus: str, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert cli.run(["coverage", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 2


def test_an_empty_corpus(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Store.open(tmp_path / "new", create=True).close()
    assert cli.run(["coverage", "--corpus", str(tmp_path / "new")]) == 2
    assert "convfuzz fuzz" in capfd.readouterr().err


def large() -> CoverageReport:
    """Every number and name as long as they get."""
    names = [f"torch.nn.functional.some_adaptive_operator_{index}d_with_a_long_name" for index in range(60)]
    million = 123_456_789
    return CoverageReport(
        {"torch": ("torch.onnx-torchscript",)},
        tuple(
            SequenceCount(side, name, length, million, million, million)
            for side, name in (("source", "tensorflow"), ("artifact", "tensorflow"))
            for length in range(1, 6)
        ),
        {"torch": dict.fromkeys(names, million)},
        tuple(
            CellCount("torch", "torch.onnx-torchscript", variant, outcome, f"{name}(float32)", million)
            for variant in ("", "onnxruntime unoptimized")
            for outcome in ("started", "unsupported", "converter failed", "mismatch", "inconclusive")
            for name in names
        ),
        (),
    )


@pytest.mark.parametrize("registered", [{}, {"torch": [f"torch.special.never_{index}" for index in range(99)]}])
def test_it_fits_a_terminal_of_80_columns(registered: dict[str, list[str]]) -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True, highlight=False, record=True)
    console.print(cli_coverage.rendered(large(), registered, ["coverage of campaign 0123abcd"]))
    lines = console.export_text().splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_control_characters_of_an_artifact_do_not_reach_the_terminal() -> None:
    cells = (CellCount("torch", "c", "", "started", "torch.\x1b[2J(float32)", 3),)
    report = CoverageReport({"torch": ("c",)}, (), {"torch": {"torch.\x1b[2J": 3}}, cells, ())
    console = Console(file=StringIO(), width=80, record=True)
    console.print(cli_coverage.rendered(report, {"torch": ["a\x1b]0;b"]}, []))
    text = console.export_text()
    assert "torch.\\x1b[2J (3)" in text
    assert "a\\x1b]0;b" in text
    assert "\x1b" not in text
