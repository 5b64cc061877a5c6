"""Giving an exception of a subject its identity: the stage, the root cause, its frame, a normalised message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from fuzzer.converters.base import Converter
from fuzzer.formats import Unsupported
from fuzzer.runtimes.base import Runtime
from oracles.outcome import Stage

#: Functions that check a condition for their caller, whose failure it is.
_RAISING_FOR_CALLER = frozenset({"make_sure"})
#: Length that a normalised message is cut to.
MESSAGE_LENGTH = 160


@dataclass(frozen=True, slots=True)
class Frame:
    """A function that was active when an exception was raised; ``function`` without the names of what encloses it."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}.{self.function}"


@dataclass(frozen=True)
class Refusal:
    """How a subject says that it does not support something.

    ``pattern`` is searched in the message; ``what`` is expanded with its groups (``\\1``), which are the names of
    operators unless ``scrub`` says that they are free text to be normalised; ``exception`` is the name of the
    exception's class or of one of its bases, empty for any.
    """

    pattern: str
    what: str
    exception: str = ""
    scrub: bool = False

    def match(self, error: BaseException) -> str | None:
        """What is not supported, normalised; None when the exception is something else."""
        if self.exception and self.exception not in (base.__name__ for base in type(error).__mro__):
            return None
        found = re.search(self.pattern, str(error), re.DOTALL)
        if not found:
            return None
        return normalise(found.expand(self.what)) if self.scrub else found.expand(self.what)


def refused(error: BaseException, refusals: Sequence[Refusal]) -> str | None:
    """What a subject says it does not support, looking through the causes from the innermost out; None for a bug."""
    for link in reversed(causes(error)):
        for refusal in refusals:
            what = refusal.match(link)
            if what is not None:
                return what
    return None


@contextmanager
def recognising(refusals: Sequence[Refusal]) -> Iterator[None]:
    """Turn an exception that is one of the subject's ways to say 'unsupported' into Unsupported."""
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:
        what = refused(error, refusals)
        if what is None:
            raise
        raise Unsupported(what, first_line(str(root_cause(error)))) from error


def causes(error: BaseException) -> list[BaseException]:
    """The exception, its ``__cause__``, and so on to the root. Implicit contexts are no causes: what was being
    handled when another error was raised is often an expected one."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def root_cause(error: BaseException) -> BaseException:
    """The innermost of the exceptions that an exception was explicitly raised from."""
    return causes(error)[-1]


def frames(error: BaseException) -> list[Frame]:
    """The functions on the way from the outermost caller to the line that raised the root cause."""
    found: list[Frame] = []
    for link in causes(error):
        found.extend(_frames(link.__traceback__))
    return found


def _frames(traceback: TracebackType | None) -> Iterator[Frame]:
    while traceback is not None:
        frame = traceback.tb_frame
        yield Frame(frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        traceback = traceback.tb_next


def describe_exception(subject: Converter | Runtime, error: BaseException) -> tuple[Stage, str]:
    """The stage in which a subject raised, and ``ExcType: normalised message @ module.function``.

    The function is the innermost one that belongs to the subject's packages. It is left out when the subject raised
    from native code that no Python frame of its own called.
    """
    root = root_cause(error)
    way = frames(error)
    own = [
        frame
        for frame in way
        if _belongs(frame.module, _packages(subject)) and frame.function not in _RAISING_FOR_CALLER
    ]
    text = type(root).__name__
    message = normalise(str(root))
    if message:
        text += f": {message}"
    if own:
        text += f" @ {own[-1]}"
    stage = conversion_stage(subject.stages, way) if isinstance(subject, Converter) else _run_stage(subject, error)
    return stage, text


def explain_exception(error: BaseException) -> str:
    """The exception for a reader: the root cause first, then what was raised from it, without the colours that some
    subjects give their words. At most 4,000 characters."""
    told = [f"{type(link).__name__}: {link}" for link in reversed(causes(error))]
    text = "\n\nraised as ".join(dict.fromkeys(told))
    # MLIR puts the place, which is ours, before the complaint.
    return re.sub(r"^(\w+: )<[^>]*>:\d+:\d+: error: ", r"\1", _COLOUR.sub("", text))[:4000]


def _packages(subject: Converter | Runtime) -> set[str]:
    if isinstance(subject, Converter):
        return {prefix.partition(".")[0] for prefix in subject.stages}
    return set(subject.packages)


def _belongs(module: str, packages: set[str]) -> bool:
    return module.partition(".")[0] in packages


def conversion_stage(stages: Mapping[str, Stage], way: Sequence[Frame]) -> Stage:
    """The stage of a converter that functions on a way from the outside in stand for
    (:attr:`fuzzer.converters.base.Converter.stages`); UNKNOWN when none of them is the converter's."""
    for frame in way:
        if (stage := stages.get(f"{frame.module}:{frame.function}")) is not None:
            return stage
    for frame in reversed(way):
        prefixes = [prefix for prefix in stages if frame.module == prefix or frame.module.startswith(prefix + ".")]
        if prefixes:
            return stages[max(prefixes, key=len)]
    return Stage.UNKNOWN


