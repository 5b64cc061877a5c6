"""Normalisations, as they are in evaluation: running statistics are never updated."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.torch.common import some
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
F = "torch.nn.functional."
_EPSILONS = (1e-5, 1e-3, 0.1, 1e-12)


def _affine(draw: Draw, shape: tuple[int, ...], dtype: str, *, bias: bool = True) -> dict[str, Any]:
    """``weight`` and ``bias`` of that shape, either or both or none of them."""
    names = ("weight", "bias") if bias else ("weight",)
    return {
        name: draw.tensor(shape, dtype, constant=True if draw.flag(0.7) else None) for name in names if draw.flag(0.65)
    }


@operator(F + "batch_norm", family="normalization", weight=1.5)
def batch_norm(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(2, 6), minimum=1)
    shape = (x.shape[1],)
    mean = draw.tensor(shape, x.dtype, constant=True)
    variance = draw.tensor(shape, x.dtype, "fractions", constant=True)
    return draw.call(
        x, mean, variance, **_affine(draw, shape, x.dtype), training=False, **some(draw, eps=draw.choice(_EPSILONS))
    )


@operator(F + "layer_norm", F + "rms_norm", family="normalization", weight=1.5)
def layer_norm(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 6), minimum=1, where=lambda x: x.shape[-1] > 1)
    count = 1 if draw.flag(0.6) else draw.integer(1, x.rank)
    shape = x.shape[x.rank - count :]
    affine = _affine(draw, shape, x.dtype, bias=draw.target.endswith("layer_norm"))
    return draw.call(x, shape, **affine, **some(draw, eps=draw.choice(_EPSILONS)))


@operator(F + "group_norm", family="normalization", weight=1.2)
def group_norm(draw: Draw) -> Call:
    def fits(x: Handle) -> bool:
        return x.size > x.shape[0] and x.shape[1] > 0

    x = draw.value(dtypes=FLOATING, ranks=range(2, 6), minimum=1, where=fits)
    channels = x.shape[1]
    groups = draw.choice([count for count in range(1, channels + 1) if channels % count == 0])
    if x.size == x.shape[0] * groups:  # one element a group: nothing but zeros come out
        groups = 1
    return draw.call(x, groups, **_affine(draw, (channels,), x.dtype), **some(draw, eps=draw.choice(_EPSILONS)))


@operator(F + "instance_norm", family="normalization")
def instance_norm(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=(3, 4, 5), minimum=1, where=lambda x: x.size > x.shape[0] * x.shape[1])
    shape = (x.shape[1],)
    options: dict[str, Any] = _affine(draw, shape, x.dtype)
    if draw.flag(0.25):
        options["running_mean"] = draw.tensor(shape, x.dtype, constant=True)
        options["running_var"] = draw.tensor(shape, x.dtype, "fractions", constant=True)
        options["use_input_stats"] = False
    return draw.call(x, **options, **some(draw, eps=draw.choice(_EPSILONS)))


@operator(F + "local_response_norm", family="normalization", weight=0.6)
def local_response_norm(draw: Draw) -> Call:
    def fits(x: Handle) -> bool:  # beyond rank 3 it views its operand and pools it in three dimensions
        return x.rank == 3 or (x.dtype in ("float32", "float64") and bool(x.native.is_contiguous()))

    x = draw.value(dtypes=FLOATING, ranks=(3, 4, 5), minimum=1, where=fits)
    options = {
        "alpha": draw.choice((1e-4, 0.1, 1.0)),
        "beta": draw.choice((0.75, 0.5, 1.0)),
        "k": draw.choice((1.0, 2.0)),
    }
    return draw.call(x, draw.integer(1, 5), **some(draw, **options))
