"""Attention. A row of which a mask leaves nothing is not documented: every query attends to something."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.keras.common import layer, operand, operator, policy
from generators.selectors import mask

_FLOATS = ("float32", "float32", "float32", "float32", "float32", "float16", "bfloat16")


def _query(draw: Draw, ranks: tuple[int, ...] = (3,)) -> Handle:
    return operand(draw, ranks, dtypes=_FLOATS, largest=512, limit=50.0)


def _other(draw: Draw, shape: tuple[int, ...], dtype: str) -> Handle:
    """A value or key: one at hand of that shape, or a new one."""
    x = draw.tensor(shape, dtype)
    if x.array.size and not draw.nonfinite and not x.within(-50.0, 50.0):
        draw.forget(x)
        x = draw.tensor(shape, dtype, "typical")
    return x


def _simple(draw: Draw, additive: bool) -> Call:
    """On query and value, or query, value and key; queries and keys of one size."""
    query = _query(draw)
    batch, _, size = query.shape
    steps = draw.integer(1, 6)
    with_key = draw.flag(0.4)
    value = _other(draw, (batch, steps, draw.integer(1, 5) if with_key else size), query.dtype)
    operands = (query, value, _other(draw, (batch, steps, size), query.dtype)) if with_key else (query, value)
    kwargs: dict[str, Any] = {}
    if draw.flag(0.5):
        kwargs["use_scale"] = draw.flag()
    if not additive and draw.flag(0.4):
        kwargs["score_mode"] = draw.choice(("dot", "concat"))
    if draw.flag(0.25):
        kwargs["return_attention_scores"] = True
    if draw.flag(0.25):
        kwargs["use_causal_mask"] = True
    same = policy(draw, query)
    return layer(draw, operands, **kwargs, **same)


@operator("keras.layers.Attention", family="attention")
def attention(draw: Draw) -> Call:
    return _simple(draw, additive=False)


@operator("keras.layers.AdditiveAttention", family="attention", weight=0.7)
def additive_attention(draw: Draw) -> Call:
    return _simple(draw, additive=True)


def _call_arguments(draw: Draw, query: Handle, steps: int) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    # Symbolically, Keras takes the scores to be as many for each query as there are queries.
    if steps == query.shape[1] and draw.flag(0.35):
        kwargs["return_attention_scores"] = True
    if draw.flag(0.2):
        kwargs["use_causal_mask"] = True
    elif draw.flag(0.25):
        shape = (query.shape[0], query.shape[1], steps)
        kwargs["attention_mask"] = mask(draw, shape, some_in_row=True, constant=False)
    return kwargs


@operator("keras.layers.MultiHeadAttention", family="attention", weight=1.2)
def multi_head_attention(draw: Draw) -> Call:
    query = _query(draw)
    itself = draw.flag(0.5)
    steps = query.shape[1] if itself else draw.integer(1, 5)
    value = query if itself else _other(draw, (query.shape[0], steps, draw.integer(1, 5)), query.dtype)
    operands = [query, value]
    if draw.flag(0.25):
        operands.append(_other(draw, (query.shape[0], steps, draw.integer(1, 5)), query.dtype))
    kwargs: dict[str, Any] = {"num_heads": draw.integer(1, 3), "key_dim": draw.integer(1, 4)}
    if draw.flag(0.3):
        kwargs["value_dim"] = draw.integer(1, 4)
    if draw.flag(0.3):
        kwargs["use_bias"] = False
    if draw.flag(0.25):
        kwargs["output_shape"] = draw.integer(1, 4)
    if draw.flag(0.15):
        kwargs["use_gate"] = True
    return layer(draw, *operands, **_call_arguments(draw, query, steps), **kwargs, **policy(draw, query))


@operator("keras.layers.GroupQueryAttention", family="attention", weight=0.8)
def group_query_attention(draw: Draw) -> Call:
    query = _query(draw)
    itself = draw.flag(0.5)
    steps = query.shape[1] if itself else draw.integer(1, 5)
    value = query if itself else _other(draw, (query.shape[0], steps, query.shape[2]), query.dtype)
    groups = draw.integer(1, 2)
    kwargs: dict[str, Any] = {
        "head_dim": draw.integer(1, 4),
        "num_query_heads": groups * draw.integer(1, 2),
        "num_key_value_heads": groups,
    }
    if draw.flag(0.3):
        kwargs["use_bias"] = False
    return layer(draw, query, value, **_call_arguments(draw, query, steps), **kwargs, **policy(draw, query))
