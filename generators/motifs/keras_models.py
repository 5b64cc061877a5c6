"""Motifs of Keras models, made of layers: what the other files have in operators, as people write it in Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from generators.graph import FLOATING, DType
from generators.handles import Handle
from generators.motifs.builder import Builder
from generators.motifs.keras_words import same_dtype
from generators.motifs.registry import Grower
from generators.motifs.registry import motif as any_motif

_EPSILONS = (1e-3, 1e-5, 1e-6, 1e-12, 0.1)
_ACTIVATIONS = ("relu", "relu", "relu6", "silu", "sigmoid", "tanh", "gelu", "hard_silu")


def motif(name: str, *, weight: float = 1.0) -> Callable[[Grower], Grower]:
    """Register a motif of Keras alone."""
    return any_motif(name, frontends=("keras",), weight=weight)


def layer(m: Builder, name: str, *args: Any, **kwargs: Any) -> Handle:
    """The result of a layer, its arguments mutated or not: another axis, epsilon or dtype, or its result."""
    from generators.operators.keras.common import built

    first = args[0][0] if isinstance(args[0], tuple) else args[0]
    if m.due("epsilon", "epsilon" in kwargs):
        kwargs["epsilon"] = m.draw.choice((1e-12, 1e-8, 0.1, 1.0))
    if "axis" in kwargs and first.rank > 2 and m.due("axis"):
        kwargs["axis"] = m.draw.integer(1, first.rank - 1)
    kwargs |= {key: value for key, value in same_dtype(first).items() if key not in kwargs}
    if m.due("operands cast"):
        kwargs["dtype"] = DType(m.draw.choice([name for name in FLOATING if name != first.dtype]))

    def again() -> Handle:
        return m.place(built(m.draw, f"keras.layers.{name}", *args, **kwargs))[0]

    return m.mutated(again(), again)


def images(m: Builder, where: Callable[[Handle], bool] = lambda x: True) -> Handle:
    """A batch of images, no dimension of which is empty."""
    return m.image(where=lambda x: x.size <= 1024 and where(x))


def sequences(m: Builder, width: int = 16) -> Handle:
    """(batch, length, width), small enough for products."""
    return m.value((3,), where=lambda x: 1 < x.shape[-1] <= width and x.within(-40, 40), largest=512)


def activated(m: Builder, x: Handle) -> Handle:
    """By a layer of its own."""
    if m.draw.flag(0.3):
        options = m.draw.choice(({}, {"max_value": 6.0}, {"negative_slope": 0.1}, {"threshold": 0.5}))
        return layer(m, "ReLU", x, **options)
    return layer(m, "Activation", x, activation=m.draw.choice(_ACTIVATIONS))


def convolved(m: Builder, x: Handle, filters: int, *, kernel: int = 0, same: bool = False) -> Handle:
    """A convolution, with or without a bias, mostly without an activation of its own."""
    if x.rank != 4:
        m.end("a mutation has made something else of the image")
    padding = "same" if same or m.draw.flag() else "valid"
    sizes = [size for size in (1, 2, 3) if padding == "same" or size <= min(x.shape[1:3])]
    options: dict[str, Any] = {"kernel_size": kernel or m.draw.choice(sizes), "padding": padding}
    if not same and m.draw.flag(0.3):
        options["strides"] = 2
    if m.draw.flag(0.6):
        options["use_bias"] = False
    if m.draw.flag(0.15):
        options["activation"] = m.draw.choice(_ACTIVATIONS)
    return layer(m, "Conv2D", x, filters=filters, **options)


def normalized(m: Builder, x: Handle) -> Handle:
    """Batch normalization, without a scale or an offset sometimes."""
    options: dict[str, Any] = {"axis": -1, "epsilon": m.draw.choice(_EPSILONS)}
    for name in ("scale", "center"):
        if m.draw.flag(0.2):
            options[name] = False
    return layer(m, "BatchNormalization", x, **options)


@motif("Keras: conv, norm, activation", weight=2.0)
def conv_norm_activation(m: Builder) -> None:
    x = images(m)
    activated(m, normalized(m, convolved(m, x, m.draw.integer(1, 5))))


@motif("Keras: dense, norm, activation", weight=1.2)
def dense_norm_activation(m: Builder) -> None:
    x = m.value((2, 3), largest=512)
    y = layer(m, "Dense", x, units=m.draw.integer(1, 6), use_bias=m.draw.flag())
    activated(m, normalized(m, y))


@motif("Keras: depthwise separable conv")
def depthwise(m: Builder) -> None:
    x = images(m, lambda x: x.shape[-1] <= 8)
    y = layer(m, "DepthwiseConv2D", x, kernel_size=m.draw.integer(1, 3), padding="same", use_bias=m.draw.flag())
    if m.draw.flag(0.7):
        y = activated(m, normalized(m, y))
    convolved(m, y, m.draw.integer(1, 5), kernel=1)


@motif("Keras: pad, conv")
def pad_conv(m: Builder) -> None:
    """What MobileNet and ResNet do for strides of two: padding on one side, and a convolution without."""
    x = images(m, lambda x: min(x.shape[1:3]) > 1)
    pads = ((0, 1), (0, 1)) if m.draw.flag() else tuple((m.draw.integer(0, 2), m.draw.integer(0, 2)) for _ in range(2))
    y = layer(m, "ZeroPadding2D", x, padding=pads)
    if m.draw.flag(0.25):
        layer(m, m.draw.choice(("MaxPooling2D", "AveragePooling2D")), y, pool_size=2, strides=2)
        return
    strides = m.draw.integer(1, 2)
    y = layer(m, "Conv2D", y, filters=m.draw.integer(1, 4), kernel_size=2, strides=strides, padding="valid")
    activated(m, y)


@motif("Keras: residual block", weight=1.3)
def residual(m: Builder) -> None:
    x = images(m)
    y = convolved(m, x, x.shape[-1], same=True)
    if m.draw.flag(0.6):
        y = normalized(m, y)
    if m.draw.flag(0.6):
        y = convolved(m, activated(m, y), x.shape[-1], same=True)
    y = layer(m, "Add", (x, y) if m.draw.flag() else (y, x))
    if m.draw.flag(0.7):
        activated(m, y)


@motif("Keras: squeeze and excite")
def squeeze_excite(m: Builder) -> None:
    x = images(m)
    channels = x.shape[-1]
    keep = m.draw.flag()
    y = layer(m, "GlobalAveragePooling2D", x, keepdims=keep)
    if not keep:
        y = layer(m, "Reshape", y, target_shape=(1, 1, channels))
    if m.draw.flag():
        y = convolved(m, y, max(1, channels // 2), kernel=1, same=True)
        y = convolved(m, activated(m, y), channels, kernel=1, same=True)
    else:
        y = layer(m, "Dense", y, units=max(1, channels // 2), activation="relu")
        y = layer(m, "Dense", y, units=channels)
    gate = layer(m, "Activation", y, activation=m.draw.choice(("sigmoid", "hard_sigmoid")))
    layer(m, "Multiply", (x, gate) if m.draw.flag() else (gate, x))


@motif("Keras: resize and concat")
def resize_concat(m: Builder) -> None:
    x = m.image(dtypes=("float32",), where=lambda x: x.size <= 256)
    if m.draw.flag():
        large = layer(m, "UpSampling2D", x, size=2, interpolation=m.draw.choice(("nearest", "nearest", "bilinear")))
    else:
        options = {"kernel_size": m.draw.integer(1, 3), "strides": 2, "padding": "same"}
        large = layer(m, "Conv2DTranspose", x, filters=m.draw.integer(1, 3), **options)
    beside = m.draw.tensor((*large.shape[:3], m.draw.integer(1, 3)), large.dtype, constant=False)
    y = layer(m, "Concatenate", (large, beside) if m.draw.flag() else (beside, large), axis=-1)
    if m.draw.flag():
        activated(m, convolved(m, y, m.draw.integer(1, 4), same=True))


def _scaled_softmax(m: Builder, scores: Handle) -> Handle:
    scores = m.op("mul", scores, m.draw.choice((0.5, 0.125, 1.0)))
    return layer(m, "Softmax", scores, axis=-1)


@motif("Keras: attention by hand", weight=1.3)
def attention(m: Builder) -> None:
    """Products of sequences along their widths, and of weights along the lengths."""
    x = sequences(m)
    width = m.draw.integer(1, 4)
    query, key, value = (layer(m, "Dense", x, units=width, use_bias=m.draw.flag()) for _ in range(3))
    weights = _scaled_softmax(m, layer(m, "Dot", (query, key), axes=2))
    layer(m, "Dot", (weights, value), axes=(2, 1))


@motif("Keras: transformer block", weight=1.3)
def transformer(m: Builder) -> None:
    """Normalization before or behind, attention to itself, and a residual; then the same around two dense layers."""
    x = sequences(m, 8)
    before = m.draw.flag()
    epsilon = m.draw.choice(_EPSILONS)
    y = layer(m, "LayerNormalization", x, epsilon=epsilon) if before else x
    heads = m.draw.integer(1, 2)
    y = layer(m, "MultiHeadAttention", y, y, num_heads=heads, key_dim=m.draw.integer(1, 3))
    x = layer(m, "Add", (x, y))
    if not before:
        x = layer(m, "LayerNormalization", x, epsilon=epsilon)
    y = layer(m, "Dense", x, units=m.draw.integer(1, 6), activation=m.draw.choice(("relu", "gelu", "silu")))
    y = layer(m, "Dense", y, units=x.shape[-1])
    layer(m, "Add", (x, y))


@motif("Keras: gated MLP", weight=1.3)
def gated_mlp(m: Builder) -> None:
    x = m.value((2, 3), where=lambda x: x.shape[-1] <= 16 and x.within(-40, 40), largest=512)
    inner = m.draw.integer(1, 6)
    gate = layer(m, "Dense", x, units=inner, use_bias=False)
    if m.draw.flag():
        gate = layer(m, "Activation", gate, activation=m.draw.choice(("silu", "gelu", "relu")))
    else:
        gate = layer(m, "Multiply", (gate, layer(m, "Activation", gate, activation="sigmoid")))
    y = layer(m, "Multiply", (gate, layer(m, "Dense", x, units=inner, use_bias=False)))
    layer(m, "Dense", y, units=x.shape[-1], use_bias=False)


@motif("Keras: norms")
def norms(m: Builder) -> None:
    """Layer normalization as the layer, over other axes, in groups, or centred by hand with pooling."""
    x = sequences(m)
    way = m.draw.integer(0, 4)
    epsilon = m.draw.choice(_EPSILONS)
    if way == 0:
        layer(m, "LayerNormalization", x, axis=-1, epsilon=epsilon)
    elif way == 1:
        layer(m, "RMSNormalization", x, axis=-1, epsilon=epsilon)
    elif way == 2:
        groups = m.draw.choice([count for count in range(1, x.shape[-1] + 1) if x.shape[-1] % count == 0])
        layer(m, "GroupNormalization", x, groups=groups, axis=-1, epsilon=epsilon)
    elif way == 3:
        mean = layer(m, "GlobalAveragePooling1D", x)
        layer(m, "Subtract", (x, layer(m, "RepeatVector", mean, n=x.shape[1])))
    else:
        layer(m, "Rescaling", layer(m, "UnitNormalization", x, axis=-1), scale=float(x.shape[-1]) ** 0.5)


def _orders(m: Builder, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Dimensions of a permutation behind the batch, counted from 1, and of its inverse."""
    order = tuple(axis + 1 for axis in m.draw.permutation(rank - 1))
    back = tuple(order.index(axis) + 1 for axis in range(1, rank))
    return order, back


