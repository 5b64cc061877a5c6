"""What upstream projects ask for of the machine: operating system, versions, and what their own scripts collect."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import platformdirs

from fuzzer.formats import version_of

#: Seconds that a project's script may take.
_DEADLINE = 180
#: Of what such a script says, as many characters are kept.
_LONGEST = 20_000


#: Where packages are installed, which is nobody's business.
_PLACE = re.compile(r"""[^\s'"()\[\]<>,;=]*[/\\](?:site|dist)-packages[/\\]""")


def public(text: str) -> str:
    """The text without the directories that packages are installed in, which may tell a user's name."""
    return _PLACE.sub("", text)


class Environment(msgspec.Struct, frozen=True):
    """``system`` is the operating system in words, ``machine`` the architecture, ``python`` the interpreter's version,
    ``installed`` the versions of distributions that are installed now."""

    system: str
    machine: str
    python: str
    installed: dict[str, str]


def environment(distributions: Sequence[str]) -> Environment:
    """What is true of this machine and interpreter, or, inside :func:`fuzzer.toolchains.interpreter`, of the packages
    there; distributions that are not installed are left out."""
    installed = {}
    for name in dict.fromkeys(distributions):
        try:
            installed[name] = version_of(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return Environment(system or platform.platform(), platform.machine(), platform.python_version(), installed)


def collected(arguments: Sequence[str], installed: Mapping[str, str], python: str = sys.executable) -> str:
    """What a project's own script says of the environment: the output of ``python arguments``, a module that comes with
    the project. It runs for seconds, so it is kept in the user's cache, for these versions and this interpreter. When
    it fails, the words say so, with the command for the person to run."""
    command = [python, *arguments]
    key = hashlib.sha256(msgspec.json.encode([command, sorted(installed.items()), platform.version()])).hexdigest()[:32]
    kept = platformdirs.user_cache_path("convfuzz") / "environment" / f"{key}.txt"
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    shown = " ".join(["python", *arguments])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DEADLINE,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`{shown}` gave nothing ({type(error).__name__}): run it by hand"
    if done.returncode or not done.stdout.strip():
        return f"`{shown}` failed with status {done.returncode}: run it by hand"
    text = done.stdout.strip()[:_LONGEST]
    _keep(kept, text)
    return text


def _keep(path: Path, text: str) -> None:
    """Write the file whole, if it can be: nothing depends on it but time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:
        return
