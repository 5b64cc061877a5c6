"""What crosses the boundary between supervisor and worker: plain records, encoded as MessagePack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from corpus.records import Coverage
from fuzzer.pictures import Picture
from generators.feeding import SHARE
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict

#: Why a batch draws from some operators only: each of its graphs is to tell of one, or they are to be met in company.
PROBE, SWARM = "probe", "swarm"

#: The step in which a witness is asked who is wrong, and what its time is counted as.
WITNESS = "witness"


class Subject(msgspec.Struct, frozen=True):
    """What a task puts to the test: a frontend's graphs through one converter, on runtime variants.

    ``variants`` are pairs of a runtime's name and one of its variants. With ``stand_in`` graphs are run by what stands
    in for eager mode (:meth:`generators.frontends.base.Frontend.stand_in`), which dies of them.
    """

    frontend: str
    converter: str
    settings: dict[str, bool | int | float | str]
    variants: tuple[tuple[str, str], ...]
    #: Numbers of the cases about which no witness is asked, because it died of them.
    unheard: tuple[int, ...] = ()
    stand_in: bool = False


class BatchTask(msgspec.Struct, frozen=True, tag=True):
    """Generate the given case numbers of batch ``index`` and judge them, ``pack`` at a time (0: all together). A pure
    function of its fields, of which ``harvest`` is a fingerprint (:mod:`generators.harvest`) and ``fed`` the share of
    the graphs with feeds of several kinds (:mod:`generators.feeding`); ``purpose`` is that of the issued batch."""

    subject: Subject
    seed: int
    index: int
    cases: tuple[int, ...]
    nodes: int
    avoid: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    pack: int = 0
    harvest: str = ""
    wanted: tuple[tuple[str, str, str], ...] = ()
    fed: float = SHARE
    purpose: str = ""
    asked: tuple[str, ...] = ()


class JudgeTask(msgspec.Struct, frozen=True, tag=True):
    """Judge serialised cases (``generators.serial``), each under its number. Of those behind the first that shows what
    is ``sought``, fewer samples of noise are taken: what is seen of them is a suspicion."""

    subject: Subject
    cases: tuple[tuple[int, bytes], ...]
    sought: Signature | None = None


class ValuesTask(msgspec.Struct, frozen=True, tag=True):
    """Run one serialised case eagerly, or by what stands in for eager mode, and return all its values."""

    frontend: str
    case: bytes
    stand_in: bool = False


class TargetsTask(msgspec.Struct, frozen=True, tag=True):
    """Name the targets that a frontend has samplers for, those of a harvest included."""

    frontend: str
    harvest: str = ""


class RenderTask(msgspec.Struct, frozen=True, tag=True):
    """Print the source of one serialised case's graph."""

    frontend: str
    case: bytes


class PictureTask(msgspec.Struct, frozen=True, tag=True):
    """Convert one serialised case and tell what the artifact consists of. Nothing is run."""

    subject: Subject
    case: bytes


class ExperimentTask(msgspec.Struct, frozen=True, tag=True):
    """Run what the subject's converter makes of a serialised case on one runtime (or witness), with settings of its
    own. With ``optimizers``, only name those of the runtime that change the model."""

    subject: Subject
    case: bytes
    runtime: str
    runtime_settings: dict[str, bool | int | float | str]
    optimizers: bool = False


Task = BatchTask | JudgeTask | ValuesTask | RenderTask | TargetsTask | ExperimentTask | PictureTask


class Seen(msgspec.Struct, frozen=True):
    """An :class:`oracles.outcome.Observation` in transit."""

    stage: str
    component: str
    kind: str
    detail: str
    verdict: str
    message: str
    outputs: tuple[int, ...]
    settings: str
    numbers: dict[str, float]

    @classmethod
    def of(cls, seen: Observation) -> Seen:
        signature = seen.signature
        return cls(
            signature.stage.value,
            signature.component,
            signature.kind.value,
            signature.detail,
            seen.verdict.value,
            seen.message,
            seen.outputs,
            seen.settings,
            seen.numbers,
        )

    def observation(self) -> Observation:
        signature = Signature(Stage(self.stage), self.component, Kind(self.kind), self.detail)
        return Observation(
            signature, Verdict(self.verdict), self.message, self.outputs, self.settings, dict(self.numbers)
        )


class CaseResult(msgspec.Struct, frozen=True):
    """What one case gave.

    ``number`` is its number in the batch (-1 for the union of several that fails only in company). ``refused`` tells
    why a case was not used (the framework refuses it or its results are not reproducible). ``case`` is serialised only
    when a bug was seen or types were corrected. ``keys`` are those of its nodes, each once.

    ``suspects`` holds, for a case that a subject refused, the patterns of each of its nodes; ``proven``, for one that
    none refused, those of its nodes' patterns that this worker has not reported before (:mod:`generators.patterns`).
    ``stand_in`` tells that eager mode dies of it, too.
    """

    number: int
    seen: tuple[Seen, ...] = ()
    refused: str = ""
    case: bytes = b""
    keys: tuple[str, ...] = ()
    nodes: int = 0
    suspects: tuple[tuple[str, ...], ...] = ()
    proven: tuple[str, ...] = ()
    stand_in: bool = False


