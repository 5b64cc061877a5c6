"""Waiting for a child process and learning what CPU time it took."""

from __future__ import annotations

import os
import subprocess
import time

#: Seconds between two looks, at first and at most.
_SHORTEST, _LONGEST = 0.0005, 0.05


def reap(process: subprocess.Popen[bytes], seconds: float | None = None) -> float:
    """Wait until the process has ended and return the seconds of CPU time that it and the children it waited for took;
    0 when somebody else has waited for it. ``returncode`` is then set. subprocess.TimeoutExpired after ``seconds``."""
    if process.returncode is not None:
        return 0.0
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
