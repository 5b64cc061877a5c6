"""Inputs and constants become simple numbers: zeros, ones, counting, small integers, few digits, one odd element."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from generators.graph import Array, Case
from oracles.minimize.edits import Edit, tensors, with_tensors
from oracles.minimize.simplicity import is_special

NAME = "values"
#: Tensors with more elements than this get no candidates that treat each element.
EACH_ELEMENT = 16


def propose(case: Case) -> Iterator[Edit]:
    """Edits of all tensors at once (bold), of each tensor, and of single elements of small tensors."""
    arrays = tensors(case)
    # Indices and lengths often must stay when floating-point data need not.
    mixed = len({array.dtype.kind in "fcV" for array in arrays.values()}) > 1
    for label, change in CHANGES.items():
        yield Edit(NAME, f"all {label}", _all(change), bold=label in BOLD)
        if mixed:
            floating = _all(change, lambda array: array.dtype.kind in "fcV")
            yield Edit(NAME, f"all floating {label}", floating, bold=label in BOLD)
    for name, array in arrays.items():
        for label, change in CHANGES.items():
            yield Edit(NAME, f"{name} {label}", _one(name, change))
        if array.size <= EACH_ELEMENT:
            for position in range(array.size):
                yield Edit(NAME, f"{name} zero but at {position}", _one(name, _only(position)))
                for number in (0, 1):
                    yield Edit(NAME, f"{name} {number} at {position}", _one(name, _put(position, number)))
        elif array.size:
            for position in _notable(array):
                yield Edit(NAME, f"{name} zero but at {position}", _one(name, _only(position)))


def _zeros(array: Array) -> Array:
    return np.zeros_like(array)


def _ones(array: Array) -> Array:
    return np.ones_like(array)


def _counting(start: int) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        numbers = np.arange(start, start + array.size)
        if array.dtype.kind == "b":
            numbers = numbers % 2
        return _like(numbers.reshape(array.shape), array)

    return change


def _centred(array: Array) -> Array:
    return _counting(-(array.size // 2))(array)


def _rounded(digits: int) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        if array.dtype.kind in "biu":
            return array
        with np.errstate(all="ignore"):
            wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
            return _like(np.round(wide, digits), array)

    return change


def _signs(array: Array) -> Array:
    with np.errstate(all="ignore"):
        return _like(np.sign(_wide(array).real), array)


def _small(array: Array) -> Array:
    """Integers kept between -9 and 9 by dropping all but the last digit."""
    if array.dtype.kind not in "iu":
        return array
    return np.asarray(np.fmod(array, array.dtype.type(10)))


def _ordinary(array: Array) -> Array:
    """NaN, infinities and extremes of integers replaced by small numbers, the rest kept."""
    if not is_special(array):
        return array
    if array.dtype.kind in "iu":
        return np.where(np.abs(array.astype(np.float64)) > 100, _small(array), array)
    wide = _wide(array)
    return _like(np.where(np.isfinite(wide), wide, np.arange(array.size).reshape(array.shape) % 7 - 2), array)


CHANGES: dict[str, Callable[[Array], Array]] = {
    "zeros": _zeros,
    "ones": _ones,
    "counting from 0": _counting(0),
    "counting from 1": _counting(1),
    "counting around 0": _centred,
    "signs": _signs,
    "small": _small,
    "whole": _rounded(0),
    "to 1 digit": _rounded(1),
    "to 3 digits": _rounded(3),
    "ordinary": _ordinary,
}
BOLD = frozenset({"zeros", "ones", "counting from 0", "counting from 1"})


def _only(position: int) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        if position >= array.size:
            return array
        result = np.zeros_like(array).reshape(-1)
        result[position] = array.reshape(-1)[position]
        return result.reshape(array.shape)

    return change


def _put(position: int, number: int) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        if position >= array.size:
            return array
        result = np.array(array).reshape(-1)
        result[position] = number
        return result.reshape(array.shape)

    return change


def _notable(array: Array) -> list[int]:
    """Positions of the largest and smallest elements, of the first and last, and of those that are not finite."""
    wide = _wide(array).reshape(-1).real
    odd = np.flatnonzero(~np.isfinite(wide))[:4].tolist()
    wide = np.where(np.isfinite(wide), wide, 0)
    return list(
        dict.fromkeys([0, *odd, int(wide.argmax()), int(wide.argmin()), int(abs(wide).argmax()), wide.size - 1])
    )


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _like(numbers: Array, array: Array) -> Array:
    """The numbers in the element type of the array, clipped to its range."""
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        numbers = np.clip(numbers, info.min, info.max)
    with np.errstate(all="ignore"):
        return np.asarray(numbers).astype(array.dtype)


def _one(name: str, change: Callable[[Array], Array]) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        array = tensors(case).get(name)
        return None if array is None else with_tensors(case, {name: change(array)})

    return apply


def _all(
    change: Callable[[Array], Array], which: Callable[[Array], bool] = lambda array: True
) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        return with_tensors(case, {name: change(array) for name, array in tensors(case).items() if which(array)})

    return apply
