"""The records that the store takes and gives: frozen, without behaviour, the same for every database."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from oracles.blame import Blame
from oracles.outcome import Signature, Symptom
from oracles.taxonomy import Classification


class CampaignStatus(StrEnum):
    """RUNNING also describes a campaign whose process was killed: nothing was left that could have said so."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"


class BatchState(StrEnum):
    """A batch is issued before anything of it runs and judged in the transaction that records its results."""

    ISSUED = "issued"
    JUDGED = "judged"


class FindingState(StrEnum):
    """RAW, MINIMIZING and MINIMIZED still have work ahead; the others are final."""

    RAW = "raw"
    MINIMIZING = "minimizing"
    MINIMIZED = "minimized"
    VERIFIED = "verified"
    FLAKY = "flaky"
    UNREPRODUCIBLE = "unreproducible"
    DUPLICATE = "duplicate"


#: States in which a finding waits for work.
PENDING = (FindingState.RAW, FindingState.MINIMIZING, FindingState.MINIMIZED)


class Outcome(StrEnum):
    """What became of a case on its way: the steps of the funnel. A case counts once per runtime variant that saw it,
    or once under the variant ``''`` when it ended (or was merely counted) before any runtime."""

    STARTED = "started"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    CONVERTER_FAILED = "converter failed"
    INVALID = "invalid"
    LOAD_FAILED = "runtime failed to load"
    RUN_FAILED = "runtime failed"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"
    SUCCESS = "success"


class Campaign(msgspec.Struct, frozen=True):
    """A seed and a configuration. ``started`` and ``ended`` are seconds since the epoch; ``elapsed`` the seconds that
    its runs took together, resumed ones included."""

    id: str
    seed: int
    config: dict[str, Any]
    versions: dict[str, str]
    started: float
    ended: float | None = None
    elapsed: float = 0.0
    status: CampaignStatus = CampaignStatus.RUNNING


class IssuedBatch(msgspec.Struct, frozen=True):
    """What a batch consists of: with the campaign's seed, these fields are all that its cases depend on.

    ``settings`` are those of the converter, ``variants`` pairs of a runtime and its variant, ``cases`` how many cases
    are generated, ``nodes`` the wanted size of each, ``avoid`` the patterns of nodes that quarantine makes rare,
    ``operators`` the patterns of the targets to draw (all when empty), ``pack`` how many cases are converted together
    (0: all), ``harvest`` the fingerprint of the harvest whose operators are drawn, too (none when empty),
    ``wanted`` the combinations of profile, element type and family of operators that are drawn more often, ``purpose``
    why the operators are these (``probe`` and ``swarm``: :mod:`fuzzer.planning`; empty where somebody asked for them),
    ``asked`` structures that no graph had yet, of which some graphs have one.
    """

    index: int
    frontend: str
    converter: str
    settings: dict[str, bool | int | float | str]
    cases: int
    nodes: int
    variants: tuple[tuple[str, str], ...] = ()
    avoid: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    pack: int = 0
    harvest: str = ""
    wanted: tuple[tuple[str, str, str], ...] = ()
    purpose: str = ""
    asked: tuple[str, ...] = ()


class NewFinding(msgspec.Struct, frozen=True):
    """A bug as it came out of a batch. ``case`` is the number of the case in its batch, ``data`` the serialised case,
    ``settings`` the runtime variants that show it (empty when the converter itself fails). ``converter_settings`` and
    ``variants`` (pairs of a runtime and its variant) are those that it was seen with, where they are not its
    batch's."""

    case: int
    signature: Signature
    symptom: Symptom
    message: str
    data: bytes
    settings: tuple[str, ...] = ()
    numbers: dict[str, float] = {}
    nodes: int = 0
    converter_settings: dict[str, bool | int | float | str] | None = None
    variants: tuple[tuple[str, str], ...] = ()


class UnsupportedCount(msgspec.Struct, frozen=True):
    """Cases in which a converter (or runtime) said that it does not support ``what``; one of its messages."""

    component: str
    what: str
    message: str
    count: int = 1


#: The name under which runtime variants are counted among options.
VARIANT = "runtime"


