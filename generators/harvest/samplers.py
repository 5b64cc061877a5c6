"""Samplers made of a harvest, beside the hand-written ones.

A target without a hand-written sampler becomes an operator of the family ``harvested``. One that has a sampler keeps
it, with all that the oracle knows of the target; a tenth of its draws is a harvested sample instead, for the arguments
that nobody thought of.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Handle
from generators.graph import Array, Case, TensorType, map_references
from generators.graph import references as names_in
from generators.harvest.domains import DOMAINS
from generators.harvest.records import Entry, Harvest, HarvestError, Sample, Slot
from generators.operators.registry import Operator, Registry, Rounding, Sampler
from generators.serial import loads

#: The family of operators that have harvested samplers only.
FAMILY = "harvested"
#: Weights of such an operator and of such a module, relative to an ordinary operator's.
WEIGHT, MODULE_WEIGHT = 0.25, 0.4
#: Share of the draws of a hand-written operator that are harvested samples.
ALTERNATIVE = 0.1
#: Samples of a target, over all entries that share it.
KEPT = 24
#: Integers beyond are not put in a slot: the extremes of integers have pitfalls that only hand-written samplers know.
_LARGEST_INTEGER = 1e6
_LARGEST = 1e30
#: What slots hold that do not take everything.
_FRACTION = (0.01, 0.99)


@dataclass(frozen=True)
class _Ready:
    """A sample as a sampler needs it."""

    case: Case
    slots: Mapping[str, Slot]
    types: Mapping[str, TensorType]
    arrays: Mapping[str, Array]
    elastic: bool
    state: frozenset[str]


def with_harvest(base: Registry, harvest: Harvest) -> Registry:
    """The hand-written operators and the harvested ones."""
    mixed = Registry(base.frontend)
    for target in base.targets():
        mixed.add(base[target])
    for target, entries in harvest.targets().items():
        sampler = _Sampler(target, _merged(entries))
        if target in base:
            mixed.add(replace(base[target], sampler=_either(base[target].sampler, sampler)), again=True)
        else:
            weight = MODULE_WEIGHT if entries[0].kind == "module" else WEIGHT
            mixed.add(Operator(target, sampler, FAMILY, Rounding.COMPOSITE, weight, domain=DOMAINS.get(target)))
    return mixed


def _merged(entries: Sequence[Entry]) -> tuple[Sample, ...]:
    """Samples of entries that share a target, in turn."""
    longest = max(len(entry.samples) for entry in entries)
    turns = [entry.samples[turn] for turn in range(longest) for entry in entries if turn < len(entry.samples)]
    return tuple(turns[:KEPT])


def _either(written: Sampler, harvested: Sampler) -> Sampler:
    def sampler(draw: Draw) -> Call:
        return harvested(draw) if draw.flag(ALTERNATIVE) else written(draw)

    return sampler


class _Sampler:
    """Draws one of the samples, with values of the graph and fresh ones in its slots."""

    def __init__(self, target: str, samples: Sequence[Sample]) -> None:
        self._target = target
        self._samples = samples
        self._ready: dict[int, _Ready] = {}

    @functools.cached_property
    def _by_type(self) -> dict[TensorType, list[int]]:
        """Samples that have a slot of that type."""
        found: dict[TensorType, list[int]] = {}
        for index, sample in enumerate(self._samples):
            for kind in dict.fromkeys(TensorType(slot.dtype, slot.shape) for slot in sample.slots):
                found.setdefault(kind, []).append(index)
        return found

    @functools.cached_property
    def _elastic(self) -> dict[str, list[int]]:
        """Elastic samples by the dtype of their first slot."""
        found: dict[str, list[int]] = {}
        for index, sample in enumerate(self._samples):
            if sample.elastic:
                found.setdefault(sample.slots[0].dtype, []).append(index)
        return found

    def _decoded(self, index: int) -> _Ready:
        """The sample of that number. HarvestError when it is no sample."""
        ready = self._ready.get(index)
        if ready is None:
            ready = self._ready[index] = _decode(self._target, self._samples[index])
        return ready

    def __call__(self, draw: Draw) -> Call:
        sample = self._pick(draw)
        handles: dict[str, Handle] = {}
        shape: tuple[int, ...] | None = None
        [node] = sample.case.graph.nodes
        for name in dict.fromkeys(node.references()):
            slot = sample.slots.get(name)
            if slot is None:
                handles[name] = _kept(draw, sample.arrays[name], sample.types[name].dtype, name in sample.state)
            elif sample.elastic:
                handles[name] = _elastic(draw, slot, sample.types[name].dtype, shape)
                shape = handles[name].shape if shape is None else shape
            else:
                handles[name] = _like(draw, slot, sample.types[name])
        change = cast("Callable[[str], Any]", handles.__getitem__)
        args = tuple([map_references(argument, change) for argument in node.args])
        kwargs = {key: map_references(argument, change) for key, argument in node.kwargs}
        return Call(self._target, args, kwargs)

    def _pick(self, draw: Draw) -> _Ready:
        """A sample, mostly one that a value at hand fits in: graphs are to be deep."""
        if draw.flag(0.9):
            fitting: list[int] = []
            for handle in draw.at_hand(4):
                fitting += self._by_type.get(handle.type, ())
                if handle.size <= MAX_ELEMENTS:
                    fitting += self._elastic.get(handle.dtype, ())
            if fitting:
                return self._decoded(draw.choice(fitting))
        return self._decoded(draw.integer(0, len(self._samples) - 1))


def _decode(target: str, sample: Sample) -> _Ready:
    try:
        case = loads(sample.case)
        [node] = case.graph.nodes
    except ValueError as error:  # GraphError, or not one node
        raise HarvestError(f"a sample of {target} is damaged: {error}") from error
    arrays = {**case.feeds, **{constant.name: constant.data for constant in case.graph.constants}}
    state = frozenset(name for key, value in node.kwargs if key == "state" for name in names_in(value))
    slots = {slot.name: slot for slot in sample.slots}
    return _Ready(case, slots, case.graph.types(), arrays, sample.elastic, state)


def _fits(slot: Slot, handle: Handle) -> bool:
    """Whether a value may be put in the slot."""
    if handle.array.dtype.kind in "bc":
        return slot.free or handle.array.dtype.kind == "b"
    if slot.free:
        limit = _LARGEST_INTEGER if handle.array.dtype.kind in "iu" else _LARGEST
        return handle.within(-limit, limit)
    return "fractions" in slot.profiles and handle.array.dtype.kind not in "iu" and handle.within(*_FRACTION)


def _like(draw: Draw, slot: Slot, kind: TensorType) -> Handle:
    """A value of that very type: one at hand mostly, else a fresh one of a profile that the slot takes."""
    if draw.flag(0.9):
        fitting = [handle for handle in draw.at_hand() if handle.type == kind and _fits(slot, handle)]
        if fitting:
            return _chosen(draw, slot, fitting)
    return draw.tensor(kind.shape, kind.dtype, draw.choice(slot.profiles), reuse=False)


def _chosen(draw: Draw, slot: Slot, fitting: list[Handle]) -> Handle:
    handle = draw.choice(fitting)
    draw.require(handle, lambda handle: _fits(slot, handle))
    return handle


def _elastic(draw: Draw, slot: Slot, dtype: str, shape: tuple[int, ...] | None) -> Handle:
    """A value of any shape, or of one that broadcasts with ``shape``."""
    if draw.flag(0.9):
        fitting = [handle for handle in draw.at_hand() if handle.dtype == dtype and _fits(slot, handle)]
        if shape is not None:
            fitting = [handle for handle in fitting if _broadcasts(handle.shape, shape)]
        if fitting:
            return _chosen(draw, slot, fitting)
    fresh = draw.shape() if shape is None else draw.broadcast_shape(shape)
    if shape is not None and not _broadcasts(fresh, shape):
        fresh = shape
    return draw.tensor(fresh, dtype, draw.choice(slot.profiles), reuse=False)


def _broadcasts(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    try:
        joint = np.broadcast_shapes(left, right)
    except ValueError:
        return False
    size = 1
    for extent in joint:
        size *= extent
    return size <= MAX_ELEMENTS


def _kept(draw: Draw, array: Array, dtype: str, state: bool) -> Handle:
    """The sample's own values: indices, masks, counts and the ``state`` of modules are constants, as in most models,
    data may be an input."""
    constant = True if state or array.dtype.kind in "biu" else None
    return draw.given(array, dtype, constant=constant)


__all__ = ["FAMILY", "with_harvest"]
