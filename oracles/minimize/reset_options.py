"""Turn the converter's options back to their defaults, as far as the failure stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

Setting = TypeVar("Setting")


def reset_options(
    settings: Mapping[str, Setting],
    defaults: Mapping[str, Setting],
    still_fails: Callable[[Mapping[str, Setting]], bool],
) -> dict[str, Setting]:
    """The settings with as many of them at their defaults as ``still_fails`` allows: all of them if it does, else those
    that can be alone or together with the ones before. What has no default stays as it is."""
    current = dict(settings)
    unusual = [name for name, value in settings.items() if name in defaults and value != defaults[name]]
    if not unusual:
        return current
    everything = {**current, **{name: defaults[name] for name in unusual}}
    if still_fails(everything):
        return everything
    for name in unusual if len(unusual) > 1 else ():
        trial = {**current, name: defaults[name]}
        if still_fails(trial):
            current = trial
    return current
