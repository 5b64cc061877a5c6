"""Which combinations of value profile, element type and family of operators there are, and whether campaigns meet them.

``python -m benchmarks.cells search [FRONTEND ...]`` draws operators of each family for the sake of each combination,
and writes those of which none came, with the reason, to ``fuzzer/data/cells.json``; the others are what campaigns ask
for, and what ``convfuzz coverage`` lists at zero. ``python -m benchmarks.cells [FRONTEND ...]`` generates the graphs of
a campaign of ten minutes, without converting them, and prints what none of them had: combinations, element types,
structures, settings of the converters' options.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import logging
import multiprocessing
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import fuzzer
from fuzzer.coverage import setting_text
from fuzzer.known import applies, shipped
from fuzzer.learning import Drawn, Learnt
from fuzzer.pipeline import Pipeline
from fuzzer.planning import Plan, task_of
from fuzzer.prepared import Judgement
from fuzzer.profile_cells import never_from, possible, profiles_for
from fuzzer.routes import select
from fuzzer.tasks import BatchResult, BatchTask, CaseResult, decode_message, encode
from generators.asking import askable
from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import DTYPES, Array, Case
from generators.random_graphs import Weights, begin
from generators.seeking import draws
from generators.structures import possible_names

DATA = Path(fuzzer.__file__).parent / "data" / "cells.json"
#: Graphs that ten minutes gave on two cores, other work beside them.
GRAPHS: Mapping[str, int] = {"torch": 2500, "tensorflow": 1500, "onnx": 2000, "keras": 800}
#: Draws after which a combination counts as impossible, and an element type as one that no sampler of the family
#: takes: at least, and for each operator of the family.
TRIES, TRIES_EACH = 120, 8
TYPE_TRIES, TYPE_TRIES_EACH = 40, 4
SEED, NODES = 77, 10
#: Every how many graphs a simulation says how far it is.
PROGRESS = 250
#: Frontends of which graphs end the process that runs them: their interpreter is a runtime.
_DEADLY = frozenset(("onnx",))
#: What comes about with a converter alone.
_OF_CONVERTERS = frozenset(("size not promised",))


class Search:
    """Looks for operands of combinations in operators of one frontend."""

    def __init__(self, name: str) -> None:
        self.frontend = frontend(name)
        self.weights = Weights.of(self.frontend)
        self._seed = 0

    def families(self) -> Iterator[tuple[str, dict[str, dict[str, list[str]]]]]:
        """Each family with what is not there: profiles by element type (empty for what selects) and reason."""
        for family in sorted(self.weights.families):
            found: dict[str, dict[str, list[str]]] = {}
            dtypes = [dtype for dtype in DTYPES if dtype != "bool" and self._drawn(dtype, family)]
            for dtype in ("", *dtypes):
                profiles = profiles_for(dtype, family)
                missing: dict[str, list[str]] = {}
                for profile in profiles:
                    if reason := self.reason(profile, dtype, family):
                        missing.setdefault(reason, []).append(profile)
                if sum(map(len, missing.values())) < len(profiles):
                    found[dtype] = missing
            yield family, found

    def _drawn(self, dtype: str, family: str) -> bool:
        """Whether samplers of the family draw operands of that type, be they accepted or not."""
        tries = max(TYPE_TRIES, TYPE_TRIES_EACH * len(self.weights.families[family]))
        return any(dtype in of for of, _ in self._draws("typical", dtype, family, tries))

    def reason(self, profile: str, dtype: str, family: str) -> str:
        """Why no operand has the profile; empty when one has."""
        reasons: Counter[str] = Counter()
        tries = max(TRIES, TRIES_EACH * len(self.weights.families[family]))
        for _, outcome in self._draws(profile, dtype, family, tries, execute=True):
            if not outcome:
                return ""
            reasons[outcome] += 1
        raised = [reason for reason in reasons if reason != _OWN]
        return max(raised, key=reasons.__getitem__) if raised else _OWN

    def _draws(
        self, profile: str, dtype: str, family: str, tries: int, *, execute: bool = False
    ) -> Iterator[tuple[set[str], str]]:
        """The element types of the fresh operands of each draw, and why it gave nothing (empty when it did)."""
        self._seed += 1
        growth = begin(self.frontend, SeededChoices(SEED, self._seed), weights=self.weights)
        growth.profiles.nonfinite = profile == "special"
        for call, draw, used in draws(growth, (profile, dtype, family), tries):
            outcome = _OWN
            if execute and draw.found(used):
                outcome = growth.execute(call, draw, wanted=True)
            yield {handle.dtype for handle in draw.fresh.handles if handle.name in used}, outcome.split(":")[0]


_OWN = "such operands are drawn in another way: the operators are not defined for all values, or these select"


def search(names: Sequence[str]) -> None:
    """Write what the search finds for these frontends, and keep what is written of others."""
    written = json.loads(DATA.read_text()) if DATA.exists() else {}
    for name in names:
        written[name] = {}
        for family, found in Search(name).families():
            written[name][family] = found
            there = sum(len(profiles_for(dtype, family)) for dtype in found)
            without = sum(len(profiles) for reasons in found.values() for profiles in reasons.values())
            print(f"{name} {family}: {there - without} of {there}", flush=True)
            DATA.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")


class Dry(Pipeline):
    """Generates and counts a batch, and converts nothing: what it is given passes."""

    def _judge(
        self, cases: Sequence[tuple[int, Case, Mapping[str, Array] | None]], *, keep_cases: bool = False
    ) -> list[CaseResult]:
        judgements: list[Judgement] = [(number, case, []) for number, case, _ in cases]
        return [self._result(*judgement, keep_case=False) for judgement in judgements]


def _generated(task: BatchTask, *, alone: bool) -> BatchResult:
    """What a batch gives; ``alone`` generates it in a process of its own, and nothing comes of a batch that ends it."""
    dry = Dry(task.subject, lambda step: None, lambda note: None, lambda: "")
    if not alone:
        return dry.batch(task)
    receiving, sending = multiprocessing.Pipe(duplex=False)

    def generate() -> None:
        sending.send_bytes(encode(dry.batch(task)))

    process = multiprocessing.get_context("fork").Process(target=generate)
    process.start()
    sending.close()
    try:
        result = decode_message(receiving.recv_bytes())
    except EOFError:
        process.join()
        print(f"batch {task.index} is left out: it ended its process ({process.exitcode})", file=sys.stderr, flush=True)
        return BatchResult(())
    process.join()
    assert isinstance(result, BatchResult)
    return result


class Simulation:
    """A campaign over the converters of one frontend that converts nothing."""

    def __init__(self, name: str, seed: int = SEED) -> None:
        self.name = name
        self.drawn = Drawn()
        self.dtypes: Counter[str] = Counter()
        self.settings: Counter[tuple[str, str, str]] = Counter()
        self.graphs = 0
        self.plan = Plan(seed, [route for route in select([]) if route.frontend == name], NODES, None)
        self._seed = seed
        self._learnt = {
            converter.name: Learnt(sliceable=converter.sliceable, frontend=name, together=self.drawn)
            for converter, _, _ in self.plan.subjects
        }
        for entry in shipped():
            if entry.converter in self._learnt and applies(entry, self.plan.versions[entry.converter]):
                self._learnt[entry.converter].quarantine.guilty[entry.target] = entry.reason
        ours = frontend(name)
        for learnt in self._learnt.values():
            learnt.targets, learnt.control = ours.targets(), ours.control_targets()
        self._pipelines: dict[str, Dry] = {}

    def run(self, graphs: int) -> None:
        """Generate batches until there are so many graphs."""
        index = 0
        while self.graphs < graphs:
            converter = self.plan.subjects[index % len(self.plan.subjects)][0].name
            issued = self.plan.batch(index, self._learnt[converter])
            task = task_of(self._seed, issued, tuple(range(issued.cases)))
            result = _generated(task, alone=self.name in _DEADLY)
            self._learnt[converter].learn(result)
            self.graphs += len(result.results)
            self.settings.update((converter, option, setting_text(value)) for option, value in issued.settings.items())
            self.settings.update((converter, "runtime", " ".join(variant)) for variant in issued.variants)
            index += 1
            if self.graphs // PROGRESS > (self.graphs - len(result.results)) // PROGRESS:
                left = ", ".join(f"{kind} {len(names)}" for kind, names in self.zero().items())
                print(f"{self.name}: at zero after {self.graphs:,} graphs: {left}", file=sys.stderr, flush=True)

    def zero(self) -> dict[str, list[str]]:
        """What no graph had, by kind."""
        counts = self.drawn.profiles
        families = {family for _, _, family in counts}
        cells = [" × ".join(filter(None, row[:3])) for row in never_from(self.name, counts)]
        structures = (*possible_names(self.name), *askable(self.name))
        settings = [
            (converter.name, option.name, setting_text(value))
            for converter, _, _ in self.plan.subjects
            for option in converter.options
            for value in option.drawn
        ]
        settings += [
            (converter.name, "runtime", " ".join(variant))
            for converter, _, variants in self.plan.subjects
            for variant in variants
        ]
        dtypes = {dtype for dtypes in possible(self.name).values() for dtype in dtypes if dtype}
        return {
            "families": sorted(set(possible(self.name)) - families - _without_operands(self.name)),
            "profile × dtype × family": cells,
            "dtypes": sorted(dtypes - {dtype for _, dtype, _ in counts}),
            "structures": [
                name
                for name in dict.fromkeys(structures)
                if not self.drawn.structures[name] and name not in _OF_CONVERTERS
            ],
            "options": [" ".join(one) for one in settings if not self.settings[one]],
        }


def _without_operands(name: str) -> set[str]:
    """Families of whose operators no operand is drawn afresh from a profile."""
    return {family for family, dtypes in possible(name).items() if not any(dtypes.values())}


def simulate(names: Sequence[str], graphs: int | None = None) -> None:
    """Print what a campaign's number of graphs, or another one, leaves at zero."""
    for name in names:
        simulation = Simulation(name)
        simulation.run(graphs or GRAPHS[name])
        cells = sum(len(profiles) for dtypes in possible(name).values() for profiles in dtypes.values())
        print(f"{name}: {simulation.graphs:,} graphs, {cells:,} combinations")
        for kind, left in simulation.zero().items():
            print(f"  {kind}: {len(left)} at zero{': ' if left else ''}{', '.join(left)}", flush=True)


def main(given: Sequence[str]) -> None:
    logging.disable(logging.WARNING)
    names = [name for name in given if name in GRAPHS] or list(GRAPHS)
    number = next((int(word) for word in given if word.isdigit()), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search(names) if "search" in given else simulate(names, number)


if __name__ == "__main__":
    main(sys.argv[1:])
