"""What exporters wrote for small models, as motifs of ONNX graphs: node by node, mutated or not.

:mod:`generators.motifs.exporting` makes the data. An input of an export is a value at hand of its type, or a fresh one;
a constant keeps its elements mostly, else they are shuffled; everything else is as it was written.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from generators.graph import DTYPES, FLOATING, Array, Case, Constant, DType, Graph, Input, Node, Ref, TensorType, Value
from generators.handles import Call, Handle
from generators.motifs.builder import Builder
from generators.motifs.registry import motif

PATH = Path(__file__).parent / "data" / "exported.json"
#: Operators whose operands may change places.
_BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Equal", "Less", "Greater"})
#: Share of the constants of several floats whose elements are shuffled.
_SHUFFLED = 0.3
#: Who wrote them.
EXPORTERS = ("torch.onnx dynamo", "torch.onnx dynamo, not optimized", "torch.onnx TorchScript", "tf2onnx")
#: Weight of the exports of each, which are dozens: all of them together are a third of the motifs of ONNX graphs.
_WEIGHT = 6.0


class Tensor(msgspec.Struct, frozen=True):
    """An input (with what it was exported with) or a constant; elements in row-major order, ``inf`` and ``-inf`` as
    text."""

    name: str
    dtype: str
    shape: list[int]
    elements: list[bool | int | float | str]

    def array(self) -> Array:
        """The elements in their shape."""
        elements = [float(item) if isinstance(item, str) else item for item in self.elements]
        return np.array(elements, DTYPES[self.dtype]).reshape(self.shape)


class Operation(msgspec.Struct, frozen=True):
    """A node: an empty name stands for an input or output that is left out; element types are named."""

    operator: str
    inputs: list[str]
    attributes: dict[str, Any]
    outputs: list[str]

    def arguments(self) -> dict[str, Any]:
        """The attributes as keyword arguments of a node of our graphs."""
        found: dict[str, Any] = {}
        for key, value in self.attributes.items():
            kind = key in ("to", "dtype", "output_dtype")
            found[key] = DType(value) if kind else tuple(value) if isinstance(value, list) else value
        # Imported here: who asks for the names of motifs need not have ONNX.
        from generators.frontends.onnx_schema import schema

        if len(self.outputs) > max(1, int(schema(self.operator).min_output)):
            found["outputs"] = len(self.outputs)
        return found


class Exported(msgspec.Struct, frozen=True):
    """What one exporter wrote for one model."""

    exporter: str
    name: str
    inputs: list[Tensor]
    constants: list[Tensor]
    nodes: list[Operation]

    def case(self) -> Case:
        """As a graph with the feeds that it was exported with; the types of its values are unknown, and said to be
        scalars."""
        unknown = TensorType("float32", ())
        nodes = []
        for index, item in enumerate(self.nodes):
            args = tuple(Ref(name) if name else None for name in item.inputs)
            outputs = tuple(
                Value(name or f"unused {index} {place}", unknown) for place, name in enumerate(item.outputs)
            )
            nodes.append(Node(f"onnx.{item.operator}", args, tuple(item.arguments().items()), outputs))
        inputs = tuple(Input(item.name, TensorType(item.dtype, tuple(item.shape))) for item in self.inputs)
        constants = tuple(Constant(item.name, item.array()) for item in self.constants)
        last = tuple(value.name for value in nodes[-1].outputs[:1])
        feeds = {item.name: item.array() for item in self.inputs}
        return Case(Graph("onnx", inputs, constants, tuple(nodes), last), feeds)


def encode(items: Sequence[Exported]) -> bytes:
    """A JSON document, an export a line."""
    lines = b",\n".join(msgspec.json.encode(item) for item in items)
    return b"[\n" + lines + b"\n]\n"


@functools.cache
def exported() -> tuple[Exported, ...]:
    """All that there are."""
    return tuple(msgspec.json.decode(PATH.read_bytes(), type=list[Exported]))


def grow(m: Builder, item: Exported) -> None:
    """Grow an export as far as it gets."""
    values: dict[str, Handle] = {}
    for tensor in item.inputs:
        values[tensor.name] = _operand(m, tensor)
    constants = {tensor.name: tensor for tensor in item.constants}
    for node in item.nodes:
        args = [_argument(m, name, values, constants, node) for name in node.inputs]
        call = _mutated(m, node, Call(f"onnx.{node.operator}", tuple(args), node.arguments()))
        results = m.place(call)
        back = _cast_back(m, args, results)
        changed = [m.mutated(result, functools.partial(_again, m, call, place)) for place, result in enumerate(back)]
        values.update((name, value) for name, value in zip(node.outputs, changed, strict=False) if name)


def _again(m: Builder, call: Call, place: int) -> Handle:
    return m.place(call)[place]


def _operand(m: Builder, tensor: Tensor) -> Handle:
    """A value for an input: of that type, numbers from the range that it was exported with where it is of integers."""
    if tensor.dtype in FLOATING:
        x = m.draw.tensor(tensor.shape, tensor.dtype, None if m.draw.flag(0.6) else "typical", constant=False)
        if tensor.dtype == "float16" and not m.draw.nonfinite and not x.within(-40, 40):
            m.draw.forget(x)
            return m.draw.tensor(tensor.shape, tensor.dtype, "typical", constant=False)
        return x
    array = tensor.array()
    low, high = int(array.min()), int(array.max())
    return m.draw.indices(tensor.shape, low, high, dtypes=tensor.dtype)


def _argument(
    m: Builder, name: str, values: dict[str, Handle], constants: Mapping[str, Tensor], node: Operation
) -> Handle | None:
    if not name:
        return None
    if name in values:
        return values[name]
    tensor = constants[name]
    array = tensor.array()
    if tensor.dtype not in FLOATING:
        values[name] = m.draw.given(array, tensor.dtype, constant=True)
        return values[name]
    if array.size > 1 and m.draw.flag(_SHUFFLED):
        array = m.draw.choices.generator().permutation(array.reshape(-1)).reshape(array.shape)
    elif array.size == 1:
        array = _number(m, node, array)
    apart = node.operator in _BINARY

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        # A mutation may ask for another shape, which is one to broadcast from.
        data = array.reshape(-1)
        return np.resize(data, shape).astype(DTYPES[dtype])

    values[name] = m.parameter(array.shape, tensor.dtype, elements=elements, apart=apart)
    return values[name]


def _number(m: Builder, node: Operation, array: Array) -> Array:
    """A single number, changed when the mutation is one of numbers."""
    value = float(array.reshape(()))
    other = value
    if node.operator == "Pow" and m.due("exponent"):
        other = m.draw.choice((3.0, 2.5, 1.0, 0.5, -1.0))
    elif 0 < value < 0.01 and m.due("epsilon"):
        other = m.draw.choice((0.0, 1e-12, 1e-3, 0.1))
    elif value and m.due("number"):
        other = m.draw.choice((value * 1.0001, -value, value * 2, float(f"{value:.2g}") * 1.001))
    return np.full(array.shape, other).astype(array.dtype)


def _mutated(m: Builder, node: Operation, call: Call) -> Call:
    """The call, when the mutation is one of calls and is made here another one."""
    args, options = list(call.args), dict(call.kwargs)
    first = args[0]
    rank = first.rank if isinstance(first, Handle) else 0
    if "axis" in options and rank > 1 and m.due("axis"):
        options["axis"] = m.draw.axis(rank)
    if "perm" in options and rank > 1 and m.due("axis"):
        options["perm"] = m.draw.permutation(rank)
    if node.operator.startswith("Reduce") and m.due("keepdims"):
        options["keepdims"] = 1 - int(options.get("keepdims", 1))
    if "epsilon" in options and m.due("epsilon"):
        options["epsilon"] = m.draw.choice((0.0, 1e-12, 1e-3, 0.1, 1.0))
    if node.operator in _BINARY and args[0] is not args[1] and m.due("operands swapped"):
        args.reverse()
    floats = [value for value in args if isinstance(value, Handle) and value.dtype in FLOATING]
    if node.operator in (*_BINARY, "MatMul", "Softmax", "Erf", "Tanh", "Sigmoid") and m.due("operands cast"):
        other = m.draw.choice([name for name in ("float16", "float64", "float32") if name != floats[0].dtype])
        args = [m.cast_aside(value, other) if isinstance(value, Handle) else None for value in args]
    return Call(call.target, tuple(args), options)


def _cast_back(m: Builder, before: Sequence[Handle | None], results: Sequence[Handle]) -> list[Handle]:
    """The results in the dtype that the operands had before a mutation cast them."""
    if m.mutation != "operands cast" or not m.made:
        return list(results)
    dtypes = {value.dtype for value in before if value is not None and value.dtype in FLOATING}
    if len(dtypes) != 1:
        return list(results)
    [dtype] = dtypes
    return [
        m.cast_aside(value, dtype) if value.dtype in FLOATING and value.dtype != dtype else value for value in results
    ]


def _register(exporter: str) -> None:
    @motif(f"as {exporter} writes it", frontends=("onnx",), weight=_WEIGHT)
    def grower(m: Builder) -> None:
        grow(m, m.draw.choice([item for item in exported() if item.exporter == exporter]))


for _exporter in EXPORTERS:
    _register(_exporter)
