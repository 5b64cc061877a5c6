"""What pip knows and does: releases of a package, installing into an environment, conflicts, and its failures in words.

pip runs in a process of its own, under its own configuration: which index it asks, through what proxy and with what
constraints, is for the user's pip.conf and environment to say.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Container, Iterable, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fuzzer.errors import UsageError

#: Versions that an error names on either side of one that does not exist.
_NEAR = 2
_LISTING_SECONDS = 300.0


class InstallError(UsageError):
    """pip did not install what was asked for. ``output`` is what it wrote."""

    def __init__(self, message: str, remedy: str, output: str = "") -> None:
        super().__init__(message, remedy)
        self.output = output

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.output}".rstrip()


def parse(texts: Iterable[str]) -> list[Requirement]:
    """The requirements, such as ``onnxscript==0.5.0``. UsageError for what is none, and for a package named twice."""
    found: dict[str, Requirement] = {}
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"{text!r} names no package: {reason}", "write package==version") from error
        name = canonicalize_name(requirement.name)
        if name in found:
            raise UsageError(f"{requirement.name} is asked for twice", "name each package once")
        found[name] = requirement
    return list(found.values())


def installed(paths: Sequence[str]) -> dict[str, str]:
    """Versions of the distributions on a search path by canonical name; the first one of a name counts, as it does for
    an import."""
    found: dict[str, str] = {}
    for one in distributions(path=list(paths)):
        name = _name(one)
        if name:
            found.setdefault(name, one.version)
    return found


def _name(one: Distribution) -> str:
    """Canonical name; empty for a directory without metadata, as an interrupted pip leaves behind."""
    name = one.metadata["Name"]
    return canonicalize_name(name) if name else ""


# -- releases ----------------------------------------------------------------------------------------------------


def releases(package: str, *, pre: bool = False) -> list[str]:
    """Versions of a package that pip could install here, ascending; with ``pre`` pre-releases, too. Of versions that
    differ in their local label alone (2.13.0 and 2.13.0+cpu) the public one is listed. UsageError for a package that
    pip does not find."""
    done = _pip(["index", "versions", package, *(["--pre"] if pre else [])], timeout=_LISTING_SECONDS)
    match = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or match is None:
        raise UsageError(
            f"pip finds no release of {package!r}: {_last(done.stderr) or _last(done.stdout)}",
            f"`python -m pip index versions {package}` must list some: check the name and pip's configuration",
        )
    found: dict[Version, str] = {}
    for text in match[1].split(","):
        try:
            version = Version(text.strip())
        except InvalidVersion:
            continue
        if version.is_prerelease and not pre:
            continue
        public = Version(version.public)
        if public not in found or version.local is None:
            found[public] = text.strip()
    return [found[version] for version in sorted(found)]


def near(wanted: str, versions: Sequence[str]) -> list[str]:
    """Those of the versions (ascending) that are next to one that is not among them."""
    if not versions:
        return []
    try:
        place = sum(Version(text) < Version(wanted) for text in versions)
    except InvalidVersion:
        return list(versions[-2 * _NEAR :])
    return list(versions[max(0, place - _NEAR) : place + _NEAR])


# -- installing --------------------------------------------------------------------------------------------------


def install(python: Path, requirements: Sequence[Requirement], directory: Path, *, dependencies: bool = True) -> None:
    """Have pip install into the environment of that interpreter, with what these depend on unless ``dependencies`` is
    false. InstallError with its reason when it does not."""
    texts = [str(requirement) for requirement in requirements]
    quiet = ("--no-input", "--no-warn-script-location", "--progress-bar", "off", "--no-compile")
    alone = () if dependencies else ("--no-deps",)
    done = _pip(["install", *quiet, *alone, *texts], python=python, directory=directory)
    if done.returncode:
        raise _explained(requirements, done.stdout + done.stderr, directory)


def conflicts(paths: Sequence[str], changed: Container[str]) -> list[str]:
    """Requirements between packages on a search path that do not hold, as far as ``changed`` packages (canonical names)
    are involved, in the words of ``pip check``. That takes seconds for an environment of this size, and tells of what
    was so before as well."""
    versions = installed(paths)
    met: set[str] = set()
    found = []
    for one in distributions(path=list(paths)):
        name = _name(one)
        if not name or name in met:
            continue
        met.add(name)
        for text in one.requires or ():
            needed = Requirement(text)
            other = canonicalize_name(needed.name)
            if not (name in changed or other in changed):
                continue
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            if other not in versions:
                found.append(f"{name} {one.version} requires {needed.name}, which is not installed")
            elif not needed.specifier.contains(versions[other], prereleases=True):
                what = f"{needed.name}{needed.specifier}"
                found.append(f"{name} {one.version} has requirement {what}, but you have {other} {versions[other]}")
    return sorted(found)


def _explained(requirements: Sequence[Requirement], output: str, directory: Path) -> InstallError:
    """pip's failure in words, by what it writes for each cause."""
    names = ", ".join(map(str, requirements))
    if "No space left on device" in output:
        return InstallError(
            f"no space left to install {names}", f"free some space on the disk of {directory.parent}", output
        )
    for requirement in requirements:
        missing = re.search(
            rf"Could not find a version that satisfies the requirement {re.escape(requirement.name)}\b.*$",
            output,
            re.MULTILINE | re.IGNORECASE,
        )
        if missing is not None:
            return _missing(requirement, output)
    if other := re.search(r"Package '([^']+)' requires a different Python: (\S+) not in '([^']+)'", output):
        return _other_python(other[1], other[3], output)
    if "ResolutionImpossible" in output or "conflicting dependencies" in output:
        reasons = re.findall(r"^    (\S.*? depends on .*|The user requested .*)$", output, re.MULTILINE)
        return InstallError(
            f"no set of packages satisfies {names}: {'; '.join(reasons[:4]) or _last(output)}",
            "ask for other versions of these packages, or name fewer of them",
            output,
        )
    return InstallError(
        f"pip could not install {names}: {_last_error(output)}",
        "the environment was not made; `--debug` shows all that pip wrote",
        output,
    )


