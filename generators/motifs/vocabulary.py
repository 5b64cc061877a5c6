"""The words that motifs are written in, and what they are in each frontend.

A motif is a function over a :class:`generators.motifs.builder.Builder`, whose :meth:`~Builder.op` takes one of these
words. A word stands for the same mathematics everywhere; how it is spelled is the frontend's, and where people spell it
in several ways, one is drawn. Every target has a sampler, so that its weight, arithmetic class and kernel are those
that the rest of the harness goes by. Names only: no framework is imported.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from generators.draw import Draw
from generators.graph import DTYPES, DType, Slice
from generators.handles import Call, Handle

Operand: TypeAlias = "Handle | bool | int | float"
#: In torch, in TensorFlow and in ONNX; none where the word takes more than one operator.
Spellings: TypeAlias = "tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]"

_F = "torch.nn.functional."

#: Elementwise functions of one operand, by word.
UNARY: Mapping[str, Spellings] = {
    "abs": (("torch.abs",), ("tf.math.abs",), ("onnx.Abs",)),
    "ceil": (("torch.ceil",), ("tf.math.ceil",), ("onnx.Ceil",)),
    "erf": (("torch.erf",), ("tf.math.erf",), ("onnx.Erf",)),
    "exp": (("torch.exp",), ("tf.math.exp",), ("onnx.Exp",)),
    "expm1": (("torch.expm1",), ("tf.math.expm1",), ()),
    "floor": (("torch.floor",), ("tf.math.floor",), ("onnx.Floor",)),
    "identity": (
        ("torch.clone", "torch.Tensor.contiguous", "torch.positive"),
        ("tf.identity", "tf.stop_gradient"),
        ("onnx.Identity",),
    ),
    "log": (("torch.log",), ("tf.math.log",), ("onnx.Log",)),
    "log1p": (("torch.log1p",), ("tf.math.log1p",), ()),
    "neg": (("torch.neg",), ("tf.math.negative",), ("onnx.Neg",)),
    "reciprocal": (("torch.reciprocal",), ("tf.math.reciprocal",), ("onnx.Reciprocal",)),
    "relu": ((_F + "relu",), ("tf.nn.relu",), ("onnx.Relu",)),
    "relu6": ((_F + "relu6",), ("tf.nn.relu6",), ()),
    "round": (("torch.round",), ("tf.math.round",), ("onnx.Round",)),
    "rsqrt": (("torch.rsqrt",), ("tf.math.rsqrt",), ()),
    "sigmoid": (("torch.sigmoid", "torch.special.expit"), ("tf.math.sigmoid",), ("onnx.Sigmoid",)),
    "silu": ((_F + "silu",), ("tf.nn.silu",), ()),
    "softplus": ((_F + "softplus",), ("tf.nn.softplus",), ("onnx.Softplus",)),
    "sqrt": (("torch.sqrt",), ("tf.math.sqrt",), ("onnx.Sqrt",)),
    "square": (("torch.square",), ("tf.math.square",), ()),
    "tanh": (("torch.tanh",), ("tf.math.tanh",), ("onnx.Tanh",)),
}
#: Elementwise functions of two operands that broadcast.
BINARY: Mapping[str, Spellings] = {
    "add": (("torch.add",), ("tf.math.add",), ("onnx.Add",)),
    "div": (("torch.div", "torch.true_divide"), ("tf.math.divide", "tf.math.truediv"), ("onnx.Div",)),
    "less": (("torch.lt",), ("tf.math.less",), ("onnx.Less",)),
    "maximum": (("torch.maximum",), ("tf.math.maximum",), ("onnx.Max",)),
    "minimum": (("torch.minimum",), ("tf.math.minimum",), ("onnx.Min",)),
    "mul": (("torch.mul",), ("tf.math.multiply",), ("onnx.Mul",)),
    "pow": (("torch.pow",), ("tf.math.pow",), ("onnx.Pow",)),
    "sub": (("torch.sub",), ("tf.math.subtract",), ("onnx.Sub",)),
}
#: Reductions: over ``axes``, with ``keepdims``.
REDUCTIONS: Mapping[str, Spellings] = {
    "max": (("torch.amax",), ("tf.reduce_max",), ("onnx.ReduceMax",)),
    "mean": (("torch.mean",), ("tf.reduce_mean",), ("onnx.ReduceMean",)),
    "min": (("torch.amin",), ("tf.reduce_min",), ("onnx.ReduceMin",)),
    "sum": (("torch.sum",), ("tf.reduce_sum",), ("onnx.ReduceSum",)),
    "logsumexp": (("torch.logsumexp",), ("tf.reduce_logsumexp",), ("onnx.ReduceLogSumExp",)),
}
#: Functions along one ``axis`` that keep the shape.
ALONG: Mapping[str, Spellings] = {
    "softmax": ((_F + "softmax",), ("tf.nn.softmax",), ("onnx.Softmax",)),
    "log_softmax": ((_F + "log_softmax",), ("tf.nn.log_softmax",), ("onnx.LogSoftmax",)),
    "cumsum": (("torch.cumsum",), ("tf.math.cumsum",), ("onnx.CumSum",)),
    "flip": (("torch.flip",), ("tf.reverse",), ()),
}
_TABLES: Sequence[Mapping[str, Spellings]] = (UNARY, BINARY, REDUCTIONS, ALONG)
_LIST_OF_AXES = frozenset({"flip"})
COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum"})


class Vocabulary(abc.ABC):
    """The words of one frontend. ``channels`` is the axis of an image's channels."""

    side: int
    channels: int
    #: Whether operands of two dtypes are promoted to one.
    promotes = True
    #: Element types that motifs are grown in, models being mostly of the first.
    dtypes: Sequence[str] = ("float32", "float32", "float32", "float16", "bfloat16", "float64")
    #: Operators that mutations slip in.
    slipped: Sequence[str] = ("neg", "abs", "relu", "tanh", "square", "sigmoid", "exp", "floor", "identity")
    #: Whether constants may be operands, as other values may.
    constants = True
    #: Whether the first dimension is a batch, which stays where it is.
    batch_first = False
    #: Kinds of mutations that the frontend has no place for.
    without: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._words: dict[str, Callable[..., Call]] = {
            name.removeprefix("word_"): getattr(self, name) for name in dir(self) if name.startswith("word_")
        }

    def call(self, draw: Draw, word: str, operands: Sequence[Operand], attributes: Mapping[str, Any]) -> Call:
        """The call that a word stands for. KeyError for a word that the frontend does not have."""
        if word in self._words:
            return self._words[word](draw, *operands, **attributes)
        if word in UNARY:
            return Call(draw.choices.pick(UNARY[word][self.side]), tuple(operands), {})
        if word in BINARY:
            return self._binary(draw, word, *operands)
        if word in REDUCTIONS:
            return self._reduction(draw, REDUCTIONS[word][self.side][0], operands[0], **attributes)
        axis = attributes["axis"]
        given = {self.axis_keyword(word): (axis,) if word in _LIST_OF_AXES else axis}
        return Call(ALONG[word][self.side][0], (operands[0],), given)

    def knows(self, word: str) -> bool:
        """Whether the frontend has one operator for the word."""
        return word in self._words or any(table[word][self.side] for table in _TABLES if word in table)

    def subscript(
        self, draw: Draw, x: Handle, axis: int, start: int | None, stop: int | None, step: int | None
    ) -> Call:
        """``x[..., start:stop:step, ...]`` along one axis."""
        if axis < 0 and draw.flag():
            index: tuple[Any, ...] = (..., Slice(start, stop, step), *(Slice(),) * (-axis - 1))
        else:
            index = (*(Slice(),) * (axis % x.rank), Slice(start, stop, step))
        return Call("operator.getitem", (x, index), {})

    def _binary(self, draw: Draw, word: str, x: Operand, y: Operand) -> Call:
        if not isinstance(x, Handle) and isinstance(y, Handle):
            # Both frameworks want a tensor first: torch insists, TensorFlow would make a float32 of the number.
            if word in COMMUTATIVE:
                x, y = y, x
            else:
                x = scalar(draw, x, y.dtype)
        if word in ("maximum", "minimum") and isinstance(x, Handle) and not isinstance(y, Handle):
            y = scalar(draw, y, x.dtype)
        return Call(draw.choices.pick(BINARY[word][self.side]), (x, y), {})

    @abc.abstractmethod
    def axis_keyword(self, word: str) -> str:
        """What the axis argument of a word is called."""

    @abc.abstractmethod
    def _reduction(self, draw: Draw, target: str, x: Operand, *, axes: tuple[int, ...], keepdims: bool) -> Call: ...


