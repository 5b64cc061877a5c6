"""Products of vectors, matrices and tensors, distances, and attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import FLOATING, INTEGRAL
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, REAL, complex_too, product
from generators.operators.torch.registry import REGISTRY
from generators.selectors import mask

operator = REGISTRY.operator
F = "torch.nn.functional."


def _numbers(draw: Draw) -> tuple[str, ...]:
    """Floats mostly, integers seldom, complex ones when at hand."""
    return tuple(complex_too(draw, FLOATING if draw.flag(0.88) else INTEGRAL))


def _factor(draw: Draw, shape: tuple[int, ...], dtype: str) -> Handle:
    """The other operand of a product: a constant (a weight) half of the time."""
    return draw.tensor(shape, dtype, constant=True if draw.flag() else None)


def _scales(draw: Draw, x: Handle) -> dict[str, Any]:
    """``beta`` and ``alpha`` sometimes, whole for integers. A beta of 0 ignores the addend, NaN included."""
    numbers = (2, -1, 3, 0, 1) if x.dtype in INTEGRAL else (0.5, 2, -1.5, 0, 1)
    return {name: draw.choice(numbers) for name in ("beta", "alpha") if draw.flag(0.6)}


@operator("torch.matmul", family="linear", weight=2)
def matmul(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=range(1, 6), minimum=0 if draw.flag(0.1) else 1)
    inner = a.shape[-1]
    rank = draw.integer(1, 5)
    columns = draw.integer(1, 5)
    if rank == 1:
        shape: tuple[int, ...] = (inner,)
    else:
        batch = draw.broadcast_shape(a.shape[:-2])[-(rank - 2) :] if rank > 2 else ()
        shape = (*batch, inner, columns)
    if product(np.broadcast_shapes(shape[:-2], a.shape[:-2])) * 64 > MAX_ELEMENTS * 2:
        shape = shape[-2:]
    b = _factor(draw, shape, a.dtype)
    if a.rank > 1 and draw.flag(0.3) and a.shape[-2] == inner:
        return draw.call(b, a) if len(shape) > 1 and columns == inner else draw.call(a, b)
    return draw.call(a, b)


@operator("torch.mm", family="linear", weight=0.8)
def mm(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=(2,))
    return draw.call(a, _factor(draw, (a.shape[1], draw.integer(1, 6)), a.dtype))


@operator("torch.bmm", family="linear", weight=0.8)
def bmm(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=(3,))
    return draw.call(a, _factor(draw, (a.shape[0], a.shape[2], draw.integer(1, 6)), a.dtype))


@operator("torch.mv", family="linear", weight=0.5)
def mv(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=(2,))
    return draw.call(a, _factor(draw, (a.shape[1],), a.dtype))


@operator("torch.dot", "torch.vdot", family="linear", weight=0.4)
def dot(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=(1,))
    return draw.call(a, _factor(draw, a.shape, a.dtype))


@operator("torch.outer", family="linear", rounding=Rounding.BASIC, weight=0.5)
def outer(draw: Draw) -> Call:
    a = draw.value(dtypes=complex_too(draw, ANY), ranks=(1,))
    return draw.call(a, draw.tensor((draw.integer(1, 5),), a.dtype))


@operator("torch.kron", family="linear", rounding=Rounding.BASIC, weight=0.4)
def kron(draw: Draw) -> Call:
    def fits(x: Handle) -> bool:
        return x.size <= 256 and bool(x.native.is_contiguous())  # it views its operands

    a = draw.value(dtypes=complex_too(draw, ANY), ranks=(1, 2, 3), where=fits)
    shape = (draw.integer(1, 5),) if draw.flag() else (2, draw.integer(1, 3))
    return draw.call(a, draw.tensor(shape, a.dtype, constant=True))


@operator("torch.inner", family="linear", weight=0.4)
def inner(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=(1, 2, 3))
    shape = (*(draw.integer(1, 4) for _ in range(draw.integer(0, 2))), a.shape[-1])
    return draw.call(a, _factor(draw, shape, a.dtype))


@operator("torch.addmm", family="linear", weight=1.2)
def addmm(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=(2,))
    columns = draw.integer(1, 6)
    b = _factor(draw, (a.shape[1], columns), a.dtype)
    return draw.call(_addend(draw, (a.shape[0], columns), a.dtype), a, b, **_scales(draw, a))


def _addend(draw: Draw, shape: tuple[int, ...], dtype: str) -> Handle:
    """A value that broadcasts to exactly that shape."""
    fraction = draw.choices.fraction()
    if fraction < 0.3:
        shape = shape[-1:]
    elif fraction < 0.5:
        shape = tuple(1 if draw.flag() else n for n in shape)
    elif fraction < 0.55:
        shape = ()
    return draw.tensor(shape, dtype)


@operator("torch.baddbmm", "torch.addbmm", family="linear", weight=0.6)
def baddbmm(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=(3,), minimum=1)
    columns = draw.integer(1, 5)
    b = _factor(draw, (a.shape[0], a.shape[2], columns), a.dtype)
    result = (a.shape[0], a.shape[1], columns)
    addend = _addend(draw, result if draw.target == "torch.baddbmm" else result[1:], a.dtype)
    return draw.call(addend, a, b, **_scales(draw, a))


@operator("torch.addmv", "torch.addr", family="linear", weight=0.4)
def addmv(draw: Draw) -> Call:
    if draw.target == "torch.addr":
        a = draw.value(dtypes=_numbers(draw), ranks=(1,))
        b = draw.tensor((draw.integer(1, 5),), a.dtype)
        return draw.call(_addend(draw, (a.shape[0], b.shape[0]), a.dtype), a, b, **_scales(draw, a))
    a = draw.value(dtypes=_numbers(draw), ranks=(2,))
    b = _factor(draw, (a.shape[1],), a.dtype)
    addend = draw.tensor(a.shape[:1] if draw.flag(0.7) else (1,), a.dtype)
    return draw.call(addend, a, b, **_scales(draw, a))


@operator(F + "linear", family="linear", weight=1.8)
def linear(draw: Draw) -> Call:
    x = draw.value(dtypes=_numbers(draw), ranks=range(1, 6))
    features = draw.integer(1, 6)
    if draw.flag(0.07):  # a vector as weight: no output dimension
        return draw.call(x, draw.tensor((x.shape[-1],), x.dtype))
    weight = draw.tensor((features, x.shape[-1]), x.dtype, constant=True if draw.flag(0.8) else None)
    if draw.flag(0.35):
        return draw.call(x, weight)
    return draw.call(x, weight, draw.tensor((features,), x.dtype, constant=True if draw.flag(0.7) else None))


@operator(F + "bilinear", family="linear", weight=0.4)
def bilinear(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 5), minimum=1)
    y = draw.tensor((*x.shape[:-1], draw.integer(1, 4)), x.dtype)
    features = draw.integer(1, 3)
    weight = draw.tensor((features, x.shape[-1], y.shape[-1]), x.dtype)
    return draw.call(x, y, weight, *((draw.tensor((features,), x.dtype),) if draw.flag() else ()))


_EQUATIONS = (
    "ij,jk->ik",
    "ij,kj->ik",
    "ij,jk",
    "ij->ji",
    "ij->",
    "ij->j",
    "ii->i",
    "ii",
    "i,j->ij",
    "i,i->",
    "ij,ij->ij",
    "bij,bjk->bik",
    "bij,bkj->bik",
    "bij,jk->bki",
    "bhid,bhjd->bhij",
    "...ij,...jk->...ik",
    "...i,ij->...j",
    "i...,i...->...",
    "ijk,jil->kl",
    "ijk->kij",
    "ijk->ik",
    "bn,anm,bm->ba",
    "ij,j,jk->ik",
)


@operator("torch.einsum", family="linear", weight=1.5)
def einsum(draw: Draw) -> Call:
    equation = draw.choice(_EQUATIONS)
    terms = equation.split("->")[0].split(",")
    dtype = draw.dtype(FLOATING if draw.flag(0.9) else INTEGRAL)
    sizes: dict[str, int] = {}
    batch: tuple[int, ...] = ()
    first = terms[0].replace("...", "")
    if len(set(first)) == len(first):  # its sizes come from a value at hand
        ellipsis = "..." in terms[0]
        ranks = range(len(first), 5) if ellipsis else (len(first),)
        x = draw.value(dtypes=(dtype,), ranks=ranks, minimum=1)
        if terms[0].startswith("..."):
            batch = x.shape[: x.rank - len(first)]
            sizes = dict(zip(first, x.shape[x.rank - len(first) :], strict=True))
        elif ellipsis:
            batch = x.shape[len(first) :]
            sizes = dict(zip(first, x.shape[: len(first)], strict=True))
        else:
            sizes = dict(zip(first, x.shape, strict=True))
        operands = [x]
    else:
        size = draw.integer(1, 6)
        operands = [draw.tensor((size,) * len(first), dtype)]
    for term in terms[1:]:
        letters = term.replace("...", "")
        own = tuple(sizes.setdefault(letter, draw.integer(1, 4)) for letter in letters)
        shape = own if "..." not in term else (*batch, *own) if term.startswith("...") else (*own, *batch)
        operands.append(draw.tensor(shape, dtype))
    if product(list(sizes.values())) * product(batch) > 4 * MAX_ELEMENTS:
        draw.reject("too large a product")
    return draw.call(equation, *operands)


@operator("torch.tensordot", family="linear", weight=0.7)
def tensordot(draw: Draw) -> Call:
    a = draw.value(dtypes=_numbers(draw), ranks=range(1, 5), minimum=1)
    count = draw.integer(0 if a.size <= 64 else 1, a.rank)
    extra = tuple(draw.integer(1, 3) for _ in range(draw.integer(0, 2)))
    if draw.flag():
        return draw.call(a, draw.tensor((*a.shape[a.rank - count :], *extra), a.dtype), dims=count)
    left = draw.axes(a.rank, count, count)
    shared = [a.shape[axis] for axis in left]
    order = draw.permutation(count + len(extra))
    shape = [(*shared, *extra)[index] for index in order]
    right = [order.index(index) for index in range(count)]
    return draw.call(a, draw.tensor(shape, a.dtype), dims=(left, tuple(right)))


@operator("torch.linalg.multi_dot", family="linear", weight=0.5)
def chain(draw: Draw) -> Call:
    first = draw.value(dtypes=FLOATING, ranks=(1, 2), minimum=1)
    factors, inner = [first], first.shape[-1]
    for _ in range(draw.integer(1, 3)):
        columns = draw.integer(1, 5)
        factors.append(draw.tensor((inner, columns), first.dtype))
        inner = columns
    if draw.flag(0.2):
        factors.append(draw.tensor((inner,), first.dtype))
    return draw.call(tuple(factors))


@operator("torch.linalg.cross", family="linear", weight=0.4)
def cross(draw: Draw) -> Call:
    x = draw.value(dtypes=REAL, ranks=range(1, 5), where=lambda x: 3 in x.shape) if draw.flag(0.3) else None
    if x is None:
        x = draw.tensor((*draw.shape((0, 1, 2), minimum=1), 3), draw.dtype(REAL))
    axis = draw.choice([axis for axis, n in enumerate(x.shape) if n == 3])
    return draw.call(x, draw.like(x), dim=axis - x.rank if draw.flag() else axis)


@operator("torch.cdist", family="linear", weight=0.6)
def cdist(draw: Draw) -> Call:
    a = draw.value(dtypes=("float32", "float64"), ranks=range(2, 5), minimum=1)
    batch = a.shape[:-2] if draw.flag(0.6) else draw.broadcast_shape(a.shape[:-2])
    if product(np.broadcast_shapes(batch, a.shape[:-2])) * 48 > MAX_ELEMENTS:
        batch = a.shape[:-2]
    b = draw.tensor((*batch, draw.integer(1, 6), a.shape[-1]), a.dtype)
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    options: dict[str, Any] = {"compute_mode": draw.choice(modes)} if draw.flag(0.4) else {}
    return draw.call(a, b, p=draw.weighted({2.0: 2, 1.0: 1, 0.0: 0.2, 3.0: 1, 1.5: 1, float("inf"): 1}), **options)


@operator("torch.cosine_similarity", F + "pairwise_distance", family="linear", weight=0.6)
def similarity(draw: Draw) -> Call:
    distance = draw.target.endswith("pairwise_distance")
    x = draw.value(dtypes=FLOATING, ranks=range(1, 5), minimum=1)
    y = draw.tensor(x.shape, x.dtype)
    if y is x:
        y = draw.tensor(x.shape, x.dtype, reuse=False)
    eps = draw.choice((1e-6, 1e-8, 1e-2))
    if distance:
        order = draw.choice((2.0, 1.0, 3.0, float("inf")))
        return draw.call(x, y, p=order, eps=eps, keepdim=draw.flag())
    return draw.call(x, y, dim=draw.axis(x.rank), eps=eps)


@operator(F + "scaled_dot_product_attention", family="linear", weight=1.0)
def attention(draw: Draw) -> Call:
    # Over a width of 1 there is nothing to scale, and with one key nothing to weigh.
    least = 2 if draw.flag(0.8) else 1
    query = draw.value(dtypes=FLOATING, ranks=(2, 3, 4, 4), minimum=1, where=lambda x: x.shape[-1] >= least)
    *batch, length, width = query.shape
    grouped = query.rank == 4 and batch[1] % 2 == 0 and draw.flag(0.2)
    outer_shape = [batch[0], batch[1] // 2] if grouped else batch
    keys, out = draw.integer(least, 6), width if draw.flag(0.7) else draw.integer(1, 5)
    key = draw.tensor((*outer_shape, keys, width), query.dtype)
    value = draw.tensor((*outer_shape, keys, out), query.dtype)
    options: dict[str, Any] = {}
    fraction = draw.choices.fraction()
    if fraction < 0.3:
        options["is_causal"] = True
    elif fraction < 0.5:
        # A row of which nothing is left gives zeros.
        options["attn_mask"] = mask(draw, (length, keys), some_in_row=draw.flag(0.75))
    elif fraction < 0.7:
        options["attn_mask"] = draw.tensor((*batch, length, keys) if draw.flag(0.4) else (length, keys), query.dtype)
    if draw.flag(0.4):
        options["scale"] = draw.choice((1.0, 0.5, 0.125, 2.0, 0.3))
    if grouped:
        options["enable_gqa"] = True
    return draw.call(query, key, value, **options)
