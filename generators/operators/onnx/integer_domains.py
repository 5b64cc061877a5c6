"""Which integers ONNX leaves without a meaning: sums and products that kernels compute in ways of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from generators.frontends.onnx_processor import products_saturate
from generators.graph import Array

Arrays: TypeAlias = "Sequence[Array | None]"
Rule: TypeAlias = "Callable[[Mapping[str, Any], Arrays], str]"


def reduction(terms: Callable[[Array], Array] | None = None, gather: Callable[..., Array] = np.sum) -> Rule:
    """A reduction. Of integers it has to fit into their type, on the way, too: ``gather`` of the absolute values of the
    ``terms``. Some kernels wrap around where it does not, others stop at the greatest number, and ONNX is silent.

    What a reduction of no elements gives is defined, but the kernels of ONNX Runtime 1.31 that serve as reference here
    return the empty tensor as it is, in another shape than inferred (float32[0,0], axes -1, keepdims 0).
    """

    def rule(given: Mapping[str, Any], arrays: Arrays) -> str:
        array = arrays[0]
        assert array is not None
        if not array.size:
            return "a reduction of no elements"
        if terms is None or array.dtype.kind not in "iu":
            return ""
        second = arrays[1] if len(arrays) > 1 else None
        axes = tuple(int(axis) for axis in (given.get("axes", ()) if second is None else second))
        if not axes and given.get("noop_with_empty_axes"):
            axes = (array.ndim,)  # one of its own for each element
        magnitudes = np.abs(terms(array.astype(np.float64)))[..., np.newaxis]
        # The new axis is the last one: what counts from the end counts from one further.
        places = tuple(axis if axis >= 0 else axis - 1 for axis in axes) or None
        fits = gather(magnitudes, axis=places) < float(int(np.iinfo(array.dtype).max) + 1)
        return "" if bool(np.all(fits)) else "a reduction of integers does not fit into their type"

    return rule


def products(second: int, *scales: int) -> Rule:
    """A sum of products of the first input with the ``second``, by ``scales`` that are to be positive. Where ONNX
    Runtime is known to saturate, it is no reference for what does."""

    def rule(given: Mapping[str, Any], arrays: Arrays) -> str:
        if problem := scales_at(*scales)(given, arrays):
            return problem
        x, weights = arrays[0], arrays[second]
        assert x is not None
        assert weights is not None
        if x.dtype == weights.dtype or not x.size or not weights.size:
            return ""
        # In plain integers: the magnitude of -128 is none of eight bits.
        largest = 2 * int(np.abs(x.astype(np.int64)).max()) * int(np.abs(weights.astype(np.int64)).max())
        saturates = largest > np.iinfo(np.int16).max and products_saturate()
        return "products of eight bits that this processor may saturate" if saturates else ""

    return rule


def dequantized(given: Mapping[str, Any], arrays: Arrays) -> str:
    """Scales by an axis need one, which a scalar has not: runtimes give a vector of one element, or refuse it."""
    x, scale = arrays[0], arrays[1]
    assert x is not None
    if scale is not None and scale.ndim > x.ndim:
        return "a scale for an axis that is not there"
    return scales_at(1)(given, arrays)


def scales_at(*positions: int) -> Rule:
    """Scales at these places among the inputs, which are to be positive."""

    def rule(given: Mapping[str, Any], arrays: Arrays) -> str:
        for position in positions:
            array = arrays[position] if position < len(arrays) else None
            if array is not None and not bool((np.isfinite(array.astype(np.float64)) & (array > 0)).all()):
                return "a scale that is not positive"
        return ""

    return rule
