"""Element types become customary ones: float32 for floats, int64 and int32 for integers, jointly where they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import ml_dtypes
import numpy as np

from generators.graph import DTYPES, Argument, Array, Case, DType, Node, all_nodes
from oracles.minimize.edits import Edit, change_node, map_literals, tensors, with_tensors
from oracles.minimize.literals import Path, arguments, replace_argument
from oracles.minimize.simplicity import DTYPE_ORDER, dtype_cost

NAME = "dtypes"
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_COMPLEX = frozenset({"complex64", "complex128"})


def propose(case: Case) -> Iterator[Edit]:
    """Edits of an element type wherever it occurs (bold when it stays a float or an integer), then of one tensor or
    one argument."""
    arrays = tensors(case)
    used = {array.dtype.name for array in arrays.values()}
    literals = {
        value.name for node in all_nodes(case.graph) for _, value in arguments(node) if isinstance(value, DType)
    }
    for old in sorted(used | literals, key=dtype_cost):
        for new in _simpler(old):
            yield Edit(NAME, f"{old} to {new}", _everywhere(old, new), bold=new == _home(old))
    for name, array in arrays.items():
        for new in _simpler(array.dtype.name):
            yield Edit(NAME, f"{name} to {new}", _one(name, new))
    for index, node in enumerate(case.graph.nodes):
        for path, value in arguments(node):
            if isinstance(value, DType):
                for new in _simpler(value.name):
                    yield Edit(NAME, f"node {index} {path} to {new}", _argument(index, path, value, new))


def cast(array: Array, dtype: str) -> Array:
    """The elements in another type: clipped to its range, NaN as 0 in integers, imaginary parts dropped."""
    kind = DTYPES[dtype]
    if array.dtype.kind == "c" and dtype not in _COMPLEX:
        array = array.real
    with np.errstate(all="ignore"):
        if dtype == "bool":
            return np.asarray(array.astype(np.float64) != 0)
        if np.issubdtype(kind, np.integer):
            info = np.iinfo(kind)
            if array.dtype.kind in "iub":
                numbers = array.reshape(-1).tolist()
            else:
                wide = np.nan_to_num(array.astype(np.float64).reshape(-1), posinf=1e30, neginf=-1e30)
                numbers = wide.tolist()
            # Python integers, since the largest int64 has no float64.
            whole = [min(max(int(number), int(info.min)), int(info.max)) for number in numbers]
            return np.array(whole, kind).reshape(array.shape)
        if dtype in _FLOATS and kind.itemsize < 4:
            limit = float(ml_dtypes.finfo(kind).max)  # type: ignore[no-untyped-call]
            wide = array.astype(np.float64)
            return np.asarray(np.where(np.isfinite(wide), np.clip(wide, -limit, limit), wide).astype(kind))
        return np.asarray(array.astype(kind))


def _home(dtype: str) -> str:
    return "float32" if dtype in _FLOATS or dtype in _COMPLEX else "int64"


def _simpler(dtype: str) -> list[str]:
    """Simpler types to try: the nearest kind first, never from a number to a truth value."""
    found = [name for name in DTYPE_ORDER if dtype_cost(name) < dtype_cost(dtype) and name != "bool"]
    if dtype in _COMPLEX:
        return [name for name in found if name in {"complex64", "float32"}]
    return [name for name in found if name in {"float32", "float64", "int64", "int32"}]


def _everywhere(old: str, new: str) -> Callable[[Case], Case | None]:
    def literal(value: Argument) -> Argument:
        return DType(new) if value == DType(old) else value

    def apply(case: Case) -> Case | None:
        changed = {name: cast(array, new) for name, array in tensors(case).items() if array.dtype.name == old}
        return map_literals(with_tensors(case, changed), literal)

    return apply


def _one(name: str, new: str) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        array = tensors(case).get(name)
        if array is None or dtype_cost(new) >= dtype_cost(array.dtype.name):
            return None
        return with_tensors(case, {name: cast(array, new)})

    return apply


def _argument(index: int, path: Path, old: DType, new: str) -> Callable[[Case], Case | None]:
    def change(node: Node) -> Node | None:
        return replace_argument(node, path, DType(new)) if (path, old) in arguments(node) else None

    return lambda case: change_node(case, index, change)
