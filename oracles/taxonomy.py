"""Stage × symptom × cause of a finding, in the words of Study A, and the rule that decided each.

Study A: P. Jajal et al., "Analysis of Failures and Risks in Deep Learning Model Converters: A Case Study in the ONNX
Ecosystem", ISSTA 2024 (arXiv 2303.17708). Its stages say where the defect *is*; the stage of a
:class:`oracles.outcome.Signature` says where it was *seen*: an invalid model is seen by the validator, and made before.

Everything here is a pure function of what a finding holds. Rules are tried in order and the first that applies
decides, by its name. A stage that nothing tells is :attr:`Stage.UNKNOWN`, "indistinguishable", which is counted. The
rules for causes are in :mod:`oracles.causes`; docs/taxonomy.md tells of every rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from generators.graph import Case, node_count
from oracles.causes import CAUSE_RULES, Cause, Facts
from oracles.outcome import DEADLY, MISMATCH, PERFORMANCE, Kind, Signature, Stage, Symptom, symptom_of

__all__ = ["Cause", "Classification", "Evidence", "classify", "stage_rules"]

#: What was seen when an experiment was made: its name, such as ``part off: onnxscript optimizer``, to its outcome.
Evidence = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Classification:
    """Where the defect is, what it shows as and why it is there; for each the name of the rule that decided."""

    stage: Stage
    stage_rule: str
    symptom: Symptom
    symptom_rule: str
    cause: Cause
    cause_rule: str

    @property
    def distinguishable(self) -> bool:
        """Whether anything told the stage."""
        return self.stage is not Stage.UNKNOWN


@dataclass(frozen=True)
class StageFacts:
    """What the rules for stages go by: see :func:`classify`."""

    signature: Signature
    message: str
    converter: str
    settings: tuple[str, ...]
    options: Mapping[str, object]
    case: Case | None
    minimized: bool
    evidence: Evidence
    blamed: str

    @cached_property
    def by_converter(self) -> bool:
        """Whether the converter is at fault, and not a runtime."""
        return self.signature.component == self.converter

    @cached_property
    def computes(self) -> bool:
        """Whether there was a model that ran: it computes something else, or badly."""
        return self.signature.kind in MISMATCH | PERFORMANCE

    @cached_property
    def quantizes(self) -> bool:
        """Whether the converter was asked to quantize."""
        return str(self.options.get("quantization", "none")) not in ("", "none", "False")

    @cached_property
    def nodes(self) -> int:
        """Nodes of the minimized case, those of bodies included; 0 when it is not known or not minimized."""
        return node_count(self.case.graph) if self.case is not None and self.minimized else 0

    @cached_property
    def words(self) -> str:
        """The normalised detail and the subject's own words."""
        return f"{self.signature.detail}\n{self.message}"

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """Names of the runtime variants that show it, without those of the runtimes."""
        return tuple(dict.fromkeys(part.rpartition(" ")[2] for part in self.settings if part))


#: Converters that load and serialise what they are given, and rewrite no node, with the runtime that then runs it as
#: it is. (TensorFlow runs every function by way of its optimizer, Grappler.)
_LOADERS: Mapping[str, str] = {"torch.export": "torch.export.module"}
#: Converters that write down the model as it is, unless they are to quantize it.
_UNCHANGED = frozenset({"onnx"})
#: Option by which a converter's own optimizer is switched off, with the value that does so.
_SWITCHES: Mapping[str, tuple[str, object]] = {
    "torch.onnx-dynamo": ("optimize", False),
    "torch.onnx-torchscript": ("do_constant_folding", False),
}
#: The variant of a runtime that leaves the graph as it is.
_PLAIN: Mapping[str, str] = {"onnxruntime": "unoptimized"}
#: A kernel that is made, with the optimizer or without: where ONNX Runtime folds constants it does so earlier.
_KERNEL_MADE = re.compile(r"Exception during initialization")
#: Complaints about the model as a whole: what it imports, lists and declares.
_CONTAINER = re.compile(
    r"No opset import|Field '?\w+'? of '?\w+'? is required"
    r"|ir_version|IR version|external data|names? (?:a|the) path|not in topological order"
)
#: Complaints about a node, or about the type of a value.
_NODE = re.compile(
    r"op_type|\bOpType\b|\bNode\b|\bnode\b|ONNX operators: |has unsupported type|declared|No Op registered"
    r"|InferenceError|^[A-Z][A-Z0-9_]+ (?:of|with|has) "
)
#: A runtime that quotes the rules of the format: the model is invalid, whoever says so.
_BREAKS_RULES = re.compile(
    r"\[(?:ShapeInference|TypeInference)Error\]|This is an invalid model|\bType Error: |schema\(|not a registered"
)


