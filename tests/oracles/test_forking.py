"""The fork server by itself: what its children inherit, what becomes of them, and of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from oracles.forking import Forked, Zygote, ZygoteError
from oracles.processes import kill_session, reap
from tests.oracles.processes import eventually, gone

#: What pytest changes from one phase of a test to the next would make every environment another one.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}

FAMILY = "import os, time\npid = os.fork()\nprint(os.getpid(), flush=True)\ntime.sleep(100)"


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    zygote = Zygote(["numpy", "not_installed"], ENVIRONMENT, scripts=True)
    yield zygote
    zygote.close()


def start(zygote: Zygote, directory: Path, script: str, *descriptors: int) -> Forked:
    path = directory / "script.py"
    if not path.exists() or path.read_text() != script:  # another child may be reading it
        path.write_text(script)
    with open(directory / "output", "wb") as output:
        number = output.fileno()
        return zygote.fork(str(path), stdout=number, stderr=number, pass_fds=descriptors, directory=str(directory))


def told(zygote: Zygote, directory: Path, script: str) -> str:
    """What the script writes in a child that ends in order."""
    process = start(zygote, directory, script)
    reap(process, 60)
    output = (directory / "output").read_text()
    assert process.returncode == 0, output
    return output


#: What subprocess gives a process, as the process sees it.
STATE = """
import faulthandler, gc, os, resource, signal, sys, threading
print(os.getsid(0) == os.getpgid(0) == os.getpid(), os.getcwd(), os.readlink("/proc/self/fd/0"))
print([(number, signal.getsignal(number)) for number in signal.valid_signals()])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), resource.getrlimit(resource.RLIMIT_NOFILE), os.umask(0))
print(sorted(os.environ.items()))
print(sys.argv, sys.path, sys.flags, sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.line_buffering)
print(faulthandler.is_enabled(), gc.isenabled(), gc.get_threshold(), sys.getrecursionlimit())
print(threading.current_thread().name, threading.active_count(), len(os.listdir("/proc/self/task")))
print(open("/proc/self/oom_score_adj").read(), sys.modules["__main__"].__dict__ is globals(), sorted(globals()))
"""


def test_a_child_is_what_a_fresh_process_is(zygote: Zygote, tmp_path: Path) -> None:
    found = told(zygote, tmp_path, STATE)
    fresh = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
        check=True,
    )
    # Newer versions of Python make annotations only when asked.
    assert found.replace("'__annotations__', ", "") == fresh.stdout.replace("'__annotations__', ", "")


def test_only_the_descriptors_that_were_passed_are_inherited(zygote: Zygote, tmp_path: Path) -> None:
    read, write = os.pipe()
    other = tempfile.TemporaryFile()  # noqa: SIM115
    script = """
