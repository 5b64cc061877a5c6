"""Which of two cases is simpler: the order in which the minimizer descends.

Every accepted step is strictly smaller in this order, so that minimization ends, and starting again from its result
changes nothing. Nothing here depends on the types of nodes' outputs, which are stale in candidates.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from generators.graph import Argument, Array, Case, DType, Graph, Path, Ref, Slice, Symbol, all_constants, node_count

Key: TypeAlias = tuple[float, ...]

#: Element types from the most to the least customary in a bug report.
DTYPE_ORDER: tuple[str, ...] = (
    "float32",
    "int64",
    "int32",
    "bool",
    "float64",
    "float16",
    "bfloat16",
    "uint8",
    "int8",
    "int16",
    "complex64",
    "complex128",
)
_DTYPE_COST: Mapping[str, int] = {name: cost for cost, name in enumerate(DTYPE_ORDER)}


def dtype_cost(name: str) -> int:
    """Place of an element type in :data:`DTYPE_ORDER`; the end for one that is not in it."""
    return _DTYPE_COST.get(name, len(DTYPE_ORDER))


def _path_cost(path: Path) -> int:
    return 10 * len(path) + sum(2 * isinstance(part, str) + isinstance(part, tuple) for part in path)


def simplicity(case: Case) -> Key:
    """Sort key: nodes, those of bodies included, then whether special values are there, dynamic dimensions, further
    sizes, arguments and results that hold several tensors, tensors, elements, ranks, outputs, dtypes, arguments,
    constants, layouts and at last the elements themselves."""
    graph = case.graph
    constants = list(all_constants(graph))
    further = [feeds[value.name] for feeds in case.further for value in graph.inputs]
    arrays = [*(case.feeds[value.name] for value in graph.inputs), *(constant.data for constant in constants)]
    kinds = [*(value.type for value in graph.inputs), *(constant.type for constant in constants)]
    return (
        node_count(graph),
        any(is_special(array) for array in (*arrays, *further)),
        sum(symbol is not None for value in graph.inputs for symbol in value.dynamic),
        len(case.further),
        # A tuple is simpler than a list, that than a dictionary, one level than two.
        sum(_path_cost(value.path) for value in graph.inputs)
        + sum(_path_cost(path) for name, path in graph.places if name in graph.outputs),
        # Sizes at which there is nothing are a matter of their own.
        sum(not array.size for array in further),
        len(arrays),
        sum(kind.size for kind in kinds) + sum(array.size for array in further),
        sum(kind.rank for kind in kinds),
        len(graph.outputs),
        sum(dtype_cost(kind.dtype) for kind in kinds),
        sum(_node_cost(node.args, node.kwargs) for node in graph.nodes),
        # A constant of a body could be one of the graph, and that an input.
        2 * len(constants) - len(graph.constants) + sum(constant.trainable for constant in constants),
        sum(bool(value.layout) for value in graph.inputs),
        sum(value_cost(array) for array in (*arrays, *further)),
    )


def _node_cost(args: tuple[Argument, ...], kwargs: tuple[tuple[str, Argument], ...]) -> float:
    return sum(2 + argument_cost(value) for value in args) + sum(3 + argument_cost(value) for _, value in kwargs)


def argument_cost(value: Argument) -> float:
    """How hard an argument is to read: 0 < 1 < 2 < … < negative numbers < fractions; tuples of equal items are
    simpler than mixed ones."""
    if value is None or value is Ellipsis or isinstance(value, Ref):
        return 0.5
    if isinstance(value, bool):
        return 1.5 if value else 1.0
    if isinstance(value, (int, float)):
        return number_cost(value)
    if isinstance(value, complex):
        return 20 + number_cost(value.real) + number_cost(value.imag)
    if isinstance(value, DType):
        return 2 + dtype_cost(value.name)
    if isinstance(value, (str, Symbol)):
        return 5.0
    if isinstance(value, Slice):
        return 1 + sum(argument_cost(item) for item in (value.start, value.stop, value.step))
    if isinstance(value, tuple):
        different = len({repr(item) for item in value if not isinstance(item, Ref)})
        return 1 + sum(argument_cost(item) for item in value) + 3 * max(different - 1, 0)
    if isinstance(value, Graph):
        inside = sum(_node_cost(node.args, node.kwargs) for node in value.nodes)
        return 20 + 3 * len(value.inputs) + len(value.outputs) + inside
    raise TypeError(f"no argument: {value!r}")


def number_cost(value: int | float) -> float:
    """How hard a number is to read."""
    cost = 1.0 + min(abs(value), 10.0) if np.isfinite(value) else 40.0
    if abs(value) > 10:
        cost += len(repr(abs(value)))
    if value < 0 or (value == 0 and str(value).startswith("-")):
        cost += 1.5
    if isinstance(value, float):
        cost += 0.25 if value.is_integer() else 10 + len(repr(value))
    return cost


def is_special(array: Array) -> bool:
    """Whether the array holds a NaN, an infinity, an extreme of its integer type or an integer beyond 2^24.

    The extremes of 8-bit and of boolean types are ordinary data and do not count.
    """
    if array.dtype.kind in "fcV":
        wide = array if array.dtype.kind in "fc" else array.astype(np.float32)
        return not bool(np.isfinite(wide).all())
    if array.dtype.kind in "iu" and array.dtype.itemsize > 1 and array.size:
        info = np.iinfo(array.dtype)
        low, high = int(array.min()), int(array.max())
        return bool(low <= info.min + (info.min < 0) or high >= info.max - 1 or max(high, -low) > 2**24)
    return False


def value_cost(array: Array) -> float:
    """How hard the elements are to read: zeros are free, then ones, counting up, small integers, short decimals."""
    return _value_cost(array.dtype, np.asarray(array).tobytes())


@functools.lru_cache(maxsize=8192)
def _value_cost(dtype: np.dtype[Any], data: bytes) -> float:
    flat: Array = np.frombuffer(data, dtype)
    if dtype.kind == "b":
        return float(flat.sum())
    if dtype.kind == "c":
        return value_cost(flat.real) + 2 * value_cost(flat.imag)
    numbers = flat.astype(np.float64)
    if flat.size > 1 and np.array_equal(numbers, np.arange(flat.size)):
        return 1.5 * flat.size
    return float(_element_costs(flat, numbers).sum())


def _element_costs(flat: Array, numbers: np.ndarray[Any, np.dtype[np.float64]]) -> Array:
    size = np.abs(numbers)
    cost = np.full(flat.shape, 17.0)
    with np.errstate(all="ignore"):
        for digits in (4, 3, 2, 1):
            cost[np.round(numbers, digits).astype(flat.dtype) == flat] = 10.0 + digits
        cost[numbers * 2 == np.floor(numbers * 2)] = 9.0
        whole = numbers == np.floor(numbers)
        cost[whole] = 3.0 + np.log10(np.maximum(size[whole], 1.0))
        cost[whole & (size <= 9)] = 2.0 + 0.01 * size[whole & (size <= 9)]
        cost[size == 1] = 1.0
        cost[size == 0] = 0.0
        cost[np.signbit(numbers)] += 0.5
        cost[~whole & (size < 1e-4)] += 4.0
        cost[size > 1e6] += 4.0
    cost[~np.isfinite(numbers)] = 40.0
    return cost
