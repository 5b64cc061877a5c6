"""Drafts of issues: every project's template, what the person is told, links, severity and known issues."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import msgspec
import numpy as np
import pytest

from corpus.records import Finding, FindingState
from corpus.store import Store
from corpus.versions import Showing, VersionResult
from fuzzer import cli
from fuzzer.dossier import redraft
from fuzzer.errors import UsageError
from fuzzer.upstream.draft import LONGEST_LINK, LONGEST_TITLE, Draft, compose, write
from fuzzer.upstream.environment import Environment, collected, environment
from fuzzer.upstream.facts import Facts, facts
from fuzzer.upstream.known_issues import KnownIssue, KnownIssues, known_issues, read
from fuzzer.upstream.projects import named, project_of, projects
from fuzzer.upstream.severity import Severity, is_common, severity
from generators.graph import Case, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.blame import Blame, Confidence, Evidence, Outcome, Role, Rule
from oracles.outcome import Kind, Signature, Stage, Symptom
from tests.corpus.builders import campaign, judged, verified
from tests.corpus.builders import finding as raw
from tests.fuzzer.graphs import given, unary

HERE = Environment("Debian GNU/Linux 12", "x86_64", "3.11.7", {"torch": "2.13.0", "onnx": "1.23.2"})
NASTY = "```\n</script><script>alert(1)</script> | @someone [x](http://y) \x1b `"
RELU = unary("tensorflow", "relu", "float32", 2)
NUMBERS = {"error": 1.0, "tolerance": 1e-5, "bound": 1e-7, "reference": -48.0, "reference_error": 1.0}


def corpus_with(
    directory: Path,
    case: Case = RELU,
    *,
    component: str = "tf2onnx",
    kind: Kind = Kind.VALUE,
    detail: str = "",
    **changes: object,
) -> Store:
    """A corpus with one verified finding."""
    store = Store.open(directory, create=True)
    identifier = campaign(store, 1)
    signature = Signature(Stage.CONVERT, component, kind, detail)
    store.record_batch(judged(identifier, 0, raw(signature=signature)))
    [found] = store.list_findings()
    fields = {"minimized": dumps(case), "message": "output 0: float32[1] element (0,): expected -48.0, got -47.0 (max)",
              "numbers": NUMBERS, "settings": ("onnxruntime unoptimized",), **changes}  # fmt: skip
    store.finish_finding(found.id, verified("b" * 32, **fields))
    return store


def known_facts(store: Store) -> Facts:
    return facts(store, store.list_findings()[0], KnownIssues())


def test_every_project_has_a_draft_with_all_it_asks_for(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus") as store:
        found = known_facts(store)
    assert len(projects()) >= 14
    for project in projects().values():
        made = compose(found, project, HERE)
        assert made.markdown.startswith("> **This is a draft. Nobody has filed it, and convfuzz never does.**")
        assert found.script.strip() in made.body, project.key
        assert "-48.0" in made.body, project.key
        assert "3 of 3 runs" in made.body, project.key
        assert "float64 gives -48" in made.body, project.key
        assert all(text.strip() for _, text in made.fields)
        for label, _ in made.fields:
            assert project.heading.format(label) in made.body
        parsed = urlparse(made.link)
        assert (parsed.scheme, parsed.netloc) == ("https", "github.com")
        assert parsed.path == f"/{project.repository}/issues/new"
        assert len(made.link) <= LONGEST_LINK
        filled = parse_qs(parsed.query)
        assert filled["title"] == [made.title]
        if project.prefilled:
            assert {field.id for field in project.fields if field.id} >= filled.keys() - {"title", "template"}
            assert filled["template"] == [project.form]
        else:
            assert found.script.strip() in filled["body"][0]


def test_what_is_too_long_for_a_link_is_left_out_and_named(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus", reproducer="x = 1\n" * 5000) as store:
        found = known_facts(store)
    made = compose(found, projects()["onnxruntime"], HERE)
    assert len(made.link) <= LONGEST_LINK
    assert made.left_out == ("To reproduce",)
    assert "The link has no room for: To reproduce." in made.markdown
    assert "paste “To reproduce” from the draft here" in parse_qs(urlparse(made.link).query)["reproducibility"][0]
    assert "x = 1\n" * 5000 in made.body


def with_tables(store: Store, rows: int = 1) -> Facts:
    """Facts of the one finding, which has been blamed and bisected."""
    [found] = store.list_findings()
    evidence = [Evidence(Role.CONTROL, "tf2onnx", "", Outcome.SAME, "got | -47.0")]
    evidence += [Evidence(Role.JUROR, f"runtime{row}", "", Outcome.RIGHT, "right " * 20) for row in range(rows)]
    store.set_blame(found.id, Blame("tf2onnx", Confidence.HIGH, Rule.UNANIMOUS, tuple(evidence)))
    for version, showing in (("1.15.0", Showing.ABSENT), ("1.16.0", Showing.SHOWS)):
        store.record_version(found.id, VersionResult("tf2onnx", version, showing, "a | b" * (showing == "shows")))
    return known_facts(store)


def test_experiments_and_versions_are_in_every_draft(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus") as store:
        found = with_tables(store)
    for project in projects().values():
        made = compose(found, project, HERE)
        for line in (
            "| as found | `tf2onnx` |  | the same failure | `got \\| -47.0` |",
            "| tf2onnx | 1.15.0 | does not show |  |",
            "| tf2onnx | 1.16.0 | shows | `a \\| b` |",
        ):
            assert made.body.count(line) == 1, (project.key, line)
        assert made.body.count("Found by convfuzz") == 1, project.key
        assert "- Of the versions tried, tf2onnx 1.15.0 is the last one without it, and 1.16.0 shows it." in made.body
        assert not any("convfuzz bisect" in note or "convfuzz blame" in note for note in made.notes)
    made = compose(found, projects()["onnxruntime"], HERE)
    assert dict(made.fields)["Urgency"] == "none, but it is a regression: tf2onnx 1.15.0 does not have it, 1.16.0 does"


def test_what_nobody_asked_is_asked_of_the_person(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus") as store:
        notes = "\n".join(compose(known_facts(store), projects()["tensorflow-onnx"], HERE).notes)
        [found] = store.list_findings()
        assert f"`convfuzz bisect {found.id[:6]} --package tf2onnx`" in notes
        assert f"`convfuzz blame {found.id[:6]}`" in notes
        with_tables(store)
        store.record_version(found.id, VersionResult("tf2onnx", "1.17.0", Showing.ABSENT))
        notes = "\n".join(compose(known_facts(store), projects()["tensorflow-onnx"], HERE).notes)
    assert "It does not show with tf2onnx 1.17.0: it seems to be mended" in notes


def test_tables_give_way_in_a_link_before_the_script_does(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus", reproducer="x = 1\n" * 300) as store:
        found = with_tables(store, rows=40)
    made = compose(found, projects()["onnxruntime"], HERE)
    assert len(made.link) <= LONGEST_LINK
    assert made.left_out == ("the tables of experiments and versions",)
    filled = parse_qs(urlparse(made.link).query)
    assert "x = 1\n" * 300 in filled["reproducibility"][0]
    assert "1.15.0 is the last one without it" in filled["issue-descript"][0]
    assert "| package |" not in filled["issue-descript"][0]
    assert "| package |" in made.body


def test_a_link_gives_back_every_character(tmp_path: Path) -> None:
    script = "a = b'%+&?#' + c[0]  # ü … <x> | \\ ` ~ ; : / @ , ! * ( )"
    with corpus_with(tmp_path / "corpus", reproducer=script) as store:
        made = compose(known_facts(store), projects()["tensorflow-onnx"], HERE)
    assert made.link.isascii()
    assert re.fullmatch(r"[^\s()<>]+", made.link)
    assert script in parse_qs(urlparse(made.link).query)["body"][0]


def test_the_interpreter_is_that_of_the_campaign(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus") as store:
        found = msgspec.structs.replace(known_facts(store), versions={"python": "3.12.1", "tf2onnx": "1.16.0"})
    body = compose(found, projects()["tensorflow-onnx"], HERE).body
    assert "- Python version: 3.12.1" in body
    assert "- tf2onnx version: 1.16.0" in body


def test_a_project_is_not_named_in_its_own_list_of_issues(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus", component="onnxruntime") as store:
        found = known_facts(store)
    assert not compose(found, projects()["onnxruntime"], HERE).title.startswith("ONNX Runtime")
    assert compose(found, projects()["tensorflow-onnx"], HERE).title.startswith("ONNX Runtime: ")


def test_an_exception_is_told_with_its_place(tmp_path: Path) -> None:
    detail = "ValueError: no @ tf2onnx.onnx_opset.math.get_pads_node"
    with corpus_with(tmp_path / "corpus", kind=Kind.EXCEPTION, detail=detail) as store:
        assert known_facts(store).reasons[1] == "It is raised in `tf2onnx.onnx_opset.math.get_pads_node`."


def test_what_others_wrote_stays_in_its_block(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus", message=NASTY, title=NASTY * 9) as store:
        found = known_facts(store)
    for project in projects().values():
        made = compose(found, project, HERE)
        assert len(made.title) <= LONGEST_TITLE
        outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", made.markdown)
        outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside)
        outside = re.sub(r"\(https://github.com/\S*\)", "", outside)
        assert "@someone" not in outside, (project.key, outside)
        assert "<script>" not in outside, project.key


def test_where_packages_are_installed_is_not_told(tmp_path: Path) -> None:
    message = (
        "ValueError: no. Defined at '/home/jane/a/.venv/lib/python3.11/site-packages/tf2onnx/x.py:3' (C:\\Users\\jane"
        "\\site-packages\\onnx\\y.py), /onnxruntime_src/core/z.cc:4"
    )
    with corpus_with(tmp_path / "corpus", kind=Kind.EXCEPTION, message=message, title=message) as store:
        found = known_facts(store)
    for project in projects().values():
        body = compose(found, project, HERE).markdown
        assert "site-packages" not in body, project.key
        assert "tf2onnx/x.py:3" in body, project.key
        assert "/onnxruntime_src/core/z.cc:4" in body, project.key


def test_what_onnx_is_told_of_conversion(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus") as store:
        found = known_facts(store)
    assert "Yes: it shows in a model made with tf2onnx." in compose(found, projects()["onnx"], HERE).body
    graph = msgspec.structs.replace(found, framework="ONNX")
    assert "No: the model is made with `onnx.helper`" in compose(graph, projects()["onnx"], HERE).body


def test_findings_go_to_whose_they_are() -> None:
    def of(component: str, detail: str = "", converter: str = "tf2onnx", blamed: str = "") -> str | None:
        signature = Signature(Stage.CONVERT, component, Kind.EXCEPTION, detail)
        found = Finding(
            "abc",
            "c",
            0,
            0,
            signature,
            Symptom.CRASH,
            "torch",
            converter,
            {},
            (),
            "",
            {},
            FindingState.VERIFIED,
            0.0,
            "",
        )
        project = project_of(found, blamed)
        return project.repository if project else None

    assert of("torch.onnx-dynamo") == "pytorch/pytorch"
    assert of("torch.onnx-dynamo", "ValueError: no @ onnxscript.optimizer._fold") == "microsoft/onnxscript"
    assert of("keras.tflite", "ValueError: no @ tensorflow.lite.python.convert") == "tensorflow/tensorflow"
    assert of("keras.onnx") == "keras-team/keras"
    assert of("tf2onnx", blamed="onnxruntime:ConstantFolding") == "microsoft/onnxruntime"
    assert of("litert") == "google-ai-edge/LiteRT"
    assert of("torch.onnx-dynamo", blamed="torch") == "pytorch/pytorch"
    assert of("nobody", converter="nobody's") is None
    assert named("apache/tvm") is named("tvm")
    with pytest.raises(UsageError, match="no template for 'nix'"):
        named("nix")


def sorting(outputs: tuple[str, ...]) -> Case:
    made = (Value("v", TensorType("float32", (3,))), Value("i", TensorType("int64", (3,))))
    node = Node("torch.sort", (Ref("x"),), (), made, unpack=True)
    return Case(Graph("torch", (given("x", "float32", 3),), (), (node,), outputs), {"x": np.ones(3, np.float32)})


@pytest.mark.parametrize(("outputs", "met"), [(("v",), True), (("v", "i"), False)])
def test_pytorchs_conditions_for_fuzzers_are_checked(tmp_path: Path, outputs: tuple[str, ...], met: bool) -> None:
    with corpus_with(tmp_path / "corpus", sorting(outputs), component="torch.onnx-dynamo") as store:
        made = compose(known_facts(store), projects()["pytorch-compile"], HERE)
    assert ("topic: fuzzer" in made.labels) is met
    assert any("indices of max, min" in note for note in made.notes) is not met
    assert "default tolerances (torch.testing.assert_close) (error 1, default tolerance 7.24e-05)" in made.body
    assert "- met: a result in higher precision as the baseline" in made.body


def test_an_error_within_the_default_tolerance_is_no_issue_of_a_fuzzer(tmp_path: Path) -> None:
    small = {**NUMBERS, "error": 1e-5, "tolerance": 1e-6}
    with corpus_with(tmp_path / "corpus", sorting(("v",)), component="torch.onnx-dynamo", numbers=small) as store:
        made = compose(known_facts(store), projects()["pytorch"], HERE)
    assert made.labels == ("module: onnx",)
    assert any("Not met: default tolerances" in note for note in made.notes)


def test_the_error_of_a_quantized_model_is_held_against_its_scales(tmp_path: Path) -> None:
    numbers = {"error": 0.75, "bound": 0.125, "max_absolute": 0.75}
    with corpus_with(tmp_path / "corpus", component="keras.tflite", numbers=numbers) as store:
        found = known_facts(store)
    for project in projects().values():
        assert (
            "a difference of at most 0.125, by the scales of the model; this one is 0.75"
            in compose(found, project, HERE).body
        )


def test_the_severity_follows_from_its_rule(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus") as store:
        [found] = store.list_findings()

    def level(case: Case | None = RELU, **changes: object) -> Severity:
        return severity(msgspec.structs.replace(found, **changes), case).severity

    odd = unary("tensorflow", "relu", "float16", 2)
    signal = Signature(Stage.CONVERT, "tf2onnx", Kind.SIGNAL, "SIGSEGV")
    assert level() is Severity.CRITICAL
    assert level(odd) is Severity.HIGH
    assert level(None) is Severity.HIGH
    assert level(needs_special=True) is Severity.MEDIUM
    assert level(symptom=Symptom.CRASH, signature=signal) is Severity.HIGH
    assert level(symptom=Symptom.INVALID_MODEL) is Severity.MEDIUM
    assert level(symptom=Symptom.INVALID_MODEL, needs_special=True) is Severity.LOW
    assert level(symptom=Symptom.NOISE) is Severity.LOW
    assert all(map(is_common, ("torch.nn.functional.conv2d", "aten.add.Tensor", "keras.layers.Conv2D", "onnx.Conv")))
    assert not is_common("torch.special.i0e")


def test_the_environment_is_collected_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    marker = tmp_path / "runs"
    script = ["-c", f"open({str(marker)!r}, 'a').write('x'); print('Linux, 2 cores')"]
    assert [collected(script, {"torch": "2"}) for _ in range(2)] == ["Linux, 2 cores"] * 2
    assert marker.read_text() == "x"
    collected(script, {"torch": "3"})
    assert marker.read_text() == "xx"
    assert "failed with status 3" in collected(["-c", "raise SystemExit(3)"], {})
    assert environment(["numpy", "no-such-distribution"]).installed == {"numpy": np.__version__}


KNOWN = """
[[known]]
component = "tf2*"
operator = "tf.nn.*"
link = "https://github.com/onnx/tensorflow-onnx/issues/1"
action = "ACTION"
"""


def test_known_issues_are_tagged_and_suppressed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "corpus"
    with corpus_with(directory) as store:
        [found] = store.list_findings()
    listing = ["findings", "--corpus", str(directory)]
    (directory / "known.toml").write_text(KNOWN.replace("ACTION", "tag"))
    assert cli.run(listing) == 0
    assert "known: https://github.com/onnx/tensorflow-onnx/issues/1" in capsys.readouterr().out
    assert cli.run(["draft", found.id, "--corpus", str(directory)]) == 0
    assert "- Known already, or related: https://github.com/onnx" in capsys.readouterr().out
    other = tmp_path / "other.toml"
    other.write_text(KNOWN.replace("ACTION", "suppress"))
    assert cli.run([*listing, "--known", str(other)]) == 0
    shown = capsys.readouterr().out
    assert found.id[:6] not in shown
    assert "1 suppressed by the list of known issues" in shown
    other.write_text(KNOWN.replace("tf.nn.*", "tf.math.*").replace("ACTION", "suppress"))
    with Store.open(directory, write=False) as store:
        assert known_issues(store, other).of(found) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[known]]\nlink = 'https://a'", "match everything"),
        ("[[known]]\ntitle = 'a'\nlink = 'javascript:alert(1)'", "begins with https://"),
        ("[[known]]\ntitle = 'a'", "needs a link, or a note"),
        ("[[known]]\ntitle = 'a'\nnote = 'b'\naction = 'close'", "action"),
        ("[[known]]\ntitle = 'a'\nnote = 'b'\ncolour = 'red'", "colour"),
        ("known", "no list of known issues"),
    ],
)
def test_a_list_that_says_nothing_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        read(path)
    assert KnownIssue(title="a", note="b").label == "b"
    assert KnownIssue(title="a", link="https://c", note="b").label == "https://c (b)"


def test_a_known_issue_is_in_the_text_for_the_maintainer(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus", message=NASTY) as store:
        [finding] = store.list_findings()
        issue = KnownIssue(component="tf2onnx", link="https://github.com/a/b/issues/1", note="the same | of `int8`")
        found = facts(store, finding, KnownIssues([issue], store))
        odd = facts(store, finding, KnownIssues([KnownIssue(component="tf2onnx", link="https://a)[x](b")], store))
    for project in projects().values():
        line = "Known already, or related: https://github.com/a/b/issues/1, `` the same | of `int8` ``"
        assert compose(found, project, HERE).body.count(line) == 1, project.key
        assert "related: `https://a)[x](b`" in compose(odd, project, HERE).body


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("output 0: float32[1] element (0,): expected nan, got inf (1 of 1)", "gives infinity where it should be NaN"),
        (
            "output 0: float32[1]: expected -inf, got -3.4e+38 (max)",
            "gives a finite number where it should be infinity",
        ),
        ("output 0: complex64[1]: expected (1+nanj), got 1j (max)", "gives NaN or infinity where it should be finite"),
    ],
)
def test_special_values_are_named(tmp_path: Path, message: str, words: str) -> None:
    with corpus_with(tmp_path / "corpus", kind=Kind.NONFINITE, message=message) as store:
        assert words in known_facts(store).summary


def test_variants_have_the_name_of_their_runtime(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus", component="onnxruntime", settings=("unoptimized",)) as store:
        found = known_facts(store)
    assert (found.wrong, found.quiet) == (("onnxruntime unoptimized",), ())


def test_the_command_writes_a_draft_a_link_or_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "corpus"
    with corpus_with(directory) as store:
        [found] = store.list_findings()
    common = ["draft", found.id[:5], "--corpus", str(directory)]
    assert cli.run([*common, "--out", str(tmp_path / "draft.md")]) == 0
    assert "onnx/tensorflow-onnx" in (tmp_path / "draft.md").read_text()
    capsys.readouterr()
    assert cli.run([*common, "--link", "--to", "apache/tvm"]) == 0
    assert capsys.readouterr().out.startswith("https://github.com/apache/tvm/issues/new?template=bug-report.md&title=")
    assert cli.run([*common, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["repository"] == "onnx/tensorflow-onnx"
    assert record["finding"] == found.id
    assert cli.run([*common, "--out", str(tmp_path / "nowhere" / "draft.md")]) == 2


def test_a_draft_is_kept_beside_the_reproducer(tmp_path: Path) -> None:
    with corpus_with(tmp_path / "corpus") as store:
        [found] = store.list_findings()
        path = write(store, found, KnownIssues(), collect=False)
        assert path == store.directory / "findings" / found.id / "tensorflow-onnx.md"
        assert path is not None
        assert "Nobody has filed it" in path.read_text()
        assert isinstance(compose(known_facts(store), projects()["tvm"], HERE), Draft)
        redraft(store, found)
        assert "1.16.0" not in path.read_text()
        with_tables(store)
        redraft(store, store.find(found.id))
        assert "| tf2onnx | 1.16.0 | shows |" in path.read_text()
        path.unlink()
        redraft(store, found)
        assert not path.exists()
