"""Whether a graph and a case are well formed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from generators.graph import DTYPES, Array, Case, Graph, GraphError, Input, Path, TensorType, type_of


def check(graph: Graph, *, outer: frozenset[str] = frozenset(), where: str = "graph") -> None:
    """Raise GraphError unless names are unique and defined before use, types are sane and outputs exist.

    ``outer`` are the names visible from outside a body.
    """
    defined: set[str] = set()

    def define(name: str, kind: TensorType, place: str) -> None:
        if not isinstance(name, str) or not name:
            raise GraphError(f"{place}: a value needs a non-empty name, got {name!r}")
        if name in defined or name in outer:
            raise GraphError(f"{place}: value {name!r} is defined twice")
        if kind.dtype not in DTYPES:
            raise GraphError(f"{place}: value {name!r} has unknown dtype {kind.dtype!r}")
        for extent in kind.shape:
            if not isinstance(extent, int) or extent < 0:
                raise GraphError(f"{place}: value {name!r} has shape {kind.shape!r}; extents are integers from 0")
        defined.add(name)

    for index, entry in enumerate(graph.inputs):
        place = f"{where}, input {index}"
        define(entry.name, entry.type, place)
        if entry.layout and sorted(entry.layout) != list(range(entry.type.rank)):
            raise GraphError(f"{place}: layout {entry.layout!r} is no permutation of {entry.type.rank} dimensions")
        if entry.dynamic:
            _check_marking(entry, place)
        if entry.path:
            _check_path(entry.name, entry.path, [(x.name, x.path) for x in graph.inputs if x.path], "argument", place)
    for index, constant in enumerate(graph.constants):
        define(constant.name, constant.type, f"{where}, constant {index}")
    for index, node in enumerate(graph.nodes):
        place = f"{where}, node {index} ({node.target})"
        for name in node.references():
            if name not in defined and name not in outer:
                raise GraphError(f"{place}: uses value {name!r}, which nothing before it defines")
        for number, body in enumerate(node.bodies()):
            check(body, outer=outer | frozenset(defined), where=f"{place}, body {number}")
        for value in node.outputs:
            define(value.name, value.type, place)
    for index, name in enumerate(graph.outputs):
        if name not in defined and name not in outer:
            raise GraphError(f"{where}, output {index}: value {name!r} is not defined")
    placed = [(name, path) for name, path in graph.places if name in graph.outputs]
    for name, path in placed:
        _check_path(name, path, placed, "result", f"{where}, place of {name!r}")


def _check_marking(entry: Input, place: str) -> None:
    if len(entry.dynamic) != entry.type.rank or not any(entry.dynamic):
        raise GraphError(f"{place}: {entry.dynamic!r} marks no dimensions of a tensor of {entry.type.rank}")
    for symbol in entry.dynamic:
        if symbol is not None and not (isinstance(symbol, str) and symbol.isidentifier()):
            raise GraphError(f"{place}: {symbol!r} is no symbol for a dimension: an identifier is")


def _check_path(name: str, path: Path, others: Sequence[tuple[str, Path]], what: str, place: str) -> None:
    if len(path) < 2 or not isinstance(path[0], str) or not all(_is_key(part) for part in path):
        raise GraphError(f"{place}: {path!r} is no place in a {what}: a name, then keys or numbers from 0")
    if sum(other == name for other, _ in others) > 1:
        raise GraphError(f"{place}: {name!r} has two places")
    for other, its in others:
        if other == name:
            continue
        shared = next((at for at, pair in enumerate(zip(path, its, strict=False)) if pair[0] != pair[1]), None)
        if shared is None:
            raise GraphError(f"{place}: {name!r} and {other!r} are at {path!r} and {its!r}")
        if shared and type(path[shared]) is not type(its[shared]):
            raise GraphError(f"{place}: {path!r} and {its!r} are in what is a dictionary, a tuple or a list at once")


def _is_key(part: object) -> bool:
    if isinstance(part, tuple):
        return len(part) == 1 and isinstance(part[0], int) and _is_key(part[0])
    return bool(part) if isinstance(part, str) else isinstance(part, int) and not isinstance(part, bool) and part >= 0


def check_case(case: Case) -> None:
    """Raise GraphError unless the graph is well formed and every input has a feed of its very type; those of further
    feeds differ from it in the extents of dynamic dimensions only, those with one symbol alike."""
    check(case.graph)
    for value in case.graph.inputs:
        if value.name not in case.feeds:
            raise GraphError(f"input {value.name!r} has no feed")
        actual = type_of(case.feeds[value.name])
        if actual != value.type:
            raise GraphError(f"input {value.name!r} is {value.type}, its feed is {actual}")
    if case.further or any(value.dynamic for value in case.graph.inputs):
        for number, feeds in enumerate((case.feeds, *case.further)):
            _check_sizes(case.graph, feeds, f"size {number}")


def _check_sizes(graph: Graph, feeds: Mapping[str, Array], where: str) -> None:
    extents: dict[str, int] = {}
    for value in graph.inputs:
        if value.name not in feeds:
            raise GraphError(f"{where}: input {value.name!r} has no feed")
        actual = type_of(feeds[value.name])
        if actual.dtype != value.type.dtype or actual.rank != value.type.rank:
            raise GraphError(f"{where}: input {value.name!r} is {value.type}, its feed is {actual}")
        for axis, (extent, declared) in enumerate(zip(actual.shape, value.type.shape, strict=True)):
            symbol = value.dynamic[axis] if value.dynamic else None
            wanted = declared if symbol is None else extents.setdefault(symbol, extent)
            if extent != wanted:
                of = f"dimension {symbol}" if symbol else "a static dimension"
                raise GraphError(f"{where}: input {value.name!r} has extent {extent} at {axis}, {of} has {wanted}")
