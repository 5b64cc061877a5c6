"""For the test suite of a converter: assert that a conversion keeps the meaning of a graph.

With the strategies of :mod:`generators.strategies`, Hypothesis draws the graphs::

    from hypothesis import given
    from fuzzer.testing import CONVERSIONS, check_conversion, graphs

    @CONVERSIONS
    @given(graphs("tensorflow", operators=["tf.nn.*"]))
    def test_my_converter(case):
        check_conversion(case, "tflite")

A graph that fails is minimized by :mod:`oracles.minimize`, which needs a dozen conversions where Hypothesis, which
knows nothing of graphs, needs hundreds: so :data:`CONVERSIONS` has no shrinking.

Conversions happen in a process of their own: a converter that dies, hangs or eats all memory fails the test, and
pytest goes on.
"""

from __future__ import annotations

import atexit
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import hypothesis
import numpy as np

from fuzzer.converters.base import converters
from fuzzer.formats import Setting
from fuzzer.handling import script_of
from fuzzer.planning import default_settings
from fuzzer.routes import select
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Limits, Worker
from fuzzer.survival import RemoteTester, judge_numbers
from fuzzer.tasks import JudgeTask, RenderResult, RenderTask, Subject
from generators.graph import Case, Graph, digest_of
from generators.serial import dumps, loads
from generators.strategies import graphs
from generators.values import draw_array
from generators.wellformed import check_case
from oracles.bucket import title
from oracles.minimize import Budget, Unreproducible, minimize
from oracles.outcome import Kind, Observation, Symptom, Verdict, symptom_of

__all__ = [
    "CONVERSIONS",
    "BadPerformance",
    "ConversionDefect",
    "ConverterCrash",
    "ConverterHang",
    "ConverterNoise",
    "InvalidModel",
    "WrongModel",
    "check_conversion",
    "graphs",
]

#: Where reproducers are written, unless told otherwise.
REPRODUCERS = Path(".convfuzz")


class ConversionDefect(AssertionError):
    """A conversion changes the meaning of a graph, or fails. A class for each symptom, so that Hypothesis tells them
    apart. ``case`` is the minimized graph with its inputs, ``observations`` what was seen, the one
    that is shown first, ``script`` the stand-alone reproducer and ``path`` the file that holds it."""

    def __init__(
        self, message: str, case: Case, observations: Sequence[Observation], script: str, path: Path | None
    ) -> None:
        super().__init__(message)
        self.case = case
        self.observations = tuple(observations)
        self.script = script
        self.path = path


class WrongModel(ConversionDefect):
    """The converted model gives other results than the source framework, beyond what rounding can explain."""


class ConverterCrash(ConversionDefect):
    """The converter or a runtime raises or ends its process."""


class ConverterHang(ConversionDefect):
    """The converter or a runtime does not come to an end within the deadline."""


class InvalidModel(ConversionDefect):
    """The converter reports success, and a validator refuses its model."""


class BadPerformance(ConversionDefect):
    """The model gives what it should, and is far larger or slower than it need be."""


class ConverterNoise(ConversionDefect):
    """The converter or a runtime prints to standard output."""


_CLASSES: Mapping[Symptom, type[ConversionDefect]] = {
    Symptom.WRONG_MODEL: WrongModel,
    Symptom.HANG: ConverterHang,
    Symptom.INVALID_MODEL: InvalidModel,
    Symptom.NOISE: ConverterNoise,
    Symptom.BAD_PERFORMANCE: BadPerformance,
}
#: Settings for tests that convert: no deadline, no complaints that it takes long, no shrinking by Hypothesis.
CONVERSIONS = hypothesis.settings(
    deadline=None,
    max_examples=30,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate),
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.data_too_large,
        hypothesis.HealthCheck.filter_too_much,
    ],
)
#: What minimizing one failure may take, in seconds and in conversions.
_BUDGET = Budget(60, 80)
#: The order in which symptoms are reported when a case shows several.
_ORDER = (
    Symptom.WRONG_MODEL,
    Symptom.CRASH,
    Symptom.HANG,
    Symptom.INVALID_MODEL,
    Symptom.BAD_PERFORMANCE,
    Symptom.NOISE,
)
_WORKERS: dict[tuple[str, float, int], Worker] = {}
#: Failures that were minimized, by what was asked: Hypothesis runs an example that fails more than once.
_MINIMIZED: dict[str, tuple[Case, Observation]] = {}


