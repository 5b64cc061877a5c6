"""TFLite: the operators of a FlatBuffer as LiteRT runs them, with no converter in between.

Targets are ``tflite.<builtin operator>``; positional arguments are the operands (None for one that is left out).
Keyword arguments are the fields of the operator's options under their names in the schema (an enumeration's member by
name), and, so that a node by itself is an operator of a FlatBuffer: ``version`` (digits), ``options`` (the table of the
schema that the fields are of), ``operands`` (how each is quantized), ``results`` (element type and quantization of
each), ``state`` and ``intermediates``; see :mod:`generators.frontends.tflite_nodes`. Values are what tensors store: a
quantized one is its integers.

A graph is run one operator at a time, each a model of its own on LiteRT's reference kernels, the built-in ones where an
operator has no others. That is no independent
truth: what differs from it are the defects of other kernels and delegates, of fusions and memory planning, and of
importers of such files. There are no samplers: graphs of this frontend are users' models and what is left of them.
"""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import ml_dtypes
import numpy as np

from generators.frontends.arrays import ArrayFrontend
from generators.frontends.base import EvaluationError, LoadedModel, feeds_of
from generators.frontends.bodies import PLAIN, Running
from generators.frontends.signatures import Optional
from generators.frontends.tflite_double import MOVES, halves, in_double
from generators.frontends.tflite_eager import EAGER
from generators.frontends.tflite_nodes import Parts, kind_of, list_fields, parts_of, quantizations, weights_of, words
from generators.frontends.tflite_source import print_module
from generators.graph import Array, Case, Graph, Node, all_constants, dtype_name
from generators.operators.registry import Registry, Rounding

#: Interpreters that are kept, and bytes of the constants in them.
_KEPT, _KEPT_BYTES = 512, 256 << 20
#: Operators that only move, select or compare elements, or compute with integers.
_EXACT = words(
    "ABS ARG_MAX ARG_MIN BATCH_TO_SPACE_ND BITCAST BITWISE_XOR BROADCAST_ARGS BROADCAST_TO CEIL CONCATENATION "
    "DEPTH_TO_SPACE DYNAMIC_UPDATE_SLICE EMBEDDING_LOOKUP EQUAL EXPAND_DIMS FILL FLOOR GATHER GATHER_ND GREATER "
    "GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_NOT LOGICAL_OR MATRIX_DIAG MATRIX_SET_DIAG MAXIMUM "
    "MAX_POOL_2D MINIMUM MIRROR_PAD NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 RANK REDUCE_ALL REDUCE_ANY REDUCE_MAX "
    "REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_NEAREST_NEIGHBOR REVERSE_SEQUENCE REVERSE_V2 "
    "RIGHT_SHIFT ROUND SCATTER_ND SELECT SELECT_V2 SHAPE SIGN SLICE SPACE_TO_BATCH_ND SPACE_TO_DEPTH "
    "SPARSE_TO_DENSE SPLIT SPLIT_V SQUEEZE STRIDED_SLICE TILE TOPK_V2 TRANSPOSE UNIQUE UNPACK WHERE ZEROS_LIKE"
)
_BASIC = words("ADD CAST DEQUANTIZE DIV MUL SQRT SQUARE SUB")
#: Operators that add terms up.
_SUMS = words(
    "ADD_N AVERAGE_POOL_2D BATCH_MATMUL CONV_2D CONV_3D CONV_3D_TRANSPOSE CUMSUM DEPTHWISE_CONV_2D FULLY_CONNECTED "
    "MEAN SUM SEGMENT_SUM TRANSPOSE_CONV UNSORTED_SEGMENT_SUM"
)


class Held(np.ndarray):
    """An array that is a constant of the graph, and of the models of single operators."""


class TfliteRegistry(Registry):
    """No samplers; what the oracle must know of each operator's arithmetic."""

    def rounding(self, target: str) -> Rounding:
        kind = target.rpartition(".")[2]
        return Rounding.EXACT if kind in _EXACT else Rounding.BASIC if kind in _BASIC else Rounding.COMPOSITE

    def sums(self, target: str) -> bool:
        return target.rpartition(".")[2] in _SUMS


