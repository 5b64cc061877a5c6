"""Where a wrong value first appears, and how much of what led to it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from generators.graph import Case
from generators.transforms import extract, trim, with_graph, with_outputs
from oracles.minimize.isolate import simplest
from oracles.minimize.question import Question
from oracles.outcome import MISMATCH


def expose(case: Case, ask: Question) -> Case:
    """Return every value, which names the first wrong one, then the simplest of its cones that fails.

    Only for mismatches. Also tries the cones of the outputs that were wrong in the case itself, where returning the
    values makes the failure go away.
    """
    if ask.signature.kind not in MISMATCH:
        return case
    wrong = _wrong_outputs(case, ask)
    names = tuple(value.name for node in case.graph.nodes for value in node.outputs)
    open_case = with_graph(case, with_outputs(case.graph, names))
    exposed = ask.ask([open_case])[0]
    candidates = list(cones(case, wrong))
    if exposed is not None:
        first = _wrong_outputs(exposed, ask)[:1]
        candidates = [*cones(exposed, first, ask), *candidates]
    return simplest(case, [*candidates], ask)


def _wrong_outputs(case: Case, ask: Question) -> list[str]:
    """Names of the outputs that were wrong, in order of execution."""
    seen = ask.observation(case)
    order = {value.name: index for index, node in enumerate(case.graph.nodes) for value in node.outputs}
    names = [case.graph.outputs[index] for index in seen.outputs] if seen else []
    return sorted((name for name in dict.fromkeys(names) if name in order), key=order.__getitem__)


def cones(case: Case, names: Sequence[str], ask: Question | None = None) -> Iterator[Case]:
    """For each value, the nodes within 2, 3, 5, 9, … steps before it, at last all that lead to it; the value is the
    only output. Without ``ask`` (recorded values), only the last."""
    for name in names:
        whole = trim(with_graph(case, with_outputs(case.graph, [name])))
        if ask is None:
            yield whole
            continue
        values = ask.values(case)
        producers = case.graph.producers()
        inside = {producers[name]}
        edge = inside
        sizes = {1}
        depth, wanted = 0, 1
        while edge:
            edge = {
                producers[used] for index in edge for used in case.graph.nodes[index].references() if used in producers
            } - inside
            inside = inside | edge
            depth += 1
            if (depth >= wanted or not edge) and len(inside) not in sizes:
                sizes.add(len(inside))
                wanted = 2 * depth
                part = extract(case, tuple(inside), values)
                yield trim(replace(part, graph=replace(part.graph, outputs=(name,))))