def check_conversion(
    case: Case | Graph,
    route: str,
    *,
    settings: Mapping[str, Setting] | None = None,
    unsupported: Literal["pass", "fail"] = "pass",
    minimized: bool = True,
    reproducers: Path | None = REPRODUCERS,
    deadline: float = 120.0,
    memory: int = 6000,
) -> None:
    """Convert a graph along a route, run the model, and compare every output with the source framework's.

    ``route`` is the name of a converter (then all its runtimes judge) or of one route
    (``tensorflow:tflite:litert``), ``settings`` options of the converter in place of their defaults. A graph without
    feeds gets typical values that are the same each time. What is not supported passes unless ``unsupported`` is
    ``fail``. What fails is ``minimized`` before it is shown. ``deadline`` is in seconds for one step, ``memory`` in
    MiB. A stand-alone script that shows the failure is written into the directory ``reproducers``, unless it is None.

    Raises a ConversionDefect; UsageError for a route that is not there; ValueError for settings that the converter does
    not have, a graph of another frontend, and one that the framework refuses (within Hypothesis such an example is
    rejected); GraphError for a malformed one.
    """
    case = case if isinstance(case, Case) else _with_feeds(case)
    check_case(case)
    subject = _subject(route, case.graph.frontend, settings or {})
    converter = converters()[subject.converter]
    worker = _worker(subject.frontend, deadline, memory)
    blob = dumps(case)
    result = judge_numbers(worker, [0], lambda _: JudgeTask(subject, ((0, blob),)), converter)
    [judged] = [item for item in result.results if item.number == 0]
    if judged.refused:
        if hypothesis.currently_in_test_context():
            hypothesis.reject()
        raise ValueError(f"{subject.frontend} refuses the graph, which has no result to compare with: {judged.refused}")
    seen = [item.observation() for item in judged.seen]
    wrong = [
        item
        for item in seen
        if item.verdict is Verdict.BUG or (unsupported == "fail" and item.signature.kind is Kind.UNSUPPORTED)
    ]
    if not wrong:
        return
    wrong.sort(key=lambda item: _rank(symptom_of(item.signature.kind)))
    corrected = loads(judged.case) if judged.case else case
    if minimized and wrong[0].verdict is Verdict.BUG:
        corrected, wrong[0] = _minimized(corrected, wrong[0], subject, worker)
    rendered = worker.call(RenderTask(subject.frontend, dumps(corrected)))
    assert isinstance(rendered, RenderResult)
    raise _defect(corrected, wrong, rendered.source, subject, reproducers)


def _minimized(case: Case, seen: Observation, subject: Subject, worker: Worker) -> tuple[Case, Observation]:
    """The simplest case that shows the same, and what is seen of it; the case itself when it does not show it again."""
    key = digest_of(repr((subject, seen.signature)).encode() + dumps(case))
    if key not in _MINIMIZED:
        tester = RemoteTester(worker, subject, converters()[subject.converter])
        try:
            result = minimize(case, seen.signature, tester, budget=_BUDGET)
            _MINIMIZED[key] = result.case, result.observation
        except Unreproducible:
            _MINIMIZED[key] = case, replace(seen, message=f"{seen.message}\n(not seen again on a second conversion)")
    return _MINIMIZED[key]


def _rank(symptom: Symptom) -> int:
    return _ORDER.index(symptom) if symptom in _ORDER else len(_ORDER)


def _subject(route: str, frontend: str, settings: Mapping[str, Setting]) -> Subject:
    """What is put to the test. UsageError and ValueError as :func:`check_conversion` raises them."""
    chosen = select([route], own_models=True)
    names = {(found.frontend, found.converter) for found in chosen}
    if len(names) != 1:
        raise ValueError(f"{route!r} names several converters: {', '.join(sorted(name for _, name in names))}")
    [(source, name)] = names
    if source != frontend:
        raise ValueError(f"{name} converts graphs of {source}, and this is one of {frontend}")
    defaults = default_settings(converters()[name])
    if unknown := sorted(settings.keys() - defaults.keys()):
        raise ValueError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(defaults) or 'none'}")
    variants = tuple((found.runtime, variant) for found in chosen for variant in runtimes()[found.runtime].variants)
    return Subject(source, name, {**defaults, **settings}, variants)


def _worker(frontend: str, deadline: float, memory: int) -> Worker:
    """The worker that keeps the framework imported, one for each frontend and limits."""
    key = (frontend, deadline, memory)
    if key not in _WORKERS:
        _WORKERS[key] = Worker(Limits(deadline, memory))
    return _WORKERS[key]


@atexit.register
def close_workers() -> None:
    """End the worker processes; the next check starts new ones."""
    while _WORKERS:
        _WORKERS.popitem()[1].close()


def _with_feeds(graph: Graph) -> Case:
    rng = np.random.default_rng(0)
    feeds = {value.name: draw_array(rng, value.type.shape, value.type.dtype, "typical") for value in graph.inputs}
    return Case(graph, feeds, dict.fromkeys(feeds, "typical"))


def _defect(
    case: Case, wrong: Sequence[Observation], source: str, subject: Subject, directory: Path | None
) -> ConversionDefect:
    seen = wrong[0]
    symptom = symptom_of(seen.signature.kind)
    script = "" if symptom is Symptom.UNSUPPORTED else script_of(
        case, seen, source, subject, converters()[subject.converter]
    )  # fmt: skip
    path = _written(script, seen, directory) if script and directory is not None else None
    head = f"{symptom} · {seen.signature.stage} · {seen.signature.component}"
    lines = [
        title(case, seen),
        f"  {head}{f' · {seen.settings}' if seen.settings else ''}",
        *(f"  {line}" for line in seen.message.splitlines()[:6]),
        "  the model:",
        textwrap.indent(source.rstrip(), "    "),
    ]
    if path is not None:
        lines.append(f"  reproducer: {path}")
    return _CLASSES.get(symptom, ConverterCrash)("\n".join(lines), case, wrong, script, path)


def _written(script: str, seen: Observation, directory: Path) -> Path:
    """The script's file, the same for one signature: what Hypothesis shrinks to is what is left in it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"reproducer-{digest_of(str(seen.signature).encode())[:12]}.py"
    path.write_text(script, encoding="utf-8", errors="backslashreplace")
    return path
