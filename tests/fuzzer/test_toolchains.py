"""Toolchains: what is in them, what is refused, and that nothing half made is left."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzer import cli, toolchains
from fuzzer.errors import UsageError
from fuzzer.formats import availability, installed_at
from fuzzer.packages import near, parse, releases
from fuzzer.supervisor import Limits, Worker
from fuzzer.tasks import TargetsResult, TargetsTask
from fuzzer.toolchain_building import make, requirements_of_ours
from fuzzer.zygotes import Zygotes
from tests.fuzzer.wheels import PACKAGE, index, wheel

__all__ = ["index"]


def left(index: Path) -> list[str]:
    """What is kept beside the locks."""
    place = index.parent / "toolchains"
    return sorted(path.name for path in place.iterdir() if not path.name.startswith(".lock-")) if place.exists() else []


def test_a_layered_toolchain_has_its_package_and_all_that_is_here(index: Path) -> None:
    wheel(index, "1.0")
    wheel(index, "1.1")
    made = make("tiny", [f"{PACKAGE}==1.0"])
    assert made.record.made == {PACKAGE: "1.0"}
    assert made.record.conflicts == ()
    assert not made.isolated
    script = "import convfuzz_tiny, fuzzer, msgspec, sys; print(convfuzz_tiny.VERSION, fuzzer.__file__, sys.prefix)"
    # From elsewhere, and without the path that the tests may have been given.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [made.python, "-c", script]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=index, env=environment)
    version, ours, prefix = shown.stdout.split()
    assert (version, prefix) == ("1.0", str(made.directory))
    assert Path(ours).resolve() == Path(cli.__file__).with_name("__init__.py").resolve()
    assert made.versions()["msgspec"] == __import__("importlib.metadata").metadata.version("msgspec")
    assert left(index) == ["tiny"]


def test_workers_and_zygotes_run_in_a_toolchain(index: Path) -> None:
    wheel(index, "1.0")
    made = make("tiny", [f"{PACKAGE}==1.0"])
    zygotes = Zygotes(made.python)
    worker = Worker(Limits(deadline=60), python=made.python, zygote=lambda: zygotes.for_worker("torch"))
    try:
        result = worker.call(TargetsTask("torch"))
        assert isinstance(result, TargetsResult)
        assert "torch.nn.functional.conv2d" in result.targets
        assert worker.forks == 1
        zygote = zygotes.for_worker("torch")
        assert zygote is not None
        assert Path(f"/proc/{zygote.pid}/cmdline").read_bytes().startswith(made.python.encode())
    finally:
        worker.close()
        zygotes.close()


def test_what_is_available_is_what_the_toolchain_has(index: Path) -> None:
    wheel(index, "1.0")
    made = make("tiny", [f"{PACKAGE}==1.0"])
    with toolchains.interpreter("tiny") as python:
        assert python == made.python
        assert availability([f"{PACKAGE}>=1.0", "torch"]).available
        assert not availability([f"{PACKAGE}>=1.1"]).available
    assert not availability([PACKAGE]).available
    with toolchains.interpreter("") as python:
        assert python == sys.executable
    with installed_at([]):
        assert not availability(["torch"]).available


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (f"{PACKAGE}==1.5", "there is no convfuzz-tiny==1.5"),
        ("convfuzz-no-such-package==1.0", "no release of 'convfuzz-no-such-package'"),
        (f"{PACKAGE}==3.0", "needs Python >=3.99"),
        (f"{PACKAGE}==2.0", "no set of packages satisfies|pip could not install|there is no"),
        ("--index-url", "names no package"),
        ("-r file", "names no package"),
    ],
)
def test_what_cannot_be_installed_is_told_and_leaves_nothing(index: Path, requirement: str, words: str) -> None:
    wheel(index, "1.0")
    wheel(index, "1.4")
    wheel(index, "1.6")
    wheel(index, "2.0", requires="convfuzz-no-such-package")
    wheel(index, "3.0", python=">=3.99")
    with pytest.raises(UsageError, match=words) as caught:
        make("tiny", [requirement])
    assert caught.value.remedy
    if requirement.endswith("1.5"):
        assert "1.4, 1.6" in caught.value.remedy
    assert left(index) == []


def test_an_interrupted_installation_leaves_nothing(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    wheel(index, "1.0")
    monkeypatch.setattr("fuzzer.toolchain_building.install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make("tiny", [f"{PACKAGE}==1.0"])
    assert left(index) == []
    # One that was killed left its directory, which is no toolchain and in nobody's way.
    monkeypatch.undo()
    monkeypatch.setenv("CONVFUZZ_TOOLCHAINS", str(index.parent / "toolchains"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    (index.parent / "toolchains" / ".making-tiny" / "lib").mkdir(parents=True)
    assert toolchains.listed() == []
    make("tiny", [f"{PACKAGE}==1.0"])
    assert left(index) == ["tiny"]


def test_a_full_disk_is_told_before_anything_is_made(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(index, "1.0")
    monkeypatch.setattr("fuzzer.toolchain_building.free_mib", lambda directory: 12)
    with pytest.raises(UsageError, match="12 MiB are free"):
        make("tiny", [f"{PACKAGE}==1.0"])
    assert left(index) == []


def test_two_processes_do_not_make_use_or_remove_one_at_once(index: Path) -> None:
    wheel(index, "1.0")
    place = index.parent / "toolchains"
    place.mkdir()
    with open(place / ".lock-tiny", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="by another process"):
            make("tiny", [f"{PACKAGE}==1.0"])
    make("tiny", [f"{PACKAGE}==1.0"])
    with pytest.raises(UsageError, match="there is a toolchain 'tiny' already"):
        make("tiny", [f"{PACKAGE}==1.0"])
    with toolchains.using("tiny"), toolchains.using("tiny"), pytest.raises(UsageError, match="in use"):
        toolchains.remove("tiny")
    toolchains.remove("tiny")
    assert left(index) == []


def test_conflicts_are_told_and_dependencies_left_alone_where_asked(index: Path) -> None:
    wheel(index, "1.0", requires="numpy<1")
    made = make("tiny", [f"{PACKAGE}==1.0"], dependencies=False)
    assert made.record.made == {PACKAGE: "1.0"}
    (conflict,) = made.record.conflicts
    assert conflict.startswith("convfuzz-tiny 1.0 has requirement numpy<1")
    with pytest.raises(UsageError):
        make("whole", [f"{PACKAGE}==1.0"])


def test_the_commands(index: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wheel(index, "1.0")
    assert cli.run(["toolchain", "list"]) == 0
    assert "no toolchains in" in capfd.readouterr().out
    assert cli.run(["toolchain", "add", "tiny", f"{PACKAGE}==1.0"]) == 0
    assert "of its own: convfuzz-tiny 1.0" in capfd.readouterr().out
    assert cli.run(["toolchain", "list", "--json"]) == 0
    (listed,) = map(json.loads, capfd.readouterr().out.splitlines())
    assert (listed["name"], listed["isolated"], listed["versions"][PACKAGE]) == ("tiny", False, "1.0")
    assert cli.run(["toolchain", "show", "tiny"]) == 0
    assert "convfuzz-tiny==1.0" in capfd.readouterr().out
    assert cli.run(["toolchain", "show", "tinny"]) == 2
    assert "did you mean 'tiny'?" in capfd.readouterr().err
    assert cli.run(["toolchain", "add", "../x", f"{PACKAGE}==1.0"]) == 2
    assert "cannot be the name" in capfd.readouterr().err
    assert cli.run(["toolchain", "remove", "tiny"]) == 0
    assert left(index) == []


def test_an_environment_that_was_changed_behind_our_back_is_refused(index: Path) -> None:
    wheel(index, "1.0")
    made = make("tiny", [f"{PACKAGE}==1.0"])
    for path in toolchains.packages_of(made.directory).glob("convfuzz_tiny*"):
        path.unlink() if path.is_file() else path.rename(path.with_name("gone"))
    with pytest.raises(UsageError, match="no longer has convfuzz-tiny"), toolchains.using("tiny"):
        pass


def test_an_old_interpreter_is_refused(index: Path, tmp_path: Path) -> None:
    wheel(index, "1.0")
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\necho 3 8\n")
    old.chmod(0o755)
    with pytest.raises(UsageError, match=r"is Python 3\.8, convfuzz needs 3\.11"):
        make("tiny", [f"{PACKAGE}==1.0"], isolated=True, python=str(old))
    assert left(index) == []


def test_releases_are_ascending_and_final_unless_asked(index: Path) -> None:
    for version in ("1.10", "1.9", "2.0rc1", "1.9+local"):
        wheel(index, version)
    assert releases(PACKAGE) == ["1.9", "1.10"]
    assert releases(PACKAGE, pre=True) == ["1.9", "1.10", "2.0rc1"]


def test_near_versions() -> None:
    assert near("1.5", ["1.0", "1.1", "1.4", "1.6", "2.0", "3.0"]) == ["1.1", "1.4", "1.6", "2.0"]
    assert near("9", ["1.0", "1.1"]) == ["1.0", "1.1"]
    assert near("1", []) == []


def test_each_package_is_named_once() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse(["convfuzz-tiny==1", "Convfuzz_Tiny==2"])


def test_what_an_isolated_toolchain_needs_of_ours_is_no_framework() -> None:
    names = {one.name for one in requirements_of_ours()}
    assert {"msgspec", "numpy", "safetensors", "SQLAlchemy"} <= names
    assert not names & {"torch", "tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "ai-edge-litert"}
