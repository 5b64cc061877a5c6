"""Tensors to ONNX Runtime and back, of element types that its NumPy bridge does not know, too: they travel as bits."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from generators.graph import DTYPES, Array

#: By name of the element type, what its bits are handed over as, and its number in ONNX.
BITS: Mapping[str, tuple[type[Any], int]] = {
    "bfloat16": (np.uint16, TensorProto.BFLOAT16),
    "float8_e4m3fn": (np.uint8, TensorProto.FLOAT8E4M3FN),
    "float8_e4m3fnuz": (np.uint8, TensorProto.FLOAT8E4M3FNUZ),
    "float8_e5m2": (np.uint8, TensorProto.FLOAT8E5M2),
    "float8_e5m2fnuz": (np.uint8, TensorProto.FLOAT8E5M2FNUZ),
}
_FROM_BITS = {number: DTYPES[name] for name, (_, number) in BITS.items()}


def to_ort(onnxruntime: Any, array: Array) -> Any:
    """An ``OrtValue`` of the array's elements and element type."""
    # ascontiguousarray makes a vector of a scalar.
    array = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype.name not in BITS:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    carrier, number = BITS[array.dtype.name]
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(carrier), number)


def from_ort(value: Any) -> Array:
    """A copy of the elements of an ``OrtValue``."""
    dtype = _FROM_BITS.get(value.element_type())
    if dtype is None:
        return np.array(value.numpy(), copy=True)
    shape = tuple(value.shape())
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    data = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
