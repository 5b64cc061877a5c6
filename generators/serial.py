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
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import safetensors
import safetensors.numpy

from generators.graph import DTYPES, Array, Case, Graph, GraphError, TensorType, type_of
from generators.graph_json import graph_from_json, graph_to_json, type_from_json, type_to_json
from generators.json_reading import Json, as_list, as_object, as_text, member, refuse, tensor_of
from generators.wellformed import check_case

#: What the JSON must say in "format", and the one version of it that this code reads and writes.
FORMAT = "convfuzz-case"
VERSION = 1

_KEY = "convfuzz"
#: Element types stored as themselves; all others as bytes.
_PLAIN = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
#: Element types that do not use all bits of their byte, with the number of bits that they do use.
_NARROW = {"bool": 1, "int4": 4, "uint4": 4, "float4_e2m1fn": 4}


def dumps(case: Case) -> bytes:
    """The case as the bytes of a safetensors file. Equal cases give equal bytes.

    Feeds of names that are no inputs have no effect on execution and are left out. GraphError when the case is
    malformed (:func:`generators.wellformed.check_case`) or an argument is of no type that graphs can hold.
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
        "tensors": [type_to_json(type_of(array)) for array in tensors],
    }
    stored = {f"t{number}": _to_stored(array) for number, array in enumerate(tensors)}
    return bytes(safetensors.numpy.save(stored, {_KEY: json.dumps(document, allow_nan=False)}))


def loads(data: bytes) -> Case:
    """The case of a file made by :func:`dumps`. GraphError, naming the place of the fault, for any other bytes."""
    try:
        stored = dict(safetensors.deserialize(bytes(data)))  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, ValueError) as error:
        raise GraphError(f"file: no safetensors file: {error}") from error
    document = as_object(_document(bytes(data)), "file")
    if document.get("format") != FORMAT:
        refuse("file, format", f"expected {FORMAT!r}, found {document.get('format')!r:.60}")
    version = document.get("version")
    if isinstance(version, bool) or version != VERSION:
        refuse("file, version", f"this release reads version {VERSION}, found {version!r:.60}")
    declared = as_list(member(document, "tensors", "file"), "file, tensors")
    wanted = {f"t{number}" for number in range(len(declared))}
    if stored.keys() != wanted:
        odd = sorted(stored.keys() ^ wanted)[0]
        refuse("file, tensors", f"tensor {odd!r:.60} is {'not declared' if odd in stored else 'missing'}")
    tensors = [
        _from_stored(stored[f"t{number}"], type_from_json(kind, f"file, tensor {number}"), f"file, tensor {number}")
        for number, kind in enumerate(declared)
    ]
    graph = graph_from_json(member(document, "graph", "file"), tensors)
    feeds = _feeds_from_json(member(document, "feeds", "file"), graph, tensors, "file, feed")
    further = tuple(
        _feeds_from_json(entry, graph, tensors, f"file, size {number + 1}, feed")
        for number, entry in enumerate(as_list(document.get("further", []), "file, further feeds"))
    )
    profiles = {
        name: as_text(profile, f"file, profile of {name!r:.60}")
        for name, profile in as_object(member(document, "profiles", "file"), "file, profiles").items()
    }
    case = Case(graph, feeds, profiles, further)
    check_case(case)
    return case


def _feeds_from_json(tree: Json, graph: Graph, tensors: Sequence[Array], where: str) -> dict[str, Array]:
    inputs = {value.name for value in graph.inputs}
    feeds = {}
    for name, number in as_object(tree, f"{where}s").items():
        if name not in inputs:
            refuse(f"{where}s", f"{name!r:.60} is no input of the graph")
        feeds[name] = tensor_of(number, tensors, f"{where} of {name!r:.60}")
    return feeds


def _document(data: bytes) -> Json:
    """The JSON in the metadata of a file that the safetensors library has already found well formed."""
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = json.loads(data[8 : 8 + length])
        text = (header.get("__metadata__") or {}).get(_KEY)
        if text is None:
            refuse("file", f"its metadata has no entry {_KEY!r}: not written by convfuzz")
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


def _to_stored(array: Array) -> Array:
    dense = np.array(array, order="C", copy=True)
    if type_of(array).dtype in _PLAIN:
        return dense
    data = np.frombuffer(dense.tobytes(), dtype=np.uint8)
    bits = _NARROW.get(type_of(array).dtype, 8)
    return data & ((1 << bits) - 1) if bits < 8 else data  # arithmetic leaves anything in the unused bits


def _from_stored(entry: Mapping[str, Any], kind: TensorType, where: str) -> Array:
    """The array of a declared type; the file's own type and shape for it must agree with the declaration."""
    raw = bytes(entry["data"])
    dtype = DTYPES[kind.dtype]
    stored = (entry["dtype"], tuple(entry["shape"]))
    size = kind.size * dtype.itemsize
    plain = kind.dtype in _PLAIN
    wanted = (_STORED_NAMES[kind.dtype], kind.shape) if plain else ("U8", (size,))
    if stored != wanted or len(raw) != size:
        refuse(where, f"declared {kind}, stored {stored[0]}{list(stored[1])}")
    if kind.dtype in _NARROW and any(byte >> _NARROW[kind.dtype] for byte in set(raw)):
        refuse(where, f"its bytes are no elements of {kind.dtype}")
    try:
        return np.frombuffer(raw, dtype=dtype).reshape(kind.shape).copy()
    except ValueError as error:  # more dimensions than NumPy has, or more elements than it can count
        raise GraphError(f"{where}: {error}") from error


_STORED_NAMES = {
    "bool": "BOOL",
    **{f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
}
