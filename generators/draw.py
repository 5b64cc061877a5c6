"""What a sampler draws from: the values at hand, fresh tensors, and every kind of argument.

A sampler is a function ``(draw: Draw) -> Call``. It looks only at what :class:`Draw` gives it and returns
``draw.call(...)`` with arguments that are legal for the values it chose, or gives up with ``draw.reject()``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from generators import selectors
from generators.arguments import ANY_DTYPE, FAVOUR, MAX_ELEMENTS, SOUGHT, Arguments
from generators.choices import Choices
from generators.frontends.base import Frontend
from generators.graph import DTYPES, FLOATING, Array, Constant, Input, TensorType
from generators.handles import Call, Condition, Elements, Fresh, Handle, Profiles, Rejected, argument_of
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


class Draw(Arguments):
    """Hands a sampler its values and arguments. One per attempted operator."""

    __slots__ = ("_handles", "_names", "_profiles", "fresh", "frontend", "target")

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
        wanted = None
        if profiles.wanted and target in (registry := frontend.registry()):
            wanted = profiles.wanted.get(registry[target].family)
        super().__init__(choices, sought, wanted)
        self.frontend = frontend
        self.target = target
        self.fresh = Fresh()
        self._handles = handles
        self._profiles = profiles
        self._names = names

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
        dtype = self.choices.pick(scarce) if scarce and self.flag(FAVOUR) else self.dtype(dtypes)
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
            if not elements and dtype in scarce and self.flag(FAVOUR):
                profile = self.choices.pick(wanted[dtype])
            if not elements and self._sought and dtype == self._sought[1] and self.flag(SOUGHT):
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
