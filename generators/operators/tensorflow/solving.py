"""Linear algebra of whole matrices: determinants, inverses, solutions, and factors that are unique."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.draw import Call, Draw, Handle
from generators.harvest.domains import hermitian
from generators.operators.matrices import WELL_KEPT, definite, dominant, square
from generators.operators.tensorflow import REGISTRY
from generators.operators.tensorflow.common import moderate

operator = REGISTRY.operator
L = "tf.linalg."


def _right_side(draw: Draw, matrix: Handle) -> Handle:
    return draw.tensor((*matrix.shape[:-1], draw.integer(1, 3)), matrix.dtype, "typical", reuse=False)


@operator(L + "det", L + "slogdet", L + "inv", L + "expm", family="linalg", weight=0.2)
def of_a_matrix(draw: Draw) -> Call:
    return draw.call(square(draw, dominant if draw.target != L + "expm" else np.asarray))


@operator(L + "logdet", L + "eigvalsh", L + "cholesky", family="linalg", weight=0.15, domain=hermitian)
def of_adefinite_matrix(draw: Draw) -> Call:
    return draw.call(square(draw, definite))


@operator(L + "solve", family="linalg", weight=0.2)
def solve(draw: Draw) -> Call:
    matrix = square(draw, dominant)
    options: dict[str, Any] = {"adjoint": True} if draw.flag(0.3) else {}
    return draw.call(matrix, _right_side(draw, matrix), **options)


@operator(L + "triangular_solve", L + "cholesky_solve", family="linalg", weight=0.2)
def triangular(draw: Draw) -> Call:
    """Only one triangle is looked at; the other holds numbers all the same."""
    matrix = square(draw, dominant)
    if draw.target == L + "cholesky_solve":
        return draw.call(matrix, _right_side(draw, matrix))
    options: dict[str, Any] = {"lower": draw.flag()}
    if draw.flag(0.3):
        options["adjoint"] = True
    return draw.call(matrix, _right_side(draw, matrix), **options)


@operator(L + "normalize", family="linalg", weight=0.25)
def normalize(draw: Draw) -> Call:
    x = draw.value(
        dtypes=WELL_KEPT,
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
