"""What the ONNX specification says of operators only in words, and no checker checks.

A model that breaks such a rule is refused by runtimes in their own ways, or not; the converter that wrote it is to
blame, whoever stumbles over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from generators.graph import Array

#: How a complaint of these rules begins. Reproducers know the rules, too (``oracles/templates/invalid.py.j2``).
WORDED = "ONNX operators: "

Attributes = Mapping[str, Any]
#: Of each input: its extents, None for one that is not known; None for a shape of unknown rank or an absent input.
Shapes = list["tuple[int | None, ...] | None"]
#: Of each input: its elements where it is a constant, else None.
Constants = list["Array | None"]


def _cumsum(shapes: Shapes, attributes: Attributes, constants: Constants) -> str:
    """The axis "must be in the range [-rank(x), rank(x)-1]", which a scalar does not have."""
    return "the input is a scalar, which has no axis" if shapes[:1] == [()] else ""


def _reverse_sequence(shapes: Shapes, attributes: Attributes, constants: Constants) -> str:
    """The "time_axis must have value 0 or 1", the batch axis the other."""
    axes = {attributes.get("batch_axis", 1), attributes.get("time_axis", 0)}
    return f"batch_axis and time_axis are {sorted(axes)}, not 0 and 1" if axes != {0, 1} else ""


def _cross_entropy(shapes: Shapes, attributes: Attributes, constants: Constants) -> str:
    """The scores have "shape (batch_size, class_size, …)"."""
    scores = shapes[0] if shapes else None
    return f"the scores have rank {len(scores)}, at least 2 is needed" if scores is not None and len(scores) < 2 else ""


def _scatter_elements(shapes: Shapes, attributes: Attributes, constants: Constants) -> str:
    """The updates have the "same rank and shape as indices"."""
    indices, updates = shapes[1:3]
    if indices is None or updates is None or None in (*indices, *updates) or indices == updates:
        return ""
    return f"the updates have shape {list(updates)}, the indices {list(indices)}"


def _slice(shapes: Shapes, attributes: Attributes, constants: Constants) -> str:
    """Starts, ends, axes and steps are each a "1-D tensor"."""
    ranks = [len(shape) for shape in shapes[1:] if shape is not None]
    return f"the bounds have ranks {ranks}, not 1" if any(rank != 1 for rank in ranks) else ""


def _col2im(shapes: Shapes, attributes: Attributes, constants: Constants) -> str:
    """The last extent "is the total number of blocks", of which ``torch.nn.Fold``, whose definition this is, says how
    image, block, pads (all that begin, then all that end), dilations and strides give it."""
    columns, (image, block) = shapes[0], constants[1:3]
    if not columns or columns[-1] is None or image is None or block is None:
        return ""
    ones = np.ones_like(image)
    pads = np.reshape(attributes.get("pads", [0] * 2 * image.size), (2, image.size)).sum(axis=0)
    spans = np.asarray(attributes.get("dilations", ones)) * (block - 1) + 1
    blocks = int(np.prod((image + pads - spans) // np.asarray(attributes.get("strides", ones)) + 1))
    return f"there are {columns[-1]} blocks, pads and the rest make it {blocks}" if columns[-1] != blocks else ""


_RULES: Mapping[str, Callable[[Shapes, Attributes, Constants], str]] = {
    "Col2Im": _col2im,
    "CumSum": _cumsum,
    "ReverseSequence": _reverse_sequence,
    "ScatterElements": _scatter_elements,
    "Slice": _slice,
    "SoftmaxCrossEntropyLoss": _cross_entropy,
}


def worded_rules(model: onnx.ModelProto) -> list[str]:
    """The rules that nodes break, those of bodies included, one line each, like ones once."""
    suspects = [
        node
        for graph in graphs_of(model.graph)
        for node in graph.node
        if node.op_type in _RULES and node.domain in ("", "ai.onnx")
    ]
    if not suspects:
        return []
    shapes, constants = dict(_shapes(model)), dict(_constants(model))
    found: dict[str, None] = {}
    for node in suspects:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        known = [shapes.get(name) for name in node.input], attributes, [constants.get(name) for name in node.input]
        if broken := _RULES[node.op_type](*known):
            found[f"{WORDED}{node.op_type}: {broken}"] = None
    return list(found)


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and the bodies in it, at any depth. A name stands for one value in all of them."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from graphs_of(body)


def _shapes(model: onnx.ModelProto) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    for graph in graphs_of(onnx.shape_inference.infer_shapes(model).graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            if kind.HasField("shape"):
                yield value.name, tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
        for tensor in graph.initializer:
            yield tensor.name, tuple(tensor.dims)


def _constants(model: onnx.ModelProto) -> Iterator[tuple[str, Array]]:
    for graph in graphs_of(model.graph):
        for tensor in graph.initializer:
            yield tensor.name, onnx.numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                yield node.output[0], onnx.numpy_helper.to_array(node.attribute[0].t)
