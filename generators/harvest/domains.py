"""Which values of arguments harvested operators are documented for (see :mod:`generators.operators.domains`).

Samples keep to it; minimization is held to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from generators.operators.domains import Given


def hermitian(given: Given) -> str:
    """The first argument equals its conjugate transpose. Torch reads one triangle only and does not say what a matrix
    that is not symmetric gives."""
    array = np.asarray(given[0])
    if array.ndim < 2 or array.dtype.kind == "V":
        return ""
    close = np.allclose(array, np.swapaxes(array, -1, -2).conj(), rtol=1e-3, atol=1e-5)
    return "" if close else "the matrix is not Hermitian"


DOMAINS: Mapping[str, Callable[[Given], str]] = {
    "torch.cholesky": hermitian,
    "torch.linalg.cholesky": hermitian,
    "torch.linalg.cholesky_ex": hermitian,
    "torch.linalg.eigvalsh": hermitian,
}
