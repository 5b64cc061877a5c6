"""The order of the passes: which nodes are guilty, then how simple the rest can be, until nothing helps."""

from __future__ import annotations

import math
from collections.abc import Callable

from generators.graph import Case, all_constants, all_nodes, node_count
from generators.transforms import canonical
from oracles.minimize.bypass_nodes import bypass_nodes
from oracles.minimize.cones import expose
from oracles.minimize.delete_nodes import delete_nodes
from oracles.minimize.edits import tensors
from oracles.minimize.isolate import isolate, pairs
from oracles.minimize.literals import arguments
from oracles.minimize.question import Exhausted, Question, heavy
from oracles.minimize.records import Budget, Minimized, Unreproducible
from oracles.minimize.reduce_bodies import reduce_bodies
from oracles.minimize.simplicity import is_special, simplicity
from oracles.minimize.simplify import SMALL, simplify
from oracles.outcome import Signature, Tester

#: How often a case is asked about before it counts as one that does not fail: of those that fail in a fifth of all
#: runs, one in nine is given up.
VALIDATIONS = 10
#: Passes that find the guilty nodes, the cheapest first. Each returns its argument when it finds nothing.
LOCALIZE: tuple[Callable[[Case, Question], Case], ...] = (isolate, pairs, expose, delete_nodes, bypass_nodes)


def minimize(
    case: Case,
    signature: Signature,
    tester: Tester,
    *,
    budget: Budget | None = None,
    on_improvement: Callable[[Case], None] | None = None,
) -> Minimized:
    """The simplest case that shows the signature (:func:`oracles.minimize.simplicity.simplicity`), which it does.

    ``on_improvement`` is called with every simpler case found; starting again from it continues the work. When the
    budget ends it, the result is what was reached, with ``complete`` false. Raises Unreproducible when the case
    itself does not show the signature in ten attempts, or not before the budget ends.
    """
    ask = Question(signature, tester, budget or Budget(), on_improvement)
    complete = True
    try:
        current = _validated(case, ask)
        while True:
            before = simplicity(current)
            current = _localized(current, ask)
            with ask.during("simplify"):
                current = simplify(current, ask)
            # Simplifying a small graph asks for fewer nodes, too, where that shares conversions.
            if simplicity(current) >= before or (ask.packs and node_count(current.graph) <= SMALL):
                with ask.during("validate"):
                    if ask.flaky or ask.confirmed():
                        break
    except Exhausted:
        complete = False
    if ask.best is None or ask.seen is None:
        raise Unreproducible(f"the case does not show {signature}")
    return Minimized(
        case=ask.best,
        observation=ask.seen,
        conversions=ask.conversions,
        seconds=ask.seconds,
        complete=complete,
        conversions_to_nodes=ask.conversions_to_nodes,
        passes=dict(ask.passes),
        others=ask.others(),
        needs_special=needs_special(ask.best),
        flaky=ask.flaky,
    )


def needs_special(case: Case) -> bool:
    """Whether a minimized case still holds NaN, infinities or extremes of integers, in data or arguments.

    Special values are replaced by ordinary ones before anything else is simplified, if the failure allows.
    """
    literals = (value for node in all_nodes(case.graph) for _, value in arguments(node))
    held = [*tensors(case).values(), *(constant.data for constant in all_constants(case.graph))]
    return any(map(is_special, held)) or any(
        isinstance(value, float) and not math.isfinite(value) for value in literals
    )


def _validated(case: Case, ask: Question) -> Case:
    """The case, known to show the signature; for failures that share conversions, its guilty node at once."""
    case = canonical(case)
    # In canonical order another defect of the graph may come first: then single nodes still show this one.
    usual = 0 if ask.packs else 1
    # In which attempt the case itself is asked about for the first time, if nothing of it shows the failure alone.
    first = 1 if heavy(case) else usual
    for attempt in range(VALIDATIONS):
        if attempt:
            ask.forget(case)
        together = attempt == usual
        with ask.during("isolate" if together else "validate"):
            found = isolate(case, ask) if together else ask.ask([case])[0] or case
        if ask.best is not None:
            for _ in range(attempt - first):
                ask.told_again(False)
            return found if ask.observation(found) else ask.best
    raise Unreproducible(f"the case does not show {ask.signature}")


def _localized(case: Case, ask: Question) -> Case:
    """The case reduced to as few nodes as the passes find."""
    for localize in LOCALIZE:
        if node_count(case.graph) <= 1:
            break
        with ask.during(localize.__name__):
            found = localize(case, ask)
        if localize in (isolate, pairs) and node_count(found.graph) < node_count(case.graph):
            return _without_bodies(found, ask)
        case = found
    return _without_bodies(case, ask)


def _without_bodies(case: Case, ask: Question) -> Case:
    """The case with as little control flow as shows the signature."""
    if all(next(node.bodies(), None) is None for node in case.graph.nodes):
        return case
    with ask.during(reduce_bodies.__name__):
        return reduce_bodies(case, ask)
