"""Nodes of graphs as ``onnx.NodeProto``, and running one of them: by ONNX Runtime or by ``onnx.reference``."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, helper

from generators.frontends.base import EvaluationError
from generators.frontends.onnx_schema import element_type, schema
from generators.frontends.ort_values import BITS, from_ort, to_ort
from generators.graph import Argument, Array, DType, Node, Ref

#: Operators that take bodies.
IF, LOOP, SCAN = "onnx.If", "onnx.Loop", "onnx.Scan"
CONTROL_FLOW = frozenset((IF, LOOP, SCAN))
#: Sessions kept: making one takes 50 µs and more, running it 5.
_SESSIONS = 2048


class Contradiction(EvaluationError):
    """ONNX Runtime gave a result of another shape than it inferred, which is the one that the operator should have."""


def operator_of(target: str) -> str:
    """``onnx.Resize`` is ``Resize``. EvaluationError when no schema of that name is there."""
    first, _, name = target.partition(".")
    try:
        if first == "onnx":
            schema(name)
            return name
    except KeyError:
        pass
    raise EvaluationError(f"ONNX has no operator {target!r}: targets are onnx. and the name of an operator of ai.onnx")


def output_count(node: Node) -> int:
    """How many outputs a node has: the argument ``outputs`` where it is given, else as many as its operator requires
    (all of the other outputs are optional)."""
    given = dict(node.kwargs).get("outputs")
    return given if isinstance(given, int) else max(1, int(schema(operator_of(node.target)).min_output))


def attributes_of(node: Node) -> dict[str, Argument]:
    """The attributes of a node. What is None is left out."""
    return {key: value for key, value in node.kwargs if key != "outputs" and value is not None}


def attribute_value(key: str, value: Argument) -> Any:
    """An argument as :func:`onnx.helper.make_attribute` takes it. A tensor is a tuple of element type, shape and
    elements. EvaluationError for what no attribute can be."""
    if isinstance(value, DType):
        return element_type(value.name)
    if is_tensor(value):
        dtype, shape, elements = tensor_parts(value)
        return helper.make_tensor(key, element_type(dtype.name), shape, elements)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (bool, int, float, str)):
        return value
    raise EvaluationError(f"attribute {key!r} cannot be {value!r}")


def is_tensor(value: Argument) -> bool:
    """Whether an attribute is a tensor: element type, shape, elements."""
    return isinstance(value, tuple) and len(value) == 3 and isinstance(value[0], DType)


def tensor_parts(value: Argument) -> tuple[DType, list[int], list[Any]]:
    """Element type, shape and elements of an attribute that is a tensor. EvaluationError for a malformed one."""
    dtype, shape, elements = value if isinstance(value, tuple) else (None, None, None)
    if not isinstance(dtype, DType) or not isinstance(shape, tuple) or not isinstance(elements, tuple):
        raise EvaluationError(f"no tensor: {value!r}")
    return dtype, [int(extent) for extent in shape if isinstance(extent, int)], list(elements)


def node_proto(node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.NodeProto:
    """The node with these names of inputs (empty for one that is left out) and outputs. EvaluationError for an
    attribute of a type that its schema does not have."""
    operator = operator_of(node.target)
    known = schema(operator).attributes
    proto = onnx.NodeProto(op_type=operator, input=inputs, output=outputs)
    for key, value in attributes_of(node).items():
        kind = known[key].type.value if key in known else AttributeProto.UNDEFINED
        try:
            attribute = helper.make_attribute(key, attribute_value(key, value), attr_type=kind or None)
        except (TypeError, ValueError, KeyError) as error:
            raise EvaluationError(f"{node.target}: attribute {key!r} cannot be {value!r}: {error}") from error
        proto.attribute.append(attribute)
    return proto


def single_node(node: Node, opset: int, arrays: Sequence[Array | None]) -> onnx.ModelProto:
    """The model of one node whose inputs have the types of the arrays; outputs have none, for inference to find."""
    names = ["" if array is None else f"i{index}" for index, array in enumerate(arrays)]
    outputs = [f"o{index}" for index in range(output_count(node))]
    model = onnx.ModelProto(ir_version=ir_version(opset), opset_import=[onnx.OperatorSetIdProto(version=opset)])
    graph = model.graph
    graph.name = "node"
    graph.node.append(node_proto(node, names, outputs))
    for name, array in zip(names, arrays, strict=True):
        if array is not None:
            kind = graph.input.add(name=name).type.tensor_type
            kind.elem_type = _number(array.dtype)
            kind.shape.SetInParent()
            for extent in array.shape:
                kind.shape.dim.add(dim_value=extent)
    for name in outputs:
        graph.output.add(name=name)
    return model


@functools.cache
def ir_version(opset: int) -> int:
    """The oldest version of the file format that has this opset."""
    return int(helper.find_min_ir_version_for([helper.make_opsetid("", opset)]))


@functools.cache
def _number(dtype: np.dtype[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


class Sessions:
    """Runs single nodes by ONNX Runtime, unoptimized and in one thread; keeps the sessions that were used last."""

    def __init__(self) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        self._runtime = onnxruntime
        self._options = onnxruntime.SessionOptions()
        self._options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._options.intra_op_num_threads = 1
        self._options.inter_op_num_threads = 1
        self._options.log_severity_level = 4
        self._options.enable_cpu_mem_arena = False
        self._options.enable_mem_pattern = False
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def run(self, node: Node, opset: int, arrays: Sequence[Array | None]) -> list[Array]:
        """Outputs of a node; EvaluationError with ONNX Runtime's words when it refuses the model or the values."""
        types = tuple([None if array is None else (array.dtype.num, array.shape) for array in arrays])
        key = (node.target, repr(node.kwargs), opset, types)
        kept = self._kept.get(key)
        try:
            if kept is None:
                data = single_node(node, opset, arrays).SerializeToString()
                session = self._runtime.InferenceSession(data, self._options, providers=["CPUExecutionProvider"])
                outputs = session.get_outputs()
                bits = any(array is not None and array.dtype.name in BITS for array in arrays)
                bits |= any("float8" in value.type or "bfloat16" in value.type for value in outputs)
                shapes = [tuple(value.shape) for value in outputs]
                kept = self._kept[key] = (session, [value.name for value in outputs], shapes, bits)
                if len(self._kept) > _SESSIONS:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
            session, names, shapes, bits = kept
            given = {f"i{index}": array for index, array in enumerate(arrays) if array is not None}
            if bits:
                results = self._with_bits(session, names, given)
            else:
                results = [np.asarray(output) for output in session.run(names, given)]
        except EvaluationError:
            raise
        except Exception as error:  # its own types, by the dozen
            raise EvaluationError(f"{node.target}: {type(error).__name__}: {error}") from error
        for shape, result in zip(shapes, results, strict=True):
            if shape != result.shape and _contradicts(shape, result.shape):
                raise Contradiction(f"{node.target}: a result of shape {result.shape}, inferred is {shape}")
        return results

    def _with_bits(self, session: Any, names: list[str], given: Mapping[str, Array]) -> list[Array]:
        values = {name: to_ort(self._runtime, array) for name, array in given.items()}
        return [from_ort(value) for value in session.run_with_ort_values(names, values)]


