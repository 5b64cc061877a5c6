"""From evidence to a component: every rule, and the order in which they are asked."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from oracles.blame import Accused, Blame, Confidence, Evidence, Outcome, Role, Rule, as_markdown, blame, summary
from oracles.outcome import Kind, Signature, Stage

RIGHT, SAME, OTHER, NONE = Outcome.RIGHT, Outcome.SAME, Outcome.OTHER, Outcome.ABSTAINS
HIGH, MEDIUM, LOW = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW
CONTROL = Evidence(Role.CONTROL, "conv", "", SAME)
VALUE = Signature(Stage.CONVERT, "conv", Kind.VALUE)
IN_RUNTIME = Signature(Stage.INFERENCE, "ort", Kind.VALUE, "fast")
RAISES = Signature(Stage.RUNTIME_LOAD, "ort", Kind.EXCEPTION, "Fail: no")
DIES = Signature(Stage.INFERENCE, "ort", Kind.SIGNAL, "SIGSEGV")
CONVERTS_NOT = Signature(Stage.CONVERT, "conv", Kind.EXCEPTION, "KeyError: 'x' @ conv.f")
TRACES_NOT = Signature(Stage.LOAD, "conv", Kind.EXCEPTION, "TypeError: y @ torch.g")
INVALID = Signature(Stage.VALIDATE, "conv", Kind.INVALID, "bad")
PARTS = {frozenset({"fast"}): "fast kernels", frozenset({"fast", "plain"}): "kernels"}
SHARED = {"cousin": "library"}


def accused(signature: Signature, *, builds: bool = True) -> Accused:
    return Accused(signature, "torch", "conv", "ort", builds, PARTS, SHARED)


def e(role: Role, outcome: Outcome, component: str = "", detail: str = "") -> Evidence:
    return Evidence(role, component, detail, outcome, "seen")


def fast(outcome: Outcome) -> Evidence:
    return e(Role.VARIANT, outcome, "ort", "fast")


def plain(outcome: Outcome) -> Evidence:
    return e(Role.VARIANT, outcome, "ort", "plain")


def juror(name: str, outcome: Outcome, detail: str = "") -> Evidence:
    return e(Role.JUROR, outcome, name, detail)


def sibling(outcome: Outcome, name: str = "brother") -> Evidence:
    return e(Role.SIBLING, outcome, name)


def exported(outcome: Outcome) -> Evidence:
    return e(Role.EXPORTED, outcome, "torch.export")


def decomposed(outcome: Outcome) -> Evidence:
    return e(Role.DECOMPOSED, outcome, "torch.export:decompositions")


def part(name: str, outcome: Outcome) -> Evidence:
    return e(Role.PART, outcome, name)


@dataclass
class Expected:
    name: str
    signature: Signature
    evidence: list[Evidence]
    component: str
    confidence: Confidence
    rule: Rule


WRONG = [fast(SAME), plain(SAME)]
EXPECTED = [
    # -- mismatches: the artifact is right, so a runtime is not
    Expected("one of two settings", VALUE, [fast(SAME), plain(RIGHT)], "ort:fast kernels", HIGH, Rule.VARIANT),
    Expected(
        "the single optimizer",
        IN_RUNTIME,
        [
            fast(SAME),
            plain(RIGHT),
            e(Role.OPTIMIZER, RIGHT, "ort:ConstantFolding"),
            e(Role.OPTIMIZER, SAME, "ort"),
        ],
        "ort:ConstantFolding",
        HIGH,
        Rule.OPTIMIZER,
    ),
    Expected(
        "optimizers that cannot be told apart",
        IN_RUNTIME,
        [fast(SAME), plain(RIGHT), e(Role.OPTIMIZER, SAME, "ort")],
        "ort:fast kernels",
        HIGH,
        Rule.VARIANT,
    ),
    Expected(
        "settings outweigh jurors who err alike",
        IN_RUNTIME,
        [fast(SAME), plain(RIGHT), juror("a", SAME), juror("b", SAME)],
        "ort:fast kernels",
        HIGH,
        Rule.VARIANT,
    ),
    Expected("one juror right", VALUE, [*WRONG, juror("a", RIGHT)], "ort:kernels", MEDIUM, Rule.MAJORITY),
    Expected(
        "two jurors right", VALUE, [*WRONG, juror("a", RIGHT), juror("b", RIGHT)], "ort:kernels", HIGH, Rule.MAJORITY
    ),
    Expected(
        "one that errs in its own way has no say",
        VALUE,
        [*WRONG, juror("a", RIGHT), juror("b", OTHER), juror("c", NONE)],
        "ort:kernels",
        MEDIUM,
        Rule.MAJORITY,
    ),
    Expected("one each", VALUE, [*WRONG, juror("a", RIGHT), juror("b", SAME)], "ort:kernels", LOW, Rule.SPLIT),
    Expected(
        "most against the source",
        VALUE,
        [*WRONG, juror("a", RIGHT), juror("b", SAME), juror("c", SAME)],
        "conv",
        LOW,
        Rule.SPLIT,
    ),
    Expected(
        "a juror whose variants disagree is no witness of the artifact",
        VALUE,
        [*WRONG, juror("a", RIGHT, "x"), juror("a", SAME, "y"), juror("b", SAME)],
        "conv",
        MEDIUM,
        Rule.SEVERAL,
    ),
    Expected(
        "two err alike, one in its own way",
        VALUE,
        [*WRONG, juror("a", SAME), juror("b", SAME), juror("c", OTHER)],
        "conv",
        HIGH,
        Rule.SEVERAL,
    ),
    # -- mismatches: the artifact is wrong
    Expected("all against the source", VALUE, [*WRONG, juror("a", SAME)], "conv", HIGH, Rule.UNANIMOUS),
    Expected("a sibling errs alike", VALUE, [*WRONG, juror("a", SAME), sibling(SAME)], "conv", MEDIUM, Rule.UNANIMOUS),
    Expected(
        "a sibling built on the same library errs alike",
        VALUE,
        [*WRONG, juror("a", SAME), sibling(SAME, "cousin")],
        "library",
        HIGH,
        Rule.UNANIMOUS,
    ),
    Expected("nobody else was heard", VALUE, WRONG, "conv", MEDIUM, Rule.ONE_RUNTIME),
    Expected("but a sibling is right", VALUE, [*WRONG, sibling(RIGHT)], "conv", HIGH, Rule.ONE_RUNTIME),
    Expected("and a sibling errs alike", VALUE, [*WRONG, sibling(SAME)], "conv", LOW, Rule.ONE_RUNTIME),
    Expected("each in its own way", VALUE, [*WRONG, juror("a", OTHER)], "conv", LOW, Rule.EACH_ITS_OWN),
    Expected(
        "each in its own way, a sibling right",
        VALUE,
        [*WRONG, juror("a", OTHER), sibling(RIGHT)],
        "conv",
        MEDIUM,
        Rule.EACH_ITS_OWN,
    ),
    Expected("a runtime, and nobody heard", IN_RUNTIME, [fast(SAME)], "ort", LOW, Rule.OBSERVED),
    Expected(
        "a part off",
        VALUE,
        [*WRONG, juror("a", SAME), part("optimizer", RIGHT)],
        "optimizer",
        HIGH,
        Rule.PART,
    ),
    Expected(
        "a part off changes nothing",
        VALUE,
        [*WRONG, juror("a", SAME), part("optimizer", SAME)],
        "conv",
        HIGH,
        Rule.UNANIMOUS,
    ),
    Expected(
        "a part off, one runtime heard", VALUE, [*WRONG, part("optimizer", RIGHT)], "optimizer", MEDIUM, Rule.PART
    ),
    Expected(
        "a part off, and the runtime at odds with itself",
        VALUE,
        [fast(SAME), plain(OTHER), part("quantizer", RIGHT)],
        "quantizer",
        LOW,
        Rule.PART,
    ),
    Expected(
        "a sibling errs alike, and the framework's compiler does not",
        VALUE,
        [*WRONG, juror("a", SAME), sibling(SAME), e(Role.COMPILED, RIGHT)],
        "conv",
        HIGH,
        Rule.UNANIMOUS,
    ),
    Expected(
        "two parts, either of which is needed",
        VALUE,
        [*WRONG, part("optimizer", RIGHT), part("versions", RIGHT)],
        "optimizer + versions",
        MEDIUM,
        Rule.PART,
    ),
    Expected(
        "a part off does not accuse a converter whose artifact is right",
        VALUE,
        [*WRONG, juror("a", RIGHT), part("optimizer", RIGHT)],
        "ort:kernels",
        MEDIUM,
        Rule.MAJORITY,
    ),
    # -- the framework itself
    Expected("exported wrong", VALUE, [*WRONG, exported(SAME), decomposed(SAME)], "torch.export", HIGH, Rule.EXPORTED),
    Expected(
        "decomposed wrong",
        VALUE,
        [*WRONG, exported(RIGHT), decomposed(SAME)],
        "torch.export:decompositions",
        HIGH,
        Rule.DECOMPOSED,
    ),
    Expected(
        "exported wrong in another way",
        VALUE,
        [*WRONG, juror("a", SAME), exported(OTHER)],
        "conv",
        HIGH,
        Rule.UNANIMOUS,
    ),
    Expected(
        "exported wrong alike, but a runtime makes it right",
        VALUE,
        [*WRONG, juror("a", RIGHT), exported(SAME)],
        "ort:kernels",
        MEDIUM,
        Rule.MAJORITY,
    ),
    Expected(
        "float64 sides with the artifact",
        VALUE,
        [e(Role.DOUBLE, SAME), *WRONG, juror("a", SAME)],
        "torch",
        HIGH,
        Rule.DOUBLE,
    ),
    Expected(
        "eager mode stands alone",
        VALUE,
        [e(Role.DOUBLE, NONE), *WRONG, juror("a", SAME), sibling(SAME), e(Role.COMPILED, SAME)],
        "torch",
        MEDIUM,
        Rule.ALONE,
    ),
    Expected(
        "but float64 confirms it",
        VALUE,
        [e(Role.DOUBLE, RIGHT), *WRONG, juror("a", SAME), sibling(SAME), e(Role.COMPILED, SAME)],
        "conv",
        MEDIUM,
        Rule.UNANIMOUS,
    ),
    # -- a runtime raises or dies
    Expected("settings it takes it with", RAISES, [fast(SAME), plain(RIGHT)], "ort:fast kernels", HIGH, Rule.VARIANT),
    Expected(
        "others take it", RAISES, [*WRONG, juror("a", RIGHT), juror("b", RIGHT)], "ort:kernels", HIGH, Rule.MAJORITY
    ),
    Expected("another takes it", RAISES, [*WRONG, juror("a", RIGHT)], "ort:kernels", MEDIUM, Rule.MAJORITY),
    Expected("another fails, too", RAISES, [*WRONG, juror("a", OTHER)], "conv", LOW, Rule.NOBODY_TAKES_IT),
    Expected(
        "nobody takes it", RAISES, [*WRONG, juror("a", OTHER), juror("b", OTHER)], "conv", MEDIUM, Rule.NOBODY_TAKES_IT
    ),
    Expected("nobody heard", RAISES, [*WRONG, juror("a", NONE)], "ort", LOW, Rule.ONLY_VALIDATED),
    Expected("without a part it does", RAISES, [*WRONG, part("optimizer", RIGHT)], "optimizer", MEDIUM, Rule.PART),
    Expected("it dies", DIES, [*WRONG, juror("a", OTHER), part("optimizer", RIGHT)], "ort:kernels", HIGH, Rule.DIES),
    Expected("it dies with some settings", DIES, [fast(SAME), plain(RIGHT)], "ort:fast kernels", HIGH, Rule.VARIANT),
    # -- a converter raises
    Expected(
        "exporting fails alike", TRACES_NOT, [exported(SAME), sibling(RIGHT)], "torch.export", HIGH, Rule.EXPORTED
    ),
    Expected("exporting fails in other words", TRACES_NOT, [exported(OTHER)], "torch.export", MEDIUM, Rule.EXPORTED),
    Expected(
        "exporting fails in other words, converting later",
        CONVERTS_NOT,
        [exported(OTHER)],
        "conv",
        MEDIUM,
        Rule.CONVERTER,
    ),
    Expected(
        "decomposing fails alike",
        CONVERTS_NOT,
        [exported(RIGHT), decomposed(SAME)],
        "torch.export:decompositions",
        HIGH,
        Rule.DECOMPOSED,
    ),
    Expected("without a part", CONVERTS_NOT, [part("optimizer", RIGHT), exported(RIGHT)], "optimizer", HIGH, Rule.PART),
    Expected("a sibling converts", CONVERTS_NOT, [sibling(RIGHT)], "conv", HIGH, Rule.CONVERTER_ALONE),
    Expected("the framework exports", CONVERTS_NOT, [exported(RIGHT)], "conv", HIGH, Rule.CONVERTER_ALONE),
    Expected("all fail", INVALID, [sibling(OTHER), exported(NONE)], "conv", MEDIUM, Rule.CONVERTER),
    Expected("what both are built on", INVALID, [sibling(SAME, "cousin")], "library", MEDIUM, Rule.SHARED),
    Expected(
        "what both are built on, while another converts",
        INVALID,
        [sibling(SAME, "cousin"), sibling(RIGHT)],
        "library",
        HIGH,
        Rule.SHARED,
    ),
    Expected(
        "one that is built on it converts",
        INVALID,
        [sibling(RIGHT, "cousin"), sibling(SAME)],
        "conv",
        MEDIUM,
        Rule.CONVERTER,
    ),
    Expected("nobody asked", CONVERTS_NOT, [sibling(NONE)], "conv", MEDIUM, Rule.OBSERVED),
]


@pytest.mark.parametrize("item", EXPECTED, ids=lambda item: item.name)
def test_a_rule(item: Expected) -> None:
    found = blame(accused(item.signature), [CONTROL, *item.evidence])
    assert (found.component, found.confidence, found.rule) == (item.component, item.confidence, item.rule)
    assert found.evidence == (CONTROL, *item.evidence)


def test_every_rule_has_a_test() -> None:
    assert {item.rule for item in EXPECTED} | {Rule.NOT_AGAIN} == set(Rule)


@pytest.mark.parametrize("outcome", [RIGHT, OTHER, NONE])
def test_what_is_not_seen_again_accuses_nobody_else(outcome: Outcome) -> None:
    again = e(Role.CONTROL, outcome, "conv")
    found = blame(accused(VALUE), [again, fast(SAME), plain(RIGHT), juror("a", RIGHT)])
    assert (found.component, found.confidence, found.rule) == ("conv", LOW, Rule.NOT_AGAIN)


def test_a_model_that_nobody_converted_accuses_no_converter() -> None:
    observed = Signature(Stage.INFERENCE, "ort", Kind.VALUE, "fast, plain")
    found = blame(accused(observed, builds=False), [CONTROL, *WRONG, juror("a", SAME)])
    assert (found.component, found.confidence, found.rule) == ("ort", LOW, Rule.OBSERVED)


def test_variants_that_abstain_leave_the_part_unnamed() -> None:
    found = blame(accused(VALUE), [CONTROL, fast(NONE), plain(SAME), juror("a", RIGHT)])
    assert found.component == "ort"


def test_a_verdict_survives_storing_and_is_told_in_a_line_and_a_table() -> None:
    words = Evidence(Role.JUROR, "a", "x|y", OTHER, "expected <1>\n`2`")
    found = blame(accused(VALUE), [CONTROL, *WRONG, words])
    assert msgspec.convert(msgspec.to_builtins(found), Blame) == found
    assert summary(found) == f"conv (low: {Rule.EACH_ITS_OWN})"
    table = as_markdown(found, "a title")
    assert table.startswith("# a title\n\nTo blame: **conv**, confidence low")
    assert "| other runtime | a x\\|y | another failure | expected &lt;1> '2' |" in table
