"""What the outputs of a TFLite model that is itself quantized may differ by between correct kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from generators.frontends.base import EvaluationError, frontend
from generators.frontends.tflite_nodes import Parts, Quantization, parts_of, quantizations
from generators.graph import Array, Graph, Node
from oracles.error_rules import Operation, Tensor
from oracles.quantization import Against, ErrorBounds, carry, no_bounds

#: Options that rules go by, by their names in the schema.
_ATTRIBUTES = {"beta": "beta", "alpha": "alpha", "adjX": "adj_x"}


def bounds_of(graph: Graph, feeds: Sequence[Array]) -> ErrorBounds | None:
    """Bounds on the differences to what reference kernels give operator by operator, in the order of the outputs: those
    of quantized integers in steps, of others in numbers. None where nothing in the graph is quantized.

    There is no float model to hold it against: what the file says is what is meant, and every kernel is granted a step
    of the scale of its result (:func:`oracles.quantization.carry`).
    """
    quantized = quantizations(graph)
    if not quantized:
        return None
    given = {value.name: array for value, array in zip(graph.inputs, feeds, strict=True)}
    try:
        values = frontend("tflite").run(graph, given)
    except EvaluationError as error:
        return no_bounds(len(graph.outputs), f"the reference kernels fail: {error}", "")
    held = {constant.name for constant in graph.constants}
    numbers = {name: number for number, name in enumerate(values)}
    tensors = {
        number: _tensor(values[name], quantized.get(name), constant=name in held) for name, number in numbers.items()
    }
    operations = [_operation(node, parts_of(node), numbers) for node in graph.nodes]
    errors, unknown = carry(tensors, operations, Against.KERNELS)
    found = tuple(_of_output(errors[numbers[name]], values[name], quantized.get(name)) for name in graph.outputs)
    # No variant is the one that others are held against: what is expected are the reference kernels' own results.
    return ErrorBounds(found, found, tuple(f"none is known for {kind}" for kind in unknown), baseline="")


def _tensor(stored: Array, quantization: Quantization | None, *, constant: bool) -> Tensor:
    if quantization is None:
        values = stored.astype(np.float64) if stored.dtype.kind in "fV" else stored
        return Tensor(values if values.dtype.kind in "fiub" else None, constant)
    scales, zeros, axis = quantization
    step, zero = (np.asarray(side, np.float64) for side in (scales, zeros))
    if step.ndim:
        shape = [1] * stored.ndim
        shape[axis] = step.size
        step, zero = step.reshape(shape), np.broadcast_to(zero, step.shape).reshape(shape)
    return Tensor((stored.astype(np.float64) - zero) * step, constant, step, np.broadcast_to(zero, step.shape))


def _operation(node: Node, parts: Parts, numbers: Mapping[str, int]) -> Operation:
    attributes = {
        _ATTRIBUTES[key]: float(value)
        for key, value in parts.values.items()
        if key in _ATTRIBUTES and isinstance(value, (bool, int, float))
    }
    operands = tuple(-1 if name is None else numbers[name] for name in parts.operands)
    return Operation(parts.kind, operands, tuple(numbers[value.name] for value in node.outputs), attributes)


def _of_output(error: Array, stored: Array, quantization: Quantization | None) -> Array:
    """The error in a shape that broadcasts to that of the output, the largest where it is of another; of integers in
    whole steps."""
    if quantization is not None:
        # A little more than a whole number of steps is that number: errors are sums of floats.
        error = np.ceil(error / np.min(np.asarray(quantization[0])) - 1e-6)
    try:
        fits = np.broadcast_shapes(error.shape, stored.shape) == stored.shape
    except ValueError:
        fits = False
    return error if fits else np.asarray(np.max(error, initial=0.0))
