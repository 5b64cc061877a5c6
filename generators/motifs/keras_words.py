"""Words in Keras: layers. Images are (N, H, W, C), the first dimension is always the batch, and no layer changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from generators.draw import Draw
from generators.graph import DType
from generators.handles import Call, Handle
from generators.motifs.vocabulary import Operand, Vocabulary

#: Activations by the word for them.
_ACTIVATIONS: Mapping[str, str] = {
    "exp": "exponential",
    "identity": "linear",
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softplus": "softplus",
    "tanh": "tanh",
}
_MERGES: Mapping[str, str] = {
    "add": "Add",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "mul": "Multiply",
    "sub": "Subtract",
}


def same_dtype(x: Handle) -> dict[str, Any]:
    """The dtype of a layer on ``x``, without which it would cast to float32."""
    return {} if x.dtype == "float32" else {"dtype": DType(x.dtype)}


def _built(draw: Draw, name: str, *args: Any, **kwargs: Any) -> Call:
    # Imported here: the samplers import Keras, and whoever asks for the names of motifs need not have it.
    from generators.operators.keras.common import built

    return built(draw, f"keras.layers.{name}", *args, **kwargs)


class Keras(Vocabulary):
    """The vocabulary of layers. Parameters are weights of layers, so the motifs of other frontends that have operands
    for parameters are not grown from it (:mod:`generators.motifs.keras_models`)."""

    channels = -1
    promotes = False
    constants = False
    batch_first = True
    #: Layers have no exponents, and their parameters are weights.
    without: frozenset[str] = frozenset(
        {
            *("exponent", "keepdims", "double reciprocal", "quantize pair", "transpose sandwich"),
            *("parameter shape", "parameter dtype", "parameter as input"),
        }
    )
    dtypes: Sequence[str] = ("float32", "float32", "float32", "float32", "float32", "float16")
    slipped: Sequence[str] = ("neg", "relu", "tanh", "sigmoid", "exp", "identity", "silu")

    def axis_keyword(self, word: str) -> str:
        return "axis"

    def _reduction(self, draw: Draw, target: str, x: Operand, *, axes: tuple[int, ...], keepdims: bool) -> Call:
        raise KeyError("Keras reduces by pooling")

    def knows(self, word: str) -> bool:
        return word in self._words or word in _ACTIVATIONS or word in _MERGES

    def call(self, draw: Draw, word: str, operands: Sequence[Operand], attributes: Mapping[str, Any]) -> Call:
        x = next(value for value in operands if isinstance(value, Handle))
        if word in _ACTIVATIONS:
            if word == "relu" and draw.flag():
                return _built(draw, "ReLU", x, **same_dtype(x))
            if word == "identity" and draw.flag():
                return _built(draw, "Identity", x, **same_dtype(x))
            return _built(draw, "Activation", x, activation=_ACTIVATIONS[word], **same_dtype(x))
        if word not in _MERGES:
            return self._words[word](draw, *operands, **attributes)
        first, second = operands
        if isinstance(first, Handle) and isinstance(second, Handle):
            return _built(draw, _MERGES[word], (first, second), **same_dtype(x))
        number = float(second if isinstance(first, Handle) else first)  # type: ignore[arg-type]
        if word == "mul":
            return _built(draw, "Rescaling", x, scale=number, **same_dtype(x))
        if word == "add":
            return _built(draw, "Rescaling", x, scale=1.0, offset=number, **same_dtype(x))
        if word == "sub":
            sign = 1.0 if isinstance(first, Handle) else -1.0
            return _built(draw, "Rescaling", x, scale=sign, offset=-sign * number, **same_dtype(x))
        return draw.reject(f"no layer for {word} with a number")

    def word_neg(self, draw: Draw, x: Handle) -> Call:
        return _built(draw, "Rescaling", x, scale=-1.0, **same_dtype(x))

    def word_softmax(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        if axis % x.rank == 0:
            draw.reject("along the batch")
        return _built(draw, "Softmax", x, axis=axis, **same_dtype(x))

    def word_transpose(self, draw: Draw, x: Handle, *, order: tuple[int, ...]) -> Call:
        if order[0] != 0:
            draw.reject("moves the batch")
        return _built(draw, "Permute", x, dims=tuple(order[1:]), **same_dtype(x))

    def word_reshape(self, draw: Draw, x: Handle, *, shape: tuple[int, ...]) -> Call:
        if not shape or shape[0] != x.shape[0]:
            draw.reject("changes the batch")
        return _built(draw, "Reshape", x, target_shape=tuple(shape[1:]), **same_dtype(x))

    def word_concat(self, draw: Draw, *values: Handle, axis: int) -> Call:
        if axis % values[0].rank == 0:
            draw.reject("along the batch")
        return _built(draw, "Concatenate", values, axis=axis, **same_dtype(values[0]))

    def word_cast(self, draw: Draw, x: Handle, *, dtype: str) -> Call:
        if draw.flag():
            return _built(draw, "Identity", x, dtype=DType(dtype))
        return _built(draw, "Activation", x, activation="linear", dtype=DType(dtype))

    def word_gather(self, draw: Draw, table: Handle, indices: Handle) -> Call:
        """Rows of a table of rank 2, which is the weight of the layer."""
        rows, width = table.shape
        sizes = {"input_dim": rows, "output_dim": width}
        return Call("keras.layers.Embedding", (indices,), {**sizes, **same_dtype(table), "weights": (table,)})
