"""Activations and softmax written out by hand."""

from __future__ import annotations

import math

from generators.handles import Handle
from generators.motifs.builder import Builder
from generators.motifs.registry import motif


@motif("GELU with erf", weight=1.2)
def gelu_erf(m: Builder) -> None:
    """``0.5 x (1 + erf(x / sqrt 2))``, the factors in one of three orders."""
    x = m.value()
    if m.draw.flag(0.3):  # the bias before it, which fusions take in
        x = m.op("add", x, m.parameter(x.shape[-1:], x.dtype, apart=True))
    inner = m.op("div", x, math.sqrt(2)) if m.draw.flag() else m.op("mul", x, 1 / math.sqrt(2))
    gate = m.op("add", m.op("erf", inner), 1.0)
    way = m.draw.integer(0, 2)
    if way == 0:
        m.op("mul", m.op("mul", x, gate), 0.5)
    elif way == 1:
        m.op("mul", m.op("mul", x, 0.5), gate)
    else:
        m.op("mul", x, m.op("mul", gate, 0.5))


@motif("GELU with tanh", weight=1.2)
def gelu_tanh(m: Builder) -> None:
    """``0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³)))``."""
    x = m.value()
    way = m.draw.integer(0, 2)
    cube = m.op("pow", x, (3.0, 3)[way]) if way < 2 else m.op("mul", m.op("mul", x, x), x)
    inner = m.op("add", x, m.op("mul", cube, 0.044715))
    gate = m.op("add", m.op("tanh", m.op("mul", inner, math.sqrt(2 / math.pi))), 1.0)
    if m.draw.flag():
        m.op("mul", m.op("mul", x, 0.5), gate)
    else:
        m.op("mul", x, m.op("mul", gate, 0.5))


@motif("softmax by hand", weight=1.2)
def softmax(m: Builder) -> None:
    """With or without the greatest element subtracted; its logarithm sometimes."""
    x = m.value()
    axis = m.draw.axis(x.rank)
    if m.draw.flag(0.75):
        x = m.op("sub", x, m.op("max", x, axes=(axis,), keepdims=True))
    if m.draw.flag(0.25):
        total = m.op("sum", m.op("exp", x), axes=(axis,), keepdims=True)
        m.op("sub", x, m.op("log", total))
        return
    powers = m.op("exp", x)
    total = m.op("sum", powers, axes=(axis,), keepdims=True)
    if m.draw.flag(0.7):
        m.op("div", powers, total)
    else:
        m.op("mul", powers, m.op("reciprocal", total))


@motif("logsumexp by hand")
def logsumexp(m: Builder) -> None:
    x = m.value()
    axis = m.draw.axis(x.rank)
    keep = m.draw.flag()
    if m.draw.flag(0.3):
        m.op("log", m.op("sum", m.op("exp", x), axes=(axis,), keepdims=keep))
        return
    top = m.op("max", x, axes=(axis,), keepdims=True)
    total = m.op("sum", m.op("exp", m.op("sub", x, top)), axes=(axis,), keepdims=True)
    m.op("add", m.op("log", total), top)


def _gated(m: Builder, x: Handle, gate: Handle) -> None:
    m.op("mul", *((x, gate) if m.draw.flag() else (gate, x)))


@motif("swish by hand")
def swish(m: Builder) -> None:
    """``x sigmoid(beta x)``; the sigmoid may be written out, too."""
    x = m.value()
    inner = m.op("mul", x, m.draw.choice((1.702, 1.0, 2.0))) if m.draw.flag(0.3) else x
    if m.draw.flag(0.7):
        gate = m.op("sigmoid", inner)
    else:
        gate = m.op("div", 1.0, m.op("add", m.op("exp", m.op("neg", inner)), 1.0))
    _gated(m, x, gate)


@motif("mish by hand")
def mish(m: Builder) -> None:
    """``x tanh(softplus(x))``."""
    x = m.value()
    if m.draw.flag(0.6):
        smooth = m.op("softplus", x)
    elif m.draw.flag():
        smooth = m.op("log", m.op("add", m.op("exp", x), 1.0))
    else:
        smooth = m.op("log1p", m.op("exp", x))
    _gated(m, x, m.op("tanh", smooth))


@motif("hardswish by hand")
def hardswish(m: Builder) -> None:
    """``x relu6(x + 3) / 6``, the division anywhere."""
    x = m.value()
    moved = m.op("add", x, 3.0)
    gate = m.op("clip", moved, low=0.0, high=6.0) if m.draw.flag() else m.op("relu6", moved)
    way = m.draw.integer(0, 2)
    if way == 0:
        m.op("div", m.op("mul", x, gate), 6.0)
    elif way == 1:
        _gated(m, x, m.op("div", gate, 6.0))
    else:
        _gated(m, x, m.op("mul", gate, 1 / 6))


@motif("leaky activation by hand")
def leaky(m: Builder) -> None:
    """``max(x, slope x)``, or with a comparison and a choice; PReLU when the slope is a parameter."""
    x = m.value()
    if m.draw.flag(0.4):
        scaled = m.op("mul", x, m.parameter(x.shape[-1:], x.dtype, apart=True))
    else:
        scaled = m.op("mul", x, m.draw.choice((0.01, 0.2, 0.1, -0.5)))
    if m.draw.flag():
        m.op("maximum", x, scaled)
    else:
        m.op("where", m.op("less", x, 0.0), scaled, x)
