"""Routes: the ways from a frontend through a converter to a runtime that are installed here."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import entry_points

from fuzzer.converters.base import converters
from fuzzer.errors import UsageError
from fuzzer.runtimes.base import runtimes


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """Names of a frontend, a converter and a runtime whose formats fit together."""

    frontend: str
    converter: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.frontend}:{self.converter}:{self.runtime}"


def routes(*, available: bool = True) -> list[Route]:
    """The routes that the installed plugins make, sorted; only those whose packages are there unless ``available`` is
    false. Imports no framework."""
    frontends = {entry.name for entry in entry_points(group="convfuzz.frontends")}
    found = [
        Route(converter.source.value, converter.name, runtime.name)
        for converter in converters().values()
        for runtime in runtimes().values()
        if converter.source.value in frontends
        and converter.target is runtime.format
        and not (available and problem(converter.name, runtime.name))
    ]
    return sorted(found)


def problem(converter: str, runtime: str) -> tuple[str, str] | None:
    """Why a converter and a runtime cannot be used here, with the remedy; None when they can."""
    for subject in (converters()[converter], runtimes()[runtime]):
        state = subject.availability()
        if not state.available:
            return f"{subject.name}: {state.problem}", state.remedy
    return None


def select(patterns: Sequence[str], *, own_models: bool = False) -> list[Route]:
    """The available routes that the patterns name, sorted; without patterns all of converters used by default. Those
    that are for users' own models only are not among them unless ``own_models``.

    A pattern is the name of a converter (``tflite``), of a route (``torch:torch.onnx-dynamo:onnxruntime``), or either
    with the wildcards ``*`` and ``?``. UsageError for a pattern that matches nothing, or nothing that can be used.
    """
    every = routes()
    usable = [route for route in every if own_models or not converters()[route.converter].own_models]
    if not patterns:
        if chosen_by_default := [route for route in usable if converters()[route.converter].default]:
            return chosen_by_default
        raise UsageError("no route is available", "`convfuzz doctor` says what to install")
    chosen: set[Route] = set()
    for pattern in patterns:
        if matching := [route for route in usable if _matches(pattern, route)]:
            chosen.update(matching)
            continue
        if withheld := [route for route in every if _matches(pattern, route)]:
            name = withheld[0].converter
            raise UsageError(f"{name} takes models of your own only", f"convfuzz check MODEL --route {name}")
        absent = [route for route in routes(available=False) if _matches(pattern, route)]
        if absent:
            reason, remedy = problem(absent[0].converter, absent[0].runtime) or ("", "")
            raise UsageError(f"route {absent[0]} cannot be used: {reason}", remedy or "`convfuzz doctor` says more")
        raise UsageError(f"no route or converter is called {pattern!r}{_similar(pattern, usable)}", _existing(usable))
    return sorted(chosen)


def _matches(pattern: str, route: Route) -> bool:
    return fnmatchcase(route.converter, pattern) or fnmatchcase(str(route), pattern)


def _similar(pattern: str, usable: Sequence[Route]) -> str:
    names = [*dict.fromkeys(route.converter for route in usable), *map(str, usable)]
    close = difflib.get_close_matches(pattern, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _existing(usable: Sequence[Route]) -> str:
    if not usable:
        return "`convfuzz doctor` says what to install"
    return "available: " + ", ".join(map(str, usable))