import os, sys
open_ones = [int(name) for name in os.listdir("/proc/self/fd")]
links = [os.readlink(f"/proc/self/fd/{number}") for number in open_ones if os.path.exists(f"/proc/self/fd/{number}")]
assert not any("socket" in link or "deleted" in link for link in links), links
os.write(int(sys.argv[1]), b"hello " + str(os.get_inheritable(int(sys.argv[1]))).encode())
"""
    process = start(zygote, tmp_path, script, write)
    os.close(write)
    with open(read, "rb") as file:
        # The end of the file comes when the child ends: nobody else holds the other side.
        assert file.read() == b"hello True"
    reap(process, 60)
    assert process.returncode == 0, (tmp_path / "output").read_text()
    other.close()


def test_children_draw_their_own_random_states(zygote: Zygote, tmp_path: Path) -> None:
    script = "import random, uuid, tempfile, numpy\nprint(random.random(), numpy.random.rand(), uuid.uuid4())"
    words = [told(zygote, tmp_path, script).split() for _ in range(2)]
    assert all(first != second for first, second in zip(*words, strict=True))


def test_modules_are_there_and_not_imported_again(zygote: Zygote, tmp_path: Path) -> None:
    assert told(zygote, tmp_path, "import sys; print('numpy' in sys.modules, 'not_installed' in sys.modules)") == (
        "True False\n"
    )


def test_the_end_of_a_child_is_told(zygote: Zygote, tmp_path: Path) -> None:
    for script, status in (("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 11)", -11)):
        process = start(zygote, tmp_path, script)
        reap(process, 60)
        assert process.returncode == status
    spins = "import time\nwhile time.process_time() < 0.5: pass"
    assert 0.5 <= reap(start(zygote, tmp_path, spins), 60) < 5
    process = start(zygote, tmp_path, "import time; time.sleep(100)")
    with pytest.raises(subprocess.TimeoutExpired):
        reap(process, 0.2)
    process.send_signal(signal.SIGTERM)
    reap(process, 60)
    assert process.returncode == -signal.SIGTERM
    assert reap(process) == 0.0
    process.send_signal(signal.SIGTERM)  # to nobody


def test_a_child_keeps_its_number_until_it_is_reaped(zygote: Zygote, tmp_path: Path) -> None:
    process = start(zygote, tmp_path, "")
    assert eventually(lambda: gone(process.pid))
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    kill_session(process)
    assert process.returncode == 0
    assert not psutil.pid_exists(process.pid)


def test_reaping_ends_what_a_child_has_left_running(zygote: Zygote, tmp_path: Path) -> None:
    process = start(zygote, tmp_path, "import os, time\npid = os.fork()\nprint(pid) if pid else time.sleep(100)")
    reap(process, 60)
    left = int((tmp_path / "output").read_text())
    assert eventually(lambda: gone(left))


def test_children_run_at_the_same_time(zygote: Zygote, tmp_path: Path) -> None:
    processes = [start(zygote, tmp_path, "import time; time.sleep(100)") for _ in range(5)]
    assert len(psutil.Process(zygote.pid).children()) == 5
    for process in processes:
        kill_session(process)
        assert process.returncode == -signal.SIGKILL
    assert psutil.Process(zygote.pid).children() == []


def test_closing_ends_the_children(tmp_path: Path) -> None:
    zygote = Zygote([], os.environ, scripts=True)
    process = start(
        zygote, tmp_path, "import os, time\npid = os.fork()\nprint(os.getpid(), flush=True)\ntime.sleep(100)"
    )
    output = tmp_path / "output"
    assert eventually(lambda: len(output.read_text().split()) == 2)
    pids = [int(word) for word in output.read_text().split()]
    assert zygote.close() > 0
    assert eventually(lambda: all(gone(pid) for pid in (*pids, zygote.pid)))
    kill_session(process)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ZygoteError):
        start(zygote, tmp_path, "")
    assert zygote.close() == 0.0


def test_the_children_of_a_killed_zygote_are_killed(zygote: Zygote, tmp_path: Path) -> None:
    process = start(
        zygote, tmp_path, "import os, time\npid = os.fork()\nprint(os.getpid(), flush=True)\ntime.sleep(100)"
    )
    output = tmp_path / "output"
    assert eventually(lambda: len(output.read_text().split()) == 2)
    pids = [int(word) for word in output.read_text().split()]
    os.kill(zygote.pid, signal.SIGKILL)
    assert reap(process, 10) == 0.0
    assert process.returncode == -signal.SIGKILL
    assert not zygote.usable
    # The child's own child, too, where the kernel can reach the group of a process that is gone (Linux 6.9).
    assert eventually(lambda: gone(process.pid))
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 9):
        assert eventually(lambda: all(gone(pid) for pid in pids))
    for pid in pids:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(ZygoteError):
        start(zygote, tmp_path, "")


def test_a_zygote_that_is_stopped_is_given_up(zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracles.forking._REQUEST_SECONDS", 0.5)
    os.kill(zygote.pid, signal.SIGSTOP)
    with pytest.raises(ZygoteError, match="does not answer"):
        start(zygote, tmp_path, "")
    assert eventually(lambda: gone(zygote.pid))


def test_a_killed_owner_takes_all_with_it(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import time; time.sleep(100)")
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys, time\nfrom oracles.forking import Zygote\n"
            "zygote = Zygote([], os.environ, scripts=True)\n"
            "process = zygote.fork(sys.argv[1], stdout=1, stderr=2)\n"
            "print(zygote.pid, process.pid, flush=True)\ntime.sleep(100)",
            str(tmp_path / "script.py"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert eventually(lambda: all(gone(pid) for pid in pids))


def test_no_fork_with_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "starts_a_thread.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    zygote = Zygote(["starts_a_thread"], os.environ, scripts=True)
    try:
        with pytest.raises(ZygoteError, match="2 threads"):
            start(zygote, tmp_path, "")
        assert zygote.usable
    finally:
        zygote.close()


def test_a_child_that_cannot_be_set_up(zygote: Zygote, tmp_path: Path) -> None:
    with pytest.raises(ZygoteError, match="could not be set up"):
        zygote.fork("x.py", stdout=1, stderr=2, directory=str(tmp_path / "none"))
    assert told(zygote, tmp_path, "print(1)") == "1\n"


def test_a_zygote_that_cannot_be_started_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks.py").write_text("raise RuntimeError('broken for good')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(ZygoteError, match="broken for good"):
        Zygote(["breaks"], os.environ)


def test_what_fits(zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert zygote.fits(sys.executable, ENVIRONMENT)
    assert not zygote.fits("/usr/bin/python", ENVIRONMENT)
    assert not zygote.fits(sys.executable, {**ENVIRONMENT, "A": "b"})
    monkeypatch.chdir(tmp_path)
    assert not zygote.fits(sys.executable, ENVIRONMENT)