class TfliteFrontend(ArrayFrontend):
    """The frontend ``tflite``. Native tensors are NumPy arrays; one thread."""

    name = "tflite"

    @functools.cached_property
    def _registry(self) -> Registry:
        return TfliteRegistry(self.name)

    def registry(self) -> Registry:
        return self._registry

    def version(self) -> str:
        return version("ai-edge-litert")

    def dtype(self, name: str) -> str:
        return name

    def resolve(self, target: str) -> Any:
        """EvaluationError always: what an operator gives depends on the types that its node has for the results, and
        there is no function of arguments alone (:meth:`call` runs nodes)."""
        kind_of(target)
        raise EvaluationError(f"{target} is run as a node of a graph only, which tells the types of its results")

    def symbol(self, path: str) -> Any:
        raise EvaluationError(f"TFLite has no objects to be named, such as {path!r}")

    def optional(self, target: str) -> Optional:
        """Every operand but the first, which may be left out is the kernel's to say; options that are lists."""
        return frozenset((*range(1, 64), *list_fields()))

    def held(self, node: Node) -> tuple[str, ...]:
        parts = parts_of(node)
        places = weights_of(parts.kind, len(parts.operands))
        return tuple(name for place in sorted(places) if (name := parts.operands[place]) is not None)

    def check_arguments(self, graph: Graph) -> None:
        super().check_arguments(graph)
        quantizations(graph)

    def run(self, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
        values: dict[str, Any] = {value.name: self.to_native(feeds[value.name]) for value in graph.inputs}
        values.update((constant.name, np.asarray(constant.data).view(Held)) for constant in graph.constants)
        for node in graph.nodes:
            outputs, _ = self.call(node, values)
            values.update(zip((output.name for output in node.outputs), outputs, strict=True))
        return {name: self.to_array(native) for name, native in values.items()}

    def call(self, node: Node, values: Mapping[str, Any], running: Running = PLAIN) -> tuple[list[Any], bool]:
        parts = parts_of(node)
        held = {name for name in parts.operands if isinstance(values.get(name or ""), Held)}
        arrays = {name: np.asarray(values[name]) for name in parts.operands if name is not None}
        _check_quantized(node, parts, arrays)
        return _kernels().run(node, parts, arrays, held), len(node.outputs) > 1

    def evaluate(self, node: Node, inputs: Mapping[str, Array], *, double: bool = False) -> list[Array]:
        """As for other frontends, weights taken as the constants that they always are. In double precision by
        :mod:`generators.frontends.tflite_double`: EvaluationError for what has no formula there."""
        if double:
            return self._in_double(node, inputs)
        weights = set(self.held(node))
        given = {name: array.view(Held) if name in weights else array for name, array in inputs.items()}
        return self.call(node, given)[0]

    def _in_double(self, node: Node, inputs: Mapping[str, Array]) -> list[Array]:
        parts = parts_of(node)
        if (
            parts.kind in MOVES
            and not any(parts.given)
            and parts.values.get("fusedActivationFunction", "NONE") == "NONE"
        ):
            split = {name: halves(array) for name, array in inputs.items() if array.dtype == np.float64}
            high, low = (
                self.evaluate(node, {**inputs, **{name: pair[side] for name, pair in split.items()}}) for side in (0, 1)
            )
            return [
                first.astype(np.float64) + second if first.dtype == np.float32 else first
                for first, second in zip(high, low, strict=True)
            ]
        try:
            found = in_double(parts, [None if name is None else inputs[name] for name in parts.operands])
        except (ValueError, IndexError) as error:
            raise EvaluationError(f"{node.target}: {error}") from error
        if found is None:
            raise EvaluationError(f"{node.target}: not in double precision")
        return [found]

    def source(self, graph: Graph, name: str = "Model") -> str:
        return print_module(graph, name)

    def load(self, case: Case) -> LoadedModel:
        """Print the graph, execute the source, make the inputs. ``native`` has ``flatbuffer()``, the model's bytes,
        and is called with arrays."""
        text = self.source(case.graph)
        namespace = {**namespace_of(), "CONSTANTS": {item.name: item.data for item in all_constants(case.graph)}}
        # The source is printed from a graph by our own printer; it is the text that reproducers carry.
        exec(compile(text, "<printed graph>", "exec"), namespace)
        return LoadedModel(
            case.graph, text, namespace["Model"](), tuple(self.to_native(each) for each in feeds_of(case))
        )

    def execute(self, model: LoadedModel) -> list[Array]:
        return [np.array(output, copy=True) for output in model.native(*model.arguments)]


def _check_quantized(node: Node, parts: Parts, arrays: Mapping[str, Array]) -> None:
    """EvaluationError where some of a node's integers are quantized and others are not: kernels that divide by a scale
    which is not there end the process."""
    if not any(parts.given) and not any(parts.made):
        return
    for place, (name, quantization) in enumerate(zip(parts.operands, parts.given, strict=True)):
        if name is not None and quantization is None and arrays[name].dtype.name in ("int8", "uint8"):
            raise EvaluationError(f"{node.target}: operand {place} has no scale, and others have one")
    for place, (dtype, quantization) in enumerate(zip(parts.dtypes, parts.made, strict=True)):
        if any(parts.given) and quantization is None and dtype in ("int8", "uint8", "int16"):
            raise EvaluationError(f"{node.target}: result {place} has no scale, and operands have one")


class Kernels:
    """Runs single operators on reference kernels; keeps the interpreters that were used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[Any, list[str], int]] = OrderedDict()
        self._bytes = 0

    def run(self, node: Node, parts: Parts, arrays: Mapping[str, Array], held: set[str | None]) -> list[Array]:
        """Outputs of a node for arrays by name, those that are ``held`` constants of its model. EvaluationError with
        LiteRT's words when it refuses them."""
        key = _key(node, parts, arrays, held)
        ours = namespace_of()
        try:
            if key in self._kept:
                self._kept.move_to_end(key)
            else:
                self._keep(key, *_model(node, parts, arrays, held))
            interpreter, fed, _ = self._kept[key]
            if parts.state:
                interpreter.reset_all_variables()
            outputs = [
                np.array(array, copy=True)
                for array in ours["invoked"](interpreter, [arrays[_at(parts, name)] for name in fed])
            ]
        except EvaluationError:
            raise
        except Exception as error:  # whatever the binding raises
            if kept := self._kept.pop(key, None):
                self._bytes -= kept[2]
            raise EvaluationError(f"{node.target}: {type(error).__name__}: {error}") from error
        if len(outputs) != len(node.outputs):
            raise EvaluationError(f"{node.target} returned {len(outputs)} tensors, {len(node.outputs)} expected")
        for place, (array, dtype) in enumerate(zip(outputs, parts.dtypes, strict=True)):
            if dtype_name(array.dtype) != dtype:
                raise EvaluationError(f"{node.target}: result {place} is {array.dtype}, not {dtype} as its node says")
        return outputs

    def _keep(self, key: bytes, artifact: bytes, fed: list[str]) -> None:
        self._kept[key] = namespace_of()["prepared"](artifact), fed, len(artifact)
        self._bytes += len(artifact)
        while len(self._kept) > _KEPT or (self._bytes > _KEPT_BYTES and len(self._kept) > 1):
            self._bytes -= self._kept.popitem(last=False)[1][2]


def _key(node: Node, parts: Parts, arrays: Mapping[str, Array], held: set[str | None]) -> bytes:
    """Identity of a node's model: all but the names of its values and what it is fed."""
    places = {name: place for place, name in enumerate(parts.operands)}
    state = hashlib.blake2b(digest_size=16)
    state.update(
        repr((node.target, node.kwargs, [None if name is None else places[name] for name in parts.operands])).encode()
    )
    for name, array in arrays.items():
        state.update(repr((places[name], str(array.dtype), array.shape, name in held)).encode())
        if name in held:
            state.update(
                np.ascontiguousarray(array).view(np.uint8).data if array.size and array.ndim else array.tobytes()
            )
    return state.digest()


def _at(parts: Parts, name: str) -> str:
    """The value that ``i<place>`` of the model stands for."""
    found = parts.operands[int(name[1:])]
    assert found is not None
    return found


def _model(node: Node, parts: Parts, arrays: Mapping[str, Array], held: set[str | None]) -> tuple[bytes, list[str]]:
    """The FlatBuffer of a node and the names of what it is fed with, ``i<place>``."""
    ours = namespace_of()
    tensor = ours["tensor"]
    tensors: dict[str, Any] = {}
    places = {name: place for place, name in reversed(list(enumerate(parts.operands)))}
    operands: list[str | None] = []
    for place, name in enumerate(parts.operands):
        if place in parts.state:
            kind, quantization = parts.state[place]
            tensors[f"s{place}"] = tensor(kind.dtype, kind.shape, *(quantization or ()), variable=True)
            operands.append(f"s{place}")
        elif name is None:
            operands.append(None)
        else:
            array = arrays[name]
            data = array if name in held else None
            ours_name = f"i{places[name]}"
            tensors[ours_name] = tensor(dtype_name(array.dtype), array.shape, *(parts.given[place] or ()), data=data)
            operands.append(ours_name)
    for place, (dtype, quantization) in enumerate(parts.intermediates):
        tensors[f"m{place}"] = tensor(dtype, (), *(quantization or ()))
    outputs = []
    for place, (value, dtype, quantization) in enumerate(zip(node.outputs, parts.dtypes, parts.made, strict=True)):
        tensors[f"o{place}"] = tensor(dtype, value.type.shape, *(quantization or ()))
        outputs.append(f"o{place}")
    inside = [name for name in tensors if name.startswith("m")]
    made = ours["operator"](
        parts.kind,
        operands,
        outputs,
        version=parts.version,
        options=parts.options,
        intermediates=inside,
        **parts.values,
    )
    artifact, fed = ours["single"](
        tensors, made, {name: arrays[_at(parts, name)] for name in tensors if name[0] == "i"}
    )
    return artifact, fed


@functools.cache
def _kernels() -> Kernels:
    return Kernels()


@functools.cache
def namespace_of() -> dict[str, Any]:
    """What printed source finds around it: the helpers of :mod:`generators.frontends.tflite_eager`."""
    import flatbuffers

    namespace: dict[str, Any] = {"np": np, "flatbuffers": flatbuffers, "ml_dtypes": ml_dtypes}
    exec(compile(EAGER, "<eager TFLite>", "exec"), namespace)
    return namespace