class Coverage(msgspec.Struct, frozen=True):
    """What the cases of a batch exercised, counted.

    ``format`` is that of the artifacts. ``source`` and ``artifact`` count sequences of one to five operators along the
    data flow, their names joined by a space. ``arguments`` counts nodes by operator, place of the argument and class.
    ``cells`` counts cases by runtime variant, :class:`Outcome` and node key, variants and outcomes being as in a
    funnel; what happened to a case is counted for the key of each of its nodes, whichever of them is to blame.
    ``options`` counts cases by option of the converter, its setting and :class:`Outcome` (the gravest of all variants),
    and under :data:`VARIANT` by runtime variant and outcome. ``refusals`` counts cases by the subject that does not
    support them, the key of the nodes that this is about (the only ones, or those that it names) and what it says.
    ``structures`` counts cases by what they are built of: motifs and mutations that were grown in them, unusual outputs
    and inputs, rare shapes; ``graph`` counts all of them. ``profiles`` counts operands of nodes that are inputs or
    constants of their graph, by the profile that they were drawn from, their element type and the family of the
    operator.
    """

    format: str
    source: dict[str, int] = {}
    artifact: dict[str, int] = {}
    arguments: dict[str, dict[str, dict[str, int]]] = {}
    cells: dict[str, dict[str, dict[str, int]]] = {}
    structures: dict[str, int] = {}
    profiles: dict[str, dict[str, dict[str, int]]] = {}
    options: dict[str, dict[str, dict[str, int]]] = {}
    refusals: dict[str, dict[str, dict[str, int]]] = {}


class JudgedBatch(msgspec.Struct, frozen=True):
    """Results of a batch. ``funnel`` counts cases by runtime variant (``''`` before any runtime) and
    :class:`Outcome`; ``seconds`` is wall time, ``cases`` how many cases were judged."""

    campaign: str
    index: int
    cases: int
    seconds: float
    conversions: int
    verdicts: dict[str, int] = {}
    funnel: dict[str, dict[str, int]] = {}
    unsupported: tuple[UnsupportedCount, ...] = ()
    findings: tuple[NewFinding, ...] = ()
    coverage: Coverage | None = None


class Batch(msgspec.Struct, frozen=True):
    """A batch in the store: what was issued and, once judged, what came of it."""

    campaign: str
    issued: IssuedBatch
    state: BatchState
    cases: int = 0
    seconds: float = 0.0
    conversions: int = 0
    verdicts: dict[str, int] = {}
    funnel: dict[str, dict[str, int]] = {}


class Finding(msgspec.Struct, frozen=True):
    """A finding in the store. ``case_object`` and ``minimized_object`` are digests of serialised cases,
    ``reproducer_object`` of a script (each ``''`` when there is none yet). ``failures`` of ``runs`` fresh processes
    showed the defect. ``bucket`` is the key of its bucket (``''`` before minimization). ``blame`` is
    what experiments came to, None before they were made. ``variants`` are the runtime variants that it is judged on
    (pairs of a runtime and its variant) where these are not its batch's."""

    id: str
    campaign: str
    batch: int
    case: int
    signature: Signature
    symptom: Symptom
    frontend: str
    converter: str
    converter_settings: dict[str, bool | int | float | str]
    settings: tuple[str, ...]
    message: str
    numbers: dict[str, float]
    state: FindingState
    created: float
    case_object: str
    minimized_object: str = ""
    reproducer_object: str = ""
    bucket: str = ""
    title: str = ""
    source: str = ""
    nodes: int = 0
    needs_special: bool | None = None
    runs: int = 0
    failures: int = 0
    conversions: int = 0
    blame: Blame | None = None
    variants: tuple[tuple[str, str], ...] = ()


class PassRecord(msgspec.Struct, frozen=True):
    """What one pass of the minimizer did for a finding, over all times that it was worked on: candidates ``tries`` that
    were judged, ``successes`` that failed in the same way, ``remembered`` whose answer was known already,
    ``conversions`` and ``seconds`` (wall time). Passes that share conversions have them counted under a common name."""

    name: str
    tries: int = 0
    successes: int = 0
    remembered: int = 0
    conversions: int = 0
    seconds: float = 0.0


class Finish(msgspec.Struct, frozen=True):
    """How the work on a finding ended.

    ``state`` is final: VERIFIED, FLAKY, UNREPRODUCIBLE, or DUPLICATE when it is known to belong to a bucket without a
    verification of its own. ``bucket`` is the key made of the signature and the minimized graph in canonical form
    (``''``: it belongs to none, because it could not be shown again); ``title`` the one-line description; ``source``
    the printed minimized graph; ``reproducer`` the script. Empty strings and None leave what the store holds.
    """

    state: FindingState
    bucket: str
    title: str = ""
    minimized: bytes = b""
    reproducer: str = ""
    source: str = ""
    nodes: int = 0
    needs_special: bool | None = None
    runs: int = 0
    failures: int = 0
    conversions: int = 0
    message: str = ""
    numbers: dict[str, float] | None = None
    settings: tuple[str, ...] | None = None
    converter_settings: dict[str, bool | int | float | str] | None = None
    classification: Classification | None = None


