"""Nodes of the frontend ``tflite``: what their arguments are, and the tensors that follow from them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from generators.frontends.base import EvaluationError
from generators.graph import Argument, DType, Graph, Node, Ref, TensorType

#: Scales (one, or one for each index along the axis), zero points alike, and the axis.
Quantization: TypeAlias = "tuple[float | tuple[float, ...], int | tuple[int, ...], int]"


def words(text: str) -> frozenset[str]:
    """The words of a text, each once."""
    return frozenset(text.split())


#: Element types of quantized results.
QUANTIZED = frozenset(("int8", "uint8", "int16", "int4", "uint4"))
#: Operators that run other graphs of the model.
CONTROL_FLOW = words(
    "CALL CALL_ONCE IF WHILE STABLEHLO_CASE STABLEHLO_COMPOSITE STABLEHLO_REDUCE STABLEHLO_REDUCE_WINDOW "
    "STABLEHLO_SCATTER STABLEHLO_SORT STABLEHLO_WHILE"
)
#: Operators that keep something between runs.
STATEFUL = words(
    "ASSIGN_VARIABLE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_LOOKUP HASHTABLE_SIZE READ_VARIABLE VAR_HANDLE"
)
#: Operators whose results no two runtimes agree about.
RANDOM = words("MULTINOMIAL RANDOM_STANDARD_NORMAL RANDOM_UNIFORM STABLEHLO_CUSTOM_CALL STABLEHLO_RNG_BIT_GENERATOR")
#: What is in the list of builtin operators and is none.
NO_BUILTIN = frozenset(("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CONCAT_EMBEDDINGS", "SKIP_GRAM"))
#: Arguments of nodes that are no fields of the operator's options. ``version`` is a string: a number would invite to
#: be made smaller, which makes another operator of it.
OWN = frozenset(("version", "options", "operands", "results", "state", "intermediates"))
#: Fields of options that kernels divide by, or loop over.
_POSITIVE = words(
    "strideW strideH strideD filterWidth filterHeight dilationWFactor dilationHFactor dilationDFactor blockSize "
    "depthMultiplier numSplits rank"
)
#: Operands that kernels want, or are used to have, as constants: weights, and what shapes are made of.
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": tuple(range(1, 48)),
    "BIDIRECTIONAL_SEQUENCE_RNN": tuple(range(1, 12)),
    "CONV_2D": (1, 2),
    "CONV_3D": (1, 2),
    "CONV_3D_TRANSPOSE": (0, 1, 3),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "LSTM": tuple(range(1, 24)),
    "RNN": (1, 2, 3),
    "SVDF": (1, 2, 3),
    "TRANSPOSE_CONV": (0, 1, 3),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": tuple(range(1, 24)),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (1, 2, 3),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """A node taken apart. ``operands`` names its operands, None for one that is left out; ``given`` and ``made`` are
    the quantizations of operands and results (None: not quantized), ``dtypes`` the element types of the results.
    ``state`` holds, by the place of the operand, the tensors that start as zeros and belong to the operator alone:
    type and quantization; ``intermediates`` the quantizations of what happens inside."""

    kind: str
    version: int
    operands: tuple[str | None, ...]
    given: tuple[Quantization | None, ...]
    dtypes: tuple[str, ...]
    made: tuple[Quantization | None, ...]
    options: str
    values: Mapping[str, Argument]
    state: Mapping[int, tuple[TensorType, Quantization | None]]
    intermediates: tuple[tuple[str, Quantization | None], ...]


@functools.cache
def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


@functools.cache
def fields_of(options: str) -> frozenset[str]:
    """The fields of a table of options. KeyError for a name that is none."""
    found = getattr(_schema(), f"{options}T", None) if options.endswith("Options") else None
    if found is None:
        raise KeyError(options)
    return frozenset(vars(found()))


@functools.cache
def list_fields() -> frozenset[str]:
    """The fields of any options that hold a list, or None where there is none."""
    tables = [name for name in vars(_schema()) if name.endswith("OptionsT")]
    return frozenset(
        field for name in tables for field, value in vars(getattr(_schema(), name)()).items() if value is None
    )


@functools.cache
def enumeration_of(field: str) -> Mapping[int, str]:
    """The names of what a field of options may be by their numbers; empty for a field that is a plain number."""
    namespace: dict[str, Any] = {}
    from generators.frontends.tflite_eager import EAGER

    start = EAGER.index("ENUMERATIONS = ")
    exec(EAGER[start : EAGER.index("}", start) + 1], namespace)
    name = namespace["ENUMERATIONS"].get(field)
    return numbered(name) if name else {}


@functools.cache
def numbered(enumeration: str) -> Mapping[int, str]:
    """The names of an enumeration of the schema by their numbers."""
    members = vars(getattr(_schema(), enumeration)).items()
    return {number: name for name, number in members if isinstance(number, int)}


def kind_of(target: str) -> str:
    """``tflite.ADD`` is ``ADD``. EvaluationError when the schema has no such operator, or it is none that a graph can
    hold."""
    first, _, kind = target.partition(".")
    known = first == "tflite" and hasattr(_schema().BuiltinOperator, kind) and not kind.startswith("_")
    if not known or kind in CONTROL_FLOW | STATEFUL | RANDOM | NO_BUILTIN:
        raise EvaluationError(f"LiteRT has no operator {target!r} that a graph can hold")
    return kind


def parts_of(node: Node) -> Parts:
    """A node taken apart. EvaluationError for one that no model can have: what is lacking among its arguments, an
    option that its table does not have, a number that a kernel would divide by zero with."""
    kind = kind_of(node.target)
    given = dict(node.kwargs)
    if unknown := {"version", "results"} - given.keys():
        raise EvaluationError(f"{node.target}: {', '.join(sorted(unknown))} must be given")
    version = given["version"]
    if not isinstance(version, str) or not version.isdecimal() or not version.isascii():
        raise EvaluationError(f"{node.target}: the version is {version!r}, not digits")
    operands: list[str | None] = []
    for item in node.args:
        if item is not None and not isinstance(item, Ref):
            raise EvaluationError(f"{node.target}: an operand is a value or None, not {item!r}")
        operands.append(item.name if item is not None else None)
    results = given["results"]
    if not isinstance(results, tuple) or len(results) != len(node.outputs):
        raise EvaluationError(f"{node.target}: results tells of other than {len(node.outputs)} outputs")
    kinds = [_typed(node, item) for item in results]
    listed = given.get("operands", ())
    if not isinstance(listed, tuple) or (listed and len(listed) != len(operands)):
        raise EvaluationError(f"{node.target}: operands tells of other than {len(operands)} operands")
    quantized = [_quantization(node, item) for item in listed]
    values = {key: value for key, value in given.items() if key not in OWN}
    return Parts(
        kind,
        int(version),
        tuple(operands),
        (*quantized, *[None] * (len(operands) - len(quantized))),
        tuple(dtype for dtype, _ in kinds),
        tuple(quantization for _, quantization in kinds),
        _checked_options(node, given.get("options", ""), values),
        values,
        _state(node, given.get("state", ()), operands),
        tuple(_typed(node, item) for item in _items(node, given.get("intermediates", ()))),
    )


def _items(node: Node, value: Argument) -> tuple[Argument, ...]:
    if not isinstance(value, tuple):
        raise EvaluationError(f"{node.target}: {value!r} is no list")
    return value


def _typed(node: Node, item: Argument) -> tuple[str, Quantization | None]:
    if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], DType)):
        raise EvaluationError(f"{node.target}: {item!r:.80} is no element type with a quantization")
    if item[1] is not None and item[0].name not in QUANTIZED:
        raise EvaluationError(f"{node.target}: {item[0].name} is no type of quantized results")
    return item[0].name, _quantization(node, item[1])


def quantization_text(quantization: Quantization) -> str:
    """A quantization as nodes hold it: ``scale:zero``, of channels ``scale,scale,...:zero@axis``. A string, since
    nothing is gained by other numbers, and kernels abort on scales that do not fit together."""
    scales, zeros, axis = quantization
    listed = [",".join(map(repr, side)) if isinstance(side, tuple) else repr(side) for side in (scales, zeros)]
    return f"{listed[0]}:{listed[1]}" + (f"@{axis}" if isinstance(scales, tuple) else "")


@functools.lru_cache(maxsize=4096)
def quantization_of(text: str) -> Quantization:
    """What :func:`quantization_text` wrote. ValueError for anything else."""
    listed, colon, rest = text.partition(":")
    points, at, axis = rest.partition("@")
    scales = tuple(float(item) for item in listed.split(","))
    zeros = tuple(int(item) for item in points.split(","))
    if not colon or len(zeros) not in (1, len(scales)) or not all(0 < scale < float("inf") for scale in scales):
        raise ValueError(f"no quantization: {text!r:.80}")
    if not at:
        if len(scales) > 1:
            raise ValueError(f"several scales without an axis: {text!r:.80}")
        return scales[0], zeros[0], 0
    if not 0 <= int(axis) < 8:
        raise ValueError(f"no axis: {text!r:.80}")
    return scales, zeros[0] if len(zeros) == 1 else zeros, int(axis)


def _quantization(node: Node, item: Argument) -> Quantization | None:
    if item is None:
        return None
    try:
        if isinstance(item, str):
            return quantization_of(item)
    except ValueError as error:
        raise EvaluationError(f"{node.target}: {error}") from error
    raise EvaluationError(f"{node.target}: {item!r:.80} is no quantization")


def _checked_options(node: Node, options: Argument, values: Mapping[str, Argument]) -> str:
    if not isinstance(options, str):
        raise EvaluationError(f"{node.target}: the options are {options!r}, no table's name")
    try:
        fields = fields_of(options) if options else frozenset[str]()
    except KeyError as error:
        raise EvaluationError(f"{node.target}: the schema has no options {options!r}") from error
    if different := fields ^ values.keys():
        raise EvaluationError(f"{node.target}: {min(different)!r} is not as the table {options or 'of no options'} has")
    for key, value in values.items():
        known = enumeration_of(key).values()
        if known and value not in known:
            raise EvaluationError(f"{node.target}: {key} is {value!r}, not one of {', '.join(known)}")
        if key in _POSITIVE and not (isinstance(value, int) and 0 < value < 1 << 16):
            raise EvaluationError(f"{node.target}: {key} is {value!r}, not a count")
    return options


def _state(
    node: Node, state: Argument, operands: list[str | None]
) -> dict[int, tuple[TensorType, Quantization | None]]:
    found: dict[int, tuple[TensorType, Quantization | None]] = {}
    for item in _items(node, state):
        place, dtype, shape, quantization = item if isinstance(item, tuple) and len(item) == 4 else (None,) * 4
        if not (
            isinstance(place, int)
            and 0 <= place < len(operands)
            and operands[place] is None
            and isinstance(dtype, DType)
            and isinstance(shape, tuple)
        ):
            raise EvaluationError(f"{node.target}: {item!r} is no tensor of its state")
        extents = tuple(extent for extent in shape if isinstance(extent, int) and extent >= 0)
        found[place] = TensorType(dtype.name, extents), _quantization(node, quantization)
    return found


def weights_of(kind: str, count: int) -> frozenset[int]:
    """Places of the operands that are constants where nothing tells what they are in the model."""
    return frozenset(place for place in _WEIGHTS.get(kind, ()) if place < count)


def quantizations(graph: Graph) -> dict[str, Quantization]:
    """How the values of a graph are quantized, by name. EvaluationError where two of its nodes do not agree."""
    found: dict[str, Quantization | None] = {}

    def told(name: str, quantization: Quantization | None, node: Node) -> None:
        if found.setdefault(name, quantization) != quantization:
            raise EvaluationError(f"{node.target}: value {name!r} is quantized in another way than elsewhere")

    for node in graph.nodes:
        parts = parts_of(node)
        for name, quantization in zip(parts.operands, parts.given, strict=True):
            if name is not None:
                told(name, quantization, node)
        for value, quantization in zip(node.outputs, parts.made, strict=True):
            told(value.name, quantization, node)
    return {name: quantization for name, quantization in found.items() if quantization is not None}
