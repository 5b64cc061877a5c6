"""Graphs as JSON trees, in which each constant is the number of its array."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from generators.graph import (
    Argument,
    Array,
    Constant,
    DType,
    Graph,
    GraphError,
    Input,
    Node,
    Path,
    Ref,
    Slice,
    Symbol,
    TensorType,
    Value,
)
from generators.json_reading import (
    Json,
    as_dtype,
    as_flag,
    as_integer,
    as_list,
    as_object,
    as_text,
    member,
    name_of,
    refuse,
    tensor_of,
)
from generators.wellformed import check

#: Tuples, slices and bodies may be nested this deeply; deeper ones are refused on both sides.
MAX_DEPTH = 32


def graph_to_json(graph: Graph) -> tuple[dict[str, Json], list[Array]]:
    """The graph as a JSON tree, in which each constant is the number of its array in the list that comes with it.

    GraphError, naming the place, for an argument of no type that graphs can hold or nested deeper than MAX_DEPTH.
    """
    tensors: list[Array] = []
    return _graph_to_json(graph, tensors, "graph", 0), tensors


def graph_from_json(tree: Json, tensors: Sequence[Array]) -> Graph:
    """The graph of a tree made by :func:`graph_to_json`, checked. GraphError, naming the place, for any other."""
    graph = _graph_from_json(tree, tensors, "graph", 0)
    check(graph)
    return graph


# -- writing ---------------------------------------------------------------------------------------------------------


def _graph_to_json(graph: Graph, tensors: list[Array], where: str, depth: int) -> dict[str, Json]:
    constants: list[Json] = []
    for constant in graph.constants:
        constants.append({"name": constant.name, "tensor": len(tensors), "trainable": constant.trainable})
        tensors.append(constant.data)
    inputs: list[Json] = [
        {
            "name": value.name,
            "type": type_to_json(value.type),
            "layout": list(value.layout),
            # Left out where there is none, so that digests of static graphs are what they always were.
            **({"dynamic": list(value.dynamic)} if value.dynamic else {}),
            **({"path": _path_to_json(value.path)} if value.path else {}),
        }
        for value in graph.inputs
    ]
    nodes: list[Json] = []
    for index, node in enumerate(graph.nodes):
        place = f"{where}, node {index} ({node.target})"
        nodes.append(
            {
                "target": node.target,
                "args": [_to_json(item, tensors, f"{place}, argument {n}", depth) for n, item in enumerate(node.args)],
                "kwargs": [[key, _to_json(item, tensors, f"{place}, {key}", depth)] for key, item in node.kwargs],
                "outputs": [{"name": value.name, "type": type_to_json(value.type)} for value in node.outputs],
                "unpack": node.unpack,
            }
        )
    places: list[Json] = [[name, _path_to_json(path)] for name, path in graph.places if name in graph.outputs]
    return {
        "frontend": graph.frontend,
        "inputs": inputs,
        "constants": constants,
        "nodes": nodes,
        "outputs": list(graph.outputs),
        **({"places": places} if places else {}),
    }


def _path_to_json(path: Path) -> list[Json]:
    return [list(part) if isinstance(part, tuple) else part for part in path]


def _to_json(item: Argument, tensors: list[Array], where: str, depth: int) -> Json:
    if depth > MAX_DEPTH:
        refuse(where, f"nested deeper than {MAX_DEPTH}")
    if item is None or isinstance(item, (bool, str)):
        return item
    if isinstance(item, int):
        return int(item)
    if isinstance(item, float):
        # Bits where JSON has no number: NaN keeps its sign and payload.
        return float(item) if math.isfinite(item) else {"float": struct.pack(">d", item).hex()}
    if isinstance(item, complex):
        parts = (_to_json(part, tensors, where, depth) for part in (item.real, item.imag))
        return {"complex": list(parts)}
    if item is Ellipsis:
        return {"ellipsis": True}
    if isinstance(item, Ref):
        return {"ref": item.name}
    if isinstance(item, DType):
        return {"dtype": item.name}
    if isinstance(item, Symbol):
        return {"symbol": item.path}
    if isinstance(item, Slice):
        bounds = (item.start, item.stop, item.step)
        return {"slice": [_to_json(bound, tensors, where, depth + 1) for bound in bounds]}
    if isinstance(item, tuple):
        return [_to_json(part, tensors, where, depth + 1) for part in item]
    if isinstance(item, Graph):
        return {"graph": _graph_to_json(item, tensors, f"{where}, body", depth + 1)}
    raise GraphError(f"{where}: no argument can be a {type(item).__name__}")


def type_to_json(kind: TensorType) -> dict[str, Json]:
    return {"dtype": kind.dtype, "shape": list(kind.shape)}


# -- reading ---------------------------------------------------------------------------------------------------------


def _graph_from_json(tree: Json, tensors: Sequence[Array], where: str, depth: int) -> Graph:
    if depth > MAX_DEPTH:
        refuse(where, f"nested deeper than {MAX_DEPTH}")
    members = as_object(tree, where)
    inputs = []
    for index, item in enumerate(as_list(member(members, "inputs", where), f"{where}, inputs")):
        place = f"{where}, input {index}"
        entry = as_object(item, place)
        layout = tuple(
            as_integer(axis, f"{place}, layout") for axis in as_list(member(entry, "layout", place), f"{place}, layout")
        )
        dynamic = tuple(
            None if symbol is None else as_text(symbol, f"{place}, dynamic")
            for symbol in as_list(entry.get("dynamic", []), f"{place}, dynamic")
        )
        kind = type_from_json(member(entry, "type", place), place)
        path = _path_from_json(entry.get("path", []), f"{place}, path")
        inputs.append(Input(name_of(entry, place), kind, layout, dynamic, path))
    constants = []
    for index, item in enumerate(as_list(member(members, "constants", where), f"{where}, constants")):
        place = f"{where}, constant {index}"
        entry = as_object(item, place)
        data = tensor_of(member(entry, "tensor", place), tensors, place)
        constants.append(Constant(name_of(entry, place), data, as_flag(member(entry, "trainable", place), place)))
    nodes = [
        _node_from_json(item, tensors, f"{where}, node {index}", depth)
        for index, item in enumerate(as_list(member(members, "nodes", where), f"{where}, nodes"))
    ]
    outputs = tuple(
        as_text(name, f"{where}, output {index}")
        for index, name in enumerate(as_list(member(members, "outputs", where), f"{where}, outputs"))
    )
    frontend = as_text(member(members, "frontend", where), f"{where}, frontend")
    places = []
    for index, item in enumerate(as_list(members.get("places", []), f"{where}, places")):
        place = f"{where}, place {index}"
        pair = as_list(item, place)
        if len(pair) != 2:
            refuse(place, "no name and path")
        places.append((as_text(pair[0], place), _path_from_json(pair[1], place)))
    return Graph(frontend, tuple(inputs), tuple(constants), tuple(nodes), outputs, tuple(places))


def _path_from_json(tree: Json, where: str) -> Path:
    parts: list[str | int | tuple[int]] = []
    for part in as_list(tree, where):
        if isinstance(part, list):
            if len(part) != 1:
                refuse(where, "a place in a list is one number")
            parts.append((as_integer(part[0], where),))
        else:
            parts.append(part if isinstance(part, str) else as_integer(part, where))
    return tuple(parts)


def _node_from_json(tree: Json, tensors: Sequence[Array], where: str, depth: int) -> Node:
    members = as_object(tree, where)
    target = as_text(member(members, "target", where), f"{where}, target")
    if not target:
        refuse(where, "its target is empty")
    place = f"{where} ({target:.60})"
    args = tuple(
        _from_json(item, tensors, f"{place}, argument {number}", depth)
        for number, item in enumerate(as_list(member(members, "args", place), f"{place}, args"))
    )
    kwargs: list[tuple[str, Argument]] = []
    for number, item in enumerate(as_list(member(members, "kwargs", place), f"{place}, kwargs")):
        pair = as_list(item, f"{place}, keyword {number}")
        if len(pair) != 2:
            refuse(f"{place}, keyword {number}", f"a pair was expected, found {len(pair)} items")
        key = as_text(pair[0], f"{place}, keyword {number}")
        if any(key == other for other, _ in kwargs):
            refuse(f"{place}, keyword {number}", f"{key!r:.60} is given twice")
        kwargs.append((key, _from_json(pair[1], tensors, f"{place}, {key:.60}", depth)))
    outputs = []
    for number, item in enumerate(as_list(member(members, "outputs", place), f"{place}, outputs")):
        entry = as_object(item, f"{place}, output {number}")
        kind = type_from_json(member(entry, "type", f"{place}, output {number}"), f"{place}, output {number}")
        outputs.append(Value(name_of(entry, f"{place}, output {number}"), kind))
    unpack = as_flag(member(members, "unpack", place), f"{place}, unpack")
    return Node(target, args, tuple(kwargs), tuple(outputs), unpack)


def _from_json(tree: Json, tensors: Sequence[Array], where: str, depth: int) -> Argument:
    if depth > MAX_DEPTH:
        refuse(where, f"nested deeper than {MAX_DEPTH}")
    if isinstance(tree, list):
        return tuple(_from_json(item, tensors, where, depth + 1) for item in tree)
    if not isinstance(tree, dict):
        return tree
    if len(tree) != 1:
        refuse(where, f"an argument has one tag, this one has {len(tree)}")
    ((tag, content),) = tree.items()
    if tag == "float":
        return _float_bits(content, where)
    if tag == "complex":
        parts = [_from_json(part, tensors, where, depth + 1) for part in as_list(content, where)]
        if len(parts) != 2 or not all(isinstance(part, float) for part in parts):
            refuse(where, "a complex number has two floats")
        return complex(*parts)  # type: ignore[arg-type]
    if tag == "ellipsis":
        return ...
    if tag == "ref":
        return Ref(as_text(content, where))
    if tag == "dtype":
        return DType(as_dtype(content, where))
    if tag == "symbol":
        return Symbol(as_text(content, where))
    if tag == "slice":
        bounds = [_from_json(bound, tensors, where, depth + 1) for bound in as_list(content, where)]
        if len(bounds) != 3:
            refuse(where, f"a slice has three bounds, this one has {len(bounds)}")
        return Slice(*bounds)
    if tag == "graph":
        return _graph_from_json(content, tensors, f"{where}, body", depth + 1)
    raise GraphError(f"{where}: unknown tag {tag!r:.60}")


def _float_bits(content: Json, where: str) -> float:
    try:
        (value,) = struct.unpack(">d", bytes.fromhex(as_text(content, where)))
    except (ValueError, struct.error) as error:
        raise GraphError(f"{where}: a float's bits are 16 hexadecimal digits") from error
    return float(value)


def type_from_json(tree: Json, where: str) -> TensorType:
    members = as_object(tree, where)
    extents = []
    for extent in as_list(member(members, "shape", where), f"{where}, shape"):
        size = as_integer(extent, f"{where}, shape")
        if not 0 <= size < 2**62:
            refuse(f"{where}, shape", f"no dimension has {size!s:.30} elements")
        extents.append(size)
    return TensorType(as_dtype(member(members, "dtype", where), where), tuple(extents))
