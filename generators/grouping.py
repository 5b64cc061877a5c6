"""Arguments and results of a model that hold several tensors: tuples, lists, dictionaries, and these in one another.

An input says where it is (:attr:`generators.graph.Input.path`), so that whatever drops, renames or joins inputs need
know nothing of it: what is left is a grouping again. Arguments are in the order of their first inputs, keys of a
dictionary likewise, items of a tuple or a list by their numbers, which need not be consecutive. Inside the project
feeds are flat, by the names of the inputs, and so are results, in the order of the outputs; the places of these are
kept by name beside them (:attr:`generators.graph.Graph.places`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from generators.choices import Choices
from generators.graph import Graph, Input, Path

T = TypeVar("T")
#: The place of an input in ``graph.inputs`` (or of an output), or several in a tuple, a list or a dictionary.
Tree: TypeAlias = "int | tuple[Tree, ...] | list[Tree] | dict[str, Tree]"

#: What an argument is called that has no name yet, and keys that dictionaries have, as models do. Neither sorted nor
#: of one length: frameworks sort them, or do not.
_KEYS = ("tokens", "mask", "ids", "bias", "x", "query", "key", "0")
#: Names of the structures, with the weights that they are drawn by.
GROUPINGS: Mapping[str, float] = {"tuple input": 2.0, "dict input": 2.0, "list input": 1.0, "nested inputs": 1.5}
#: Those of results, which are a tuple otherwise.
#: A model of a frontend of :data:`WHOLE` returns a dictionary of all its outputs, or none: converters of Keras models
#: know no others.
WHOLE = frozenset({"keras"})
RESULTS: Mapping[str, float] = {"dict output": 2.0, "list output": 1.0, "nested outputs": 1.0}


def is_grouped(graph: Graph) -> bool:
    """Whether an argument holds several tensors."""
    return any(value.path for value in graph.inputs)


def arguments_of(graph: Graph) -> list[Tree]:
    """The arguments of the model, in order."""
    return [tree for _, tree in named_arguments(graph)]


def named_arguments(graph: Graph) -> list[tuple[str, Tree]]:
    """The arguments of the model, in order, with the names of the input or of the argument that holds several."""
    return _trees([(value.name, value.path) for value in graph.inputs])


def returns_grouped(graph: Graph) -> bool:
    """Whether a result of the model holds several tensors."""
    return any(name in graph.outputs for name, _ in graph.places)


def results_of(graph: Graph) -> list[Tree]:
    """The results of the model, in order, by the places of the outputs. A single one is what it returns, several are a
    tuple."""
    places = dict(graph.places)
    # An output that is repeated is another result by itself.
    return [
        tree
        for _, tree in _trees([(f"{name} {index}", places.pop(name, ())) for index, name in enumerate(graph.outputs)])
    ]


def _trees(entries: Iterable[tuple[str, Path]]) -> list[tuple[str, Tree]]:
    groups: dict[tuple[bool, str], list[tuple[Path, int]]] = {}
    for index, (own, path) in enumerate(entries):
        name = str(path[0]) if path else own
        groups.setdefault((bool(path), name), []).append((path[1:], index))
    return [(name, _tree(members)) for (_, name), members in groups.items()]


def _tree(members: Sequence[tuple[Path, int]]) -> Tree:
    [(path, index), *_] = members
    if not path:
        return index
    items: dict[str | int | tuple[int], list[tuple[Path, int]]] = {}
    for path, index in members:
        items.setdefault(path[0], []).append((path[1:], index))
    if isinstance(path[0], str):
        return {str(key): _tree(inner) for key, inner in items.items()}
    ordered = [_tree(items[key]) for key in sorted(items)]
    return ordered if isinstance(path[0], tuple) else tuple(ordered)


def mapped(tree: Tree, leaf: Callable[[int], Any]) -> Any:
    """The tree with something in place of each number of an input."""
    if isinstance(tree, int):
        return leaf(tree)
    if isinstance(tree, (tuple, list)):
        return type(tree)(mapped(item, leaf) for item in tree)
    return {key: mapped(item, leaf) for key, item in tree.items()}


def nested(graph: Graph, items: Sequence[T]) -> list[Any]:
    """What there is for each input (a tensor, a specification) as the model's arguments."""
    if not is_grouped(graph):
        return list(items)
    return [mapped(tree, items.__getitem__) for tree in arguments_of(graph)]


def leaves(trees: Iterable[Tree], *, by_key: bool = False) -> Iterator[int]:
    """The numbers of the inputs in the order of the arguments, dictionaries in that of their keys, or sorted."""
    for tree in trees:
        if isinstance(tree, int):
            yield tree
        elif isinstance(tree, dict):
            yield from leaves((tree[key] for key in (sorted(tree) if by_key else tree)), by_key=by_key)
        else:
            yield from leaves(tree, by_key=by_key)


def in_order(graph: Graph, items: Sequence[T]) -> list[T]:
    """What there is for each input in the order in which the arguments hold them."""
    return [items[index] for index in leaves(arguments_of(graph))] if is_grouped(graph) else list(items)


def collected(graph: Graph, returned: Any) -> list[Any]:
    """The tensors of the graph's outputs, in order, out of what the model returned. KeyError, IndexError or TypeError
    when that holds them in another way."""
    trees = results_of(graph)
    found: dict[int, Any] = {}

    def collect(tree: Tree, held: Any) -> None:
        if isinstance(tree, int):
            found[tree] = held
            return
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            collect(item, held[key])

    for tree, held in zip(trees, [returned] if len(trees) == 1 else returned, strict=True):
        collect(tree, held)
    return [found[index] for index in range(len(graph.outputs))]


