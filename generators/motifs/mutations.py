"""Near misses: what is changed in a motif, so that it is not quite what a fusion looks for.

``BEFORE`` change an operator that is about to be executed: given the builder, the word, its operands, their role and
the attributes, they return these anew, or None where they do not apply. ``AFTER`` change a result: given the builder,
the value and a function that computes it once more, they return the value that stands for it from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from generators.draw import Draw, Handle
from generators.graph import DTYPES, FLOATING, Array
from generators.motifs.vocabulary import ALONG, BINARY, REDUCTIONS, Operand

if TYPE_CHECKING:
    from generators.motifs.builder import Builder

Changed: TypeAlias = "tuple[str, list[Operand], dict[str, Any]] | None"
Before: TypeAlias = "Callable[[Builder, str, list[Operand], str, dict[str, Any]], Changed]"
After: TypeAlias = "Callable[[Builder, Handle, Callable[[], Handle]], Handle]"


# -- of operators ------------------------------------------------------------------------------------------------


def _exponent(m: Builder, word: str, operands: list[Operand], role: str, attributes: dict[str, Any]) -> Changed:
    if word == "square" or (word == "mul" and operands[0] is operands[1]):
        return "pow", [operands[0], m.draw.choice((3, 3.0, 2.5, 1.0, 4, 0.0))], {}
    if word == "sqrt":
        return "pow", [operands[0], m.draw.choice((0.25, 0.5000001, 1 / 3, -0.5))], {}
    if word == "rsqrt":
        return "pow", [operands[0], m.draw.choice((-0.25, -0.5, -1.0))], {}
    if word == "pow" and not isinstance(operands[1], Handle):
        others = [number for number in (3, 3.0, 2.5, 1.0, 0.5, 2, -1.0) if number != operands[1]]
        return word, [operands[0], m.draw.choice(others)], attributes
    return None


def _axis(m: Builder, word: str, operands: list[Operand], role: str, attributes: dict[str, Any]) -> Changed:
    first = operands[0]
    if not isinstance(first, Handle) or first.rank < 2:
        return None
    if "axes" in attributes:
        other = m.draw.axes(first.rank, 1, 2)
        same = {axis % first.rank for axis in other} == {axis % first.rank for axis in attributes["axes"]}
        return None if same else (word, operands, {**attributes, "axes": other})
    if "axis" in attributes and word != "split":
        axis = m.draw.axis(first.rank)
        same = axis % first.rank == attributes["axis"] % first.rank
        return None if same else (word, operands, {**attributes, "axis": axis})
    return None


def _keepdims(m: Builder, word: str, operands: list[Operand], role: str, attributes: dict[str, Any]) -> Changed:
    if "keepdims" not in attributes:
        return None
    return word, operands, {**attributes, "keepdims": not attributes["keepdims"]}


def _epsilon(m: Builder, word: str, operands: list[Operand], role: str, attributes: dict[str, Any]) -> Changed:
    other = m.draw.choice((0.0, 1e-12, 1e-8, 1e-3, 0.1, 1.0))
    if role == "epsilon":
        # Inside of the root or outside, added or taken as the least: people write all of these.
        return m.draw.choice((word, word, "maximum")), [operands[0], other], attributes
    return (word, operands, {**attributes, "epsilon": other}) if "epsilon" in attributes else None


def _number(m: Builder, word: str, operands: list[Operand], role: str, attributes: dict[str, Any]) -> Changed:
    """A literal by a little: 0.5 to 0.51, the root of two to 1.41."""
    places = [place for place, value in enumerate(operands) if isinstance(value, float) and value]
    if role == "epsilon" or word == "pow" or not places:
        return None
    place = m.draw.choice(places)
    number = float(operands[place])  # type: ignore[arg-type]
    other = m.draw.choice((float(f"{number:.2g}"), number * 1.0001, -number, number * 2, float(round(number)) or 1.0))
    if other == number:
        other = number * 1.0001
    return word, [*operands[:place], other, *operands[place + 1 :]], attributes


def _swap(m: Builder, word: str, operands: list[Operand], role: str, attributes: dict[str, Any]) -> Changed:
    if word not in BINARY or operands[0] is operands[1]:
        return None
    return word, [operands[1], operands[0]], attributes


def _operand_cast(m: Builder, word: str, operands: list[Operand], role: str, attributes: dict[str, Any]) -> Changed:
    """The operator in another precision, as mixed precision has it: all operands are cast."""
    dtypes = {value.dtype for value in operands if isinstance(value, Handle)}
    if len(dtypes) != 1 or not dtypes <= set(FLOATING):
        return None
    other = m.draw.choice([name for name in FLOATING if name not in dtypes])
    cast: list[Operand] = []
    for value in operands:
        cast.append(m.cast_aside(value, other) if isinstance(value, Handle) else value)
    return word, cast, attributes


BEFORE: Mapping[str, Before] = {
    "exponent": _exponent,
    "axis": _axis,
    "keepdims": _keepdims,
    "epsilon": _epsilon,
    "number": _number,
    "operands swapped": _swap,
    "operands cast": _operand_cast,
}


# -- of parameters -----------------------------------------------------------------------------------------------

PARAMETER = ("parameter shape", "parameter dtype", "parameter as input")


def other_shape(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Another shape of a parameter that broadcasts: a scalar, one element, with an axis of 1 before or behind."""
    options = [(), (1,), (1, *shape), (*shape, 1), (1,) * len(shape), shape[:-1], shape[::-1]]
    return draw.choice([option for option in options if option != shape])


