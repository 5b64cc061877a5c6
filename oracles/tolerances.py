"""The customary tolerance of each element type: what makes a difference suspect.

The pairs for float16 to complex128 are the defaults of ``torch.testing.assert_close`` (table in its documentation).
Element types that it does not list get one unit in the last place, since their values are nothing but roundings;
integers and booleans are compared exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from generators.graph import DTYPES, Array

#: Component types of the complex ones.
COMPONENT: Mapping[str, str] = {"complex64": "float32", "complex128": "float64"}

#: Names of the types that hold rounded numbers: they are judged by tolerance, all others exactly.
ROUNDED = frozenset(name for name in DTYPES if name.startswith(("float", "bfloat", "complex")))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A difference is customary up to ``absolute · min(1, magnitude) + relative · |expected|``.

    ``magnitude`` is the largest finite \\|expected\\| of the whole output: assert_close's absolute tolerance is meant
    for data near one, and applied to outputs near 1e-5 it would let any error pass.
    """

    relative: float
    absolute: float

    def limit(self, expected: Array) -> Array:
        """The customary difference of each element, float64 of the same shape, for an array whose absolute values
        are exact in float64. Elements that are not finite get that of zero."""
        size = magnitudes(expected)
        largest = float(size.max(initial=0.0))
        return np.asarray(self.absolute * min(1.0, largest) + self.relative * size)


def _limits(name: str) -> tuple[float, float, float]:
    """Distance from 1 to the next number, smallest normal and smallest positive number of a floating type."""
    info: Any = ml_dtypes.finfo(DTYPES[name])  # type: ignore[no-untyped-call]
    return float(info.eps), float(info.tiny), float(info.smallest_subnormal)


TOLERANCES: Mapping[str, Tolerance] = {
    "float16": Tolerance(1e-3, 1e-5),
    "bfloat16": Tolerance(1.6e-2, 1e-5),
    "float32": Tolerance(1.3e-6, 1e-5),
    "float64": Tolerance(1e-7, 1e-7),
    "complex64": Tolerance(1.3e-6, 1e-5),
    "complex128": Tolerance(1e-7, 1e-7),
    **{name: Tolerance(_limits(name)[0], _limits(name)[2]) for name in DTYPES if name.startswith(("float8", "float4"))},
}


def magnitudes(array: Array) -> Array:
    """Absolute values in float64; 0 where they are not finite."""
    wide = array if array.dtype.kind in "c" else array.astype(np.float64)
    with np.errstate(all="ignore"):
        size = np.abs(wide).astype(np.float64)
    return np.asarray(np.where(np.isfinite(size), size, 0.0))


def unit_roundoff(dtype: str) -> float:
    """Half the distance from 1 to the next number of the type (the bound on the relative error of one rounding to
    nearest); of the components for complex types. KeyError for a type that is not in :data:`ROUNDED`."""
    if dtype not in ROUNDED:
        raise KeyError(dtype)
    return _limits(COMPONENT.get(dtype, dtype))[0] / 2


def smallest_normal(dtype: str) -> float:
    """The least positive number of full precision; below it results may be flushed to zero."""
    return _limits(COMPONENT.get(dtype, dtype))[1]
