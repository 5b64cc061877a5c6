"""Users' models as cases, each read in a process of its own (:mod:`generators.importers`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fuzzer.errors import UsageError
from generators.graph import Case, GraphError
from generators.importers.child import RUNNING, Answer, Request
from generators.serial import loads
from oracles.processes import kill_session


@dataclass(frozen=True)
class Imported:
    """A model as a case; ``notes`` are worth telling its owner."""

    name: str
    case: Case
    notes: tuple[str, ...] = ()


def read_model(
    model: str,
    *,
    inputs: Path | None = None,
    extents: dict[str, int] | None = None,
    signature: str = "serving_default",
    seed: int = 0,
    deadline: float = 600.0,
    memory_mb: int = 16_000,
) -> Imported:
    """The case of a user's model: a path or ``module:function``; ``inputs`` is an ``.npz`` file, ``extents`` are those
    of unknown dimensions by name. The process that reads it may take ``deadline`` seconds and ``memory_mb`` MiB.

    UsageError for whatever cannot be read: what is wrong with it, and what to do.
    """
    with tempfile.TemporaryDirectory(prefix="convfuzz-import-") as directory:
        out = Path(directory) / "case.safetensors"
        request = Request(
            _absolute(model),
            str(out),
            str(inputs.resolve()) if inputs else "",
            extents or {},
            signature,
            seed,
            memory_mb << 20,
        )
        answer = _asked(request, deadline)
        if answer.problem:
            raise UsageError(answer.problem, answer.remedy)
        try:
            case = loads(out.read_bytes())
        except (OSError, GraphError) as error:
            raise UsageError(f"{model} was read into something that is no case: {error}") from error
    return Imported(model, case, answer.notes)


def _absolute(model: str) -> str:
    """Paths from the root; names of functions as they are."""
    return str(Path(model).resolve()) if Path(model).exists() else model


def _asked(request: Request, deadline: float) -> Answer:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "generators.importers.child"],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(msgspec.json.encode(request), timeout=deadline)
        except subprocess.TimeoutExpired:
            return Answer(f"{request.model} was not read within {deadline:g} seconds", "allow more with --deadline")
        finally:
            kill_session(process)
        said.seek(0)
        errors.seek(0)
        last = said.read().strip().rpartition(b"\n")[2]
        try:
            return msgspec.json.decode(last, type=Answer)
        except msgspec.DecodeError:
            words = errors.read().decode(errors="replace")
            return _ended(request, process.returncode, words, running=last == RUNNING.encode())


def _ended(request: Request, status: int, words: str, *, running: bool) -> Answer:
    """What to say of a process that ended without an answer, while the model was read or ``running``."""
    lines = [line for line in words.strip().splitlines() if line.strip()]
    last = lines[-1].strip()[:300] if lines else ""
    if status < 0:
        what = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        said = f": {last}" if last else ""
        if running:
            return Answer(
                f"{request.model} was read, and the framework that runs it was ended by {what}{said}",
                "a defect of the framework, unless the file is damaged; other inputs may do (--inputs FILE.npz, "
                "--dim NAME=N), or more --memory",
            )
        return Answer(
            f"the framework that reads {request.model} was ended by {what}{said}",
            "the file is damaged, or wants more memory than --memory allows",
        )
    return Answer(f"{request.model} cannot be read: {last or f'exit status {status}'}", "is the file complete?")
