"""Finding and replacing literals among the arguments of a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

from generators.graph import Argument, Node, Slice

#: Where an argument is: a position or a keyword, then indices into tuples (0, 1, 2 for the parts of a slice).
Path: TypeAlias = "tuple[int | str, ...]"


def arguments(node: Node) -> Iterator[tuple[Path, Argument]]:
    """Every argument of the node with its path, tuples and slices before their items."""
    for index, value in enumerate(node.args):
        yield from _walk((index,), value)
    for key, value in node.kwargs:
        yield from _walk((key,), value)


def _walk(path: Path, value: Argument) -> Iterator[tuple[Path, Argument]]:
    yield path, value
    for index, item in enumerate(_items(value)):
        yield from _walk((*path, index), item)


def _items(value: Argument) -> tuple[Argument, ...]:
    if isinstance(value, Slice):
        return (value.start, value.stop, value.step)
    return value if isinstance(value, tuple) else ()


def argument_at(node: Node, path: Path) -> Argument:
    """The argument at a path. KeyError when the node has none there."""
    for found, value in arguments(node):
        if found == path:
            return value
    raise KeyError(path)


def replace_argument(node: Node, path: Path, new: Argument) -> Node:
    """The node with the argument at the path replaced; unchanged when there is none."""

    def change(value: Argument, rest: Path) -> Argument:
        if not rest:
            return new
        items = list(_items(value))
        position = rest[0]
        if not isinstance(position, int) or position >= len(items):
            return value
        items[position] = change(items[position], rest[1:])
        return Slice(*items) if isinstance(value, Slice) else tuple(items)

    first = path[0]
    if isinstance(first, int):
        args = tuple(change(value, path[1:]) if index == first else value for index, value in enumerate(node.args))
        return replace(node, args=args)
    return replace(
        node, kwargs=tuple((key, change(value, path[1:]) if key == first else value) for key, value in node.kwargs)
    )


def drop_argument(node: Node, path: Path) -> Node | None:
    """The node without the keyword, or without the last positional argument; None when the path is neither."""
    if len(path) != 1:
        return None
    if isinstance(path[0], str):
        kept = tuple(item for item in node.kwargs if item[0] != path[0])
        return replace(node, kwargs=kept) if len(kept) < len(node.kwargs) else None
    if path[0] == len(node.args) - 1:
        return replace(node, args=node.args[:-1])
    return None
