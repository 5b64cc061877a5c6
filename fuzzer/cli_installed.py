"""Commands about what is installed: versions, subjects, operators."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fuzzer.cli_output import terminal

if TYPE_CHECKING:
    from fuzzer.converters.base import Converter
    from fuzzer.runtimes.base import Runtime


def version() -> None:
    """Print the version."""
    print(f"convfuzz {importlib.metadata.version('convfuzz')}")


def registered(name: str) -> tuple[str, ...] | None:
    """The targets of a frontend; None when its framework is not installed."""
    from generators.frontends.base import frontend

    try:
        with quiet():
            return frontend(name).targets()
    except (ImportError, KeyError):
        return None


def doctor(as_json: bool) -> int:
    """Print what is installed and what is missing; the exit status."""
    from fuzzer.doctor import exit_status, report, table
    from fuzzer.screen import to_json

    with quiet():
        rows = report()
    if as_json:
        for row in rows:
            print(to_json(row))
    else:
        terminal().print(table(rows))
    return exit_status(rows)


def operators(counts: bool, as_json: bool) -> None:
    """Print the operators of each frontend, or how many there are in each family."""
    from importlib.metadata import entry_points

    from fuzzer.cli_harvest import available, counted
    from generators.frontends.base import frontend

    harvest = available()
    listing: dict[str, dict[str, list[str]]] = {}
    for name in sorted(entry.name for entry in entry_points(group="convfuzz.frontends")):
        with quiet():
            frontend(name).mix_in(harvest if name == "torch" else "")
            registry = frontend(name).registry()
        families = listing.setdefault(name, {})
        for target in registry.targets():
            families.setdefault(registry[target].family, []).append(target)
        if control := frontend(name).control_targets():
            families["control flow"] = [*control]
    if as_json:
        result: Any = listing
        if counts:
            result = {name: {key: len(value) for key, value in families.items()} for name, families in listing.items()}
        print(json.dumps(result))
        return
    for name, families in listing.items():
        print(f"{name}: {sum(map(len, families.values()))} operators{counted(families, harvest)}")
        for family, targets in sorted(families.items()):
            if counts:
                print(f"  {family:<20} {len(targets)}")
            else:
                print(f"  {family}")
                print("".join(f"    {target}\n" for target in targets), end="")


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


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing on the process' standard error: TensorFlow's native code greets there, whatever its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
