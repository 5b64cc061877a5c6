"""What a call computes, if it is one of those for which there is another way: read from its arguments.

Each function takes a call's arguments (arrays for references, literals as they are in the graph) and an order of
summation, and gives its results, or None for arguments that it has no other way for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from benchmarks.alternatives import formulas, orders
from benchmarks.alternatives.orders import Order
from generators.graph import Array

Compute: TypeAlias = "Callable[..., Array | None]"

FLOATS = ("f", "V")


def _floating(*arrays: Any) -> bool:
    return all(isinstance(array, np.ndarray) and array.dtype.kind in FLOATS and array.size for array in arrays)


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    return tuple(int(item) for item in np.asarray(axis).reshape(-1))


def _total(x: Any, axes: Any, keepdims: Any, order: Order, mean: bool) -> Array | None:
    return orders.summed(x, _axes(axes, x.ndim), bool(keepdims), order, mean=mean) if _floating(x) else None


def _each(value: Any, count: int) -> list[int]:
    values = [int(item) for item in np.asarray(value).reshape(-1)]
    return values * count if len(values) == 1 else values


def _convolved(
    x: Any, w: Any, bias: Any, strides: Any, pads: Sequence[tuple[int, int]], dilations: Any, groups: int, order: Order
) -> Array | None:
    if not _floating(x, w) or x.ndim != w.ndim or math.prod(w.shape) * x.size > 2_000_000:
        return None
    spatial = w.ndim - 2
    result = orders.convolved(x, w, _each(strides, spatial), pads, _each(dilations, spatial), groups, order)
    if bias is not None:
        result = (orders.wider(result) + orders.wider(bias).reshape(-1, *[1] * spatial)).astype(x.dtype)
    return result


# -- torch -------------------------------------------------------------------------------------------------------------


def torch_sum(order: Order, mean: bool) -> Compute:
    def compute(x: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Array | None:
        return None if dtype is not None else _total(x, None if dim == () else dim, keepdim, order, mean)

    return compute


def torch_matmul(order: Order) -> Compute:
    def compute(a: Any, b: Any) -> Array | None:
        return orders.matmul(a, b, order) if _floating(a, b) and a.ndim and b.ndim else None

    return compute


def torch_linear(order: Order) -> Compute:
    def compute(x: Any, w: Any, bias: Any = None) -> Array | None:
        if not _floating(x, w) or w.ndim != 2:
            return None
        result = orders.wider(orders.matmul(x, w.T, order))
        return np.asarray(result if bias is None else result + orders.wider(bias)).astype(x.dtype)

    return compute


def torch_convolution(order: Order) -> Compute:
    def compute(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Array | None:
        if isinstance(padding, str) or not isinstance(weight, np.ndarray):
            return None
        pads = [(pad, pad) for pad in _each(padding, weight.ndim - 2)]
        return _convolved(input, weight, bias, stride, pads, dilation, groups, order)

    return compute


# -- TensorFlow --------------------------------------------------------------------------------------------------------


def tf_sum(order: Order, mean: bool) -> Compute:
    def compute(input_tensor: Any, axis: Any = None, keepdims: Any = False, name: Any = None) -> Array | None:
        return _total(input_tensor, axis, keepdims, order, mean)

    return compute


def tf_matmul(order: Order) -> Compute:
    def compute(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, **more: Any) -> Array | None:
        if any(more.values()) or not _floating(a, b) or min(a.ndim, b.ndim) < 2:
            return None
        left, right = (np.swapaxes(a, -1, -2) if transpose_a else a), (np.swapaxes(b, -1, -2) if transpose_b else b)
        return orders.matmul(left, right, order)

    return compute


def tf_convolution(order: Order) -> Compute:
    def compute(
        input: Any,
        filters: Any,
        strides: Any = 1,
        padding: Any = "VALID",
        data_format: Any = None,
        dilations: Any = None,
        name: Any = None,
    ) -> Array | None:
        if not _floating(input, filters) or input.ndim != filters.ndim or not isinstance(padding, str):
            return None
        if data_format is not None and data_format.startswith("NC"):
            return None
        spatial = filters.ndim - 2
        step, dilation = (_each(1 if value is None else value, spatial) for value in (strides, dilations))
        if len(step) != spatial or len(dilation) != spatial:
            return None
        x = np.moveaxis(input, -1, 1)
        w = np.moveaxis(filters, (-1, -2), (0, 1))
        same = padding.upper() == "SAME"
        pads = orders.same_pads(x.shape[2:], w.shape[2:], step, dilation) if same else [(0, 0)] * spatial
        result = _convolved(x, w, None, step, pads, dilation, x.shape[1] // w.shape[1], order)
        return None if result is None else np.moveaxis(result, 1, -1)

    return compute


# -- ONNX --------------------------------------------------------------------------------------------------------------


def onnx_sum(order: Order, mean: bool) -> Compute:
    def compute(x: Any, axes: Any = None, *, keepdims: Any = 1, noop_with_empty_axes: Any = 0) -> Array | None:
        if axes is not None and not np.asarray(axes).size:
            axes = None
        if axes is None and noop_with_empty_axes:
            return None
        return _total(x, axes, 1 if keepdims is None else keepdims, order, mean)

    return compute


def onnx_gemm(order: Order) -> Compute:
    def compute(
        a: Any, b: Any, c: Any = None, *, alpha: Any = None, beta: Any = None, transA: Any = 0, transB: Any = 0
    ) -> Array | None:
        if not _floating(a, b):
            return None
        product = orders.wider(orders.matmul(a.T if transA else a, b.T if transB else b, order))
        product = product * product.dtype.type(1 if alpha is None else alpha)
        if c is not None:
            product = product + orders.wider(c) * product.dtype.type(1 if beta is None else beta)
        return np.asarray(product).astype(a.dtype)

    return compute


def onnx_convolution(order: Order) -> Compute:
    def compute(
        x: Any,
        w: Any,
        bias: Any = None,
        *,
        strides: Any = None,
        pads: Any = None,
        dilations: Any = None,
        group: Any = None,
        kernel_shape: Any = None,
        auto_pad: Any = None,
    ) -> Array | None:
        if auto_pad not in (None, "NOTSET") or not isinstance(w, np.ndarray):
            return None
        spatial = w.ndim - 2
        ends = _each(pads, 2 * spatial) if pads is not None else [0] * 2 * spatial
        around = list(zip(ends[:spatial], ends[spatial:], strict=True))
        return _convolved(x, w, bias, strides or 1, around, dilations or 1, group or 1, order)

    return compute


def _softmax(log: bool, fallback: int | None) -> Compute:
    def compute(x: Any, dim: Any = None, *, axis: Any = None, **more: Any) -> Array | None:
        along = dim if dim is not None else axis if axis is not None else fallback
        if any(value is not None for value in more.values()) or along is None or not _floating(x) or not x.ndim:
            return None
        return formulas.softmax(x, int(along), log=log)

    return compute


def _function(name: str) -> Compute:
    def compute(x: Any, *more: Any, **named: Any) -> Array | None:
        return (
            formulas.FUNCTIONS[name](x)
            if _floating(x) and not more and all(value is None for value in named.values())
            else None
        )

    return compute


def ordered(frontend: str, order: Order) -> Mapping[str, Compute]:
    """By target the calls that add terms up, in that order."""
    if frontend == "torch":
        found = {f"torch.{name}": torch_matmul(order) for name in ("matmul", "mm", "bmm", "mv", "Tensor.matmul")}
        for prefix in ("torch.", "torch.Tensor."):
            found |= {f"{prefix}sum": torch_sum(order, False), f"{prefix}mean": torch_sum(order, True)}
        found |= {f"torch.nn.functional.conv{rank}d": torch_convolution(order) for rank in (1, 2, 3)}
        return {**found, "operator.matmul": torch_matmul(order), "torch.nn.functional.linear": torch_linear(order)}
    if frontend == "onnx":
        return {
            "onnx.ReduceSum": onnx_sum(order, False),
            "onnx.ReduceMean": onnx_sum(order, True),
            "onnx.MatMul": torch_matmul(order),
            "onnx.Gemm": onnx_gemm(order),
            "onnx.Conv": onnx_convolution(order),
        }
    names = ("tf.nn.conv1d", "tf.nn.conv2d", "tf.nn.conv3d", "tf.nn.convolution")
    return {
        "tf.reduce_sum": tf_sum(order, False),
        "tf.reduce_mean": tf_sum(order, True),
        "tf.math.reduce_sum": tf_sum(order, False),
        "tf.math.reduce_mean": tf_sum(order, True),
        "tf.linalg.matmul": tf_matmul(order),
        "tf.matmul": tf_matmul(order),
        **{name: tf_convolution(order) for name in names},
    }


def functional(frontend: str) -> Mapping[str, Compute]:
    """By target the functions for which there are other formulas."""
    places = {
        "torch": ("torch.", "torch.Tensor.", "torch.nn.functional."),
        "onnx": ("onnx.",),
    }.get(frontend, ("tf.math.", "tf.nn.", "tf."))
    found: dict[str, Compute] = {}
    for prefix in places:
        for name in formulas.FUNCTIONS:
            spelled = {"logsigmoid": "log_sigmoid"}.get(name, name) if prefix.startswith("tf.") else name
            found[prefix + (spelled.capitalize() if frontend == "onnx" else spelled)] = _function(name)
    fallback = None if frontend == "torch" else -1
    softmaxes = {
        "torch": ("torch.softmax", "torch.nn.functional.softmax", "torch.Tensor.softmax"),
        "onnx": ("onnx.Softmax",),
    }.get(frontend, ("tf.nn.softmax",))
    logarithms = {
        "torch": ("torch.log_softmax", "torch.nn.functional.log_softmax"),
        "onnx": ("onnx.LogSoftmax",),
    }.get(frontend, ("tf.nn.log_softmax",))
    found |= {name: _softmax(False, fallback) for name in softmaxes}
    found |= {name: _softmax(True, fallback) for name in logarithms}
    return found


#: Targets of elementwise sums, differences and products of two operands.
SUMS = frozenset({"torch.add", "operator.add", "torch.Tensor.add", "tf.math.add", "onnx.Add"})
DIFFERENCES = frozenset({"torch.sub", "operator.sub", "torch.Tensor.sub", "tf.math.subtract", "onnx.Sub"})
PRODUCTS = frozenset({"torch.mul", "operator.mul", "torch.Tensor.mul", "tf.math.multiply", "onnx.Mul"})