@motif("Keras: permute sandwich", weight=1.3)
def permute_sandwich(m: Builder) -> None:
    """A layer with an axis, or of channels, between a permutation and its inverse or another one."""
    x = m.value((3, 4), largest=512, where=lambda x: x.within(-40, 40))
    order, back = _orders(m, x.rank)
    y = layer(m, "Permute", x, dims=order)
    way = m.draw.integer(0, 4)
    if way == 0:
        y = layer(m, "Softmax", y, axis=m.draw.integer(1, y.rank - 1))
    elif way == 1:
        y = activated(m, y)
    elif way == 2:
        y = normalized(m, y)
    elif way == 3:
        y = layer(m, "Dense", y, units=y.shape[-1])
    else:
        y = layer(m, "LayerNormalization", y, axis=-1, epsilon=m.draw.choice(_EPSILONS))
    if y.rank == x.rank:
        layer(m, "Permute", y, dims=back if m.draw.flag(0.75) else order)


@motif("Keras: casts")
def casts(m: Builder) -> None:
    """Layers in a chain whose dtypes differ, as mixed precision leaves them."""
    y = m.value((2, 3), where=lambda x: x.within(-1000, 1000))
    for _ in range(m.draw.integer(2, 4)):
        y = m.op("cast", y, dtype=m.draw.choice(("float16", "float32", "bfloat16", "float64")))
        if m.draw.flag(0.4):
            y = activated(m, y)


