"""Words that a frontend has no operator for, in several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from generators.handles import Handle

if TYPE_CHECKING:
    from generators.motifs.builder import Builder


def _expm1(m: Builder, x: Handle) -> Handle:
    return m.op("sub", m.op("exp", x), 1.0)


def _log1p(m: Builder, x: Handle) -> Handle:
    return m.op("log", m.op("add", x, 1.0))


def _relu6(m: Builder, x: Handle) -> Handle:
    if m.draw.flag(0.3):
        return m.op("minimum", m.op("relu", x), 6.0)
    return m.op("clip", x, low=0.0, high=6.0)


def _rsqrt(m: Builder, x: Handle) -> Handle:
    return m.op("reciprocal", m.op("sqrt", x))


def _silu(m: Builder, x: Handle) -> Handle:
    return m.op("mul", x, m.op("sigmoid", x))


def _square(m: Builder, x: Handle) -> Handle:
    return m.op("mul", x, x) if m.draw.flag() else m.op("pow", x, 2.0)


EXPANSIONS: Mapping[str, Callable[..., Any]] = {
    "expm1": _expm1,
    "log1p": _log1p,
    "relu6": _relu6,
    "rsqrt": _rsqrt,
    "silu": _silu,
    "square": _square,
}
