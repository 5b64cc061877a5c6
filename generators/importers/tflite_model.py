"""``.tflite`` files as graphs of the frontend ``tflite``.

The FlatBuffer is read with the schema that LiteRT ships, every length and index held against the file before it is
used: neither Python's readers nor the interpreter do so everywhere. Weights stay what is stored; quantized values are
integers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from generators.frontends.tflite_nodes import (
    CONTROL_FLOW,
    NO_BUILTIN,
    RANDOM,
    STATEFUL,
    Quantization,
    enumeration_of,
    numbered,
    quantizations,
)
from generators.graph import (
    DTYPES,
    Argument,
    Array,
    Constant,
    DType,
    Graph,
    GraphError,
    Input,
    Node,
    Ref,
    TensorType,
    Value,
    check,
)
from generators.importers.errors import ImportRefused
from generators.importers.feeds import random_feeds

#: A graph, and what computes from feeds by name what the model itself does.
Read: TypeAlias = "tuple[Graph, Callable[[Mapping[str, Array]], list[Array]]]"
#: What Python's readers of FlatBuffers raise of a damaged file.
_DAMAGE = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, KeyError)
#: Most dimensions of a tensor, items of a list among options, bytes of an input.
_RANK, _LIST, _INPUT_BYTES = 8, 1 << 16, 1 << 33
_IN_FILE = "is the file complete?"


def read(path: Path, signature: str, extents: Mapping[str, int]) -> Read:
    """The graph of one signature of a file (of its main graph when it has none); unknown extents are those of
    ``extents`` by the input's name and axis (``x.0``), else 2.

    ImportRefused for a file that is damaged, or has what graphs of single operators cannot hold: control flow,
    variables, random numbers, custom operators, strings, sparse tensors, tensors in other files.
    """
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise ImportRefused(f"{path.name} is no TFLite model: it does not say TFL3 at its beginning", _IN_FILE)
    try:
        reader = _Reader(path.name, data, extents)
        graph = reader.graph(signature)
    except ImportRefused:
        raise
    except _DAMAGE as error:
        raise ImportRefused(f"{path.name} is damaged: {type(error).__name__}: {error}", _IN_FILE) from error
    try:
        check(graph)
    except GraphError as error:
        raise ImportRefused(f"{path.name} is no valid model: {error}", _IN_FILE) from error
    return graph, _original(path, reader.places)


def feeds_for(graph: Graph, seed: int) -> Iterator[dict[str, Array]]:
    """Feeds to be tried in turn: as :func:`random_feeds`, quantized inputs over the whole range of their type."""
    quantized = quantizations(graph)
    for feeds in random_feeds(graph.inputs, seed):
        rng = np.random.default_rng(seed)
        for value in graph.inputs:
            kind = DTYPES[value.type.dtype]
            if value.name in quantized and kind.kind in "iu" and kind.itemsize < 4:
                info = np.iinfo(kind)
                feeds[value.name] = rng.integers(info.min, info.max, value.type.shape, kind, endpoint=True)
        yield feeds


class _Reader:
    """Tensors and operators of a file. ``places`` are the numbers of the tensors of inputs and outputs, in order."""

    def __init__(self, name: str, data: bytes, extents: Mapping[str, int]) -> None:
        self._name = name
        self._data = data
        self._extents = extents
        self._model = schema.Model.GetRootAs(data, 0)
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self.places: tuple[list[int], list[int]] = ([], [])

    def refusal(self, what: str, remedy: str = "") -> ImportRefused:
        return ImportRefused(f"{self._name} {what}", remedy)

    def _counted(self, count: int, what: str) -> range:
        """The places of a list of tables or numbers, each of which takes at least four bytes of the file."""
        if not 0 <= count <= len(self._data) // 4:
            raise self.refusal(
                f"claims to have {count:,} {what}, more than fit into its {len(self._data):,} bytes", _IN_FILE
            )
        return range(count)

    def graph(self, wanted: str) -> Graph:
        if self._model.Version() != 3:
            raise self.refusal(f"is of version {self._model.Version()} of the format, not 3", _IN_FILE)
        number, names = self._signature(wanted)
        if not 0 <= number < len(self._counted(self._model.SubgraphsLength(), "graphs")):
            raise self.refusal(f"has no graph {number}", _IN_FILE)
        graph = self._graph = self._model.Subgraphs(number)
        self._count = len(self._counted(graph.TensorsLength(), "tensors"))
        inputs = [self._number(graph.Inputs(at)) for at in self._counted(graph.InputsLength(), "inputs")]
        outputs = [self._number(graph.Outputs(at)) for at in self._counted(graph.OutputsLength(), "outputs")]
        if len(set(inputs)) < len(inputs):
            raise self.refusal("names a tensor as an input twice", _IN_FILE)
        if not outputs:
            raise self.refusal("returns no tensor")
        self.places = inputs, outputs
        for index in inputs:
            self._names[index] = self._unique(names.get(index) or self._told(index), index)
        entries = [self._input(index) for index in inputs]
        self._constants: dict[int, Constant] = {}
        self._made: set[int] = set(inputs)
        nodes = [self._node(at) for at in self._counted(graph.OperatorsLength(), "operators")]
        for index in outputs:
            self._available(index, "an output")
        return Graph(
            "tflite",
            tuple(entries),
            tuple(self._constants.values()),
            tuple(nodes),
            tuple(self._names[index] for index in outputs),
        )

    def _signature(self, wanted: str) -> tuple[int, dict[int, str]]:
        """The graph of a signature, and the names that it gives to inputs."""
        known: dict[str, Any] = {}
        for at in self._counted(self._model.SignatureDefsLength(), "signatures"):
            one = self._model.SignatureDefs(at)
            known[(one.SignatureKey() or b"").decode(errors="replace")] = one
        if wanted not in known and wanted != "serving_default":
            raise self.refusal(f"has no signature {wanted!r}", f"--signature is one of: {', '.join(known) or 'none'}")
        chosen = known.get(wanted) or next(iter(known.values()), None)
        if chosen is None:
            return 0, {}
        names = {}
        for at in self._counted(chosen.InputsLength(), "inputs of a signature"):
            entry = chosen.Inputs(at)
            names[int(entry.TensorIndex())] = (entry.Name() or b"").decode(errors="replace")
        return int(chosen.SubgraphIndex()), names

    # -- tensors -------------------------------------------------------------------------------------------------

    def _number(self, index: int) -> int:
        if not 0 <= index < self._count:
            raise self.refusal(f"refers to tensor {index} of {self._count}", _IN_FILE)
        return int(index)

    def _told(self, index: int) -> str:
        return (self._graph.Tensors(index).Name() or b"").decode(errors="replace")[:200]

    def _unique(self, name: str, index: int) -> str:
        name = name or f"tensor_{index}"
        while name in self._taken:
            name = f"{name}_{index}"
        self._taken.add(name)
        return name

    def _type(self, index: int, *, sizes: bool = True) -> TensorType:
        """Element type and shape of a tensor as it is declared."""
        tensor = self._graph.Tensors(index)
        kind = numbered("TensorType").get(tensor.Type(), "").lower()
        if kind not in DTYPES or kind == "int2":
            raise self.refusal(
                f"has a tensor {self._told(index)!r:.60} of {kind or 'an unknown type'}, which is not read"
            )
        if tensor.Sparsity() is not None:
            raise self.refusal(
                f"has a sparse tensor {self._told(index)!r:.60}, which is not read", "convert it without sparsity"
            )
        if tensor.ExternalBuffer():
            raise self.refusal(f"keeps the tensor {self._told(index)!r:.60} in another file, which is not read")
        rank = tensor.ShapeLength()
        if not 0 <= rank <= _RANK:
            raise self.refusal(f"has a tensor {self._told(index)!r:.60} of {rank:,} dimensions", _IN_FILE)
        shape = tuple(int(tensor.Shape(at)) for at in range(rank))
        if sizes and any(extent < 0 for extent in shape):
            raise self.refusal(f"has a tensor {self._told(index)!r:.60} with a negative extent", _IN_FILE)
        return TensorType(kind, tuple(max(extent, 0) for extent in shape))

    def _input(self, index: int) -> Input:
        name, kind = self._names[index], self._type(index, sizes=False)
        tensor = self._graph.Tensors(index)
        if tensor.ShapeSignatureLength() == kind.rank and kind.rank:
            declared = [int(tensor.ShapeSignature(at)) for at in range(kind.rank)]
            shape = tuple(
                self._extents.get(f"{name}.{axis}", 2) if extent < 0 else extent for axis, extent in enumerate(declared)
            )
            kind = replace(kind, shape=shape)
        if kind.size * DTYPES[kind.dtype].itemsize > _INPUT_BYTES:
            raise self.refusal(f"has an input {name!r:.60} of {kind}, which no memory holds", "is its shape right?")
        return Input(name, kind)

    def _quantization(self, index: int) -> Quantization | None:
        parameters = self._graph.Tensors(index).Quantization()
        kind = self._type(index, sizes=False)
        if parameters is None or DTYPES[kind.dtype].kind not in "iuV":
            return None
        count = len(self._counted(parameters.ScaleLength(), "scales"))
        points = len(self._counted(parameters.ZeroPointLength(), "zero points"))
        if parameters.DetailsType():
            raise self.refusal(
                f"quantizes {self._told(index)!r:.60} in blocks or in a way of its own, which is not read"
            )
        scales = [float(str(np.float32(parameters.Scale(at)))) for at in range(count)]
        if not scales or not any(scales):
            return None
        axis = int(parameters.QuantizedDimension())
        if not all(0 < scale < float("inf") for scale in scales) or points not in (0, 1, count):
            raise self.refusal(f"quantizes {self._told(index)!r:.60} by scales that are none", _IN_FILE)
        zeros = [int(parameters.ZeroPoint(at)) for at in range(points)] or [0]
        if count == 1:
            return scales[0], zeros[0], 0
        if not (0 <= axis < kind.rank and kind.shape[axis] == count):
            raise self.refusal(f"has {count:,} scales for the tensor {self._told(index)!r:.60}, {kind}", _IN_FILE)
        return tuple(scales), zeros[0] if len(set(zeros)) == 1 else tuple(zeros), axis

    def _stored(self, index: int) -> Array | None:
        """The elements of a tensor in the file; None of one that has none there."""
        tensor, kind = self._graph.Tensors(index), self._type(index, sizes=False)
        number = tensor.Buffer()
        if not 0 <= number < len(self._counted(self._model.BuffersLength(), "buffers")):
            raise self.refusal(f"has no buffer {number:,} for the tensor {self._told(index)!r:.60}", _IN_FILE)
        buffer = self._model.Buffers(number)
        if buffer.Offset() > 1:
            start, stop = int(buffer.Offset()), int(buffer.Offset()) + int(buffer.Size())
            if stop > len(self._data):
                raise self.refusal(
                    f"keeps the tensor {self._told(index)!r:.60} at bytes {start:,} to {stop:,} of {len(self._data):,}",
                    _IN_FILE,
                )
            raw = np.frombuffer(self._data, np.uint8, stop - start, start)
        else:
            length = buffer.DataLength()
            if not 0 <= length <= len(self._data):
                raise self.refusal(f"claims a buffer of {length:,} bytes, more than its {len(self._data):,}", _IN_FILE)
            if not length:
                return None
            raw = buffer.DataAsNumpy()
        return self._elements(index, kind, raw)

    def _elements(self, index: int, kind: TensorType, raw: Array) -> Array:
        dtype = DTYPES[kind.dtype]
        halves = kind.dtype in ("int4", "uint4")
        wanted = (kind.size + 1) // 2 if halves else kind.size * dtype.itemsize
        if raw.size != wanted:
            raise self.refusal(
                f"has {raw.size:,} bytes for the tensor {self._told(index)!r:.60}, {kind}, which takes {wanted:,}",
                _IN_FILE,
            )
        if not halves:
            return np.frombuffer(raw.tobytes(), dtype).reshape(kind.shape)
        nibbles = np.stack([raw & 15, raw >> 4], -1).reshape(-1)[: kind.size]
        signed = (nibbles.astype(np.int8) ^ 8) - 8 if kind.dtype == "int4" else nibbles
        return np.asarray(signed).astype(getattr(ml_dtypes, kind.dtype)).reshape(kind.shape)

    def _available(self, index: int, what: str) -> str:
        """The name of a tensor that is an input, a constant, or made by an operator before this one."""
        if index in self._made:
            return self._names[index]
        if index not in self._constants:
            array = self._stored(index)
            if array is None and self._type(index, sizes=False).size == 0:
                kind = self._type(index)
                array = np.zeros(kind.shape, DTYPES[kind.dtype])
            if array is None:
                raise self.refusal(
                    f"reads tensor {index} ({self._told(index)!r:.60}), {what}, before anything makes it", _IN_FILE
                )
            self._names[index] = self._unique(self._told(index), index)
            self._constants[index] = Constant(self._names[index], array)
        return self._names[index]

    # -- operators -----------------------------------------------------------------------------------------------

    def _node(self, at: int) -> Node:
        operator = self._graph.Operators(at)
        number = operator.OpcodeIndex()
        if not 0 <= number < len(self._counted(self._model.OperatorCodesLength(), "kinds of operators")):
            raise self.refusal(f"has no kind of operator {number}", _IN_FILE)
        code = self._model.OperatorCodes(number)
        kind = self._kind(code)
        what = f"operand of operator {at} ({kind})"
        operands: list[Ref | None] = []
        given: list[Quantization | None] = []
        state: list[Argument] = []
        for place in self._counted(operator.InputsLength(), "operands"):
            index = int(operator.Inputs(place))
            if index == -1:
                operands.append(None)
                given.append(None)
                continue
            index = self._number(index)
            quantization = self._quantization(index)
            if self._graph.Tensors(index).IsVariable():
                declared = self._type(index)
                state.append((place, DType(declared.dtype), declared.shape, quantization))
                operands.append(None)
                given.append(None)
                continue
            operands.append(Ref(self._available(index, f"an {what}")))
            given.append(quantization)
        results: list[Argument] = []
        values: list[Value] = []
        for place in self._counted(operator.OutputsLength(), "results"):
            index = self._number(int(operator.Outputs(place)))
            if index in self._made or index in self._constants:
                raise self.refusal(
                    f"makes tensor {index} ({self._told(index)!r:.60}) twice, or after it was read", _IN_FILE
                )
            self._made.add(index)
            self._names[index] = self._unique(self._told(index), index)
            declared = self._type(index, sizes=False)
            results.append((DType(declared.dtype), self._quantization(index)))
            values.append(Value(self._names[index], declared))
        if not values:
            raise self.refusal(f"has an operator {at} ({kind}) without results", _IN_FILE)
        kwargs: list[tuple[str, Argument]] = [("version", str(code.Version())), *self._options(operator, kind)]
        kwargs += [("operands", tuple(given))] if any(given) else []
        kwargs += [("results", tuple(results))]
        kwargs += [("state", tuple(state))] if state else []
        inside = [
            self._number(int(operator.Intermediates(place)))
            for place in self._counted(operator.IntermediatesLength(), "intermediates")
        ]
        described = [(DType(self._type(index, sizes=False).dtype), self._quantization(index)) for index in inside]
        kwargs += [("intermediates", tuple(described))] if inside else []
        return Node(f"tflite.{kind}", tuple(operands), tuple(kwargs), tuple(values), unpack=len(values) > 1)

    def _kind(self, code: Any) -> str:
        kind = numbered("BuiltinOperator").get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")
        if kind == "CUSTOM":
            name = (code.CustomCode() or b"").decode(errors="replace")
            flex = name.startswith("Flex")
            raise self.refusal(
                f"has the {'TensorFlow' if flex else 'custom'} operator {name!r:.60}, which not every runtime has",
                "convert it with TFLITE_BUILTINS only" if flex else "cut the model before it, or leave it out",
            )
        if not kind or kind in NO_BUILTIN:
            raise self.refusal(
                "has an operator that LiteRT's schema does not know", "is ai-edge-litert older than the file?"
            )
        for kinds, words in ((CONTROL_FLOW, "control flow"), (STATEFUL, "variables"), (RANDOM, "random numbers")):
            if kind in kinds:
                raise self.refusal(f"has {words} ({kind}), which is not read", "unroll it, or give the part without it")
        return kind

    def _options(self, operator: Any, kind: str) -> Iterator[tuple[str, Argument]]:
        for which in ("", "2"):
            number = getattr(operator, f"BuiltinOptions{which}Type")()
            table = getattr(operator, f"BuiltinOptions{which}")()
            if not number or table is None:
                continue
            name = numbered(f"BuiltinOptions{which}").get(number)
            if name is None:
                raise self.refusal(f"has {kind} with options that LiteRT's schema does not know", _IN_FILE)
            yield "options", name
            yield from self._fields(table, name, kind)
            return

    def _fields(self, table: Any, name: str, kind: str) -> Iterator[tuple[str, Argument]]:
        reader = getattr(schema, name)()
        reader.Init(table.Bytes, table.Pos)
        for length in [member for member in dir(reader) if member.endswith("Length")]:
            if getattr(reader, length)() > _LIST:
                raise self.refusal(
                    f"has {kind} with a list of {getattr(reader, length)():,} numbers in its options", _IN_FILE
                )
        for field, value in vars(getattr(schema, f"{name}T").InitFromObj(reader)).items():
            known = enumeration_of(field)
            if known:
                if value not in known:
                    raise self.refusal(f"has {kind} whose {field} is {value!r:.40}", _IN_FILE)
                yield field, known[value]
            elif value is None or isinstance(value, (bool, int, float)):
                yield field, value
            elif isinstance(value, (list, np.ndarray)):
                items = np.asarray(value)
                if items.dtype.kind not in "iubf":
                    raise self.refusal(f"has {kind} whose {field} holds no numbers, which is not read")
                yield field, tuple(items.tolist())
            else:
                raise self.refusal(f"has {kind} whose {field} is no number, which is not read")


def _original(path: Path, places: tuple[Sequence[int], Sequence[int]]) -> Callable[[Mapping[str, Array]], list[Array]]:
    """What LiteRT's reference kernels make of the file itself. ImportRefused when they refuse it."""

    def run(feeds: Mapping[str, Array]) -> list[Array]:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            interpreter = Interpreter(
                str(path), num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
            )
            inputs = {detail["index"]: detail for detail in interpreter.get_input_details()}
            for index, array in zip(places[0], feeds.values(), strict=True):
                if tuple(inputs[index]["shape"]) != array.shape:
                    interpreter.resize_tensor_input(index, array.shape)
            interpreter.allocate_tensors()
            for index, array in zip(places[0], feeds.values(), strict=True):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            return [np.array(interpreter.get_tensor(index), copy=True) for index in places[1]]
        except (RuntimeError, ValueError, KeyError) as error:
            raise ImportRefused(f"LiteRT does not run {path.name}: {error}", "does it run where you use it?") from error

    return run
