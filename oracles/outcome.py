"""The words in which outcomes are told: stages, kinds, signatures, observations, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from generators.graph import Array, Case


class Stage(StrEnum):
    """Where in a route a failure happened: the stages of Study A, then those of the runtime."""

    LOAD = "load"
    CONVERT = "node conversion"
    OPTIMIZE = "optimization"
    EXPORT = "export"
    VALIDATE = "validate"
    RUNTIME_LOAD = "runtime load"
    INFERENCE = "inference"
    UNKNOWN = "indistinguishable"


class Kind(StrEnum):
    """What was seen."""

    # the subject as a process
    EXCEPTION = "exception"
    SIGNAL = "signal"
    HANG = "hang"
    MEMORY = "memory"
    EXIT = "exit"
    STDOUT = "stdout"
    # the artifact
    INVALID = "invalid"
    UNSUPPORTED = "unsupported"
    # its outputs, in the order in which they are judged
    COUNT = "count"
    DTYPE = "dtype"
    SHAPE = "shape"
    NONFINITE = "nonfinite"
    VALUE = "value"
    # what it costs to run and to keep, by :mod:`oracles.performance`
    SLOW = "slow"
    BLOATED = "bloated"


#: Kinds in which the process of the subject ended or had to be ended.
DEADLY = frozenset({Kind.SIGNAL, Kind.HANG, Kind.MEMORY, Kind.EXIT})
#: Kinds that compare the outputs of a model that ran.
MISMATCH = frozenset({Kind.COUNT, Kind.DTYPE, Kind.SHAPE, Kind.NONFINITE, Kind.VALUE})
#: Kinds of a model that gives what it should, at too high a price.
PERFORMANCE = frozenset({Kind.SLOW, Kind.BLOATED})
#: Kinds of failures of a converter itself, before there is a model that runs.
BEFORE_RUNTIME = DEADLY | {Kind.EXCEPTION, Kind.INVALID, Kind.STDOUT, Kind.BLOATED}


class Symptom(StrEnum):
    """The symptoms of Study A, and invalid models."""

    CRASH = "crash"
    WRONG_MODEL = "wrong model"
    HANG = "hang"
    BAD_PERFORMANCE = "bad performance"
    INVALID_MODEL = "invalid model"
    UNSUPPORTED = "unsupported"
    NOISE = "noise on standard output"


def symptom_of(kind: Kind) -> Symptom:
    """The symptom that a kind of failure shows as."""
    if kind in MISMATCH:
        return Symptom.WRONG_MODEL
    if kind in PERFORMANCE:
        return Symptom.BAD_PERFORMANCE
    return {
        Kind.HANG: Symptom.HANG,
        Kind.INVALID: Symptom.INVALID_MODEL,
        Kind.UNSUPPORTED: Symptom.UNSUPPORTED,
        Kind.STDOUT: Symptom.NOISE,
    }.get(kind, Symptom.CRASH)


class Verdict(StrEnum):
    """Only BUG is a finding. INCONCLUSIVE: the outputs differ, but no more than correct implementations may."""

    PASS = "pass"
    BUG = "bug"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Signature:
    """The identity of a failure.

    ``component`` is the converter or runtime at work (``torch.onnx-dynamo``, ``onnxruntime``). ``detail`` is, for an
    exception, its type, normalised message and the subject's own innermost frame; for a signal its name; for a
    validator its normalised message; for a mismatch empty, since the guilty operators are known only after
    minimization and are part of the bucket, not of the signature.
    """

    stage: Stage
    component: str
    kind: Kind
    detail: str = ""

    def __str__(self) -> str:
        return " · ".join(part for part in (self.stage, self.component, self.kind, self.detail) if part)


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing seen of one case. ``message`` is the subject's own text or the mismatch in words, ``outputs`` the
    indices of the graph outputs concerned, ``settings`` the runtime variant (empty for the converter itself)."""

    signature: Signature
    verdict: Verdict
    message: str = ""
    outputs: tuple[int, ...] = ()
    settings: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """What testing one case gave. ``case`` has its types as eager execution found them, or is None when the
    framework refuses the graph (or it is not deterministic): such a candidate is no reduction of anything."""

    case: Case | None
    observations: tuple[Observation, ...] = ()

    def shows(self, signature: Signature) -> bool:
        """Whether a bug of that signature was observed."""
        return any(seen.verdict is Verdict.BUG and seen.signature == signature for seen in self.observations)


class Tester(Protocol):
    """How the minimizer asks questions. It never converts anything itself."""

    def test(self, cases: Sequence[Case]) -> list[Trial]:
        """Judge the cases, one trial for each, in one conversion of their union when none of them takes the
        conversion down. Types in the cases' graphs may be stale: execution corrects them in the trials."""
        ...

    def values(self, case: Case) -> dict[str, Array]:
        """Every value of the case's graph by name, from eager execution; of a case with further sizes a
        :class:`generators.sizes.Recorded`."""
        ...

    @property
    def slices(self) -> bool:
        """Whether what fails behind the conversion leaves the other cases of the same conversion alone."""
        ...

    @property
    def lanes(self) -> int:
        """How many conversions it may make at a time: among so many :meth:`test` spreads the cases, in their order."""
        ...

    @property
    def conversions(self) -> int:
        """Conversions made so far."""
        ...
