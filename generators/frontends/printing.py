"""Pieces of source text that the printers of all frontends share."""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Callable, Iterable

import numpy as np

from generators.graph import Argument, Array, DType, Graph, Ref, Slice, Symbol

#: Constants up to this many elements are printed as literals.
LITERAL_ELEMENTS = 64


_RESERVED = frozenset((*keyword.kwlist, *dir(builtins)))


class Identifiers:
    """A Python identifier for every value name, distinct for distinct names, the name itself where it is one."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = {*_RESERVED, *reserved}
        self._names: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        if name not in self._names:
            base = name if name.isidentifier() and name.isascii() else "v_" + re.sub(r"\W+", "_", name, flags=re.ASCII)
            base = base[:40]
            candidate, number = base, 1
            while candidate in self._taken:
                number += 1
                candidate = f"{base}_{number}"
            self._taken.add(candidate)
            self._names[name] = candidate
        return self._names[name]

    def fresh(self, base: str) -> str:
        """An identifier for something that is no value, after ``base``."""
        candidate, number = base, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{base}_{number}"
        self._taken.add(candidate)
        return candidate


def number(value: bool | int | float | complex) -> str:
    """A Python expression whose value is exactly that number; NaN and infinities included."""
    if isinstance(value, complex):
        return f"complex({number(value.real)}, {number(value.imag)})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def elements(array: Array) -> str:
    """Nested lists of the elements. Exact: every dtype's elements are exactly representable as Python numbers."""
    if array.dtype.kind == "V" or array.dtype.name in {"float16", "bfloat16", "float32"}:
        array = array.astype(np.float64)
    elif array.dtype.name == "complex64":
        array = array.astype(np.complex128)

    if array.dtype.kind in "biu" or (array.dtype.kind == "f" and np.isfinite(array).all()):
        return repr(array.tolist())

    def text(item: object) -> str:
        if isinstance(item, list):
            return "[" + ", ".join(text(entry) for entry in item) + "]"
        if isinstance(item, (bool, int, float, complex)):
            return number(item)
        return number(int(item))  # type: ignore[call-overload]  # ml_dtypes' small integers

    return text(array.tolist())


def argument(value: Argument, reference: Callable[[str], str], dtype: Callable[[str], str]) -> str:
    """The argument as source text. ``reference`` prints a value's name, ``dtype`` an element type.

    TypeError for a body: printing control flow is the frontend's own matter.
    """
    if isinstance(value, Ref):
        return reference(value.name)
    if isinstance(value, DType):
        return dtype(value.name)
    if isinstance(value, Symbol):
        return value.path
    if isinstance(value, Slice):
        parts = [argument(item, reference, dtype) for item in (value.start, value.stop, value.step)]
        return f"slice({', '.join(parts)})"
    if isinstance(value, tuple):
        items = ", ".join(argument(item, reference, dtype) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    if value is Ellipsis:
        return "..."
    if isinstance(value, Graph):
        raise TypeError("a body cannot be printed as an argument")
    if isinstance(value, (bool, int, float, complex)):
        return number(value)
    return repr(value)


def subscript(index: Argument, reference: Callable[[str], str], dtype: Callable[[str], str]) -> str:
    """The text between the brackets of ``x[...]``, slices written with colons."""

    def item(part: Argument) -> str:
        if isinstance(part, Slice):
            start, stop, step = (
                "" if bound is None else argument(bound, reference, dtype)
                for bound in (part.start, part.stop, part.step)
            )
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return argument(part, reference, dtype)

    if isinstance(index, tuple) and index:
        return ", ".join(item(part) for part in index) + ("," if len(index) == 1 else "")
    return item(index)
