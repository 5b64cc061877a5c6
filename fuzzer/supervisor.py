"""Supervision of workers: a deadline per step, a memory limit, and an account of what killed a worker."""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import IO

import psutil

from fuzzer.errors import UsageError
from fuzzer.tasks import WITNESS, BatchResult, Failed, Partial, Result, Step, Task, decode_message, encode
from fuzzer.worker import NOTE_BYTES
from oracles.forking import Forked, Zygote, ZygoteError
from oracles.outcome import Kind
from oracles.processes import Process, kill_session, reap

#: Seconds between two looks at a worker's memory.
_POLL = 0.05
#: Importing the frameworks may take this many times the deadline of a step.
_IMPORT_FACTOR = 4
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Limits of one worker: seconds for any single step, MiB resident for its process tree, and the MiB of growth
    after which it is replaced by a fresh one between two tasks."""

    deadline: float = 120.0
    memory: int = 6000
    recycle_growth: int = 2500


class WorkerDied(Exception):
    """The worker ended, or was ended, in a step.

    ``kind`` is SIGNAL, HANG, MEMORY or EXIT, ``what`` the signal's name or the exit status, ``step`` the step that had
    been announced, ``note`` the target that eager mode was about to execute, ``frames`` the Python frames of the
    worker's main thread, innermost first, as ``path:function``, ``output`` the end of its standard error, ``parts``
    the seconds of CPU time that no result has told of, by what they were spent on, as far as that is known.
    """

    def __init__(
        self,
        kind: Kind,
        what: str,
        step: Step,
        note: str,
        frames: tuple[str, ...],
        output: str,
        parts: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(f"{kind.value} ({what}) in step {step.name} {step.component}".rstrip())
        self.kind = kind
        self.what = what
        self.step = step
        self.note = note
        self.frames = frames
        self.output = output
        self.parts = dict(parts or {})


class SubjectUnusable(UsageError):
    """A subject's packages are there and do not import: their versions do not fit together."""


class WorkerDefect(RuntimeError):
    """The worker's own code raised: a defect of convfuzz. The message ends with the worker's traceback."""


class Stopped(Exception):
    """The caller asked to stop while a worker was busy; the worker has been ended."""


