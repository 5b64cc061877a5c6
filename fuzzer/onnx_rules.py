"""What the ONNX specification says of operators only in words, and no checker checks.

A model that breaks such a rule is refused by runtimes in their own ways, or not; the converter that wrote it is to
blame, whoever stumbles over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import onnx

#: How a complaint of these rules begins. Reproducers know the rules, too (``oracles/templates/invalid.py.j2``).
WORDED = "ONNX operators: "

Attributes = Mapping[str, Any]


def _cumsum(ranks: list[int | None], attributes: Attributes) -> str:
    """ "Must be in the range [-rank(x), rank(x)-1]" says the axis, which a scalar does not have."""
    return "the input is a scalar, which has no axis" if ranks[:1] == [0] else ""


def _reverse_sequence(ranks: list[int | None], attributes: Attributes) -> str:
    """ "time_axis must have value 0 or 1", the batch axis the other."""
    axes = {attributes.get("batch_axis", 1), attributes.get("time_axis", 0)}
    return f"batch_axis and time_axis are {sorted(axes)}, not 0 and 1" if axes != {0, 1} else ""


def _cross_entropy(ranks: list[int | None], attributes: Attributes) -> str:
    """ "scores: shape (batch_size, class_size, …)"."""
    rank = ranks[0] if ranks else None
    return f"the scores have rank {rank}, at least 2 is needed" if rank is not None and rank < 2 else ""


_RULES: Mapping[str, Callable[[list[int | None], Attributes], str]] = {
    "CumSum": _cumsum,
    "ReverseSequence": _reverse_sequence,
    "SoftmaxCrossEntropyLoss": _cross_entropy,
}


def worded_rules(model: onnx.ModelProto) -> list[str]:
    """The rules that nodes of the main graph break, one line each, like ones once."""
    suspects = [node for node in model.graph.node if node.op_type in _RULES and node.domain in ("", "ai.onnx")]
    if not suspects:
        return []
    ranks = dict(_ranks(model))
    found: dict[str, None] = {}
    for node in suspects:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if broken := _RULES[node.op_type]([ranks.get(name) for name in node.input], attributes):
            found[f"{WORDED}{node.op_type}: {broken}"] = None
    return list(found)


def _ranks(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            yield value.name, len(value.type.tensor_type.shape.dim)
    for tensor in inferred.initializer:
        yield tensor.name, len(tensor.dims)