def _gone(facts: StageFacts, experiment: str, about: str = "") -> bool | None:
    """Whether the failure vanishes in experiments of that name about something; None when none was made or has a
    result. One in which it vanishes tells more than one in which it stays."""
    answers = {
        _ANSWERS.get(outcome)
        for name, outcome in facts.evidence.items()
        if name.startswith(experiment) and re.search(about, name.partition(":")[2], re.IGNORECASE)
    } - {None}
    return True in answers if answers else None


#: Outcomes that say something: whether the failure is gone.
_ANSWERS: Mapping[str, bool] = {"right": True, "the same failure": False}
#: Experiments. What they are about follows a colon.
PART_OFF, EXPORTED, DECOMPOSED, OPTIMIZERS_OFF = "part off", "exported form", "decomposed form", "optimizers off"
#: Parts of a converter that optimize.
_OPTIMIZER = r"optimi[sz]|fold"


def _only_optimized(facts: StageFacts) -> bool:
    """Whether a runtime fails only where it optimizes the graph."""
    plain = _PLAIN.get(facts.signature.component)
    shown = [name for name in re.split(r",\s*|\s+against\s+.*", facts.signature.detail) if name]
    if facts.computes and shown:
        variants: tuple[str, ...] = tuple(name.rpartition(" ")[2] for name in shown)
    else:
        variants = facts.variants
    return plain is not None and bool(variants) and plain not in variants


def _optimizer_off(facts: StageFacts) -> bool:
    option, off = _SWITCHES.get(facts.converter, ("", None))
    return bool(option) and facts.options.get(option) == off


@dataclass(frozen=True, slots=True)
class StageRule:
    """``stage`` is that of the finding when ``applies``; None for the stage that its signature names."""

    name: str
    stage: Stage | None
    applies: Callable[[StageFacts], bool] = field(repr=False)


