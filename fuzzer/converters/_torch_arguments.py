"""The arguments of a model as ``torch.onnx.export`` wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def positional(arguments: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments, none of them for keyword arguments, which it takes a dictionary for that comes last: documented is
    that another, empty one follows then."""
    return (*arguments, {}) if arguments and isinstance(arguments[-1], dict) else tuple(arguments)
