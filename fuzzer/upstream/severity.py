"""How bad a finding is for those who use the subject: a rule, not a judgement.

What people notice last is worst: a model that converts without a word and computes something else, made of operators
that everybody uses, on values that everybody has. The levels are asked in this order:

* CRITICAL: wrong values, types or shapes without a word; every operator is one of the common ones (``common.toml``),
  the element types are usual ones, and the values are ordinary.
* HIGH: wrong results without a word on ordinary values otherwise; or the subject's process dies (a signal, an exit,
  memory without bound) on ordinary values.
* MEDIUM: what says that something is wrong while a model is made ready (an exception, an invalid model, a hang); wrong
  results or the end of the process with special values only (NaN, infinities, extremes of integers), which are rarely
  what a user meets first.
* LOW: an exception or an invalid model that needs special values, noise on standard output, or bad performance.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from enum import StrEnum

import msgspec

from corpus.records import Finding
from generators.graph import Case, all_nodes
from oracles.outcome import DEADLY, Kind, Symptom

#: The number of dimensions at the end of a name.
_DIMENSIONS = re.compile(r"[123]d$")
#: Element types that nobody would call unusual.
_USUAL = frozenset({"float32", "int32", "int64", "bool"})


class Severity(StrEnum):
    """See the module's description."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Judged(msgspec.Struct, frozen=True):
    """A severity and, in words, the part of the rule that it follows from."""

    severity: Severity
    reason: str


class _Common(msgspec.Struct, frozen=True):
    operators: frozenset[str]


@functools.cache
def _common() -> frozenset[str]:
    data = importlib.resources.files("fuzzer.upstream").joinpath("common.toml").read_bytes()
    return msgspec.toml.decode(data, type=_Common).operators


def is_common(target: str) -> bool:
    """Whether an operator is one of those that nearly all models are made of, whatever its framework calls it."""
    parts = target.split(".")
    name = parts[1] if parts[0] == "aten" and len(parts) > 1 else parts[-1]
    return _DIMENSIONS.sub("", name.lower().replace("_", "")) in _common()


def severity(finding: Finding, case: Case | None) -> Judged:
    """The severity of a finding; ``case`` is its minimized case, without which its operators count as uncommon."""
    special = bool(finding.needs_special)
    ordinary = "with special values only" if special else "on ordinary values"
    if finding.symptom is Symptom.BAD_PERFORMANCE:
        return Judged(Severity.LOW, "right results at too high a price")
    if finding.symptom is Symptom.NOISE:
        return Judged(Severity.LOW, "noise on standard output")
    if finding.symptom is Symptom.WRONG_MODEL:
        if special:
            return Judged(Severity.MEDIUM, f"wrong results without a word, {ordinary}")
        if case is not None and all(is_common(node.target) for node in all_nodes(case.graph)) and _usual(case):
            return Judged(Severity.CRITICAL, f"wrong results without a word, common operators, {ordinary}")
        return Judged(Severity.HIGH, f"wrong results without a word, {ordinary}")
    if finding.signature.kind in DEADLY and finding.signature.kind is not Kind.HANG:
        return Judged(Severity.MEDIUM if special else Severity.HIGH, f"the process dies, {ordinary}")
    said = {Symptom.HANG: "it does not come to an end", Symptom.INVALID_MODEL: "an invalid model"}
    what = said.get(finding.symptom, "an exception")
    return Judged(Severity.LOW if special else Severity.MEDIUM, f"{what}, {ordinary}")


def _usual(case: Case) -> bool:
    return all(kind.dtype in _USUAL for kind in case.graph.types().values())