_STAGE_RULES: tuple[StageRule, ...] = (
    # -- experiments --------------------------------------------------------------------------------------------
    StageRule(
        "ablation: it vanishes without the optimizer",
        Stage.OPTIMIZE,
        lambda facts: (
            _gone(facts, PART_OFF, _OPTIMIZER) is True if facts.by_converter else _gone(facts, OPTIMIZERS_OFF) is True
        ),
    ),
    StageRule(
        "ablation: the framework's exported form shows it",
        Stage.LOAD,
        lambda facts: facts.by_converter and _gone(facts, EXPORTED) is False,
    ),
    StageRule(
        "ablation: decomposition makes it",
        Stage.CONVERT,
        lambda facts: facts.by_converter and _gone(facts, DECOMPOSED) is False,
    ),
    StageRule(
        "ablation: it stays without the optimizer",
        Stage.CONVERT,
        lambda facts: facts.by_converter and facts.computes and _gone(facts, PART_OFF, _OPTIMIZER) is False,
    ),
    StageRule(
        "blame: what the runtime fails at is the converter's",
        Stage.CONVERT,
        lambda facts: not facts.by_converter and facts.blamed == facts.converter,
    ),
    # -- conversions that end -----------------------------------------------------------------------------------
    StageRule(
        "frames of the subject",
        None,
        lambda facts: (
            facts.by_converter
            and facts.signature.kind in DEADLY | {Kind.EXCEPTION, Kind.STDOUT, Kind.UNSUPPORTED}
            and facts.signature.stage is not Stage.UNKNOWN
        ),
    ),
    # -- models that are refused --------------------------------------------------------------------------------
    StageRule(
        "the validator refuses what was given",
        Stage.VALIDATE,
        lambda facts: facts.signature.kind is Kind.INVALID and facts.converter in _UNCHANGED and not facts.quantizes,
    ),
    StageRule(
        "what tracing captured became an input",
        Stage.LOAD,
        lambda facts: facts.signature.kind is Kind.INVALID and "input(s) that the graph does not have" in facts.words,
    ),
    StageRule(
        "complaint about the model's frame",
        Stage.EXPORT,
        lambda facts: facts.signature.kind is Kind.INVALID and bool(_CONTAINER.search(facts.words)),
    ),
    StageRule(
        "complaint about a node or the type of a value",
        Stage.CONVERT,
        lambda facts: facts.signature.kind is Kind.INVALID and bool(_NODE.search(facts.words)),
    ),
    # -- runtimes -----------------------------------------------------------------------------------------------
    StageRule(
        "only where the runtime optimizes",
        Stage.OPTIMIZE,
        lambda facts: not facts.by_converter and _only_optimized(facts) and not _KERNEL_MADE.search(facts.words),
    ),
    StageRule(
        "the runtime says that the model is invalid",
        Stage.CONVERT,
        lambda facts: (
            not facts.by_converter
            and facts.signature.kind is Kind.EXCEPTION
            and bool(_BREAKS_RULES.search(facts.words))
        ),
    ),
    StageRule(
        "step of the runtime",
        None,
        lambda facts: not facts.by_converter and facts.signature.stage in (Stage.RUNTIME_LOAD, Stage.INFERENCE),
    ),
    # -- converted models that compute something else -----------------------------------------------------------
    StageRule(
        "the converter only loads",
        Stage.LOAD,
        lambda facts: (
            facts.computes
            and not facts.options.get("decompose")
            and any(part.startswith(_LOADERS.get(facts.converter, "\0")) for part in facts.settings)
        ),
    ),
    StageRule(
        "quantization chooses types and scales of nodes",
        Stage.CONVERT,
        lambda facts: facts.computes and facts.quantizes,
    ),
    StageRule("one operator suffices", Stage.CONVERT, lambda facts: facts.computes and facts.nodes == 1),
    StageRule(
        "the optimizer was off",
        Stage.CONVERT,
        lambda facts: facts.computes and facts.minimized and _optimizer_off(facts),
    ),
)


def stage_rules() -> tuple[str, ...]:
    """Names of the rules for stages in the order in which they are tried, the one that tells nothing last."""
    return (*(rule.name for rule in _STAGE_RULES), NOTHING_TELLS)


#: The rule of what no other applies to.
NOTHING_TELLS = "nothing tells"


def classify(
    signature: Signature,
    *,
    converter: str,
    message: str = "",
    settings: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    case: Case | None = None,
    minimized: bool = True,
    frames: Sequence[str] = (),
    needs_special: bool = False,
    evidence: Evidence | None = None,
    blamed: str = "",
) -> Classification:
    """The class of a finding.

    ``converter`` is the converter of its route, ``message`` the subject's own words (or the mismatch), ``settings`` the
    runtime variants that show it (``onnxruntime optimized``), ``options`` the converter's settings, ``case`` the
    case that shows it, ``minimized`` whether that is one; ``frames`` are functions of the subject's traceback
    (``module.function``), innermost last, as far as the signature does not hold them. ``evidence`` tells of further
    experiments by name: ``part off: <a part of the converter>``, ``exported form: …`` (what the framework's exporter
    makes of the model, run by the framework), ``decomposed form: …``, ``optimizers off: <a part of the runtime>``, to
    ``right`` or ``the same failure``; other experiments and outcomes are passed over. ``blamed`` is the component that
    all evidence together points to, where there is any.
    """
    facts = StageFacts(
        signature, message, converter, tuple(settings), options or {}, case, minimized, evidence or {}, blamed
    )
    stage, stage_rule = Stage.UNKNOWN, NOTHING_TELLS
    for rule in _STAGE_RULES:
        if rule.applies(facts):
            stage, stage_rule = rule.stage or signature.stage, rule.name
            break
    known = Facts(signature, message, stage, case, minimized, tuple(frames), needs_special, facts.by_converter)
    cause = next(rule for rule in CAUSE_RULES if rule.applies(known))
    return Classification(
        stage, stage_rule, symptom_of(signature.kind), f"kind {signature.kind}", cause.cause, cause.name
    )
