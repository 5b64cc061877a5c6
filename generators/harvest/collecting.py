"""One entry of torch's OpInfo at a time: its samples, those of use, and the most diverse among them."""

from __future__ import annotations

import itertools
import json
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from generators.argument_classes import node_form
from generators.frontends.base import Frontend
from generators.graph import Array, Node, Ref, type_of
from generators.harvest import exclusions, trials
from generators.harvest.conversion import Unusable, target_names, to_case
from generators.harvest.domains import DOMAINS
from generators.harvest.records import Entry, Sample
from generators.serial import dumps

#: Samples kept of an entry.
KEPT = 24
#: Samples looked at of an entry, by element type; the first type is looked at closely, of the others a few.
_DTYPES = {
    torch.float32: 60,
    torch.int64: 16,
    torch.float16: 12,
    torch.float64: 12,
    torch.bfloat16: 8,
    torch.bool: 8,
    torch.int32: 8,
    torch.uint8: 6,
    torch.complex64: 8,
}
#: Seconds after which no further element type of an entry is begun, so that one entry cannot hold all others up.
_SECONDS = 25.0


@dataclass
class Candidate:
    """A sample that may be kept: its node, tensors and results, the element type it was asked for in, and what makes it
    another than the others."""

    node: Node
    arrays: dict[str, Array]
    run: trials.Run
    dtype: str
    form: str


def operator_entries() -> list[Any]:
    """Torch's list of operators. ImportError when a package that torch's test suite needs is not installed."""
    from torch.testing._internal.common_methods_invocations import op_db

    return list(op_db)


def collect_operator(frontend: Frontend, info: Any) -> Entry:
    """The entry of one OpInfo."""
    name = str(info.formatted_name).replace(".", "_")
    reason = exclusions.exclusion(info.name)
    if reason:
        return Entry(name, "operator", reason=reason)
    targets = target_names(info.op, info.name)
    if not targets:
        return Entry(name, "operator", reason="has no public name")
    operators = frontend.registry()
    if any(target in operators and operators[target].family in exclusions.LEFT_ALONE for target in targets):
        return Entry(name, "operator", targets[0], reason="is left to its hand-written sampler, which knows its domain")
    return _Collection(frontend, info, name, targets).entry()


