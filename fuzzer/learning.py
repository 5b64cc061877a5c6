"""What a campaign learns of one converter while it runs, and what it makes of that when it issues a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fuzzer.packing import CostModel, best_pack
from fuzzer.profile_cells import never_from
from fuzzer.quarantine import Quarantine
from fuzzer.recording import refusals
from fuzzer.tasks import BatchResult
from generators.asking import askable, motifs_to_ask
from generators.choices import Choices
from generators.patterns import target_of
from generators.seeking import Cell
from oracles.minimize.question import BEHIND

#: How often a target is probed before nothing more is expected of probing it.
_PROBES = 3
#: Refusals to expect of graphs of one operator that has not passed yet.
_UNPROVEN = 0.4
#: Seconds of CPU time that a batch should take: enough to make its administration negligible, and little to lose.
_BATCH_SECONDS = 1.5
_MOST_CASES = 128
#: Where more than this share of the graphs is refused, batches are short: the next one is to know what this one taught.
_MUCH_REFUSED = 0.25
_FEW_CASES = 16
#: Where more than this share is refused, every other batch probes.
_PROBE_OFTEN = 0.5


@dataclass
class Drawn:
    """What converters of one frontend have been given, all of them together."""

    profiles: Counter[Cell] = field(default_factory=Counter)
    structures: Counter[str] = field(default_factory=Counter)


@dataclass
class Learnt:
    """Of one converter: what is refused, what conversions cost, what has been drawn.

    ``targets`` are those of its frontend, empty until a worker has named them.
    """

    quarantine: Quarantine = field(default_factory=Quarantine)
    costs: CostModel = field(default_factory=CostModel)
    #: Whether what is refused behind the conversion costs a pack nothing.
    sliceable: bool = False
    targets: tuple[str, ...] = ()
    #: Those among them that take bodies.
    control: tuple[str, ...] = ()
    #: How often each target was in a judged case, and how often it was probed.
    drawn: Counter[str] = field(default_factory=Counter)
    probed: Counter[str] = field(default_factory=Counter)
    frontend: str = ""
    #: Operands by profile, element type and family of operators, and structures by graph.
    profiles: Counter[Cell] = field(default_factory=Counter)
    structures: Counter[str] = field(default_factory=Counter)
    #: The same of all converters of the frontend.
    together: Drawn = field(default_factory=lambda: Drawn())

    def learn(self, result: BatchResult) -> dict[str, str]:
        """Take in a judged batch. Returns the patterns newly found guilty, with their reasons."""
        for nodes, seconds in result.costs:
            self.costs.observe(nodes, seconds)
        for profile, dtypes in (result.coverage.profiles if result.coverage else {}).items():
            for dtype, families in dtypes.items():
                found = {(profile, dtype, family): count for family, count in families.items()}
                self.profiles.update(found)
                self.together.profiles.update(found)
        if result.coverage:
            self.structures.update(result.coverage.structures)
            self.together.structures.update(result.coverage.structures)
        for case, reason in refusals(result):
            self.drawn.update(map(target_of, case.keys))
            # What is probed is mostly refused, and says nothing of what is drawn from all that is left.
            probe = len(set(map(target_of, case.keys))) == 1
            if reason:
                behind = any(seen.stage in BEHIND for seen in case.seen)
                self.quarantine.refused(
                    case.suspects, reason, splits=not (behind and self.sliceable), representative=not probe
                )
            else:
                self.quarantine.passed(case.keys, case.proven, 0 if probe else case.nodes)
        return self.quarantine.deduce()

    def pack(self, nodes: int, usual: int, *, probing: bool = False) -> int:
        """Graphs of so many nodes to put into one conversion; ``usual`` before conversions have been measured."""
        refusal = self.quarantine.refusal(nodes)
        return best_pack(self.costs, nodes, max(refusal, _UNPROVEN) if probing else refusal, usual)

    def cases(self, pack: int, nodes: int) -> int:
        """Cases in a batch of such packs."""
        if not self.costs.known:
            return pack
        packs = max(1, round(_BATCH_SECONDS / max(self.costs.seconds(pack * nodes), 0.01)))
        most = _FEW_CASES if self.quarantine.refusal(nodes) > _MUCH_REFUSED else _MOST_CASES
        return max(pack, min(most, packs * pack) // pack * pack)

    def turns_between_probes(self, nodes: int) -> int:
        """Every how many batches probe, where graphs have so many nodes: what probes find out is worth most where
        much is refused."""
        return 2 if self.quarantine.refusal(nodes) > _PROBE_OFTEN else 4

    def to_probe(self, choices: Choices, most: int) -> tuple[tuple[str, ...], bool]:
        """Targets of which it is not known whether the converter takes them, those probed least first, and of those in
        the order that ``choices`` (always the same ones) put all targets into; and whether none of them has been probed
        before. What is asked for counts as probed."""
        guilty = self.quarantine.guilty
        unknown = [
            target
            for target in self.targets
            if not self.quarantine.proven(target) and target not in guilty and self.probed[target] < _PROBES
        ]
        order = {target: choices.fraction() for target in self.targets} if unknown else {}
        chosen = sorted(unknown, key=lambda target: (self.probed[target], order[target], target))[:most]
        new = not any(self.probed[target] for target in chosen)
        self.probed.update(chosen)
        return tuple(chosen), new

    def unmet(self, choices: Choices, most: int) -> tuple[Cell, ...]:
        """A sample of the combinations of profile, element type and family that no operand had yet in any graph of the
        frontend; where there are fewer, of those that none had in what this converter was given, too."""
        found: list[Cell] = []
        for counts in (self.together.profiles, self.profiles):
            left = [row[:3] for row in never_from(self.frontend, counts) if row[:3] not in found]
            while len(left) > most - len(found):
                left.pop(choices.integer(0, len(left) - 1))
            found += left
        return tuple(sorted(found))

    def unmet_structures(self, choices: Choices, most: int) -> tuple[str, ...]:
        """A sample of the structures, motifs and mutations that can be asked for and that no graph of the frontend had
        yet; where there are fewer, of motifs that this converter was given least, too. A rewrite rule wants a motif
        with the very attributes and constants that it looks for, and each time that it comes up is another try."""
        left = [name for name in askable(self.frontend) if not self.together.structures[name]]
        while len(left) > most:
            left.pop(choices.integer(0, len(left) - 1))
        motifs = [name for name in motifs_to_ask(self.frontend) if name not in left]
        return (*left, *sorted(least_had(choices, motifs, self.structures, most - len(left))))

    def neglected(self, choices: Choices, most: int) -> tuple[str, ...]:
        """A sample of the targets, those drawn least the likeliest; guilty ones are left out. Empty when there are no
        more than that. Control flow is always among them, for bodies of the others."""
        free = [target for target in self.targets if target not in self.quarantine.guilty]
        if len(free) <= most:
            return ()
        chosen = least_had(choices, free, self.drawn, most)
        return tuple(sorted({*chosen, *(target for target in self.control if target in free)}))


def least_had(choices: Choices, names: Sequence[str], counts: Mapping[str, int], most: int) -> list[str]:
    """A sample of at most so many names, those with the smallest counts the likeliest.

    Weighted sampling without replacement as by Efraimidis and Spirakis (2006), the weight of a name that was counted n
    times being 1 / √(1 + n).
    """
    keys = {name: choices.fraction() ** ((1 + counts.get(name, 0)) ** 0.5) for name in names}
    return sorted(names, key=lambda name: -keys[name])[:most]
