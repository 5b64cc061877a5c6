"""A worker process: keeps its frameworks imported, takes tasks, announces each step before it takes it.

Started by the supervisor as ``python -m fuzzer.worker READ WRITE NOTE``, the numbers of three inherited descriptors:
tasks come in on one, announcements and results go out on another, and the third is a page of shared memory into
which the worker writes what eager mode is about to execute. Standard output and error are files of the supervisor's, so
that nothing a subject prints can disturb the protocol.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import mmap
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection

import msgspec

from fuzzer import tasks
from fuzzer.converters.base import converters
from fuzzer.pictures import Picture, artifact_picture
from fuzzer.runtimes.base import runtimes
from generators.frontends.base import EvaluationError, frontend
from generators.graph import Case, Constant, Graph
from generators.serial import dumps, loads

NOTE_BYTES = 512
#: A converter allocates some hundred thousand objects that live until it is done, and looking through them again and
#: again took a tenth of its time; what is in cycles is collected after each task.
GC_THRESHOLD = (1_000_000, 20, 50)
#: CPU time between two collections, as a multiple of what one takes.
_COLLECTION_INTERVAL = 100
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Serve tasks until the supervisor closes the connection. Returns the exit status."""
    read, write, note_descriptor = map(int, arguments)
    libc = ctypes.CDLL(None)
    # A supervisor that is killed takes its workers with it.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    # The kernel, should memory run out before the supervisor notices, is to pick a worker and not the campaign.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    _Server(Connection(read, writable=False), Connection(write, readable=False), note_descriptor, libc).serve()
    return 0


class Collector:
    """Collects what a converter leaves behind in reference cycles, which would otherwise pile up for long.

    Half a million objects of the frameworks live as long as the process, and collections need not look at them. Their
    caches grow for a while, so what is alive is frozen again after 1, 4, 16, … collections, less and less often, since
    garbage in it would stay. Collections take no more than a hundredth of the process's CPU time.
    """

    def __init__(self) -> None:
        gc.set_threshold(*GC_THRESHOLD)
        self._collections = 0
        self._next_freeze = 1
        self._due = 0.0

    def collect(self) -> None:
        """To be called after each task. Does nothing when the last collection was a short while ago."""
        started = time.process_time()
        if started < self._due:
            return
        gc.collect()
        ended = time.process_time()
        self._due = ended + _COLLECTION_INTERVAL * (ended - started)
        self._collections += 1
        if self._collections == self._next_freeze:
            self._next_freeze *= 4
            gc.freeze()


class _CannotImport(Exception):
    """A subject, the argument, is not importable."""


