"""Shape and layout: reshaping, permuting, expanding, repeating, taking apart and putting together."""

from __future__ import annotations

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import Symbol
from generators.operators.registry import Rounding
from generators.operators.torch.common import ANY, complex_too, product
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
EXACT = Rounding.EXACT


def _any(draw: Draw, low: int = 0, high: int = 5, minimum: int = 0) -> Handle:
    """A value of any dtype with a rank from ``low`` to ``high``."""
    return draw.value(dtypes=complex_too(draw, ANY), ranks=range(low, high + 1), minimum=minimum)


def factors(draw: Draw, size: int, *, rank: int = 5) -> tuple[int, ...]:
    """A random shape with that many elements: prime factors dealt to up to ``rank`` extents, 1 among them."""
    extents = [1] * draw.integer(0 if size == 1 else 1, rank)
    if size == 0:
        return (*(draw.integer(1, 3) for _ in extents[1:]), 0)
    rest, prime = size, 2
    while rest > 1 and extents:
        if prime * prime > rest:
            prime = rest
        if rest % prime:
            prime += 1
            continue
        rest //= prime
        extents[draw.integer(0, len(extents) - 1)] *= prime
    return tuple(extents)


def reshaped(draw: Draw, x: Handle) -> tuple[int, ...]:
    """A shape to which ``x`` can be reshaped, -1 in place of one extent half of the time."""
    shape = list(factors(draw, x.size))
    if draw.flag(0.25) and x.rank > 1:  # two neighbours merged, the commonest reshape of all
        at = draw.integer(0, x.rank - 2)
        shape = [*x.shape[:at], x.shape[at] * x.shape[at + 1], *x.shape[at + 2 :]]
    if shape and draw.flag():
        at = draw.integer(0, len(shape) - 1)
        if product([n for index, n in enumerate(shape) if index != at]) > 0:
            shape[at] = -1
    return tuple(shape)


@operator("torch.reshape", "torch.Tensor.reshape", family="shape", rounding=EXACT, weight=1.5)
def reshape(draw: Draw) -> Call:
    x = _any(draw)
    return draw.call(x, reshaped(draw, x))


@operator("torch.Tensor.view", family="shape", rounding=EXACT)
def view(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), where=lambda x: bool(x.native.is_contiguous()))
    return draw.call(x, *reshaped(draw, x) or ((),))


@operator("torch.Tensor.view_as", "torch.Tensor.reshape_as", family="shape", rounding=EXACT, weight=0.3)
def reshape_as(draw: Draw) -> Call:
    x = draw.value(where=lambda x: bool(x.native.is_contiguous()))
    return draw.call(x, draw.tensor(factors(draw, x.size), ANY))


@operator("torch.flatten", family="shape", rounding=EXACT)
def flatten(draw: Draw) -> Call:
    x = _any(draw)
    if draw.flag(0.3):
        return draw.call(x)
    rank = max(x.rank, 1)
    start = draw.integer(0, rank - 1)
    end = draw.integer(start, rank - 1)
    return draw.call(x, start_dim=start - rank if draw.flag(0.3) else start, end_dim=end - rank if draw.flag() else end)


@operator("torch.unflatten", family="shape", rounding=EXACT)
def unflatten(draw: Draw) -> Call:
    x = _any(draw, 1, 4, minimum=1)
    axis = draw.axis(x.rank)
    sizes = list(factors(draw, x.shape[axis], rank=3)) or [1]
    if draw.flag(0.4):
        sizes[draw.integer(0, len(sizes) - 1)] = -1
    return draw.call(x, axis, tuple(sizes))


@operator("torch.squeeze", family="shape", rounding=EXACT)
def squeeze(draw: Draw) -> Call:
    x = _any(draw)
    if x.rank == 0 or draw.flag(0.25):
        return draw.call(x)
    return draw.call(x, draw.axis(x.rank) if draw.flag() else draw.axes(x.rank))


@operator("torch.unsqueeze", family="shape", rounding=EXACT)
def unsqueeze(draw: Draw) -> Call:
    x = _any(draw, 0, 4)
    return draw.call(x, draw.axis(x.rank + 1))


