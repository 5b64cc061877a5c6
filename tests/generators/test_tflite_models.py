"""``.tflite`` files as graphs: what is read is what runs, and what is damaged or hostile is refused."""

from __future__ import annotations

import copy
import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from generators.frontends.base import EvaluationError, frontend
from generators.frontends.tflite_nodes import parts_of, quantization_of, quantization_text, quantizations
from generators.graph import Case
from generators.importers.child import Request, read
from generators.importers.errors import ImportRefused
from generators.serial import dumps, loads
from generators.transforms import isolate, union
from tests.generators.test_importers import _mutations
from tests.tflite_models import KINDS, model

OPERATORS = ("CONV_2D", "ADD", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX")


def written(directory: Path, kind: str) -> Path:
    path = directory / f"{kind}.tflite"
    path.write_bytes(model(kind))
    return path


def taken_apart(kind: str) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(model(kind))


def packed(directory: Path, changed: Any) -> Path:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(changed.Pack(builder), b"TFL3")
    path = directory / "changed.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path


def read_case(path: Path, **fields: Any) -> Case:
    return read(Request(str(path), "", **fields))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_its_operators_and_prints_as_what_it_is(tmp_path: Path, kind: str) -> None:
    case = read_case(written(tmp_path, kind), extents={"image.0": 3})
    found = {target.removeprefix("tflite.") for target in case.graph.operators()}
    assert found >= set(OPERATORS)
    assert case.graph.inputs[0].type.shape == (3, 8, 8, 3)
    assert case.graph.inputs[0].name == "image"
    ours = frontend("tflite")
    again = loads(dumps(case))
    values = ours.run(again.graph, again.feeds)
    [printed] = ours.execute(ours.load(again))
    np.testing.assert_array_equal(printed, values[case.graph.outputs[0]])
    stored = {constant.data.dtype.name for constant in case.graph.constants}
    assert {"float": "float32", "dynamic": "int8", "half": "float16", "int8": "int32"}[kind] in stored
    assert bool(quantizations(case.graph)) is (kind in ("dynamic", "int8"))


def test_quantized_inputs_are_fed_with_their_whole_range(tmp_path: Path) -> None:
    feed = read_case(written(tmp_path, "int8")).feeds["image"]
    assert feed.dtype == np.int8
    assert feed.min() < -100
    assert feed.max() > 100


def test_given_arrays_are_fed_by_the_names_of_the_signature(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", image=np.full((5, 8, 8, 3), 0.5, np.float32))
    case = read_case(written(tmp_path, "float"), arrays=str(tmp_path / "inputs.npz"))
    assert case.feeds["image"].shape == (5, 8, 8, 3)


def test_operators_alone_and_side_by_side_compute_what_they_do_together(tmp_path: Path) -> None:
    case = read_case(written(tmp_path, "int8"))
    ours = frontend("tflite")
    values = ours.run(case.graph, case.feeds)
    parts = isolate(case, values)
    whole = union(parts)
    together = ours.execute(ours.load(whole.case))
    for part, outputs in zip(parts, whole.split(together), strict=True):
        for name, output in zip(part.graph.outputs, outputs, strict=True):
            np.testing.assert_array_equal(output, values[name])


@pytest.mark.parametrize("quantization", [(0.1, -3, 0), ((0.1, 2e-08, 3.0), 0, 1), ((0.1, 0.2), (5, -7), 3)])
def test_quantization_is_a_string_and_back(quantization: Any) -> None:
    assert quantization_of(quantization_text(quantization)) == quantization


@pytest.mark.parametrize(
    "text", ["", "1", "0.0:0", "-1.0:0", "nan:0", "1.0,2.0:0", "1.0,2.0:1,2,3@0", "1.0:0@9", "1.0:x"]
)
def test_what_is_no_quantization_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        quantization_of(text)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("strideW", 0, "not a count"),
        ("padding", "NONE", "not one of"),
        ("version", 3, "not digits"),
        ("options", "NoOptions", "no options"),
        ("strideH", None, "not a count"),
    ],
)
def test_nodes_that_no_model_can_have_are_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    from dataclasses import replace

    node = read_case(written(tmp_path, "float")).graph.nodes[0]
    changed = replace(node, kwargs=tuple((name, value if name == key else old) for name, old in node.kwargs))
    with pytest.raises(EvaluationError, match=words):
        parts_of(changed)
    lacking = replace(node, kwargs=tuple(item for item in node.kwargs if item[0] != "padding"))
    with pytest.raises(EvaluationError, match="padding"):
        parts_of(lacking)


