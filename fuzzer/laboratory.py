"""Running a finding's reproducer in toolchains with other versions of a package, and what that tells."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from corpus.versions import TELLING, Showing, VersionResult
from fuzzer.errors import UsageError
from fuzzer.packages import InstallError, Say, installed
from fuzzer.toolchain_building import make, packages_here
from fuzzer.toolchains import Toolchain, changing, listed, remove, using
from oracles.verification import verify

#: How a script about an exception tells of another one.
_FAILED = "expected no exception, got "
#: What a script ends with that could not even begin: a package, or a part of one, is not there.
_UNUSABLE = re.compile(
    rf"^(?:{_FAILED})?(?:ModuleNotFoundError|ImportError|importlib\.metadata\.PackageNotFoundError): .*", re.MULTILINE
)
#: The line that names an exception, as Python writes it.
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b")
#: What a script writes that has come as far as to compare. Python itself exits with 1, too, when an import fails.
_TOLD = re.compile(r"^expected\b", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What the runs of a script came to, with the reason in words, and what the last one wrote."""

    showing: Showing
    detail: str
    seconds: float
    output: str = ""


def run(script: str, python: str, *, runs: int = 1, deadline: float = 360.0) -> Run:
    """Run a reproducer with an interpreter, several times where it does not show the defect each time.

    It shows when any run exits 1 and has told what it expected; it does not show when all exit 0. Otherwise nothing can
    be said: the script was over its ``deadline`` (in seconds), could not import what it needs, or failed in another
    way.
    """
    started = time.monotonic()
    output = ""
    for _ in range(runs):
        done = verify(script, 1, python=python, deadline=deadline)
        (status,), (output,) = done.statuses, done.outputs
        seconds = time.monotonic() - started
        if status == 1 and _TOLD.search(output):
            return Run(Showing.SHOWS, "", seconds, output)
        if status is None:
            return Run(Showing.UNFINISHED, f"did not end within {deadline:g} s", seconds, output)
        if status:
            return _other(status, output, seconds)
    return Run(Showing.ABSENT, "", time.monotonic() - started, output)


def _other(status: int, output: str, seconds: float) -> Run:
    unusable = _UNUSABLE.findall(output)
    told = [line for line in output.splitlines() if _TOLD.match(line)]
    if unusable and (not told or unusable[-1] in told):
        return Run(Showing.UNUSABLE, unusable[-1].removeprefix(_FAILED)[:300], seconds, output)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # A message may have more lines than the first, which says what it is.
    raised = [line for line in lines if _RAISED.match(line)]
    words = (told or raised or lines or ["wrote nothing"])[-1]
    reason = f"killed by signal {-status}: " if status < 0 else ""
    return Run(Showing.CHANGED, f"{reason}{words}"[:300], seconds, output)


@dataclass
class Laboratory:
    """Runs one script with one version after another of a package, each in a layered toolchain of its own.

    Nothing but the package is changed, whatever it says it needs, since that is what the question is about. Only where
    nothing can be said then, the script is run again with the dependencies that pip resolves for that version.
    A toolchain that is there with just this requirement is used; others are made, and removed afterwards unless
    ``keep``. ``beside`` are requirements that are installed along with each version, for those that cannot run with
    what is here. ``known`` are results of earlier days, by package and version, which are not asked for again.
    """

    script: str
    runs: int = 1
    deadline: float = 360.0
    keep: bool = False
    say: Say = lambda line: None
    record: Callable[[VersionResult], None] = lambda result: None
    known: dict[tuple[str, str], VersionResult] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    #: What this interpreter has, by canonical name.
    here: dict[str, str] = field(default_factory=lambda: installed(packages_here()))

    def ask(self, package: str, version: str) -> VersionResult:
        """What the script does with that version of the package."""
        package = canonicalize_name(package)
        if (package, version) not in self.known:
            result = self._experiment(package, version)
            self.known[package, version] = result
            self.record(result)
            detail = f": {result.detail}" if result.detail else ""
            self.say(f"{package} {version}: {result.showing}{detail}")
        return self.known[package, version]

    def _experiment(self, package: str, version: str) -> VersionResult:
        if self.here.get(package) == version and not self.beside:
            done = run(self.script, sys.executable, runs=self.runs, deadline=self.deadline)
            return VersionResult(package, version, done.showing, done.detail, {}, time.time())
        first: VersionResult | None = None
        for dependencies in (False, True):
            try:
                with self._toolchain(package, version, dependencies) as toolchain:
                    own = toolchain.record.made
                    others = {
                        name: number
                        for name, number in own.items()
                        if name != package and self.here.get(name) != number
                    }
                    if dependencies and not others:
                        break
                    done = run(self.script, toolchain.python, runs=self.runs, deadline=self.deadline)
            except InstallError as error:
                first = first or VersionResult(package, version, Showing.NOT_INSTALLED, error.message, {}, time.time())
                break
            result = VersionResult(package, version, done.showing, done.detail, others, time.time())
            if result.showing in TELLING:
                return result
            first = first or result
        assert first is not None
        return first

    @contextmanager
    def _toolchain(self, package: str, version: str, dependencies: bool) -> Iterator[Toolchain]:
        requirements = [str(Requirement(f"{package}=={version}")), *self.beside]
        base = packages_here()
        for one in listed():
            made = (one.record.requirements, one.record.base, one.record.dependencies)
            if made == (tuple(requirements), base, dependencies) and not one.lacks():
                with using(one.name) as toolchain:
                    yield toolchain
                return
        name = f"{package}=={version.replace('!', '.')}{'' if dependencies else '-alone'}"
        with changing(name) as place:
            stale = place.is_dir()
        if stale:
            remove(name)
        make(name, requirements, dependencies=dependencies, say=self.say)
        try:
            with using(name) as toolchain:
                yield toolchain
        finally:
            if not self.keep:
                remove(name)


def versions_between(versions: Sequence[str], first: str, last: str, package: str) -> list[str]:
    """Those of the ascending versions from ``first`` to ``last``. UsageError when one of them is not among them."""
    from fuzzer.packages import near

    for version in (first, last):
        if version not in versions:
            close = ", ".join(near(version, versions))
            raise UsageError(f"pip finds no {package} {version}", f"near ones: {close}")
    return list(versions[versions.index(first) : versions.index(last) + 1])
