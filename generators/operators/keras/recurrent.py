"""Recurrent layers with their flags, and wrappers.

Sequences are short: in eager mode every step costs milliseconds. Layers with state between batches (``stateful``) are
left out, since their second call differs from the first, and so is dropout, which inference does not do. A mask is
given as an argument, one position of every sequence at least unmasked: what a layer returns for a sequence of which
nothing is left is not documented. Masks start with what is not masked, which is all that cuDNN's kernels take. A layer
that returns sequences would hand its mask on behind the graph's back, so those get none.
"""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import DType
from generators.operators.keras.common import GATES, layer, made, operand, operator, policy
from generators.selectors import mask

_STEPS = 4
#: Masks that start with what is not masked.
_MASKS = ("mask prefix", "mask all", "mask none")
_FLOATS = ("float32", "float32", "float32", "float32", "float32", "float32", "float16", "float64")


def _sequence(draw: Draw) -> Handle:
    return operand(draw, (3,), dtypes=_FLOATS, largest=256, limit=100.0, where=lambda x: x.shape[1] <= _STEPS)


def _flags(draw: Draw) -> dict[str, Any]:
    """Arguments that all recurrent layers have; at least half of the calls have several."""
    kwargs: dict[str, Any] = {}
    for name, share in (("return_sequences", 0.5), ("return_state", 0.25), ("go_backwards", 0.25), ("unroll", 0.35)):
        if draw.flag(share):
            kwargs[name] = True
    return kwargs


def _inner(draw: Draw, kind: str) -> dict[str, Any]:
    """Arguments of a cell and of its layer."""
    kwargs: dict[str, Any] = {"units": draw.integer(1, 4)}
    if draw.flag(0.3):
        kwargs["activation"] = draw.choice(GATES)
    if kind != "SimpleRNN" and draw.flag(0.3):
        kwargs["recurrent_activation"] = draw.choice(GATES)
    if draw.flag(0.25):
        kwargs["use_bias"] = False
    if kind == "GRU" and draw.flag(0.4):
        kwargs["reset_after"] = draw.flag(0.2)
    return kwargs


def _mask(draw: Draw, x: Handle, flags: dict[str, Any]) -> dict[str, Any]:
    if "return_sequences" in flags or not draw.flag(0.25):
        return {}
    return {"mask": mask(draw, x.shape[:2], some_in_row=True, only=_MASKS, constant=False)}


def _states(draw: Draw, x: Handle, kind: str, units: int, times: int = 1) -> dict[str, Any]:
    if not draw.flag(0.2):
        return {}
    count = times * (2 if kind == "LSTM" else 1)
    states = [draw.tensor((x.shape[0], units), x.dtype, "fractions", reuse=False) for _ in range(count)]
    return {"initial_state": tuple(states)}


@operator("keras.layers.LSTM", family="recurrent", weight=1.5)
def lstm(draw: Draw) -> Call:
    return _recurrent(draw, "LSTM")


@operator("keras.layers.GRU", family="recurrent", weight=1.5)
def gru(draw: Draw) -> Call:
    return _recurrent(draw, "GRU")


@operator("keras.layers.SimpleRNN", family="recurrent", weight=0.8)
def simple_rnn(draw: Draw) -> Call:
    return _recurrent(draw, "SimpleRNN")


def _recurrent(draw: Draw, kind: str) -> Call:
    x = _sequence(draw)
    kwargs = _inner(draw, kind)
    same = policy(draw, x)
    if x.dtype != "float32" and not same:
        same = {"dtype": DType(x.dtype)}
    states, flags = _states(draw, x, kind, kwargs["units"]), _flags(draw)
    return layer(draw, x, **states, **_mask(draw, x, flags), **kwargs, **flags, **same)


