"""Reading a quantized ONNX model for the oracles: its operators, and its values as ONNX Runtime computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from fuzzer.formats import Artifact
from fuzzer.onnx_artifacts import complete
from fuzzer.runtimes.onnxruntime import OnnxRuntime
from generators.graph import Array
from oracles.error_rules import Operation, Tensor
from oracles.quantization import Against, ErrorBounds, carry, no_bounds

#: The variant whose kernels the others are held against: each operator by itself.
BASELINE = "unoptimized"
#: What ONNX calls the operators that rules are known for.
_SAME = (
    *("Add", "Sub", "Mul", "Div", "Relu", "Tanh", "Exp", "Log", "Sqrt", "Abs", "Neg", "Sin", "Cos", "Floor", "Ceil"),
    *("Round", "Softmax", "Reshape", "Transpose", "Squeeze", "Slice", "Gather", "Split", "Pad", "Tile", "Equal"),
    *("Less", "Greater", "Cast", "Gelu", "Sign", "Shape"),
)
_RULES: Mapping[str, str] = {
    **{name: name.upper() for name in _SAME},
    **dict.fromkeys(("Identity", "Flatten", "Expand", "Unsqueeze", "DepthToSpace", "SpaceToDepth"), "RESHAPE"),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool"), "MAX_POOL_2D"),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), "AVERAGE_POOL_2D"),
    "Concat": "CONCATENATION",
    "Sigmoid": "LOGISTIC",
    "LogSoftmax": "LOG_SOFTMAX",
    "ReduceMean": "MEAN",
    "ReduceSum": "SUM",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Clip": "MAXIMUM",
    "Where": "SELECT_V2",
    "MatMul": "BATCH_MATMUL",
    "LeakyRelu": "LEAKY_RELU",
    "PRelu": "PRELU",
    "HardSwish": "HARD_SWISH",
    "LessOrEqual": "LESS_EQUAL",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Conv": "CONV",
    "ConvInteger": "CONV_INTEGER",
    "MatMulInteger": "MATMUL_INTEGER",
    "Gemm": "GEMM",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    "DynamicQuantizeLinear": "DYNAMIC_QUANTIZE",
}


def error_bounds(artifact: Artifact, feeds: Sequence[Array]) -> ErrorBounds:
    """Bounds on the errors of the model's outputs, in the order of the artifact's. ``feeds`` as for a runtime.

    The model is run once without graph optimizations, all its values outputs; where it cannot be, nothing is bounded.
    """
    model = complete(artifact)
    try:
        values = _computed(artifact, model, feeds)
    except Exception as error:  # noqa: BLE001  (whatever the subject raises, it does so again under its own name)
        return no_bounds(len(artifact.outputs), f"the model does not run: {type(error).__name__}", BASELINE)
    numbers: dict[str, int] = {}
    tensors: dict[int, Tensor] = {}
    held = {initializer.name for initializer in model.graph.initializer}
    for name, value in values.items():
        numbers[name] = len(numbers)
        tensors[numbers[name]] = Tensor(_numbers(value), name in held)
    operations = []
    for node in model.graph.node:
        if node.op_type == "Constant" and not node.domain:
            index = numbers[node.output[0]]
            tensors[index] = Tensor(tensors[index].values, True)
            continue
        _scaled(node, numbers, tensors, values)
        operations.append(_operation(node, numbers, values))
    floats, unknown = carry(tensors, operations, Against.FLOAT)
    kernels, _ = carry(tensors, operations, Against.KERNELS)
    for errors in (floats, kernels):
        _scales_returned(model, numbers, errors)
    outputs = [numbers[name] for name in artifact.outputs]
    return ErrorBounds(
        tuple(_largest(floats[index]) for index in outputs),
        tuple(_largest(kernels[index]) for index in outputs),
        tuple(f"none is known for {kind}" for kind in unknown),
        BASELINE,
    )


def _scales_returned(model: onnx.ModelProto, numbers: Mapping[str, int], errors: dict[int, Array]) -> None:
    """Bound scales and zero points that the graph itself asks for, as far as it returns them. The scale is the range of
    the operand, whose two ends move by its error at most, in 255 steps; a zero point is rounded and may be anything."""
    for node in model.graph.node:
        if node.op_type != "DynamicQuantizeLinear" or node.domain not in ("", "ai.onnx"):
            continue
        error = _largest(errors[numbers[node.input[0]]])
        for name, bound in zip(node.output[1:], (2 * error / 255, np.where(error > 0, np.inf, 0.0)), strict=False):
            if name:
                errors[numbers[name]] = np.asarray(bound)


def _computed(artifact: Artifact, model: onnx.ModelProto, feeds: Sequence[Array]) -> dict[str, Array]:
    """Every value of the model's graph by name, but for those of bodies."""
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    values.update((name, feed) for name, feed in zip(artifact.inputs, feeds, strict=True) if name is not None)
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    known = {value.name for value in whole.graph.output} | set(values)
    names = [name for node in whole.graph.node for name in node.output if name]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    runtime = OnnxRuntime()
    all_outputs = Artifact(artifact.format, whole.SerializeToString(), artifact.inputs, tuple(dict.fromkeys(names)))
    session = runtime.load(all_outputs, runtime.variants[BASELINE])
    values.update(zip(all_outputs.outputs, runtime.run(session, all_outputs, feeds), strict=True))
    return values