def _run_stage(runtime: Runtime, error: BaseException) -> Stage:
    """Whether the error came out of the runtime's ``load`` or its ``run``."""
    codes = {type(runtime).load.__code__: Stage.RUNTIME_LOAD, type(runtime).run.__code__: Stage.INFERENCE}
    for link in causes(error):
        traceback = link.__traceback__
        while traceback is not None:
            if (stage := codes.get(traceback.tb_frame.f_code)) is not None:
                return stage
            traceback = traceback.tb_next
    return Stage.UNKNOWN


_DTYPE = (
    r"(?i:\b(?:kTfLite)?"
    r"(?:q?u?int(?:2|4|8|16|32|64)|b?float(?:8\w*|16|32|64)|complex(?:64|128)|bf16|[fiu](?:8|16|32|64))\b)"
)
_NUMBER = r"(?<![A-Za-z_])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SCRUB: Sequence[tuple[re.Pattern[str], str]] = (
    # MLIR puts the place before the complaint.
    (re.compile(r"^.*?\berror: ", re.DOTALL), ""),
    (re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : "), ""),
    (re.compile(r"^Non-zero status code returned while running (\w+) node\. Name:'[^']*' Status Message: "), r"\1: "),
    (re.compile(r"\s*\[Caused by the value '.*", re.DOTALL), ""),
    # OpenVINO tells of every place on the way, the cause last; of an import, of every node that failed.
    (re.compile(r"^.*Failed operations detailed log:\n-- ", re.DOTALL), ""),
    (re.compile(r"^(?:While validating (?:ONNX )?node '[^\n]*?': )?Exception from [^\n]*:\d+:\n", re.MULTILINE), ""),
    (re.compile(r"\bWhile validating (?:ONNX )?node '[^\n]*?':\s+"), ""),
    (re.compile(r"\bFrontEnd API failed with \w+:\n"), ""),
    (re.compile(r"(\bCheck '[^\n]*') failed at [^\n]*?([\w.]+):\d+:\n"), r"\1 at \2: "),
    (_COLOUR, ""),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "0x#"),
    (re.compile(r"(?:[A-Za-z]:)?(?:/[\w.+@~-]+){2,}/([\w.+@-]+)"), r"\1"),
    # Values in a printed graph, and the operator that torch's tracer happens to stumble at.
    (re.compile(r"%\w+"), "%#"),
    (re.compile(r"(We don't have an op for )aten::\w+"), r"\1aten::#"),
    # Names of values that graphs have here: what is an input alone may be a constant or a result in company.
    (re.compile(r"(?<![\w.])(?:(?:input|output)_\d+|[vxc]\d+)(?=_|\b)(?!::)"), "#"),
    # Names of nodes are made up by the converter and differ with the node's place.
    (re.compile(r"\b([Nn]ode) \([^()]*\)"), r"\1"),
    (re.compile(r",? ?node name: [^),]*"), ""),
    (re.compile(r"\b(?:Node )?[Nn]ame: ?'?[^'\s,)]+'?"), "Name"),
    # Shapes: [2, 3], (2, 3), {2,3}, 2x3xf32.
    (re.compile(r"([\[({])\s*(?:-?\d+|\?|None)(?:\s*,\s*(?:-?\d+|\?|None))*\s*,?\s*([\])}])"), r"\1#\2"),
    (re.compile(r"\b(?:(?:\d+|\?)x)+(?=[a-z])"), "#x"),
)
_NUMBERED = re.compile(r"(?<=[A-Za-z])(?:_*\d+)+(?![A-Za-z])|(?<=[A-Za-z_])__\d+")
_PROTECTED = re.compile(f"({_DTYPE})")


def normalise(message: str) -> str:
    """A message without what differs between two occurrences of one failure: numbers, addresses, numbered names such
    as ``v12`` or ``node_add_3``, shapes, directories. Element types are kept. The first line that says something,
    up to MESSAGE_LENGTH characters."""
    text = message
    for pattern, replacement in _SCRUB:
        text = pattern.sub(replacement, text)
    text = first_line(text)
    parts = _PROTECTED.split(text)
    for index in range(0, len(parts), 2):
        part = _NUMBERED.sub("", parts[index])
        parts[index] = re.sub(_NUMBER, "#", part)
    text = re.sub(r"#(?:\s*,\s*#)+", "#", "".join(parts))
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1].rstrip() + "…"


def first_line(text: str) -> str:
    """The first line that is not empty; the next one is joined to one that only announces it with a colon."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    return f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
