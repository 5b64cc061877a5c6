"""ONNX files as graphs of the frontend ``onnx``.

Local functions are inlined, older opsets are brought to the newest one that runtimes know, and constants become
constants of the graph. Weights stay out of that: what converts versions sees the names of large tensors only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from generators.frontends.onnx_nodes import operator_of
from generators.frontends.onnx_schema import NEWEST, schema
from generators.graph import (
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
    dtype_name,
)
from generators.importers.archives import beside
from generators.importers.errors import ImportRefused
from generators.wellformed import check

_LOG = logging.getLogger(__name__)
#: What a value's type is until the graph has run.
_UNKNOWN = TensorType("float32", ())
#: Attributes that are element types.
_TYPES = frozenset({"to", "dtype", "output_dtype"})
#: Elements of a tensor that what converts versions may want to read (axes, shapes, scales).
_SMALL = 1024


def read(path: Path, extents: Mapping[str, int]) -> Graph:
    """The graph of a file. Symbolic dimensions of inputs get the extents that ``extents`` has by symbol, 2 otherwise.

    ImportRefused for a file that is no model, refers to files that are not beside it, uses operators of other domains,
    or has values that are no tensors.
    """
    model = _parsed(path)
    _load_external(model, path)
    others = sorted({f"{node.domain}.{node.op_type}" for node in _all_nodes(model.graph) if not _main(node.domain)})
    if others and not model.functions:
        raise ImportRefused(
            f"{path.name} uses operators of other domains: {', '.join(others[:5])}",
            "export it without fused operators (before a runtime's optimizer has seen it)",
        )
    model = _normal(model, path)
    graph = _Reader(path, extents).graph(model.graph, top=True)
    try:
        check(graph)
    except GraphError as error:
        raise ImportRefused(f"{path.name} is no valid graph: {error}", "onnx.checker.check_model says more") from error
    return graph


def _parsed(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError, UnicodeDecodeError, OSError) as error:
        raise ImportRefused(f"{path.name} is no ONNX model: {error}", "is the file complete?") from error
    if not model.graph.node and not model.graph.output:
        raise ImportRefused(f"{path.name} is no ONNX model: it has no graph", "is the file complete?")
    return model


def _main(domain: str) -> bool:
    return domain in ("", "ai.onnx")


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    """Read what tensors keep in files beside the model."""
    for tensor in _tensors(model.graph):
        size = int(np.prod(tensor.dims, dtype=object)) if all(extent >= 0 for extent in tensor.dims) else -1
        if size < 0:
            raise ImportRefused(f"{path.name}: tensor {tensor.name!r:.60} has a negative extent")
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = beside(path, entries.get("location", ""))
        try:
            offset, length = int(entries.get("offset", 0)), entries.get("length")
            wanted = int(length) if length is not None else file.stat().st_size - offset
        except ValueError as error:
            raise ImportRefused(
                f"{path.name}: the place of tensor {tensor.name!r:.60} is no number: {error}"
            ) from error
        if offset < 0 or wanted < 0 or offset + wanted > file.stat().st_size:
            raise ImportRefused(
                f"{path.name}: tensor {tensor.name!r:.60} wants bytes {offset:,} to {offset + wanted:,} of "
                f"{file.name}, which has {file.stat().st_size:,}",
                "is that file complete?",
            )
        with file.open("rb") as opened:
            opened.seek(offset)
            tensor.raw_data = opened.read(wanted)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t] if attribute.HasField("t") else []
            found += attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else []:
                found += _tensors(inner)
    return found


def _all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += _all_nodes(attribute.g)
    return found


def _normal(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model without local functions, in the newest opset."""
    opset = max((entry.version for entry in model.opset_import if _main(entry.domain)), default=0)
    if not opset:
        raise ImportRefused(f"{path.name} does not say which opset of ai.onnx it uses")
    if opset > NEWEST:
        raise ImportRefused(
            f"{path.name} uses opset {opset}; opsets up to {NEWEST} are read",
            f"onnx.version_converter.convert_version(model, {NEWEST})",
        )
    large = [tensor for tensor in model.graph.initializer if int(np.prod(tensor.dims, dtype=object)) > _SMALL]
    if model.functions or opset < NEWEST:
        slim = onnx.ModelProto()
        slim.CopyFrom(onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import))
        slim.functions.extend(model.functions)
        names = {tensor.name for tensor in large}
        inputs = {value.name for value in model.graph.input}
        graph = slim.graph
        graph.name = model.graph.name or "graph"
        graph.node.extend(model.graph.node)
        graph.input.extend(model.graph.input)
        graph.output.extend(model.graph.output)
        graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name not in names)
        graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in large
            if tensor.name not in inputs
        )
        try:
            slim = onnx.inliner.inline_local_functions(slim) if slim.functions else slim
            slim = onnx.version_converter.convert_version(slim, NEWEST) if opset < NEWEST else slim
        except Exception as error:
            if opset < 18:
                raise ImportRefused(
                    f"{path.name} cannot be brought from opset {opset} to {NEWEST}: {error}",
                    "export it for a newer opset",
                ) from error
        slim.graph.initializer.extend(large)
        model = slim
    return model