def scalar(draw: Draw, number: bool | int | float, dtype: str) -> Handle:
    """A constant of rank 0."""
    return draw.tensor((), dtype, lambda rng, shape, kind: DTYPES[kind].type(number), constant=True)


class Torch(Vocabulary):
    """Words in torch: images are (N, C, H, W)."""

    side = 0
    channels = 1

    def axis_keyword(self, word: str) -> str:
        return "dims" if word == "flip" else "dim"

    def _reduction(self, draw: Draw, target: str, x: Operand, *, axes: tuple[int, ...], keepdims: bool) -> Call:
        return Call(target, (x,), {"dim": axes[0] if len(axes) == 1 else axes, "keepdim": keepdims})

    def word_matmul(self, draw: Draw, x: Handle, y: Handle) -> Call:
        return Call("torch.bmm" if x.rank == y.rank == 3 and draw.flag(0.3) else "torch.matmul", (x, y), {})

    def word_linear(self, draw: Draw, x: Handle, weight: Handle, bias: Handle | None = None) -> Call:
        """``weight`` is (out, in)."""
        return Call(_F + "linear", (x, weight) if bias is None else (x, weight, bias), {})

    def word_transpose(self, draw: Draw, x: Handle, *, order: tuple[int, ...]) -> Call:
        moved = [axis for axis, source in enumerate(order) if axis != source]
        if len(moved) == 2 and draw.flag():
            return Call("torch.transpose", (x, *moved), {})
        return Call(draw.choice(("torch.permute", "torch.Tensor.permute")), (x, order), {})

    def word_reshape(self, draw: Draw, x: Handle, *, shape: tuple[int, ...]) -> Call:
        return Call(draw.choice(("torch.reshape", "torch.Tensor.reshape")), (x, shape), {})

    def word_unsqueeze(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return Call("torch.unsqueeze", (x, axis), {})

    def word_squeeze(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return Call("torch.squeeze", (x, axis), {})

    def word_expand(self, draw: Draw, x: Handle, *, shape: tuple[int, ...]) -> Call:
        return Call(draw.choice(("torch.broadcast_to", "torch.Tensor.expand")), (x, shape), {})

    def word_concat(self, draw: Draw, *values: Handle, axis: int) -> Call:
        return Call("torch.cat", (values, axis), {})

    def word_split(self, draw: Draw, x: Handle, *, sizes: tuple[int, ...], axis: int) -> Call:
        if len(set(sizes)) == 1 and draw.flag():
            return Call("torch.chunk", (x, len(sizes), axis), {})
        return Call("torch.split", (x, sizes, axis), {})

    def word_cast(self, draw: Draw, x: Handle, *, dtype: str) -> Call:
        return Call("torch.Tensor.to", (x, DType(dtype)), {})

    def word_clip(self, draw: Draw, x: Handle, *, low: float, high: float) -> Call:
        return Call(draw.choice(("torch.clamp", "torch.clip")), (x, low, high), {})

    def word_where(self, draw: Draw, condition: Handle, x: Operand, y: Operand) -> Call:
        return Call("torch.where", (condition, x, y), {})

    def word_gather(self, draw: Draw, table: Handle, indices: Handle) -> Call:
        """Rows of a table of rank 2."""
        return Call(_F + "embedding", (indices, table), {})

    def word_sdpa(self, draw: Draw, query: Handle, key: Handle, value: Handle, **options: Any) -> Call:
        return Call(_F + "scaled_dot_product_attention", (query, key, value), options)

    def word_conv(self, draw: Draw, x: Handle, weight: Handle, bias: Handle | None = None, **options: Any) -> Call:
        """``weight`` is (out, in of a group, *kernel)."""
        given = (x, weight) if bias is None else (x, weight, bias)
        spatial = x.rank - 2
        pads: tuple[int, ...] = options.get("pads", ())
        kwargs: dict[str, Any] = {"stride": options.get("stride", 1)}
        if options.get("groups", 1) > 1:
            kwargs["groups"] = options["groups"]
        kwargs["padding"] = pads if pads else 0
        return Call(f"{_F}conv{spatial}d", given, kwargs)

    def word_normalize(
        self, draw: Draw, x: Handle, mean: Handle, variance: Handle, scale: Handle, bias: Handle, *, epsilon: float
    ) -> Call:
        """Over the channels, with statistics that are given."""
        options = {"weight": scale, "bias": bias, "training": False, "eps": epsilon}
        return Call(_F + "batch_norm", (x, mean, variance), options)

    def word_pad(self, draw: Draw, x: Handle, *, pads: tuple[tuple[int, int], ...], value: float) -> Call:
        """``pads`` are before and after, for each axis."""
        flat = tuple(amount for pair in reversed(pads) for amount in pair)
        while len(flat) > 2 and not any(flat[-2:]):
            flat = flat[:-2]
        return Call(_F + "pad", (x, flat), {"value": value})

    def word_pool(self, draw: Draw, x: Handle, *, kind: str, size: int) -> Call:
        return Call(f"{_F}{kind}_pool{x.rank - 2}d", (x, size), {})

    def word_resize(self, draw: Draw, x: Handle, *, size: tuple[int, int], method: str) -> Call:
        return Call(_F + "interpolate", (x,), {"size": size, "mode": method})


class TensorFlow(Vocabulary):
    """Words in TensorFlow: images are (N, H, W, C)."""

    side = 1
    channels = -1
    promotes = False

    def axis_keyword(self, word: str) -> str:
        return "axis"

    def _reduction(self, draw: Draw, target: str, x: Operand, *, axes: tuple[int, ...], keepdims: bool) -> Call:
        return Call(target, (x,), {"axis": axes[0] if len(axes) == 1 else axes, "keepdims": keepdims})

    def word_matmul(self, draw: Draw, x: Handle, y: Handle) -> Call:
        return Call("tf.linalg.matmul", (x, y), {})

    def word_linear(self, draw: Draw, x: Handle, weight: Handle, bias: Handle | None = None) -> Call:
        """``weight`` is (out, in), as in models that come from elsewhere."""
        if bias is not None:
            raise KeyError("linear with a bias is two operators")
        return Call("tf.linalg.matmul", (x, weight), {"transpose_b": True})

    def word_transpose(self, draw: Draw, x: Handle, *, order: tuple[int, ...]) -> Call:
        return Call("tf.transpose", (x,), {"perm": order})

    def word_reshape(self, draw: Draw, x: Handle, *, shape: tuple[int, ...]) -> Call:
        return Call("tf.reshape", (x, shape), {})

    def word_unsqueeze(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return Call("tf.expand_dims", (x, axis), {})

    def word_squeeze(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return Call("tf.squeeze", (x,), {"axis": (axis,)})

    def word_expand(self, draw: Draw, x: Handle, *, shape: tuple[int, ...]) -> Call:
        return Call("tf.broadcast_to", (x, shape), {})

    def word_concat(self, draw: Draw, *values: Handle, axis: int) -> Call:
        return Call("tf.concat", (values,), {"axis": axis})

    def word_split(self, draw: Draw, x: Handle, *, sizes: tuple[int, ...], axis: int) -> Call:
        count: Any = len(sizes) if len(set(sizes)) == 1 and draw.flag() else sizes
        return Call("tf.split", (x, count), {"axis": axis})

    def word_cast(self, draw: Draw, x: Handle, *, dtype: str) -> Call:
        return Call("tf.cast", (x, DType(dtype)), {})

    def word_clip(self, draw: Draw, x: Handle, *, low: float, high: float) -> Call:
        return Call("tf.clip_by_value", (x, low, high), {})

    def word_where(self, draw: Draw, condition: Handle, x: Operand, y: Operand) -> Call:
        other = next(item for item in (x, y) if isinstance(item, Handle))
        x, y = (item if isinstance(item, Handle) else scalar(draw, item, other.dtype) for item in (x, y))
        return Call("tf.where", (condition, x, y), {})

    def word_gather(self, draw: Draw, table: Handle, indices: Handle) -> Call:
        """Rows of a table of rank 2."""
        return Call(draw.choice(("tf.gather", "tf.nn.embedding_lookup")), (table, indices), {})

    def word_conv(self, draw: Draw, x: Handle, weight: Handle, bias: Handle | None = None, **options: Any) -> Call:
        """``weight`` is (*kernel, in, out); for a depthwise one (*kernel, in, multiplier)."""
        if bias is not None:
            raise KeyError("a convolution with a bias is two operators")
        spatial = x.rank - 2
        stride = options.get("stride", 1)
        padding = "SAME" if any(options.get("pads", ())) else "VALID"
        if options.get("groups", 1) > 1:
            return Call("tf.nn.depthwise_conv2d", (x, weight, (1, stride, stride, 1), padding), {})
        return Call(f"tf.nn.conv{spatial}d", (x, weight, stride, padding), {})

    def word_bias_add(self, draw: Draw, x: Handle, bias: Handle) -> Call:
        return Call("tf.nn.bias_add", (x, bias), {})

    def word_normalize(
        self, draw: Draw, x: Handle, mean: Handle, variance: Handle, scale: Handle, bias: Handle, *, epsilon: float
    ) -> Call:
        """Over the channels, with statistics that are given."""
        return Call("tf.nn.batch_normalization", (x, mean, variance, bias, scale, epsilon), {})

    def word_pad(self, draw: Draw, x: Handle, *, pads: tuple[tuple[int, int], ...], value: float) -> Call:
        """``pads`` are before and after, for each axis."""
        return Call("tf.pad", (x, pads), {"constant_values": value} if value else {})

    def word_pool(self, draw: Draw, x: Handle, *, kind: str, size: int) -> Call:
        return Call(f"tf.nn.{kind}_pool{x.rank - 2}d", (x, size, size, "VALID"), {})

    def word_resize(self, draw: Draw, x: Handle, *, size: tuple[int, int], method: str) -> Call:
        return Call("tf.image.resize", (x, size), {"method": method})


def elements_of(shape: Sequence[int]) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)
