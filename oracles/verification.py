"""Reproducers run in processes of their own: how often the defect shows."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from oracles.forking import Zygote, ZygoteError
from oracles.processes import Process, kill_session, reap

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verification:
    """Outcome of running a script.

    ``failures`` counts the runs that exited 1. ``statuses`` holds the exit status of each run (negative for a signal,
    None when it was over the deadline), ``outputs`` what it wrote, to standard error too. ``cpu_seconds`` is the CPU
    time of each run, and ``forked`` tells which had everything imported already.
    """

    runs: int
    failures: int
    outputs: tuple[str, ...] = ()
    statuses: tuple[int | None, ...] = ()
    cpu_seconds: tuple[float, ...] = ()
    forked: tuple[bool, ...] = ()

    def with_more(self, other: Verification) -> Verification:
        """The outcome of these runs and the other ones together."""
        return Verification(
            self.runs + other.runs,
            self.failures + other.failures,
            self.outputs + other.outputs,
            self.statuses + other.statuses,
            self.cpu_seconds + other.cpu_seconds,
            self.forked + other.forked,
        )

    @property
    def calls_seconds(self) -> float:
        """CPU time of all runs without their imports. What a run took that was not forked is told by those that were:
        they execute the same script; nothing is left out without one."""
        known = [seconds for seconds, forked in zip(self.cpu_seconds, self.forked, strict=True) if forked]
        if not known:
            return sum(self.cpu_seconds)
        usual = sum(known) / len(known)
        plain = [seconds for seconds, forked in zip(self.cpu_seconds, self.forked, strict=True) if not forked]
        return sum(known) + sum(min(seconds, usual) for seconds in plain)

    @property
    def rate(self) -> float:
        """Share of the runs in which the defect showed."""
        return self.failures / self.runs if self.runs else 0.0


def verify(
    script: str,
    runs: int = 3,
    *,
    deadline: float = 300.0,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
    zygote: Callable[[], Zygote | None] | None = None,
) -> Verification:
    """Run the script ``runs`` times, each in a process of its own and an empty temporary directory.

    ``deadline`` is in seconds for one run; a process over it is killed with all its children. ``env`` replaces the
    environment of the process. The first run is always a fresh ``python reproducer.py``, and when it does not show the
    defect, so are all others. Otherwise they are forked from what ``zygote`` returns, if it returns one that fits; it
    must be one for scripts, and None for scripts that start themselves again (see
    :func:`oracles.reproducer.starts_itself`).
    """
    results: list[tuple[int | None, str, float, bool]] = []
    for _ in range(runs):
        parent = zygote() if zygote and results and results[0][0] == 1 else None
        if parent is not None and not parent.fits(python, os.environ if env is None else env):
            parent = None
        results.append(_run(script, deadline, python, env, parent))
    statuses, outputs, seconds, forked = zip(*results, strict=True) if results else ((), (), (), ())
    return Verification(runs, statuses.count(1), outputs, statuses, seconds, forked)


def _run(
    script: str, deadline: float, python: str, env: Mapping[str, str] | None, zygote: Zygote | None
) -> tuple[int | None, str, float, bool]:
    """Status, output, seconds of CPU time and whether the process was forked."""
    with tempfile.TemporaryDirectory(prefix="convfuzz-") as directory:
        path = Path(directory) / "reproducer.py"
        path.write_text(script, encoding="utf-8")
        with open(Path(directory) / "output", "w+b") as output:
            process = _fork(path, output, zygote) or subprocess.Popen(
                [python, str(path)],
                cwd=directory,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status: int | None
            seconds = 0.0
            try:
                seconds = reap(process, deadline)
                status = process.returncode
            except subprocess.TimeoutExpired:
                status = None
            finally:
                seconds += kill_session(process)
            output.seek(0)
            text = output.read().decode(errors="replace")
            return status, text, seconds, not isinstance(process, subprocess.Popen)


def _fork(path: Path, output: IO[bytes], zygote: Zygote | None) -> Process | None:
    """A child of the zygote that runs the script; None without a zygote, or when it refuses."""
    if zygote is None:
        return None
    number = output.fileno()
    try:
        return zygote.fork(str(path), stdout=number, stderr=number, directory=str(path.parent))
    except ZygoteError as error:
        _LOG.info("a reproducer is started plainly: %s", error)
        return None
