"""Children of a :mod:`zygote <oracles.zygote>`: processes that begin with their imports done."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from oracles.processes import reap

#: Seconds that imports may take, and any single request.
_START_SECONDS, _REQUEST_SECONDS = 120.0, 60.0
#: Flag of pidfd_send_signal (Linux 6.9): to the group that the process leads or led.
_PROCESS_GROUP = 4
_ANSWER_BYTES = 1 << 12
#: What keeps libraries from starting threads when they are imported. The children's environment does not have it,
#: unless it was there before; the library itself has read it.
_THREADS_AT_IMPORT = ("OPENBLAS_NUM_THREADS",)


class ZygoteError(RuntimeError):
    """The zygote could not be started, has died, or refused to fork: start the process plainly."""


class Forked:
    """A child of a zygote, in the place of a subprocess.Popen in a session of its own.

    ``returncode`` is set by :meth:`reap`. A child whose zygote was killed was killed with it, and counts as that.
    """

    def __init__(self, zygote: Zygote, pid: int, descriptor: int) -> None:
        self._zygote = zygote
        self._descriptor = descriptor
        self.pid = pid
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, if it has not been reaped. ProcessLookupError when it has ended."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def kill_session(self) -> None:
        """End the process and whatever it left running in its session. (Once reaped, it has left nothing.)"""
        if self.returncode is not None:
            return
        try:
            self._zygote.request({"do": "kill", "pid": self.pid})
        except ZygoteError:
            # The child is dying with its zygote, and may have been waited for already: only its descriptor still
            # stands for it and its group.
            with contextlib.suppress(ProcessLookupError):
                try:
                    signal.pidfd_send_signal(self._descriptor, signal.SIGKILL, None, _PROCESS_GROUP)
                except OSError:
                    signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def reap(self, seconds: float | None = None) -> float:
        """Wait until the process has ended, end what it left running, and return the seconds of CPU time that it and
        the children it waited for took. subprocess.TimeoutExpired after ``seconds``."""
        if self.returncode is not None:
            return 0.0
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(None if seconds is None else max(0, int(1000 * seconds))):
            raise subprocess.TimeoutExpired(f"process {self.pid}", seconds or 0.0)
        try:
            answer = self._zygote.request({"do": "reap", "pid": self.pid})
        except ZygoteError:
            self.kill_session()
            answer = {"status": -signal.SIGKILL, "seconds": 0.0}
        os.close(self._descriptor)
        self.returncode = int(answer["status"])
        return float(answer["seconds"])


class Zygote:
    """A running zygote that has imported ``preload``: names of modules, or ``module:function`` to call (those that are
    not installed are left out), with an interpreter that can import convfuzz. Its children run scripts if ``scripts``
    is true, else modules.

    Safe for use by several threads. Raises ZygoteError when it cannot be started, or takes more than two minutes.
    """

    def __init__(
        self,
        preload: Sequence[str],
        environment: Mapping[str, str],
        *,
        scripts: bool = False,
        python: str = sys.executable,
    ) -> None:
        if not hasattr(os, "pidfd_open"):
            raise ZygoteError("this needs Linux")
        self.environment = dict(environment)
        self.python = python
        self.directory = os.getcwd()
        self._lock = threading.Lock()
        self._children_seconds = 0.0
        self._broken = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        alone = {name: "1" for name in _THREADS_AT_IMPORT if name not in self.environment}
        options = {"control": theirs.fileno(), "preload": list(preload), "scripts": scripts, "unset": list(alone)}
        with theirs, tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                [python, "-m", "oracles.zygote", json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**self.environment, **alone},
            )
            theirs.close()
            try:
                self._receive(_START_SECONDS)
            except ZygoteError as error:
                self.close()
                output.seek(0)
                words = output.read()[-2000:].decode(errors="replace")
                raise ZygoteError(f"{error}\n{words}".rstrip()) from None

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it has answered so far."""
        return not self._broken

    def fits(self, python: str, environment: Mapping[str, str]) -> bool:
        """Whether its children are what a process started here and now with that interpreter and environment is."""
        return python == self.python and self.environment == environment and self.directory == os.getcwd()

    def fork(
        self,
        run: str,
        *,
        stdout: int,
        stderr: int,
        pass_fds: Sequence[int] = (),
        arguments: Sequence[str] = (),
        directory: str | None = None,
    ) -> Forked:
        """Start a child that runs the module or script, with the numbers that the descriptors ``pass_fds`` have in it
        appended to its arguments, in ``directory`` (default: the present one). ZygoteError when it cannot."""
        request = {"do": "fork", "run": run, "arguments": list(arguments), "directory": directory or os.getcwd()}
        answer, descriptor = self._ask(request, [stdout, stderr, *pass_fds])
        if descriptor is None:
            raise ZygoteError("no descriptor of the process came with the answer")
        return Forked(self, int(answer["pid"]), descriptor)

    def request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer. ZygoteError when it is refused, or nobody answers."""
        return self._ask(request, [])[0]

    def close(self) -> float:
        """End it with all its children. Returns the seconds of CPU time that it took itself."""
        with self._lock:
            self._broken = True
            self._control.close()
            try:
                seconds = reap(self._process, 5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                seconds = reap(self._process)
            # That includes the children it has waited for.
            return max(0.0, seconds - self._children_seconds)

    def _ask(self, request: Mapping[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], int | None]:
        with self._lock:
            if self._broken:
                raise ZygoteError("the zygote has ended")
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
            except OSError as error:
                self._give_up()
                raise ZygoteError(f"the zygote has ended: {error}") from error
            answer, received = self._receive(_REQUEST_SECONDS)
            self._children_seconds += answer.get("seconds", 0.0)
        if "error" in answer:
            raise ZygoteError(f"the zygote refuses: {answer['error']}")
        return answer, received

    def _receive(self, seconds: float) -> tuple[dict[str, Any], int | None]:
        self._control.settimeout(seconds)
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _ANSWER_BYTES, 1)
        except OSError as error:
            self._give_up()
            raise ZygoteError(f"the zygote does not answer: {error}") from error
        if not data:
            self._give_up()
            raise ZygoteError("the zygote has ended")
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return json.loads(data), descriptors[0] if descriptors else None

    def _give_up(self) -> None:
        """Whatever is wrong with it, it is to fork no more, and its children end with it."""
        self._broken = True
        self._process.kill()
