"""Measuring how an operator's results depend on its arguments, by evaluating it on changed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from generators.graph import FLOATING, Array, dtype_name
from generators.transforms import widen
from oracles.compare import wide

Evaluate: TypeAlias = "Callable[[Mapping[str, Array]], list[Array] | None]"

#: Elements of each floating argument that are changed, one at a time.
_PLACES = 3
#: Powers of two by which results may scale when an argument is doubled.
_DEGREES = (1.0, 2.0, 0.5, 4.0, 0.25, 8.0)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """``fan_in``: how many elements of one argument a result depends on, at least 1 (about 1 is elementwise).
    ``homogeneous``: doubling the first floating argument scales every result by one power of two."""

    fan_in: float = 1.0
    homogeneous: bool = True


def probe(evaluate: Evaluate, inputs: Mapping[str, Array]) -> Sensitivity:
    """Measure an operator. ``evaluate`` gives its results in double precision on arrays in double precision, or None.

    When it gives None, the answer is the most permissive: as many as the largest argument has elements.
    """
    arrays = {name: widen(array) for name, array in inputs.items()}
    floating = [
        name for name, array in arrays.items() if dtype_name(array.dtype) in (*FLOATING, "complex128") and array.size
    ]
    if not floating:
        return Sensitivity()
    base = evaluate(arrays)
    if base is None:
        return Sensitivity(float(max(arrays[name].size for name in floating)), homogeneous=False)
    fan_in = 1.0
    for name in floating:
        for place in sorted({round(step * (arrays[name].size - 1) / (_PLACES - 1)) for step in range(_PLACES)}):
            changed = np.array(arrays[name], order="C", copy=True)
            flat = changed.reshape(-1)
            flat[place] = 1 + np.nan_to_num(flat[place] + np.abs(flat[place]), posinf=1.0, neginf=1.0)
            results = evaluate({**arrays, name: changed})
            fan_in = max(fan_in, _affected(base, results) * changed.size)
    doubled = evaluate({**arrays, floating[0]: np.asarray(2 * arrays[floating[0]])})
    return Sensitivity(fan_in, _scaled(base, doubled))


def _affected(base: list[Array], results: list[Array] | None) -> float:
    """The largest share of the elements of a rounded output that changed."""
    if results is None:
        return 0.0
    shares = [0.0]
    for left, right in zip(base, results, strict=True):
        if left.shape == right.shape and left.size and left.dtype.kind in "fc":
            same = (left == right) | (np.isnan(left) & np.isnan(right))
            shares.append(float(np.count_nonzero(~same)) / left.size)
    return max(shares)


def _scaled(base: list[Array], doubled: list[Array] | None) -> bool:
    if doubled is None:
        return False
    for factor in _DEGREES:
        if all(
            left.shape == right.shape
            and left.dtype.kind in "fciub"
            and np.allclose(wide(left) * factor, wide(right), rtol=1e-12, atol=0.0, equal_nan=True)
            for left, right in zip(base, doubled, strict=True)
        ):
            return True
    return False