class BatchResult(msgspec.Struct, frozen=True, tag=True):
    """Results of a batch or of a list of cases, with what was spent and counted on the way. Only a batch has a
    ``coverage``. ``parts`` are seconds of CPU time by what they were spent on. ``costs`` are nodes and seconds of CPU
    time of each conversion that went all the way through the runtimes."""

    results: tuple[CaseResult, ...]
    conversions: int = 0
    subject_seconds: float = 0.0
    seconds: float = 0.0
    funnel: dict[str, dict[str, int]] = {}
    dropped: dict[str, int] = {}
    coverage: Coverage | None = None
    costs: tuple[tuple[int, float], ...] = ()
    parts: dict[str, float] = {}


class Partial(msgspec.Struct, frozen=True, tag=True):
    """Results of a part of a batch's cases, sent as soon as they are there; those of the others follow."""

    result: BatchResult


class ValuesResult(msgspec.Struct, frozen=True, tag=True):
    """All values of a case, as a serialised case without nodes whose constants they are; ``error`` if it failed."""

    values: bytes = b""
    error: str = ""


class RenderResult(msgspec.Struct, frozen=True, tag=True):
    """Printed source."""

    source: str


class TargetsResult(msgspec.Struct, frozen=True, tag=True):
    """Targets, sorted; ``control`` are those among them that take bodies."""

    targets: tuple[str, ...]
    control: tuple[str, ...] = ()


class Ran(msgspec.Struct, frozen=True):
    """What an experiment gave at one size: what is wrong with it, and its outputs as constants of a serialised case
    (empty when there are none)."""

    seen: tuple[Seen, ...] = ()
    outputs: bytes = b""


class ExperimentResult(msgspec.Struct, frozen=True, tag=True):
    """``refused`` tells why eager mode does not take the case; ``seen`` what failed before anything ran; ``sizes`` what
    came of each size otherwise. ``optimizers`` are names, if they were asked for."""

    refused: str = ""
    seen: tuple[Seen, ...] = ()
    sizes: tuple[Ran, ...] = ()
    optimizers: tuple[str, ...] = ()
    conversions: int = 0
    parts: dict[str, float] = {}


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker's own code raised: a defect of convfuzz, with the traceback. Where it could not import what a subject
    needs, ``subject`` names that: the installed versions do not fit together."""

    error: str
    traceback: str
    subject: str = ""


class PictureResult(msgspec.Struct, frozen=True, tag=True):
    """A :class:`fuzzer.pictures.Picture`."""

    picture: Picture


Result = BatchResult | ValuesResult | RenderResult | TargetsResult | ExperimentResult | PictureResult | Failed


class Step(msgspec.Struct, frozen=True, tag=True):
    """Announcement of the step that the worker takes next.

    ``name`` is one of import, generate, eager, convert, validate, load, run, judge, witness; ``component`` the subject
    at work (or the target being drawn); ``cases`` the numbers of the cases concerned; ``case`` the serialised case when
    there is a single one, so that it is not lost with the worker. ``cpu`` is the CPU time of the process so far, in
    seconds, and ``parts`` what of it has not been reported in a result yet, by what it was spent on.
    """

    name: str
    component: str = ""
    cases: tuple[int, ...] = ()
    case: bytes = b""
    settings: str = ""
    cpu: float = 0.0
    parts: dict[str, float] = {}


def with_seconds(result: BatchResult, seconds: float, parts: Mapping[str, float]) -> BatchResult:
    """The result with the time that the whole task took, in seconds, and with what CPU time was spent beside it."""
    return msgspec.structs.replace(result, seconds=seconds, parts={**result.parts, **parts})


_ENCODER = msgspec.msgpack.Encoder()
_TASKS: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Task)
_MESSAGES: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Result | Step | Partial)


def encode(record: Task | Result | Step | Partial) -> bytes:
    """The record as MessagePack."""
    return _ENCODER.encode(record)


def decode_task(data: bytes) -> Task:
    """The task in the message. Raises msgspec.DecodeError or ValidationError for anything else."""
    task: Task = _TASKS.decode(data)
    return task


def decode_message(data: bytes) -> Result | Step | Partial:
    """The result, announcement or partial result in a worker's message. Raises as :func:`decode_task`."""
    message: Result | Step | Partial = _MESSAGES.decode(data)
    return message
