"""Who is to blame for a finding: from the evidence of experiments to a component, with the rule and the confidence.

Nobody is taken for the truth. Eager mode of the source framework is the reference and double precision confirms it; all
runtimes vote on what the artifact means, and experiments that take one part out of play at a time tell which part it
is. Experiments are made elsewhere; here is what follows from their outcomes. The rules, in the order in which they are
asked, are the members of :class:`Rule`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from oracles.outcome import DEADLY, MISMATCH, Signature, Stage


class Role(StrEnum):
    """What an experiment asks."""

    #: The finding once more, exactly as it is.
    CONTROL = "as found"
    #: The same artifact on the accused runtime with other settings.
    VARIANT = "same runtime"
    #: The same artifact on another runtime or evaluator.
    JUROR = "other runtime"
    #: The same artifact on the accused runtime with some of its optimizers switched off.
    OPTIMIZER = "optimizers off"
    #: A conversion without a part of the converter.
    PART = "part off"
    #: A conversion with another value of an option.
    OPTION = "other option"
    #: Another converter from the same framework.
    SIBLING = "sibling converter"
    #: What the framework's own exporter makes of the model, run by the framework; the converter begins with it.
    EXPORTED = "exported form"
    #: The same, after the framework has decomposed it.
    DECOMPOSED = "decomposed form"
    #: What the framework's compiler makes of the model.
    COMPILED = "compiled form"
    #: Eager mode in double precision.
    DOUBLE = "double precision"


class Outcome(StrEnum):
    """What an experiment gave."""

    RIGHT = "right"
    SAME = "the same failure"
    OTHER = "another failure"
    #: Not asked, not supported, or its process died of something else.
    ABSTAINS = "no vote"


class Confidence(StrEnum):
    """HIGH: experiments leave one component only. MEDIUM: they point to it, and something that could contradict was
    not there to be asked. LOW: they contradict each other, or nobody but the accused was heard."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Rule(StrEnum):
    """The rules, in words that are shown with a finding."""

    NOT_AGAIN = "the experiments did not see the failure again"
    DOUBLE = "double precision sides with the converted model against eager mode"
    ALONE = "eager mode stands alone: its compiled form, a sibling converter and the runtimes agree against it"
    OPTIMIZER = "the runtime is right without these of its optimizers and wrong with them alone"
    VARIANT = "the runtime computes the same artifact right with other settings"
    MAJORITY = "other runtimes compute from the same artifact what the source computes"
    SPLIT = "the runtimes are divided over the artifact"
    DIES = "a runtime that dies of a model is at fault, whatever the model"
    EXPORTED = "the framework's own export, run by the framework, fails alike"
    DECOMPOSED = "the framework's export is right, and fails alike once decomposed"
    PART = "without this part of the converter the result is right"
    UNANIMOUS = "all runtimes agree against the source"
    SEVERAL = "no runtime agrees with the source, and some, not all, agree with each other"
    ONE_RUNTIME = "one runtime was heard, and every setting of it disagrees with the source"
    EACH_ITS_OWN = "no runtime agrees with the source, and no two agree with each other"
    NOBODY_TAKES_IT = "no runtime takes the artifact"
    ONLY_VALIDATED = "the validator accepts what the runtime refuses, and no other runtime was heard"
    SHARED = "a sibling converter that is built on the same component fails alike"
    CONVERTER_ALONE = "it fails in the converter, and the framework or a sibling converter takes the model"
    CONVERTER = "it fails in the converter, and nothing else that was asked takes the model"
    OBSERVED = "nothing but the observation itself"


class Evidence(msgspec.Struct, frozen=True):
    """An experiment and its outcome. ``component`` is what was asked (a runtime, a converter) or, of PART and
    OPTIMIZER, what was taken out of play; ``detail`` the settings (the name of a runtime's variant, say); ``words``
    what was seen."""

    role: Role
    component: str
    detail: str
    outcome: Outcome
    words: str = ""