@operator("torch.Tensor.expand", "torch.broadcast_to", "torch.Tensor.expand_as", family="shape", rounding=EXACT)
def expand(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), where=lambda x: (x.rank < 5 or 1 in x.shape) and x.size > 1)
    shape = [draw.integer(1, 4) if n == 1 else n for n in x.shape]
    leading = (
        [draw.integer(1, 3) for _ in range(draw.integer(0 if 1 in x.shape else 1, min(2, 5 - x.rank)))]
        if (x.rank < 5)
        else []
    )
    if product([*leading, *shape]) > MAX_ELEMENTS:
        draw.reject("too many elements")
    if draw.target.endswith("_as"):
        return draw.call(x, draw.tensor((*leading, *shape), ANY))
    if draw.target == "torch.Tensor.expand":
        kept = [-1 if draw.flag(0.4) else n for n in x.shape] if 1 not in x.shape else shape
        return draw.call(x, *leading, *kept) if leading or kept else draw.call(x, ())
    return draw.call(x, (*leading, *shape))


@operator("torch.broadcast_tensors", family="shape", rounding=EXACT, weight=0.5)
def broadcast_tensors(draw: Draw) -> Call:
    x = draw.value(where=lambda x: x.size > 1)
    y = draw.broadcastable(x, ANY)
    if y.size == 1:  # its broadcast would be nothing but one element repeated
        y = draw.tensor(x.shape[-1:], ANY)
    return draw.call(x, y) if draw.flag() else draw.call(y, x, x)


@operator("torch.permute", "torch.Tensor.permute", family="shape", rounding=EXACT, weight=1.5)
def permute(draw: Draw) -> Call:
    x = _any(draw, 2)
    return draw.call(x, tuple(axis - x.rank if draw.flag(0.3) else axis for axis in draw.permutation(x.rank)))


@operator("torch.transpose", "torch.swapaxes", family="shape", rounding=EXACT)
def transpose(draw: Draw) -> Call:
    x = _any(draw, 2)
    return draw.call(x, *draw.axes(x.rank, 2, 2))


@operator("torch.t", "torch.adjoint", family="shape", rounding=EXACT, weight=0.3)
def matrix_transpose(draw: Draw) -> Call:
    return draw.call(_any(draw, 2, 2))


@operator("torch.movedim", family="shape", rounding=EXACT)
def movedim(draw: Draw) -> Call:
    x = _any(draw, 2)
    if draw.flag():
        return draw.call(x, draw.axis(x.rank), draw.axis(x.rank))
    count = draw.integer(1, x.rank)
    return draw.call(x, draw.axes(x.rank, count, count), draw.axes(x.rank, count, count))


@operator("torch.flip", family="shape", rounding=EXACT)
def flip(draw: Draw) -> Call:
    x = _any(draw, 1)
    return draw.call(x, draw.axes(x.rank))


@operator("torch.fliplr", "torch.flipud", family="shape", rounding=EXACT, weight=0.25)
def flip_named(draw: Draw) -> Call:
    return draw.call(_any(draw, 2))


@operator("torch.roll", family="shape", rounding=EXACT)
def roll(draw: Draw) -> Call:
    x = _any(draw, 1)
    if draw.flag(0.25):
        return draw.call(x, draw.integer(-5, 5))
    axes = draw.axes(x.rank)
    if len(axes) == 1:
        return draw.call(x, draw.integer(-9, 9), axes[0])
    return draw.call(x, tuple(draw.integer(-9, 9) for _ in axes), axes)


@operator("torch.rot90", family="shape", rounding=EXACT, weight=0.6)
def rot90(draw: Draw) -> Call:
    x = _any(draw, 2)
    return draw.call(x, draw.integer(-3, 5), draw.axes(x.rank, 2, 2))


