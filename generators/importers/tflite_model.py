"""``.tflite`` files as graphs of the frontend ``tflite``.

The FlatBuffer is read with the schema that LiteRT ships, every length and index held against the file before it is
used: neither Python's readers nor the interpreter do so everywhere. Weights stay what is stored; quantized values are
integers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from generators.frontends.base import EvaluationError
from generators.frontends.tflite_nodes import (
    CONTROL_FLOW,
    NO_BUILTIN,
    QUANTIZED,
    RANDOM,
    STATEFUL,
    Quantization,
    enumeration_of,
    numbered,
    quantization_text,
    quantizations,
)
from generators.graph import DTYPES, Argument, Array, DType, Graph, GraphError, Node, Ref, Value
from generators.importers.errors import ImportRefused
from generators.importers.feeds import random_feeds
from generators.importers.tflite_tensors import IN_FILE, Tensors
from generators.wellformed import check

#: A graph, and what computes from feeds by name what the model itself does.
Read: TypeAlias = "tuple[Graph, Callable[[Mapping[str, Array]], list[Array]]]"
#: What Python's readers of FlatBuffers raise of a damaged file.
_DAMAGE = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, KeyError)
#: Most items of a list among options, most operands and results of an operator.
_LIST = 1 << 12


def read(path: Path, signature: str, extents: Mapping[str, int]) -> Read:
    """The graph of one signature of a file (of its main graph when it has none); unknown extents are those of
    ``extents`` by the input's name and axis (``x.0``), else 2.

    ImportRefused for a file that is damaged, or has what graphs of single operators cannot hold: control flow,
    variables, random numbers, custom operators, strings, sparse tensors, tensors in other files.
    """
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise ImportRefused(f"{path.name} is no TFLite model: it does not say TFL3 at its beginning", IN_FILE)
    try:
        reader = _Reader(path.name, data, extents)
        graph = reader.graph(signature)
    except ImportRefused:
        raise
    except _DAMAGE as error:
        raise ImportRefused(f"{path.name} is damaged: {type(error).__name__}: {error}", IN_FILE) from error
    try:
        check(graph)
        quantizations(graph)
    except (GraphError, EvaluationError) as error:
        raise ImportRefused(f"{path.name} is no valid model: {error}", IN_FILE) from error
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


class _Reader(Tensors):
    """Operators of a file. ``places`` are the numbers of the tensors of inputs and outputs, in order."""

    def __init__(self, name: str, data: bytes, extents: Mapping[str, int]) -> None:
        super().__init__(name, data, extents)
        self.places: tuple[list[int], list[int]] = ([], [])

    def graph(self, wanted: str) -> Graph:
        if self._model.Version() != 3:
            raise self.refusal(f"is of version {self._model.Version()} of the format, not 3", IN_FILE)
        number, names = self._signature(wanted)
        if not 0 <= number < len(self.counted(self._model.SubgraphsLength(), "graphs")):
            raise self.refusal(f"has no graph {number}", IN_FILE)
        graph = self._graph = self._model.Subgraphs(number)
        self._count = len(self.counted(graph.TensorsLength(), "tensors"))
        inputs = [self.number(graph.Inputs(at)) for at in self.counted(graph.InputsLength(), "inputs")]
        outputs = [self.number(graph.Outputs(at)) for at in self.counted(graph.OutputsLength(), "outputs")]
        if len(set(inputs)) < len(inputs):
            raise self.refusal("names a tensor as an input twice", IN_FILE)
        if not outputs:
            raise self.refusal("returns no tensor")
        self.places = inputs, outputs
        for index in inputs:
            self._names[index] = self.unique(names.get(index) or self.told(index), index)
        entries = [self.entry(index) for index in inputs]
        self._made.update(inputs)
        nodes = [self._node(at) for at in self.counted(graph.OperatorsLength(), "operators")]
        for index in outputs:
            self.available(index, "an output")
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
        for at in self.counted(self._model.SignatureDefsLength(), "signatures"):
            one = self._model.SignatureDefs(at)
            known[(one.SignatureKey() or b"").decode(errors="replace")] = one
        if wanted not in known and wanted != "serving_default":
            raise self.refusal(f"has no signature {wanted!r}", f"--signature is one of: {', '.join(known) or 'none'}")
        chosen = known.get(wanted) or next(iter(known.values()), None)
        if chosen is None:
            return 0, {}
        names = {}
        for at in self.counted(chosen.InputsLength(), "inputs of a signature"):
            entry = chosen.Inputs(at)
            names[int(entry.TensorIndex())] = (entry.Name() or b"").decode(errors="replace")
        return int(chosen.SubgraphIndex()), names

    # -- operators -----------------------------------------------------------------------------------------------

    def _node(self, at: int) -> Node:
        operator = self._graph.Operators(at)
        number = operator.OpcodeIndex()
        if not 0 <= number < len(self.counted(self._model.OperatorCodesLength(), "kinds of operators")):
            raise self.refusal(f"has no kind of operator {number}", IN_FILE)
        code = self._model.OperatorCodes(number)
        kind = self._kind(code)
        what = f"operand of operator {at} ({kind})"
        operands: list[Ref | None] = []
        given: list[str | None] = []
        state: list[Argument] = []
        for place in self.counted(operator.InputsLength(), "operands", _LIST):
            index = int(operator.Inputs(place))
            if index == -1:
                operands.append(None)
                given.append(None)
                continue
            index = self.number(index)
            quantization = self.quantization(index)
            if self._graph.Tensors(index).IsVariable():
                declared = self.kind(index)
                state.append((place, DType(declared.dtype), declared.shape, _text(quantization)))
                operands.append(None)
                given.append(None)
                continue
            operands.append(Ref(self.available(index, f"an {what}")))
            plain = self.kind(index, sizes=False).dtype not in QUANTIZED and index in self._made
            given.append(None if plain else _text(quantization))
        results: list[Argument] = []
        values: list[Value] = []
        for place in self.counted(operator.OutputsLength(), "results", _LIST):
            index = self.number(int(operator.Outputs(place)))
            if index in self._made or index in self._constants:
                raise self.refusal(
                    f"makes tensor {index} ({self.told(index)!r:.60}) twice, or after it was read", IN_FILE
                )
            self._made.add(index)
            self._names[index] = self.unique(self.told(index), index)
            declared = self.kind(index, sizes=False)
            results.append(self._result(index))
            values.append(Value(self._names[index], declared))
        if not values:
            raise self.refusal(f"has an operator {at} ({kind}) without results", IN_FILE)
        kwargs: list[tuple[str, Argument]] = [("version", str(code.Version())), *self._options(operator, kind)]
        kwargs += [("operands", tuple(given))] if any(given) else []
        kwargs += [("results", tuple(results))]
        kwargs += [("state", tuple(state))] if state else []
        inside = [
            self.number(int(operator.Intermediates(place)))
            for place in self.counted(operator.IntermediatesLength(), "intermediates")
        ]
        described = [self._result(index) for index in inside]
        kwargs += [("intermediates", tuple(described))] if inside else []
        return Node(f"tflite.{kind}", tuple(operands), tuple(kwargs), tuple(values), unpack=len(values) > 1)

    def _result(self, index: int) -> tuple[DType, str | None]:
        dtype = self.kind(index, sizes=False).dtype
        return DType(dtype), _text(self.quantization(index)) if dtype in QUANTIZED else None

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
                raise self.refusal(f"has {kind} with options that LiteRT's schema does not know", IN_FILE)
            yield "options", name
            yield from self._fields(table, name, kind)
            return

    def _fields(self, table: Any, name: str, kind: str) -> Iterator[tuple[str, Argument]]:
        reader = getattr(schema, name)()
        reader.Init(table.Bytes, table.Pos)
        for length in [member for member in dir(reader) if member.endswith("Length")]:
            if getattr(reader, length)() > _LIST:
                raise self.refusal(
                    f"has {kind} with a list of {getattr(reader, length)():,} numbers in its options", IN_FILE
                )
        for field, value in vars(getattr(schema, f"{name}T").InitFromObj(reader)).items():
            known = enumeration_of(field)
            if known:
                if value not in known:
                    raise self.refusal(f"has {kind} whose {field} is {value!r:.40}", IN_FILE)
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


def _text(quantization: Quantization | None) -> str | None:
    return None if quantization is None else quantization_text(quantization)


def _original(path: Path, places: tuple[Sequence[int], Sequence[int]]) -> Callable[[Mapping[str, Array]], list[Array]]:
    """What LiteRT's reference kernels make of the file itself, or its built-in ones where an operator has no others.
    ImportRefused when both refuse it."""

    def run(feeds: Mapping[str, Array]) -> list[Array]:
        from ai_edge_litert.interpreter import OpResolverType

        kernels = (OpResolverType.BUILTIN_REF, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        for one in kernels:
            try:
                return _computed(path, places, list(feeds.values()), one)
            except (RuntimeError, ValueError, KeyError) as error:
                if one is kernels[-1]:
                    raise ImportRefused(
                        f"LiteRT does not run {path.name}: {error}", "does it run where you use it?"
                    ) from error
        raise AssertionError("one of both has ended it")

    return run


def _computed(
    path: Path, places: tuple[Sequence[int], Sequence[int]], feeds: Sequence[Array], kernels: Any
) -> list[Array]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kernels)
    inputs = {detail["index"]: detail for detail in interpreter.get_input_details()}
    for index, array in zip(places[0], feeds, strict=True):
        if tuple(inputs[index]["shape"]) != array.shape:
            interpreter.resize_tensor_input(index, array.shape)
    interpreter.allocate_tensors()
    for index, array in zip(places[0], feeds, strict=True):
        interpreter.set_tensor(index, array)
    interpreter.invoke()
    return [np.array(interpreter.get_tensor(index), copy=True) for index in places[1]]
