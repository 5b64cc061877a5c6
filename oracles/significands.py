"""Numbers that need few bits: arithmetic on them is exact mostly."""

from __future__ import annotations

import numpy as np

from generators.graph import Array, dtype_name
from oracles.tolerances import COMPONENT

#: Bits of the significand by element type, the leading one included.
SIGNIFICAND = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
#: Elements that are looked at first.
_FIRST = 256


def simple(array: Array) -> Array:
    """Where elements need at most half of the significand of their type; everywhere for exact types, and at
    elements that are not finite."""
    name = dtype_name(array.dtype)
    name = COMPONENT.get(name, name)
    if name not in SIGNIFICAND:
        return np.ones(array.shape, dtype=bool)
    if array.dtype.kind == "c":
        return np.asarray(simple(array.real) & simple(array.imag))
    values = array.astype(np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    fraction, _ = np.frexp(values)
    shifted = np.ldexp(fraction, SIGNIFICAND[name] // 2)
    return np.asarray(shifted == np.rint(shifted))


def all_simple(array: Array) -> bool:
    """Whether all elements are simple; of weights by the million, the first ones tell mostly that they are not."""
    flat = array.reshape(-1)
    start, count = 0, _FIRST
    while start < flat.size:
        if not simple(flat[start : start + count]).all():
            return False
        start, count = start + count, 4 * count
    return True
