from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Case, Graph, GraphError, Node, Value, type_of
from generators.graph_json import MAX_DEPTH, graph_from_json, graph_to_json
from generators.random_graphs import grow
from generators.serial import VERSION, dumps, loads
from tests.generators.samples import F32, branching, every_argument, with_bodies


def same(left: Case, right: Case) -> bool:
    """Equal to the bit; NaN literals compare by their bits through the text of the graph's JSON."""
    trees = [json.dumps(graph_to_json(case.graph)[0]) for case in (left, right)]
    arrays = [
        [(type_of(array), array.tobytes()) for array in (*graph_to_json(case.graph)[1], *case.feeds.values())]
        for case in (left, right)
    ]
    return (
        trees[0] == trees[1]
        and arrays[0] == arrays[1]
        and list(left.feeds) == list(right.feeds)
        and dict(left.profiles) == dict(right.profiles)
        and left.graph.constants == right.graph.constants
    )


@pytest.mark.parametrize("make", [branching, with_bodies, every_argument])
def test_round_trip_is_exact(make: Callable[[], Case]) -> None:
    case = make()
    back = loads(dumps(case))
    assert same(case, back)
    assert dumps(back) == dumps(case)


def test_literals_keep_their_types_and_signs() -> None:
    back = loads(dumps(every_argument())).graph.nodes[0]
    original = every_argument().graph.nodes[0]
    assert [type(item) for item in back.args] == [type(item) for item in original.args]
    assert repr(back.args) == repr(original.args)
    assert repr(back.kwargs) == repr(original.kwargs)
    (payload,) = struct.unpack(">d", bytes.fromhex("7ff8dead0000beef"))
    graph = Graph("torch", (), (), (Node("f", (payload,), (), (Value("v", F32),)),), ("v",))
    (again,) = loads(dumps(Case(graph, {}))).graph.nodes[0].args
    assert struct.pack(">d", again).hex() == "7ff8dead0000beef"  # type: ignore[arg-type]


def test_random_cases_round_trip() -> None:
    for number in range(20):
        case = grow(frontend("torch"), SeededChoices(3, number), nodes=10).case
        assert same(case, loads(dumps(case)))


def test_loaded_arrays_are_writable_and_independent() -> None:
    data = dumps(branching())
    loads(data).feeds["x"][0] = 99
    assert loads(data).feeds["x"][0] == 3


def test_the_file_is_plain_safetensors_and_json() -> None:
    data = dumps(branching())
    assert {name: array.shape for name, array in safetensors.numpy.load(data).items()} == {
        "t0": (2,), "t1": (3,), "t2": (2,), "t3": (2,),
    }  # fmt: skip
    document = document_of(data)
    assert document["version"] == VERSION
    assert document["graph"]["nodes"][0]["args"] == [{"ref": "x"}, {"ref": "w"}]


def test_unknown_arguments_and_malformed_cases_are_not_written() -> None:
    def with_argument(argument: Any) -> Case:
        return Case(Graph("torch", (), (), (Node("f", (argument,), (), (Value("v", F32),)),), ("v",)), {})

    for argument in (object(), [1], {"a": 1}, np.zeros(2), b"bytes"):
        with pytest.raises(GraphError, match=r"node 0 \(f\), argument 0: no argument can be a"):
            dumps(with_argument(argument))
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = (deep,)
    assert repr(loads(dumps(with_argument(deep))).graph.nodes[0].args) == repr((deep,))
    with pytest.raises(GraphError, match="nested deeper"):
        dumps(with_argument((deep,)))
    with pytest.raises(GraphError, match="no feed"):
        dumps(Case(branching().graph, {}))


def document_of(data: bytes) -> Any:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["convfuzz"])


def with_document(data: bytes, document: Any) -> bytes:
    text = document if isinstance(document, str) else json.dumps(document)
    return bytes(safetensors.numpy.save(safetensors.numpy.load(data), {"convfuzz": text}))


