"""What travels along a route: formats, artifacts, options, availability."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from packaging.requirements import Requirement

from generators.choices import Choices

Setting: TypeAlias = "bool | int | float | str"
Settings: TypeAlias = "Mapping[str, Setting]"
#: What a model declares of the dimensions of an input: a number where the extent is fixed, a symbol (or a formula of
#: symbols) or None where it is not. None when nothing is known of the input.
Extents: TypeAlias = "tuple[int | str | None, ...] | None"


class Format(StrEnum):
    """Formats that converters read and write; the names of frontends for models in memory."""

    TORCH = "torch"
    TENSORFLOW = "tensorflow"
    KERAS = "keras"
    ONNX = "onnx"
    TFLITE = "tflite"
    #: What torch.export.save writes.
    EXPORTED_PROGRAM = "pt2"
    #: A SavedModel's directory as a zip archive.
    SAVED_MODEL = "saved_model"
    #: A graph of ours as it is serialised: what the identity route hands on, to test the harness against itself.
    GRAPH = "graph"


@dataclass(frozen=True)
class Artifact:
    """A converted model. ``data`` is the serialised file. Inputs are fed by position in ``inputs`` (names in the
    artifact, in the order of the graph's inputs; None for one that the converter removed as unused); ``outputs``
    are names in the artifact in the order of the graph's outputs. ``complex_outputs`` are the indices of those that
    hold complex numbers as pairs of reals along a last dimension of 2, as torch.onnx writes them; a runtime gives them
    back as complex arrays. ``files`` are what the serialised file refers to (external data of ONNX), by the path beside
    it: see :meth:`in_directory`. ``extents`` is what the model declares of each input's dimensions, where that is
    known, and ``ranges`` the least and greatest extent (None: any) that the converter itself says a symbol may have.
    ``stored`` tells that quantized inputs and outputs are the integers that they are stored as, not real numbers."""

    format: Format
    data: bytes
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    complex_outputs: tuple[int, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    extents: tuple[Extents, ...] = ()
    ranges: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    stored: bool = False

    @contextmanager
    def in_directory(self) -> Iterator[Path]:
        """The path of the serialised file in a directory of its own, with its other files, while inside. InvalidModel
        when a file's path leads out of the directory, or is that of another."""
        with tempfile.TemporaryDirectory(prefix="convfuzz-") as name:
            directory = Path(name).resolve()
            taken = {directory / f"model.{self.format}": self.data}
            for place, data in self.files.items():
                path = directory / place
                # What a model calls a file may come from anybody: neither ``..`` nor ``/etc/passwd``.
                if "\0" in place or not path.resolve().is_relative_to(directory) or path in (directory, *taken):
                    raise InvalidModel(f"a file of the model is called {place!r}, which is no path beside it")
                taken[path] = data
            for path, data in taken.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            yield next(iter(taken))


@dataclass(frozen=True)
class Option:
    """A setting of a converter or runtime: its values, the default first, and how often each is drawn."""

    name: str
    values: tuple[Setting, ...]
    weights: tuple[float, ...] = ()
    help: str = ""

    def sample(self, choices: Choices) -> Setting:
        """A value drawn by the weights (equal ones when none are given)."""
        weights = self.weights or (1.0,) * len(self.values)
        point = choices.fraction() * sum(weights)
        for value, weight in zip(self.values, weights, strict=True):
            point -= weight
            if point < 0:
                return value
        return self.values[-1]

    @property
    def drawn(self) -> tuple[Setting, ...]:
        """The values that are ever drawn: those of a weight above zero."""
        weights = self.weights or (1.0,) * len(self.values)
        return tuple(value for value, weight in zip(self.values, weights, strict=True) if weight > 0)

    def order(self, choices: Choices) -> list[Setting]:
        """The values that are ever drawn in random order."""
        left = list(self.drawn)
        return [left.pop(choices.integer(0, len(left) - 1)) for _ in range(len(left))]


@dataclass(frozen=True)
class Availability:
    """Whether a subject can be used here: the versions of what it needs, or what is missing and how to get it."""

    versions: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""

    @property
    def available(self) -> bool:
        return not self.problem


class _Installed:
    """Where packages are looked for: None for where this interpreter imports from."""

    paths: Sequence[str] | None = None


@contextmanager
def installed_at(paths: Sequence[str] | None) -> Iterator[None]:
    """Inside, what is available is what an interpreter that imports from these directories has; None for this one."""
    before, _Installed.paths = _Installed.paths, paths
    try:
        yield
    finally:
        _Installed.paths = before


def version_of(distribution: str) -> str:
    """The version of an installed distribution, importing nothing. PackageNotFoundError when it is not there."""
    if _Installed.paths is None:
        return importlib.metadata.version(distribution)
    found = next(iter(importlib.metadata.distributions(name=distribution, path=list(_Installed.paths))), None)
    if found is None:
        raise importlib.metadata.PackageNotFoundError(distribution)
    return found.version


def availability(requires: Sequence[str]) -> Availability:
    """Check requirement strings such as ``torch>=2.9`` against the installed distributions, importing nothing."""
    versions: dict[str, str] = {}
    missing: list[str] = []
    problems: list[str] = []
    for text in requires:
        requirement = Requirement(text)
        try:
            version = version_of(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is not installed")
            missing.append(text)
            continue
        versions[requirement.name] = version
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} is installed, {requirement.specifier} is needed")
            missing.append(text)
    remedy = "pip install " + " ".join(f"'{text}'" for text in missing) if missing else ""
    return Availability(versions, "; ".join(problems), remedy)


class Unsupported(Exception):
    """A subject said that it does not support the model. Not a bug: it is counted in the support matrix.

    ``what`` names the unsupported thing in a normalised way (an operator, often with a dtype).
    """

    def __init__(self, what: str, message: str = "") -> None:
        super().__init__(message or what)
        self.what = what


class InvalidModel(Exception):
    """A validator refuses the artifact that a converter made; ``complaints`` are its reasons, at least one."""

    def __init__(self, *complaints: str) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints
