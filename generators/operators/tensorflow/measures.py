"""Losses, counts and statistics beside the usual ones, and sums of lists."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, FLOATING, Array, DType
from generators.operators.registry import Rounding
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import INDEX, moderate
from generators.selectors import probabilities

operator = REGISTRY.operator


def _tame(draw: Draw, ranks: range, limit: float = 100.0, dtypes: tuple[str, ...] = FLOATING) -> Handle:
    return draw.value(
        dtypes=dtypes, ranks=ranks, minimum=1, where=lambda x: draw.nonfinite or moderate(x, limit), otherwise="typical"
    )


@operator("tf.nn.weighted_cross_entropy_with_logits", family="loss", weight=0.3)
def weighted(draw: Draw) -> Call:
    x = _tame(draw, range(5))
    return draw.call(probabilities(draw, x.shape, x.dtype), x, draw.choice((0.5, 2.0, 1.0)))


@operator("tf.nn.log_poisson_loss", family="loss", weight=0.3)
def poisson(draw: Draw) -> Call:
    x = _tame(draw, range(5), 10.0, ("float32", "float64"))
    return draw.call(draw.tensor(x.shape, x.dtype, "fractions"), x, compute_full_loss=draw.flag())


@operator("tf.nn.weighted_moments", family="normalization", weight=0.25)
def weighted_moments(draw: Draw) -> Call:
    x = _tame(draw, range(1, 5), dtypes=("float32", "float64"))
    weights = draw.tensor(x.shape, x.dtype, "fractions", reuse=False)
    return draw.call(x, draw.axes(x.rank), weights, keepdims=draw.flag())


@operator("tf.nn.avg_pool", "tf.nn.max_pool", family="pooling", weight=0.4)
def pool(draw: Draw) -> Call:
    """Of any number of spatial dimensions, by one size for each or for all."""
    x = _tame(draw, range(3, 6), 1e4, ("float32",))
    window = draw.integer(1, min(3, *x.shape[1:-1]))
    return draw.call(x, window, draw.integer(1, 2), draw.choice(("SAME", "VALID")))


@operator("tf.math.confusion_matrix", family="segment", rounding=Rounding.EXACT, weight=0.25)
def confusion(draw: Draw) -> Call:
    classes = draw.integer(2, 5)
    count = draw.integer(1, 8)
    labels, predictions = (draw.indices((count,), 0, classes - 1, dtypes=INDEX) for _ in range(2))
    kwargs: dict[str, Any] = {"num_classes": classes}
    if draw.flag(0.4):
        kwargs["weights"] = draw.tensor((count,), "int32", "integers")
    return draw.call(labels, predictions, **kwargs)


@operator("tf.math.l2_normalize", family="normalization", weight=0.3)
def l2_normalize(draw: Draw) -> Call:
    x = _tame(draw, range(1, 5), 100.0)
    return draw.call(x, draw.axes(x.rank), epsilon=draw.choice((1e-12, 1e-3, 0.5)))


@operator("tf.math.lbeta", "tf.math.betainc", family="elementwise", weight=0.12)
def beta(draw: Draw) -> Call:
    shape = draw.shape(range(1, 4), minimum=1, maximum=4)
    first = draw.tensor(shape, "float32", "fractions", reuse=False)
    if draw.target == "tf.math.lbeta":
        return draw.call(first)
    return draw.call(first, *(draw.tensor(shape, "float32", "fractions", reuse=False) for _ in range(2)))


@operator("tf.math.approx_max_k", family="sorting", weight=0.15)
def approximate(draw: Draw) -> Call:
    """On a CPU exact, and so are the indices of distinct numbers."""

    def distinct(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return np.asarray((rng.permutation(math.prod(shape)).reshape(shape) / 2 - 5).astype(DTYPES[dtype]))

    x = draw.tensor(draw.shape((1, 2, 3), minimum=2, maximum=6), "float32", distinct)
    return draw.call(x, draw.integer(1, x.shape[-1]))


@operator("tf.unravel_index", family="indexing", rounding=Rounding.EXACT, weight=0.2)
def unravelled(draw: Draw) -> Call:
    dims = draw.shape((1, 2, 3), minimum=1, maximum=4)
    return draw.call(draw.indices((draw.integer(1, 6),), 0, math.prod(dims) - 1, dtypes=("int64",)), dims)


@operator("tf.histogram_fixed_width_bins", "tf.histogram_fixed_width", family="segment", weight=0.2)
def histogram(draw: Draw) -> Call:
    """Of halves, with borders at quarters: none is at a border, where rounding decides."""
    x = draw.tensor(draw.shape(range(1, 4), minimum=1), "float32", "ties", reuse=False)
    low = draw.choice((-2.25, -1.25, 0.25))
    return draw.call(x, (low, low + draw.choice((2.0, 4.0))), nbins=draw.choice((2, 4, 8)))


@operator("tf.image.convert_image_dtype", family="image", weight=0.2)
def converted(draw: Draw) -> Call:
    """Of integers, between integers and to floats, scaled by their ranges."""
    x = draw.value(dtypes=("uint8", "int16", "int32"), ranks=(2, 3, 4))
    return draw.call(x, DType(draw.choice(("float32", "uint8", "int16", "float16"))), saturate=draw.flag())