class Bucket(msgspec.Struct, frozen=True):
    """Findings that are one defect. ``representative`` is the finding that is shown for it, ``count`` how many
    findings it holds (of one campaign where the question was about one)."""

    key: str
    representative: Finding
    count: int


class FunnelRow(msgspec.Struct, frozen=True):
    """Cases of one frontend, converter and runtime variant (``''`` for steps before any runtime) by outcome."""

    frontend: str
    converter: str
    variant: str
    counts: dict[str, int]


class Quarantine(msgspec.Struct, frozen=True):
    """What is known to fail and drawn rarely from now on: a target (or node key), for one converter."""

    converter: str
    target: str
    reason: str
    dtype: str = ""
    factor: float = 0.02
    versions: dict[str, str] = {}


class Summary(msgspec.Struct, frozen=True):
    """What a campaign has come to so far. ``buckets`` are those that its findings fell into, the ones with a verified
    representative first."""

    campaign: Campaign
    batches: int
    judged: int
    cases: int
    conversions: int
    seconds: float
    verdicts: dict[str, int]
    states: dict[str, int]
    funnel: tuple[FunnelRow, ...]
    unsupported: tuple[UnsupportedCount, ...]
    buckets: tuple[Bucket, ...]

    @property
    def verified(self) -> tuple[Bucket, ...]:
        """The buckets whose reproducer failed in fresh processes: what counts as found."""
        return tuple(bucket for bucket in self.buckets if bucket.representative.state is FindingState.VERIFIED)


class SequenceCount(msgspec.Struct, frozen=True):
    """Sequences of ``length`` operators of one ``vocabulary`` (a frontend, or a format of artifacts): ``total``
    occurrences of ``distinct`` ones, of which ``once`` occurred exactly once."""

    side: str
    vocabulary: str
    length: int
    total: int
    distinct: int
    once: int

    @property
    def unseen(self) -> float:
        """The Good–Turing estimate of the probability that the next occurrence is of a sequence not seen before:
        the share of occurrences that are the only one of their kind (I. J. Good, The population frequencies of species
        and the estimation of population parameters, Biometrika 40, 1953)."""
        return self.once / self.total if self.total else 1.0


class CellCount(msgspec.Struct, frozen=True):
    """Cases with a node of that ``key`` that came to an outcome under a variant (``''`` before any runtime)."""

    frontend: str
    converter: str
    variant: str
    outcome: str
    key: str
    count: int

    @property
    def operator(self) -> str:
        """The target without the dtypes."""
        return self.key.partition("(")[0]


class ArgumentCount(msgspec.Struct, frozen=True):
    """Nodes of an operator with an argument of a class at a place (a position, a keyword, or a part of one). ``absent``
    is the class of one that is left to its default where other nodes give it."""

    frontend: str
    operator: str
    place: str
    kind: str
    count: int


class ProfileCount(msgspec.Struct, frozen=True):
    """Operands of an element type that were drawn from a profile (of values, or of what selects), by the family of the
    operator that takes them."""

    frontend: str
    profile: str
    dtype: str
    family: str
    count: int


class OptionCount(msgspec.Struct, frozen=True):
    """Cases of a converter that were converted with an option set so and came to an outcome; for the option
    :data:`VARIANT`, those that came to it under that runtime variant."""

    frontend: str
    converter: str
    option: str
    setting: str
    outcome: str
    count: int


class RefusalCount(msgspec.Struct, frozen=True):
    """Cases of a converter with nodes of a ``key`` that a subject, the converter or a runtime, said it does not
    support; ``what`` it said."""

    frontend: str
    converter: str
    component: str
    key: str
    what: str
    count: int


class CoverageReport(msgspec.Struct, frozen=True):
    """What has been counted so far. ``drawn`` counts nodes by frontend and operator, ``structures`` cases by frontend
    and what they are built of, ``converters`` names the converters of each frontend that anything was counted for."""

    converters: dict[str, tuple[str, ...]]
    sequences: tuple[SequenceCount, ...]
    drawn: dict[str, dict[str, int]]
    cells: tuple[CellCount, ...]
    arguments: tuple[ArgumentCount, ...]
    structures: dict[str, dict[str, int]] = {}
    profiles: tuple[ProfileCount, ...] = ()
    options: tuple[OptionCount, ...] = ()
    refusals: tuple[RefusalCount, ...] = ()