class Blame(msgspec.Struct, frozen=True):
    """The verdict. ``component`` may be finer than a converter or runtime: ``onnxruntime:ConstantFolding``."""

    component: str
    confidence: Confidence
    rule: Rule
    evidence: tuple[Evidence, ...] = ()


class Accused(msgspec.Struct, frozen=True):
    """What the evidence is about: the signature as observed, the names of framework, converter and runtime that were at
    work (the runtime empty when none was), whether the converter ``builds`` anything (else the artifact is the source
    itself), and the names of the runtime's ``parts`` by the variants that are wrong when such a part is.
    ``shared`` names, by sibling converter, the component that both are built on, where they are."""

    signature: Signature
    framework: str
    converter: str
    runtime: str = ""
    builds: bool = True
    parts: Mapping[frozenset[str], str] = {}
    shared: Mapping[str, str] = {}


def blame(accused: Accused, evidence: Sequence[Evidence]) -> Blame:
    """The component that the evidence points to."""
    component, confidence, rule = _verdict(accused, evidence)
    return Blame(component, confidence, rule, tuple(evidence))


_Verdict = tuple[str, Confidence, Rule]


def _verdict(accused: Accused, evidence: Sequence[Evidence]) -> _Verdict:
    signature = accused.signature
    if _of(evidence, Role.CONTROL) is not Outcome.SAME:
        return signature.component, Confidence.LOW, Rule.NOT_AGAIN
    if signature.kind in MISMATCH:
        return _of_a_mismatch(accused, evidence)
    if signature.stage in (Stage.RUNTIME_LOAD, Stage.INFERENCE):
        return _of_a_refusal(accused, evidence)
    return _of_a_conversion(accused, evidence)


def _of_a_mismatch(accused: Accused, evidence: Sequence[Evidence]) -> _Verdict:
    if _of(evidence, Role.DOUBLE) is Outcome.SAME:
        return accused.framework, Confidence.HIGH, Rule.DOUBLE
    jurors = _jurors(evidence)
    right, alike = _count(jurors, Outcome.RIGHT), _count(jurors, Outcome.SAME)
    if guilty := _settings_matter(accused, evidence):
        return guilty
    if right:
        # Jurors who give the source's result by accident would have to err exactly as the converter does.
        if alike > right:
            return accused.converter, Confidence.LOW, Rule.SPLIT
        if alike == right:
            return _part(accused, evidence), Confidence.LOW, Rule.SPLIT
        sure = right - alike > 1
        return _part(accused, evidence), Confidence.HIGH if sure else Confidence.MEDIUM, Rule.MAJORITY
    if guilty := _before_the_converter(accused, evidence):
        return guilty
    siblings = _independent(accused, evidence)
    converter = _built_on(accused, evidence) or accused.converter
    if (
        _of(evidence, Role.DOUBLE) is not Outcome.RIGHT
        and Outcome.SAME in _outcomes(evidence, Role.COMPILED)
        and Outcome.SAME in siblings
    ):
        return accused.framework, Confidence.MEDIUM, Rule.ALONE
    if guilty := _part_off(evidence):
        component, confidence, rule = guilty
        # Another artifact may be right because it spares the runtime what that does wrong.
        disagree = any(item.role is Role.VARIANT and item.outcome is Outcome.OTHER for item in evidence)
        least = Confidence.HIGH if alike else Confidence.LOW if disagree else Confidence.MEDIUM
        return component, min(confidence, least, key=_LEVELS.index), rule
    if not accused.builds:
        # The artifact is the source itself: there is no converter that could be wrong.
        return accused.signature.component, Confidence.LOW, Rule.OBSERVED
    if alike:
        # Two may share a defect: where as many err in ways of their own, what they agree on may not be in the artifact.
        dissent = _count(jurors, Outcome.OTHER)
        level = Confidence.HIGH if alike > dissent else Confidence.MEDIUM
        return converter, _lowered(level, siblings, evidence), Rule.SEVERAL if dissent else Rule.UNANIMOUS
    if _count(jurors, Outcome.OTHER):
        return converter, _raised(Confidence.LOW, siblings), Rule.EACH_ITS_OWN
    if accused.signature.component != accused.converter:
        return accused.signature.component, Confidence.LOW, Rule.OBSERVED
    return converter, _lowered(_raised(Confidence.MEDIUM, siblings), siblings, evidence), Rule.ONE_RUNTIME


