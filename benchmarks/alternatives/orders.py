"""Sums, products of matrices and convolutions in NumPy, with every rounding in an order that is chosen.

Half precision is summed in float32 and rounded once, as every framework does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

import numpy as np

from generators.graph import Array


class Order(Enum):
    """In which order terms are added: from the last to the first, in a tree, in blocks of eight, or one after the other
    with the product of each step not rounded (fused multiply-add)."""

    REVERSED = "reversed"
    PAIRWISE = "pairwise"
    BLOCKED = "blocked"
    FUSED = "fused"


_BLOCK = 8


def added(terms: Array, order: Order) -> Array:
    """The sum over the first dimension, each partial sum rounded to the type of the terms."""
    count = terms.shape[0]
    if count == 0:
        return np.zeros(terms.shape[1:], terms.dtype)
    if order is Order.PAIRWISE and count > 1:
        middle = (count + 1) // 2
        return np.asarray(added(terms[:middle], order) + added(terms[middle:], order))
    if order is Order.BLOCKED and count > _BLOCK:
        # Lanes as a vectorised loop has them: each sums every eighth term.
        lanes = [added(terms[lane::_BLOCK], Order.FUSED) for lane in range(_BLOCK)]
        return added(np.stack(lanes), Order.FUSED)
    total = terms[-1] if order is Order.REVERSED else terms[0]
    rest = terms[-2::-1] if order is Order.REVERSED else terms[1:]
    for term in rest:
        total = total + term
    return np.asarray(total)


def wider(array: Array) -> Array:
    """Half precision in float32; other types as they are."""
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def summed(x: Array, axes: Sequence[int], keepdims: bool, order: Order, *, mean: bool = False) -> Array:
    """Sum or mean over some dimensions, in the type of ``x``."""
    axes = tuple(axis % max(x.ndim, 1) for axis in axes) if x.ndim else ()
    if not axes:
        return x
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    count = math.prod(x.shape[axis] for axis in axes)
    terms = wider(x).transpose([*axes, *rest]).reshape(count, *(x.shape[axis] for axis in rest))
    total = added(terms, order)
    if mean:
        total = total / total.dtype.type(count)
    if keepdims:
        total = total.reshape([1 if axis in axes else extent for axis, extent in enumerate(x.shape)])
    return np.asarray(total).astype(x.dtype)


def multiplied(a: Array, b: Array, order: Order) -> Array:
    """The product of two stacks of matrices, [..., n, k] and [..., k, m], which broadcast; float32 or float64 is
    accumulated."""
    left, right = wider(a), wider(b)
    depth = left.shape[-1]
    if order is Order.FUSED and left.dtype == np.float32:
        # A product of two float32 numbers is exact in float64, and so is rounded once, with the sum.
        shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        total = np.zeros((*shape, left.shape[-2], right.shape[-1]), np.float32)
        for k in range(depth):
            exact = left[..., :, k, None].astype(np.float64) * right[..., k, None, :].astype(np.float64)
            total = (total.astype(np.float64) + exact).astype(np.float32)
        return total.astype(a.dtype)
    shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    terms = np.stack([left[..., :, k, None] * right[..., k, None, :] for k in range(depth)]) if depth else None
    if terms is None:
        return np.zeros((*shape, left.shape[-2], right.shape[-1]), a.dtype)
    return added(terms, order).astype(a.dtype)


def matmul(a: Array, b: Array, order: Order) -> Array:
    """As ``numpy.matmul``, vectors included."""
    result = multiplied(a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b, order)
    if b.ndim == 1:
        result = result[..., 0]
    return np.asarray(result[..., 0, :] if a.ndim == 1 and b.ndim > 1 else result[..., 0] if a.ndim == 1 else result)


def convolved(
    x: Array,
    w: Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    dilations: Sequence[int],
    groups: int,
    order: Order,
) -> Array:
    """The convolution of x [n, c, spatial…] and w [o, c / groups, kernel…] by im2col: every window a row of a matrix,
    without bias."""
    spatial = w.ndim - 2
    padded = np.pad(wider(x), [(0, 0), (0, 0), *pads])
    reach = [dilation * (extent - 1) + 1 for dilation, extent in zip(dilations, w.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + spatial)))
    index = (slice(None), slice(None), *(slice(None, None, step) for step in strides))
    windows = windows[(*index, *(slice(None, None, step) for step in dilations))]
    batch, channels, *extents = windows.shape[: 2 + spatial]
    taps = math.prod(w.shape[2:])
    columns = windows.reshape(batch, groups, channels // groups, math.prod(extents), taps)
    columns = columns.transpose(0, 1, 3, 2, 4).reshape(batch, groups, math.prod(extents), -1)
    kernels = wider(w).reshape(groups, w.shape[0] // groups, -1).transpose(0, 2, 1)
    result = multiplied(columns, kernels[None], order)
    return result.transpose(0, 1, 3, 2).reshape(batch, w.shape[0], *extents).astype(x.dtype)


def same_pads(
    extents: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    """TensorFlow's SAME padding (tf.nn, "Notes on padding"): the rest at the end."""
    found = []
    for extent, size, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        missing = max((-(-extent // stride) - 1) * stride + dilation * (size - 1) + 1 - extent, 0)
        found.append((missing // 2, missing - missing // 2))
    return found