def as_dtype(
    elements: Callable[[np.random.Generator, tuple[int, ...], str], Array],
) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """The same elements, rounded to the dtype that is asked for."""
    return lambda rng, shape, dtype: np.asarray(elements(rng, shape, dtype).astype(DTYPES[dtype]))


# -- of results --------------------------------------------------------------------------------------------------


def _slipped(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    return m.op(m.draw.choice(m.words.slipped), x)


def _used_elsewhere(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    """By an operator that the motif knows nothing of; its result is an output unless something else uses it."""
    if m.draw.flag():
        m.op(m.draw.choice(m.words.slipped), x)
    else:
        m.op("mul", x, 2.0)
    return x


def _also_output(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    m.show(x)
    return x


def cast_chain(m: Builder, x: Handle, again: Callable[[], Handle] | None = None) -> Handle:
    """To one to three other floating dtypes, the same one among them, and mostly back. Floats are not cast to
    integers, which is undefined for most of them."""
    y = x
    for _ in range(m.draw.integer(1, 3)):
        limit = y.dtype if y.dtype in FLOATING else x.dtype
        y = m.op("cast", y, dtype=m.draw.choice((*FLOATING, limit)))
    return m.op("cast", y, dtype=x.dtype) if m.draw.flag(0.85) or y.dtype != x.dtype else y


def quantize_pair(m: Builder, x: Handle, again: Callable[[], Handle] | None = None) -> Handle:
    """``(clip(round(x / s) + z) - z) * s``, the zero point being left out half of the time."""
    if m.words.knows("quantize") and m.draw.flag(0.8):
        return _linear_pair(m, x)
    scale = m.draw.choice((0.5, 0.25, 0.1, 0.05, 0.0123, 1.0))
    low, high = m.draw.choice(((-128.0, 127.0), (0.0, 255.0), (-8.0, 7.0), (-127.0, 127.0)))
    point = m.draw.choice((0.0, 128.0, 3.0)) if low == 0 or m.draw.flag(0.3) else 0.0
    y = m.op("div", x, scale) if m.draw.flag() else m.op("mul", x, 1.0 / scale)
    y = m.op("round", y)
    if point:
        y = m.op("add", y, point)
    y = m.op("clip", y, low=low, high=high)
    if point:
        y = m.op("sub", y, point)
    return m.op("mul", y, scale)


def _linear_pair(m: Builder, x: Handle) -> Handle:
    """Operators of their own, with a scale and a zero point: the same for both, mostly, and for all of the tensor or
    each place of an axis."""
    axis = m.draw.axis(x.rank) if x.rank and m.draw.flag(0.3) else None
    shape = () if axis is None else (x.shape[axis],)
    kind = m.draw.choice(("int8", "uint8"))
    point = m.draw.choice((0, 128, 3) if kind == "uint8" else (0, 0, 5, -7))
    steps = m.draw.choice((0.5, 0.25, 0.1, 0.0123))
    scale = m.draw.tensor(shape, x.dtype, filled(steps), constant=True)
    zero = m.draw.tensor(shape, kind, filled(point), constant=True)
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    y = m.op("quantize", x, scale, zero, **attributes)
    if m.draw.flag(0.15):  # another scale, and nothing cancels
        scale = m.draw.tensor(shape, x.dtype, filled(steps * m.draw.choice((2.0, 1.001))), constant=True)
    return m.op("dequantize", y, scale, zero, **attributes)


def _double_negation(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    if m.draw.flag(0.7):
        return m.op("neg", m.op("neg", x))
    return m.op("mul", m.op("mul", x, -1.0), -1.0)


def _double_reciprocal(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    if m.draw.flag(0.6):
        return m.op("reciprocal", m.op("reciprocal", x))
    return m.op("div", 1.0, m.op("div", 1.0, x))


def neutral(m: Builder, x: Handle, again: Callable[[], Handle] | None = None) -> Handle:
    """An operator that changes nothing, or next to nothing (adding 0 makes 0 of -0)."""
    word, number = m.draw.choice(
        (("mul", 1.0), ("add", 0.0), ("add", -0.0), ("sub", 0.0), ("div", 1.0), ("pow", 1.0), ("mul", 1.0000001))
    )
    if m.draw.flag(0.6):
        return m.op(word, x, number)
    if not m.words.constants:
        return m.op(word, x, number)
    # The same with a tensor: what folds numbers need not fold those, and its shape may make more of the result.
    shape: Sequence[int] = m.draw.choice(((), (1,), (1,) * (x.rank + 1), x.shape))
    other = m.draw.tensor(shape, x.dtype, filled(number), constant=True)
    return m.op(word, x, other)


def filled(number: float) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """Elements for :meth:`Draw.tensor`: all that number."""
    return lambda rng, shape, dtype: np.full(shape, number, DTYPES[dtype])


def _own_difference(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    """``x + (x - x)``, or ``x * (x / x)`` where nothing is zero: not to be folded where it is not finite."""
    if m.draw.flag(0.3) and bool(x.array.all()):
        return m.op("mul", x, m.op("div", x, x))
    return m.op("add", x, m.op("sub", x, x))


def _reshape_pair(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    if m.words.batch_first:
        between: Sequence[int] = m.draw.choice(((*x.shape, 1), (*x.shape[:1], -1), (x.shape[0], 1, *x.shape[1:])))
    else:
        between = m.draw.choice(((-1,), (1, *x.shape), (*x.shape, 1), (x.size,), (*x.shape[:1], -1)))
    return m.op("reshape", m.op("reshape", x, shape=tuple(between)), shape=x.shape)


def _transpose_pair(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    order = m.draw.permutation(x.rank)
    if m.words.batch_first:
        order = (0, *(axis for axis in order if axis))
    back = inverse(order) if m.draw.flag(0.7) else order
    if tuple(x.shape[order[axis]] for axis in back) != x.shape:
        back = inverse(order)
    return m.op("transpose", m.op("transpose", x, order=order), order=back)


def _computed_twice(m: Builder, x: Handle, again: Callable[[], Handle]) -> Handle:
    y = again()
    return m.op("maximum", x, y) if m.draw.flag() else y


AFTER: Mapping[str, After] = {
    "operator slipped in": _slipped,
    "used elsewhere": _used_elsewhere,
    "also an output": _also_output,
    "cast chain": cast_chain,
    "quantize pair": quantize_pair,
    "double negation": _double_negation,
    "double reciprocal": _double_reciprocal,
    "neutral element": neutral,
    "own difference": _own_difference,
    "reshape pair": _reshape_pair,
    "transpose pair": _transpose_pair,
    "computed twice": _computed_twice,
}


# -- around operators --------------------------------------------------------------------------------------------


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes one."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def turns(word: str, operands: Sequence[Operand], attributes: Mapping[str, Any]) -> bool:
    """Whether the operator has an axis and one operand, so that it can be put between two transposes."""
    bearing = word in REDUCTIONS or word in ALONG or word == "split"
    return bearing and isinstance(operands[0], Handle) and operands[0].rank > 1


def sandwich(m: Builder, word: str, operands: Sequence[Operand], attributes: dict[str, Any]) -> list[Handle]:
    """The operator between a transpose and its inverse, its axis being where the transpose has put it, or, a quarter
    of the time, where it was: then it is the operator on another axis."""
    x = operands[0]
    assert isinstance(x, Handle)
    rank = x.rank
    order = m.draw.permutation(rank)
    back = inverse(order)
    moved = dict(attributes)
    if word == "split" or m.draw.flag(0.75):
        for name in ("axes", "axis"):
            if name in attributes:
                given = attributes[name]
                moved[name] = back[given % rank] if name == "axis" else tuple(back[axis % rank] for axis in given)
    results = m.several(word, m.op("transpose", x, order=order), **moved)
    return [m.op("transpose", result, order=back) if result.rank == rank else result for result in results]


#: Every kind of mutation, with its weight. Those of a motif's own arguments apply in few places, and are tried more.
KINDS: Mapping[str, float] = {
    **dict.fromkeys(BEFORE, 3.0),
    **dict.fromkeys(PARAMETER, 3.0),
    **dict.fromkeys(AFTER, 1.0),
    "transpose sandwich": 3.0,
}
