"""Asking whether candidates still fail: cached, counted, budgeted, the best answer always kept."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from generators.graph import Array, Case, Constant, Graph, Node, all_constants, node_count
from generators.transforms import canonical, map_bodies
from oracles.minimize.records import Budget, PassStatistics
from oracles.minimize.simplicity import simplicity
from oracles.outcome import PERFORMANCE, Kind, Observation, Signature, Stage, Tester, Trial, Verdict

#: Kinds judged output by output: candidates packed into one conversion get a verdict each.
PACKABLE = frozenset({Kind.DTYPE, Kind.SHAPE, Kind.NONFINITE, Kind.VALUE})
#: Stages behind the conversion. Where artifacts of unions can be cut in slices, each candidate is judged by its own.
BEHIND = frozenset({Stage.VALIDATE, Stage.RUNTIME_LOAD, Stage.INFERENCE})
#: Most nodes and cases in one conversion; converters' cost per node starts to rise beyond.
PACK_NODES = 512
PACK_CASES = 160
#: Most bytes of data in one conversion: the parts of large models go in several.
PACK_BYTES = 256 << 20
#: A case of no more nodes and bytes may go along with every question.
LIGHT_NODES, LIGHT_BYTES = 96, 4 << 20
#: Bytes of data from which on a case is not asked about beside its parts.
HEAVY_BYTES = 8 << 20
#: When one failing candidate takes the conversion down: most cases in a conversion that is expected to pass.
LARGEST_CHUNK = 64
#: A subject that fails only sometimes is asked about a candidate again until a failure is missed with this probability
#: at most, but no more often than that.
MISSED, MOST_ATTEMPTS = 0.05, 16
#: The part of the time left that one pack of cases may take.
_AT_ONCE = 0.25


class Exhausted(Exception):
    """The budget is used up; what was found so far stands."""


def digest(case: Case) -> str:
    """Identity of a case in canonical form (:func:`generators.transforms.canonical`): its graph and all its data."""
    state = hashlib.sha256()
    graph = case.graph
    state.update(repr((graph.frontend, graph.inputs, graph.outputs)).encode())
    for node in graph.nodes:
        state.update(_describe_node(node))
    for constant in all_constants(graph):
        state.update(_describe(constant))
        state.update(constant.data.tobytes())
    for value in graph.inputs:
        state.update(case.feeds[value.name].tobytes())
        for feeds in case.further:
            state.update(repr(feeds[value.name].shape).encode())
            state.update(feeds[value.name].tobytes())
    return state.hexdigest()


def _describe_node(node: Node) -> bytes:
    """Types of outputs may be stale in candidates and follow from the rest; so may those of the inputs of bodies."""
    names = tuple(value.name for value in node.outputs)
    bodies = list(node.bodies())
    if bodies:
        node = map_bodies(node, lambda body: Graph(body.frontend, (), (), (), body.outputs))
    parts = [repr((node.target, node.args, node.kwargs, names)).encode()]
    for body in bodies:
        held = [constant.name for constant in body.constants]
        parts.append(repr(([value.name for value in body.inputs], held, len(body.nodes))).encode())
        parts += [_describe_node(inner) for inner in body.nodes]
    return b"".join(parts)


def _describe(constant: Constant) -> bytes:
    return repr((constant.name, constant.type, constant.trainable)).encode()


def shares_conversions(signature: Signature, *, slices: bool) -> bool:
    """Whether candidates that fail so leave the verdicts of the others in the same conversion alone. ``slices``: the
    artifact of a union can be cut."""
    behind = signature.stage in BEHIND and signature.kind in (Kind.INVALID, Kind.EXCEPTION)
    return signature.kind in PACKABLE or (behind and slices)


class Question:
    """Does a candidate still show the signature? The only way in which passes learn anything.

    ``best`` is the simplest case that showed it so far and ``seen`` what was observed of it. Observations of other
    bugs are collected. A candidate is judged once; later the answer is remembered.
    """

    def __init__(
        self,
        signature: Signature,
        tester: Tester,
        budget: Budget,
        on_improvement: Callable[[Case], None] | None = None,
    ) -> None:
        self.signature = signature
        self.tester = tester
        self.best: Case | None = None
        self.seen: Observation | None = None
        self.passes: dict[str, PassStatistics] = {}
        self.conversions_to_nodes = 0
        #: Whether a case that showed the signature did not do so when asked again; then every no is asked again too.
        self.flaky = False
        self._again = self._shown_again = 0
        self._budget = budget
        #: Seconds that each case took of the last that were asked about.
        self._per_case = 0.0
        self._improved = on_improvement
        self._started = budget.clock()
        self._first = tester.conversions
        self._answers: dict[str, tuple[Case, Observation] | None] = {}
        self._others: dict[tuple[object, ...], tuple[Case, Observation]] = {}
        self._pass = PassStatistics()
        self._refused: set[str] = set()
        self._values: tuple[str, dict[str, Array]] | None = None

    @property
    def packs(self) -> bool:
        """Whether candidates that fail leave the verdicts of the others in the same conversion alone."""
        return shares_conversions(self.signature, slices=self.tester.slices)

    @property
    def lanes(self) -> int:
        """How many conversions are made at a time."""
        return self.tester.lanes

    @property
    def conversions(self) -> int:
        return self.tester.conversions - self._first

    @property
    def seconds(self) -> float:
        return self._budget.clock() - self._started

    @contextmanager
    def during(self, name: str) -> Iterator[None]:
        """Count what is asked inside under the name of a pass, and not under that of a pass around it."""
        outer, self._pass = self._pass, self.passes.setdefault(name, PassStatistics())
        started, conversions = self._budget.clock(), self.conversions
        try:
            yield
        finally:
            seconds, made = self._budget.clock() - started, self.conversions - conversions
            self._pass.seconds += seconds
            self._pass.conversions += made
            self._pass = outer
            outer.seconds -= seconds
            outer.conversions -= made

    def ask(self, candidates: Sequence[Case], by: Sequence[str] = ()) -> list[Case | None]:
        """For each candidate its canonical form, types corrected, when it shows the signature, else None.

        Those not asked before are judged in as few conversions as the limits of packing allow. ``by`` names, for each
        of the first candidates, the pass under which to count it. Raises Exhausted.
        """
        cases = [canonical(candidate) for candidate in candidates]
        keys = [digest(case) for case in cases]
        owners: dict[str, PassStatistics] = {}
        for key, name in itertools.zip_longest(keys, by[: len(keys)]):
            owner = self._pass if name is None else self.passes.setdefault(name, PassStatistics())
            owner.remembered += key in self._answers or key in owners
            owners.setdefault(key, owner)
        candidates_by_key = dict(zip(keys, cases, strict=True))
        fresh = {key: case for key, case in candidates_by_key.items() if key not in self._answers}
        asked: set[str] = set()
        attempts = 0
        while fresh:
            for pack in _packs(list(fresh.items()), self.lanes, self._affordable):
                self._judge(pack, owners)
            asked |= fresh.keys()
            attempts += 1
            if attempts >= self.attempts:
                break
            # Where doubts came up just now, answers from before are gone, too.
            fresh = {
                key: case
                for key, case in candidates_by_key.items()
                if (key not in self._answers or (key in asked and not self._answers[key])) and key not in self._refused
            }
        return [answer[0] if (answer := self._answers.get(key)) else None for key in keys]

    def _judge(self, pack: list[tuple[str, Case]], owners: Mapping[str, PassStatistics]) -> None:
        if self.conversions >= self._budget.conversions or self.seconds >= self._budget.seconds:
            raise Exhausted
        # The best case so far goes along where that costs next to nothing: when it passes, the subject is flaky.
        control = self.best if self.packs and self.best is not None and _light(self.best) else None
        started = self._budget.clock()
        trials = self.tester.test([*(case for _, case in pack), *([control] if control else [])])
        self._per_case = (self._budget.clock() - started) / len(trials)
        if control:
            self.told_again(trials.pop().shows(self.signature))
        for (key, _), trial in zip(pack, trials, strict=True):
            self._record(key, trial, owners[key])

    def _affordable(self) -> int:
        """Most cases at a time: as many as take a part of the time that is left, if they take as long as the last."""
        most, left = PACK_CASES * self.lanes, self._budget.seconds - self.seconds
        if not (self._per_case > 0 and math.isfinite(self._per_case) and math.isfinite(left)):
            return most
        return int(min(most, max(self.lanes, _AT_ONCE * left / self._per_case)))

    def told_again(self, shown: bool) -> None:
        """A case that had shown the signature was judged again. When it passed, the subject fails only sometimes, and
        no earlier no is believed."""
        self._again += 1
        self._shown_again += shown
        if not shown and not self.flaky:
            self.flaky = True
            self._answers = {key: answer for key, answer in self._answers.items() if answer}

    @property
    def attempts(self) -> int:
        """How often to ask about a candidate before a no is believed, by how often known failures showed again."""
        if not self.flaky:
            return 1
        rate = (self._shown_again + 1) / (self._again + 2)
        return min(MOST_ATTEMPTS, math.ceil(math.log(MISSED) / math.log(1 - rate)))

    def confirmed(self) -> bool:
        """Ask about the best case once more, alone, where no control has gone along; whether it still fails. A hang is
        believed: it takes too long."""
        if self.packs or self.best is None or self.signature.kind is Kind.HANG:
            return True
        if self.conversions >= self._budget.conversions or self.seconds >= self._budget.seconds:
            raise Exhausted
        [trial] = self.tester.test([self.best])
        shown = trial.shows(self.signature)
        self._pass.tries += 1
        self._pass.successes += shown
        self.told_again(shown)
        return not self.flaky

    def values(self, case: Case) -> dict[str, Array]:
        """Every value of the case's graph by name, from eager execution."""
        key = digest(case)
        if self._values is None or self._values[0] != key:
            self._values = (key, self.tester.values(case))
        return self._values[1]

    def first(self, candidates: Sequence[Case]) -> Case | None:
        """The first candidate that shows the signature; put the most wanted ones first.

        Where a failing candidate takes its conversion down, candidates are asked about one at a time, and in growing
        groups while the answer stays no: a group that passes costs one conversion, one that fails is split. With
        several lanes, each has a group of its own.
        """
        if self.packs:
            return next((case for case in self.ask(candidates) if case is not None), None)
        position, size = 0, 1
        while position < len(candidates):
            group = candidates[position : position + size * self.lanes]
            for case in self.ask(group):
                if case is not None:
                    return case
            position += len(group)
            size = min(2 * size, LARGEST_CHUNK)
        return None

    def forget(self, case: Case) -> None:
        """Make the next question about this very case a fresh one: for subjects that fail only sometimes."""
        self._answers.pop(digest(canonical(case)), None)

    def observation(self, case: Case) -> Observation | None:
        """What was observed of a case that showed the signature."""
        answer = self._answers.get(digest(canonical(case)))
        return answer[1] if answer else None

    def others(self) -> tuple[tuple[Case, Observation], ...]:
        """Cases that showed another bug (the simplest for each signature), and single nodes of other operators than
        the minimized case's that showed the same one."""
        best = self.best
        mine = (self.signature, best.graph.operators()) if best else None
        return tuple(pair for key, pair in self._others.items() if key != mine)

    def _record(self, key: str, trial: Trial, owner: PassStatistics) -> None:
        owner.tries += 1
        self._answers[key] = None
        case = trial.case
        # A defect that shows on values with elements is not told by one without: few people care about those, and
        # many operators treat them apart.
        if case is None or (_holds_empty(case) and self.best is not None and not _holds_empty(self.best)):
            self._refused.add(key)
            return
        for seen in trial.observations:
            if seen.verdict is not Verdict.BUG:
                continue
            # Neither is one that shows where the framework computes numbers told by one where it computes none.
            if self.seen and _defined(self.seen) and not _defined(seen):
                continue
            if seen.signature != self.signature:
                if seen.signature.kind in PERFORMANCE:
                    continue  # held to lower limits here than a finding is
                self._keep_other((seen.signature,), case, seen)
                continue
            if self._answers[key] is None:
                owner.successes += 1
                self._answers[key] = (case, seen)
            if len(case.graph.nodes) == 1:
                self._keep_other((seen.signature, case.graph.operators()), case, seen)
        answer = self._answers[key]
        if answer and (self.best is None or simplicity(case) < simplicity(self.best)):
            if self.best is None or node_count(case.graph) < node_count(self.best.graph):
                self.conversions_to_nodes = self.conversions
            self.best, self.seen = answer
            if self._improved:
                self._improved(case)

    def _keep_other(self, key: tuple[object, ...], case: Case, seen: Observation) -> None:
        kept = self._others.get(key)
        if kept is None or simplicity(case) < simplicity(kept[0]):
            self._others[key] = (case, seen)


