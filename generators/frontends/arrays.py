"""Frontends whose native tensors are NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.frontends.base import Frontend
from generators.graph import Array, dtype_name


class ArrayFrontend(Frontend):
    """What such frontends have in common. They know no strides, so that layouts have no effect."""

    def to_native(self, array: Array, layout: tuple[int, ...] = ()) -> Array:
        """A dense copy."""
        # ascontiguousarray makes a vector of a scalar.
        return np.array(array, copy=True, order="C")

    def to_array(self, native: Any) -> Array:
        array = np.asarray(native)
        dtype_name(array.dtype)
        return array

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)