@dataclass
class Worker:
    """One supervised worker process, started on first use and again after it died or was recycled."""

    limits: Limits = field(default_factory=Limits)
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    stopped: Callable[[], bool] = lambda: False
    #: What processes are forked from, if there is one.
    zygote: Callable[[], Zygote | None] = lambda: None
    _process: Process | None = None
    _tasks: Connection | None = None
    _messages: Connection | None = None
    _note: mmap.mmap | None = None
    _stdout: IO[bytes] | None = None
    _stderr: IO[bytes] | None = None
    _base_memory: int = 0
    #: How often a process was started, and how often it was forked from the zygote.
    starts: int = 0
    forks: int = 0
    #: CPU time of the processes that have ended.
    cpu_seconds: float = 0.0

    def call(
        self, task: Task, deadline: float | None = None, *, partial: Callable[[BatchResult], None] | None = None
    ) -> Result:
        """Have the worker perform the task and return its result.

        ``partial`` is called with what a batch sends before its end; the result then holds the rest. ``deadline``
        overrides the seconds allowed per step. Raises WorkerDied, WorkerDefect, SubjectUnusable, or Stopped.
        """
        if self._process is None:
            self._start()
        assert self._tasks is not None
        assert self._messages is not None
        try:
            self._tasks.send_bytes(encode(task))
        except (BrokenPipeError, OSError):
            self._bury(Step("idle"), None)
        result = self._await(self.limits.deadline if deadline is None else deadline, partial)
        if isinstance(result, Failed) and result.subject:
            raise SubjectUnusable(
                f"{result.subject} cannot be imported by {self.python}: {result.error}",
                "its packages do not fit together: use a toolchain with other versions, or other routes",
            )
        if isinstance(result, Failed):
            raise WorkerDefect(f"{result.error}\n{result.traceback}")
        self._recycle()
        return result

    def close(self) -> None:
        """End the worker, if it runs, and its children."""
        process = self._process
        if process is None:
            return
        self._kill(process)
        self._forget()

    # -- life and death ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        task_read, task_write = os.pipe()
        message_read, message_write = os.pipe()
        note = os.memfd_create("convfuzz-note")
        os.ftruncate(note, NOTE_BYTES)
        stdout: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed with the worker)
        stderr: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        # Appending writes keep their place when the worker empties the file of standard output.
        for stream in (stdout, stderr):
            _set_append(stream.fileno())
        environment = {**worker_environment(), **self.environment}
        descriptors = (task_read, message_write, note)
        self._process = self._fork(environment, stdout, stderr, descriptors) or subprocess.Popen(
            [self.python, "-m", "fuzzer.worker", *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=descriptors,
            start_new_session=True,
            env=environment,
        )
        os.close(task_read)
        os.close(message_write)
        self._note = mmap.mmap(note, NOTE_BYTES)
        os.close(note)
        self._tasks = Connection(task_write, readable=False)
        self._messages = Connection(message_read, writable=False)
        self._stdout, self._stderr = stdout, stderr
        self._base_memory = 0
        self.starts += 1

    def _fork(
        self, environment: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes], descriptors: tuple[int, ...]
    ) -> Forked | None:
        """The process from the zygote, or None when there is none, or it is not of this worker's kind, or refuses."""
        zygote = self.zygote()
        if zygote is None or not zygote.fits(self.python, environment):
            return None
        try:
            process = zygote.fork("fuzzer.worker", stdout=stdout.fileno(), stderr=stderr.fileno(), pass_fds=descriptors)
        except ZygoteError as error:
            _LOG.info("a worker is started plainly: %s", error)
            return None
        self.forks += 1
        return process

    def _await(self, deadline: float, partial: Callable[[BatchResult], None] | None) -> Result:
        assert self._process is not None
        assert self._messages is not None
        step = Step("import")
        started = time.monotonic()
        try:
            watched = psutil.Process(self._process.pid)
        except psutil.NoSuchProcess:
            watched = None
        while True:
            try:
                if self._messages.poll(_POLL):
                    message = decode_message(self._messages.recv_bytes())
                    if isinstance(message, Partial):
                        if partial is not None:
                            partial(message.result)
                        started = time.monotonic()
                        continue
                    if not isinstance(message, Step):
                        return message
                    step, started = message, time.monotonic()
                    continue
            except (EOFError, OSError):
                self._bury(step, None)
            if self.stopped():
                self.close()
                raise Stopped
            allowed = max(deadline, self.limits.deadline * _IMPORT_FACTOR) if step.name == "import" else deadline
            if time.monotonic() - started > allowed:
                self._dump_frames()
                self._bury(step, (Kind.HANG, f"over {allowed:g} s"))
            if watched is not None and _resident(watched) > self.limits.memory:
                self._dump_frames()
                self._bury(step, (Kind.MEMORY, f"over {self.limits.memory} MiB"))

    def _dump_frames(self) -> None:
        """Have the worker's fault handler write its Python frames to standard error."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        time.sleep(0.2)

    def _bury(self, step: Step, verdict: tuple[Kind, str] | None) -> None:
        """Collect what is known of the end of the worker, forget it, and raise WorkerDied."""
        process = self._process
        assert process is not None
        before = self.cpu_seconds
        if verdict is None:
            try:
                self.cpu_seconds += reap(process, 5)
                assert process.returncode is not None
                status = process.returncode
            except subprocess.TimeoutExpired:
                # It closed its side of the connection and lives on: nothing can be had of it any more.
                verdict = (Kind.EXIT, "closed its connection")
            else:
                verdict = (Kind.SIGNAL, _signal_name(-status)) if status < 0 else (Kind.EXIT, f"status {status}")
        self._kill(process)
        output = _tail(self._stderr)
        note = bytes(self._note[:]).split(b"\0", 1)[0].decode(errors="replace") if self._note else ""
        self._forget()
        raise WorkerDied(
            *verdict, step, note, _frames(output), output, _spent(step, self.cpu_seconds - before) if step.cpu else {}
        )

    def _kill(self, process: Process) -> None:
        # The worker is the leader of its own session: its group holds whatever it started.
        self.cpu_seconds += kill_session(process)

    def _forget(self) -> None:
        for stream in (self._tasks, self._messages, self._note, self._stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError, BrokenPipeError):
                    stream.close()
        self._process = self._tasks = self._messages = self._note = self._stdout = self._stderr = None

    def _recycle(self) -> None:
        """End a worker that has grown too far since its first task; the next call starts a fresh one."""
        assert self._process is not None
        try:
            resident = _resident(psutil.Process(self._process.pid))
        except psutil.NoSuchProcess:
            return
        if not self._base_memory:
            self._base_memory = resident
        elif resident - self._base_memory > self.limits.recycle_growth:
            self.close()


def worker_environment() -> dict[str, str]:
    """The environment of workers: one thread each, no greetings, no GPU unless one is asked for."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    }


def _spent(step: Step, total: float) -> dict[str, float]:
    """What a process took that ended in this step, of ``total`` seconds of CPU time, as far as it had told."""
    part = {"generate": "growing", "eager": "eager mode", "judge": "judging", WITNESS: WITNESS}.get(
        step.name, "subjects"
    )
    return {**step.parts, part: step.parts.get(part, 0.0) + max(0.0, total - step.cpu)}


def _set_append(descriptor: int) -> None:
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)


def _resident(process: psutil.Process) -> int:
    """Resident memory in MiB of a process (its children are rare and counted only when it has some)."""
    try:
        return int(process.memory_info().rss) >> 20
    except psutil.NoSuchProcess:
        return 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(stream: IO[bytes] | None, size: int = 16000) -> str:
    if stream is None:
        return ""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - size))
    return stream.read().decode(errors="replace")


_FRAME = re.compile(r'^  File "(?P<path>[^"]+)", line \d+ in (?P<function>\S+)', re.MULTILINE)


def _frames(output: str) -> tuple[str, ...]:
    """Frames of the last dump that Python's fault handler wrote, innermost first."""
    start = max(output.rfind("Current thread"), output.rfind("Stack (most recent call first)"))
    if start < 0:
        return ()
    return tuple(f"{match['path']}:{match['function']}" for match in _FRAME.finditer(output, start))
