"""Finding converters and runtimes through entry points."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from typing import Any, TypeVar

T = TypeVar("T")


class PluginError(RuntimeError):
    """An entry point names something that cannot be loaded or is of the wrong type."""


@functools.cache
def _load(group: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()()
        except Exception as error:
            raise PluginError(
                f"entry point {entry.name!r} ({entry.value}) in group {group} does not load: {error}. "
                f"Reinstall or uninstall the package that declares it."
            ) from error
    return found


def load_plugins(group: str, kind: type[T]) -> dict[str, T]:
    """One instance of each plugin of the group by name. PluginError names the entry point at fault."""
    found = _load(group)
    for name, plugin in found.items():
        if not isinstance(plugin, kind):
            raise PluginError(f"entry point {name!r} in group {group} is no {kind.__name__}")
    return dict(found)
