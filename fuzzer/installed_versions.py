"""Versions of what is installed."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzzer.converters.base import Converter
    from fuzzer.runtimes.base import Runtime


def versions_of_routes(routes: tuple[str, ...]) -> dict[str, str]:
    """Versions of everything that the routes use, convfuzz and Python included."""
    from fuzzer.routes import select

    chosen = select(routes, own_models=True)
    names = {route.converter for route in chosen} | {route.runtime for route in chosen}
    return versions_of(*sorted(names))


def versions_of(*names: str) -> dict[str, str]:
    """Versions of what these converters and runtimes use, convfuzz and Python included."""
    from fuzzer.converters.base import converters
    from fuzzer.runtimes.base import runtimes

    versions = {
        "convfuzz": importlib.metadata.version("convfuzz"),
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    subjects: dict[str, Converter | Runtime] = {**converters(), **runtimes()}
    for name, subject in subjects.items():
        if name in names:
            versions.update(subject.availability().versions)
    return versions


def version_here(distribution: str) -> str:
    """Version of a distribution that this interpreter has; empty when it has none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
