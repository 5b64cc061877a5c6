"""Growing a motif: each of its nodes is executed when it is drawn, on the values at hand.

A motif is a function that asks a :class:`Builder` for values and operators. When a node fails (the framework refuses
it, its result is not finite where it should be, quarantine wants it rare), the motif ends there, and what has been
grown of it stays: a valid graph like any other. So a motif need not know which mutations make sense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle, Rejected, argument_of
from generators.graph import FLOATING, Array
from generators.handles import Fresh
from generators.motifs import mutations
from generators.motifs.expansions import EXPANSIONS
from generators.motifs.vocabularies import VOCABULARIES
from generators.motifs.vocabulary import Operand, Vocabulary, elements_of

#: How often a mutation is made where it can be: not always at the first such operator of a motif.
_HERE = 0.45


class Ended(Exception):
    """A node of the motif could not be placed, or the values at hand are none that it could be grown on."""


class Place(Protocol):
    """What a motif is grown in."""

    handles: list[Handle]
    #: Names of values that are to be outputs of the graph, whatever uses them.
    shown: set[str]

    def place(self, call: Call, draw: Draw, *, wanted: bool = True) -> str:
        """Execute the call and add it to the graph; else say why not. What is not ``wanted`` for itself has to be worth
        having, as for any other operator."""
        ...


class Builder:
    """Hands a motif its values and operators, and mutates some of them.

    ``mutation`` is the kind that is made once (:data:`generators.motifs.mutations.KINDS`), where the motif has a place
    for it; ``made`` holds it once it has been made.
    """

    def __init__(self, place: Place, draw: Draw, mutation: str = "") -> None:
        self.draw = draw
        self.words: Vocabulary = VOCABULARIES[draw.frontend.name]()
        self.mutation = mutation
        self.made: list[str] = []
        self._place = place
        self._mutating = False

    # -- what motifs ask for -----------------------------------------------------------------------------------

    def end(self, reason: str = "") -> NoReturn:
        """Give up."""
        raise Ended(reason)

    def value(
        self,
        ranks: Sequence[int] = (2, 3, 4),
        *,
        dtypes: Sequence[str] = (),
        where: Callable[[Handle], bool] | None = None,
        largest: int = MAX_ELEMENTS // 4,
    ) -> Handle:
        """A floating value to grow on, no extent of it 0: one at hand or fresh."""
        dtypes = dtypes or (self.draw.choice(self.words.dtypes),)

        def fits(x: Handle) -> bool:
            return 1 < x.size <= largest and (where is None or where(x))

        return self.draw.value(dtypes=dtypes, ranks=ranks, minimum=1, where=fits)

    def image(self, *, where: Callable[[Handle], bool] | None = None, dtypes: Sequence[str] = ()) -> Handle:
        """A batch of images, channels where the frontend has them, of numbers that convolutions can add up."""

        def fits(x: Handle) -> bool:
            bounded = self.draw.nonfinite or x.within(-40.0, 40.0) or x.dtype not in ("float16",)
            return bounded and (where is None or where(x))

        return self.value((4,), dtypes=dtypes, where=fits)

    def channels_of(self, x: Handle) -> int:
        """The number of channels of an image."""
        return x.shape[self.words.channels]

    def spatial_axes(self, x: Handle) -> tuple[int, ...]:
        """The axes of an image that are neither batch nor channels."""
        return tuple(range(2, x.rank)) if self.words.channels == 1 else tuple(range(1, x.rank - 1))

    def per_channel(self, x: Handle, count: int) -> tuple[int, ...]:
        """A shape of ``count`` elements that broadcasts over the channels of an image."""
        return (count, *(1,) * (x.rank - 2)) if self.words.channels == 1 else (count,)

    def parameter(
        self, shape: Sequence[int], dtype: str, *, elements: Any = None, apart: bool = False, fixed: bool = False
    ) -> Handle:
        """A tensor that a model holds. ``apart`` says that it is an operand that broadcasts, whose shape may be
        mutated; ``fixed`` that it must be a constant."""
        shape = tuple(shape)
        constant: bool | None = True
        if self.due("parameter as input", not fixed):
            constant = False
        if self.due("parameter shape", apart and len(shape) > 0):
            shape = mutations.other_shape(self.draw, shape)
        held = dtype
        if self.due("parameter dtype", apart):
            held = self.draw.choice([name for name in FLOATING if name != dtype])
        if elements is None and self.draw.flag(0.7):
            elements = "typical"
        tensor = self.draw.tensor(shape, held, elements, reuse=False, constant=constant)
        if held != dtype and not self.words.promotes:
            return self._execute("cast", [tensor], {"dtype": dtype})[0]
        return tensor

    def op(self, word: str, *operands: Operand, role: str = "", **attributes: Any) -> Handle:
        """The single result of an operator, by its word. ``role`` tells mutations what an operand is for."""
        return self.several(word, *operands, role=role, **attributes)[0]

    def several(self, word: str, *operands: Operand, role: str = "", **attributes: Any) -> list[Handle]:
        """All results of an operator."""
        given = list(operands)
        mutate = mutations.BEFORE.get(self.mutation)
        if mutate is not None and self._wants(self.mutation) and self.draw.flag(_HERE):
            changed = mutate(self, word, given, role, attributes)
            if changed is not None:
                self._make(self.mutation)
                return self._changed(*changed, original=given)
        if self._wants("transpose sandwich") and mutations.turns(word, given, attributes) and self.draw.flag(_HERE):
            self._make("transpose sandwich")
            results = self._aside(lambda: mutations.sandwich(self, word, given, attributes))
        else:
            results = self._execute(word, given, attributes)
        return [self.mutated(result, lambda: self._execute(word, given, attributes)[0]) for result in results]

    def _changed(
        self, word: str, given: list[Operand], attributes: dict[str, Any], original: Sequence[Operand]
    ) -> list[Handle]:
        """Results of an operator that has been mutated; cast back to the dtype that its operands had, if they have
        been cast: always where there is no promotion, else mostly."""
        results = self._execute(word, given, attributes)
        dtype = next((value.dtype for value in original if isinstance(value, Handle)), "")
        if self.mutation != "operands cast" or results[0].dtype not in FLOATING:
            return results
        if self.words.promotes and self.draw.flag(0.4):
            return results
        return [self.cast_aside(result, dtype) for result in results]

    def cast_aside(self, x: Handle, dtype: str) -> Handle:
        """A cast that belongs to a mutation."""
        return self._execute("cast", [x], {"dtype": dtype})[0]

    def item(
        self, x: Handle, axis: int, start: int | None = None, stop: int | None = None, step: int | None = None
    ) -> Handle:
        """A slice along one axis."""
        [result] = self.place(self.words.subscript(self.draw, x, axis, start, stop, step))
        return result

    def slice(self, x: Handle, axis: int, start: int, stop: int) -> Handle:
        """``start:stop`` of an axis, the ends of it left out where that is the same, half of the time."""
        first = None if start == 0 and self.draw.flag() else start
        last = None if stop == x.shape[axis] and self.draw.flag() else stop
        return self.item(x, axis, first, last)

    def show(self, value: Handle) -> None:
        """Make a value an output of the graph, too."""
        self._place.shown.add(value.name)

    # -- spellings that several motifs share -------------------------------------------------------------------

    def squared(self, x: Handle) -> Handle:
        """The square, in one of three ways."""
        way = self.draw.integer(0, 2)
        if way == 0:
            return self.op("pow", x, 2 if self.draw.flag() else 2.0)
        return self.op("mul", x, x) if way == 1 else self.op("square", x)

    def over_root(self, x: Handle, variance: Handle, epsilon: float) -> Handle:
        """``x / sqrt(variance + epsilon)``, in one of four ways."""
        padded = self.op("add", variance, epsilon, role="epsilon")
        way = self.draw.integer(0, 3)
        if way == 0:
            return self.op("div", x, self.op("sqrt", padded))
        if way == 1:
            return self.op("mul", x, self.op("rsqrt", padded))
        if way == 2:
            return self.op("mul", x, self.op("reciprocal", self.op("sqrt", padded)))
        return self.op("div", x, self.op("pow", padded, 0.5))

    def affine(self, x: Handle, shape: Sequence[int], *, bias: bool = True) -> Handle:
        """Scaled and shifted by parameters of that shape; either order of operands."""
        scale = self.parameter(shape, x.dtype, apart=True)
        y = self.op("mul", *((scale, x) if self.draw.flag(0.3) else (x, scale)))
        if bias and self.draw.flag(0.8):
            shift = self.parameter(shape, x.dtype, apart=True)
            y = self.op("add", *((shift, y) if self.draw.flag(0.3) else (y, shift)))
        return y

    def activation(self, x: Handle) -> Handle:
        """One of the activations that follow convolutions."""
        return self.op(self.draw.choice(("relu", "relu", "relu6", "silu", "sigmoid", "tanh")), x)

    def matrix(self, rows: int, columns: int, dtype: str) -> Handle:
        """A weight matrix of numbers around one over the square root of ``rows``."""

        def elements(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
            return np.asarray((rng.standard_normal(shape) / max(1, shape[0]) ** 0.5).astype(np.float32))

        if elements_of((rows, columns)) > MAX_ELEMENTS:
            self.end("too many elements")
        scaled = self.draw.flag(0.8)
        return self.parameter((rows, columns), dtype, elements=mutations.as_dtype(elements) if scaled else None)

    # -- mutations ---------------------------------------------------------------------------------------------

    def _wants(self, kind: str) -> bool:
        return self.mutation == kind and not self.made and not self._mutating

    def due(self, kind: str, applies: bool = True) -> bool:
        """Whether a mutation of that kind is to be made here, where it ``applies``: then it counts as made."""
        if applies and self._wants(kind) and self.draw.flag(_HERE):
            self._make(kind)
            return True
        return False

    def _make(self, kind: str) -> None:
        self.made.append(kind)

    def _aside(self, make: Callable[[], Any]) -> Any:
        """Grow the parts of a mutation, which are not mutated themselves."""
        self._mutating = True
        try:
            return make()
        finally:
            self._mutating = False

    def mutated(self, result: Handle, again: Callable[[], Handle]) -> Handle:
        """The result of a node, or what stands for it when the mutation is one of results and is made here. ``again``
        computes it once more."""
        mutate = mutations.AFTER.get(self.mutation)
        if mutate is None or not self._wants(self.mutation) or result.dtype not in FLOATING:
            return result
        if not self.draw.flag(_HERE):
            return result
        self._make(self.mutation)
        changed: Handle = self._aside(lambda: mutate(self, result, again))
        return changed

    # -- execution ---------------------------------------------------------------------------------------------

    def _execute(self, word: str, operands: Sequence[Operand], attributes: Mapping[str, Any]) -> list[Handle]:
        if not self.words.knows(word):
            if word not in EXPANSIONS:
                raise Ended(f"{self.draw.frontend.name} has no {word}")
            return [EXPANSIONS[word](self, *operands)]
        try:
            call = self.words.call(self.draw, word, operands, attributes)
        except Rejected as error:
            raise Ended(str(error)) from error
        return self.place(call)

    def place(self, call: Call) -> list[Handle]:
        """Add a call with those of the values made fresh that it uses, and return its results."""
        used: dict[str, Handle] = {}
        for value in (*call.args, *call.kwargs.values()):
            argument_of(value, used)
        fresh = self.draw.fresh
        self.draw.fresh, rest = _divided(fresh, used)
        before = len(self._place.handles) + len(self.draw.fresh.handles)
        reason = self._place.place(call, self.draw)
        self.draw.fresh = rest
        if reason:
            raise Ended(reason)
        return self._place.handles[before:]


def _divided(fresh: Fresh, names: Mapping[str, Handle]) -> tuple[Fresh, Fresh]:
    """What of the fresh values is used by these names, and the rest."""
    used, rest = Fresh(), Fresh()
    for entry, array in fresh.inputs:
        (used if entry.name in names else rest).inputs.append((entry, array))
    for constant in fresh.constants:
        (used if constant.name in names else rest).constants.append(constant)
    for handle in fresh.handles:
        (used if handle.name in names else rest).handles.append(handle)
    for name, elements in fresh.elements.items():
        (used if name in names else rest).elements[name] = elements
    for name, condition in fresh.conditions:
        (used if name in names else rest).conditions.append((name, condition))
    for name, profile in fresh.profiles.items():
        (used if name in names else rest).profiles[name] = profile
    return used, rest
