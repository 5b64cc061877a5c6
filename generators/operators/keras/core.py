"""Dense layers, embeddings, and the layer that does nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DType
from generators.operators.domains import Given
from generators.operators.keras.common import FLOATS, activation, bias, layer, operand, operator, policy
from generators.operators.registry import Rounding


@operator("keras.layers.Dense", family="linear", weight=3)
def dense(draw: Draw) -> Call:
    x = operand(draw, range(2, 6))
    return layer(draw, x, units=draw.integer(1, 5), **activation(draw), **bias(draw), **policy(draw, x))


@operator("keras.layers.EinsumDense", family="linear", weight=1.2)
def einsum_dense(draw: Draw) -> Call:
    """One to three dimensions contracted, kept and made; the bias over any of the result's."""
    x = operand(draw, (2, 3, 4))
    letters = "abcdefg"[: x.rank]
    contracted = letters[draw.integer(1, x.rank - 1) :] if draw.flag(0.7) else draw.choice(letters[1:])
    new = "uvw"[: draw.integer(0 if len(contracted) < x.rank - 1 else 1, 2)]
    shared = [letter for letter in letters[1:] if letter not in contracted]
    # A dimension that kernel, operand and result all have: a matrix for each of its positions.
    batched = draw.choice(shared) if shared and draw.flag(0.25) else ""
    result = "".join(letter for letter in letters if letter not in contracted) + new
    if draw.flag(0.2):
        rest = result[1:]
        order = draw.permutation(len(rest))
        result = result[0] + "".join(rest[place] for place in order)
    equation = f"{letters},{batched}{contracted}{new}->{result}"
    # Symbolically, Keras makes another shape of an ellipsis for more than one dimension.
    if x.rank < 4 and draw.flag(0.15):
        equation = f"...{letters[-1]},{letters[-1]}u->...u"
        kwargs: dict[str, Any] = {"output_shape": draw.integer(1, 4)}
        if draw.flag():
            kwargs["bias_axes"] = "u"
        return layer(draw, x, equation=equation, **kwargs, **activation(draw), **policy(draw, x))
    sizes = dict(zip(letters, x.shape, strict=True)) | {letter: draw.integer(1, 4) for letter in new}
    kwargs = {"output_shape": tuple(sizes[letter] for letter in result[1:])}
    axes = "".join(letter for letter in result[1:] if draw.flag(0.6))
    if axes and draw.flag(0.7):
        kwargs["bias_axes"] = axes
    return layer(draw, x, equation=equation, **kwargs, **activation(draw), **policy(draw, x))


def _in_range(given: Given) -> str:
    """Indices address rows of the table: what a negative one gives depends on the device."""
    indices = np.asarray(given[0])
    return "a negative index" if indices.size and indices.dtype.kind in "iuf" and indices.min() < 0 else ""


@operator("keras.layers.Embedding", family="indexing", weight=1.5, rounding=Rounding.EXACT, domain=_in_range)
def embedding(draw: Draw) -> Call:
    """Masks are left out: they are no values of a graph."""
    rows = draw.integer(2, 12)
    kwargs = {"dtype": DType(draw.choice(("float16", "bfloat16", "float64")))} if draw.flag(0.15) else {}
    return layer(draw, _indices(draw, rows), input_dim=rows, output_dim=draw.integer(1, 6), **kwargs)


def _indices(draw: Draw, rows: int) -> Handle:
    shape = draw.shape((1, 2, 3), minimum=1, maximum=6)
    return draw.indices(shape, 0, rows - 1, dtypes=("int32", "int32", "int64", "uint8", "int16"))


@operator("keras.layers.ReversibleEmbedding", family="linear", weight=0.7)
def reversible_embedding(draw: Draw) -> Call:
    """Back from embeddings to a number for each index."""
    x = operand(draw, (2, 3), dtypes=FLOATS[:6])
    kwargs: dict[str, Any] = {"tie_weights": draw.flag()} if draw.flag(0.6) else {}
    if draw.flag(0.4):
        kwargs["logit_soft_cap"] = draw.choice((30.0, 5.0, 1.0))
    return layer(
        draw, x, reverse=True, input_dim=draw.integer(2, 8), output_dim=x.shape[-1], **kwargs, **policy(draw, x)
    )


@operator("keras.layers.Identity", family="shape", rounding=Rounding.EXACT, weight=0.3)
def identity(draw: Draw) -> Call:
    return layer(draw, operand(draw, range(1, 6), dtypes=(*FLOATS, "int32", "bool")))
