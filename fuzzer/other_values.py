"""Other values for the inputs of a minimized case, to ask again who computes it right.

Minimization leaves few elements, and small and equal ones. Over a handful of zeros and ones two may agree that compute
something else from everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from generators.graph import Array, Case, dtype_name
from oracles.tolerances import ROUNDED

_SEED = 20261127


def other_values(case: Case) -> Iterator[Mapping[str, Array]]:
    """Feeds of the case's own shapes and types, at most two, the more different ones first: floating numbers multiplied
    by factors between 1 and 2, no two alike, and in the first feeds also zeros replaced by numbers between −1 and 1 and
    the elements of integers and truth values moved on by one. NaN, infinities, signs and rough magnitudes stay, since
    they may be what the failure needs. Whether eager mode takes them is for it to say."""
    for moved in (True, False):
        rng = np.random.default_rng(_SEED)
        feeds = {value.name: _other(rng, case.feeds[value.name], moved=moved) for value in case.graph.inputs}
        if any(feeds[name].tobytes() != case.feeds[name].tobytes() for name in feeds):
            yield feeds


def _other(rng: np.random.Generator, array: Array, *, moved: bool) -> Array:
    if dtype_name(array.dtype) not in ROUNDED:
        return np.roll(array.reshape(-1), 1).reshape(array.shape) if moved else array
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    factors = rng.uniform(1.0, 2.0, array.shape)
    small = rng.uniform(-1.0, 1.0, array.shape)
    with np.errstate(all="ignore"):
        found = np.where(wide == 0, small if moved else wide, wide * factors).astype(array.dtype)
        # Beyond the type's range they would be infinite, which is another kind of value.
        kept = np.isfinite(found.astype(wide.dtype)) & np.isfinite(wide)
    return np.asarray(np.where(kept, found, array))