@operator("keras.layers.Bidirectional", family="recurrent", weight=0.8)
def bidirectional(draw: Draw) -> Call:
    """With every way of merging, and sometimes with a layer of its own for the way back."""
    x = operand(draw, (3,), dtypes=("float32",), largest=256, limit=100.0, where=lambda x: x.shape[1] <= _STEPS)
    kind = draw.choice(("LSTM", "GRU", "SimpleRNN"))
    inner = _inner(draw, kind)
    flags = _flags(draw)
    kwargs: dict[str, Any] = {"layer": made(f"keras.layers.{kind}", **inner, **flags)}
    if draw.flag(0.75):
        kwargs["merge_mode"] = draw.choice(("concat", "sum", "mul", "ave", None))
    if draw.flag(0.2):
        other = {**flags, "go_backwards": True} if not flags.get("go_backwards") else {**flags}
        if flags.get("go_backwards"):
            del other["go_backwards"]
        kwargs["backward_layer"] = made(
            f"keras.layers.{kind}", **{**_inner(draw, kind), "units": inner["units"]}, **other
        )
    states = _states(draw, x, kind, inner["units"], times=2)
    return layer(draw, x, **states, **_mask(draw, x, flags), **kwargs)


@operator("keras.layers.RNN", family="recurrent", weight=0.6)
def rnn(draw: Draw) -> Call:
    """A cell, or a stack of them."""
    x = operand(draw, (3,), dtypes=("float32",), largest=256, limit=100.0, where=lambda x: x.shape[1] <= _STEPS)

    def cell() -> tuple[Any, ...]:
        kind = draw.choice(("LSTM", "GRU", "SimpleRNN"))
        return made(f"keras.layers.{kind}Cell", **_inner(draw, kind))

    flags = _flags(draw)
    # The states of several cells come back nested.
    chosen = cell() if "return_state" in flags or draw.flag(0.5) else (cell(), cell())
    return layer(draw, x, cell=chosen, **flags)


@operator("keras.layers.ConvLSTM1D", family="recurrent", weight=0.3)
def conv_lstm_1d(draw: Draw) -> Call:
    return _conv_lstm(draw, 1)


@operator("keras.layers.ConvLSTM2D", family="recurrent", weight=0.4)
def conv_lstm_2d(draw: Draw) -> Call:
    return _conv_lstm(draw, 2)


def _conv_lstm(draw: Draw, spatial: int) -> Call:
    x = operand(
        draw, (spatial + 3,), dtypes=("float32",), largest=512, limit=100.0, where=lambda x: x.shape[1] <= _STEPS
    )
    flags = _flags(draw)
    flags.pop("unroll", None)
    kwargs: dict[str, Any] = {"filters": draw.integer(1, 3), "kernel_size": draw.integer(1, min(3, *x.shape[2:-1], 3))}
    if draw.flag():
        kwargs["padding"] = "same"
    if draw.flag(0.2):
        kwargs["strides"] = 2
    if draw.flag(0.3):
        kwargs["activation"] = draw.choice(GATES)
    if draw.flag(0.3):
        kwargs["recurrent_activation"] = draw.choice(GATES)
    if draw.flag(0.25):
        kwargs["use_bias"] = False
    return layer(draw, x, **kwargs, **flags)


@operator("keras.layers.TimeDistributed", family="linear", weight=0.8)
def time_distributed(draw: Draw) -> Call:
    x = operand(draw, (3, 4, 5), dtypes=("float32",), largest=512, where=lambda x: x.shape[1] <= _STEPS)
    options = [made("keras.layers.Dense", units=draw.integer(1, 4)), made("keras.layers.LayerNormalization")]
    if x.rank == 5:
        options.append(made("keras.layers.Conv2D", filters=draw.integer(1, 3), kernel_size=1))
        options.append(made("keras.layers.GlobalAveragePooling2D"))
    if x.rank == 4:
        options.append(made("keras.layers.Conv1D", filters=draw.integer(1, 3), kernel_size=2, padding="same"))
        options.append(made("keras.layers.Flatten"))
    return layer(draw, x, layer=draw.choice(options))
