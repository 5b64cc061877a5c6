"""Finding converters and runtimes through entry points."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from typing import Any, TypeVar

T = TypeVar("T")


class PluginError(RuntimeError):
    """An entry point names something that cannot be loaded or is of the wrong type."""


@functools.cache
def _load(group: str) -> tuple[dict[str, Any], dict[str, PluginError]]:
    found: dict[str, Any] = {}
    broken: dict[str, PluginError] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()()
        except Exception as error:  # noqa: BLE001  (somebody else's plugin; reported by `broken_plugins`)
            broken[entry.name] = PluginError(
                f"entry point {entry.name!r} ({entry.value}) in group {group} does not load: "
                f"{type(error).__name__}: {error}. Reinstall or uninstall the package that declares it."
            )
    return found, broken


def load_plugins(group: str, kind: type[T]) -> dict[str, T]:
    """One instance of each plugin of the group by name, those left out that do not load (see
    :func:`broken_plugins`): one broken package must not stand in the way of the others."""
    return {name: plugin for name, plugin in _load(group)[0].items() if isinstance(plugin, kind)}


def broken_plugins(group: str, kind: type[Any]) -> dict[str, PluginError]:
    """What is wrong with the plugins that :func:`load_plugins` leaves out, by name."""
    found, broken = _load(group)
    wrong = {
        name: PluginError(f"entry point {name!r} in group {group} is no {kind.__name__}. Uninstall its package.")
        for name, plugin in found.items()
        if not isinstance(plugin, kind)
    }
    return {**broken, **wrong}
