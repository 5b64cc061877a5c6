"""Products of matrices, attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generators import selectors
from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.onnx.common import (
    dtypes,
    floating,
    given,
    maybe,
    normal,
    positive,
    tensor_of,
    trimmed,
    weights,
)
from generators.operators.onnx.registry import REGISTRY


def _matrices(draw: Draw, kinds: tuple[str, ...], ranks: Sequence[int] = range(1, 5)) -> tuple[Handle, tuple[int, ...]]:
    """A left operand, of any rank from 1, and the shape of a right one that fits it."""
    x = draw.value(dtypes=kinds, ranks=ranks, minimum=1)
    inner, columns = x.shape[-1], draw.integer(1, 6)
    if draw.flag(0.15):
        return x, (inner,)
    lead = draw.broadcast_shape(x.shape[:-2]) if draw.flag(0.3) else ()
    return x, (*lead, inner, columns)


@REGISTRY.operator("onnx.MatMul", family="matmul", weight=2.5)
def matmul(draw: Draw) -> Call:
    x, shape = _matrices(draw, dtypes(draw))
    return draw.call(x, weights(draw, shape, x.dtype) if draw.flag(0.7) else draw.tensor(shape, x.dtype))


@REGISTRY.operator("onnx.Gemm", family="matmul", weight=2.0)
def gemm(draw: Draw) -> Call:
    x = draw.value(dtypes=dtypes(draw), ranks=(2,), minimum=1)
    trans_a, trans_b = draw.integer(0, 1), draw.integer(0, 1)
    rows, inner = reversed(x.shape) if trans_a else x.shape
    columns = draw.integer(1, 6)
    y = weights(draw, (columns, inner) if trans_b else (inner, columns), x.dtype)
    shapes = ((columns,), (rows, columns), (1, columns), (rows, 1), (), (1,))
    bias = [weights(draw, draw.choice(shapes), x.dtype)] if draw.flag(0.7) else []
    attributes: dict[str, Any] = {}
    if trans_a:
        attributes["transA"] = 1
    if trans_b:
        attributes["transB"] = 1
    if x.dtype in FLOATING:
        attributes |= maybe(draw, 0.35, alpha=draw.choice((0.5, 2.0, -1.0)), beta=draw.choice((0.5, 2.0, 0.0)))
    return draw.call(x, y, *bias, **attributes)


@REGISTRY.operator("onnx.Einsum", family="matmul")
def einsum(draw: Draw) -> Call:
    equation = draw.choice(
        (
            "ij,jk->ik",
            "bij,bjk->bik",
            "ij->ji",
            "ij->",
            "ij->i",
            "ii->i",
            "ij,ij->",
            "i,j->ij",
            "bij,bkj->bik",
            "bhid,bhjd->bhij",
        )
    )
    sizes = {letter: draw.integer(1, 4) for letter in "ijkbhd"}
    kinds = tuple(name for name in dtypes(draw) if name in ("float32", "float64", "int64", "int32"))
    kind = draw.choice(kinds)
    operands = [
        draw.tensor([sizes[letter] for letter in term], kind) for term in equation.partition("->")[0].split(",")
    ]
    return draw.call(*operands, equation=equation)


@REGISTRY.operator("onnx.MatMulInteger", family="matmul")
def matmul_integer(draw: Draw) -> Call:
    """Zero points are scalars, or one for each row of the left or column of the right matrix."""
    x, shape = _matrices(draw, dtypes(draw, "T1"))
    y = draw.tensor(shape, dtypes(draw, "T2"), constant=draw.flag(0.8), reuse=False)
    left = _zero(draw, x.dtype) if draw.flag(0.7) else None
    right = None
    if draw.flag(0.7):
        count = shape[-1] if len(shape) == 2 and draw.flag() else None
        right = _zero(draw, y.dtype, count)
    return draw.call(*trimmed([x, y, left, right]))


@REGISTRY.operator("onnx.QLinearMatMul", family="matmul")
def quantized_matmul(draw: Draw) -> Call:
    x, shape = _matrices(draw, ("uint8", "int8"), range(2, 5))
    if x.rank < 2 or len(shape) < 2:
        draw.reject("matrices only")
    # ONNX Runtime multiplies signed ones by signed ones only.
    kinds = ("uint8", "int8") if x.dtype == "uint8" else "int8"
    y = draw.tensor(shape, kinds, constant=draw.flag(0.9), reuse=False)
    inputs = [x, _scale(draw), _zero(draw, x.dtype), y, _scale(draw), _zero(draw, y.dtype)]
    return draw.call(*inputs, _scale(draw, 0.5, 20.0), _zero(draw, x.dtype))


def _zero(draw: Draw, dtype: str, count: int | None = None) -> Handle:
    low, high = (0, 255) if dtype == "uint8" else (-128, 127)
    shape = () if count is None else (count,)
    values = [draw.integer(low, high) if draw.flag(0.7) else 0 for _ in range(count or 1)]
    return tensor_of(draw, np.array(values, dtype).reshape(shape))


def _scale(draw: Draw, low: float = 0.01, high: float = 0.2) -> Handle:
    return tensor_of(draw, np.array(draw.real(low, high), np.float32))


@REGISTRY.operator("onnx.Attention", family="attention", weight=1.5)
def attention(draw: Draw) -> Call:
    """Of rank 4, or of rank 3 with the heads in the last dimension; rows of a mask leave something to attend to."""
    kind = draw.choice([name for name in dtypes(draw, "T1") if name in ("float32", "float16")])
    batch, groups, shared = draw.integer(1, 2), draw.integer(1, 2), draw.integer(1, 2)
    query, key, depth = draw.integer(1, 4), draw.integer(1, 5), draw.choice((2, 4, 8))
    value = depth if draw.flag(0.7) else draw.integer(1, 6)
    heads = groups * shared
    past = draw.integer(1, 3) if draw.flag(0.25) else 0
    attributes = maybe(
        draw, 0.3, scale=draw.choice((0.25, 0.5, 1.0)), is_causal=draw.integer(0, 1), softcap=draw.choice((0.0, 2.0))
    )
    flat = draw.flag()

    def operand(count: int, length: int, width: int) -> Handle:
        shape = (batch, length, count * width) if flat else (batch, count, length, width)
        return draw.tensor(shape, kind, None if draw.flag(0.3) else "typical")

    inputs: list[Handle | None] = [
        operand(heads, query, depth),
        operand(groups, key, depth),
        operand(groups, key, value),
    ]
    if flat:
        attributes |= {"q_num_heads": heads, "kv_num_heads": groups}
    mask = None
    if draw.flag(0.4):
        shape = draw.choice(((query, key + past), (batch, 1, query, key + past), (batch, heads, query, key + past)))
        mask = selectors.mask(draw, shape, some_in_row=True) if draw.flag() else draw.tensor(shape, kind, normal())
    inputs.append(mask)
    outputs = 1
    if past:
        inputs += [
            draw.tensor((batch, groups, past, depth), kind, "typical"),
            draw.tensor((batch, groups, past, value), kind, "typical"),
        ]
        outputs = 3
    if draw.flag(0.2):
        outputs = 4
        attributes["qk_matmul_output_mode"] = draw.integer(0, 3)
    if outputs == 4 and not past:
        draw.reject("its optional outputs come with the past")
    return draw.call(*trimmed(inputs), **attributes, **given({"outputs": outputs}, outputs > 1))


@REGISTRY.operator("onnx.RotaryEmbedding", family="attention")
def rotary(draw: Draw) -> Call:
    kind = draw.choice(floating(draw))
    batch, heads, length, half = draw.integer(1, 2), draw.integer(1, 3), draw.integer(1, 5), draw.integer(1, 3)
    flat = draw.flag()
    extra = draw.choice((0, 0, 2))
    size = 2 * half + extra
    x = draw.tensor((batch, length, heads * size) if flat else (batch, heads, length, size), kind)
    attributes = maybe(draw, interleaved=draw.integer(0, 1))
    if extra:
        attributes["rotary_embedding_dim"] = 2 * half
    if flat or extra:
        attributes["num_heads"] = heads
    if draw.flag():
        positions = length + 2
        tables = [draw.tensor((positions, half), kind, positive(-1.0, 1.0)) for _ in range(2)]
        return draw.call(x, *tables, draw.indices((batch, length), 0, positions - 1), **attributes)
    return draw.call(
        x, *(draw.tensor((batch, length, half), kind, positive(-1.0, 1.0)) for _ in range(2)), **attributes
    )