def _numbers(value: Array) -> Array | None:
    if value.dtype.kind == "f":
        return value.astype(np.float64)
    return value if value.dtype.kind in "iub" else None


def _scaled(
    node: onnx.NodeProto, numbers: Mapping[str, int], tensors: dict[int, Tensor], values: Mapping[str, Array]
) -> None:
    """Give the integers that a node makes of real numbers, or real numbers of, their scale: a result of QuantizeLinear
    and what DequantizeLinear reads; and what is multiplied as integers, constants included, a scale of one."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        name = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        zero = values[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros((), np.int8)
        _set(numbers[name], tensors, values[name], values[node.input[1]], zero, axis)
    elif node.op_type in ("MatMulInteger", "ConvInteger"):
        for place in (0, 1):
            name = node.input[place]
            # An operand that is left out, with others behind it, has an empty name.
            point = node.input[2 + place] if len(node.input) > 2 + place else ""
            zero = values[point] if point else np.zeros((), np.int8)
            tensor = tensors[numbers[name]]
            raw = values[name].astype(np.float64) - _along(zero, values[name].ndim, -1)
            step = np.asarray(1.0) if tensor.constant else None
            tensors[numbers[name]] = Tensor(raw, tensor.constant, step, step)


def _set(index: int, tensors: dict[int, Tensor], stored: Array, scale: Array, zero: Array, axis: int) -> None:
    if stored.dtype.kind not in "iu" or scale.ndim > 1:
        tensors[index] = Tensor(None)  # float8, or scales by blocks
        return
    step = _along(scale.astype(np.float64), stored.ndim, axis)
    point = _along(zero.astype(np.float64), stored.ndim, axis)
    tensors[index] = Tensor((stored.astype(np.float64) - point) * step, tensors[index].constant, step, point)


def _along(values: Array, rank: int, axis: int) -> Array:
    """Values of one dimension in a shape that broadcasts along an axis."""
    if values.size == 1 or not rank:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = values.size
    return values.reshape(shape)


def _operation(node: onnx.NodeProto, numbers: Mapping[str, int], values: Mapping[str, Array]) -> Operation:
    given = {attribute.name: attribute for attribute in node.attribute}
    attributes: dict[str, float] = {}
    kind = _RULES.get(node.op_type, f"ONNX.{node.op_type}") if node.domain in ("", "ai.onnx") else "another domain"
    if kind == "LEAKY_RELU":
        attributes["alpha"] = given["alpha"].f if "alpha" in given else 0.01
    if kind == "GEMM":
        attributes = {name: given[name].f if name in given else 1.0 for name in ("alpha", "beta")}
    if kind == "DYNAMIC_QUANTIZE":
        attributes["scale"] = float(values[node.output[1]])
    # Operators that read values by name in a body see more than their operands.
    bodies = any(
        attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in given.values()
    )
    inputs = [*node.input, *(numbers if bodies else ())]
    return Operation(
        kind,
        tuple(numbers.get(name, -1) for name in inputs),
        tuple(numbers[name] for name in node.output if name),
        attributes,
    )


def _largest(error: Array) -> Array:
    """The largest error: rules say by channel what ONNX lays out otherwise."""
    return np.asarray(np.max(error, initial=0.0))
