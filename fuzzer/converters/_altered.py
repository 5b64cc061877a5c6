"""Modules of subjects with some of their names replaced."""

from __future__ import annotations

import types
from typing import Any


def altered(module: types.ModuleType, **names: Any) -> types.ModuleType:
    """A module that has all that ``module`` has but for these names: put in the place of the module that another one
    imported, it changes what that one sees and nothing else."""
    own = types.ModuleType(module.__name__)
    vars(own).update({**vars(module), **names})
    return own