def _contradicts(inferred: tuple[Any, ...], actual: tuple[int, ...]) -> bool:
    """Whether extents that are known disagree. No extents at all are a scalar's or stand for an unknown rank."""
    if not inferred:
        return False
    known = [isinstance(extent, int) for extent in inferred]
    return len(inferred) != len(actual) or any(
        sure and extent != found for sure, extent, found in zip(known, inferred, actual, strict=True)
    )


def run_reference(node: Node, opset: int, arrays: Sequence[Array | None]) -> list[Array]:
    """Outputs of a node by ``onnx.reference``, which takes types that no schema allows, too. EvaluationError when it
    raises or has no such operator."""
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(single_node(node, opset, arrays))
        given = {f"i{index}": array for index, array in enumerate(arrays) if array is not None}
        with np.errstate(all="ignore"):
            results = evaluator.run(None, given)
    except Exception as error:  # whatever its Python raises
        raise EvaluationError(f"{node.target}: onnx.reference: {type(error).__name__}: {error}") from error
    return [np.asarray(result) for result in results]


def run_or_infer(node: Node, opset: int, arrays: Sequence[Array | None]) -> list[Array]:
    """Outputs of a node by ``onnx.reference``; zeros of the type and shape that inference gives where that does not run
    it. EvaluationError when neither is known."""
    try:
        return run_reference(node, opset, arrays)
    except EvaluationError as error:
        try:
            inferred = onnx.shape_inference.infer_shapes(
                single_node(node, opset, arrays), strict_mode=True
            ).graph.output
        except onnx.shape_inference.InferenceError as refusal:
            raise EvaluationError(f"{node.target}: {refusal}") from error
        types = [value.type.tensor_type for value in inferred]
        if not all(
            kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim) for kind in types
        ):
            raise
        return [
            np.zeros([dim.dim_value for dim in kind.shape.dim], helper.tensor_dtype_to_np_dtype(kind.elem_type))
            for kind in types
        ]


def arguments(node: Node, values: Mapping[str, Array]) -> list[Array | None]:
    """The arrays of a node's inputs in order, None for one that is left out. EvaluationError for anything else."""
    found: list[Array | None] = []
    for argument in node.args:
        if argument is not None and not isinstance(argument, Ref):
            raise EvaluationError(f"{node.target}: an input is a value or None, not {argument!r}")
        found.append(None if argument is None else values[argument.name])
    return found