@motif("Keras: reshapes in a row")
def reshapes(m: Builder) -> None:
    y = m.value((3, 4), largest=1024)
    for _ in range(m.draw.integer(2, 4)):
        way = m.draw.integer(0, 3)
        if way == 0 or y.rank < 3:
            y = layer(m, "Reshape", y, target_shape=m.draw.choice(((-1,), (*y.shape[1:], 1), (1, *y.shape[1:]))))
        elif way == 1:
            y = layer(m, "Permute", y, dims=_orders(m, y.rank)[0])
        elif way == 2:
            y = layer(m, "Reshape", y, target_shape=(*y.shape[1:-2], -1))
        else:
            y = layer(m, "Flatten", y)


@motif("Keras: pooled head")
def pooled_head(m: Builder) -> None:
    """The end of an image classifier."""
    x = images(m)
    y = activated(m, convolved(m, x, m.draw.integer(1, 6)))
    kind = m.draw.choice(("Average", "Max"))
    if m.draw.flag(0.6):
        y = layer(m, f"Global{kind}Pooling2D", y)
    else:
        y = layer(m, "Flatten", layer(m, f"{kind}Pooling2D", y, pool_size=min(2, *y.shape[1:3])))
    if m.draw.flag():
        y = layer(m, "Dropout", y, rate=0.5)
    layer(m, "Dense", y, units=m.draw.integer(2, 5), activation=m.draw.choice(("softmax", "sigmoid", "linear")))


