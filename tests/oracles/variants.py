"""Implementations of torch operators that are correct but compute otherwise than eager mode does, and faulty ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from generators.frontends.base import Frontend
from generators.graph import DTYPES, Array, Case, Node, dtype_name
from generators.operators.registry import Rounding
from generators.transforms import widen
from oracles.tolerances import ROUNDED, unit_roundoff

#: From a node and its argument arrays to its outputs.
Implementation = Callable[[Node, dict[str, Array]], list[Array]]


def run_with(frontend: Frontend, case: Case, implement: Implementation) -> list[Array]:
    """Outputs of the case when every node is computed by ``implement``."""
    values = {value.name: case.feeds[value.name] for value in case.graph.inputs}
    values.update((constant.name, constant.data) for constant in case.graph.constants)
    for node in case.graph.nodes:
        outputs = implement(node, {name: values[name] for name in set(node.references())})
        values.update((value.name, np.array(array)) for value, array in zip(node.outputs, outputs, strict=True))
    return [values[name] for name in case.graph.outputs]


def eager(frontend: Frontend) -> Implementation:
    return lambda node, inputs: frontend.evaluate(node, inputs)


def double_then_rounded(frontend: Frontend) -> Implementation:
    """Every operator in float64, its results rounded to their type: the most accurate implementation there is."""

    def implement(node: Node, inputs: dict[str, Array]) -> list[Array]:
        if frontend.registry().rounding(node.target) is Rounding.EXACT:
            return frontend.evaluate(node, inputs)
        outputs = frontend.evaluate(node, {name: widen(array) for name, array in inputs.items()}, double=True)
        with np.errstate(all="ignore"):
            return [
                array.astype(DTYPES[value.type.dtype]) if dtype_name(array.dtype) in ROUNDED else array
                for value, array in zip(node.outputs, outputs, strict=True)
            ]

    return implement


def perturbed(frontend: Frontend, seed: int, ulps: float = 4.0, *, biased: bool = False) -> Implementation:
    """Inexact results of elementwise functions off by up to ``ulps`` units in the last place (of float32 and float64;
    by one in half precision, where every implementation rounds a better result)."""
    random = np.random.default_rng(seed)

    def implement(node: Node, inputs: dict[str, Array]) -> list[Array]:
        outputs = frontend.evaluate(node, inputs)
        registry = frontend.registry()
        if registry.rounding(node.target) is Rounding.EXACT or node.target not in registry:
            return outputs
        composite = registry.rounding(node.target) is Rounding.COMPOSITE
        if not composite or registry[node.target].family not in {"elementwise", "activation"}:
            return outputs
        wide = frontend.evaluate(node, {name: widen(array) for name, array in inputs.items()}, double=True)
        return [_off(array, exact, random, ulps, biased) for array, exact in zip(outputs, wide, strict=True)]

    return implement


def _off(array: Array, exact: Array, random: np.random.Generator, ulps: float, biased: bool) -> Array:
    name = dtype_name(array.dtype)
    if name not in ROUNDED or array.dtype.kind == "c" or array.shape != exact.shape:
        return array
    values = array.astype(np.float64)
    if name in {"float16", "bfloat16"}:
        ulps = 1.0
    error = 1.0 if biased else random.uniform(-1, 1, array.shape)
    with np.errstate(all="ignore"):
        moved = values * (1 + error * ulps * 2 * unit_roundoff(name))
        return np.where(np.isfinite(values) & np.isfinite(exact) & (values != exact), moved, values).astype(array.dtype)


def rewritten(frontend: Frontend) -> Implementation:
    """Other formulas and orders of summation, in the precision of the arguments."""

    def implement(node: Node, inputs: dict[str, Array]) -> list[Array]:
        rewrite = REWRITES.get(node.target)
        if rewrite is not None:
            values = {name: frontend.to_native(array) for name, array in inputs.items()}
            args = [frontend.native_argument(item, values) for item in node.args]
            kwargs = {key: frontend.native_argument(item, values) for key, item in node.kwargs}
            result = rewrite(*args, **kwargs)
            if result is not None:
                return [frontend.to_array(result)]
        return frontend.evaluate(node, inputs)

    return implement


def _sequential_sum(x: torch.Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> torch.Tensor | None:
    """One partial sum after the other, from the last element to the first, each rounded."""
    if not x.is_floating_point() or (dtype is not None and dtype != x.dtype) or x.numel() == 0:
        return None
    dims = tuple(range(x.ndim)) if dim is None or dim == () else (dim,) if isinstance(dim, int) else tuple(dim)
    total = x
    for axis in sorted((axis % max(x.ndim, 1) for axis in dims), reverse=True):
        if x.ndim == 0:
            break
        parts = total.flip(axis).unbind(axis)
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        total = result.unsqueeze(axis) if keepdim else result
    return total


def _sequential_mean(x: torch.Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> torch.Tensor | None:
    total = _sequential_sum(x.float() if x.dtype == torch.float16 else x, dim, keepdim, None)
    if total is None or (dtype is not None and dtype != x.dtype):
        return None
    return (total / (x.numel() / total.numel())).to(x.dtype)


def _matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    if not a.is_floating_point() or a.ndim < 2 or b.ndim < 2:
        return None
    total = torch.zeros(1, dtype=torch.float32 if a.element_size() < 4 else a.dtype)
    for k in reversed(range(a.shape[-1])):
        total = total + a[..., :, k : k + 1].to(total.dtype) * b[..., k : k + 1, :].to(total.dtype)
    shape = torch.matmul(a, b).shape
    return total.to(a.dtype).expand(shape)


def _softmax(x: torch.Tensor, dim: int | None = None, dtype: Any = None, **_: Any) -> torch.Tensor | None:
    if dim is None or dtype is not None or x.ndim == 0 or x.numel() == 0:
        return None
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return powers / powers.flip(dim).sum(dim, keepdim=True)


def _log_softmax(x: torch.Tensor, dim: int | None = None, dtype: Any = None, **_: Any) -> torch.Tensor | None:
    if dim is None or dtype is not None or x.ndim == 0 or x.numel() == 0:
        return None
    moved = x - x.amax(dim, keepdim=True)
    return moved - moved.exp().sum(dim, keepdim=True).log()


def _layer_norm(
    x: torch.Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> torch.Tensor:
    dims = tuple(range(-len(tuple(normalized_shape)), 0))
    moved = x - x.mean(dims, keepdim=True)
    result = moved / ((moved * moved).mean(dims, keepdim=True) + eps).sqrt()
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _gelu(x: torch.Tensor, approximate: str = "none") -> torch.Tensor | None:
    return None if approximate != "none" else 0.5 * x * (1 + torch.erf(x / 2**0.5))


def _single(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor | None]:
    def rewrite(x: Any, *args: Any, **kwargs: Any) -> torch.Tensor | None:
        plain = isinstance(x, torch.Tensor) and x.is_floating_point() and not args
        return function(x) if plain and not [key for key in kwargs if key != "inplace"] else None

    return rewrite


REWRITES: dict[str, Callable[..., torch.Tensor | None]] = {
    "torch.sum": _sequential_sum,
    "torch.mean": _sequential_mean,
    "torch.matmul": _matmul,
    "torch.nn.functional.softmax": _softmax,
    "torch.softmax": _softmax,
    "torch.nn.functional.log_softmax": _log_softmax,
    "torch.log_softmax": _log_softmax,
    "torch.nn.functional.layer_norm": _layer_norm,
    "torch.nn.functional.gelu": _gelu,
    "torch.nn.functional.silu": _single(lambda x: x / (1 + (-x).exp())),
    "torch.sigmoid": _single(lambda x: 1 / (1 + (-x).exp())),
    "torch.rsqrt": _single(lambda x: 1 / x.sqrt()),
    "torch.tanh": _single(lambda x: 2 * torch.sigmoid(2 * x) - 1),
    "torch.nn.functional.elu": _single(lambda x: torch.where(x > 0, x, x.exp() - 1)),
    "torch.nn.functional.selu": _single(
        lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1))
    ),
}
