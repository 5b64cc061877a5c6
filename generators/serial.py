"""Cases as bytes: one safetensors file whose metadata holds the graph as JSON. Never pickle.

The metadata has one entry, ``convfuzz``: a JSON object with ``format``, ``version``, ``graph``, ``feeds`` (input to
tensor number), ``profiles``, ``tensors`` (element type and shape of each) and, where the graph has dynamic dimensions,
``further`` (feeds at other sizes). Tensor number ``i`` is stored as
``t<i>``; element types that safetensors cannot hold travel as the bytes of their elements. The round trip is exact
to the bit.

A file may come from anyone: whatever its bytes are, loading ends in a well-formed case or in a GraphError.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
import safetensors
import safetensors.numpy

from generators.graph import (
    DTYPES,
    Argument,
    Array,
    Case,
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
    check,
    check_case,
    type_of,
)

#: What the JSON must say in "format", and the one version of it that this code reads and writes.
FORMAT = "convfuzz-case"
VERSION = 1
#: Tuples, slices and bodies may be nested this deeply; deeper ones are refused on both sides.
MAX_DEPTH = 32

_KEY = "convfuzz"
#: Element types stored as themselves; all others as bytes.
_PLAIN = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
#: Element types that do not use all bits of their byte, with the number of bits that they do use.
_NARROW = {"bool": 1, "int4": 4, "uint4": 4, "float4_e2m1fn": 4}

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def dumps(case: Case) -> bytes:
    """The case as the bytes of a safetensors file. Equal cases give equal bytes.

    Feeds of names that are no inputs have no effect on execution and are left out. GraphError when the case is
    malformed (:func:`generators.graph.check_case`) or an argument is of no type that graphs can hold.
    """
    check_case(case)
    tree, tensors = graph_to_json(case.graph)
    feeds: dict[str, Json] = {}
    for value in case.graph.inputs:
        feeds[value.name] = len(tensors)
        tensors.append(case.feeds[value.name])
    further: list[Json] = []
    for others in case.further:
        numbers: dict[str, Json] = {}
        for value in case.graph.inputs:
            numbers[value.name] = len(tensors)
            tensors.append(others[value.name])
        further.append(numbers)
    document: dict[str, Json] = {
        "format": FORMAT,
        "version": VERSION,
        "graph": tree,
        "feeds": feeds,
        **({"further": further} if further else {}),
        "profiles": dict(sorted(case.profiles.items())),
        "tensors": [_type_to_json(type_of(array)) for array in tensors],
    }
    stored = {f"t{number}": _to_stored(array) for number, array in enumerate(tensors)}
    return bytes(safetensors.numpy.save(stored, {_KEY: json.dumps(document, allow_nan=False)}))


def loads(data: bytes) -> Case:
    """The case of a file made by :func:`dumps`. GraphError, naming the place of the fault, for any other bytes."""
    try:
        stored = dict(safetensors.deserialize(bytes(data)))  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, ValueError) as error:
        raise GraphError(f"file: no safetensors file: {error}") from error
    document = _object(_document(bytes(data)), "file")
    if document.get("format") != FORMAT:
        _refuse("file, format", f"expected {FORMAT!r}, found {document.get('format')!r:.60}")
    version = document.get("version")
    if isinstance(version, bool) or version != VERSION:
        _refuse("file, version", f"this release reads version {VERSION}, found {version!r:.60}")
    declared = _list(_member(document, "tensors", "file"), "file, tensors")
    wanted = {f"t{number}" for number in range(len(declared))}
    if stored.keys() != wanted:
        odd = sorted(stored.keys() ^ wanted)[0]
        _refuse("file, tensors", f"tensor {odd!r:.60} is {'not declared' if odd in stored else 'missing'}")
    tensors = [
        _from_stored(stored[f"t{number}"], _type_from_json(kind, f"file, tensor {number}"), f"file, tensor {number}")
        for number, kind in enumerate(declared)
    ]
    graph = graph_from_json(_member(document, "graph", "file"), tensors)
    feeds = _feeds_from_json(_member(document, "feeds", "file"), graph, tensors, "file, feed")
    further = tuple(
        _feeds_from_json(entry, graph, tensors, f"file, size {number + 1}, feed")
        for number, entry in enumerate(_list(document.get("further", []), "file, further feeds"))
    )
    profiles = {
        name: _text(profile, f"file, profile of {name!r:.60}")
        for name, profile in _object(_member(document, "profiles", "file"), "file, profiles").items()
    }
    case = Case(graph, feeds, profiles, further)
    check_case(case)
    return case


def _feeds_from_json(tree: Json, graph: Graph, tensors: Sequence[Array], where: str) -> dict[str, Array]:
    inputs = {value.name for value in graph.inputs}
    feeds = {}
    for name, number in _object(tree, f"{where}s").items():
        if name not in inputs:
            _refuse(f"{where}s", f"{name!r:.60} is no input of the graph")
        feeds[name] = _tensor(number, tensors, f"{where} of {name!r:.60}")
    return feeds


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


# -- writing -------------------------------------------------------------------------------------------------------


def _graph_to_json(graph: Graph, tensors: list[Array], where: str, depth: int) -> dict[str, Json]:
    constants: list[Json] = []
    for constant in graph.constants:
        constants.append({"name": constant.name, "tensor": len(tensors), "trainable": constant.trainable})
        tensors.append(constant.data)
    inputs: list[Json] = [
        {
            "name": value.name,
            "type": _type_to_json(value.type),
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
                "outputs": [{"name": value.name, "type": _type_to_json(value.type)} for value in node.outputs],
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
        _refuse(where, f"nested deeper than {MAX_DEPTH}")
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


def _type_to_json(kind: TensorType) -> dict[str, Json]:
    return {"dtype": kind.dtype, "shape": list(kind.shape)}


def _to_stored(array: Array) -> Array:
    dense = np.array(array, order="C", copy=True)
    if type_of(array).dtype in _PLAIN:
        return dense
    data = np.frombuffer(dense.tobytes(), dtype=np.uint8)
    bits = _NARROW.get(type_of(array).dtype, 8)
    return data & ((1 << bits) - 1) if bits < 8 else data  # arithmetic leaves anything in the unused bits


# -- reading -------------------------------------------------------------------------------------------------------


def _refuse(where: str, fault: str) -> NoReturn:
    raise GraphError(f"{where}: {fault}")


def _document(data: bytes) -> Json:
    """The JSON in the metadata of a file that the safetensors library has already found well formed."""
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = json.loads(data[8 : 8 + length])
        text = (header.get("__metadata__") or {}).get(_KEY)
        if text is None:
            _refuse("file", f"its metadata has no entry {_KEY!r}: not written by convfuzz")
        document: Json = json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise GraphError("file: its JSON is nested too deeply") from error
    except ValueError as error:
        if isinstance(error, GraphError):
            raise
        raise GraphError(f"file: its metadata is no JSON: {error}") from error
    return document


def _no_constant(text: str) -> NoReturn:
    raise GraphError(f"file: its JSON has the number {text}")


def _graph_from_json(tree: Json, tensors: Sequence[Array], where: str, depth: int) -> Graph:
    if depth > MAX_DEPTH:
        _refuse(where, f"nested deeper than {MAX_DEPTH}")
    members = _object(tree, where)
    inputs = []
    for index, item in enumerate(_list(_member(members, "inputs", where), f"{where}, inputs")):
        place = f"{where}, input {index}"
        entry = _object(item, place)
        layout = tuple(
            _integer(axis, f"{place}, layout") for axis in _list(_member(entry, "layout", place), f"{place}, layout")
        )
        dynamic = tuple(
            None if symbol is None else _text(symbol, f"{place}, dynamic")
            for symbol in _list(entry.get("dynamic", []), f"{place}, dynamic")
        )
        kind = _type_from_json(_member(entry, "type", place), place)
        path = _path_from_json(entry.get("path", []), f"{place}, path")
        inputs.append(Input(_name(entry, place), kind, layout, dynamic, path))
    constants = []
    for index, item in enumerate(_list(_member(members, "constants", where), f"{where}, constants")):
        place = f"{where}, constant {index}"
        entry = _object(item, place)
        data = _tensor(_member(entry, "tensor", place), tensors, place)
        constants.append(Constant(_name(entry, place), data, _flag(_member(entry, "trainable", place), place)))
    nodes = [
        _node_from_json(item, tensors, f"{where}, node {index}", depth)
        for index, item in enumerate(_list(_member(members, "nodes", where), f"{where}, nodes"))
    ]
    outputs = tuple(
        _text(name, f"{where}, output {index}")
        for index, name in enumerate(_list(_member(members, "outputs", where), f"{where}, outputs"))
    )
    frontend = _text(_member(members, "frontend", where), f"{where}, frontend")
    places = []
    for index, item in enumerate(_list(members.get("places", []), f"{where}, places")):
        place = f"{where}, place {index}"
        pair = _list(item, place)
        if len(pair) != 2:
            _refuse(place, "no name and path")
        places.append((_text(pair[0], place), _path_from_json(pair[1], place)))
    return Graph(frontend, tuple(inputs), tuple(constants), tuple(nodes), outputs, tuple(places))


def _path_from_json(tree: Json, where: str) -> Path:
    parts: list[str | int | tuple[int]] = []
    for part in _list(tree, where):
        if isinstance(part, list):
            if len(part) != 1:
                _refuse(where, "a place in a list is one number")
            parts.append((_integer(part[0], where),))
        else:
            parts.append(part if isinstance(part, str) else _integer(part, where))
    return tuple(parts)


def _node_from_json(tree: Json, tensors: Sequence[Array], where: str, depth: int) -> Node:
    members = _object(tree, where)
    target = _text(_member(members, "target", where), f"{where}, target")
    if not target:
        _refuse(where, "its target is empty")
    place = f"{where} ({target:.60})"
    args = tuple(
        _from_json(item, tensors, f"{place}, argument {number}", depth)
        for number, item in enumerate(_list(_member(members, "args", place), f"{place}, args"))
    )
    kwargs: list[tuple[str, Argument]] = []
    for number, item in enumerate(_list(_member(members, "kwargs", place), f"{place}, kwargs")):
        pair = _list(item, f"{place}, keyword {number}")
        if len(pair) != 2:
            _refuse(f"{place}, keyword {number}", f"a pair was expected, found {len(pair)} items")
        key = _text(pair[0], f"{place}, keyword {number}")
        if any(key == other for other, _ in kwargs):
            _refuse(f"{place}, keyword {number}", f"{key!r:.60} is given twice")
        kwargs.append((key, _from_json(pair[1], tensors, f"{place}, {key:.60}", depth)))
    outputs = []
    for number, item in enumerate(_list(_member(members, "outputs", place), f"{place}, outputs")):
        entry = _object(item, f"{place}, output {number}")
        kind = _type_from_json(_member(entry, "type", f"{place}, output {number}"), f"{place}, output {number}")
        outputs.append(Value(_name(entry, f"{place}, output {number}"), kind))
    unpack = _flag(_member(members, "unpack", place), f"{place}, unpack")
    return Node(target, args, tuple(kwargs), tuple(outputs), unpack)


def _from_json(tree: Json, tensors: Sequence[Array], where: str, depth: int) -> Argument:
    if depth > MAX_DEPTH:
        _refuse(where, f"nested deeper than {MAX_DEPTH}")
    if isinstance(tree, list):
        return tuple(_from_json(item, tensors, where, depth + 1) for item in tree)
    if not isinstance(tree, dict):
        return tree
    if len(tree) != 1:
        _refuse(where, f"an argument has one tag, this one has {len(tree)}")
    ((tag, content),) = tree.items()
    if tag == "float":
        return _float_bits(content, where)
    if tag == "complex":
        parts = [_from_json(part, tensors, where, depth + 1) for part in _list(content, where)]
        if len(parts) != 2 or not all(isinstance(part, float) for part in parts):
            _refuse(where, "a complex number has two floats")
        return complex(*parts)  # type: ignore[arg-type]
    if tag == "ellipsis":
        return ...
    if tag == "ref":
        return Ref(_text(content, where))
    if tag == "dtype":
        return DType(_dtype(content, where))
    if tag == "symbol":
        return Symbol(_text(content, where))
    if tag == "slice":
        bounds = [_from_json(bound, tensors, where, depth + 1) for bound in _list(content, where)]
        if len(bounds) != 3:
            _refuse(where, f"a slice has three bounds, this one has {len(bounds)}")
        return Slice(*bounds)
    if tag == "graph":
        return _graph_from_json(content, tensors, f"{where}, body", depth + 1)
    raise GraphError(f"{where}: unknown tag {tag!r:.60}")


def _float_bits(content: Json, where: str) -> float:
    try:
        (value,) = struct.unpack(">d", bytes.fromhex(_text(content, where)))
    except (ValueError, struct.error) as error:
        raise GraphError(f"{where}: a float's bits are 16 hexadecimal digits") from error
    return float(value)


def _type_from_json(tree: Json, where: str) -> TensorType:
    members = _object(tree, where)
    extents = []
    for extent in _list(_member(members, "shape", where), f"{where}, shape"):
        size = _integer(extent, f"{where}, shape")
        if not 0 <= size < 2**62:
            _refuse(f"{where}, shape", f"no dimension has {size!s:.30} elements")
        extents.append(size)
    return TensorType(_dtype(_member(members, "dtype", where), where), tuple(extents))


def _from_stored(entry: Mapping[str, Any], kind: TensorType, where: str) -> Array:
    """The array of a declared type; the file's own type and shape for it must agree with the declaration."""
    raw = bytes(entry["data"])
    dtype = DTYPES[kind.dtype]
    stored = (entry["dtype"], tuple(entry["shape"]))
    size = kind.size * dtype.itemsize
    plain = kind.dtype in _PLAIN
    wanted = (_STORED_NAMES[kind.dtype], kind.shape) if plain else ("U8", (size,))
    if stored != wanted or len(raw) != size:
        _refuse(where, f"declared {kind}, stored {stored[0]}{list(stored[1])}")
    if kind.dtype in _NARROW and any(byte >> _NARROW[kind.dtype] for byte in set(raw)):
        _refuse(where, f"its bytes are no elements of {kind.dtype}")
    try:
        return np.frombuffer(raw, dtype=dtype).reshape(kind.shape).copy()
    except ValueError as error:  # more dimensions than NumPy has, or more elements than it can count
        raise GraphError(f"{where}: {error}") from error