@operator("torch.Tensor.repeat", "torch.tile", family="shape", rounding=EXACT)
def repeat(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(5), where=lambda x: x.size <= MAX_ELEMENTS // 8)
    more = draw.integer(0, 1)
    counts = [draw.weighted({1: 4, 2: 4, 3: 1}) for _ in range(x.rank + more)]
    if draw.target == "torch.tile" and len(counts) > 1 and draw.flag(0.3):
        counts = counts[1:]  # fewer counts than dimensions: they belong to the last ones
    if product(counts) * x.size > MAX_ELEMENTS:
        draw.reject("too many elements")
    if not counts:
        counts = [draw.integer(1, 3)]
    return draw.call(x, tuple(counts))


@operator("torch.repeat_interleave", family="shape", rounding=EXACT)
def repeat_interleave(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(1, 5), where=lambda x: x.size <= MAX_ELEMENTS // 4)
    if draw.flag(0.2):
        return draw.call(x, draw.integer(1, 3))
    axis = draw.axis(x.rank)
    if draw.flag(0.7):
        return draw.call(x, draw.integer(1, 3), dim=axis)
    counts = draw.indices((x.shape[axis],), 0, 3)
    # With output_size the shape of the result does not depend on data.
    total = int(counts.array.sum())
    draw.require(counts, lambda counts: counts.array.sum() == total)
    return draw.call(x, counts, dim=axis, output_size=total)


@operator("torch.Tensor.contiguous", "torch.clone", family="shape", rounding=EXACT, weight=0.4)
def contiguous(draw: Draw) -> Call:
    x = _any(draw)
    if x.rank == 4 and draw.flag():
        return draw.call(x, memory_format=Symbol("torch.channels_last"))
    return draw.call(x)


@operator("torch.cat", family="joining", rounding=EXACT, weight=1.5)
def cat(draw: Draw) -> Call:
    x = _any(draw, 1)
    axis = draw.axis(x.rank)
    parts = [x]
    for _ in range(draw.integer(1, 3)):
        shape = list(x.shape)
        shape[axis] = draw.integer(0 if draw.flag(0.1) else 1, 4)
        dtypes = ANY if draw.flag(0.15) else x.dtype
        parts.append(draw.tensor(x.shape if draw.flag(0.3) else shape, dtypes))
    order = draw.permutation(len(parts))
    if sum(part.size for part in parts) > MAX_ELEMENTS:
        draw.reject("too many elements")
    return draw.call(tuple(parts[index] for index in order), dim=axis)


@operator("torch.stack", family="joining", rounding=EXACT)
def stack(draw: Draw) -> Call:
    x = _any(draw, 0, 4)
    parts = (x, *(draw.tensor(x.shape, ANY if draw.flag(0.1) else x.dtype) for _ in range(draw.integer(0, 2))))
    if sum(part.size for part in parts) > MAX_ELEMENTS:
        draw.reject("too many elements")
    return draw.call(parts, dim=draw.axis(x.rank + 1))


@operator("torch.hstack", "torch.vstack", "torch.dstack", family="joining", rounding=EXACT, weight=0.3)
def named_stack(draw: Draw) -> Call:
    x = _any(draw, 0, 4)
    parts = (x, *(draw.tensor(x.shape, x.dtype) for _ in range(draw.integer(1, 2))))
    if sum(part.size for part in parts) > MAX_ELEMENTS:
        draw.reject("too many elements")
    return draw.call(parts)


@operator("torch.split", family="joining", rounding=EXACT)
def split(draw: Draw) -> Call:
    x = _any(draw, 1, minimum=1)
    axis = draw.axis(x.rank)
    n = x.shape[axis]
    if draw.flag(0.4):
        return draw.call(x, draw.integer((n + 3) // 4, n), dim=axis)
    return draw.call(x, _sections(draw, n), dim=axis)


def _sections(draw: Draw, n: int) -> tuple[int, ...]:
    """Up to four parts, empty ones allowed, that add up to ``n``."""
    parts: list[int] = []
    while n > 0 and len(parts) < 3:
        parts.append(draw.integer(0 if draw.flag(0.05) else 1, n))
        n -= parts[-1]
    return (*parts, n) if n or not parts else tuple(parts)


@operator("torch.chunk", family="joining", rounding=EXACT)
def chunk(draw: Draw) -> Call:
    x = _any(draw, 1)
    return draw.call(x, draw.integer(1, 5), dim=draw.axis(x.rank))


@operator("torch.tensor_split", family="joining", rounding=EXACT, weight=0.6)
def tensor_split(draw: Draw) -> Call:
    x = _any(draw, 1)
    axis = draw.axis(x.rank)
    if draw.flag(0.4):
        return draw.call(x, draw.integer(1, 4), dim=axis)
    n = x.shape[axis]
    return draw.call(x, tuple(sorted(draw.integer(0, n) for _ in range(draw.integer(1, 3)))), dim=axis)


@operator("torch.unbind", family="joining", rounding=EXACT, weight=0.6)
def unbind(draw: Draw) -> Call:
    x = draw.value(dtypes=complex_too(draw, ANY), ranks=range(1, 6), where=lambda x: any(0 < n < 5 for n in x.shape))
    axis = draw.choice([axis for axis, n in enumerate(x.shape) if 0 < n < 5])
    return draw.call(x, axis - x.rank if draw.flag() else axis)


@operator("torch.Tensor.unfold", family="shape", rounding=EXACT, weight=0.6)
def unfold(draw: Draw) -> Call:
    x = _any(draw, 1, 4, minimum=1)
    axis = draw.axis(x.rank)
    return draw.call(x, axis, draw.integer(1, x.shape[axis]), draw.integer(1, 3))


@operator("torch.atleast_2d", "torch.ravel", family="shape", rounding=EXACT, weight=0.3)
def small_ranks(draw: Draw) -> Call:
    return draw.call(_any(draw))
