"""Toolchains: Python interpreters with packages of their own, in which workers and reproducers run.

A toolchain is a virtual environment below the user's data directory, with convfuzz itself importable in it. A layered
one has the packages of the interpreter that made it behind its own, so that it holds but what differs; an isolated one
has convfuzz's own dependencies and what was asked for. They are made aside and renamed: what is there is whole.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fuzzer.errors import UsageError
from fuzzer.formats import installed_at
from fuzzer.packages import installed

#: What toolchains may be called: a name is a directory, and a word of a command line.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,79}")
RECORD = "toolchain.json"
#: Where a toolchain has convfuzz: links to the packages and the metadata that are running now.
PROJECT = "project"


class Record(msgspec.Struct, frozen=True):
    """What is written down of a toolchain when it is made.

    ``requirements`` are what was asked for; ``dependencies`` whether what they depend on was installed where it was not
    there; ``base`` the directories of packages behind its own, none when it is
    isolated; ``made`` the packages that were installed into it, by canonical name; ``conflicts`` which of
    their requirements, and of those of others for them, do not hold; ``created`` seconds since the epoch.
    """

    name: str
    requirements: tuple[str, ...]
    base: tuple[str, ...]
    made: dict[str, str]
    conflicts: tuple[str, ...]
    created: float
    dependencies: bool = True


@dataclass(frozen=True)
class Toolchain:
    """A toolchain that is there."""

    record: Record
    directory: Path

    @property
    def name(self) -> str:
        """What it is called."""
        return self.record.name

    @property
    def isolated(self) -> bool:
        """Whether it has no packages but its own."""
        return not self.record.base

    @property
    def python(self) -> str:
        """Path of its interpreter."""
        return str(self.directory / "bin" / "python")

    @property
    def paths(self) -> tuple[str, ...]:
        """The directories that it imports packages from, in their order."""
        return (str(packages_of(self.directory)), str(self.directory / PROJECT), *self.record.base)

    def versions(self) -> dict[str, str]:
        """Versions of everything in it by canonical name, as they are now."""
        return installed(self.paths)

    def lacks(self) -> list[str]:
        """Those of its requirements that do not hold: the packages behind it may have changed since it was made."""
        now = self.versions()
        return [text for text in self.record.requirements if not _holds(Requirement(text), now)]


def _holds(requirement: Requirement, versions: Mapping[str, str]) -> bool:
    version = versions.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def packages_of(directory: Path) -> Path:
    """The directory of an environment's own packages. UsageError when it has none, and so is no environment."""
    found = sorted(directory.glob("lib/python3.*/site-packages"))
    if not found:
        raise UsageError(f"{directory} is no environment", "remove the directory")
    return found[0]


def home() -> Path:
    """Where toolchains are kept: below the user's data directory, or what CONVFUZZ_TOOLCHAINS says."""
    named = os.environ.get("CONVFUZZ_TOOLCHAINS", "")
    return Path(named).absolute() if named else platformdirs.user_data_path("convfuzz") / "toolchains"


def check_name(name: str) -> None:
    """UsageError for what cannot be the name of a toolchain."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a toolchain", "use letters, digits and . _ + = -, the first no sign"
        )


def listed() -> list[Toolchain]:
    """All toolchains by name."""
    found = home().glob(f"*/{RECORD}")
    return [_read(path.parent) for path in sorted(found) if not path.parent.name.startswith(".")]


def find(name: str) -> Toolchain:
    """The toolchain of that name. UsageError when there is none, or its packages have gone."""
    check_name(name)
    directory = home() / name
    if not (directory / RECORD).is_file():
        names = [one.name for one in listed()]
        close = difflib.get_close_matches(name, names, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        there = f"there are: {', '.join(names)}" if names else f"`convfuzz toolchain add {name} package==version`"
        raise UsageError(f"there is no toolchain {name!r}{meant}", there)
    return _read(directory)


def _read(directory: Path) -> Toolchain:
    path = directory / RECORD
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", f"remove the directory {directory}") from error
    return Toolchain(record, directory)


@contextlib.contextmanager
def using(name: str) -> Iterator[Toolchain]:
    """The toolchain, kept from being removed meanwhile. UsageError when it is not there or does not work any more."""
    with _lock(name, fcntl.LOCK_SH):
        toolchain = find(name)
        again = f"`convfuzz toolchain remove {name}`, then add it again"
        if not os.access(toolchain.python, os.X_OK):
            raise UsageError(f"the interpreter that toolchain {name!r} was made with is gone", again)
        gone = [path for path in toolchain.record.base if not Path(path).is_dir()]
        if gone:
            raise UsageError(f"the packages behind toolchain {name!r} are gone: {gone[0]}", again)
        if lacking := toolchain.lacks():
            raise UsageError(f"toolchain {name!r} no longer has {', '.join(lacking)}", again)
        yield toolchain


@contextlib.contextmanager
def interpreter(name: str) -> Iterator[str]:
    """The interpreter of a toolchain (of this process when the name is empty). Inside, what converters and runtimes say
    of their availability is about it. Errors as of :func:`using`."""
    if not name:
        yield sys.executable
        return
    with using(name) as toolchain, installed_at(toolchain.paths):
        yield toolchain.python


@contextlib.contextmanager
def changing(name: str) -> Iterator[Path]:
    """The place of a toolchain, for this process alone to make or remove. UsageError when it is in use."""
    check_name(name)
    with _lock(name, fcntl.LOCK_EX):
        yield home() / name


@contextlib.contextmanager
def _lock(name: str, kind: int) -> Iterator[None]:
    check_name(name)
    try:
        home().mkdir(parents=True, exist_ok=True)
        handle = os.open(home() / f".lock-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(
            f"toolchains cannot be kept in {home()}: {error.strerror}",
            "set CONVFUZZ_TOOLCHAINS to a directory of yours",
        ) from error
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = "being made or removed" if kind == fcntl.LOCK_SH else "in use, or being made,"
            raise UsageError(f"toolchain {name!r} is {what} by another process", "wait until it is done") from error
        yield
    finally:
        os.close(handle)


def remove(name: str) -> int:
    """Remove a toolchain; returns the MiB that it held. UsageError when there is none, or it is in use."""
    with changing(name) as directory:
        if not directory.is_dir():
            find(name)
        size = size_mib(directory)
        # Out of the way first: what is half removed must not look like a toolchain.
        aside = directory.with_name(f".removing-{name}-{time.time_ns()}")
        directory.rename(aside)
        shutil.rmtree(aside)
    return size


def size_mib(directory: Path) -> int:
    """MiB of the files in a directory, links not followed."""
    total = 0
    for parent, _, files in os.walk(directory):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, file)).st_size
    return total >> 20
