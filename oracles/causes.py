"""Causes of Study A, and the rules that tell them from what a finding shows.

Study A read the fixes of 200 issues. A fuzzer has no fix to read: a rule here names the cause that what is seen points
to, such as a schema that does not admit an element type (a type problem) or a complaint about ranks (a shape problem).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from generators.graph import Case, node_count
from oracles.outcome import MISMATCH, Kind, Signature, Stage


class Cause(StrEnum):
    """The causes of Study A; what stands before the colon is the group that it counts them under."""

    EXTERNAL = "incompatibility: external"
    INTERNAL = "incompatibility: internal"
    OPERATOR_TYPE = "type problem: operator's type"
    VARIABLE_TYPE = "type problem: conventional variable's"
    TENSOR_DTYPE = "type problem: tensor dtype"
    WRONG_OPTIMIZATION = "algorithmic error: wrong optimization"
    WRONG_TRACING = "algorithmic error: wrong tracing"
    OTHER_ALGORITHM = "algorithmic error: other"
    SHAPE = "shape problem"
    API_MISUSE = "API misuse"
    MISCONFIGURATION = "misconfiguration"
    TESTING = "testing"
    EXCEPTION_HANDLING = "exception handling"
    TYPO = "typo"
    ASSIGNMENT = "incorrect assignment"
    OTHER = "other"

    @property
    def group(self) -> str:
        """What Study A counts it under."""
        return self.partition(":")[0]


#: Headlines of what comes below them.
_ANNOUNCES = re.compile(
    r"(?:Inference error\(s\):|\[\w+InferenceError\])$|^(?:\w+: )?Exception encountered when calling"
)


@dataclass(frozen=True)
class Facts:
    """What the rules for causes go by: see :func:`oracles.taxonomy.classify`. ``stage`` has been decided."""

    signature: Signature
    message: str
    stage: Stage
    case: Case | None
    minimized: bool
    frames: tuple[str, ...]
    needs_special: bool
    by_converter: bool

    @cached_property
    def words(self) -> str:
        """The subject's own words: the normalised ones, then all (of which validators give hundreds of lines)."""
        return f"{self.signature.detail}\n{self.message[:2000]}"

    @cached_property
    def told(self) -> str:
        """The normalised words without the frame: the first complaint alone, unless it is cut off or only says that
        others follow."""
        told = self.signature.detail.rpartition(" @ ")[0] or self.signature.detail
        return self.words if told.endswith("…") or _ANNOUNCES.search(told) else told

    @cached_property
    def places(self) -> str:
        """Functions of the subject, innermost last."""
        return " ".join([*self.frames, self.signature.detail.rpartition(" @ ")[2]])

    @cached_property
    def operand(self) -> str:
        """Element type of the first operand of the last node of the minimized case; empty when it is not known."""
        if self.case is None or not self.minimized or not self.case.graph.nodes:
            return ""
        types = self.case.graph.types()
        names = [name for name in self.case.graph.nodes[-1].references() if name in types]
        return types[names[0]].dtype if names else ""

    @cached_property
    def nodes(self) -> int:
        """Nodes of the minimized case; 0 when it is not known."""
        return node_count(self.case.graph) if self.case is not None and self.minimized else 0

    @cached_property
    def declared(self) -> tuple[str, str] | None:
        """Types that the model declares and that the graph has, where a validator complains that they differ."""
        found = re.search(r"declared (\w+)(?:\[[^\]]*\])?, the graph has (\w+)", self.words)
        return (found[1], found[2]) if found else None


@dataclass(frozen=True, slots=True)
class CauseRule:
    """``cause`` is that of the finding when ``applies``."""

    name: str
    cause: Cause
    applies: Callable[[Facts], bool] = field(repr=False)


def _says(name: str, cause: Cause, pattern: str) -> CauseRule:
    """A rule about the words of a subject that refuses a model or raises."""
    compiled = re.compile(pattern, re.MULTILINE)
    return CauseRule(
        name, cause, lambda facts: facts.signature.kind not in MISMATCH and bool(compiled.search(facts.told))
    )


def _is(name: str, cause: Cause, *kinds: Kind) -> CauseRule:
    return CauseRule(name, cause, lambda facts: facts.signature.kind in kinds)


