"""A process that imports what its children need and forks one whenever it is asked: a fork server.

Started by :mod:`oracles.forking` as ``python -m oracles.zygote OPTIONS``. It imports and executes nothing else and
never runs a second thread, since a fork would copy the locks of other threads, but not the threads: it counts them
before each fork and refuses when there are several. A request is one JSON object in one packet, with the descriptors
that the child inherits:

- ``fork`` starts a child that runs a module as ``python -m`` does, or a script as ``python`` does. The answer holds its
  number and a descriptor of the process.
- ``kill`` ends the session of a child; ``reap`` does too, and tells the status and CPU time of one that has ended.
  Until then it stays a zombie, so that its number belongs to no other process.

When the other side closes the connection, or is killed, this process ends and takes its children with it. Nothing but
the standard library is imported, so that its own modules change nothing for those that it is to import.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import io
import json
import os
import runpy
import signal
import socket
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
_REQUEST_BYTES = 1 << 16
_MOST_DESCRIPTORS = 16


def main(arguments: Sequence[str]) -> None:
    """Serve until the connection closes. In a child this returns, or raises SystemExit, when what it runs is over."""
    options = json.loads(arguments[0])
    control = socket.socket(fileno=options["control"])
    # Programs that a child starts must not keep the connection open.
    control.set_inheritable(False)
    if options["scripts"] and not sys.flags.safe_path:
        # `python script.py` has the script's directory here, and not the one that convfuzz was called in.
        del sys.path[0]
    for item in options["preload"]:
        _preload(item)
    gc.collect()
    # Collections in a child would write to the pages of every object, and so copy them all.
    gc.freeze()
    control.send(b"{}")
    job = _Server(control, options["scripts"], options["unset"]).serve()
    if job is None:
        os._exit(0)
    job()


def _preload(item: str) -> None:
    """Import ``module``, or call ``module:function``."""
    module, _, function = item.partition(":")
    # What is not there, or not in this version, is for the child to miss if it needs it.
    with contextlib.suppress(ImportError):
        imported = importlib.import_module(module)
        if function:
            getattr(imported, function)()


class _Server:
    def __init__(self, control: socket.socket, scripts: bool, unset: Sequence[str]) -> None:
        self._control = control
        self._scripts = scripts
        self._unset = unset
        self._children: set[int] = set()
        self._libc = ctypes.CDLL(None)

    def serve(self) -> Callable[[], None] | None:
        """Answer requests. Returns None when the connection has closed; in a child, what it is to run."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, _REQUEST_BYTES, _MOST_DESCRIPTORS)
            except ConnectionResetError:
                data, descriptors = b"", []
            if not data:
                for pid in self._children:
                    _end(pid)
                return None
            request = json.loads(data)
            process: int | None = None
            try:
                if request["do"] == "fork":
                    job, answer, process = self._fork(request, descriptors)
                    if job is not None:
                        return job
                else:
                    answer = self._signal_or_reap(request)
            except OSError as error:
                answer = {"error": str(error)}
            for descriptor in descriptors:
                os.close(descriptor)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next request is then the end
                socket.send_fds(self._control, [json.dumps(answer).encode()], [] if process is None else [process])
            if process is not None:
                os.close(process)

    def _signal_or_reap(self, request: dict[str, Any]) -> dict[str, Any]:
        pid = request["pid"]
        if pid not in self._children:
            return {"error": f"{pid} is no child"}
        # As long as the child has not been waited for, nothing else has its number, nor has its session.
        _end(pid)
        if request["do"] == "kill":
            return {}
        _, status, usage = os.wait4(pid, 0)
        self._children.discard(pid)
        return {"status": os.waitstatus_to_exitcode(status), "seconds": usage.ru_utime + usage.ru_stime}

    def _fork(
        self, request: dict[str, Any], descriptors: list[int]
    ) -> tuple[Callable[[], None] | None, dict[str, Any], int | None]:
        """What to run, in the child; the answer and a descriptor of the child, in this process."""
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            return None, {"error": f"{threads} threads"}, None
        sys.stdout.flush()
        sys.stderr.flush()
        self._libc.fflush(None)
        ready_read, ready_write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(ready_read)
            try:
                self._become_child(request, descriptors, parent)
            except OSError:
                os._exit(127)
            os.write(ready_write, b"1")
            os.close(ready_write)
            return self._job(request, descriptors[2:]), {}, None
        os.close(ready_write)
        try:
            # Only when it leads its session can the session be ended.
            ready = os.read(ready_read, 1)
        finally:
            os.close(ready_read)
        if not ready:
            os.waitpid(pid, 0)
            return None, {"error": "the child could not be set up"}, None
        self._children.add(pid)
        return None, {"pid": pid}, os.pidfd_open(pid)

    def _become_child(self, request: dict[str, Any], descriptors: list[int], parent: int) -> None:
        """Be what a process is that subprocess has started in a session of its own."""
        os.setsid()
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
        self._control.close()
        for number, descriptor in enumerate(descriptors[:2], 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for descriptor in descriptors[2:]:
            os.set_inheritable(descriptor, True)
        os.chdir(request["directory"])
        for name in self._unset:
            del os.environ[name]
        _reseed()

    def _job(self, request: dict[str, Any], descriptors: list[int]) -> Callable[[], None]:
        arguments = [*request["arguments"], *map(str, descriptors)]
        sys.argv = [request["run"], *arguments]
        if self._scripts:
            return lambda: _run_script(request["run"])
        return lambda: _run_module(request["run"])


def _end(pid: int) -> None:
    """Kill the session that the child leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _reseed() -> None:
    """Draw anew the random states that are drawn when a module is imported. That of `random` is by itself; that of
    torch is a constant."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(None)


def _run_module(name: str) -> None:
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _run_script(path: str) -> None:
    """Run the file as ``python path`` does: it stays the module ``__main__`` until the process has ended."""
    if not sys.flags.safe_path:
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    module = types.ModuleType("__main__")
    vars(module).update(
        __annotations__={},
        __builtins__=sys.modules["builtins"],
        __cached__=None,
        __file__=path,
        __loader__=importlib.machinery.SourceFileLoader("__main__", path),
    )
    sys.modules["__main__"] = module
    try:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, vars(module))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  (the interpreter's own way with what nobody catches)
        # The first frame is this one.
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
