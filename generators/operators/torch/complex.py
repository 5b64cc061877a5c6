"""Complex numbers: where they come from, and what takes them apart. Their weights govern how often graphs have any."""

from __future__ import annotations

from generators.draw import Call, Draw, Handle
from generators.graph import FLOATING
from generators.operators.registry import Rounding
from generators.operators.torch.common import REAL
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
COMPLEX = ("complex64",)


def _complex(draw: Draw) -> Handle:
    """A complex value: one at hand if there is any, so that few graphs have complex inputs."""
    return draw.value(dtypes=COMPLEX)


@operator("torch.complex", family="complex", rounding=Rounding.EXACT, weight=0.15)
def make(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32",))
    return draw.call(x, draw.broadcastable(x, "float32"))


@operator("torch.polar", family="complex", weight=0.08)
def polar(draw: Draw) -> Call:
    x = draw.value(dtypes=("float32",))
    return draw.call(x, draw.broadcastable(x, "float32"))


@operator("torch.view_as_complex", family="complex", rounding=Rounding.EXACT, weight=0.08)
def view_as_complex(draw: Draw) -> Call:
    x = (
        draw.value(dtypes=("float32",), ranks=range(1, 6), where=_pairs)
        if draw.flag(0.3)
        else draw.tensor((*draw.shape(range(4)), 2), "float32", reuse=False)
    )
    if not _pairs(x):
        draw.reject("the last dimension is not two adjacent elements")
    return draw.call(x)


def _pairs(x: Handle) -> bool:
    return x.shape[-1] == 2 and bool(x.native.is_contiguous()) and x.native.stride(-1) == 1


@operator("torch.Tensor.cfloat", family="complex", rounding=Rounding.EXACT, weight=0.08)
def cfloat(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=REAL))


@operator("torch.view_as_real", family="complex", rounding=Rounding.EXACT, weight=0.1)
def view_as_real(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=COMPLEX, where=lambda x: not x.native.is_conj()))


@operator(
    "torch.real",
    "torch.imag",
    "torch.conj",
    "torch.conj_physical",
    family="complex",
    rounding=Rounding.EXACT,
    weight=0.06,
)
def parts(draw: Draw) -> Call:
    return draw.call(_complex(draw))


@operator("torch.isreal", family="complex", rounding=Rounding.EXACT, weight=0.06)
def isreal(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=COMPLEX, elements="zeros_and_signs"))


@operator("torch.angle", family="complex", weight=0.1)
def angle(draw: Draw) -> Call:
    return draw.call(draw.value(dtypes=COMPLEX if draw.flag() else FLOATING))