class _Collection:
    """What is found of one entry."""

    def __init__(self, frontend: Frontend, info: Any, name: str, targets: list[str]) -> None:
        self._frontend = frontend
        self._info = info
        self._name = name
        self._targets = targets
        self._target = targets[0] if len(targets) == 1 and not _wrapped(info.op) else ""
        self._refused: Counter[str] = Counter()
        self._seen = 0
        self._has_indices: bool | None = None

    def entry(self) -> Entry:
        candidates: dict[str, list[Candidate]] = {}
        started = time.monotonic()
        for dtype, most in _DTYPES.items():
            if time.monotonic() - started > _SECONDS:
                break
            if dtype.is_complex and exclusions.has_cuts(self._info.name):
                continue
            if dtype in self._info.dtypes:
                candidates[str(dtype)] = list(self._of_dtype(dtype, most))
        samples: list[Sample] = []
        for candidate in diverse(candidates):
            try:
                samples.append(self._sample(candidate))
            except Unusable as error:
                self._refused[str(error)] += 1
            if len(samples) == KEPT:
                break
        reason = ""
        if not samples:
            reason = self._refused.most_common(1)[0][0] if self._refused else "has no samples on CPU"
        target = self._target or self._targets[0]
        return Entry(
            self._name, "operator", target, tuple(samples), reason, self._seen, dict(sorted(self._refused.items()))
        )

    def _of_dtype(self, dtype: torch.dtype, most: int) -> Iterator[Candidate]:
        torch.manual_seed(zlib.crc32(f"{self._name} {dtype}".encode()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                given = list(itertools.islice(self._info.sample_inputs("cpu", dtype, requires_grad=False), most))
            except Exception as error:  # noqa: BLE001  (torch's own functions; some need what is not installed)
                self._refused[f"its samples cannot be made: {type(error).__name__}"] += 1
                return
            for sample in given:
                self._seen += 1
                try:
                    yield self._candidate(sample, str(dtype).removeprefix("torch."))
                except Unusable as error:
                    self._refused[str(error)] += 1

    def _candidate(self, sample: Any, dtype: str) -> Candidate:
        args, kwargs = (sample.input, *sample.args), dict(sample.kwargs)
        if not self._target:
            self._target = self._same_as_wrapped(args, kwargs)
        node, arrays = to_case(self._frontend, self._target, args, kwargs)
        if trials.converts_to_integers(node, arrays):
            raise Unusable("converts floats to integers, which is undefined out of their range")
        run = trials.reliable(self._frontend, node, arrays)
        if not trials.finite(run.outputs):
            raise Unusable("is not finite")
        check_domain(node, arrays)
        return Candidate(node, arrays, run, dtype, form_of(node, arrays))

    def _same_as_wrapped(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The target that does with these arguments what the entry's function does, to the bit."""
        for target in self._targets:
            node, arrays = to_case(self._frontend, target, args, kwargs)
            try:
                ours = trials.execute(self._frontend, node, arrays)
                theirs = self._info.op(*args, **kwargs)
            except Exception:  # noqa: BLE001  (what wrappers of torch's tests raise is open)
                continue
            results = theirs if isinstance(theirs, (tuple, list)) else [theirs]
            arrays_of = [self._frontend.to_array(item) for item in results if isinstance(item, torch.Tensor)]
            if [array.tobytes() for array in arrays_of] == [array.tobytes() for array in ours.outputs]:
                return target
        raise Unusable("is a function of torch's tests that no single call stands for")

    def _sample(self, candidate: Candidate) -> Sample:
        node, arrays, run = candidate.node, candidate.arrays, candidate.run
        case = trials.as_case(node, arrays, run.outputs, run.unpack)
        trials.printed_alike(self._frontend, case, run)
        slots: tuple[Any, ...] = ()
        elastic = False
        if not exclusions.structured(self._info.name, self._info.variant_test_name):
            seed = zlib.crc32(dumps(case))
            attempt = trials.Trials(self._frontend, node, arrays, run, seed)
            slots = attempt.slots([name for name in arrays if self._is_data(name, candidate)])
            special = type(self._info).__name__ in exclusions.SPECIAL_CLASSES
            elastic = special and attempt.elastic(slots)
        return Sample(dumps(trials.fixed_as_constants(case, slots)), slots, elastic)

    def _is_data(self, name: str, candidate: Candidate) -> bool:
        """Whether a tensor holds data, not indices or masks: those are integers or booleans beside data of another
        type, and integers in an operator that takes integers only, or floats as well as indices."""
        dtype = type_of(candidate.arrays[name]).dtype
        if dtype.startswith(("float", "bfloat", "complex")):
            return True
        if dtype != candidate.dtype:
            return False
        return dtype != "int64" or not self._indexed()

    def _indexed(self) -> bool:
        """Whether samples in float32 have int64 tensors, too."""
        if torch.float32 not in self._info.dtypes:
            return True
        if self._has_indices is None:
            self._has_indices = False
            given = itertools.islice(self._info.sample_inputs("cpu", torch.float32, requires_grad=False), 10)
            for sample in given:
                try:
                    _, arrays = to_case(self._frontend, self._target, (sample.input, *sample.args), sample.kwargs)
                except Unusable:
                    continue
                self._has_indices |= any(type_of(array).dtype == "int64" for array in arrays.values())
        return self._has_indices


def form_of(node: Node, arrays: Mapping[str, Array]) -> str:
    """What samples are told apart by: classes of their arguments, types and ranks of their tensors."""
    names = {
        name: f"{type_of(array).dtype} {array.ndim}{'' if array.size else ' empty'}" for name, array in arrays.items()
    }
    return json.dumps(node_form(node, names))


def check_domain(node: Node, arrays: Mapping[str, Array]) -> None:
    """Unusable when the values are not those that the operator is documented for."""
    domain = DOMAINS.get(node.target)
    if domain and domain([arrays[item.name] if isinstance(item, Ref) else item for item in node.args]):
        raise Unusable("has values that the operator is not documented for")


def _wrapped(function: Any) -> bool:
    return getattr(function, "__name__", "") == "<lambda>"


def diverse(candidates: Mapping[str, list[Candidate]]) -> Iterator[Candidate]:
    """Candidates in an order in which types take turns, and those of a form not seen before come first; at most one
    in eight is of empty tensors."""
    queues: list[list[Candidate]] = []
    for found in candidates.values():
        forms: set[str] = set()
        new: list[Candidate] = []
        old: list[Candidate] = []
        for item in found:
            (old if item.form in forms else new).append(item)
            forms.add(item.form)
        queues.append([*new, *old])
    # The first type is the one that most models are in: it has every other turn.
    first, rest = (queues[0], queues[1:]) if queues else ([], [])
    others = [item for group in itertools.zip_longest(*rest) for item in group if item is not None]
    empty = 0
    for pair in itertools.zip_longest(first, others):
        for item in pair:
            if item is None:
                continue
            if not all(array.size for array in (*item.arrays.values(), *item.run.outputs)):
                empty += 1
                if empty > KEPT // 8:
                    continue
            yield item


__all__ = ["KEPT", "Candidate", "check_domain", "collect_operator", "diverse", "form_of", "operator_entries"]
