"""Experiments about one case, inside a worker: one artifact run wherever and however it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from fuzzer.attempt import WITNESSES
from fuzzer.failures import normalise
from fuzzer.formats import Artifact, Settings
from fuzzer.pipeline import Pipeline
from fuzzer.prepared import Prepared, Printed, Refused
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.tasks import ExperimentResult, ExperimentTask, Ran, Seen, Step, Subject
from fuzzer.verdicts import NARROW_WORDS
from generators.frontends.base import EvaluationError
from generators.graph import Array, Case, Constant, Graph, GraphError
from generators.serial import dumps, loads
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.quantization import ErrorBounds

#: What CPU time of experiments is counted as: in subjects' own calls, and beside them.
EXPERIMENTS, BLAME = "subjects, in experiments", "blame"


class Inquiry(Pipeline):
    """Performs experiments. Of consecutive ones about a case and a converter with its settings, the first converts."""

    #: What the last experiment of this process was about: its artifact is used again.
    _last: ClassVar[tuple[Subject, bytes, Prepared, Artifact] | None] = None

    def __init__(
        self,
        subject: Subject,
        announce: Callable[[Step], None],
        note: Callable[[str], None],
        printed: Callable[[], str],
    ) -> None:
        super().__init__(subject, announce, note, printed)
        self._subject = subject

    def experiment(self, task: ExperimentTask) -> ExperimentResult:
        """The outcome. Whatever a subject raises is part of it; what it prints, too."""
        with self.spent.during(BLAME):
            result = self._experiment(task)
        parts: dict[str, float] = dict(self.spent.parts)
        parts[EXPERIMENTS] = parts.pop("subjects", 0.0)
        return ExperimentResult(
            result.refused, result.seen, result.sizes, result.optimizers, self.spent.conversions, parts
        )

    def _experiment(self, task: ExperimentTask) -> ExperimentResult:
        try:
            prepared, artifact = self._converted(task)
        except (EvaluationError, GraphError) as error:
            return ExperimentResult(refused=str(error)[:300])
        except Refused as refusal:
            return ExperimentResult(seen=tuple(map(Seen.of, refusal.observations)))
        except Printed as printed:
            return ExperimentResult(seen=(_printed(printed),))
        runtime = runtime_called(task.runtime)
        if task.optimizers:
            self._announce(Step("load", runtime.name, (0,), task.case))
            return ExperimentResult(optimizers=runtime.optimizers(artifact, task.runtime_settings))
        try:
            return ExperimentResult(sizes=self._sizes(prepared, artifact, runtime, task))
        except Printed as printed:
            return ExperimentResult(seen=(_printed(printed),))

    def _converted(self, task: ExperimentTask) -> tuple[Prepared, Artifact]:
        last = Inquiry._last
        if last is not None and last[:2] == (task.subject, task.case):
            return last[2:]
        Inquiry._last = None
        self._announce(Step("eager", self.frontend.name, (0,)))
        prepared = self._prepared(0, loads(task.case), None)
        model = self.frontend.load(prepared.case)
        artifact = self.attempt.converted(prepared, model)
        [prepared] = self.attempt.promised([prepared], artifact)
        Inquiry._last = task.subject, task.case, prepared, artifact
        return prepared, artifact

    def _sizes(self, prepared: Prepared, artifact: Artifact, runtime: Runtime, task: ExperimentTask) -> tuple[Ran, ...]:
        settings: Settings = task.runtime_settings
        feeds = [size.feeds() for size in prepared.sizes]
        results = self.attempt.outputs_of(artifact, runtime, settings, feeds, task.case)
        bounds: ErrorBounds | None = None
        if self.converter.quantizes(self._subject.settings):
            self._announce(Step("run", runtime.name, (0,), task.case))
            bounds = self.converter.error_bounds(artifact, feeds[0], self._subject.settings)
        bounds = bounds or self.converter.model_bounds(prepared.case.graph, feeds[0])
        self._announce(Step("judge", "", (0,)))
        found = []
        for size, outputs in zip(prepared.sizes, results, strict=False):
            if isinstance(outputs, Refused):
                found.append(Ran(tuple(map(Seen.of, outputs.observations))))
                continue
            judged = self.attempt.judged(size, outputs, bounds)
            if any(one.verdict is Verdict.BUG for one in judged) and self.attempt.too_narrow(size, runtime.name):
                narrow = Signature(Stage.INFERENCE, runtime.name, Kind.UNSUPPORTED, f"it {NARROW_WORDS}")
                found.append(Ran((Seen.of(Observation(narrow, Verdict.INCONCLUSIVE, str(judged[0].mismatch))),)))
                continue
            seen = tuple(
                Seen.of(
                    Observation(
                        Signature(Stage.INFERENCE, runtime.name, one.mismatch.kind),
                        one.verdict,
                        str(one.mismatch),
                        (one.mismatch.output,),
                        numbers=one.numbers,
                    )
                )
                for one in judged
            )
            found.append(Ran(seen, _stored(outputs)))
        return tuple(found)


def runtime_called(name: str) -> Runtime:
    """The runtime or witness of that name. KeyError when there is none."""
    for witness in WITNESSES.values():
        if witness.name == name:
            return witness
    return runtimes()[name]


def arrays_of(ran: Ran) -> list[Array]:
    """The outputs of an experiment."""
    return [constant.data for constant in loads(ran.outputs).graph.constants]


def _stored(outputs: list[Array]) -> bytes:
    held = tuple(Constant(f"output_{number}", array) for number, array in enumerate(outputs))
    return dumps(Case(Graph("outputs", (), held, (), ()), {}))


def _printed(printed: Printed) -> Seen:
    signature = Signature(printed.stage, printed.component, Kind.STDOUT, normalise(printed.text))
    return Seen.of(Observation(signature, Verdict.BUG, printed.text))
