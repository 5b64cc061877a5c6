"""What travels along a route: formats, artifacts, options, availability."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from packaging.requirements import Requirement

from generators.choices import Choices

Setting: TypeAlias = "bool | int | float | str"
Settings: TypeAlias = "Mapping[str, Setting]"


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
    back as complex arrays."""

    format: Format
    data: bytes
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    complex_outputs: tuple[int, ...] = ()


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


@dataclass(frozen=True)
class Availability:
    """Whether a subject can be used here: the versions of what it needs, or what is missing and how to get it."""

    versions: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""

    @property
    def available(self) -> bool:
        return not self.problem


def availability(requires: Sequence[str]) -> Availability:
    """Check requirement strings such as ``torch>=2.9`` against the installed distributions, importing nothing."""
    versions: dict[str, str] = {}
    missing: list[str] = []
    problems: list[str] = []
    for text in requires:
        requirement = Requirement(text)
        try:
            version = importlib.metadata.version(requirement.name)
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