@motif("Keras: embedding and recurrence")
def recurrence(m: Builder) -> None:
    rows, width, length = m.draw.integer(2, 8), m.draw.integer(1, 4), m.draw.integer(2, 4)
    indices = m.draw.indices((m.draw.integer(1, 3), length), 0, rows - 1, dtypes=("int32", "int64"))
    y = m.op("gather", m.draw.tensor((rows, width), "float32", "typical", reuse=False, constant=True), indices)
    kind = m.draw.choice(("LSTM", "GRU", "SimpleRNN"))
    y = layer(m, kind, y, units=m.draw.integer(1, 3), return_sequences=True)
    y = layer(m, kind, y, units=m.draw.integer(1, 3), go_backwards=m.draw.flag(0.3))
    layer(m, "Dense", y, units=m.draw.integer(1, 3), activation="softmax")


@motif("Keras: shared branches")
def shared(m: Builder) -> None:
    """Two layers of the same arguments on one value, joined: they look alike, and their weights differ."""
    x = m.value((2, 3), largest=256, where=lambda x: x.within(-40, 40))
    units = m.draw.integer(1, 4)
    branches: Sequence[Handle] = [layer(m, "Dense", x, units=units, activation="tanh") for _ in range(2)]
    layer(m, m.draw.choice(("Add", "Subtract", "Maximum", "Multiply")), tuple(branches))
