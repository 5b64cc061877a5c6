"""Tensors as source text for stand-alone scripts: exact, short where simple, compressed where large."""

from __future__ import annotations

import base64
import textwrap
import zlib

import numpy as np

from generators.frontends.printing import LITERAL_ELEMENTS, elements, number
from generators.graph import DTYPES, Array, dtype_name

#: What large tensors call; a script that has one defines it.
UNPACK = """\
def unpack(text, dtype, shape):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype).reshape(shape).copy()
"""
#: NumPy has these only with ml_dtypes; their bits travel as unsigned integers.
_CARRIERS = {1: "uint8", 2: "uint16"}
_TORCH_CARRIERS = {1: "uint8", 2: "int16"}
_TF_PLAIN = frozenset(name for name in DTYPES if not name.startswith(("float8", "float4", "int4", "uint4")))


def tensor_source(array: Array, frontend: str, layout: tuple[int, ...] = ()) -> str:
    """An expression for a native tensor of ``frontend`` (``torch``, ``tensorflow``, ``keras``, ``onnx``, ``tflite``),
    its elements exact; ``numpy`` gives an array.

    ``layout`` is the order of the dimensions in memory, outermost first; only torch can hold one. Tensors of more
    than LITERAL_ELEMENTS elements that are not all equal or counting are calls of ``unpack`` (:data:`UNPACK`).
    KeyError for another frontend.
    """
    printers = {"torch": _torch, "tensorflow": _tensorflow, "keras": _tensorflow, "onnx": _numpy, "tflite": _numpy}
    printers["numpy"] = _numpy
    text = printers[frontend](array)
    if layout and frontend == "torch":
        inverse = tuple(sorted(range(len(layout)), key=layout.__getitem__))
        text += f".permute({layout}).contiguous().permute({inverse})"
    return text


def native_dtype(name: str, frontend: str) -> str:
    """The framework's name of an element type."""
    if frontend == "torch":
        return f"torch.{name}"
    return f"tf.{name}" if name in _TF_PLAIN else f"tf.dtypes.experimental.{name}"


def _torch(array: Array) -> str:
    name = dtype_name(array.dtype)
    dtype, shape = f"torch.{name}", _shape(array)
    simple = _simple(array)
    if simple == "counting":
        # Not every type has a kernel for counting or filling.
        return f"torch.arange({array.size}).reshape({shape}).to({dtype})"
    if simple and hasattr(np, name):
        return f"torch.full({shape}, {simple}, dtype={dtype})"
    if array.size == 0:
        return f"torch.zeros({shape}, dtype={dtype})"
    if array.size <= LITERAL_ELEMENTS:
        return f"torch.tensor({elements(array)}, dtype={dtype})"
    if array.dtype.kind == "V" or not hasattr(np, name):
        carrier = _TORCH_CARRIERS[array.dtype.itemsize]
        return f"torch.from_numpy({_packed(array, carrier)}).view({dtype})"
    return f"torch.from_numpy({_packed(array, name)})"


def _tensorflow(array: Array) -> str:
    name = dtype_name(array.dtype)
    dtype, shape = native_dtype(name, "tensorflow"), _shape(array)
    if name not in _TF_PLAIN:  # float8 and the like: only a bit pattern makes one
        return f"tf.bitcast(tf.constant({_packed(array, _CARRIERS[array.dtype.itemsize])}), {dtype})"
    simple = _simple(array)
    if simple == "counting":
        return f"tf.reshape(tf.cast(tf.range({array.size}), {dtype}), {shape})"
    if simple:
        return f"tf.constant({simple}, {dtype}, shape={shape})"
    if array.size == 0:
        return f"tf.zeros({shape}, {dtype})"
    if array.size <= LITERAL_ELEMENTS:
        return f"tf.constant({elements(array)}, {dtype})"
    if array.dtype.kind == "V" or not hasattr(np, name):
        return f"tf.bitcast(tf.constant({_packed(array, _CARRIERS[array.dtype.itemsize])}), {dtype})"
    return f"tf.constant({_packed(array, name)})"


def _numpy(array: Array) -> str:
    name = dtype_name(array.dtype)
    shape = _shape(array)
    extended = array.dtype.kind == "V" or not hasattr(np, name)
    dtype = f"ml_dtypes.{name}" if extended else "np.bool_" if name == "bool" else f"np.{name}"
    simple = _simple(array)
    if simple == "counting":
        return f"np.arange({array.size}).reshape({shape}).astype({dtype})"
    if simple:
        return f"np.full({shape}, {simple}, {dtype})"
    if array.size == 0:
        return f"np.zeros({shape}, {dtype})"
    if array.size <= LITERAL_ELEMENTS:
        return f"np.array({elements(array)}, {dtype})"
    if extended:
        return f"{_packed(array, _CARRIERS[array.dtype.itemsize])}.view({dtype})"
    return _packed(array, name)


def _shape(array: Array) -> str:
    return repr(tuple(int(extent) for extent in array.shape))


def _simple(array: Array) -> str:
    """``counting``, or the one number that all of over eight elements are, as text; empty for anything else."""
    if array.size <= 8:
        return ""
    flat = np.ascontiguousarray(array).reshape(-1)
    width = array.dtype.itemsize
    data = flat.tobytes()
    if data == data[:width] * array.size:
        first = flat[0]
        item = first.item() if array.dtype.kind in "biufc" else float(first)
        return number(item) if isinstance(item, (bool, int, float)) else ""
    if array.dtype.kind != "b" and array.dtype.kind != "c":
        counting = np.arange(array.size)
        if np.array_equal(flat.astype(np.float64), counting) and not np.signbit(flat.astype(np.float64)).any():
            return "counting"
    return ""


def _packed(array: Array, carrier: str) -> str:
    """A call of ``unpack`` whose result has the array's bits, its text wrapped."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()
    lines = "\n".join(f'    "{part}"' for part in textwrap.wrap(data, 110))
    return f'unpack(\n{lines},\n    "{carrier}", {_shape(array)},\n)'
