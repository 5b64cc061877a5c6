"""Reading a quantized TFLite model for the oracles: its operators, and its tensors as the reference kernels compute
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fuzzer.flatbuffer import operator_name
from fuzzer.formats import Artifact
from fuzzer.runtimes.litert import LiteRT
from generators.graph import Array
from oracles.error_rules import Operation, Tensor
from oracles.quantization import Against, ErrorBounds, carry, no_bounds

#: Attributes that rules go by, of the options of each operator that has any.
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "SoftmaxOptions": ("Beta",),
    "LeakyReluOptions": ("Alpha",),
    "BatchMatMulOptions": ("AdjX",),
}
_NAMES = {"Beta": "beta", "Alpha": "alpha", "AdjX": "adj_x"}


def error_bounds(artifact: Artifact, feeds: Sequence[Array]) -> ErrorBounds:
    """Bounds on the errors of the model's outputs, in the order of the artifact's. ``feeds`` as for a runtime.

    The model is run once on the reference kernels with all its tensors kept; where it cannot be, nothing is bounded,
    and what the runtime says will be heard when it is run as a subject.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    runtime = LiteRT()
    try:
        computed = runtime.tensors(artifact, feeds)
    except Exception as error:  # noqa: BLE001  (whatever the subject raises, it does so again under its own name)
        return no_bounds(len(artifact.outputs), f"the reference kernels fail: {type(error).__name__}")
    flat = schema.Model.GetRootAs(artifact.data, 0)
    subgraph = flat.Subgraphs(0)
    count = subgraph.TensorsLength()
    tensors = {
        int(detail["index"]): _tensor(detail, values, _is_constant(flat, subgraph, int(detail["index"])))
        for detail, values in computed
        if int(detail["index"]) < count
    }
    for index in range(count):
        tensors.setdefault(index, Tensor(None))
    if _quantized_bodies(flat):
        return no_bounds(len(artifact.outputs), "bodies of control flow are quantized")
    operations = [_operation(flat, subgraph.Operators(number)) for number in range(subgraph.OperatorsLength())]
    signature = flat.SignatureDefs(0)
    places = {
        signature.Outputs(number).Name().decode(): int(signature.Outputs(number).TensorIndex())
        for number in range(signature.OutputsLength())
    }
    outputs = [places[name] for name in artifact.outputs]
    # An input that is stored quantized is rounded when it is fed.
    operations = [*_fed(tensors, subgraph, signature), *operations]
    floats, unknown = carry(tensors, operations, Against.FLOAT)
    kernels, _ = carry(tensors, operations, Against.KERNELS)
    reasons = tuple(f"none is known for {kind}" for kind in unknown)
    return ErrorBounds(
        tuple(_shaped(floats[index], tensors[index]) for index in outputs),
        tuple(_shaped(kernels[index], tensors[index]) for index in outputs),
        reasons=reasons,
    )


def _tensor(detail: Mapping[str, Any], stored: Array | None, constant: bool) -> Tensor:
    parameters = detail["quantization_parameters"]
    scales = np.asarray(parameters["scales"], np.float64)
    kind = np.dtype(detail["dtype"])
    if stored is None or not scales.size or kind.kind != "i":
        values = stored.astype(np.float64) if stored is not None and stored.dtype.kind == "f" else stored
        if values is not None and values.dtype.kind not in "fiub":
            values = None
        return Tensor(values, constant, half=constant and kind == np.float16)
    shape = [1] * stored.ndim
    if scales.size > 1:
        shape[int(parameters["quantized_dimension"])] = scales.size
    step = scales.reshape(shape) if scales.size > 1 else scales.reshape(())
    zeros = np.asarray(parameters["zero_points"], np.float64)
    zero = zeros.reshape(step.shape) if zeros.size == scales.size else np.zeros(step.shape)
    return Tensor((stored.astype(np.float64) - zero) * step, constant, step, zero)


def _is_constant(flat: Any, subgraph: Any, index: int) -> bool:
    tensor = subgraph.Tensors(index)
    buffer = flat.Buffers(tensor.Buffer())
    return not tensor.IsVariable() and (buffer.DataLength() > 0 or buffer.Size() > 0)


def _operation(flat: Any, operator: Any) -> Operation:
    from tensorflow.lite.python import schema_py_generated as schema

    attributes: dict[str, float] = {}
    table = operator.BuiltinOptions()
    for name, methods in _ATTRIBUTES.items():
        if table is not None and operator.BuiltinOptionsType() == getattr(schema.BuiltinOptions, name):
            options = getattr(schema, name)()
            options.Init(table.Bytes, table.Pos)
            attributes.update({_NAMES[method]: float(getattr(options, method)()) for method in methods})
    return Operation(
        operator_name(flat, operator),
        tuple(int(operator.Inputs(place)) for place in range(operator.InputsLength())),
        tuple(int(operator.Outputs(place)) for place in range(operator.OutputsLength())),
        attributes,
    )


def _fed(tensors: dict[int, Tensor], subgraph: Any, signature: Any) -> list[Operation]:
    """An operation that quantizes it for each input that is stored quantized."""
    found = []
    for number in range(signature.InputsLength()):
        index = int(signature.Inputs(number).TensorIndex())
        if tensors[index].step is not None:
            real = -2 - index  # an index that no tensor of the model has, nor -1
            tensors[real] = Tensor(tensors[index].values)
            found.append(Operation("QUANTIZE", (real,), (index,)))
    return found


def _quantized_bodies(flat: Any) -> bool:
    for number in range(1, flat.SubgraphsLength()):
        subgraph = flat.Subgraphs(number)
        for index in range(subgraph.TensorsLength()):
            parameters = subgraph.Tensors(index).Quantization()
            if parameters is not None and parameters.ScaleLength():
                return True
    return False


def _shaped(error: Array, tensor: Tensor) -> Array:
    """The error in a shape that broadcasts to that of the tensor; the largest where an operator made another of it."""
    if tensor.values is None:
        return np.asarray(np.max(error, initial=0.0))
    try:
        return error if np.broadcast_shapes(error.shape, tensor.values.shape) == tensor.values.shape else _most(error)
    except ValueError:
        return _most(error)


def _most(error: Array) -> Array:
    return np.asarray(np.max(error, initial=0.0))
