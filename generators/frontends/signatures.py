"""Which arguments of an operator may be None by its documented signature.

Frameworks take None in places where nobody would write it: ``tf.nn.conv1d_transpose(…, strides=None)`` runs in eager
mode. A report that rests on such a call is closed unread, so cases that make one are not used.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from generators.graph import Node

#: Positions and keywords at which None is documented.
Optional = frozenset[int | str]


def optional_of_function(function: Callable[..., Any]) -> Optional | None:
    """Arguments of a Python function whose default is None, whose annotation admits it or of which the docstring says
    so; None when it has no signature that could be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    found: set[int | str] = set()
    for position, parameter in enumerate(parameters):
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            return None  # it hands on what it is given
        # torch.jit's lists that a number stands for evaluate to a bare None.
        annotation = "" if parameter.annotation is None else str(parameter.annotation)
        told = described(function.__doc__ or "", parameter.name)
        if parameter.default is None or any("None" in text or "Optional" in text for text in (annotation, told)):
            found.update((position, parameter.name))
    return frozenset(found)


def described(docstring: str, parameter: str) -> str:
    """The entry of a parameter in the ``Args`` of a docstring of Google's style, up to the next entry."""
    match = re.search(rf"^ *{re.escape(parameter)}: .*?(?=^ *\w+:|\Z|^ *$)", docstring, re.MULTILINE | re.DOTALL)
    return match[0] if match else ""


def merged(parts: Iterable[Optional]) -> Optional:
    """What any of several overloads admits."""
    return frozenset[int | str]().union(*parts)


def undocumented_none(node: Node, optional: Optional) -> str:
    """The first argument that is None where that is not documented, as a position or a keyword; empty when there is
    none. None inside a tuple is left to the framework."""
    for position, value in enumerate(node.args):
        if value is None and position not in optional:
            return f"argument {position}"
    for key, value in node.kwargs:
        if value is None and key not in optional:
            return f"argument {key!r}"
    return ""