def test_a_node_of_which_a_part_is_not_quantized_is_refused(tmp_path: Path) -> None:
    """A kernel ends the process that asks it to divide by no scale."""
    from dataclasses import replace

    case = read_case(written(tmp_path, "int8"))
    ours = frontend("tflite")
    values = ours.run(case.graph, case.feeds)
    [node] = [node for node in case.graph.nodes if node.target == "tflite.ADD"]
    given = dict(node.kwargs)
    first, _ = given["operands"]
    [(dtype, _)] = given["results"]
    inputs = {name: values[name] for name in node.references()}
    for key, value in (("operands", (first, None)), ("operands", (first,)), ("results", ((dtype, None),))):
        changed = replace(node, kwargs=tuple({**given, key: value}.items()))
        with pytest.raises(EvaluationError, match=r"scale|operands"):
            ours.evaluate(changed, inputs)


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    changed = taken_apart("float")
    operators = changed.subgraphs[0].operators
    operators[0].inputs = np.array([operators[-1].outputs[0], *operators[0].inputs[1:]], np.int32)
    with pytest.raises(ImportRefused, match="before anything makes it"):
        read_case(packed(tmp_path, changed))
    operators[0].inputs[0] = changed.subgraphs[0].inputs[0]
    operators[1].outputs = operators[0].outputs
    with pytest.raises(ImportRefused, match="twice"):
        read_case(packed(tmp_path, changed))


def test_custom_operators_are_refused_by_name(tmp_path: Path) -> None:
    for name, words in ((b"Magic", "custom operator 'Magic'"), (b"FlexErf", "TensorFlow operator 'FlexErf'")):
        changed = taken_apart("float")
        changed.operatorCodes[0].builtinCode = changed.operatorCodes[0].deprecatedBuiltinCode = 32
        changed.operatorCodes[0].customCode = name
        with pytest.raises(ImportRefused, match=words):
            read_case(packed(tmp_path, changed))


@pytest.mark.parametrize(
    ("kind", "words"), [(119, "control flow"), (142, "variables"), (148, "random numbers"), (5000, "does not know")]
)
def test_what_graphs_of_operators_cannot_hold_is_refused(tmp_path: Path, kind: int, words: str) -> None:
    changed = taken_apart("float")
    changed.operatorCodes[0].builtinCode, changed.operatorCodes[0].deprecatedBuiltinCode = kind, min(kind, 127)
    with pytest.raises(ImportRefused, match=words):
        read_case(packed(tmp_path, changed))


def _beyond(changed: Any) -> None:
    buffer = changed.buffers[changed.subgraphs[0].tensors[changed.subgraphs[0].operators[0].inputs[1]].buffer]
    buffer.data, buffer.offset, buffer.size = None, 1 << 33, 1 << 33


def _short(changed: Any) -> None:
    buffer = changed.buffers[changed.subgraphs[0].tensors[changed.subgraphs[0].operators[0].inputs[1]].buffer]
    buffer.data = buffer.data[:-4]


def _nowhere(changed: Any) -> None:
    changed.subgraphs[0].tensors[changed.subgraphs[0].operators[0].inputs[1]].buffer = 1 << 30


def _huge(changed: Any) -> None:
    tensor = changed.subgraphs[0].tensors[changed.subgraphs[0].inputs[0]]
    tensor.shape = tensor.shapeSignature = np.array([1 << 20, 1 << 20, 1 << 10, 3], np.int32)