def _defined(seen: Observation) -> bool:
    """Whether the framework's own results were all finite, as far as that was recorded."""
    return seen.numbers.get("defined", 1.0) > 0


def _holds_empty(case: Case) -> bool:
    further = (array.size for feeds in case.further for array in feeds.values())
    return not (all(kind.size for kind in case.graph.types().values()) and all(further))


def _packs(
    cases: Sequence[tuple[str, Case]], lanes: int, affordable: Callable[[], int]
) -> Iterator[list[tuple[str, Case]]]:
    """The cases in packs for so many conversions at a time, none of more cases than is affordable by then."""
    pack: list[tuple[str, Case]] = []
    nodes = held = 0
    for key, case in cases:
        size, data = node_count(case.graph), _bytes(case)
        full = nodes + size > PACK_NODES * lanes or len(pack) >= affordable() or held + data > PACK_BYTES * lanes
        if pack and full:
            yield pack
            pack, nodes, held = [], 0, 0
        pack.append((key, case))
        nodes += size
        held += data
    if pack:
        yield pack


def _light(case: Case) -> bool:
    return node_count(case.graph) <= LIGHT_NODES and _bytes(case) <= LIGHT_BYTES


def heavy(case: Case) -> bool:
    """Whether the case is a model with so many weights that judging it once more, with all its noise, takes minutes."""
    return _bytes(case) > HEAVY_BYTES


def _bytes(case: Case) -> int:
    """Bytes of a case's data."""
    feeds = (array for given in (case.feeds, *case.further) for array in given.values())
    return sum(array.nbytes for array in feeds) + sum(item.data.nbytes for item in all_constants(case.graph))
