"""Ending child processes, waiting for them, and learning what CPU time they took."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Protocol

#: Seconds between two looks, at first and at most.
_SHORTEST, _LONGEST = 0.0005, 0.05


class Child(Protocol):
    """A process that another one started for us; see :class:`oracles.forking.Forked`."""

    pid: int
    returncode: int | None

    def send_signal(self, number: int, /) -> None: ...

    def kill_session(self) -> None: ...

    def reap(self, seconds: float | None = None) -> float: ...


Process = subprocess.Popen[bytes] | Child


def kill_session(process: Process) -> float:
    """End the process and whatever it left running in the session that it leads. Returns as :func:`reap`."""
    if isinstance(process, subprocess.Popen):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill_session()
    return reap(process)


def reap(process: Process, seconds: float | None = None) -> float:
    """Wait until the process has ended and return the seconds of CPU time that it and the children it waited for took;
    0 when somebody else has waited for it. ``returncode`` is then set. subprocess.TimeoutExpired after ``seconds``."""
    if process.returncode is not None:
        return 0.0
    if not isinstance(process, subprocess.Popen):
        return process.reap(seconds)
    until = None if seconds is None else time.monotonic() + seconds
    pause = _SHORTEST
    while True:
        try:
            found, status, usage = os.wait4(process.pid, 0 if until is None else os.WNOHANG)
        except ChildProcessError:
            process.wait()
            return 0.0
        if found:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        if until is not None and time.monotonic() > until:
            raise subprocess.TimeoutExpired(process.args, seconds or 0.0)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)