def _missing(requirement: Requirement, output: str) -> InstallError:
    """The failure of a version, or a package, that is not there (or not for this Python)."""
    wanted = str(requirement.specifier).lstrip("=")
    other = re.findall(r"(\S+) Requires-Python ([^;\n]+)", output)
    needs = next((python.strip() for version, python in other if version == wanted), "")
    if needs:
        return _other_python(f"{requirement.name} {wanted}", needs, output)
    try:
        known = releases(requirement.name, pre=requirement.specifier.prereleases or False)
    except UsageError as error:
        return InstallError(error.message, error.remedy, output)
    return InstallError(
        f"there is no {requirement} for Python {_python()} on this machine",
        f"near ones: {', '.join(near(wanted, known))}; the newest: {known[-1]}",
        output,
    )


def _other_python(package: str, needs: str, output: str) -> InstallError:
    return InstallError(
        f"{package} needs Python {needs}, this one is {_python()}",
        "choose another version, or make an isolated toolchain with --python",
        output,
    )


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _pip(
    arguments: Sequence[str], *, python: Path | None = None, directory: Path | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pip for an interpreter (default: this one). UsageError when there is no pip, or it does not answer."""
    target = [] if python is None else ["--python", str(python)]
    # Directories of PYTHONPATH would count as part of the environment.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    command = [sys.executable, "-m", "pip", *target, *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            cwd=directory,
            env=environment,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"pip {arguments[0]} did not answer within {timeout:g} s", "check the network") from error
    if "No module named pip" in done.stderr:
        raise UsageError(f"there is no pip for {sys.executable}", f"{sys.executable} -m ensurepip")
    return done


def free_mib(directory: Path) -> int:
    """MiB that are free on the disk of a directory."""
    return shutil.disk_usage(directory).free >> 20


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return lines[-1].removeprefix("ERROR: ")[:300] if lines else ""


def _last_error(text: str) -> str:
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    return errors[0][:300] if errors else _last(text)


#: What is called with a line for the user.
Say = Callable[[str], None]
