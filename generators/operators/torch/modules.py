"""Modules of ``torch.nn`` with their parameters, in evaluation mode, by all of their flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generators import selectors
from generators.draw import MAX_ELEMENTS, Call, Draw, Elements, Handle
from generators.frontends.torch_modules import PARAMETRIZATION, STATE, state_types
from generators.graph import DTYPES, FLOATING, Array
from generators.operators.shapes import reach
from generators.operators.torch.common import some
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
N = "torch.nn."
#: Modules compute in float32, seldom in anything else.
_DTYPES = ("float32", "float32", "float32", "float64")


def module(draw: Draw, *inputs: Any, dtype: str, **arguments: Any) -> Call:
    """The call of a module with parameters of that dtype drawn for it; rejects arguments that its constructor does not
    take."""
    try:
        types = state_types(draw.target, arguments)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        draw.reject(str(error))
    state = []
    for key, shape, own in types:
        if own.is_floating_point:
            value = draw.tensor(shape, dtype, _elements(draw, key), reuse=False, constant=True)
        else:  # how many batches there were
            value = draw.tensor(shape, "int64", lambda rng, shape, kind: np.full(shape, 7), constant=True)
        state.append((key, value))
    return Call(draw.target, inputs, {**arguments, **({STATE: tuple(state)} if state else {})})


def _elements(draw: Draw, key: str) -> Elements:
    """Variances and the sizes of a weight's rows are positive; vectors of a spectral norm are of length one."""
    name = key.rpartition(".")[2]

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        if name in ("running_var", "original0"):
            data = rng.uniform(0.2, 2.0, shape)
        elif name in ("_u", "_v"):
            data = rng.standard_normal(shape)
            data /= np.linalg.norm(data) or 1.0
        else:
            data = rng.uniform(-0.8, 0.8, shape)
        return np.asarray(data).astype(DTYPES[dtype])

    if name.startswith("weight") and draw.flag(0.1):
        return draw.choice(("ties", "zeros_and_signs", "fractions"))
    return elements


def _tame(draw: Draw, ranks: Sequence[int], *, largest: int = 512, dtypes: Sequence[str] = _DTYPES) -> Handle:
    return draw.value(
        dtypes=(draw.choice(dtypes),),
        ranks=ranks,
        minimum=1,
        where=lambda x: x.size <= largest and (draw.nonfinite or x.within(-100, 100)),
        otherwise="typical" if draw.flag() else None,
    )


def _fresh(draw: Draw, shape: Sequence[int], dtype: str) -> Handle:
    """A value of a shape, small enough for sums of products."""
    x = draw.tensor(shape, dtype)
    if not draw.nonfinite and not x.within(-100, 100):
        draw.forget(x)
        x = draw.tensor(shape, dtype, "typical", reuse=False)
    return x


# -- recurrent ---------------------------------------------------------------------------------------------------


@operator(N + "LSTM", N + "GRU", N + "RNN", family="recurrent", weight=0.6)
def recurrent(draw: Draw) -> Call:
    """Batched or not, either layout, one or two layers and directions, projections, states given or zero."""
    kind = draw.target.removeprefix(N)
    x = _tame(draw, (2, 3, 3))
    first = x.rank == 3 and draw.flag()
    hidden, layers = draw.integer(2, 4), draw.integer(1, 2)
    both = draw.flag(0.4)
    options: dict[str, Any] = {"input_size": x.shape[-1], "hidden_size": hidden}
    options |= {"batch_first": True} if first else {}
    options |= {"num_layers": layers} if layers > 1 or draw.flag(0.3) else {}
    options |= {"bidirectional": True} if both else {}
    options |= {"bias": False} if draw.flag(0.2) else {}
    options |= {"dropout": 0.5} if layers > 1 and draw.flag(0.2) else {}  # nothing, in evaluation
    if kind == "RNN" and draw.flag():
        options["nonlinearity"] = draw.choice(("relu", "tanh"))
    out = hidden
    if kind == "LSTM" and draw.flag(0.25):
        out = draw.integer(1, hidden - 1)
        options["proj_size"] = out
    inputs: list[Any] = [x]
    if draw.flag(0.35):
        count = layers * (1 + both)
        batch = () if x.rank == 2 else (x.shape[0 if first else 1],)
        state: Any = draw.tensor((count, *batch, out), x.dtype, "fractions", reuse=False)
        if kind == "LSTM":
            state = (state, draw.tensor((count, *batch, hidden), x.dtype, "fractions", reuse=False))
        inputs.append(state)
    return module(draw, *inputs, dtype=x.dtype, **options)


