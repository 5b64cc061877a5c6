"""What a sampler draws from: the values at hand, fresh tensors, and every kind of argument.

A sampler is a function ``(draw: Draw) -> Call``. It looks only at what :class:`Draw` gives it and returns
``draw.call(...)`` with arguments that are legal for the values it chose, or gives up with ``draw.reject()``.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from generators import selectors
from generators.choices import Choices
from generators.frontends.base import Frontend
from generators.graph import DTYPES, FLOATING, INTEGRAL, Argument, Array, Constant, DType, Input, Ref, Slice, TensorType
from generators.handles import Call, Condition, Elements, Fresh, Handle, Profiles, Rejected
from generators.values import OWN, draw_array, effective

__all__ = [
    "ANY_DTYPE",
    "MAX_ELEMENTS",
    "Call",
    "Draw",
    "Elements",
    "Handle",
    "Profiles",
    "Rejected",
    "argument_of",
    "spread",
]

T = TypeVar("T")

ANY_DTYPE = (*FLOATING, *INTEGRAL, "bool")
_DTYPE_WEIGHTS: Mapping[str, float] = {
    "float32": 10,
    "int64": 2.5,
    "int32": 2.5,
    "float16": 1.5,
    "float64": 1.2,
    "bool": 1.5,
    "uint8": 1,
    "int8": 0.8,
    "bfloat16": 0.7,
    "int16": 0.6,
    "complex64": 0.8,
}
#: How often an operand that can be of a profile or an element type that is wanted is.
_FAVOUR = 0.4
#: How often an operand of an operator that is sought for its sake is of that profile or element type: the others are
#: anything.
_SOUGHT = 0.8
#: No tensor of a generated graph has more elements: operators are judged, not memory bandwidth.
MAX_ELEMENTS = 4096


class Draw:
    """Hands a sampler its values and arguments. One per attempted operator."""

    __slots__ = (
        "_fraction",
        "_handles",
        "_names",
        "_profiles",
        "_sought",
        "_wanted",
        "choices",
        "fresh",
        "frontend",
        "target",
    )

    def __init__(
        self,
        frontend: Frontend,
        choices: Choices,
        target: str,
        handles: Sequence[Handle],
        profiles: Profiles,
        names: Iterator[int],
        sought: tuple[str, str] | None = None,
    ) -> None:
        self.frontend = frontend
        self.choices = choices
        self.target = target
        self.fresh = Fresh()
        self._fraction = choices.fraction
        self._handles = handles
        self._profiles = profiles
        self._names = names
        #: The profile and the element type (empty for what selects) that an operand is to have, if it can.
        self._sought = sought
        #: Profiles that are to be drawn more often for operands of this operator, by element type.
        self._wanted: Mapping[str, Sequence[str]] = {}
        if profiles.wanted and target in (registry := frontend.registry()):
            self._wanted = profiles.wanted.get(registry[target].family, {})

    # -- plain arguments ---------------------------------------------------------------------------------------

    def reject(self, reason: str = "") -> NoReturn:
        """Give up on this operator for the values at hand."""
        raise Rejected(reason)

    def flag(self, probability: float = 0.5) -> bool:
        """True with the given probability."""
        return self._fraction() < probability

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high`` inclusive; rejects when there is none."""
        if high < low:
            self.reject(f"no integer from {low} to {high}")
        return self.choices.integer(low, high)

    def real(self, low: float, high: float) -> float:
        """A float between the bounds with at most 4 significant decimals, so that it prints short."""
        return float(f"{low + (high - low) * self.choices.fraction():.4g}")

    def choice(self, options: Sequence[T]) -> T:
        """One of the options; rejects when there is none."""
        if not options:
            self.reject("nothing to choose from")
        if self._sought and self._sought[1] in options and self.flag(_SOUGHT):
            # Samplers that read a schema choose among the element types that it names.
            return options[options.index(self._sought[1])]
        return self.choices.pick(options)

    def weighted(self, options: Mapping[T, float]) -> T:
        """One of the keys with probability proportional to its value."""
        if self._sought:
            for option in options:
                if option in self._sought and self.flag(_SOUGHT):
                    return option
        if selecting := self._wanted.get(""):
            found = [option for option in options if option in selecting]
            if found and self.flag(_FAVOUR):
                return self.choices.pick(found)
        cumulative = list(itertools.accumulate(options.values()))
        index = bisect.bisect(cumulative, self.choices.fraction() * cumulative[-1])
        return list(options)[min(index, len(options) - 1)]

    def sizes(self, count: int, low: int = 1, high: int = 3, *, scalar: bool = True) -> int | tuple[int, ...]:
        """``count`` integers from ``low`` to ``high``; with ``scalar``, sometimes one integer for all of them."""
        if scalar and self.flag(0.35):
            return self.integer(low, high)
        return tuple(self.integer(low, high) for _ in range(count))

    def dims(self, bounds: Sequence[int], low: int = 1) -> tuple[int, ...]:
        """One integer from ``low`` to each of the bounds; rejects when a bound is below ``low``."""
        return tuple(self.integer(low, bound) for bound in bounds)

    def axis(self, rank: int) -> int:
        """An axis of a tensor of that rank, negative half of the time; rejects rank 0."""
        if rank == 0:
            self.reject("no axis in a scalar")
        axis = self.integer(0, rank - 1)
        return axis - rank if self.flag() else axis

    def axes(self, rank: int, low: int = 1, high: int | None = None) -> tuple[int, ...]:
        """Distinct axes in any order, each negative half of the time; ``low`` to ``high`` (the rank) of them."""
        high = rank if high is None else min(high, rank)
        count = self.integer(low, high)
        chosen = self.permutation(rank)[:count]
        return tuple(axis - rank if self.flag() else axis for axis in chosen)

    def permutation(self, count: int) -> tuple[int, ...]:
        """A permutation of ``range(count)``."""
        order = list(range(count))
        for index in range(count - 1, 0, -1):
            other = self.choices.integer(0, index)
            order[index], order[other] = order[other], order[index]
        return tuple(order)

    def dtype(self, dtypes: Sequence[str] = ANY_DTYPE) -> str:
        """One of the dtypes, common ones more often."""
        if self._sought and self._sought[1] in dtypes and self.flag(_SOUGHT):
            return self._sought[1]
        cumulative = _dtype_weights(tuple(dtypes))
        index = bisect.bisect(cumulative, self.choices.fraction() * cumulative[-1])
        return dtypes[min(index, len(dtypes) - 1)]

    def scalar(self, dtype: str) -> bool | int | float:
        """A Python number of a dtype's kind: zero, one, negatives, fractions and awkward ones among them."""
        if dtype == "bool":
            return self.flag()
        if dtype == "uint8":
            return self.choice((0, 1, 2, 3, 7, 255))
        if dtype in INTEGRAL:
            return self.choice((0, 1, -1, 2, 3, -3, 5, 7, -8, 100, 127))
        if self.flag(0.4):
            return self.choice((0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -0.0, 1e-3, 3.0, 10.0, -2.5))
        return self.real(-3.0, 3.0)

    # -- shapes ------------------------------------------------------------------------------------------------

    def shape(self, ranks: Sequence[int] = range(6), *, minimum: int = 0, maximum: int = 8) -> tuple[int, ...]:
        """A random shape of one of the ranks: extents of 1 are common, 0 rare and only where ``minimum`` is 0."""
        cumulative = _rank_weights(tuple(ranks))
        index = bisect.bisect(cumulative, self.choices.fraction() * cumulative[-1])
        rank = ranks[min(index, len(ranks) - 1)]
        extents: list[int] = []
        budget = MAX_ELEMENTS // 4
        for _ in range(rank):
            fraction = self.choices.fraction()
            if fraction < 0.015 and minimum == 0:
                extent = 0
            elif fraction < 0.15 and minimum <= 1:
                extent = 1
            else:
                extent = self.choices.integer(max(minimum, 2), max(min(maximum, budget), minimum, 2))
            extents.append(extent)
            budget = max(1, budget // max(extent, 1))
        return tuple(extents)

    def broadcast_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape that broadcasts with the given one in either direction: equal, leading dimensions dropped or
        added, extents of 1 in place of others and others in place of extents of 1."""
        result = list(shape)
        if self.flag(0.3):
            return tuple(result)
        for index, extent in enumerate(result):
            if self.flag(0.25):
                result[index] = self.integer(1, 4) if extent == 1 else 1
        if result and self.flag(0.35):
            result = result[self.integer(0, len(result)) :]
        elif len(result) < 5 and self.flag(0.1):
            result = [self.integer(1, 3), *result]
        return tuple(result)

    # -- values ------------------------------------------------------------------------------------------------

    def value(
        self,
        *,
        dtypes: Sequence[str] = ANY_DTYPE,
        ranks: Sequence[int] = range(6),
        minimum: int = 0,
        where: Callable[[Handle], bool] | None = None,
        elements: Elements | None = None,
        otherwise: Elements | None = None,
    ) -> Handle:
        """A value with one of the dtypes and ranks, every extent at least ``minimum``, that satisfies ``where``.

        Mostly one at hand, so that graphs are deep; else fresh (an input or a constant), its elements drawn by
        ``elements`` (a profile name or a function of generator, shape and dtype; then always fresh) or by a
        profile of the case. ``otherwise`` draws the elements of a fresh one without forcing the value to be fresh: for
        operators whose domain few profiles lie in. Rejects when ten fresh tensors in a row do not satisfy ``where``.
        """
        if elements is None and self._handles and not self.flag(0.3 if self._wanted else 0.15):
            fitting = self._fitting(dtypes, ranks, minimum)
            if where is not None:
                fitting = [handle for handle in fitting if where(handle)]
            if fitting:
                # Recent values twice as often: chains of operators are what optimizers act on.
                if len(fitting) > 2 and self.flag(0.5):
                    fitting = fitting[-2:]
                return self._relied_on(self.choices.pick(fitting), where, minimum)
        for _ in range(10):
            handle = self.tensor(self.shape(ranks, minimum=minimum), dtypes, elements or otherwise, reuse=False)
            if where is None or where(handle):
                return self._relied_on(handle, where, minimum)
            self._discard(handle)
        raise Rejected("no value satisfies the condition")

    def bounded(
        self,
        low: float,
        high: float,
        *,
        dtypes: Sequence[str] = FLOATING,
        ranks: Sequence[int] = range(6),
        minimum: int = 0,
    ) -> Handle:
        """A value whose elements are all from ``low`` to ``high``: one at hand, else a fresh one spread over the range
        (at most 10 wide from the end nearer to zero), its ends among the elements. In cases that want non-finite
        results any value may come, half of the time. The range must hold an integer where ``dtypes`` have integers.
        """
        if self._profiles.nonfinite and self.flag():
            return self.value(dtypes=dtypes, ranks=ranks, minimum=minimum)
        if self._handles and not self.flag(0.15):
            fitting = [handle for handle in self._fitting(dtypes, ranks, minimum) if handle.within(low, high)]
            if fitting:
                return self._relied_on(self.choices.pick(fitting), lambda x: x.within(low, high), minimum)
        handle = self.tensor(self.shape(ranks, minimum=minimum), dtypes, spread(low, high), reuse=False)
        return self._relied_on(handle, None, minimum)

    def require(self, handle: Handle, condition: Condition) -> None:
        """Note what the call relies on beside what it asked for with ``where``: that a value, which satisfies the
        condition now, does so at every size of the graph. What a sampler learns from the elements of a value is for
        it to note; types and ranks are always the same."""
        self.fresh.conditions.append((handle.name, condition))

    def at_hand(self, most: int | None = None) -> Sequence[Handle]:
        """All values at hand in the order in which they were made, or the last ``most`` of them."""
        return self._handles if most is None else self._handles[-most:]

    def holds(self, dtype: str) -> bool:
        """Whether a value of that dtype is at hand."""
        return any(handle.dtype == dtype for handle in self._handles)

    @property
    def nonfinite(self) -> bool:
        """Whether the case wants non-finite results, so that values outside an operator's domain are welcome."""
        return self._profiles.nonfinite

    def found(self, used: Container[str]) -> bool:
        """Whether one of the fresh values that are used by a call, by name, is of the profile and the element type that
        are sought."""
        if self._sought is None:
            return False
        profile, dtype = self._sought
        return any(
            handle.name in used
            and self.fresh.profiles.get(handle.name) == profile
            and (not dtype or handle.dtype == dtype)
            for handle in self.fresh.handles
        )

    def unconnected(self, used: Iterable[Handle]) -> bool:
        """Whether none of the values is the result of a node, in a graph that has some."""
        handles = [handle for handle in self._handles if handle.name[0] == "v"]
        return bool(handles) and not any(handle.name[0] == "v" for handle in used)

    def forget(self, handle: Handle) -> None:
        """Give back a value that the call will not use: one made fresh for it is not added to the graph."""
        self._discard(handle)

    def tensor(
        self,
        shape: Sequence[int],
        dtypes: str | Sequence[str],
        elements: Elements | None = None,
        *,
        reuse: bool = True,
        constant: bool | None = None,
        profile: str = OWN,
    ) -> Handle:
        """A value of exactly that shape: one at hand sometimes (unless ``elements`` are given or ``reuse`` is off),
        else a fresh input or constant (``constant`` forces which). ``profile`` is what the case records of elements
        that a function draws. Rejects shapes of over MAX_ELEMENTS elements."""
        shape = tuple(shape)
        if isinstance(dtypes, str):
            dtypes = (dtypes,)
        if reuse and elements is None and not constant:
            fitting = [handle for handle in self._handles if handle.shape == shape and handle.dtype in dtypes]
            if fitting and self.flag(0.7):
                return self.choices.pick(fitting)
        if math.prod(shape) > MAX_ELEMENTS:
            self.reject("too many elements")
        wanted = self._wanted
        scarce = [name for name in dtypes if name in wanted] if wanted else ()
        dtype = self.choices.pick(scarce) if scarce and self.flag(_FAVOUR) else self.dtype(dtypes)
        if callable(elements):
            array = np.asarray(elements(self.choices.generator(), shape, dtype))
        elif dtype == "bool":
            mask = self.weighted(selectors.MASKS)
            array, profile = selectors.mask_elements(self.choices.generator(), shape, mask)
            elements = selectors.again(lambda rng, shape: selectors.mask_elements(rng, shape, mask))
        else:
            profile = elements or self._profiles.pick(self.choices)
            if not elements and dtype != "float32" and self.flag():
                # There are many other dtypes, each of them rare: what is rare in two ways would be hardly seen.
                profile = self.choices.pick(self._profiles.names)
            if not elements and dtype in scarce and self.flag(_FAVOUR):
                profile = self.choices.pick(wanted[dtype])
            if not elements and self._sought and dtype == self._sought[1] and self.flag(_SOUGHT):
                profile = self._sought[0]
            profile = effective(profile, dtype)
            array = draw_array(self.choices.generator(), shape, dtype, profile)
        handle = self._add(array, dtype, profile, constant)
        self.fresh.elements[handle.name] = elements if callable(elements) else profile
        return handle

    def large(
        self, shape: Sequence[int], dtype: str, elements: Callable[[np.random.Generator, tuple[int, ...], str], Array]
    ) -> Handle:
        """A fresh constant of any size: for the few that are to be large."""
        return self._add(elements(self.choices.generator(), tuple(shape), dtype), dtype, OWN, True)

    def given(self, array: Array, dtype: str, *, constant: bool | None = None) -> Handle:
        """A fresh input or constant (``constant`` forces which) with these very elements, which are not copied."""
        return self._add(array, dtype, OWN, constant)

    def like(self, other: Handle, dtypes: str | Sequence[str] | None = None) -> Handle:
        """A value of the other's shape, and of its dtype unless others are given."""
        return self.tensor(other.shape, other.dtype if dtypes is None else dtypes)

    def broadcastable(self, other: Handle, dtypes: str | Sequence[str] | None = None) -> Handle:
        """A value that broadcasts with the other: one at hand if any fits, else fresh with a broadcast shape."""
        wanted = other.dtype if dtypes is None else dtypes
        wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        if self.flag(0.7):
            fitting = [
                handle
                for handle in self._handles
                if handle.dtype in wanted and _broadcastable(handle.shape, other.shape)
            ]
            if fitting:
                return self.choices.pick(fitting)
        shape = self.broadcast_shape(other.shape)
        if math.prod(np.broadcast_shapes(shape, other.shape)) > MAX_ELEMENTS:
            shape = other.shape
        return self.tensor(shape, wanted, reuse=False)

    def operand(self, other: Handle, dtypes: str | Sequence[str] | None = None) -> Handle | bool | int | float:
        """A broadcastable value or, a quarter of the time, a Python number of the dtype's kind."""
        if self.flag(0.25):
            wanted = other.dtype if dtypes is None else dtypes
            return self.scalar(wanted if isinstance(wanted, str) else self.choices.pick(wanted))
        return self.broadcastable(other, dtypes)

    def indices(
        self,
        shape: Sequence[int],
        low: int,
        high: int,
        *,
        dtypes: str | Sequence[str] = "int64",
        unique: bool = False,
        ordered: bool = False,
    ) -> Handle:
        """A fresh integer tensor with elements from ``low`` to ``high`` inclusive, of one of the profiles of indices
        (:data:`generators.selectors.INDICES`); none twice when ``unique``; ``ordered`` sorts them along the last axis.
        Rejects an empty range."""
        shape = tuple(shape)
        size = math.prod(shape)
        if high < low or (unique and size > high - low + 1):
            self.reject("no indices in range")
        chosen = self.weighted(selectors.INDICES)
        if ordered and chosen == "indices descending":
            chosen = "indices ascending"

        def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, str]:
            make = selectors.distinct_elements if unique else selectors.index_elements
            data, profile = make(rng, shape, low, high, chosen)
            return (np.sort(data, axis=-1) if ordered and data.ndim else data), profile

        return selectors.made(self, shape, dtypes, drawn)

    def literal_array(self, handle: Handle) -> tuple[Any, ...]:
        """The elements of a small value as nested tuples, for passing as a Python literal; the value, when it was
        made fresh for this call, is not added to the graph."""
        self._discard(handle)

        def nested(item: Any) -> Any:
            return tuple(nested(entry) for entry in item) if isinstance(item, list) else item

        result: tuple[Any, ...] = nested(handle.array.tolist())
        return result

    def keep(self, names: Iterable[str]) -> None:
        """Give back what was made fresh and is not among these."""
        kept = set(names)
        for handle in list(self.fresh.handles):
            if handle.name not in kept:
                self._discard(handle)

    def call(self, *args: Any, target: str | None = None, **kwargs: Any) -> Call:
        """The call of this operator (or of ``target``); handles may stand anywhere in nested tuples and lists.
        An argument named like one of Python's keywords or ``target`` goes through :class:`Call` itself."""
        return Call(target or self.target, args, kwargs)

    # -- bookkeeping -------------------------------------------------------------------------------------------

    def _relied_on(self, handle: Handle, where: Condition | None, minimum: int) -> Handle:
        if where is not None:
            self.require(handle, where)
        if minimum:
            self.require(handle, lambda x: not x.shape or min(x.shape) >= minimum)
        return handle

    def _fitting(self, dtypes: Sequence[str], ranks: Sequence[int], minimum: int) -> list[Handle]:
        """The values at hand with one of the dtypes and ranks, every extent at least ``minimum``."""
        found = [handle for handle in self._handles if handle.dtype in dtypes and handle.rank in ranks]
        if minimum:
            found = [handle for handle in found if not handle.shape or min(handle.shape) >= minimum]
        return found

    def _add(self, array: Array, dtype: str, profile: str, constant: bool | None) -> Handle:
        if constant is None:
            constant = self.frontend.constants_are_operands and self.flag(0.3)
        number = next(self._names)
        fresh = self.fresh
        kind = TensorType(dtype, array.shape)
        if constant:
            name = f"c{number}"
            fresh.constants.append(Constant(name, array, trainable=dtype in FLOATING and self.flag()))
            native = self.frontend.to_native(array)
        else:
            name = f"x{number}"
            layout: tuple[int, ...] = ()
            if array.ndim > 1 and self.flag(0.15):
                layout = self.permutation(array.ndim)
            fresh.inputs.append((Input(name, kind, layout), array))
            native = self.frontend.to_native(array, layout)
        handle = Handle(name, native, array, kind)
        fresh.handles.append(handle)
        fresh.profiles[name] = profile
        return handle

    def _discard(self, handle: Handle) -> None:
        self.fresh.inputs = [item for item in self.fresh.inputs if item[0].name != handle.name]
        self.fresh.constants = [item for item in self.fresh.constants if item.name != handle.name]
        self.fresh.handles = [item for item in self.fresh.handles if item is not handle]
        self.fresh.profiles.pop(handle.name, None)
        self.fresh.elements.pop(handle.name, None)
        self.fresh.conditions = [item for item in self.fresh.conditions if item[0] != handle.name]


