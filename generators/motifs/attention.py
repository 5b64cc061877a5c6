"""Motifs of transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS
from generators.graph import DTYPES, Array
from generators.handles import Handle
from generators.motifs.builder import Builder
from generators.motifs.registry import motif


def _mask(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """A mask to be added: 0 or a large negative number, never that alone in a row, which would make its softmax one of
    rounding errors."""
    least = -1e4 if dtype == "float16" else float(rng.choice([-1e4, -1e9]))
    data = np.where(rng.random(shape) < 0.3, least, 0.0)
    data[..., 0] = 0.0
    return np.asarray(data.astype(DTYPES[dtype]))


def _attended(m: Builder, query: Handle, key: Handle, value: Handle) -> Handle:
    """``softmax(query keyᵀ scale + mask) value``, the scale on either side of the product."""
    width = query.shape[-1]
    scale = m.draw.choice((width**-0.5, 0.125, 1.0))
    before = m.draw.flag(0.3)
    if before:
        query = m.op("mul", query, scale)
    order = (*range(key.rank - 2), key.rank - 1, key.rank - 2)
    scores = m.op("matmul", query, m.op("transpose", key, order=order))
    if not before:
        scores = m.op("mul", scores, scale) if m.draw.flag() else m.op("div", scores, 1 / scale)
    if m.draw.flag(0.6):
        shape = scores.shape if m.draw.flag(0.3) else scores.shape[-2:]
        mask = m.draw.tensor(shape, scores.dtype, _mask, reuse=False)
        scores = m.op("add", scores, mask)
    weights = m.op("softmax", scores, axis=-1 if m.draw.flag(0.7) else scores.rank - 1)
    return m.op("matmul", weights, value)


def _sequences(m: Builder) -> Handle:
    """A value of rank 3 or 4, (batch, length, width) or with heads, small enough for products not to overflow."""
    return m.value((3, 4), where=lambda x: x.dtype != "float16" or m.draw.nonfinite or x.within(-40, 40))


@motif("attention by hand", weight=1.5)
def attention(m: Builder) -> None:
    query = _sequences(m)
    shape = (*query.shape[:-2], m.draw.integer(1, 6), query.shape[-1])
    key = m.draw.tensor(shape, query.dtype)
    _attended(m, query, key, m.draw.tensor(shape, query.dtype) if m.draw.flag(0.8) else key)


@motif("scaled_dot_product_attention", frontends=("torch",))
def sdpa(m: Builder) -> None:
    """The operator, with what surrounds it in models: heads split before it and merged behind it."""
    x = m.value((3,), where=lambda x: x.shape[-1] % 2 == 0)
    heads = 2 if m.draw.flag(0.7) else x.shape[-1] // 2
    query, key, value = (_split_heads(m, x, heads) for _ in range(3))
    options: dict[str, Any] = {"is_causal": True} if m.draw.flag(0.4) else {}
    _merge_heads(m, m.op("sdpa", query, key, value, **options))


def _split_heads(m: Builder, x: Handle, heads: int) -> Handle:
    """(batch, length, heads · width) to (batch, heads, length, width)."""
    batch, length, width = x.shape
    y = m.op("reshape", x, shape=(batch, length, heads, width // heads))
    return m.op("transpose", y, order=(0, 2, 1, 3))


def _merge_heads(m: Builder, x: Handle) -> Handle:
    batch, heads, length, width = x.shape
    y = m.op("transpose", x, order=(0, 2, 1, 3))
    return m.op("reshape", y, shape=(batch, length if m.draw.flag() else -1, heads * width))


@motif("heads split and merged")
def heads(m: Builder) -> None:
    """Transposes around reshapes; what is between them is one operator or none."""
    x = m.value((3,), where=lambda x: x.shape[-1] % 2 == 0)
    y = _split_heads(m, x, m.draw.choice([n for n in range(2, x.shape[-1] + 1) if x.shape[-1] % n == 0]))
    if m.draw.flag(0.6):
        y = m.op(m.draw.choice(("exp", "tanh", "neg")), y) if m.draw.flag() else m.op("softmax", y, axis=-1)
    _merge_heads(m, y)


@motif("multi-head attention")
def multi_head(m: Builder) -> None:
    x = m.value((3,), where=lambda x: x.shape[-1] % 2 == 0 and x.shape[-1] <= 16 and x.within(-40, 40))
    width = x.shape[-1]
    if m.draw.flag(0.4):  # one product for all three, split behind it
        joint = m.op("matmul", x, m.matrix(width, 3 * width, x.dtype))
        parts = m.several("split", joint, sizes=(width,) * 3, axis=-1)
        if len(parts) != 3 or parts[0].shape != x.shape:
            m.end("the split is another one")
    else:
        parts = [m.op("matmul", x, m.matrix(width, width, x.dtype)) for _ in range(3)]
    if any(part.rank != 3 or part.shape[-1] % 2 for part in parts):
        m.end("a part has another rank")
    query, key, value = (_split_heads(m, part, 2) for part in parts)
    _merge_heads(m, _attended(m, query, key, value))


@motif("rotary embedding", weight=1.2)
def rotary(m: Builder) -> None:
    """``x cos + rotate(x) sin``: halves swapped and negated, or neighbours."""
    x = m.value((3, 4), where=lambda x: x.shape[-1] % 2 == 0)
    width, length = x.shape[-1], x.shape[-2]

    def angles(function: np.ufunc, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        steps = np.arange(shape[0])[:, None] / 100.0 ** (np.arange(shape[1]) % (width // 2) / (width // 2))
        return np.asarray(function(steps).astype(DTYPES[dtype]))

    cosines, sines = (
        m.parameter((length, width), x.dtype, elements=lambda rng, s, dtype, f=f: angles(f, rng, s, dtype), fixed=False)
        for f in (np.cos, np.sin)
    )
    if m.draw.flag(0.75):
        first, second = m.slice(x, -1, 0, width // 2), m.slice(x, -1, width // 2, width)
        turned = m.op("concat", m.op("neg", second), first, axis=-1)
    else:
        even, odd = m.item(x, -1, 0, None, 2), m.item(x, -1, 1, None, 2)
        pairs = [m.op("reshape", part, shape=(*part.shape, 1)) for part in (m.op("neg", odd), even)]
        turned = m.op("reshape", m.op("concat", *pairs, axis=-1), shape=x.shape)
    m.op("add", m.op("mul", x, cosines), m.op("mul", turned, sines))


@motif("gated MLP", weight=1.5)
def gated_mlp(m: Builder) -> None:
    """SwiGLU and GeGLU: two products of the same value, one of them a gate; or one product split in two."""
    x = m.value((2, 3), where=lambda x: x.shape[-1] <= 32 and x.within(-40, 40))
    width = x.shape[-1]
    inner = m.draw.integer(1, 8)
    if m.draw.flag(0.4):
        joint = m.op("matmul", x, m.matrix(width, 2 * inner, x.dtype))
        if m.draw.flag():
            parts = m.several("split", joint, sizes=(inner, inner), axis=-1)
        else:
            parts = [m.slice(joint, -1, 0, inner), m.slice(joint, -1, inner, 2 * inner)]
    else:
        parts = [m.op("matmul", x, m.matrix(width, inner, x.dtype)) for _ in range(2)]
    gate, up = parts[0], parts[-1]
    way = m.draw.integer(0, 3)
    if way == 0:
        gate = m.op("silu", gate)
    elif way == 1:
        gate = m.op("mul", gate, m.op("sigmoid", gate))
    elif way == 2:
        bent = m.op("add", m.op("erf", m.op("mul", gate, 0.7071067811865475)), 1.0)
        gate = m.op("mul", m.op("mul", gate, bent), 0.5)
    else:
        gate = m.op("relu", gate)
    y = m.op("mul", gate, up)
    m.op("matmul", y, m.matrix(inner, width, x.dtype))


@motif("matmul and add", weight=1.2)
def matmul_add(m: Builder) -> None:
    """A product and what is added to it, one operator in many formats, twice sometimes with an activation between."""
    y = m.value((2, 3), where=lambda x: x.shape[-1] <= 64 and x.within(-40, 40))
    for _ in range(2 if m.draw.flag(0.3) else 1):
        out = m.draw.integer(1, 8)
        if m.draw.flag(0.25):
            weight = m.parameter((out, y.shape[-1]), y.dtype, elements="typical")
            product = m.op("linear", y, weight)
        else:
            product = m.op("matmul", y, m.matrix(y.shape[-1], out, y.dtype))
        shape = m.draw.choice(((out,), (out,), (1, out), product.shape, (), (1,)))
        bias = m.parameter(shape, y.dtype, apart=True)
        y = m.op("add", *((product, bias) if m.draw.flag(0.7) else (bias, product)))
        if m.draw.flag():
            y = m.activation(y)


@motif("embedding and position")
def embedding(m: Builder) -> None:
    """Rows of a table by index, scaled, those of a second one added."""
    rows, width, length = m.draw.integer(2, 12), m.draw.integer(2, 8), m.draw.integer(1, 6)
    dtype = m.draw.choice(("float32", "float32", "float16"))
    table = m.parameter((rows, width), dtype)
    shape = (m.draw.integer(1, 3), length)
    y = m.op("gather", table, m.draw.indices(shape, 0, rows - 1, dtypes=("int64", "int32")))
    if m.draw.flag():
        y = m.op("mul", y, width**0.5)
    m.op("add", y, m.parameter((length, width), dtype, apart=True))
    assert rows * width <= MAX_ELEMENTS
