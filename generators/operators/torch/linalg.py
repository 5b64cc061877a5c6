"""Linear algebra: determinants, inverses, solutions and factors that are unique.

Matrices are fresh and well conditioned, with some of what the value profiles hold beside their diagonals, so that what
is computed of them is defined up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from generators.draw import Call, Draw, Handle
from generators.harvest.domains import DOMAINS, hermitian
from generators.operators.matrices import WELL_KEPT, definite, dominant, square
from generators.operators.torch.registry import REGISTRY

operator = REGISTRY.operator
L = "torch.linalg."


@operator(
    L + "det", L + "slogdet", L + "inv", "torch.det", "torch.logdet", "torch.inverse", family="linalg", weight=0.15
)
def of_a_matrix(draw: Draw) -> Call:
    """The logarithm of a determinant is one of a positive number."""
    return draw.call(square(draw, definite if draw.target == "torch.logdet" else dominant))


@operator(L + "matrix_power", "torch.matrix_exp", family="linalg", weight=0.15)
def powers(draw: Draw) -> Call:
    if draw.target == "torch.matrix_exp":
        return draw.call(square(draw, lambda data: data))
    return draw.call(square(draw, dominant, 3), draw.integer(-2, 4))


def _right_side(draw: Draw, matrix: Handle, rank: int = 2) -> Handle:
    columns = (draw.integer(1, 3),) if rank == 2 else ()
    return draw.tensor((*matrix.shape[:-1], *columns), matrix.dtype, "typical", reuse=False)


@operator(L + "solve", family="linalg", weight=0.2)
def solve(draw: Draw) -> Call:
    matrix = square(draw, dominant)
    if draw.flag(0.2):
        rows = (*matrix.shape[:-2], draw.integer(1, 3), matrix.shape[-1])
        return draw.call(matrix, draw.tensor(rows, matrix.dtype, "typical", reuse=False), left=False)
    return draw.call(matrix, _right_side(draw, matrix))


@operator(L + "solve_triangular", family="linalg", weight=0.2)
def solve_triangular(draw: Draw) -> Call:
    """Only one triangle is looked at; the other holds numbers all the same."""
    matrix = square(draw, dominant)
    options: dict[str, Any] = {"upper": draw.flag()}
    if draw.flag(0.2):
        options["unitriangular"] = True
    return draw.call(matrix, _right_side(draw, matrix), **options)


@operator(L + "cholesky", "torch.cholesky", family="linalg", weight=0.15, domain=hermitian)
def cholesky(draw: Draw) -> Call:
    matrix = square(draw, definite)
    return draw.call(matrix, upper=True) if draw.flag(0.3) else draw.call(matrix)


@operator(L + "eigvalsh", family="linalg", weight=0.12, domain=DOMAINS[L + "eigvalsh"])
def eigenvalues(draw: Draw) -> Call:
    return draw.call(square(draw, definite))


@operator(L + "svdvals", L + "pinv", family="linalg", weight=0.12)
def of_any_matrix(draw: Draw) -> Call:
    """The pseudoinverse is of full rank: of others it jumps."""
    if draw.target == L + "pinv":
        return draw.call(square(draw, dominant))
    shape: Sequence[int] = (*draw.shape(range(2), minimum=1, maximum=3), draw.integer(1, 4), draw.integer(1, 4))
    return draw.call(draw.tensor(shape, draw.choice(WELL_KEPT), "typical", reuse=False))


@operator(L + "vecdot", L + "norm", L + "vander", family="linalg", weight=0.2)
def of_vectors(draw: Draw) -> Call:
    def tame(x: Handle) -> bool:
        return x.size <= 256 and (draw.nonfinite or x.within(-30, 30))

    x = draw.value(dtypes=WELL_KEPT, ranks=range(1, 4), minimum=1, where=tame, otherwise="typical")
    if draw.target == L + "vecdot":
        return draw.call(x, draw.tensor(x.shape, x.dtype, "typical", reuse=False), dim=draw.axis(x.rank))
    if draw.target == L + "norm":
        if x.rank > 1 and draw.flag(0.4):
            return draw.call(x, draw.choice(("fro", 1, float("inf"), -1)), dim=draw.axes(x.rank, 2, 2))
        return draw.call(x, draw.choice((None, 2, 1, float("inf"), 0, 3)), dim=draw.axis(x.rank), keepdim=draw.flag())
    if not x.within(-6, 6):
        draw.reject("powers of large numbers")
    return draw.call(x, N=draw.integer(2, 4))
