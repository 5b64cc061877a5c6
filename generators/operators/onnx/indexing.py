"""Reading and writing by index, one-hot encoding, choosing boxes, counting n-grams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.operators.onnx.common import dtypes, given, integers, maybe, scalar, tensor_of, trimmed
from generators.operators.onnx.registry import REGISTRY
from generators.operators.registry import Rounding
from generators.selectors import INDICES, distinct_elements, index_elements, made, mask

EXACT = Rounding.EXACT
#: Types of indices, depth and values for which ONNX Runtime has a kernel.
_ONE_HOT = (
    ("int64", "int64", "int64"),
    ("int64", "int64", "float32"),
    ("int32", "int32", "float32"),
    ("float32", "int64", "int64"),
    ("float32", "float32", "float32"),
    ("int64", "float32", "int32"),
)
_INDEX = ("int64", "int64", "int32")


def _indices(draw: Draw, shape: Sequence[int], extent: int, dtype: str | None = None) -> Handle:
    """Indices into an extent, negative ones among them half of the time."""
    low = -extent if draw.flag() else 0
    return draw.indices(shape, low, extent - 1, dtypes=dtype or draw.choice(_INDEX))


@REGISTRY.operator("onnx.Gather", family="indexing", rounding=EXACT, weight=1.5)
def gather(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank)
    indices = _indices(draw, draw.shape(range(3), maximum=4), x.shape[axis])
    if x.size // x.shape[axis] * indices.size > 4096:
        draw.reject("too many elements")
    return draw.call(x, indices, **given({"axis": axis}, axis != 0))


@REGISTRY.operator("onnx.GatherElements", family="indexing", rounding=EXACT)
def gather_elements(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank)
    shape = [draw.integer(1, extent) for extent in x.shape]
    shape[axis] = draw.integer(1, 5)
    return draw.call(x, _indices(draw, shape, x.shape[axis]), axis=axis)


@REGISTRY.operator("onnx.GatherND", family="indexing", rounding=EXACT)
def gather_nd(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    batch = draw.integer(0, x.rank - 1) if draw.flag(0.4) else 0
    depth = draw.integer(1, x.rank - batch)
    lead = [draw.integer(1, 3) for _ in range(draw.integer(0 if not batch else 1, 2))]
    extents = x.shape[batch : batch + depth]

    chosen, shape = draw.weighted(INDICES), (*x.shape[:batch], *lead)

    def elements(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, str]:
        parts = [index_elements(rng, shape[:-1], -extent, extent - 1, chosen) for extent in extents]
        return np.stack([data for data, _ in parts], -1), parts[0][1]

    indices = made(draw, (*shape, depth), "int64", elements)
    if indices.size // depth * math.prod(x.shape[batch + depth :]) > 4096:
        draw.reject("too many elements")
    return draw.call(x, indices, **given({"batch_dims": batch}, batch))


@REGISTRY.operator("onnx.ScatterElements", family="indexing")
def scatter_elements(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank)
    shape = [draw.integer(1, extent) for extent in x.shape]
    reduction = _reduction(draw, x)
    place = axis % x.rank

    def unique(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, str]:
        order = rng.random((*shape[:place], x.shape[place], *shape[place + 1 :])).argsort(axis=place)
        order = np.take(order, range(shape[place]), axis=place)
        if draw.flag(0.15):
            return order - x.shape[place], "indices negative"
        return np.where(rng.random(shape) < 0.3, order - x.shape[place], order), "indices distinct"

    anywhere = _indices(draw, shape, x.shape[axis]) if reduction else None
    indices = anywhere or made(draw, shape, draw.choice(_INDEX), unique)
    return draw.call(x, indices, draw.tensor(shape, x.dtype), axis=axis, **reduction)


@REGISTRY.operator("onnx.ScatterND", family="indexing")
def scatter_nd(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    depth = draw.integer(1, x.rank)
    extents = x.shape[:depth]
    places = math.prod(extents)
    count = draw.integer(1, min(places, 6))
    reduction = _reduction(draw, x)

    chosen = draw.weighted(INDICES)

    def elements(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, str]:
        make = index_elements if reduction else distinct_elements
        flat, profile = make(rng, shape[:1], 0, places - 1, chosen)
        rows = np.stack(np.unravel_index(flat, extents), -1)
        if chosen == "indices negative":
            return rows - np.array(extents), chosen
        return np.where(rng.random(rows.shape) < 0.2, rows - np.array(extents), rows), profile

    indices = made(draw, (count, depth), "int64", elements)
    return draw.call(x, indices, draw.tensor((count, *x.shape[depth:]), x.dtype), **reduction)


def _reduction(draw: Draw, x: Handle) -> dict[str, Any]:
    # ONNX Runtime reduces no half precision.
    if x.dtype in ("bool", "float16", "bfloat16") or draw.flag():
        return {}
    return {"reduction": draw.choice(("add", "mul", "max", "min"))}


@REGISTRY.operator("onnx.TensorScatter", family="indexing", rounding=EXACT)
def tensor_scatter(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=(3, 4), minimum=1)
    axis = draw.choice([axis for axis in (-2, -1, 1) if axis % x.rank])
    room = x.shape[axis]
    length = draw.integer(1, room)
    shape = list(x.shape)
    shape[axis] = length
    mode = draw.choice(("linear", "circular"))
    high = room - 1 if mode == "circular" else room - length
    inputs: list[Handle] = []
    if draw.flag(0.8):
        inputs.append(draw.indices((x.shape[0],), 0, high))
    return draw.call(x, draw.tensor(shape, x.dtype), *inputs, axis=axis, mode=mode)


@REGISTRY.operator("onnx.Compress", family="indexing", rounding=EXACT)
def compress(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=range(1, 5), minimum=1)
    axis = draw.axis(x.rank) if draw.flag(0.7) else None
    extent = x.size if axis is None else x.shape[axis]
    condition = mask(draw, (draw.integer(1, extent),), constant=draw.flag())
    return draw.call(x, condition, **given({"axis": axis}, axis is not None))


@REGISTRY.operator("onnx.OneHot", family="indexing", rounding=EXACT)
def one_hot(draw: Draw) -> Call:
    depth = draw.integer(1, 6)
    kind, size_kind, made = draw.choice(_ONE_HOT)
    indices = draw.indices(draw.shape(range(1, 4), maximum=4), -depth - 1, depth, dtypes=kind)
    values = draw.tensor((2,), made)
    size = scalar(draw, depth, size_kind) if draw.flag() else integers(draw, [depth], size_kind)
    return draw.call(indices, size, values, **maybe(draw, axis=draw.integer(-indices.rank - 1, indices.rank)))


@REGISTRY.operator("onnx.NonMaxSuppression", family="detection", rounding=EXACT, weight=0.7)
def suppression(draw: Draw) -> Call:
    """Corners on a grid of halves and thresholds between the quotients that occur, so that no comparison is a tie."""
    batches, classes, count = draw.integer(1, 2), draw.integer(1, 3), draw.integer(1, 8)
    center = draw.integer(0, 1)

    def corners(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
        first, size = rng.integers(0, 8, (*shape[:2], 2)) / 2, rng.integers(1, 8, (*shape[:2], 2)) / 2
        return np.concatenate([first, size if center else first + size], -1).astype(dtype)

    def scores(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
        return (rng.random(shape).argsort(-1) / 10 + 0.05).astype(dtype)

    inputs: list[Handle | None] = [
        draw.tensor((batches, count, 4), "float32", corners),
        draw.tensor((batches, classes, count), "float32", scores),
        integers(draw, [draw.integer(1, count)]),
        tensor_of(draw, np.array([draw.choice((0.3137, 0.5171, 0.7193))], np.float32)) if draw.flag(0.8) else None,
        tensor_of(draw, np.array([draw.choice((0.0, 0.231, 0.412))], np.float32)) if draw.flag() else None,
    ]
    return draw.call(*trimmed(inputs), **given({"center_point_box": 1}, center))


@REGISTRY.operator("onnx.TfIdfVectorizer", family="text", weight=0.5)
def ngrams(draw: Draw) -> Call:
    """Of integers: counts, presence or weights of the n-grams of a pool."""
    single = [draw.integer(0, 5) for _ in range(draw.integer(1, 4))]
    single = list(dict.fromkeys(single))
    pairs = list(dict.fromkeys((draw.integer(0, 5), draw.integer(0, 5)) for _ in range(draw.integer(1, 4))))
    total = len(single) + len(pairs)
    x = draw.indices(draw.shape((1, 2), minimum=1, maximum=6), 0, 5, dtypes=draw.choice(("int64", "int32")))
    low = draw.integer(1, 2)
    mode = draw.choice(("TF", "IDF", "TFIDF"))
    attributes = maybe(draw, weights=tuple(draw.real(0.1, 2.0) for _ in range(total)))
    return draw.call(
        x,
        mode=mode,
        min_gram_length=low,
        max_gram_length=2,
        max_skip_count=draw.integer(0, 2),
        ngram_counts=(0, len(single)),
        ngram_indexes=tuple(draw.permutation(total)),
        pool_int64s=(*single, *(item for pair in pairs for item in pair)),
        **attributes,
    )