@operator(N + "LSTMCell", N + "GRUCell", N + "RNNCell", family="recurrent", weight=0.3)
def cell(draw: Draw) -> Call:
    kind = draw.target.removeprefix(N)
    x = _tame(draw, (1, 2))
    hidden = draw.integer(1, 4)
    options: dict[str, Any] = {"input_size": x.shape[-1], "hidden_size": hidden}
    options |= {"bias": False} if draw.flag(0.2) else {}
    if kind == "RNNCell" and draw.flag():
        options["nonlinearity"] = draw.choice(("relu", "tanh"))
    inputs: list[Any] = [x]
    if draw.flag():
        states = [draw.tensor((*x.shape[:-1], hidden), x.dtype, "fractions", reuse=False) for _ in range(2)]
        inputs.append(tuple(states) if kind == "LSTMCell" else states[0])
    return module(draw, *inputs, dtype=x.dtype, **options)


# -- attention ---------------------------------------------------------------------------------------------------


def _left_out(draw: Draw, shape: tuple[int, ...], only: Sequence[str] = ()) -> Handle:
    """A mask that is false at the first place of each row, at least."""
    kept = selectors.mask(draw, shape, some_in_row=True, only=only)
    profile = draw.fresh.profiles[kept.name]
    draw.forget(kept)
    return draw.tensor(shape, "bool", lambda rng, shape, dtype: ~kept.array, profile=profile)


def _masks(draw: Draw, batch: int, steps: int) -> Handle:
    """True is what is left out; the first of a row never is: what attention to nothing gives differs between torch's
    own kernels."""
    return _left_out(draw, (batch, steps), ("mask any", "mask prefix", "mask all"))


@operator(N + "MultiheadAttention", family="attention", weight=0.8)
def multihead_attention(draw: Draw) -> Call:
    """To itself or another sequence, its keys and values of other widths, with masks of both kinds and both types."""
    first = draw.flag(0.6)
    batch, length, heads = draw.integer(1, 3), draw.integer(1, 4), draw.integer(1, 3)
    width = heads * draw.integer(1, 3)
    dtype = draw.choice(_DTYPES)

    def sequence(steps: int, size: int) -> Handle:
        return _fresh(draw, (batch, steps, size) if first else (steps, batch, size), dtype)

    query = sequence(length, width)
    options: dict[str, Any] = {"embed_dim": width, "num_heads": heads}
    if itself := draw.flag():
        steps, key, value = length, query, query
    else:
        steps = draw.integer(1, 5)
        other, another = (width, width) if draw.flag() else (draw.integer(1, 4), draw.integer(1, 4))
        key, value = sequence(steps, other), sequence(steps, another)
        options |= {} if other == another == width else {"kdim": other, "vdim": another}
    options |= {"batch_first": True} if first else {}
    for name, share in (("add_bias_kv", 0.15), ("add_zero_attn", 0.15)):
        options |= {name: True} if draw.flag(share) else {}
    options |= {"bias": False} if draw.flag(0.2) else {}
    padding = _masks(draw, batch, steps) if draw.flag(0.3) else None
    weights, averaged = draw.flag(), draw.flag(0.7)
    attended: Handle | None = None
    if draw.flag(0.3):
        shape = (length, steps) if draw.flag(0.7) else (batch * heads, length, steps)
        # Two masks of different types are deprecated.
        attended = _fresh(draw, shape, dtype) if padding is None and draw.flag() else _left_out(draw, shape)
    if padding is not None and attended is not None:
        attended = None if draw.flag() else attended
        padding = None if attended is not None else padding
    inputs: tuple[Any, ...] = (query, key, value, padding, weights, attended, averaged)
    if itself and draw.flag(0.3) and padding is None and attended is None:
        return module(draw, query, key, value, dtype=dtype, **options)
    return module(draw, *inputs, dtype=dtype, **options)