def _of_a_refusal(accused: Accused, evidence: Sequence[Evidence]) -> _Verdict:
    """A runtime raises, hangs or dies."""
    if guilty := _settings_matter(accused, evidence):
        return guilty
    jurors = _jurors(evidence)
    right = _count(jurors, Outcome.RIGHT)
    if accused.signature.kind in DEADLY:
        return _part(accused, evidence), Confidence.HIGH, Rule.DIES
    if right:
        return _part(accused, evidence), Confidence.HIGH if right > 1 else Confidence.MEDIUM, Rule.MAJORITY
    if guilty := _part_off(evidence):
        component, _, rule = guilty
        return component, Confidence.MEDIUM, rule
    if accused.builds and (failing := _count(jurors, Outcome.OTHER) + _count(jurors, Outcome.SAME)):
        # Some runtimes fail at much that is valid: one beside the accused is no proof.
        return accused.converter, Confidence.MEDIUM if failing > 1 else Confidence.LOW, Rule.NOBODY_TAKES_IT
    # What a validator overlooks is as good an explanation.
    return accused.signature.component, Confidence.LOW, Rule.ONLY_VALIDATED


def _of_a_conversion(accused: Accused, evidence: Sequence[Evidence]) -> _Verdict:
    """The converter raises, hangs or dies, or its artifact is invalid."""
    if guilty := _before_the_converter(accused, evidence):
        return guilty
    if guilty := _part_off(evidence):
        return guilty
    alone = Outcome.RIGHT in (*_independent(accused, evidence), *_outcomes(evidence, Role.EXPORTED))
    if component := _built_on(accused, evidence):
        return component, Confidence.HIGH if alone else Confidence.MEDIUM, Rule.SHARED
    if alone:
        return accused.signature.component, Confidence.HIGH, Rule.CONVERTER_ALONE
    asked = any(item.role is not Role.CONTROL and item.outcome is not Outcome.ABSTAINS for item in evidence)
    return accused.signature.component, Confidence.MEDIUM, Rule.CONVERTER if asked else Rule.OBSERVED


def _settings_matter(accused: Accused, evidence: Sequence[Evidence]) -> _Verdict | None:
    """The accused runtime is right about the artifact with some of its settings."""
    variants = [item for item in evidence if item.role is Role.VARIANT]
    if not any(item.outcome is Outcome.RIGHT for item in variants):
        return None
    guilty = [item for item in evidence if item.role is Role.OPTIMIZER and item.outcome is Outcome.RIGHT]
    if guilty:
        return guilty[0].component, Confidence.HIGH, Rule.OPTIMIZER
    return _part(accused, evidence), Confidence.HIGH, Rule.VARIANT


def _before_the_converter(accused: Accused, evidence: Sequence[Evidence]) -> _Verdict | None:
    """What the converter is given by the framework's exporter fails already."""
    for role, rule in ((Role.EXPORTED, Rule.EXPORTED), (Role.DECOMPOSED, Rule.DECOMPOSED)):
        for item in evidence:
            if item.role is not role:
                continue
            if item.outcome is Outcome.SAME:
                return item.component, Confidence.HIGH, rule
            if (role, item.outcome) == (Role.EXPORTED, Outcome.OTHER) and accused.signature.stage is Stage.LOAD:
                # It fails where the converter does, in other words.
                return item.component, Confidence.MEDIUM, rule
    return None


def _part_off(evidence: Sequence[Evidence]) -> _Verdict | None:
    parts = [item.component for item in evidence if item.role is Role.PART and item.outcome is Outcome.RIGHT]
    if not parts:
        return None
    # Where each of several parts is needed for the failure, the first may have been handed what the others made.
    distinct = list(dict.fromkeys(parts))
    return " + ".join(distinct), Confidence.HIGH if len(distinct) == 1 else Confidence.MEDIUM, Rule.PART


