"""The tables of a draft: experiments about who is to blame, and versions that show the defect."""

from __future__ import annotations

from corpus.versions import Showing, VersionResult
from fuzzer.upstream.evidence import Asked, table
from fuzzer.upstream.history import History, Tried, history
from oracles.blame import Evidence, Outcome, Role

FOUND = "output 0: expected nan, got inf"


def test_experiments_that_came_to_the_same_share_a_row() -> None:
    made = table(
        [
            Evidence(Role.CONTROL, "tf2onnx", "onnxruntime basic", Outcome.SAME, FOUND),
            Evidence(Role.VARIANT, "onnxruntime", "basic", Outcome.SAME, FOUND),
            Evidence(Role.VARIANT, "onnxruntime", "threads", Outcome.SAME, FOUND),
            Evidence(Role.VARIANT, "onnxruntime", "layout", Outcome.OTHER, "dies\nof\tit " + "x" * 300),
            Evidence(Role.JUROR, "openvino", "", Outcome.ABSTAINS, "not supported"),
            Evidence(Role.OPTION, "tf2onnx", "opset=15, onnxruntime basic", Outcome.SAME, FOUND),
            Evidence(Role.OPTION, "tf2onnx", "opset=18, onnxruntime basic", Outcome.SAME, FOUND),
        ]
    )
    assert made.without_vote == 1
    assert made.rows[0] == Asked("as found", "tf2onnx", "onnxruntime basic", "the same failure", FOUND)
    assert made.rows[1] == Asked("same runtime", "onnxruntime", "basic, threads", "the same failure", "")
    assert made.rows[2].words.startswith("dies of it xxx")
    assert len(made.rows[2].words) == 200
    assert made.rows[3].details == "opset=15, onnxruntime basic; opset=18, onnxruntime basic"
    assert len(made.rows) == 4
    assert not table([])


def tried(answers: str, package: str = "onnx") -> list[VersionResult]:
    meaning = {"+": Showing.SHOWS, "-": Showing.ABSENT, "?": Showing.UNUSABLE}
    return [VersionResult(package, f"1.{number}", meaning[one]) for number, one in enumerate(answers)]


def test_versions_of_one_answer_share_a_row_and_others_do_not() -> None:
    results = tried("--+?+")
    results[3] = VersionResult("onnx", "1.3", Showing.CHANGED, "expected no exception, got KeyError: a")
    results[4] = VersionResult("onnx", "1.4", Showing.SHOWS, "", {"numpy": "1.26.4"})
    assert history(results).rows == (
        Tried("onnx", ("1.0", "1.1"), "does not show", ""),
        Tried("onnx", ("1.2",), "shows", ""),
        Tried("onnx", ("1.3",), "fails otherwise", "KeyError: a"),
        Tried("onnx", ("1.4",), "shows", "with numpy 1.26.4"),
    )


def test_a_regression_is_told_with_both_ends_of_the_gap() -> None:
    found = history(tried("--?++"))
    assert found.sentences == (
        "Of the versions tried, onnx 1.1 is the last one without it, and 1.3 shows it; of 1.2 nothing can be said.",
        "It still shows with onnx 1.4, the newest one tried.",
    )
    assert found.regression == "onnx 1.1 does not have it, 1.3 does"
    assert not found.mended


def test_what_no_longer_shows_is_no_regression() -> None:
    found = history(tried("-++-"))
    assert len(found.sentences) == 2
    assert found.sentences[1] == "Of the versions tried, onnx 1.2 shows it, and 1.3 no longer does."
    assert not found.regression
    assert found.mended == "It does not show with onnx 1.3"


def test_without_a_change_no_more_is_said_than_was_seen() -> None:
    assert history(tried("?++")).sentences == (
        "Every version of onnx that was tried and can be run shows it, 1.1 to 1.2.",
    )
    assert history(tried("?+?")).sentences == ("onnx 1.1 shows it; of other versions nothing can be said.",)
    assert history(tried("--")).sentences == ("None of the versions of onnx that were tried shows it.",)
    assert not history([])
    assert history([]) == History()


def test_each_package_is_told_for_itself() -> None:
    found = history([*tried("-+"), *tried("++", "tf2onnx")])
    assert found.regression == "onnx 1.0 does not have it, 1.1 does"
    assert found.sentences[-1] == "Every version of tf2onnx that was tried and can be run shows it, 1.0 to 1.1."