class _Reader:
    """Nodes, constants and bodies of a graph of one file."""

    def __init__(self, path: Path, extents: Mapping[str, int]) -> None:
        self._path = path
        self._extents = extents
        self._unused = 0

    def graph(self, proto: onnx.GraphProto, *, top: bool) -> Graph:
        if proto.sparse_initializer:
            raise self._refusal("has sparse tensors", "")
        constants = {tensor.name: Constant(tensor.name, self._array(tensor)) for tensor in proto.initializer}
        inputs = [self._input(value, top) for value in proto.input if value.name not in constants]
        nodes: list[Node] = []
        for node in proto.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = Constant(node.output[0], self._constant(node))
            else:
                nodes.append(self._node(node))
        used = {name for node in nodes for name in node.references()} | {value.name for value in proto.output}
        held = tuple(constant for name, constant in constants.items() if name in used)
        return Graph("onnx", tuple(inputs), held, tuple(nodes), tuple(value.name for value in proto.output))

    def _refusal(self, what: str, remedy: str) -> ImportRefused:
        return ImportRefused(f"{self._path.name} {what}", remedy)

    def _input(self, value: onnx.ValueInfoProto, top: bool) -> Input:
        if not top and not value.type.HasField("tensor_type"):
            return Input(value.name, _UNKNOWN)
        if not value.type.HasField("tensor_type"):
            raise self._refusal(f"has an input {value.name!r:.60} that is no tensor", "")
        kind = value.type.tensor_type
        try:
            dtype = dtype_name(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        except (GraphError, KeyError, TypeError) as error:
            raise self._refusal(f"has an input {value.name!r:.60} of an unknown element type", "") from error
        shape = []
        for dim in kind.shape.dim:
            extent = dim.dim_value if dim.HasField("dim_value") else self._extents.get(dim.dim_param, 2)
            if extent < 0:
                raise self._refusal(f"has an input {value.name!r:.60} with a negative extent", "")
            shape.append(int(extent))
        return Input(value.name, TensorType(dtype, tuple(shape)))

    def _array(self, tensor: onnx.TensorProto) -> Array:
        try:
            array = np.asarray(numpy_helper.to_array(tensor))
            dtype_name(array.dtype)
        except (ValueError, TypeError, KeyError, GraphError, MemoryError, OverflowError) as error:
            raise self._refusal(
                f"has a damaged tensor {tensor.name!r:.60}: {error}", "is the file complete?"
            ) from error
        return array

    def _constant(self, node: onnx.NodeProto) -> Array:
        if len(node.attribute) != 1:
            raise self._refusal(f"has a Constant with {len(node.attribute)} values", "")
        attribute = node.attribute[0]
        if attribute.name == "value":
            return self._array(attribute.t)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(helper.get_attribute_value(attribute), np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.array(helper.get_attribute_value(attribute), np.int64)
        raise self._refusal(f"has a Constant given by {attribute.name}", "only tensors of numbers are read")

    def _node(self, node: onnx.NodeProto) -> Node:
        target = f"onnx.{node.op_type}"
        try:
            operator_of(target)
        except Exception as error:
            raise self._refusal(f"uses an operator that ONNX does not have: {node.op_type!r:.60}", "") from error
        outputs = list(node.output)
        while len(outputs) > 1 and not outputs[-1]:
            outputs.pop()
        names = [name or self._name() for name in outputs]
        kwargs = [(attribute.name, self._attribute(node, attribute)) for attribute in node.attribute]
        if len(names) > max(1, int(schema(node.op_type).min_output)):
            kwargs.append(("outputs", len(names)))
        args = [Ref(name) if name else None for name in node.input]
        while args and args[-1] is None:
            args.pop()
        return Node(target, tuple(args), tuple(kwargs), tuple(Value(name, _UNKNOWN) for name in names))

    def _name(self) -> str:
        self._unused += 1
        return f"unused {self._unused}"

    def _attribute(self, node: onnx.NodeProto, attribute: onnx.AttributeProto) -> Argument:
        if attribute.type == AttributeProto.GRAPH:
            return self.graph(attribute.g, top=False)
        if attribute.type == AttributeProto.TENSOR:
            array = self._array(attribute.t)
            elements: Sequence[Any] = array.reshape(-1).tolist()
            return (DType(dtype_name(array.dtype)), tuple(array.shape), tuple(elements))
        try:
            value = helper.get_attribute_value(attribute)
        except ValueError as error:
            raise self._refusal(f"has a damaged attribute {attribute.name!r:.60}: {error}", "") from error
        if attribute.name in _TYPES and isinstance(value, int):
            try:
                return DType(dtype_name(helper.tensor_dtype_to_np_dtype(value)))
            except (GraphError, KeyError, TypeError) as error:
                raise self._refusal(f"has {node.op_type} of an unknown element type {value}", "") from error
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if isinstance(value, (int, float)):
            return value
        items = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in value]
        if not all(isinstance(item, (int, float, str)) for item in items):
            raise self._refusal(f"has {node.op_type} with an attribute {attribute.name!r:.60} that is not read", "")
        return tuple(items)


def original(path: Path) -> Callable[[Mapping[str, Array]], list[Array] | None]:
    """What computes from feeds by name what ONNX Runtime, unoptimized, makes of the file itself, or ``onnx.reference``
    where that refuses it; None when both do: a model that a runtime does not take may be what is to be looked into."""

    def run(feeds: Mapping[str, Array]) -> list[Array] | None:
        for way in (_by_runtime, _by_reference):
            try:
                return way(path, feeds)
            except Exception as error:  # noqa: BLE001  (their own types, by the dozen)
                _LOG.info("%s: %s", way.__name__, error)
        return None

    return run


def _by_runtime(path: Path, feeds: Mapping[str, Array]) -> list[Array]:
    import onnxruntime

    from generators.frontends.ort_values import from_ort, to_ort

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {name: to_ort(onnxruntime, array) for name, array in feeds.items()}
    return [from_ort(value) for value in session.run_with_ort_values(None, given)]


def _by_reference(path: Path, feeds: Mapping[str, Array]) -> list[Array]:
    from onnx.reference import ReferenceEvaluator

    with np.errstate(all="ignore"):
        return [np.asarray(value) for value in ReferenceEvaluator(str(path)).run(None, dict(feeds))]