@operator(N + "TransformerEncoderLayer", N + "TransformerDecoderLayer", family="attention", weight=0.4)
def transformer_layer(draw: Draw) -> Call:
    first = draw.flag(0.6)
    batch, length, heads = draw.integer(1, 2), draw.integer(1, 4), draw.integer(1, 2)
    width = heads * draw.integer(1, 3)
    dtype = draw.choice(_DTYPES)
    options: dict[str, Any] = {"d_model": width, "nhead": heads, "dim_feedforward": draw.integer(1, 6)}
    options |= {"batch_first": True} if first else {}
    options |= {"norm_first": True} if draw.flag() else {}
    options |= {"activation": draw.choice(("gelu", "relu"))} if draw.flag() else {}
    options |= {"layer_norm_eps": draw.choice((1e-3, 0.1))} if draw.flag(0.3) else {}
    options |= {"bias": False} if draw.flag(0.15) else {}
    x = _fresh(draw, (batch, length, width) if first else (length, batch, width), dtype)
    inputs: list[Any] = [x]
    if draw.target.endswith("DecoderLayer"):
        steps = draw.integer(1, 4)
        inputs.append(_fresh(draw, (batch, steps, width) if first else (steps, batch, width), dtype))
    if draw.flag(0.3):
        inputs.append(_left_out(draw, (length, length)))
    return module(draw, *inputs, dtype=dtype, **options)


# -- embeddings --------------------------------------------------------------------------------------------------


@operator(N + "Embedding", N + "EmbeddingBag", family="indexing", weight=0.5)
def embedding(draw: Draw) -> Call:
    rows, width = draw.integer(1, 8), draw.integer(1, 5)
    options: dict[str, Any] = {"num_embeddings": rows, "embedding_dim": width}
    dtype = draw.choice(_DTYPES)
    if draw.flag(0.3):
        options["padding_idx"] = draw.integer(-rows, rows - 1)
    kinds = ("int64", "int32")
    if draw.target == N + "Embedding":
        shape = draw.shape(range(4), minimum=1, maximum=4)
        return module(draw, draw.indices(shape, 0, rows - 1, dtypes=kinds), dtype=dtype, **options)
    options["mode"] = draw.choice(("sum", "mean", "max"))
    indices = draw.indices((draw.integer(1, 4), draw.integer(1, 4)), 0, rows - 1, dtypes=kinds)
    if options["mode"] == "sum" and draw.flag(0.3):
        return module(draw, indices, None, draw.tensor(indices.shape, dtype, reuse=False), dtype=dtype, **options)
    return module(draw, indices, dtype=dtype, **options)


# -- normalisations ----------------------------------------------------------------------------------------------


@operator(N + "BatchNorm1d", N + "BatchNorm2d", N + "BatchNorm3d", family="normalization", weight=0.4)
def batch_norm(draw: Draw) -> Call:
    spatial = int(draw.target[-2])
    x = _tame(draw, (2, 3) if spatial == 1 else (spatial + 2,))
    options = some(draw, eps=draw.choice((1e-5, 1e-3, 0.1)), affine=draw.flag(0.7), momentum=draw.choice((0.1, None)))
    if draw.flag(0.15):
        options["track_running_stats"] = False
    return module(draw, x, dtype=x.dtype, num_features=x.shape[1], **options)


@operator(N + "InstanceNorm1d", N + "InstanceNorm2d", family="normalization", weight=0.25)
def instance_norm(draw: Draw) -> Call:
    spatial = int(draw.target[-2])
    x = _tame(draw, (spatial + 2,))
    if max(x.shape[2:]) == 1:
        draw.reject("a single position has no variance")
    options = some(draw, eps=draw.choice((1e-5, 0.1)), affine=draw.flag(), track_running_stats=draw.flag())
    return module(draw, x, dtype=x.dtype, num_features=x.shape[1], **options)


