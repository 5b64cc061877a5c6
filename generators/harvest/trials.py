"""Finding out by running it what a node does: whether its result is its own, and which other values it takes."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from generators.frontends.base import EvaluationError, Frontend
from generators.graph import FLOATING, Array, Case, DType, Graph, GraphError, Node, type_of
from generators.harvest.conversion import MAX_ELEMENTS, Unusable, as_case
from generators.harvest.records import Slot
from generators.values import draw_array

#: Profiles tried on each slot, in this order. Those with NaN, infinities and extremes of integers are not among them.
TRIED = ("typical", "integers", "fractions", "negative", "zeros_and_signs", "ties", "large", "tiny")
#: A slot that takes all of these takes the values that graphs have, too.
_ORDINARY = frozenset({"typical", "integers", "fractions", "negative", "zeros_and_signs"})
#: Times that all slots are filled with what they take, one by one, together.
_TOGETHER = 6
#: M_PERTURB of mallopt(3): glibc fills what it hands out with the complement of this byte.
_PERTURB = -6
_FILLS = (0x5A, 0xA3)
#: Shapes that elastic operators are tried with.
_SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (2, 3), (1, 4, 2), (2, 1, 3, 2))


@dataclass
class Run:
    """Results of a node."""

    outputs: list[Array]
    unpack: bool


def execute(frontend: Frontend, node: Node, arrays: Mapping[str, Array]) -> Run:
    """The node's results, copied. Unusable when it raises, writes into an argument, or returns what no graph value
    can hold."""
    natives = {name: frontend.to_native(array) for name, array in arrays.items()}
    try:
        outputs, unpack = frontend.call(node, natives)
        results = [np.array(frontend.to_array(output), copy=True) for output in outputs]
        kinds = [type_of(array) for array in results]
    except (EvaluationError, GraphError) as error:
        raise Unusable(_why(node, str(error))) from error
    for name, array in arrays.items():
        if frontend.to_array(natives[name]).tobytes() != array.tobytes():
            raise Unusable("writes into its argument")
    if not results:
        raise Unusable("returns nothing")
    if sum(kind.size for kind in kinds) > MAX_ELEMENTS:
        raise Unusable(f"has more than {MAX_ELEMENTS} elements")
    return Run(results, unpack)


def _why(node: Node, message: str) -> str:
    words = message.removeprefix(node.target).removeprefix(": ").strip()
    if words.startswith("returned "):
        return "returns " + words.removeprefix("returned ").replace(", not a tensor", "")
    return "raises in eager mode: " + words.partition(":")[0][:60]


def reliable(frontend: Frontend, node: Node, arrays: Mapping[str, Array]) -> Run:
    """The node's results when two runs on differently filled memory agree to the bit. Unusable otherwise."""
    libc = ctypes.CDLL(None)
    runs = []
    state = torch.get_rng_state()
    for fill in _FILLS:
        libc.mallopt(_PERTURB, fill)
        try:
            runs.append(execute(frontend, node, arrays))
        finally:
            libc.mallopt(_PERTURB, 0)
    if not torch.equal(state, torch.get_rng_state()):
        raise Unusable("draws random numbers")
    first, second = runs
    if not _same(first.outputs, second.outputs):
        raise Unusable("gives another result in a second run")
    return first


def _same(left: Sequence[Array], right: Sequence[Array]) -> bool:
    return len(left) == len(right) and all(
        a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in zip(left, right, strict=True)
    )


def printed_alike(frontend: Frontend, case: Case, run: Run) -> None:
    """Unusable unless the arguments are documented ones and the printed source gives the very same results."""
    try:
        frontend.check_arguments(case.graph)
        results = frontend.execute(frontend.load(case))
    except Exception as error:  # what a printed source of someone else's arguments raises is open
        raise Unusable(f"cannot be printed: {type(error).__name__}") from error
    if not _same(results, run.outputs):
        raise Unusable("its printed source gives another result")


def finite(outputs: Sequence[Array]) -> bool:
    """Whether no element is NaN or infinite."""
    for array in outputs:
        if array.dtype.kind not in "fcV":
            continue
        wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
        if not np.isfinite(wide).all():
            return False
    return True


