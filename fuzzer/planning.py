"""What batch number i of a campaign consists of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from corpus.records import IssuedBatch
from fuzzer.converters.base import Converter, converters
from fuzzer.formats import Setting
from fuzzer.learning import Learnt
from fuzzer.routes import Route
from fuzzer.runtimes.base import runtimes
from fuzzer.tasks import PROBE, SWARM, BatchTask, Subject
from generators.choices import SeededChoices

#: Keys that keep the draws of batches and cases apart from those of other purposes of the same seed.
_SETTINGS_STREAM = -1
_ORDER_STREAM = -3
_RUNTIMES_STREAM = -4
#: Sizes of graphs relative to the wanted one: small ones are cheap to minimize.
_SIZES = (1.0, 0.2, 1.0, 0.5)
#: Every other or fourth batch of a converter probes operators of which nothing is known yet, as long as there are some,
#: one operator to a graph: a refusal then tells all, and a finding is as good as minimized.
_PROBED = 16
_PROBES_STREAM = -6
#: Calls of the operator in a graph that probes it for the first time, where little is refused: each has arguments and
#: operands of its own. What is refused is probed again, by one call alone.
_CALLS = 3
#: Every other batch, of the others, draws from this many operators only, mostly neglected ones. Fewer operators at a
#: time make for more varied combinations over all ("swarm testing", Groce et al., ISSTA 2012). Motifs are made of
#: others, too.
_SWARM = 64
_SWARM_STREAM = -2
#: Combinations of value profile, element type and family of operators that a batch asks for, of those that nothing was
#: drawn from yet: no more than what keeps the record of a batch short.
_WANTED = 64
_WANTED_STREAM = -5
#: Structures that a batch asks for, of those that no graph had yet, and motifs, of those that the converter had least.
_ASKED = 16
_ASKED_STREAM = -7


class Plan:
    """Batches over the selected routes, taken in turn by converter.

    A batch is a pure function of the campaign's seed, its index, the selection, and of what had been learnt when it
    was issued, which the issued batch records. ``quarantine`` makes what is refused rare, ``guidance`` prefers what has
    been drawn little. ``harvest`` is the fingerprint of the harvest that torch's graphs draw from, too.
    """

    def __init__(
        self,
        seed: int,
        routes: Sequence[Route],
        nodes: int,
        pack: int | None,
        operators: tuple[str, ...] = (),
        *,
        quarantine: bool = True,
        guidance: bool = True,
        harvest: str = "",
    ) -> None:
        self._harvest = harvest
        self._quarantine = quarantine
        self._guidance = guidance
        self._seed = seed
        self._operators = operators
        self._nodes = nodes
        self._pack = pack
        self.subjects: list[tuple[Converter, str, tuple[tuple[str, str], ...]]] = []
        names = dict.fromkeys((route.converter, route.frontend) for route in routes)
        #: Versions by distribution of a converter and the runtimes that its artifacts are judged on.
        self.versions: dict[str, dict[str, str]] = {}
        for name, frontend in names:
            chosen = dict.fromkeys(
                route.runtime for route in routes if (route.converter, route.frontend) == (name, frontend)
            )
            variants = tuple((runtime, variant) for runtime in chosen for variant in runtimes()[runtime].variants)
            versions = dict(converters()[name].availability().versions)
            for runtime in chosen:
                versions.update(runtimes()[runtime].availability().versions)
            self.versions[name] = versions
            self.subjects.append((converters()[name], frontend, variants))

    def batch(self, index: int, learnt: Learnt) -> IssuedBatch:
        """The batch of that index, given what has been learnt of its converter."""
        converter, frontend, variants = self.subjects[index % len(self.subjects)]
        turn = index // len(self.subjects)
        settings = self._settings(index)
        nodes = max(1, round(self._nodes * _SIZES[turn % len(_SIZES)]))
        operators = self._operators
        purpose = ""
        if self._guidance and not operators:
            every = learnt.turns_between_probes(self._nodes)
            if turn % every == 1:
                order = SeededChoices(self._seed, index % len(self.subjects), _PROBES_STREAM)
                operators, new = learnt.to_probe(order, _PROBED)
            if operators:
                purpose, nodes = PROBE, _CALLS if new and every > 2 else 1
            elif turn // 2 % 2:
                operators = learnt.neglected(SeededChoices(self._seed, index, _SWARM_STREAM), _SWARM)
                purpose = SWARM if operators else ""
        # Small graphs are packed more densely: what costs is nodes and calls, not graphs.
        usual = converter.pack * max(1, self._nodes // nodes)
        probing = purpose == PROBE
        pack = self._pack or learnt.pack(nodes, usual, probing=probing)
        cases = pack if self._pack else max(pack, _PROBED) if probing else learnt.cases(pack, nodes)
        avoid = learnt.quarantine.avoid() if self._quarantine else ()
        return IssuedBatch(
            index,
            frontend,
            converter.name,
            settings,
            cases,
            nodes,
            self._taking_part(variants_of_turn(variants, turn), index),
            avoid,
            operators,
            min(pack, cases),
            self._harvest if frontend == "torch" else "",
            learnt.unmet(SeededChoices(self._seed, index, _WANTED_STREAM), _WANTED) if self._guidance else (),
            purpose,
            learnt.unmet_structures(SeededChoices(self._seed, index, _ASKED_STREAM), _ASKED) if self._guidance else (),
        )

    def _taking_part(self, variants: tuple[tuple[str, str], ...], index: int) -> tuple[tuple[str, str], ...]:
        """The runtime variants without those of runtimes that a batch does without now and then, unless there are no
        others: who asks for a slow runtime alone is to get it."""
        names = list(dict.fromkeys(name for name, _ in variants))
        present = {
            name
            for number, name in enumerate(names)
            if SeededChoices(self._seed, index, number, _RUNTIMES_STREAM).fraction() < runtimes()[name].share
        }
        if not any(runtimes()[name].share >= 1 for name in names):
            return variants
        return tuple(pair for pair in variants if pair[0] in present)

    def _settings(self, index: int) -> dict[str, Setting]:
        """Of two consecutive batches of a converter, drawn which, one has the default settings, which most people use;
        the other's are drawn by weight. Before that, each value of an option comes up once, in an order of its own, in
        three batches of every four."""
        turn, place = divmod(index, len(self.subjects))
        converter = self.subjects[place][0]
        longest = max((len(option.drawn) for option in converter.options), default=0)
        first = turn < 4 * math.ceil(longest / 3)
        block = 4 if first else 2
        choices = SeededChoices(self._seed, turn // block * len(self.subjects) + place, block, _SETTINGS_STREAM)
        usual = choices.integer(0, block - 1)
        if turn % block == usual:
            return default_settings(converter)
        explored = turn // block * (block - 1) + turn % block - (turn % block > usual)
        drawn = SeededChoices(self._seed, index, _SETTINGS_STREAM)
        settings: dict[str, Setting] = {}
        for number, option in enumerate(converter.options):
            order = option.order(SeededChoices(self._seed, place, number, _ORDER_STREAM)) if first else []
            settings[option.name] = order[explored] if explored < len(order) else option.sample(drawn)
        return settings


def variants_of_turn(variants: tuple[tuple[str, str], ...], turn: int) -> tuple[tuple[str, str], ...]:
    """The runtime variants of a batch: of those that a runtime calls occasional, one, each in its turn. Rounds begin
    one further each time, so that none goes with every second turn."""
    chosen = set()
    for name in dict.fromkeys(name for name, _ in variants):
        if occasional := runtimes()[name].occasional:
            chosen.add((name, occasional[(turn + turn // len(occasional)) % len(occasional)]))
    return tuple(pair for pair in variants if pair in chosen or pair[1] not in runtimes()[pair[0]].occasional)


def default_settings(converter: Converter) -> dict[str, Setting]:
    """The first value of each option."""
    return {option.name: option.values[0] for option in converter.options}


def subject_of(batch: IssuedBatch) -> Subject:
    """What a batch puts to the test."""
    return Subject(batch.frontend, batch.converter, dict(batch.settings), batch.variants)


def task_of(seed: int, batch: IssuedBatch, numbers: tuple[int, ...]) -> BatchTask:
    """The task that generates and judges some of the batch's cases."""
    subject = subject_of(batch)
    return BatchTask(
        subject,
        seed,
        batch.index,
        numbers,
        batch.nodes,
        batch.avoid,
        batch.operators,
        batch.pack,
        batch.harvest,
        batch.wanted,
        purpose=batch.purpose,
        asked=batch.asked,
    )