def _part(accused: Accused, evidence: Sequence[Evidence]) -> str:
    """The accused runtime, with the part of it that the variants that are wrong have in common, if it has a name."""
    shown = [item for item in evidence if item.role is Role.VARIANT and item.outcome is not Outcome.ABSTAINS]
    wrong = frozenset(item.detail for item in shown if item.outcome is not Outcome.RIGHT)
    part = accused.parts.get(wrong, "")
    runtime = accused.runtime or accused.signature.component
    return f"{runtime}:{part}" if part else runtime


def _independent(accused: Accused, evidence: Sequence[Evidence]) -> list[Outcome]:
    """What siblings came to that are not built on what the converter is built on."""
    return [item.outcome for item in evidence if item.role is Role.SIBLING and item.component not in accused.shared]


def _built_on(accused: Accused, evidence: Sequence[Evidence]) -> str:
    """What a sibling that fails alike is built on as well; empty when none does, or one of them is right."""
    votes = {
        item.component: item.outcome
        for item in evidence
        if item.role is Role.SIBLING and item.component in accused.shared and item.outcome is not Outcome.ABSTAINS
    }
    if not votes or any(outcome is not Outcome.SAME for outcome in votes.values()):
        return ""
    return accused.shared[next(iter(votes))]


def _jurors(evidence: Sequence[Evidence]) -> dict[str, Outcome]:
    """The vote of each runtime that was asked: OTHER when its own variants disagree."""
    votes: dict[str, set[Outcome]] = {}
    for item in evidence:
        if item.role is Role.JUROR and item.outcome is not Outcome.ABSTAINS:
            votes.setdefault(item.component, set()).add(item.outcome)
    return {name: next(iter(cast)) if len(cast) == 1 else Outcome.OTHER for name, cast in votes.items()}


def _count(votes: Mapping[str, Outcome], outcome: Outcome) -> int:
    return sum(vote is outcome for vote in votes.values())


def _outcomes(evidence: Iterable[Evidence], role: Role) -> list[Outcome]:
    return [item.outcome for item in evidence if item.role is role]


def _of(evidence: Iterable[Evidence], role: Role) -> Outcome:
    return next((item.outcome for item in evidence if item.role is role), Outcome.ABSTAINS)


_LEVELS = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


def _raised(confidence: Confidence, siblings: Sequence[Outcome]) -> Confidence:
    """One level more where a sibling converter shows that the model can be converted."""
    return _LEVELS[min(_LEVELS.index(confidence) + (Outcome.RIGHT in siblings), 2)]


def _lowered(confidence: Confidence, siblings: Sequence[Outcome], evidence: Sequence[Evidence]) -> Confidence:
    """One level less where a sibling converter errs alike, as if both had it from somewhere else, unless another form
    of the framework's own is right."""
    own = [*_outcomes(evidence, Role.EXPORTED), *_outcomes(evidence, Role.COMPILED)]
    shared = Outcome.SAME in siblings and Outcome.RIGHT not in own
    return _LEVELS[max(_LEVELS.index(confidence) - shared, 0)]


def summary(verdict: Blame) -> str:
    """One line: ``onnxruntime:ConstantFolding (high: the runtime is right without …)``."""
    return f"{verdict.component} ({verdict.confidence}: {verdict.rule})"


def as_markdown(verdict: Blame, title: str = "") -> str:
    """The verdict and its table of evidence."""
    lines = [f"# {_cell(title)}", ""] if title else []
    lines += [
        f"To blame: **{_cell(verdict.component)}**, confidence {verdict.confidence}: {verdict.rule}.",
        "",
        "| asked | experiment | outcome | seen |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {item.role} | {_cell(f'{item.component} {item.detail}'.strip())} | {item.outcome} | {_cell(item.words)} |"
        for item in verdict.evidence
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text of others in one cell of a table, whatever it holds."""
    plain = "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")[:300]