@functools.cache
def _dtype_weights(dtypes: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(itertools.accumulate(_DTYPE_WEIGHTS.get(name, 0.5) for name in dtypes))


@functools.cache
def _rank_weights(ranks: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(itertools.accumulate((2, 3, 4, 4, 3, 1.5)[min(rank, 5)] for rank in ranks))


def spread(low: float, high: float) -> Callable[[np.random.Generator, tuple[int, ...], str], Array]:
    """Elements for :meth:`Draw.tensor`: from ``low`` to ``high``, but at most 10 wide from the end nearer to zero;
    the ends and the integers between among them."""
    if high - low > 10:
        if low >= 0 or -low < high:
            low = max(low, -5.0)
            high = low + 10
        else:
            high = min(high, 5.0)
            low = high - 10

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        if dtype == "bool":
            return np.asarray(rng.random(shape) < 0.5)
        kind = DTYPES[dtype]
        first, last = math.ceil(low), math.floor(high)
        if kind.kind in "iu":
            return np.asarray(rng.integers(max(first, np.iinfo(kind).min), last, shape, endpoint=True).astype(kind))
        data = rng.uniform(low, high, shape)
        if first <= last and rng.random() < 0.3:
            data = np.where(rng.random(shape) < 0.5, data, rng.integers(first, last, shape, endpoint=True))
        # Rounding to a narrow dtype must not leave the range; its own neighbours of the ends do not.
        rounded = np.asarray(data).astype(kind)
        inside = (rounded.astype(np.float64) >= low) & (rounded.astype(np.float64) <= high)
        return np.asarray(np.where(inside, rounded, np.asarray((low + high) / 2).astype(kind)))

    return elements


def _broadcastable(left: Sequence[int], right: Sequence[int]) -> bool:
    total = 1
    for a, b in itertools.zip_longest(reversed(left), reversed(right), fillvalue=1):
        if a != b and a != 1 and b != 1:
            return False
        total *= max(a, b)
    return total <= MAX_ELEMENTS


_LITERALS = frozenset((int, float, bool, str, type(None), DType, Slice))


def argument_of(value: Any, used: dict[str, Handle]) -> Argument:
    """A sampler's argument as a graph argument: handles become references, lists become tuples, NumPy numbers
    Python numbers. The handles met are put into ``used`` by name."""
    kind = type(value)
    if kind is Handle:
        used[value.name] = value
        reference: Ref = value.ref
        return reference
    if kind in _LITERALS:
        literal: Argument = value
        return literal
    if isinstance(value, (tuple, list)):
        return tuple([argument_of(item, used) for item in value])
    if isinstance(value, np.generic):
        item: Argument = value.item()
        return item
    result: Argument = value
    return result
