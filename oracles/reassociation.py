"""Sums of sums: what other implementations may add up in another order.

``(a - b) - c`` may be computed as ``a - (b + c)``, whose error is that of the largest of the three, though the result
may be far smaller. Converters and runtimes that fold constants do so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from generators.graph import Array, Graph, Node, dtype_name
from oracles.compare import wide
from oracles.tolerances import ROUNDED

#: Targets that add or subtract their operands, of all frontends.
SUMS = frozenset(
    (
        *("torch.add", "torch.sub", "torch.subtract", "torch.Tensor.add", "torch.Tensor.sub", "torch.Tensor.subtract"),
        *("operator.add", "operator.sub", "aten.add.Tensor", "aten.sub.Tensor"),
        *("tf.add", "tf.subtract", "tf.math.add", "tf.math.subtract", "tf.math.add_n", "tf.add_n"),
        *("tf.raw_ops.AddV2", "tf.raw_ops.Add", "tf.raw_ops.Sub"),
        *("onnx.Add", "onnx.Sub", "onnx.Sum"),
        *("keras.layers.Add", "keras.layers.Subtract"),
    )
)


class Chains:
    """The magnitude of the terms behind each sum of a graph, from the values that eager mode gave. ``simple`` tells
    whether the elements of an array need so few digits that sums of them are exact, in whatever order."""

    def __init__(self, graph: Graph, eager: Mapping[str, Array], simple: Callable[[Array], bool]) -> None:
        self._terms: dict[str, Array] = {}
        #: Sums of which all terms are simple.
        self._exact: set[str] = set()
        for node in graph.nodes:
            if node.target not in SUMS or len(node.outputs) != 1 or any(key == "alpha" for key, _ in node.kwargs):
                continue
            [made] = node.outputs
            result = eager.get(made.name)
            if result is None or dtype_name(result.dtype) not in ROUNDED:
                continue
            largest, exact = np.zeros(result.shape), True
            for name in node.references():
                largest = np.maximum(largest, self._terms.get(name, _magnitude(eager[name])))
                exact = exact and (name in self._exact if name in self._terms else simple(eager[name]))
            for number in (value for value in node.args if isinstance(value, (int, float))):
                largest = np.maximum(largest, abs(float(number)))
                exact = exact and simple(np.array(number, result.dtype))
            if largest.shape == result.shape:
                self._terms[made.name] = largest
                if exact:
                    self._exact.add(made.name)

    def behind(self, node: Node) -> Array | None:
        """For a sum of which an operand is itself a sum, the largest magnitude among the terms of both, in the shape of
        its result; None for other nodes, and where all terms are simple."""
        if node.target not in SUMS or not any(name in self._terms for name in node.references()):
            return None
        name = node.outputs[0].name
        return None if name in self._exact else self._terms.get(name)


def _magnitude(array: Array) -> Array:
    values = np.abs(wide(array)).astype(np.float64)
    return np.where(np.isfinite(values), values, 0.0)