def _strange(changed: Any) -> None:
    changed.subgraphs[0].operators[0].inputs = np.array([0, 999, 2], np.int32)


def _elsewhere(changed: Any) -> None:
    changed.subgraphs[0].tensors[changed.subgraphs[0].operators[0].inputs[1]].externalBuffer = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_beyond, "at bytes 8,589,934,592"),
        (_short, "bytes for the tensor"),
        (_nowhere, "no buffer"),
        (_huge, "no memory holds"),
        (_strange, "refers to tensor 999"),
        (_elsewhere, "another file"),
    ],
)
def test_claims_are_held_against_the_file(tmp_path: Path, change: Any, words: str) -> None:
    changed = taken_apart("float")
    change(changed)
    with pytest.raises(ImportRefused, match=words):
        read_case(packed(tmp_path, changed))


def test_a_vector_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    data = bytearray(model("float"))
    root = struct.unpack_from("<I", data)[0]
    table = root - struct.unpack_from("<i", data, root)[0]
    # The field of subgraphs is the third of a model: offset 8 in its table of fields.
    field = root + struct.unpack_from("<H", data, table + 8)[0]
    vector = field + struct.unpack_from("<I", data, field)[0]
    struct.pack_into("<I", data, vector, 0x7FFFFFFF)
    path = tmp_path / "claims.tflite"
    path.write_bytes(bytes(data))
    with pytest.raises(ImportRefused, match="claims to have 2,147,483,647 graphs"):
        read_case(path)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0\0\0\0TFL3", b"\xff" * 64, b"\x1c\0\0\0TFL3" + b"\0" * 40])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(data)
    with pytest.raises(ImportRefused) as caught:
        read_case(path)
    assert caught.value.remedy


#: As for other kinds of files, each in a process of its own: LiteRT may die of what no check finds.
_EACH = """
import json, os, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (12 << 30, 12 << 30))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from generators.graph import GraphError
from generators.importers.child import Request, read
from generators.importers.errors import ImportRefused
import generators.importers.tflite_model, ai_edge_litert.interpreter
from generators.frontends.tflite import namespace_of
namespace_of()
counts = {"read": 0, "refused": 0, "raised": 0, "ended": 0}
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        status = 2
        try:
            read(Request(path, ""))
            status = 0
        except (ImportRefused, GraphError, MemoryError, RecursionError) as error:
            status = 1 if str(error) or isinstance(error, MemoryError) else 2
        except BaseException as error:
            print(path, type(error).__name__, error, file=sys.stderr)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    counts[("read", "refused", "raised")[code] if code >= 0 else "ended"] += 1
    if code < 0:
        print("ended", code, path)
print(json.dumps(counts))
"""


@pytest.mark.parametrize(("kind", "count"), [("float", 60), ("int8", 60)])
def test_mutated_files_are_read_or_refused(tmp_path: Path, kind: str, count: int) -> None:
    """None raises anything but a refusal in words. LiteRT may end the process, which whoever waits for it is told."""
    paths = []
    for number, changed in enumerate(_mutations(model(kind), count, random.Random(11))):
        paths.append(tmp_path / f"{number}.tflite")
        paths[-1].write_bytes(changed)
    done = subprocess.run(
        [sys.executable, "-c", _EACH, *map(str, paths)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *ended, last = done.stdout.strip().splitlines()
    counts = json.loads(last)
    assert counts["raised"] == 0, done.stderr[-2000:]
    assert sum(counts.values()) == count
    assert counts["refused"] > count // 3
    if ended:
        from fuzzer.errors import UsageError
        from fuzzer.importing import read_model

        with pytest.raises(UsageError, match="was ended by SIG"):
            read_model(ended[0].split()[-1])


def test_the_model_taken_apart_is_the_model(tmp_path: Path) -> None:
    """What tests change is read when nothing is changed."""
    assert read_case(packed(tmp_path, copy.deepcopy(taken_apart("float")))).graph.operators()
