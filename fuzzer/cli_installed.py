"""Commands about what is installed: the version, subjects, operators."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fuzzer.cli_output import terminal


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
