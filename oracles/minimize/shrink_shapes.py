"""Every dimension as small as the failure allows; dimensions that must agree move together.

Which dimensions must agree is not known without knowing the operators, so classes of equal extents are guessed:
all dimensions of one extent, those of them at one position counted from the left or the right, all but one, pairs,
single ones. A wrong guess is refused by eager execution and costs no conversion. Literals follow: those equal to an
old extent, those beyond a new one, those that are multiples (the product of a reshape). Recorded data is sliced, at
the head or the tail; integers that may be indices are wrapped into the new extent.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from generators.graph import Argument, Array, Case, Node
from generators.transforms import map_arguments
from oracles.minimize.edits import Edit, change_node, map_literals, siblings, tensors, with_nodes, with_tensors
from oracles.minimize.literals import Path, arguments, replace_argument

NAME = "shapes"
RANKS = "ranks"
Dim: TypeAlias = "tuple[str, int]"
#: Most subsets of one class of equal extents that are tried.
SUBSETS = 48


def propose(case: Case) -> Iterator[Edit]:
    """All dimensions small at once (bold), then classes and subsets of them; reshape products last."""
    yield from _everything_small(case)
    arrays = tensors(case)
    extents: dict[int, list[Dim]] = defaultdict(list)
    for name, array in arrays.items():
        for axis, extent in enumerate(array.shape):
            if extent > 1:
                extents[extent].append((name, axis))
    indexed = _has_integers(case)
    for extent, dims in sorted(extents.items(), reverse=True):
        for new in _smaller(extent):
            yield _edit(dims, extent, new, _swap(extent, new), "with literals")
            yield _edit(dims, extent, new, None, "")
            yield _edit(dims, extent, new, _swap(extent, new), "tail, with literals", tail=True)
            if indexed:
                yield _edit(dims, extent, new, _swap(extent, new), "wrapped", wrap=True)
        for subset in _subsets(dims, arrays):
            for new in _smaller(extent):
                yield _edit(subset, extent, new, None, "")
                if indexed:
                    yield _edit(subset, extent, new, None, "wrapped", wrap=True)
            yield _edit(subset, extent, extent - 1, None, "tail", tail=True)
    yield from _products(case, [(dim, extent) for extent, dims in extents.items() for dim in dims])


def _everything_small(case: Case) -> Iterator[Edit]:
    indexed = _has_integers(case)
    for most in (1, 2, 3):
        for wrap in (False, True) if indexed else (False,):
            for label, literal in (
                ("", None),
                ("literals equal to extents", _shrink_extents(case, most)),
                ("literals clipped", _clip(most)),
            ):
                what = f"all at most {most}, {label}{', wrapped' if wrap else ''}"
                yield Edit(NAME, what, _all_at_most(most, literal, wrap), bold=True)


def _all_at_most(
    most: int, literal: Callable[[Argument], Argument] | None, wrap: bool
) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        wanted = {
            (name, axis): most
            for name, array in tensors(case).items()
            for axis, extent in enumerate(array.shape)
            if extent > most
        }
        return resize(case, wanted, literal, wrap=most if wrap else 0)

    return apply


def resize(
    case: Case,
    wanted: Mapping[Dim, int],
    literal: Callable[[Argument], Argument] | None = None,
    *,
    tail: bool = False,
    wrap: int = 0,
) -> Case | None:
    """The case with these dimensions sliced to smaller extents, from the start or the end.

    ``literal`` changes the literals of all nodes; with ``wrap``, integer data is taken modulo it (the sign of a
    negative index kept). None when there is nothing to change.
    """
    if not wanted:
        return None
    changed: dict[str, Array] = {}
    for name, array in tensors(case).items():
        cut = [slice(None)] * array.ndim
        for axis in range(array.ndim):
            new = wanted.get((name, axis))
            if new is not None:
                cut[axis] = slice(array.shape[axis] - new, None) if tail else slice(new)
        part = array[tuple(cut)]
        if wrap and part.dtype.kind in "iu" and part.size:
            part = np.fmod(part, np.asarray(wrap, part.dtype))
        if part.shape != array.shape or part is not array:
            changed[name] = np.array(part, order="C")
    result = with_tensors(case, changed)
    return result if literal is None else map_literals(result, literal)


def _edit(
    dims: Iterable[Dim],
    old: int,
    new: int,
    literal: Callable[[Argument], Argument] | None,
    how: str,
    *,
    tail: bool = False,
    wrap: bool = False,
) -> Edit:
    dims = tuple(dims)

    def apply(case: Case) -> Case | None:
        arrays = tensors(case)
        for name, axis in dims:
            if name not in arrays or axis >= arrays[name].ndim or arrays[name].shape[axis] != old:
                return None
        return resize(case, dict.fromkeys(dims, new), literal, tail=tail, wrap=new if wrap else 0)

    return Edit(NAME, f"{dims}: {old} to {new} {how}", apply)


def _smaller(extent: int) -> list[int]:
    return sorted({new for new in (1, 2, 3, extent // 2, extent - 1) if 1 <= new < extent})


def _subsets(dims: list[Dim], arrays: Mapping[str, Array]) -> list[tuple[Dim, ...]]:
    """Subsets of a class of dimensions that plausibly must agree, the class itself left out."""
    found: dict[tuple[Dim, ...], None] = {}

    def add(subset: Iterable[Dim]) -> None:
        chosen = tuple(subset)
        if chosen and len(chosen) < len(dims):
            found[chosen] = None

    for position in range(max((axis for _, axis in dims), default=-1) + 1):
        add(dim for dim in dims if dim[1] == position)
        add(dim for dim in dims if arrays[dim[0]].ndim - dim[1] == position + 1)
    for name in {name: None for name, _ in dims}:
        add(dim for dim in dims if dim[0] == name)
    for left_out in dims:
        add(dim for dim in dims if dim != left_out)
    for dim in dims:
        add((dim,))
    for pair in itertools.combinations(dims, 2):
        add(pair)
    return list(found)[:SUBSETS]


def _products(case: Case, dims: list[tuple[Dim, int]]) -> Iterator[Edit]:
    """One dimension and one integer literal divided by the same factor: the arguments of reshapes."""
    literals = [
        (index, path, value)
        for index, node in enumerate(case.graph.nodes)
        for path, value in arguments(node)
        if isinstance(value, int) and not isinstance(value, bool) and value > 1
    ]
    if len(literals) * len(dims) > 100:
        return
    for (dim, extent), (index, path, value) in itertools.product(dims, literals):
        for factor in sorted({extent, 2, 3}):
            if extent % factor == 0 and value % factor == 0:
                what = f"{dim}: {extent} and argument {path} divided by {factor}"
                small = _edit((dim,), extent, extent // factor, None, "")
                yield Edit(NAME, what, _with_argument(small, index, path, value, value // factor))


def _with_argument(small: Edit, index: int, path: Path, old: int, new: int) -> Callable[[Case], Case | None]:
    def change(node: Node) -> Node | None:
        return replace_argument(node, path, new) if (path, old) in arguments(node) else None

    def apply(case: Case) -> Case | None:
        resized = small.apply(case)
        return change_node(resized, index, change) if resized is not None else None

    return apply


def _has_integers(case: Case) -> bool:
    return any(array.dtype.kind in "iu" for array in tensors(case).values())


def _plain_integer(value: Argument) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _swap(old: int, new: int) -> Callable[[Argument], Argument]:
    return lambda value: new if _plain_integer(value) and value == old else value


def _clip(most: int) -> Callable[[Argument], Argument]:
    return lambda value: most if isinstance(value, int) and _plain_integer(value) and value > most else value


def _shrink_extents(case: Case, most: int) -> Callable[[Argument], Argument]:
    extents = {extent for array in tensors(case).values() for extent in array.shape if extent > most}
    return lambda value: most if _plain_integer(value) and value in extents else value


def propose_ranks(case: Case) -> Iterator[Edit]:
    """Tensors lose dimensions: all of the highest rank a leading or trailing one, and any axis jointly; a tensor
    keeps at least one. Axis arguments move along."""
    arrays = tensors(case)
    ranks = [array.ndim for array in arrays.values()]
    highest = max(ranks, default=0)
    for rank in range(1, highest):
        for trailing in (False, True):
            for label, change in _axis_changes(highest, rank):
                what = f"rank {rank}{' trailing' if trailing else ''}, {label}"
                yield Edit(RANKS, what, _to_rank(rank, trailing, change), bold=label == "axes as they are")
    for rank in sorted(set(ranks)):
        for axis in range(rank) if rank > 1 else ():
            yield Edit(RANKS, f"axis {axis} of rank {rank}", _without_axis(rank, axis))
    for name, array in arrays.items():
        if array.ndim > 1 and len(arrays) > 1:
            yield Edit(RANKS, f"{name} leading", _one_leading(name))


def _axis_changes(old: int, new: int) -> list[tuple[str, Callable[[Argument], Argument]]]:
    def clip(value: Argument) -> Argument:
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        return new - 1 if new <= value < old else -new if -old <= value < -new else value

    return [("axes as they are", lambda value: value), ("axes clipped", clip)]


def _drop(array: Array, axis: int) -> Array:
    return np.array(np.take(array, 0, axis=axis), order="C")


def _to_rank(rank: int, trailing: bool, change: Callable[[Argument], Argument]) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        changed = {}
        for name, array in tensors(case).items():
            while array.ndim > rank and array.size:
                array = _drop(array, -1 if trailing else 0)
                changed[name] = array
        return map_literals(with_tensors(case, changed), change) if changed else None

    return apply


def _without_axis(rank: int, axis: int) -> Callable[[Case], Case | None]:
    def shift(value: Argument) -> Argument:
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        if axis < value < rank:
            return value - 1
        return value + 1 if -rank <= value < axis - rank else value

    def shifted(value: Argument) -> Argument:
        # A tuple with an entry for each dimension (a shape, a permutation) loses the one of this axis.
        if isinstance(value, tuple) and len(value) == rank and all(_plain_integer(item) for item in value):
            if sorted(value) == list(range(rank)):  # type: ignore[type-var]
                return tuple(item - (item > axis) for item in value if item != axis)  # type: ignore[operator]
            return value[:axis] + value[axis + 1 :]
        return value

    def apply(case: Case) -> Case | None:
        changed = {
            name: _drop(array, axis) for name, array in tensors(case).items() if array.ndim == rank and array.size
        }
        if not changed:
            return None
        nodes = []
        for node in with_tensors(case, changed).graph.nodes:
            for path, value in list(arguments(node)):
                new = shifted(value)
                if new is not value:
                    node = replace_argument(node, path, new)
                    break
            else:
                node = map_arguments(node, shift)
            nodes.append(node)
        return with_nodes(with_tensors(case, changed), nodes)

    return apply


def _one_leading(name: str) -> Callable[[Case], Case | None]:
    def apply(case: Case) -> Case | None:
        arrays = tensors(case)
        array = arrays.get(name)
        if array is None or array.ndim < 2 or not array.size:
            return None
        every = [other for other in siblings(case, name) if arrays[other].shape[0]]
        return with_tensors(case, {other: _drop(arrays[other], 0) for other in every})

    return apply
