"""What JSON from anyone must be, piece by piece: each function returns what was expected, or raises GraphError, which
names the place (``where``) and the fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, TypeAlias

from generators.graph import DTYPES, Array, GraphError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def refuse(where: str, fault: str) -> NoReturn:
    """Raise the error that names the place and the fault."""
    raise GraphError(f"{where}: {fault}")


def as_object(tree: Json, where: str) -> dict[str, Json]:
    """An object."""
    if not isinstance(tree, dict):
        refuse(where, f"an object was expected, found {_kind(tree)}")
    return tree


def as_list(tree: Json, where: str) -> list[Json]:
    """A list."""
    if not isinstance(tree, list):
        refuse(where, f"a list was expected, found {_kind(tree)}")
    return tree


def as_text(tree: Json, where: str) -> str:
    """A string."""
    if not isinstance(tree, str):
        refuse(where, f"text was expected, found {_kind(tree)}")
    return tree


def as_integer(tree: Json, where: str) -> int:
    """An integer, which true and false are not."""
    if isinstance(tree, bool) or not isinstance(tree, int):
        refuse(where, f"an integer was expected, found {_kind(tree)}")
    return tree


def as_flag(tree: Json, where: str) -> bool:
    """True or false."""
    if not isinstance(tree, bool):
        refuse(where, f"true or false was expected, found {_kind(tree)}")
    return tree


def as_dtype(tree: Json, where: str) -> str:
    """The name of an element type."""
    name = as_text(tree, where)
    if name not in DTYPES:
        refuse(where, f"unknown dtype {name!r:.60}")
    return name


def name_of(members: dict[str, Json], where: str) -> str:
    """The member ``name``, a string."""
    return as_text(member(members, "name", where), f"{where}, name")


def member(members: dict[str, Json], key: str, where: str) -> Json:
    """A member of an object, which has to be there."""
    if key not in members:
        refuse(where, f"{key!r} is missing")
    return members[key]


def tensor_of(number: Json, tensors: Sequence[Array], where: str) -> Array:
    """The tensor of that number."""
    index = as_integer(number, where)
    if not 0 <= index < len(tensors):
        refuse(where, f"there is no tensor {index!s:.30}")
    return tensors[index]


def _kind(tree: Json) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(tree), "a number")