@contextlib.contextmanager
def _importing(subject: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise _CannotImport(subject) from error


class _Server:
    def __init__(self, tasks: Connection, messages: Connection, note_descriptor: int, libc: ctypes.CDLL) -> None:
        self._tasks = tasks
        self._messages = messages
        self._note_page = mmap.mmap(note_descriptor, NOTE_BYTES)
        self._libc = libc
        self._warm: set[str] = set()
        #: Seconds of CPU time that no result has told of yet, by what they were spent on.
        self._beside: Counter[str] = Counter()
        self._collector = Collector()

    def serve(self) -> None:
        while True:
            try:
                data = self._tasks.recv_bytes()
            except EOFError:
                return
            result: tasks.Result
            try:
                result = self._perform(tasks.decode_task(data))
            except _CannotImport as error:
                words = f"{type(error.__cause__).__name__}: {error.__cause__}"
                result = tasks.Failed(words, traceback.format_exc(), str(error))
            except Exception as error:  # noqa: BLE001  # a defect of ours: the supervisor is told and the worker lives on
                result = tasks.Failed(f"{type(error).__name__}: {error}", traceback.format_exc())
            self._messages.send_bytes(tasks.encode(result))
            with self._during("collecting garbage"):
                self._collector.collect()

    def _announce(self, step: tasks.Step) -> None:
        self._messages.send_bytes(tasks.encode(step))

    @contextlib.contextmanager
    def _during(self, part: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self._beside[part] += time.process_time() - started  # type: ignore[assignment]

    def _partial(self, result: tasks.BatchResult) -> None:
        self._messages.send_bytes(tasks.encode(tasks.Partial(result)))

    def _note(self, text: str) -> None:
        data = text.encode()[: NOTE_BYTES - 1]
        self._note_page[: len(data) + 1] = data + b"\0"

    def _printed(self) -> str:
        """What was written to standard output since the last call; the file is emptied."""
        sys.stdout.flush()
        self._libc.fflush(None)
        size = os.fstat(1).st_size
        if not size:
            return ""
        with open("/proc/self/fd/1", "rb") as file:
            text = file.read(4000).decode(errors="replace")
        os.ftruncate(1, 0)
        return text

    def _perform(self, task: tasks.Task) -> tasks.Result:
        if isinstance(task, (tasks.BatchTask, tasks.JudgeTask)):
            with self._during("warming up"):
                self._warm_up(task.subject)
                from fuzzer.pipeline import Pipeline

            def announce(step: tasks.Step) -> None:
                # Should the step be the last one, this is all that is known of what was spent.
                parts = {**self._beside, **pipeline.spent.parts}
                self._announce(msgspec.structs.replace(step, cpu=time.process_time(), parts=parts))

            started = time.perf_counter()
            pipeline = Pipeline(task.subject, announce, self._note, self._printed)
            result = pipeline.batch(task, self._partial) if isinstance(task, tasks.BatchTask) else pipeline.judge(task)
            beside, self._beside = self._beside, Counter()
            return tasks.with_seconds(result, time.perf_counter() - started, beside)
        if isinstance(task, tasks.PictureTask):
            self._warm_up(task.subject)
            return tasks.PictureResult(self._picture(task))
        if isinstance(task, tasks.ExperimentTask):
            return self._experiment(task)
        self._announce(tasks.Step("import", task.frontend))
        chosen = frontend(task.frontend)
        if isinstance(task, tasks.TargetsTask):
            chosen.mix_in(task.harvest)
            return tasks.TargetsResult(chosen.targets(), chosen.control_targets())
        case = loads(task.case)
        if isinstance(task, tasks.RenderTask):
            return tasks.RenderResult(chosen.source(case.graph))
        self._announce(tasks.Step("eager", task.frontend, (0,)))
        chosen.stand_in(task.stand_in)
        try:
            values = chosen.run(case.graph, case.feeds)
        except EvaluationError as error:
            return tasks.ValuesResult(error=str(error))
        held = tuple(Constant(name, array) for name, array in values.items())
        return tasks.ValuesResult(dumps(Case(Graph(task.frontend, (), held, (), ()), {})))

    def _picture(self, task: tasks.PictureTask) -> Picture:
        model = frontend(task.subject.frontend).load(loads(task.case))
        self._announce(tasks.Step("convert", task.subject.converter, (0,), task.case))
        try:
            with self._during("subjects"):
                artifact = converters()[task.subject.converter].convert(model, task.subject.settings)
        except Exception as error:  # noqa: BLE001  # whatever a subject raises: then there is nothing to draw
            return Picture(problem=f"no model is made: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
        finally:
            self._printed()
        return artifact_picture(artifact)

    def _experiment(self, task: tasks.ExperimentTask) -> tasks.ExperimentResult:
        with self._during("blame"):
            self._warm_up(task.subject)
            from fuzzer.inquiry import Inquiry, runtime_called

            runtime_called(task.runtime).warm_up()

        def announce(step: tasks.Step) -> None:
            self._announce(msgspec.structs.replace(step, cpu=time.process_time(), parts=dict(self._beside)))

        inquiry = Inquiry(task.subject, announce, self._note, self._printed)
        result = inquiry.experiment(task)
        beside, self._beside = self._beside, Counter()
        parts = Counter(result.parts)
        parts.update(beside)
        return msgspec.structs.replace(result, parts=dict(parts))

    def _warm_up(self, subject: tasks.Subject) -> None:
        """Import what the subject needs, once per process: it is slow, and a failure here is not a case's fault."""
        parts = [f"frontend {subject.frontend}", f"converter {subject.converter}"]
        parts += sorted({f"runtime {runtime}" for runtime, _ in subject.variants})
        if self._warm.issuperset(parts):
            return
        self._announce(tasks.Step("import", ", ".join(parts)))
        with _importing(subject.frontend):
            frontend(subject.frontend).registry()
        with _importing(subject.converter):
            converters()[subject.converter].warm_up()
        for runtime, _ in subject.variants:
            with _importing(runtime):
                runtimes()[runtime].warm_up()
        self._warm.update(parts)
        self._printed()
        # Half a million objects of the frameworks live as long as the process: collections need not look at them.
        gc.collect()
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
