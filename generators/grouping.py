"""Arguments of a model that hold several tensors: tuples, dictionaries, and these in one another.

An input says where it is (:attr:`generators.graph.Input.path`), so that whatever drops, renames or joins inputs need
know nothing of it: what is left is a grouping again. Arguments are in the order of their first inputs, keys of a
dictionary likewise, items of a tuple by their numbers, which need not be consecutive. Inside the project feeds are
flat, by the names of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from generators.choices import Choices
from generators.graph import Graph, Input

T = TypeVar("T")
#: The place of an input in ``graph.inputs``, or several in a tuple or a dictionary.
Tree: TypeAlias = "int | tuple[Tree, ...] | dict[str, Tree]"

#: What an argument is called that has no name yet, and keys that dictionaries have, as models do. Neither sorted nor
#: of one length: frameworks sort them, or do not.
_KEYS = ("tokens", "mask", "ids", "bias", "x", "query", "key", "0")
#: Names of the structures, with the weights that they are drawn by.
GROUPINGS: Mapping[str, float] = {"tuple input": 2.0, "dict input": 2.0, "nested inputs": 1.5}


def is_grouped(graph: Graph) -> bool:
    """Whether an argument holds several tensors."""
    return any(value.path for value in graph.inputs)


def arguments_of(graph: Graph) -> list[Tree]:
    """The arguments of the model, in order."""
    return [tree for _, tree in named_arguments(graph)]


def named_arguments(graph: Graph) -> list[tuple[str, Tree]]:
    """The arguments of the model, in order, with the names of the input or of the argument that holds several."""
    groups: dict[tuple[bool, str], list[tuple[tuple[str | int, ...], int]]] = {}
    for index, value in enumerate(graph.inputs):
        name = str(value.path[0]) if value.path else value.name
        groups.setdefault((bool(value.path), name), []).append((value.path[1:], index))
    return [(name, _tree(members)) for (_, name), members in groups.items()]


def _tree(members: Sequence[tuple[tuple[str | int, ...], int]]) -> Tree:
    [(path, index), *_] = members
    if not path:
        return index
    items: dict[str | int, list[tuple[tuple[str | int, ...], int]]] = {}
    for path, index in members:
        items.setdefault(path[0], []).append((path[1:], index))
    if any(isinstance(key, int) for key in items):
        return tuple(_tree(items[key]) for key in sorted(items, key=int))
    return {str(key): _tree(inner) for key, inner in items.items()}


def mapped(tree: Tree, leaf: Callable[[int], Any]) -> Any:
    """The tree with something in place of each number of an input."""
    if isinstance(tree, int):
        return leaf(tree)
    if isinstance(tree, tuple):
        return tuple(mapped(item, leaf) for item in tree)
    return {key: mapped(item, leaf) for key, item in tree.items()}


def nested(graph: Graph, items: Sequence[T]) -> list[Any]:
    """What there is for each input (a tensor, a specification) as the model's arguments."""
    if not is_grouped(graph):
        return list(items)
    return [mapped(tree, items.__getitem__) for tree in arguments_of(graph)]


def leaves(trees: Iterable[Tree]) -> Iterator[int]:
    """The numbers of the inputs in the order of the arguments, dictionaries in the order of their keys."""
    for tree in trees:
        if isinstance(tree, int):
            yield tree
        else:
            yield from leaves(tree.values() if isinstance(tree, dict) else tree)


def in_order(graph: Graph, items: Sequence[T]) -> list[T]:
    """What there is for each input in the order in which the arguments hold them."""
    return [items[index] for index in leaves(arguments_of(graph))] if is_grouped(graph) else list(items)


def text_of(tree: Tree, leaf: Callable[[int], str]) -> str:
    """Source text of an argument, of which ``leaf`` gives that of an input."""
    if isinstance(tree, int):
        return leaf(tree)
    if isinstance(tree, tuple):
        items = ", ".join(text_of(item, leaf) for item in tree)
        return f"({items},)" if len(tree) == 1 else f"({items})"
    return "{" + ", ".join(f"{key!r}: {text_of(item, leaf)}" for key, item in tree.items()) + "}"


def arranging_text(graph: Graph, inputs: str) -> str:
    """Source text of the tuple of arguments, made of a list of tensors of that name."""
    return text_of(tuple(arguments_of(graph)), lambda index: f"{inputs}[{index}]")


def unpacked(graph: Graph, names: Callable[[str], str], fresh: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """The parameters of a function that takes the arguments, and the statements that make its inputs of them. ``names``
    gives the identifier of an input, ``fresh`` one for something else."""
    parameters: list[str] = []
    lines: list[str] = []
    for name, tree in named_arguments(graph):
        if isinstance(tree, int):
            parameters.append(names(graph.inputs[tree].name))
            continue
        parameter = fresh(name if name.isidentifier() and name.isascii() else "argument")
        parameters.append(parameter)
        lines += _statements(tree, parameter, lambda index: names(graph.inputs[index].name))
    return parameters, lines


def _statements(tree: Tree, holder: str, name: Callable[[int], str]) -> Iterator[str]:
    if isinstance(tree, int):
        yield f"{name(tree)} = {holder}"
    elif isinstance(tree, tuple) and all(isinstance(item, int) for item in tree):
        targets = ", ".join(name(int(item)) for item in tree)  # type: ignore[arg-type]
        yield f"{targets}{',' if len(tree) == 1 else ''} = {holder}"
    else:
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, item in items:
            yield from _statements(item, f"{holder}[{key!r}]", name)


def grouped(choices: Choices, inputs: Sequence[Input], kind: str) -> list[Input]:
    """The inputs with some neighbours, one at least, in an argument of that kind."""
    count = choices.integer(min(2, len(inputs)), min(len(inputs), 5))
    start = choices.integer(0, len(inputs) - count)
    left, numbers = list(_KEYS), list(range(count))
    keys = [left.pop(choices.integer(0, len(left) - 1)) for _ in numbers]

    def below(holder: tuple[str | int, ...], places: Sequence[int], numbered: bool) -> list[tuple[str | int, ...]]:
        return [(*holder, number if numbered else keys[place]) for number, place in enumerate(places)]

    in_tuple = kind == "tuple input" or (kind == "nested inputs" and choices.fraction() < 0.5)
    paths = below(("items" if in_tuple else "named",), numbers, in_tuple)
    if kind == "nested inputs":
        # The last few are one level deeper, in a tuple or a dictionary.
        first = choices.integer(0, count - 1)
        paths[first:] = below(paths[first], numbers[first:], choices.fraction() < 0.5)
    marked = [replace(value, path=path) for value, path in zip(inputs[start : start + count], paths, strict=True)]
    return [*inputs[:start], *marked, *inputs[start + count :]]


def structures(graph: Graph) -> Iterator[str]:
    """Those of :data:`GROUPINGS` that a graph has."""
    trees = [tree for tree in arguments_of(graph) if not isinstance(tree, int)]
    if any(isinstance(tree, tuple) for tree in trees):
        yield "tuple input"
    if any(isinstance(tree, dict) for tree in trees):
        yield "dict input"
    if any(len(value.path) > 2 for value in graph.inputs):
        yield "nested inputs"


def ungrouped(graph: Graph) -> Graph:
    """The graph whose inputs are arguments by themselves."""
    return replace(graph, inputs=tuple(replace(value, path=()) for value in graph.inputs))
