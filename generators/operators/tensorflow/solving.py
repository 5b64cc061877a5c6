"""Linear algebra of whole matrices: determinants, inverses, solutions, and factors that are unique."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.graph import DTYPES, Array
from generators.harvest.domains import hermitian
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import moderate

operator = REGISTRY.operator
L = "tf.linalg."
_DTYPES = ("float32", "float32", "float64")


def _dominant(data: Array) -> Array:
    """With a diagonal that outweighs its rows, of either sign."""
    size = data.shape[-1]
    signs = np.where(np.arange(size) % 2, -1.0, 1.0)
    return np.asarray(data + np.eye(size) * (signs * (np.abs(data).sum(-1).max() + 0.5)))


def _definite(data: Array) -> Array:
    """Symmetric and positive definite."""
    return np.asarray(data @ np.swapaxes(data, -1, -2) + 0.5 * np.eye(data.shape[-1]))


def _square(draw: Draw, made: Callable[[Array], Array], most: int = 4) -> Handle:
    size = draw.integer(1, most)
    shape = (*draw.shape(range(3), minimum=1, maximum=3), size, size)

    def elements(rng: np.random.Generator, extents: tuple[int, ...], dtype: str) -> Array:
        return np.asarray(made(rng.uniform(-1, 1, extents)).astype(DTYPES[dtype]))

    return draw.tensor(shape, draw.choice(_DTYPES), elements)


def _right_side(draw: Draw, matrix: Handle) -> Handle:
    return draw.tensor((*matrix.shape[:-1], draw.integer(1, 3)), matrix.dtype, "typical", reuse=False)


@operator(L + "det", L + "slogdet", L + "inv", L + "expm", family="linalg", weight=0.2)
def of_a_matrix(draw: Draw) -> Call:
    return draw.call(_square(draw, _dominant if draw.target != L + "expm" else np.asarray))


@operator(L + "logdet", L + "eigvalsh", L + "cholesky", family="linalg", weight=0.15, domain=hermitian)
def of_a_definite_matrix(draw: Draw) -> Call:
    return draw.call(_square(draw, _definite))


@operator(L + "solve", family="linalg", weight=0.2)
def solve(draw: Draw) -> Call:
    matrix = _square(draw, _dominant)
    options: dict[str, Any] = {"adjoint": True} if draw.flag(0.3) else {}
    return draw.call(matrix, _right_side(draw, matrix), **options)


@operator(L + "triangular_solve", L + "cholesky_solve", family="linalg", weight=0.2)
def triangular(draw: Draw) -> Call:
    """Only one triangle is looked at; the other holds numbers all the same."""
    matrix = _square(draw, _dominant)
    if draw.target == L + "cholesky_solve":
        return draw.call(matrix, _right_side(draw, matrix))
    options: dict[str, Any] = {"lower": draw.flag()}
    if draw.flag(0.3):
        options["adjoint"] = True
    return draw.call(matrix, _right_side(draw, matrix), **options)


@operator(L + "normalize", family="linalg", weight=0.25)
def normalize(draw: Draw) -> Call:
    x = draw.value(
        dtypes=_DTYPES,
        ranks=range(1, 5),
        minimum=1,
        where=lambda x: bool(x.array.all()) and (draw.nonfinite or moderate(x, 1e3)),
        otherwise="fractions",
    )
    return draw.call(x, ord=draw.choice(("euclidean", 1, 2, np.inf)), axis=draw.axis(x.rank))


@operator(L + "tridiagonal_matmul", family="linalg", weight=0.15)
def tridiagonal(draw: Draw) -> Call:
    size, batch = draw.integer(2, 5), draw.shape(range(2), minimum=1, maximum=3)
    diagonals = tuple(draw.tensor((*batch, size), "float32", "typical", reuse=False) for _ in range(3))
    right = draw.tensor((*batch, size, draw.integer(1, 3)), "float32", "typical", reuse=False)
    return draw.call(diagonals, right, diagonals_format="sequence")
