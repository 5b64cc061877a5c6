"""SavedModels and Keras files as graphs of the frontend ``tensorflow``.

The model's function is frozen: variables become constants, calls of functions are inlined, and each node of its graph
is one of ``tf.raw_ops``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

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
from generators.importers.archives import check_archive
from generators.importers.errors import ImportRefused

#: A graph, and what computes from feeds by name what the model itself does.
Read: TypeAlias = "tuple[Graph, Callable[[Mapping[str, Array]], list[Array]]]"
_UNKNOWN = TensorType("float32", ())
#: Operators that read or write outside of the model, or run code that comes with it. Names contain one of these.
_REACHING_OUT = (
    *("PyFunc", "ReadFile", "WriteFile", "ReadVariableOpFromFile", "LoadLibrary", "SaveV2", "SaveSlices", "Restore"),
    *("MergeV2", "MatchingFiles", "FixedLengthRecord", "TextLineDataset", "TFRecord", "DebugIdentity", "PrintV2"),
    *("Summary", "WholeFileReader", "InitializeTableFromTextFile", "Checkpoint", "ShardDataset", "Rpc"),
)
#: What a SavedModel needs to read its own variables and assets; it is no part of what is frozen.
_OF_SAVING = frozenset(("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "StringJoin"))
#: Nodes that only pass a value on.
_PASSING = frozenset(("Identity", "StopGradient", "PreventGradient", "EnsureShape", "Snapshot", "CheckNumerics"))
#: Nodes without a result that matters.
_IDLE = frozenset(("NoOp", "Assert"))


def read_saved_model(path: Path, signature: str, extents: Mapping[str, int]) -> Read:
    """The graph of one signature of a SavedModel's directory; unknown extents are those of ``extents`` by the input's
    name and axis (``x.0``), else 2. ImportRefused for what is damaged, reaches out of the model, or is no tensor."""
    _check_saved_model(path)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise ImportRefused(
            f"TensorFlow {tf.__version__} cannot load {path.name}: {type(error).__name__}: {error}", "is it complete?"
        ) from error
    names = list(loaded.signatures)
    if signature not in names:
        raise ImportRefused(
            f"{path.name} has no signature {signature!r}", f"--signature is one of: {', '.join(names) or 'none'}"
        )
    return _frozen(loaded.signatures[signature], path.name, extents)


def read_keras(path: Path, extents: Mapping[str, int]) -> Read:
    """The graph of a Keras 3 file (``.keras``), in inference mode. ImportRefused as above, and for files with lambdas,
    which are Python that would be executed."""
    if path.suffix != ".keras":
        raise ImportRefused(
            f"{path.name} is no file of Keras 3", "model.save('model.keras') writes one; .h5 files are not read"
        )
    names = check_archive(path)
    if not {"config.json", "metadata.json"} <= set(names):
        raise ImportRefused(f"{path.name} is no file of Keras 3", "model.save('model.keras') writes one")
    import keras

    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ImportRefused(
            f"Keras {keras.__version__} cannot load {path.name}: {type(error).__name__}: {error}",
            "custom layers and lambdas are not read: export the model as a SavedModel (model.export)",
        ) from error
    inputs = model.inputs
    if not inputs:
        raise ImportRefused(f"{path.name} does not say what its inputs are", "save a model that has been called")
    structure = model.input if isinstance(model, keras.Model) and not isinstance(model, keras.Sequential) else inputs[0]
    specs = [
        tf.TensorSpec(
            [
                extent if extent is not None else extents.get(f"{value.name}.{axis}", 2)
                for axis, extent in enumerate(value.shape)
            ],
            value.dtype,
            name=f"input_{index}",
        )
        for index, value in enumerate(inputs)
    ]
    packed = tf.function(
        lambda *given: model(
            tf.nest.pack_sequence_as(structure, list(given)) if tf.nest.is_nested(structure) else given[0],
            training=False,
        ),
        input_signature=specs,
    )
    return _frozen(packed.get_concrete_function(), path.name, extents)


def from_callable(function: Any, inputs: Sequence[Any], what: str) -> Read:
    """The graph of a function of tensors, traced with the types of these inputs. ImportRefused as above."""
    specs = [tf.TensorSpec(value.shape, value.dtype, name=f"input_{index}") for index, value in enumerate(inputs)]
    traced = tf.function(lambda *given: function(*given), input_signature=specs, autograph=False)
    try:
        concrete = traced.get_concrete_function()
    except Exception as error:
        raise ImportRefused(f"{what} cannot be traced: {type(error).__name__}: {error}") from error
    return _frozen(concrete, what, {})


def _check_saved_model(path: Path) -> None:
    """ImportRefused unless the directory holds a SavedModel whose nodes stay inside it."""
    file = path / "saved_model.pb"
    if not file.is_file():
        raise ImportRefused(f"{path} holds no saved_model.pb", "name the directory that tf.saved_model.save wrote")
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(file.read_bytes())
    except (DecodeError, OSError) as error:
        raise ImportRefused(f"{file} is no SavedModel: {error}", "is the file complete?") from error
    for meta in model.meta_graphs:
        functions = meta.graph_def.library.function
        for node in [*meta.graph_def.node, *(node for function in functions for node in function.node_def)]:
            if node.op not in _OF_SAVING and any(word in node.op for word in _REACHING_OUT):
                raise ImportRefused(
                    f"{path.name} has a node {node.op}, which reaches out of the model", "only computation is read"
                )
    root = path.resolve()
    for member in path.rglob("*"):
        if not member.resolve().is_relative_to(root):
            raise ImportRefused(f"{path.name}: {member.name!r:.80} is a link out of the model")


def _frozen(function: Any, what: str, extents: Mapping[str, int]) -> Read:
    try:
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    except Exception as error:
        raise ImportRefused(
            f"{what} cannot be frozen: {type(error).__name__}: {error}", "only models of plain tensors are read"
        ) from error
    graph = _Reader(frozen, what, extents).graph()
    places = [tensor.op.name for tensor in frozen.inputs if tensor.dtype != tf.resource]
    order = [value.name for value in graph.inputs]

    def original(feeds: Mapping[str, Array]) -> list[Array]:
        results = frozen(*(tf.constant(feeds[name]) for name in places if name in order))
        return [tensor.numpy() for tensor in tf.nest.flatten(results)]

    return graph, original


class _Reader:
    """The graph of a frozen function."""

    def __init__(self, function: Any, what: str, extents: Mapping[str, int]) -> None:
        self._function = function
        self._what = what
        self._extents = extents
        #: The value that an output of a node is, by ``node:index``.
        self._values: dict[str, str] = {}

    def _refusal(self, what: str, remedy: str = "") -> ImportRefused:
        return ImportRefused(f"{self._what} {what}", remedy)

    def graph(self) -> Graph:
        definition = self._function.graph.as_graph_def()
        placeholders = {tensor.op.name: tensor for tensor in self._function.inputs if tensor.dtype != tf.resource}
        inputs: dict[str, Input] = {}
        constants: list[Constant] = []
        nodes: list[Node] = []
        for node in definition.node:
            if node.op == "Placeholder":
                if node.name not in placeholders:
                    raise self._refusal(f"has an input {node.name!r:.60} that is nobody's")
                inputs[node.name] = self._input(placeholders[node.name])
                self._values[f"{node.name}:0"] = node.name
            elif node.op == "Const":
                constants.append(Constant(node.name, self._array(node)))
                self._values[f"{node.name}:0"] = node.name
            elif node.op in _PASSING:
                self._values[f"{node.name}:0"] = self._value(node.input[0])
            elif node.op not in _IDLE:
                nodes.append(self._node(node))
        outputs = []
        for tensor in self._function.outputs:
            key = f"{tensor.op.name}:{tensor.value_index}"
            if key not in self._values:
                raise self._refusal(f"returns {tensor.name!r:.60}, which nothing computes")
            outputs.append(self._values[key])
        used = {name for node in nodes for name in node.references()} | set(outputs)
        held = tuple(constant for constant in constants if constant.name in used)
        ordered = tuple(inputs[name] for name in placeholders if name in inputs)
        return Graph("tensorflow", ordered, held, tuple(nodes), tuple(outputs))

    def _input(self, tensor: Any) -> Input:
        if tensor.shape.rank is None:
            raise self._refusal(f"takes {tensor.op.name!r:.60} of any rank", "give it a signature with a rank")
        shape = tuple(
            int(extent) if extent is not None else self._extents.get(f"{tensor.op.name}.{axis}", 2)
            for axis, extent in enumerate(tensor.shape)
        )
        return Input(tensor.op.name, TensorType(self._dtype(tensor.dtype), shape))

    def _dtype(self, dtype: Any) -> str:
        try:
            return dtype_name(dtype.as_numpy_dtype)
        except GraphError as error:
            raise self._refusal(f"has values of {dtype.name}", "only tensors of numbers are read") from error

    def _array(self, node: Any) -> Array:
        try:
            array: Array = tf.make_ndarray(node.attr["value"].tensor)
            dtype_name(array.dtype)
        except (GraphError, ValueError, TypeError) as error:
            raise self._refusal(f"has a constant {node.name!r:.60} that is not read: {error}") from error
        return array

    def _value(self, text: str) -> str:
        """The value that an input of a node names: ``node``, ``node:1``."""
        name, _, index = text.partition(":")
        key = f"{name}:{index or 0}"
        if key not in self._values:
            raise self._refusal(f"uses {text!r:.60}, which nothing before it computes")
        return self._values[key]

    def _node(self, node: Any) -> Node:
        schema = op_def_registry.get(node.op)
        if schema is None or not hasattr(tf.raw_ops, node.op):
            raise self._refusal(f"has a node {node.op!r:.60}, which is no operator of TensorFlow")
        if any(attr.type in ("func", "list(func)") for attr in schema.attr):
            raise self._refusal(f"has control flow ({node.op})", "only models without loops and branches are read")
        if any(word in node.op for word in _REACHING_OUT):
            raise self._refusal(f"has a node {node.op}, which reaches out of the model")
        given = [self._value(text) for text in node.input if not text.startswith("^")]
        kwargs: list[tuple[str, Argument]] = []
        inferred: set[str] = set()
        place = 0
        for parameter in schema.input_arg:
            inferred |= {parameter.type_attr, parameter.number_attr, parameter.type_list_attr} - {""}
            if parameter.number_attr or parameter.type_list_attr:
                attr = node.attr[parameter.number_attr or parameter.type_list_attr]
                count = int(attr.i) if parameter.number_attr else len(attr.list.type)
                kwargs.append((parameter.name, tuple(Ref(name) for name in given[place : place + count])))
                place += count
            else:
                kwargs.append((parameter.name, Ref(given[place])))
                place += 1
        for attr in schema.attr:
            if attr.name not in inferred and attr.name in node.attr:
                kwargs.append((attr.name, self._attribute(node, attr.name, attr.type)))
        kwargs = _renamed(node.op, kwargs)
        count, several = self._outputs(node, schema)
        names = tuple(node.name if count == 1 else f"{node.name}_{index}" for index in range(count))
        for index, name in enumerate(names):
            self._values[f"{node.name}:{index}"] = name
        values = tuple(Value(name, _UNKNOWN) for name in names)
        return Node(f"tf.raw_ops.{node.op}", (), tuple(kwargs), values, unpack=several)

    def _outputs(self, node: Any, schema: Any) -> tuple[int, bool]:
        """How many tensors the node gives, and whether the call returns a sequence."""
        count = 0
        listed = False
        for parameter in schema.output_arg:
            if parameter.number_attr:
                count, listed = count + int(node.attr[parameter.number_attr].i), True
            elif parameter.type_list_attr:
                count, listed = count + len(node.attr[parameter.type_list_attr].list.type), True
            else:
                count += 1
        return count, listed or len(schema.output_arg) > 1

    def _attribute(self, node: Any, name: str, kind: str) -> Argument:
        value = node.attr[name]
        if kind == "type":
            return DType(self._dtype(tf.dtypes.as_dtype(value.type)))
        if kind == "list(type)":
            return tuple(DType(self._dtype(tf.dtypes.as_dtype(item))) for item in value.list.type)
        if kind == "shape":
            return None if value.shape.unknown_rank else tuple(int(dim.size) for dim in value.shape.dim)
        if kind == "string":
            return str(value.s.decode(errors="replace"))
        if kind in ("int", "float", "bool"):
            return {"int": int(value.i), "float": float(value.f), "bool": bool(value.b)}[kind]
        if kind in ("list(int)", "list(float)", "list(bool)"):
            items: Sequence[Any] = {"list(int)": value.list.i, "list(float)": value.list.f, "list(bool)": value.list.b}[
                kind
            ]
            return tuple(items)
        if kind == "list(string)":
            return tuple(str(item.decode(errors="replace")) for item in value.list.s)
        raise self._refusal(f"has {node.op} with an attribute {name!r} of kind {kind}, which is not read")


def _renamed(operator: str, kwargs: list[tuple[str, Argument]]) -> list[tuple[str, Argument]]:
    """The arguments under the names that ``tf.raw_ops`` has for them, which are others for a few operators (``axis``
    for ``squeeze_dims``)."""
    known = [name for name in inspect.signature(getattr(tf.raw_ops, operator)).parameters if name != "name"]
    strange = [name for name, _ in kwargs if name not in known]
    free = [name for name in known if name not in dict(kwargs)]
    names = dict(zip(strange, free, strict=True)) if len(strange) == len(free) else {}
    return [(names.get(name, name), value) for name, value in kwargs]
