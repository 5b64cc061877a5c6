"""Which values of arguments an operator is documented for.

Samplers keep to it by themselves; minimization puts other values in. Outside of it eager mode computes something, too,
but nobody promises what, and a report that rests on it is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from generators.graph import Argument, Array

#: Positional arguments of a call, each value of the graph by its elements.
Given = Sequence["Array | Argument"]


def shift_counts(given: Given) -> str:
    """``x`` and the counts: "if the value of the right operand is negative or is greater or equal to the number of bits
    in the promoted left operand, the behavior is undefined" (torch.bitwise_right_shift; tf.bitwise: "implementation
    defined")."""
    x, counts = (np.asarray(value) for value in given[:2])
    typed = [value.dtype for value in given[:2] if isinstance(value, np.ndarray)]
    width = 8 * np.result_type(*typed).itemsize if typed else 64
    outside = counts[(counts < 0) | (counts >= width)]
    return f"shifts {x.dtype if typed else 'a number'} by {outside[0]}" if outside.size else ""


def first_ascending(given: Given) -> str:
    """The first argument ascends in its last dimension (torch.searchsorted: otherwise "the result is undefined")."""
    return _ascending(given[0])


def second_ascending(given: Given) -> str:
    """The second argument ascends (torch.bucketize)."""
    return _ascending(given[1])


def _ascending(boundaries: Array | Argument) -> str:
    array = np.asarray(boundaries)
    ascends = array.ndim == 0 or bool((array[..., 1:] >= array[..., :-1]).all())
    return "" if ascends else "the sequence to search does not ascend"


def sum_fits(given: Given) -> str:
    """torch.sum of integers: they are added in int64, and what is beyond it is promised by nobody. PyTorch wraps
    around, ONNX Runtime stops at the greatest number, ONNX says nothing."""
    return _fits(given[0], lambda sizes: float(sizes.sum()))


def product_fits(given: Given) -> str:
    """torch.prod of integers: as :func:`sum_fits`. The product of all is held against the range, whatever the
    dimension, since that may be given by name."""
    return _fits(given[0], lambda sizes: float(np.maximum(sizes, 1.0).prod()))


def _fits(operand: Array | Argument, largest: Callable[[Array], float]) -> str:
    array = np.asarray(operand)
    if array.dtype.kind not in "iu":
        return ""
    with np.errstate(over="ignore"):
        inside = largest(np.abs(array.astype(np.float64))) < 2.0**63
    return "" if inside else "the result may not fit into int64"


def normal_numbers(given: Given) -> str:
    """tf.math.atan2: kernels take a number below the normal range of float32 and float64 for 0 where they work on
    several elements at once, and compute with it in those that are left over, to NaN or the other sign."""
    for value in given[:2]:
        if isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64) and has_subnormals(value):
            return f"an operand has numbers below {np.finfo(value.dtype).tiny:.3g}"
    return ""


def has_subnormals(array: Array) -> bool:
    """Whether an array of a floating type that NumPy has holds numbers below its normal range, but for zeros."""
    return bool(((array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)).any())