@operator(N + "LayerNorm", N + "RMSNorm", N + "GroupNorm", family="normalization", weight=0.4)
def other_norm(draw: Draw) -> Call:
    x = _tame(draw, range(2, 5))
    options = some(draw, eps=draw.choice((1e-5, 1e-3, 0.1)))
    kind = draw.target.removeprefix(N)
    options |= {"elementwise_affine" if kind != "GroupNorm" else "affine": False} if draw.flag(0.2) else {}
    if kind == "GroupNorm":
        if x.shape[0] == 1 and max(x.shape[2:], default=1) == 1:
            draw.reject("a value for each channel has no variance")
        groups = draw.choice([count for count in range(1, x.shape[1] + 1) if x.shape[1] % count == 0])
        return module(draw, x, dtype=x.dtype, num_groups=groups, num_channels=x.shape[1], **options)
    if kind == "LayerNorm" and draw.flag(0.2):
        options["bias"] = False
    return module(draw, x, dtype=x.dtype, normalized_shape=x.shape[draw.integer(1, x.rank - 1) :], **options)


# -- products ----------------------------------------------------------------------------------------------------


def _norm(draw: Draw) -> dict[str, Any]:
    """What the weight is parametrized by, now and then."""
    return {PARAMETRIZATION: draw.choice(("weight_norm", "spectral_norm"))} if draw.flag(0.4) else {}


@operator(N + "Linear", family="linear", weight=0.6)
def linear(draw: Draw) -> Call:
    x = _tame(draw, range(1, 5), dtypes=(*_DTYPES, "bfloat16", "float16"))
    norm = _norm(draw) if x.dtype in ("float32", "float64") else {}
    options = {"bias": False} if draw.flag(0.25) else {}
    sizes = {"in_features": x.shape[-1], "out_features": draw.integer(1, 6)}
    return module(draw, x, dtype=x.dtype, **sizes, **options, **norm)


@operator(N + "Conv1d", N + "Conv2d", family="convolution", weight=0.6)
def convolution(draw: Draw) -> Call:
    """Padded with zeros, by reflection, repetition or around; by words, too."""
    spatial = int(draw.target[-2])
    x = _tame(draw, (spatial + 2,))
    kernel, dilation = draw.integer(1, 3), draw.integer(1, 2)
    padding: Any = draw.choice((0, 1, "same", "valid"))
    amount = padding if isinstance(padding, int) else 0
    if padding != "same" and any(extent + 2 * amount < reach(kernel, dilation) for extent in x.shape[2:]):
        kernel = dilation = 1
    channels = x.shape[1]
    options: dict[str, Any] = {"kernel_size": kernel, "padding": padding}
    options |= {"dilation": dilation} if dilation > 1 else {}
    options |= {"stride": 2} if padding != "same" and draw.flag(0.3) else {}
    options |= {"bias": False} if draw.flag(0.3) else {}
    most = reach(kernel, dilation) // 2 if padding == "same" else amount
    if most < min(x.shape[2:]) and draw.flag(0.4):
        options["padding_mode"] = draw.choice(("reflect", "replicate", "circular"))
    out = draw.integer(1, 4)
    if draw.flag(0.25):
        out = channels * draw.integer(1, 2)
        options["groups"] = channels
    if x.size // channels * out * 4 > MAX_ELEMENTS:
        draw.reject("too many elements")
    sizes = {"in_channels": channels, "out_channels": out}
    return module(draw, x, dtype=x.dtype, **sizes, **options, **_norm(draw))


@operator(N + "Bilinear", N + "PReLU", family="linear", weight=0.2)
def bilinear(draw: Draw) -> Call:
    if draw.target == N + "PReLU":
        x = _tame(draw, range(1, 5), dtypes=FLOATING)
        channels = x.shape[1] if x.rank > 1 and draw.flag() else 1
        return module(draw, x, dtype=x.dtype, num_parameters=channels)
    x = _tame(draw, (1, 2, 3), largest=64)
    y = _fresh(draw, (*x.shape[:-1], draw.integer(1, 4)), x.dtype)
    sizes = {"in1_features": x.shape[-1], "in2_features": y.shape[-1], "out_features": draw.integer(1, 4)}
    return module(draw, x, y, dtype=x.dtype, **sizes)