def output_order(graph: Graph, *, by_key: bool = False) -> list[int]:
    """The outputs in the order in which the results hold them, dictionaries in that of their keys, or sorted."""
    return list(leaves(results_of(graph), by_key=by_key))


def in_results(graph: Graph, items: Sequence[T], *, by_key: bool = False) -> list[T]:
    """What there is for each output in the order in which the results hold them (:func:`output_order`)."""
    return [items[index] for index in output_order(graph, by_key=by_key)] if returns_grouped(graph) else list(items)


def accessing_text(graph: Graph, returned: str, *, by_key: bool = False) -> str:
    """Source text of a list of the outputs, taken out of what the model returned, in the order in which that holds them
    (:func:`output_order`)."""

    def accesses(tree: Tree, holder: str) -> Iterator[str]:
        if isinstance(tree, int):
            yield holder
            return
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, item in sorted(items) if by_key else items:
            yield from accesses(item, f"{holder}[{key!r}]")

    trees = results_of(graph)
    holders = [returned] if len(trees) == 1 else [f"{returned}[{number}]" for number in range(len(trees))]
    return (
        f"[{', '.join(text for tree, holder in zip(trees, holders, strict=True) for text in accesses(tree, holder))}]"
    )


def returning_text(graph: Graph, leaf: Callable[[int], str]) -> str:
    """Source text of what the model returns, of which ``leaf`` gives that of an output."""
    return ", ".join(text_of(tree, leaf) for tree in results_of(graph)) or "()"


def text_of(tree: Tree, leaf: Callable[[int], str]) -> str:
    """Source text of an argument, of which ``leaf`` gives that of an input."""
    if isinstance(tree, int):
        return leaf(tree)
    if isinstance(tree, (tuple, list)):
        items = ", ".join(text_of(item, leaf) for item in tree)
        if isinstance(tree, list):
            return f"[{items}]"
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
    elif isinstance(tree, (tuple, list)) and all(isinstance(item, int) for item in tree):
        targets = ", ".join(name(int(item)) for item in tree)  # type: ignore[arg-type]
        yield f"{targets}{',' if len(tree) == 1 else ''} = {holder}"
    else:
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, item in items:
            yield from _statements(item, f"{holder}[{key!r}]", name)


def grouped(choices: Choices, inputs: Sequence[Input], kind: str) -> list[Input]:
    """The inputs with some neighbours, one at least, in an argument of that kind."""
    start, paths = _paths(choices, len(inputs), kind)
    marked = [replace(value, path=path) for value, path in zip(inputs[start : start + len(paths)], paths, strict=True)]
    return [*inputs[:start], *marked, *inputs[start + len(paths) :]]


def placed(choices: Choices, outputs: Sequence[str], kind: str, *, whole: bool = False) -> tuple[tuple[str, Path], ...]:
    """Places of some neighbours among the outputs, which are distinct, in a result of that kind; mostly of all, and
    none when it has to be ``whole`` and there are too many."""
    start, paths = _paths(choices, len(outputs), kind, whole=whole or choices.fraction() < 0.6)
    if whole and len(paths) < len(outputs):
        return ()
    return tuple(zip(outputs[start : start + len(paths)], paths, strict=True))


def _paths(choices: Choices, size: int, kind: str, *, whole: bool = False) -> tuple[int, list[Path]]:
    """Where a group of that kind starts among so many, and the path of each of its members."""
    most = min(size, len(_KEYS))
    count = most if whole else choices.integer(min(2, size), min(size, 5))
    start = choices.integer(0, size - count)
    left, numbers = list(_KEYS), list(range(count))
    keys = [left.pop(choices.integer(0, len(left) - 1)) for _ in numbers]

    def below(holder: Path, places: Sequence[int], made: str) -> list[Path]:
        if made == "dict":
            return [(*holder, keys[place]) for place in places]
        return [(*holder, (number,) if made == "list" else number) for number, _ in enumerate(places)]

    kinds = ("tuple", "dict", "list")
    nests = kind in ("nested inputs", "nested outputs")
    outer = choices.pick(kinds) if nests else kind.partition(" ")[0]
    name = {"tuple": "items", "dict": "named", "list": "several"}[outer]
    paths = below((name,), numbers, outer)
    if nests:
        # The last few are one level deeper.
        first = choices.integer(0, count - 1)
        paths[first:] = below(paths[first], numbers[first:], choices.pick(kinds))
    return start, paths


def structures(graph: Graph) -> Iterator[str]:
    """Those of :data:`GROUPINGS` and :data:`RESULTS` that a graph has."""
    for of, trees in (("input", arguments_of(graph)), ("output", results_of(graph))):
        for made, kind in ((tuple, "tuple"), (dict, "dict"), (list, "list")):
            if any(isinstance(tree, made) for tree in trees):
                yield f"{kind} {of}"
    if any(len(value.path) > 2 for value in graph.inputs):
        yield "nested inputs"
    if any(len(path) > 2 for name, path in graph.places if name in graph.outputs):
        yield "nested outputs"


def ungrouped(graph: Graph) -> Graph:
    """The graph whose inputs are arguments by themselves, and whose outputs are results by themselves."""
    return replace(graph, inputs=tuple(replace(value, path=()) for value in graph.inputs), places=())