_STORED_NAMES = {
    "bool": "BOOL",
    **{f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
}


def _object(tree: Json, where: str) -> dict[str, Json]:
    if not isinstance(tree, dict):
        _refuse(where, f"an object was expected, found {_kind(tree)}")
    return tree


def _list(tree: Json, where: str) -> list[Json]:
    if not isinstance(tree, list):
        _refuse(where, f"a list was expected, found {_kind(tree)}")
    return tree


def _text(tree: Json, where: str) -> str:
    if not isinstance(tree, str):
        _refuse(where, f"text was expected, found {_kind(tree)}")
    return tree


def _integer(tree: Json, where: str) -> int:
    if isinstance(tree, bool) or not isinstance(tree, int):
        _refuse(where, f"an integer was expected, found {_kind(tree)}")
    return tree


def _flag(tree: Json, where: str) -> bool:
    if not isinstance(tree, bool):
        _refuse(where, f"true or false was expected, found {_kind(tree)}")
    return tree


def _dtype(tree: Json, where: str) -> str:
    name = _text(tree, where)
    if name not in DTYPES:
        _refuse(where, f"unknown dtype {name!r:.60}")
    return name


def _name(members: dict[str, Json], where: str) -> str:
    return _text(_member(members, "name", where), f"{where}, name")


def _member(members: dict[str, Json], key: str, where: str) -> Json:
    if key not in members:
        _refuse(where, f"{key!r} is missing")
    return members[key]


def _tensor(number: Json, tensors: Sequence[Array], where: str) -> Array:
    index = _integer(number, where)
    if not 0 <= index < len(tensors):
        _refuse(where, f"there is no tensor {index!s:.30}")
    return tensors[index]


def _kind(tree: Json) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(tree), "a number")
