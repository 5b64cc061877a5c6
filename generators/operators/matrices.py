"""Fresh, well conditioned matrices for operators of linear algebra, so that what is computed of them is defined up to
rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from generators.draw import Draw, Elements, Handle
from generators.graph import DTYPES, Array

#: Element types in which linear algebra is worth judging; single precision is what people use most.
WELL_KEPT = ("float32", "float32", "float64")


def matrices(shape: Callable[[Array], Array]) -> Elements:
    """Elements of matrices: ``shape`` makes them what they are to be of random ones between -1 and 1."""

    def elements(rng: np.random.Generator, extents: tuple[int, ...], dtype: str) -> Array:
        data = rng.uniform(-1, 1, extents)
        if rng.random() < 0.3:
            data = np.round(2 * data)
        return np.asarray(shape(data).astype(DTYPES[dtype]))

    return elements


def dominant(data: Array) -> Array:
    """With a diagonal that outweighs its rows, of either sign."""
    size = data.shape[-1]
    signs = np.where(np.arange(size) % 2, -1.0, 1.0)
    return np.asarray(data + np.eye(size) * (signs * (np.abs(data).sum(-1).max() + 0.5)))


def definite(data: Array) -> Array:
    """Symmetric and positive definite."""
    return np.asarray(data @ np.swapaxes(data, -1, -2) + 0.5 * np.eye(data.shape[-1]))


def square(draw: Draw, made: Callable[[Array], Array], most: int = 4) -> Handle:
    """A fresh batch of square matrices of up to ``most`` rows, ``made`` what they are to be."""
    size = draw.integer(1, most)
    batch = draw.shape(range(3), minimum=1, maximum=3)
    return draw.tensor((*batch, size, size), draw.choice(WELL_KEPT), matrices(made))