class Trials:
    """Tries other values in the slots of one node."""

    def __init__(self, frontend: Frontend, node: Node, arrays: Mapping[str, Array], run: Run, seed: int) -> None:
        self._frontend = frontend
        self._node = node
        self._arrays = dict(arrays)
        self._shapes = [array.shape for array in run.outputs]
        self._dtypes = [array.dtype for array in run.outputs]
        self._random = np.random.default_rng([0x6861, seed])

    def _takes(self, changed: Mapping[str, Array], *, elastic: bool = False) -> bool:
        try:
            run = execute(self._frontend, self._node, {**self._arrays, **changed})
        except Unusable:
            return False
        if [array.dtype for array in run.outputs] != self._dtypes or not finite(run.outputs):
            return False
        return elastic or [array.shape for array in run.outputs] == self._shapes

    def _draw(self, name: str, profile: str, shape: tuple[int, ...] | None = None) -> Array:
        array = self._arrays[name]
        return draw_array(self._random, array.shape if shape is None else shape, type_of(array).dtype, profile)

    def slots(self, names: Sequence[str]) -> tuple[Slot, ...]:
        """Those of the named tensors that take other values, with the profiles that they take together."""
        found: dict[str, list[str]] = {}
        for name in names:
            tried = ("typical",) if self._arrays[name].dtype.kind == "c" else TRIED
            takes = [
                profile for profile in tried if all(self._takes({name: self._draw(name, profile)}) for _ in range(2))
            ]
            if takes:
                found[name] = takes
        for kept in (TRIED, tuple(_ORDINARY), ("typical", "fractions"), ("fractions",)):
            mild = {name: [profile for profile in takes if profile in kept] for name, takes in found.items()}
            mild = {name: takes for name, takes in mild.items() if takes}
            if mild and all(self._takes(self._filled(mild)) for _ in range(_TOGETHER)):
                return tuple(self._slot(name, takes) for name, takes in mild.items())
        return ()

    def _slot(self, name: str, takes: Sequence[str]) -> Slot:
        kind = type_of(self._arrays[name])
        return Slot(name, tuple(takes), set(takes) >= _ORDINARY, kind.dtype, kind.shape)

    def _filled(self, takes: Mapping[str, Sequence[str]]) -> dict[str, Array]:
        return {name: self._draw(name, profiles[int(self._random.integers(len(profiles)))]) for name, profiles in
                takes.items()}  # fmt: skip

    def elastic(self, slots: Sequence[Slot]) -> bool:
        """Whether all tensors are slots and may have any shapes that broadcast."""
        if {slot.name for slot in slots} != self._arrays.keys():
            return False
        for shape in _SHAPES:
            changed = {
                slot.name: self._draw(slot.name, slot.profiles[0], shape if index == 0 else shape[1:])
                for index, slot in enumerate(slots)
            }
            if not self._takes(changed, elastic=True):
                return False
        return True


def converts_to_integers(node: Node, arrays: Mapping[str, Array]) -> bool:
    """Whether an argument asks for integers of floats, which is undefined out of their range."""
    floats = any(type_of(array).dtype in FLOATING or array.dtype.kind == "c" for array in arrays.values())
    wanted = [value.name for value in (*node.args, *(value for _, value in node.kwargs)) if isinstance(value, DType)]
    return floats and any("int" in name or name == "bool" for name in wanted)


def fixed_as_constants(case: Case, slots: Sequence[Slot]) -> Case:
    """The case in which tensors that keep their values are constants, as indices and masks of a model mostly are."""
    from generators.graph import Constant

    free = {slot.name for slot in slots}
    graph = case.graph
    kept = [Constant(item.name, case.feeds[item.name]) for item in graph.inputs if item.name not in free]
    constants = (*graph.constants, *kept)
    inputs = tuple(item for item in graph.inputs if item.name in free)
    graph = Graph(graph.frontend, inputs, constants, graph.nodes, graph.outputs)
    return Case(graph, {item.name: case.feeds[item.name] for item in inputs})


__all__ = [
    "Run",
    "Trials",
    "as_case",
    "converts_to_integers",
    "execute",
    "finite",
    "fixed_as_constants",
    "printed_alike",
    "reliable",
]
