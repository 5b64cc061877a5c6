"""Collecting a harvest in child processes, and keeping it.

Some samples take the process down in eager mode, or never come back. So a child works through torch's list, and
when it dies or is silent for too long, the entry that it was at is marked and another one starts behind it. What is
there is appended to a file, so that an interrupted collection goes on where it stopped.
"""

from __future__ import annotations

import importlib.util
import os
import selectors
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from generators.harvest.child import Message
from generators.harvest.records import VERSION, Entry, Harvest, HarvestError, cache_path, fingerprint, read, write
from generators.harvest.samplers import with_harvest
from generators.operators.registry import Registry

#: Seconds that a child may be silent: the first entry waits for imports, and one entry takes a second or two.
DEADLINE = 120.0
#: Told of each entry as it is done: how many are done, of how many, and the entry.
Progress = Callable[[int, int, Entry], None]

_EXPECTTEST = HarvestError(
    "torch's samples of operators need the package expecttest",
    "`python -m pip install expecttest`",
)


def torch_version() -> str:
    """The installed version of torch, without importing it. HarvestError when there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError as error:
        raise HarvestError("torch is not installed", "`python -m pip install torch`") from error


def load() -> Harvest:
    """The harvest of the installed torch. HarvestError when there is none to use."""
    version = torch_version()
    return read(cache_path("torch", version), "torch", version)


def mixed_registry(base: Registry, wanted: str) -> Registry:
    """The hand-written operators and those of the harvest with that fingerprint. HarvestError when the cache holds
    none or another one."""
    harvest = load()
    found = fingerprint(harvest)
    if found != wanted:
        raise HarvestError(
            f"the harvest {wanted} is wanted, the cache holds {found}",
            "another release of torch or convfuzz made it: install that one, or start a new campaign",
        )
    return with_harvest(base, harvest)


def build(*, force: bool = False, progress: Progress | None = None, deadline: float = DEADLINE) -> Harvest:
    """The harvest of the installed torch: the cached one, unless ``force``, else a new one, which is cached.

    A cache that is damaged or of another version is replaced. HarvestError when it cannot be built, OSError when the
    cache directory cannot be written to.
    """
    version = torch_version()
    path = cache_path("torch", version)
    if not force:
        try:
            return read(path, "torch", version)
        except HarvestError:
            pass  # absent, damaged or of another version: it is built now
    if importlib.util.find_spec("expecttest") is None:
        raise _EXPECTTEST
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".v{VERSION}.partial")
    if force:
        partial.unlink(missing_ok=True)
    with _alone(path.with_suffix(".lock")):
        entries = _collect(partial, progress, deadline)
        harvest = Harvest("torch", version, tuple(entries))
        write(harvest, path)
        partial.unlink(missing_ok=True)
    return harvest


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """HarvestError when another process is building. The lock goes with the process that holds it."""
    import fcntl

    with open(path, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HarvestError("another process is harvesting", "wait until it is done") from error
        yield


def _collect(partial: Path, progress: Progress | None, deadline: float) -> list[Entry]:
    entries = _resumed(partial)
    with open(partial, "ab") as kept:
        total = len(entries) + 1
        while len(entries) < total:
            for message in _child(len(entries), deadline):
                entry = message.entry
                if entry is None:
                    continue
                total = message.total
                entries.append(entry)
                _append(kept, entry)
                if progress:
                    progress(len(entries), total, entry)
    return entries


def _append(file: BinaryIO, entry: Entry) -> None:
    data = msgspec.msgpack.encode(entry)
    file.write(struct.pack("<I", len(data)) + data)
    file.flush()


def _resumed(partial: Path) -> list[Entry]:
    """Entries of an interrupted collection; the file is cut behind the last whole one."""
    entries: list[Entry] = []
    position = 0
    data = partial.read_bytes() if partial.exists() else b""
    while len(data) - position >= 4:
        (length,) = struct.unpack_from("<I", data, position)
        frame = data[position + 4 : position + 4 + length]
        if len(frame) < length:
            break
        try:
            entries.append(msgspec.msgpack.decode(frame, type=Entry))
        except (msgspec.DecodeError, msgspec.ValidationError):
            break
        position += 4 + length
    if position < len(data):
        with open(partial, "r+b") as file:
            file.truncate(position)
    return entries


def _child(first: int, deadline: float) -> Iterator[Message]:
    """Messages of a child that begins with that entry. When it dies at an entry, or is killed for its silence, the
    last message is that entry with the reason. HarvestError when it does not get to any entry."""
    # Without its cache of freed memory, glibc fills all that it hands out (see trials._PERTURB).
    environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "generators.harvest.child", str(first)]
    begun: Message | None = None
    silent = False
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        ended = False
        try:
            for data in _frames(process.stdout, deadline):
                message = msgspec.msgpack.decode(data, type=Message)
                if message.missing:
                    raise HarvestError(
                        f"torch's samples of operators need the package {message.missing}",
                        f"`python -m pip install {message.missing}`",
                    )
                begun = message if message.entry is None else None
                yield message
            ended = True
        except TimeoutError:
            silent = True
        finally:
            if not ended:
                process.kill()
        status = process.wait()
    if begun is not None:
        how = "takes too long" if silent else f"ends the process in eager mode ({_signal(status)})"
        entry = Entry(begun.name, begun.kind, reason=how)
        yield msgspec.structs.replace(begun, entry=entry)
    elif silent or status:
        raise HarvestError("collecting torch's samples failed", f"`{' '.join(command)}` says why")


def _signal(status: int) -> str:
    return signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"


def _frames(pipe: object, deadline: float) -> Iterator[bytes]:
    """Frames as they come. TimeoutError after ``deadline`` seconds of silence."""
    descriptor = pipe.fileno()  # type: ignore[attr-defined]  # a BufferedReader, read unbuffered
    buffer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            while len(buffer) >= 4 and len(buffer) >= 4 + (length := struct.unpack_from("<I", buffer)[0]):
                yield bytes(buffer[4 : 4 + length])
                del buffer[: 4 + length]
            if not selector.select(deadline):
                raise TimeoutError
            data = os.read(descriptor, 1 << 20)
            if not data:
                return
            buffer += data