def _put(*path: Any) -> Callable[[Any, Any], None]:
    def change(document: Any, value: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


FAULTS: list[tuple[Callable[[Any, Any], None], Any, str]] = [
    (_put("version"), 2, "file, version: this release reads version 1, found 2"),
    (_put("version"), True, "file, version"),
    (_put("format"), "pickle", "file, format"),
    (_put("tensors"), [], "tensor 't0' is not declared"),
    (_put("tensors", 0), {"dtype": "float64", "shape": [1]}, "file, tensor 0: declared float64"),
    (_put("tensors", 0), {"dtype": "float32", "shape": [10**12]}, "file, tensor 0: declared"),
    (_put("tensors", 0), {"dtype": "float32", "shape": [2**70]}, "no dimension has"),
    (_put("tensors", 0), {"dtype": "float32", "shape": [-2]}, "no dimension has"),
    (_put("tensors", 0), {"dtype": "object", "shape": [2]}, "unknown dtype 'object'"),
    (_put("tensors", 0), {"dtype": "float32", "shape": [2.0]}, "an integer was expected"),
    (_put("tensors"), {}, "file, tensors: a list was expected"),
    (_put("feeds", "x"), 4, "feed of 'x': there is no tensor 4"),
    (_put("feeds", "x"), -1, "there is no tensor -1"),
    (_put("feeds", "x"), "t0", "an integer was expected, found text"),
    (_put("feeds", "x"), 1, r"'x' is float32\[2\], its feed is float64\[3\]"),
    (_put("feeds", "q"), 0, "'q' is no input"),
    (_put("feeds"), {}, "has no feed"),
    (_put("profiles"), [], "an object was expected, found a list"),
    (_put("profiles", "x"), 3, "profile of 'x'"),
    (_put("graph"), None, "graph: an object was expected, found null"),
    (_put("graph", "frontend"), 7, "graph, frontend"),
    (_put("graph", "nodes", 1, "args"), [{"ref": "e"}], r"node 1 \(g\): uses value 'e', which nothing before it"),
    (_put("graph", "nodes", 1, "args"), [{"ref": 3}], r"node 1 \(g\), argument 0: text was expected"),
    (_put("graph", "nodes", 1, "args"), [{"reference": "a"}], "unknown tag 'reference'"),
    (_put("graph", "nodes", 1, "args"), [{"ref": "a", "dtype": "int8"}], "an argument has one tag"),
    (_put("graph", "nodes", 1, "args"), [{}], "an argument has one tag, this one has 0"),
    (_put("graph", "nodes", 1, "args"), [{"dtype": "f4"}], "unknown dtype 'f4'"),
    (_put("graph", "nodes", 1, "args"), [{"slice": [1, 2]}], "a slice has three bounds"),
    (_put("graph", "nodes", 1, "args"), [{"float": "7f"}], "16 hexadecimal digits"),
    (_put("graph", "nodes", 1, "args"), [{"float": "zz" * 8}], "16 hexadecimal digits"),
    (_put("graph", "nodes", 1, "args"), [{"complex": [1, 2]}], "two floats"),
    (_put("graph", "nodes", 1, "args"), [{"graph": 5}], r"argument 0, body: an object was expected"),
    (_put("graph", "nodes", 1, "target"), "", "its target is empty"),
    (_put("graph", "nodes", 1, "kwargs"), [["k"]], "keyword 0: a pair was expected"),
    (_put("graph", "nodes", 1, "kwargs"), [["k", 1], ["k", 2]], "'k' is given twice"),
    (_put("graph", "nodes", 1, "unpack"), 1, "true or false was expected"),
    (_put("graph", "nodes", 1), 1, "graph, node 1: an object was expected, found a number"),
    (_put("graph", "nodes", 1, "outputs", 0, "name"), "", "non-empty name"),
    (_put("graph", "nodes", 1, "outputs", 0, "name"), "a", "'a' is defined twice"),
    (_put("graph", "nodes", 1, "outputs", 0, "type"), {}, "'shape' is missing"),
    (_put("graph", "inputs", 0, "layout"), [5], "no permutation"),
    (_put("graph", "inputs", 0, "layout"), [[0]], "an integer was expected, found a list"),
    (_put("graph", "constants", 0, "tensor"), 99, "constant 0: there is no tensor 99"),
    (_put("graph", "outputs"), ["nothing"], "output 0: value 'nothing' is not defined"),
    (_put("graph", "outputs"), "e", "a list was expected, found text"),
]


@pytest.mark.parametrize(("change", "value", "message"), FAULTS, ids=[message for *_, message in FAULTS])
def test_faults_in_the_json_are_refused_with_their_place(change: Any, value: Any, message: str) -> None:
    data = dumps(branching())
    document = document_of(data)
    change(document, value)
    with pytest.raises(GraphError, match=message):
        loads(with_document(data, document))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"a": NaN}', "[" * 100_000, '{"version": ' + "9" * 5000 + "}"])
def test_metadata_that_is_no_case_is_refused(text: str) -> None:
    with pytest.raises(GraphError):
        loads(with_document(dumps(branching()), text))


def test_deep_nesting_is_refused() -> None:
    data = dumps(branching())
    document = document_of(data)
    for _ in range(MAX_DEPTH + 2):
        document["graph"]["nodes"][1]["args"] = [document["graph"]["nodes"][1]["args"]]
    with pytest.raises(GraphError, match="nested deeper"):
        loads(with_document(data, document))
    tree: Any = {"frontend": "torch", "inputs": [], "constants": [], "nodes": [], "outputs": []}
    for _ in range(MAX_DEPTH + 2):
        call = {"target": "f", "args": [{"graph": tree}], "kwargs": [], "outputs": [], "unpack": False}
        tree = {**tree, "nodes": [call]}
    with pytest.raises(GraphError, match="nested deeper"):
        graph_from_json(tree, [])


def test_missing_and_superfluous_tensors_are_refused() -> None:
    data = dumps(branching())
    tensors = safetensors.numpy.load(data)
    text = json.dumps(document_of(data))
    short = {name: array for name, array in tensors.items() if name != "t1"}
    with pytest.raises(GraphError, match="tensor 't1' is missing"):
        loads(bytes(safetensors.numpy.save(short, {"convfuzz": text})))
    with pytest.raises(GraphError, match="tensor 'more' is not declared"):
        loads(bytes(safetensors.numpy.save({**tensors, "more": np.zeros(1)}, {"convfuzz": text})))
    with pytest.raises(GraphError, match="not written by convfuzz"):
        loads(bytes(safetensors.numpy.save(tensors)))


def test_bytes_that_are_no_elements_are_refused() -> None:
    case = every_argument()
    data = dumps(case)
    number = [value.name for value in case.graph.inputs].index("in int4") + len(graph_to_json(case.graph)[1])
    tensors = {name: array.copy() for name, array in safetensors.numpy.load(data).items()}
    tensors[f"t{number}"][...] = 200
    with pytest.raises(GraphError, match="no elements of int4"):
        loads(bytes(safetensors.numpy.save(tensors, {"convfuzz": json.dumps(document_of(data))})))


@pytest.mark.parametrize("make", [branching, every_argument])
def test_mutated_files_are_loaded_or_refused_and_nothing_else(make: Callable[[], Case]) -> None:
    """Flipped, cut, inserted and doubled bytes anywhere: a case that can be written again, or a GraphError."""
    data = dumps(make())
    source = random.Random(1)
    refusals = []
    mutants = [data[: source.randrange(len(data))] for _ in range(60)]
    for _ in range(400):
        mutant = bytearray(data)
        for _ in range(source.choice((1, 1, 2, 8))):
            place = source.randrange(len(mutant))
            match source.randrange(4):
                case 0:
                    mutant[place] ^= 1 << source.randrange(8)
                case 1:
                    del mutant[place : place + source.randrange(1, 9)]
                case 2:
                    mutant[place:place] = source.randbytes(source.randrange(1, 9))
                case _:
                    mutant[place] = source.choice(b'0123456789{}[]",:e-tfn\\')
        mutants.append(bytes(mutant))
    for mutant in mutants:
        try:
            dumps(loads(mutant))
        except GraphError as error:
            refusals.append(str(error))
    assert len(refusals) > len(mutants) // 2
    assert all(refusals)


def test_mutated_json_is_loaded_or_refused_and_nothing_else() -> None:
    """Any member of the document replaced by something of another kind."""
    data = dumps(with_bodies())
    source = random.Random(2)
    odd = [None, True, -1, 0, 10**30, 1.5, "", "x", [], {}, [[]], {"ref": "x"}, {"graph": {}}, {"slice": [None] * 3}]
    refusals = []
    for _ in range(600):
        document = document_of(data)
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = source.choice(keys)
            if not isinstance(place[key], (dict, list)) or not place[key] or source.random() < 0.15:
                break
            place = place[key]
        if source.random() < 0.2 and isinstance(place, dict):
            del place[key]
        else:
            place[key] = source.choice(odd)
        try:
            dumps(loads(with_document(data, document)))
        except GraphError as error:
            refusals.append(str(error))
    assert len(refusals) > 300
    assert all(refusals)
