"""One entry of torch's ModuleInfo at a time."""

from __future__ import annotations

from typing import Any

from generators.frontends.base import Frontend
from generators.harvest.records import Entry


def module_entries() -> list[Any]:
    """Torch's list of modules. ImportError when a package that torch's test suite needs is not installed."""
    from torch.testing._internal.common_modules import module_db

    return list(module_db)


def collect_module(frontend: Frontend, info: Any) -> Entry:
    """The entry of one ModuleInfo."""
    return Entry(info.name.replace(".", "_"), "module", reason="not collected yet")
