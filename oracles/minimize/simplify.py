"""The passes that keep the nodes, together: what they propose shares conversions.

The first question combines the bold edits of all passes ("everything simplest at once"); where none of the simplest
results shows the failure, the next asks for more combinations and every edit alone. What succeeds is then made together
and verified in the same question that tries further edits on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from generators.graph import Case, node_count
from generators.transforms import canonical
from oracles.minimize import (
    reduce_outputs,
    reduce_results,
    shrink_shapes,
    simplify_arguments,
    simplify_dtypes,
    simplify_grouping,
    simplify_layouts,
    simplify_roles,
    simplify_sizes,
    simplify_values,
)
from oracles.minimize.bypass_nodes import bypassed
from oracles.minimize.delete_nodes import without
from oracles.minimize.edits import Edit, applied, compose
from oracles.minimize.isolate import parts
from oracles.minimize.question import Question
from oracles.minimize.reduce_bodies import reduced
from oracles.minimize.simplicity import simplicity

#: The passes in the order in which their edits are made.
PASSES: tuple[Callable[[Case], Iterator[Edit]], ...] = (
    reduce_outputs.propose,
    reduce_results.propose,
    simplify_sizes.propose,
    simplify_grouping.propose,
    shrink_shapes.propose,
    shrink_shapes.propose_ranks,
    simplify_dtypes.propose,
    simplify_arguments.propose,
    simplify_roles.propose,
    simplify_layouts.propose,
    simplify_values.propose,
)
#: Graphs with more nodes than this are not worth combined guesses.
SMALL = 8
#: Most combinations of bold edits in the first question: mostly one of the simplest does.
BOLDEST = 12
#: Edits in one question, which combinations may fill up: each is executed and converted like any other case.
CASES = 64


def proposals(case: Case) -> list[Edit]:
    """The edits of all passes that make this case simpler."""
    return [edit for propose in PASSES for edit in propose(case) if applied(edit, case) is not None]


def simplify(case: Case, ask: Question) -> Case:
    """A case that no single edit of any pass makes simpler while it shows the signature."""
    return _together(case, ask) if ask.packs else _one_by_one(case, ask)


def _together(case: Case, ask: Question) -> Case:
    case, succeeded = canonical(case), list[Edit]()
    boldest = [answer for answer in ask.ask(_combinations(case, proposals(case), BOLDEST)) if answer is not None]
    case = min(boldest, key=simplicity, default=case)
    while True:
        guess = canonical(compose(case, succeeded))
        edits = proposals(guess)
        cumulative = [compose(case, succeeded[:count]) for count in _prefixes(len(succeeded))]
        combined = _combinations(guess, edits, CASES - len(edits), spread=True)
        also = [guess, *cumulative, *combined, *_structure(guess, ask)]
        best, worked = case, list[Edit]()
        for chunk in _chunks(edits):
            alone = [candidate for edit in chunk if (candidate := applied(edit, guess)) is not None]
            answers = ask.ask([*alone, *also], [edit.by for edit in chunk])
            best = min([best, *(answer for answer in answers if answer is not None)], key=simplicity)
            worked, also = [edit for edit, answer in zip(chunk, answers, strict=False) if answer is not None], []
            if worked or simplicity(best) < simplicity(case):
                break
        if simplicity(best) >= simplicity(case) and not succeeded:
            return case
        if simplicity(best) < simplicity(guess):
            # What worked on the guess mostly works on what is simpler still; where names differ nothing happens.
            case, succeeded = best, [edit for edit in worked if node_count(best.graph) == node_count(guess.graph)]
        else:
            case, succeeded = best, []
            if best is not case and simplicity(best) == simplicity(guess):
                return best


def _chunks(edits: Sequence[Edit]) -> list[list[Edit]]:
    """The edits of one question after the other, at least one: what a bold one changes mostly makes others needless."""
    boldest_first = sorted(edits, key=lambda edit: not edit.bold)
    place = {id(edit): number for number, edit in enumerate(edits)}
    chunks = [boldest_first[start : start + CASES] for start in range(0, max(len(edits), 1), CASES)]
    return [sorted(chunk, key=lambda edit: place[id(edit)]) for chunk in chunks]


def _prefixes(count: int) -> list[int]:
    """About eight lengths of prefixes, short of all."""
    return sorted({count * eighth // 8 for eighth in range(1, 8)} - {0, count})


def _combinations(case: Case, edits: Sequence[Edit], most: int, *, spread: bool = False) -> list[Case]:
    """Bold edits of all passes combined, the simplest results first: the ``most`` ambitious, or as many from the most
    to the least."""
    if node_count(case.graph) > SMALL or most <= 0:
        return []
    groups: dict[str, list[Edit | None]] = {}
    for edit in edits:
        if edit.bold:
            groups.setdefault(edit.by, []).append(edit)
    shapes = [*groups.pop(shrink_shapes.NAME, []), None]
    ranks = [*groups.pop(shrink_shapes.RANKS, []), None]
    values = [*groups.pop(simplify_values.NAME, []), None]
    rest = [edit for group in groups.values() for edit in group if edit is not None]
    plain = [edit for edit in rest if edit.by != simplify_arguments.NAME]
    others: list[list[Edit]] = [rest, plain, []] if len(plain) < len(rest) else [rest, []]
    # Each list begins with its simplest result; the ambitious combinations come first.
    choices = sorted(
        itertools.product(enumerate(shapes), enumerate(ranks), enumerate(values), enumerate(others)),
        key=lambda choice: sum(place for place, _ in choice),
    )
    step = max(len(choices) / most, 1.0) if spread else 1.0
    found = []
    for index in range(min(len(choices), most)):
        (_, shape), (_, rank), (_, value), (_, other) = choices[int(index * step)]
        chosen = [edit for edit in (shape, rank, *other, value) if edit is not None]
        if len(chosen) > 1:
            found.append(compose(case, chosen))
    return sorted(found, key=simplicity)


def _structure(case: Case, ask: Question) -> list[Case]:
    """For small graphs: nodes alone, one node less, one node bypassed."""
    count = len(case.graph.nodes)
    if not 1 < node_count(case.graph) <= SMALL:
        return []
    try:
        values = ask.values(case)
    except ValueError:
        # The guess combines edits that were only tried one by one, and the framework does not take them together.
        return []
    if count == 1:
        return reduced(case, values)
    alone = [part for index in range(count) for part in parts(case, (index,), values)]
    fewer = [part for index in range(count) if (part := without(case, (index,), values)) is not None]
    return [*alone, *fewer, *bypassed(case), *reduced(case, values)]


def _one_by_one(case: Case, ask: Question) -> Case:
    """For failures that take the conversion down: the combinations first, then edit after edit of pass after pass."""
    case = canonical(case)
    first = ask.first(_combinations(case, proposals(case), CASES, spread=True))
    case = first or case
    while True:
        before = case
        for propose in PASSES:
            with ask.during(propose.__module__.rpartition(".")[2]):
                case = _exhaust(case, propose, ask)
        if case is before:
            return case


def _exhaust(case: Case, propose: Callable[[Case], Iterator[Edit]], ask: Question) -> Case:
    while True:
        candidates = [(changed, simplicity(changed)) for edit in propose(case) if (changed := applied(edit, case))]
        candidates.sort(key=lambda pair: pair[1])
        found = ask.first([changed for changed, _ in candidates])
        if found is None:
            return case
        case = found