CAUSE_RULES: tuple[CauseRule, ...] = (
    # -- what a subject's code stumbles at ----------------------------------------------------------------------
    _says("a name that is not defined", Cause.TYPO, r"^NameError\b|[Dd]id you mean"),
    _says("a variable that was never assigned", Cause.ASSIGNMENT, r"^UnboundLocalError\b"),
    CauseRule(
        "raised in code of tests",
        Cause.TESTING,
        lambda facts: bool(re.search(r"(?:^|\.)_?test(?:s|ing)?\.", facts.places)),
    ),
    _says(
        "a library without what is asked for",
        Cause.EXTERNAL,
        r"module '[\w.]+' has no attribute|^(?:Import|ModuleNotFound)Error|cannot import name",
    ),
    _says(
        "a call with other arguments than its callee takes",
        Cause.API_MISUSE,
        r"Required parameter|missing \d* ?# ?required|missing \d+ required|unexpected keyword argument"
        r"|takes # positional|Only an existing tensor can be modified|No data is collected",
    ),
    _says(
        "an opset or version that the model does not name", Cause.MISCONFIGURATION, r"No opset import|[Ii][Rr]_?version"
    ),
    _says(
        "nodes or arguments that are not filled in",
        Cause.ASSIGNMENT,
        r"marked single but has an empty|One and only one of the attributes|is required but missing",
    ),
    CauseRule(
        "a runtime's optimizer makes it",
        Cause.WRONG_OPTIMIZATION,
        lambda facts: facts.stage is Stage.OPTIMIZE and not facts.by_converter,
    ),
    # -- types --------------------------------------------------------------------------------------------------
    CauseRule(
        "a declared element type that is another",
        Cause.TENSOR_DTYPE,
        lambda facts: facts.declared is not None and facts.declared[0] != facts.declared[1],
    ),
    _says(
        "an operator that does not take the element type",
        Cause.OPERATOR_TYPE,
        r"has (?:unsupported|inconsistent) type|\bType Error\b|This is an invalid model\. In Node"
        r"|[Ee]lem(?:ent)? type differs|same element type|output_dtype|how to cast type|dtype for .* must be"
        r"|Unsupported dtype|have types .* that don't all match|Cannot determine scalar type"
        r"|same type for all operands|must be (?:\w+ )?tensor of|requires element_dtype|We don't have an op for"
        r"|Input type for input at index|Type info is expected",
    ),
    _says(
        "an array of a type that a library does not have",
        Cause.TENSOR_DTYPE,
        r"Numpy type for Tensor Type|Numpy_type|numpy\.dtype|into readable tensor",
    ),
    _says(
        "a Python value of another type than the code expects",
        Cause.VARIABLE_TYPE,
        r"^(?:TypeError|AttributeError): '?\w+'? object|^TypeError: object of type|^TypeError: .*'NoneType'"
        r"|^AttributeError: 'NoneType'",
    ),
    CauseRule(
        "a declared shape that is another",
        Cause.SHAPE,
        lambda facts: facts.declared is not None and facts.declared[0] == facts.declared[1],
    ),
    # -- shapes -------------------------------------------------------------------------------------------------
    _says(
        "a complaint about shapes, ranks or axes",
        Cause.SHAPE,
        r"(?i)\bshapes?\b|\bshape\[|\branks?\b|\bdim(?:ension)?s?\b|\bdims->|\baxis\b|\baxes\b|broadcast|reshape"
        r"|Attribute (?:pads|strides|dilations|kernel_shape)|\bPads has\b|\bperm\b|position of #|sliding blocks"
        r"|input_sizes|Number of elements|NumElements|on a scalar|\bscalar\b|shape_size|exceeds maximum allowed"
        r"|batch_axis|spatial|# blocks|^IndexError: list index",
    ),
    _is("outputs of another shape", Cause.SHAPE, Kind.SHAPE),
    # -- parts that do not fit ----------------------------------------------------------------------------------
    _says(
        "parts of the converter that disagree",
        Cause.INTERNAL,
        r"INTERNAL ASSERT|failed to legalize|unresolved materialization|failed to verify|expected to have an entirely"
        r"|number of (?:in|out)puts? .* differ",
    ),
    _says(
        "something that the format or the runtime does not have",
        Cause.EXTERNAL,
        r"No Op registered|output size #|input size #|not a registered|Could not find an implementation"
        r"|Failed to find kernel|Unable to convert|does not support|not support(?:ed)?|opset|schema|IsPowerOfTwo",
    ),
    _says(
        "a scale or zero point that cannot be",
        Cause.OTHER_ALGORITHM,
        r"quantization scale|scale issue|zero_point|QuantParam|division by zero",
    ),
    # -- errors that are not handled ----------------------------------------------------------------------------
    CauseRule(
        "a failure that no exception tells of",
        Cause.EXCEPTION_HANDLING,
        lambda facts: (
            (
                facts.signature.kind is Kind.SIGNAL
                and facts.signature.detail in ("SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP")
            )
            or facts.signature.kind is Kind.EXIT
            or (facts.signature.kind is Kind.EXCEPTION and ":" not in facts.told and not facts.told.endswith("…"))
        ),
    ),
    # -- models that compute something else ---------------------------------------------------------------------
    _is("outputs of another element type", Cause.TENSOR_DTYPE, Kind.DTYPE),
    _is("another number of outputs", Cause.ASSIGNMENT, Kind.COUNT),
    CauseRule(
        "the optimizer makes it",
        Cause.WRONG_OPTIMIZATION,
        lambda facts: facts.stage is Stage.OPTIMIZE,
    ),
    CauseRule("loading makes it", Cause.WRONG_TRACING, lambda facts: facts.stage is Stage.LOAD),
    CauseRule(
        "only with operands of this type",
        Cause.OPERATOR_TYPE,
        lambda facts: facts.signature.kind in MISMATCH and facts.operand not in ("", "float32"),
    ),
    CauseRule("a wrong result", Cause.OTHER_ALGORITHM, lambda facts: facts.signature.kind in MISMATCH),
    _is("work or data that is not needed", Cause.OTHER_ALGORITHM, Kind.SLOW, Kind.BLOATED),
    # -- the rest -----------------------------------------------------------------------------------------------
    CauseRule(
        "a runtime that does not take what was made for it",
        Cause.EXTERNAL,
        lambda facts: facts.signature.kind is Kind.EXCEPTION and not facts.by_converter,
    ),
    CauseRule("nothing tells", Cause.OTHER, lambda facts: True),
)


def cause_rules() -> tuple[str, ...]:
    """Names of the rules in the order in which they are tried."""
    return tuple(rule.name for rule in CAUSE_RULES)
