"""Activations with all of their parameters, and the softmax family."""

from __future__ import annotations

from generators.draw import Call, Draw
from generators.graph import FLOATING, SIGNED, DType
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, EXP_LIMIT, REAL, axis_or_scalar, some
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
F = "torch.nn.functional."


@operator(F + "relu", F + "relu6", family="activation", rounding=Rounding.EXACT)
def rectified(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=REAL, where=lambda x: x.size < 2 or x.bounds[1] > 0))


@operator(
    F + "silu",
    F + "mish",
    F + "selu",
    F + "logsigmoid",
    F + "hardswish",
    F + "hardsigmoid",
    family="activation",
    weight=0.8,
)
def plain(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=FLOATING))


@operator(F + "softsign", F + "tanhshrink", family="activation", weight=0.6)
def of_any_number(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=REAL))


@operator(F + "gelu", family="activation", weight=1.2)
def gelu(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, **some(draw, approximate=draw.weighted({"tanh": 2.0, "none": 1.0})))


@operator(F + "elu", F + "celu", family="activation")
def exponential_linear(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, alpha=draw.choice((0.5, 1.0, 2.0, 1.673, -0.5, 0.1)))


@operator(F + "leaky_relu", family="activation", rounding=Rounding.BASIC)
def leaky_relu(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, **some(draw, negative_slope=draw.choice((0.01, 0.2, -0.5, 0.0, 1.5))))


@operator(F + "rrelu", family="activation", weight=0.4)
def rrelu(draw: Draw) -> Call:
    # Outside training the slope is the mean of the bounds: nothing random.
    lower = draw.choice((0.125, 0.0, 0.05, -0.25))
    return draw.call(
        draw.value(dtypes=FLOATING), lower=lower, upper=lower + draw.choice((0.25, 0.0, 1.0)), training=False
    )


@operator(F + "prelu", family="activation", rounding=Rounding.BASIC)
def prelu(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 6))
    channels = x.shape[1] if x.rank > 1 else 1
    return draw.call(x, draw.tensor((1 if draw.flag(0.3) else channels,), x.dtype, constant=draw.flag(0.7)))


@operator(F + "softplus", family="activation")
def softplus(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING)
    return draw.call(x, **some(draw, beta=draw.choice((0.5, 2, 1, 3.0)), threshold=draw.choice((1, 20, 0.5, 5))))


@operator(F + "threshold", family="activation", rounding=Rounding.EXACT)
def threshold(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, where=lambda x: x.size < 2 or x.bounds[1] > 0.5)
    if x.dtype in FLOATING:
        return draw.call(x, draw.choice((0.1, 0.0, -0.5, 0.5)), draw.choice((0.0, 20.0, -1.0, 0.25)))
    return draw.call(x, draw.choice((0, 1, 2)), draw.choice((0, 20, 5)))


@operator(F + "hardtanh", family="activation", rounding=Rounding.EXACT)
def hardtanh(draw: Draw) -> Call:
    if draw.flag(0.15):
        x = draw.value(dtypes=SIGNED)
        return draw.call(x, -draw.integer(0, 5), draw.integer(1, 6))
    x = draw.value(dtypes=FLOATING)
    low = draw.choice((-1.0, -0.5, 0.0, -2.0, 0.1))
    return draw.call(x, **some(draw, min_val=low if low < 1 else 0.0, max_val=draw.choice((1.0, 0.5, 2.0))))


@operator(F + "hardshrink", F + "softshrink", family="activation", rounding=Rounding.BASIC, weight=0.8)
def shrink(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, where=lambda x: x.size < 2 or not x.within(-0.5, 0.5))
    bounds = (0.5, 0.0, 0.1, 0.3)
    return draw.call(x, lambd=draw.choice(bounds)) if draw.flag(0.7) else draw.call(x)


@operator(F + "glu", family="activation")
def glu(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 6), where=lambda x: any(n % 2 == 0 for n in x.shape))
    axis = draw.choice([axis for axis, n in enumerate(x.shape) if n % 2 == 0])
    return draw.call(x, dim=axis - x.rank if draw.flag() else axis)


@operator(F + "softmax", F + "log_softmax", F + "softmin", family="activation", weight=1.2)
def softmax(draw: Draw) -> Call:
    # With dtype= integers are legal too: they are cast first.
    cast = draw.flag(0.25)
    castable = REAL if draw.target.endswith("softmin") else ANY
    x = draw.value(dtypes=castable if cast else FLOATING, where=lambda x: x.rank == 0 or max(x.shape) > 1)
    axes = [axis for axis, n in enumerate(x.shape) if n != 1] or [0]
    axis = draw.choice(axes)
    axis = axis - max(x.rank, 1) if draw.flag() else axis
    if cast:
        return draw.call(x, axis, dtype=DType(draw.dtype(FLOATING)))
    return draw.call(x, dim=axis)


@operator(F + "normalize", family="activation", weight=0.8)
def normalize(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 6), minimum=1)
    axis = axis_or_scalar(draw, x)
    return draw.call(
        x, p=draw.choice((2.0, 1.0, 3.0, 0.5, float("inf"))), dim=axis, eps=draw.choice((1e-12, 1e-3, 0.5))
    )


@operator(F + "dropout", F + "alpha_dropout", family="activation", rounding=Rounding.EXACT, weight=0.2)
def dropout(draw: Draw) -> Call:
    # Outside training the identity, which optimizers remove.
    return draw.call(draw.value(dtypes=FLOATING), p=draw.choice((0.5, 0.1, 0.0, 1.0)), training=False)


@operator("torch.special.expit", "torch.special.log_softmax", family="activation", weight=0.3)
def special(draw: Draw) -> Call:
    if draw.target.endswith("expit"):
        return draw.call(draw.value(dtypes=ANY, where=lambda x: x.within(-EXP_LIMIT["float16"], 100.0)))
    x = draw.value(dtypes=FLOATING, ranks=range(1, 6))
    return draw.call(x, draw.axis(x.rank))
