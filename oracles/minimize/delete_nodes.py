"""Deletion of nodes with typed cuts: what a deleted node computed becomes an input holding its recorded value."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from generators.graph import Array, Case
from oracles.minimize.isolate import parts
from oracles.minimize.question import PACK_NODES, Question
from oracles.minimize.returned import unusual
from oracles.minimize.simplicity import simplicity


def delete_nodes(case: Case, ask: Question) -> Case:
    """A case from which no single node can be deleted."""
    return _packed(case, ask) if ask.packs else _adaptive(case, ask)


def without(case: Case, indices: Iterable[int], values: Mapping[str, Array]) -> Case | None:
    """The case without the nodes at these indices; None when nothing would remain. Unusual outputs and inputs stay:
    edits that remove them come later."""
    gone = set(indices)
    kept = [index for index in range(len(case.graph.nodes)) if index not in gone]
    if not kept or not gone:
        return None
    return parts(case, kept, values)[-1 if unusual(case.graph) else 0]


def _packed(case: Case, ask: Question) -> Case:
    """Many deletions per conversion: chunks of half the nodes first, then quarters and so on to single nodes; those
    that succeed are made together in the next question."""
    size = max(len(case.graph.nodes) // 2, 1)
    while True:
        count = len(case.graph.nodes)
        size = min(size, max(count // 2, 1))
        values = ask.values(case)
        chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
        candidates = {chunk: part for chunk in chunks if (part := without(case, chunk, values)) is not None}
        answers = ask.ask(list(candidates.values()))
        gone = [chunk for chunk, answer in zip(candidates, answers, strict=True) if answer is not None]
        if gone:
            singles = [answer for answer in answers if answer is not None]
            together = _together(case, gone, values) if len(gone) > 1 else []
            combined = [answer for answer in ask.ask(together) if answer is not None]
            case = min([*combined, *singles], key=simplicity)
        elif size > 1:
            # Skip sizes while a conversion has room for the deletions of finer ones.
            size = max(size // 2, 1)
            while size > 1 and (count // size) * count * 2 <= PACK_NODES:
                size = max(size // 2, 1)
        else:
            return case


def _together(case: Case, gone: list[range], values: Mapping[str, Array]) -> list[Case]:
    """The deletions made together: all of them, and leading and trailing halves and quarters of them."""
    count = len(gone)
    groups = {(0, count), (0, count // 2), (count // 2, count), (0, count // 4), (count - count // 4, count)}
    found = []
    for start, stop in sorted(groups):
        chosen = [index for chunk in gone[start:stop] for index in chunk]
        part = without(case, chosen, values) if stop - start > 1 else None
        if part is not None:
            found.append(part)
    return found


def _adaptive(case: Case, ask: Question) -> Case:
    """One deletion per conversion, from the last node to the first: the chunk doubles after a success and halves
    after a failure, so that long innocent stretches cost few conversions. With several lanes, the deletions that come
    next if this one fails are asked about at the same time."""
    end, size = len(case.graph.nodes), max(len(case.graph.nodes) // 2, 1)
    while end > 0:
        *steps, following = itertools.islice(_refused(end, size), ask.lanes + 1)
        values = ask.values(case)
        candidates = {step: without(case, range(step[0] - step[1], step[0]), values) for step in steps}
        asked = {step: candidate for step, candidate in candidates.items() if candidate is not None}
        answers = dict(zip(asked, ask.ask(list(asked.values())), strict=True))
        found = next((step for step in steps if answers.get(step) is not None), None)
        shown = answers[found] if found is not None else None
        if found is None or shown is None:
            end, size = following
            continue
        end, size = found
        # Canonical order may move nodes: those behind `end` are still as many, but start over if it did.
        moved = [node.target for node in shown.graph.nodes[: end - size]] != [
            node.target for node in case.graph.nodes[: end - size]
        ]
        case, end = shown, len(shown.graph.nodes) if moved else end - size
        size *= 2
    return case


def _refused(end: int, size: int) -> Iterator[tuple[int, int]]:
    """Ends and sizes of the chunks to delete one after the other as long as none can be, then an end of 0."""
    while end > 0:
        size = min(size, end)
        yield end, size
        if size > 1:
            size //= 2
        else:
            end -= 1
    yield 0, size
