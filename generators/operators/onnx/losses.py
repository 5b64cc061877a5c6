"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.operators.onnx.common import dtypes, maybe, positive
from generators.operators.onnx.registry import REGISTRY
from generators.selectors import INDICES, index_elements, made


def _labelled(draw: Draw, kinds: tuple[str, ...]) -> tuple[Handle, Handle, list[Handle], dict[str, Any]]:
    """Scores, labels, weights of the classes and attributes. The first label counts: a mean over none is undefined."""
    extra = [draw.integer(1, 3) for _ in range(draw.choice((0, 0, 1, 2)))]
    batch, classes = draw.integer(1, 4), draw.integer(2, 5)
    attributes = maybe(draw, reduction=draw.choice(("none", "sum", "mean")))
    ignored = draw.choice((0, -1)) if draw.flag(0.4) else None
    if ignored is not None:
        attributes["ignore_index"] = ignored

    chosen, shape = draw.weighted(INDICES), (batch, *extra)

    def labels(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, str]:
        data, profile = index_elements(rng, shape, 0, classes - 1, chosen)
        if ignored is not None:
            data = np.where(rng.random(shape) < 0.3, ignored, data)
            data.reshape(-1)[0] = classes - 1
        return data, profile

    scores = draw.tensor((batch, classes, *extra), kinds)
    target = made(draw, shape, draw.choice(("int64", "int32")), labels)
    given = [draw.tensor((classes,), scores.dtype, positive())] if draw.flag(0.4) else []
    return scores, target, given, attributes


@REGISTRY.operator("onnx.NegativeLogLikelihoodLoss", family="loss")
def likelihood(draw: Draw) -> Call:
    scores, labels, given, attributes = _labelled(draw, dtypes(draw, within=("float32", "float64")))
    return draw.call(scores, labels, *given, **attributes)


@REGISTRY.operator("onnx.SoftmaxCrossEntropyLoss", family="loss")
def cross_entropy(draw: Draw) -> Call:
    scores, labels, given, attributes = _labelled(draw, dtypes(draw, within=("float32", "float64")))
    return draw.call(scores, labels, *given, **attributes, **maybe(draw, 0.3, outputs=2))
