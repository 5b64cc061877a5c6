"""Making a toolchain: a virtual environment aside, pip's own resolution, a look at what came of it, a rename."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fuzzer.converters.base import converters
from fuzzer.errors import UsageError
from fuzzer.packages import Say, conflicts, free_mib, install, installed, parse
from fuzzer.runtimes.base import runtimes
from fuzzer.toolchains import PROJECT, RECORD, Record, Toolchain, changing, packages_of

_PACKAGES = ("corpus", "fuzzer", "generators", "oracles")
#: The distribution that this is.
_OURS = "convfuzz"
#: MiB below which nothing is begun: a single one of the subjects needs as many.
_LEAST_FREE = 300
_LEAST_PYTHON = (3, 11)
#: What our graphs are written with, although the identity route names it as its subject.
_OUR_FORMAT = {"safetensors"}
_VENV_SECONDS = 120.0


def make(
    name: str,
    requirements: Sequence[str],
    *,
    isolated: bool = False,
    python: str = "",
    dependencies: bool = True,
    say: Say = lambda line: None,
) -> Toolchain:
    """Make the toolchain of that name with these requirements.

    ``python`` is the interpreter of an isolated one (default: this one). Without ``dependencies``, a layered one has
    these packages and no others of its own, whatever they say they need. UsageError, and nothing left behind, when the
    name is taken, a requirement is none, pip cannot install, or the interpreter is too old.
    """
    wanted = parse(requirements)
    if not wanted:
        raise UsageError("a toolchain without packages would be this environment", "name at least one package==version")
    if python and not isolated:
        raise UsageError("a layered toolchain has the interpreter that it is layered over", "add --isolated")
    if isolated and not dependencies:
        raise UsageError("an isolated toolchain needs what its packages depend on", "leave out --no-deps")
    with changing(name) as directory:
        if directory.exists():
            raise UsageError(
                f"there is a toolchain {name!r} already", f"choose another name, or `convfuzz toolchain remove {name}`"
            )
        if (free := free_mib(directory.parent)) < _LEAST_FREE:
            raise UsageError(
                f"{free} MiB are free on the disk of {directory.parent}, too few for a toolchain",
                "free some space, or set CONVFUZZ_TOOLCHAINS to a directory on another disk",
            )
        aside = directory.with_name(f".making-{name}")
        # One that was interrupted: nobody else can be at it, since the name is locked.
        shutil.rmtree(aside, ignore_errors=True)
        try:
            record = _build(name, aside, wanted, isolated, dependencies, python or sys.executable, say)
            (aside / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record)))
            aside.rename(directory)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return Toolchain(record, directory)


def _build(
    name: str, directory: Path, wanted: Sequence[Requirement], isolated: bool, dependencies: bool, python: str, say: Say
) -> Record:
    base = () if isolated else packages_here()
    _venv(directory, python)
    own = packages_of(directory)
    _link_project(directory / PROJECT)
    # Paths in such a file count from its directory: the environment will be renamed.
    lines = [os.path.relpath(directory / PROJECT, own), *base]
    (own / "convfuzz-toolchain.pth").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    asked = [*(requirements_of_ours() if isolated else ()), *wanted]
    say(f"installing {', '.join(map(str, wanted))}{' and what convfuzz needs' if isolated else ''}")
    inside = directory / "bin" / "python"
    install(inside, asked, directory, dependencies=dependencies)
    made = installed([str(own)])
    record = Record(name, tuple(map(str, wanted)), base, made, (), time.time(), dependencies)
    if lacking := Toolchain(record, directory).lacks():
        raise UsageError(f"pip ended well, and {', '.join(lacking)} is not there", "this is a defect of pip's set-up")
    # convfuzz asks for all frameworks, of which a toolchain may have one.
    told = conflicts(Toolchain(record, directory).paths, made.keys() - {_OURS})
    wrong = tuple(line for line in told if not line.startswith(f"{_OURS} "))
    return msgspec.structs.replace(record, conflicts=wrong)


def packages_here() -> tuple[str, ...]:
    """The directories that this interpreter has installed packages in, in the order of its search path."""
    names = ("site-packages", "dist-packages")
    return tuple(dict.fromkeys(path for path in sys.path if Path(path).name in names and Path(path).is_dir()))


def requirements_of_ours() -> list[Requirement]:
    """What convfuzz itself needs to work, without the subjects and their frameworks."""
    needed = [text for one in converters().values() for text in one.requires]
    needed += [text for one in runtimes().values() for text in one.requires]
    subjects = {canonicalize_name(Requirement(text).name) for text in needed}
    frameworks = {entry.name for entry in importlib.metadata.entry_points(group="convfuzz.frontends")}
    found = [Requirement(text) for text in importlib.metadata.requires(_OURS) or ()]
    return [
        one
        for one in found
        if canonicalize_name(one.name) not in (subjects | frameworks) - _OUR_FORMAT
        and (one.marker is None or one.marker.evaluate())
    ]


def _venv(directory: Path, python: str) -> None:
    """An environment without pip: that of this interpreter installs into it."""
    try:
        asked = [python, "-c", "import sys; print(*sys.version_info[:2])"]
        version = subprocess.run(asked, capture_output=True, text=True, timeout=_VENV_SECONDS, check=True).stdout
        numbers = tuple(map(int, version.split()))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UsageError(f"{python} is no Python interpreter: {error}", "name one of Python 3.11 or newer") from error
    if numbers < _LEAST_PYTHON:
        raise UsageError(
            f"{python} is Python {'.'.join(map(str, numbers))}, convfuzz needs 3.11", "name a newer one with --python"
        )
    made = subprocess.run(
        [python, "-m", "venv", "--without-pip", str(directory)], capture_output=True, text=True, timeout=_VENV_SECONDS
    )
    if made.returncode:
        words = (made.stderr or made.stdout).strip().splitlines()
        raise UsageError(
            f"{python} cannot make a virtual environment: {words[-1] if words else 'no reason given'}",
            "on Debian and Ubuntu: apt install python3-venv",
        )


def _link_project(directory: Path) -> None:
    """Make convfuzz as it runs here importable from a directory, its entry points included."""
    directory.mkdir()
    for package in _PACKAGES:
        module = sys.modules.get(package) or __import__(package)
        (directory / package).symlink_to(Path(module.__path__[0]).resolve())
    try:
        distribution = importlib.metadata.distribution(_OURS)
    except PackageNotFoundError as error:
        raise UsageError(f"{_OURS} is not installed, and has no entry points", "pip install -e .") from error
    listed = next((file for file in distribution.files or () if file.name == "METADATA"), None)
    # A development installation of the old kind has its metadata beside the packages.
    beside = Path(str(distribution.locate_file(f"{_OURS}.egg-info")))
    metadata = Path(str(distribution.locate_file(listed))).parent if listed is not None else beside
    if not metadata.is_dir():
        raise UsageError(f"the metadata of {_OURS} is not where it says: {metadata}", "pip install -e .")
    (directory / metadata.name).symlink_to(metadata.resolve())
