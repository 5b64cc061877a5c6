"""Every node alone, fed with the recorded values: one conversion finds the guilty operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from generators.graph import Array, Case
from generators.transforms import extract, isolate_pairs, trim
from oracles.minimize.question import Question, heavy
from oracles.minimize.returned import as_in, unusual
from oracles.minimize.simplicity import simplicity


def isolate(case: Case, ask: Question) -> Case:
    """The simplest node that shows the signature alone; the case when none does.

    The case itself is asked about in the same conversion where that costs next to nothing.
    """
    values = ask.values(case)
    alone = [part for index in _by_mention(case, ask) for part in parts(case, (index,), values)]
    return simplest(case, [case, *alone] if ask.packs and not heavy(case) else alone, ask)


def pairs(case: Case, ask: Question) -> Case:
    """The simplest two nodes, of which one uses a value of the other, that show the signature; else the case."""
    values = ask.values(case)
    found = [part for indices, _ in isolate_pairs(case, values) for part in parts(case, indices, values)]
    return simplest(case, found, ask)


def parts(case: Case, indices: Iterable[int], values: Mapping[str, Array]) -> list[Case]:
    """The sub-graph of the nodes, first with only those of its values as outputs that the graph returns or nothing in
    it uses, then, if that differs, with every value that nodes outside use, too (an output forbids fusions, but may
    be the only place where an error shows); at last, where the case has unusual ones, with its own outputs and inputs
    as far as they are the part's (:func:`oracles.minimize.returned.as_in`)."""
    whole = extract(case, tuple(indices), values)
    found = _parts(case, whole)
    return [*found, as_in(case, whole)] if unusual(case.graph) else found


def _parts(case: Case, full: Case) -> list[Case]:
    used = {name for node in full.graph.nodes for name in node.references()}
    returned = set(case.graph.outputs)
    lean = tuple(name for name in full.graph.outputs if name not in used or name in returned)
    if not lean or lean == full.graph.outputs:
        return [full]
    return [trim(replace(full, graph=replace(full.graph, outputs=lean))), full]


def simplest(case: Case, candidates: list[Case], ask: Question) -> Case:
    """The simplest candidate that shows the signature when all are asked about at once, else the first that does;
    the case when none does."""
    if ask.packs:
        return min((found for found in ask.ask(candidates) if found is not None), key=simplicity, default=case)
    return ask.first(candidates) or case


def _by_mention(case: Case, ask: Question) -> list[int]:
    """Indices of the nodes, those first whose operator the failure's own words name."""
    words = (ask.signature.detail + " " + (ask.seen.message if ask.seen else "")).lower()

    def mentioned(index: int) -> bool:
        name = case.graph.nodes[index].target.rpartition(".")[2].strip("_").lower()
        return len(name) > 2 and name in words

    return sorted(range(len(case.graph.nodes)), key=lambda index: not mentioned(index))
