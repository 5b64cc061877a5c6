"""Converts random graphs twice, with and without what spares the converter work, and tells of both.

Run as ``python -m tests.fuzzer.warm_and_cold CONVERTER FILE FIRST STOP WAYS``, in a process that may die: what it does
next and what came of it is appended to FILE as JSON, line by line. WAYS is ``warm,cold`` or one of the two.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx

from fuzzer.converters import tf2onnx, tflite, torch_onnx_dynamo, torch_onnx_torchscript
from fuzzer.converters.base import converters
from fuzzer.failures import describe_exception, normalise
from fuzzer.formats import InvalidModel, Setting, Unsupported
from fuzzer.known import shipped
from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Case
from generators.patterns import Avoided
from generators.random_graphs import Weights, grow
from generators.transforms import union

#: Seconds for one step; a process that takes longer is ended by a signal.
DEADLINE = 300
#: Every so many numbers a pack is converted in place of a single graph, and this is how many graphs it has.
PACK_EVERY, PACK = 25, 8

#: Where each converter's module holds the contexts in which it is warm.
CONTEXTS: dict[str, tuple[ModuleType, tuple[str, ...]]] = {
    "torch.onnx-dynamo": (torch_onnx_dynamo, ("warm_exporter",)),
    "torch.onnx-torchscript": (torch_onnx_torchscript, ("sparing_iteration",)),
    "tf2onnx": (tf2onnx, ("quick_copies", "quick_nodes", "shared_graphs")),
    "tflite": (tflite, ("quick_offsets",)),
}
_WARM = {
    (name, context): getattr(module, context) for name, (module, contexts) in CONTEXTS.items() for context in contexts
}


def draw(name: str, number: int) -> tuple[Case, dict[str, Setting]]:
    """Graph and settings of this number, as campaigns draw them: from a handful of seeds, all operators and dtypes,
    but rarely what the converter is known to refuse."""
    converter = converters()[name]
    ours = frontend(converter.source.value)
    weights = Weights.of(ours)
    known = Avoided(entry.target for entry in shipped() if entry.converter == converter.name)
    seed, index = number % 5, number // 5
    size = PACK if number % PACK_EVERY == PACK_EVERY - 1 else 1
    cases = [
        grow(ours, SeededChoices(seed, index, part), nodes=10, weights=weights, avoid=known).case
        for part in range(size)
    ]
    settings = {option.name: option.sample(SeededChoices(seed, index, 1000)) for option in converter.options}
    return (cases[0] if size == 1 else union(cases).case), settings


def convert(name: str, case: Case, settings: dict[str, Setting], way: str) -> tuple[str, bytes]:
    """The artifact's digest and bytes, or what was raised: the type, stage, place and normalised message."""
    converter = converters()[name]
    module, contexts = CONTEXTS[name]
    for context in contexts:
        setattr(module, context, _WARM[name, context] if way == "warm" else contextlib.nullcontext)
    try:
        artifact = converter.convert(frontend(converter.source.value).load(case), settings)
    except (Unsupported, InvalidModel) as refusal:
        return f"{type(refusal).__name__}: {normalise(str(refusal))}", b""
    except Exception as error:  # noqa: BLE001  (whatever a subject raises is to be the same)
        stage, detail = describe_exception(converter, error)
        return f"{stage.value}: {detail}", b""
    data = COMPARED.get(name, bytes)(artifact.data)
    return f"{hashlib.sha256(data).hexdigest()} {artifact.inputs} {artifact.outputs}", artifact.data


def structure(data: bytes) -> bytes:
    """What an ONNX model computes, whatever its values are called and in whichever valid order its nodes are listed.

    tf2onnx numbers names through the life of the process, puts addresses into some, and goes through sets of objects.
    """
    model = onnx.ModelProto.FromString(data)
    return (
        _structure(model.graph, {value.name: b"in " + value.name.encode() for value in model.graph.input})
        + repr((model.ir_version, sorted((entry.domain, entry.version) for entry in model.opset_import))).encode()
    )


def undeclared(data: bytes) -> bytes:
    """The ONNX model without the shapes that it declares for results: torch.onnx-torchscript writes uninitialised
    memory into some of them, another number each time, cold too."""
    model = onnx.ModelProto.FromString(data)
    for value in (*model.graph.value_info, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString(deterministic=True))


#: What of an artifact is compared, where it is not all.
COMPARED = {"tf2onnx": structure, "torch.onnx-torchscript": undeclared}


def _structure(graph: onnx.GraphProto, outer: Mapping[str, bytes]) -> bytes:
    def digest(*parts: bytes) -> bytes:
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).digest()

    def unnamed(message: Any) -> bytes:
        copied = type(message)()
        copied.CopyFrom(message)
        copied.name = ""
        if isinstance(copied, onnx.AttributeProto) and copied.HasField("t"):
            copied.t.name = ""
        if isinstance(copied, onnx.ValueInfoProto):
            for extent in copied.type.tensor_type.shape.dim:
                if extent.HasField("dim_param"):
                    extent.dim_param = "unknown"
        return bytes(copied.SerializeToString(deterministic=True))

    known = {**outer, "": b""}
    for position, value in enumerate(graph.input):
        known[value.name] = outer.get(value.name, b"argument %d of a body" % position)
    known |= {tensor.name: digest(b"tensor", unnamed(tensor)) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = [
            attribute.name.encode()
            + (_structure(attribute.g, known) if attribute.HasField("g") else unnamed(attribute))
            for attribute in sorted(node.attribute, key=lambda attribute: attribute.name)
        ]
        operator = f"{node.domain} {node.op_type}".encode()
        nodes.append(digest(operator, *(known[name] for name in node.input), b"with", *attributes))
        known |= {name: digest(nodes[-1], b"%d" % position) for position, name in enumerate(node.output)}
    values = [digest(known[value.name], unnamed(value)) for value in (*graph.input, *graph.output)]
    return digest(
        *values,
        b"of",
        *sorted(nodes),
        b"annotated",
        *sorted(digest(known[value.name], unnamed(value)) for value in graph.value_info if value.name in known),
    )


def main(name: str, file: str, first: str, stop: str, ways: str) -> None:
    converters()[name].warm_up()
    with open(file, "a") as records:

        def tell(**record: Any) -> None:
            records.write(json.dumps(record) + "\n")
            records.flush()
            signal.alarm(DEADLINE)

        for number in range(int(first), int(stop)):
            tell(number=number, step="grow")
            try:
                case, settings = draw(name, number)
            except ValueError as error:
                tell(number=number, step="grow", result=f"nothing grew: {error}")
                continue
            found: dict[str, bytes] = {}
            order = ways.split(",")
            for way in order if number % 2 else reversed(order):
                tell(number=number, step=way)
                result, found[way] = convert(name, case, settings, way)
                tell(number=number, step=way, result=result, size=len(found[way]), settings=settings)
            if len(set(found.values())) > 1 and name != "tf2onnx":
                for way, data in found.items():
                    Path(file).with_name(f"{number}.{way}.onnx").write_bytes(data)
        tell(step="done")
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
