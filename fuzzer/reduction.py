"""Minimizing with a worker: suspicion on the way, certainty in the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from fuzzer.survival import RemoteTester
from fuzzer.verdicts import SUSPECTED
from generators.graph import Case
from oracles.minimize import Budget, Minimized, minimize
from oracles.outcome import Kind, Observation, Signature, Verdict

#: What noise decides on: judging it for certain takes many runs in eager mode.
_NOISY = frozenset({Kind.VALUE, Kind.NONFINITE})
#: How often a minimized case is asked about before it is believed that it does not fail.
_ATTEMPTS = 3


def reduce(
    case: Case,
    signature: Signature,
    tester: RemoteTester,
    *,
    budget: Budget | None = None,
    on_improvement: Callable[[Case], None] | None = None,
) -> Minimized:
    """As :func:`oracles.minimize.minimize`, with few samples of noise for most candidates that differ, since the
    simplest of a question is what counts. The result shows the signature for certain, unless the budget's clock has
    jumped to infinity, which ends all: where suspicions led to what rounding explains, all is asked again with
    certainty only, in a budget of its own."""
    before = tester.conversions
    tester.sought = signature if signature.kind in _NOISY else None
    try:
        result = minimize(case, signature, tester, budget=budget, on_improvement=on_improvement)
        tester.sought = None
        ended = budget is not None and math.isinf(budget.clock())
        if SUSPECTED in result.observation.numbers and not ended:
            certain = _certainly(result.case, signature, tester)
            result = (
                replace(result, observation=certain)
                if certain
                else minimize(case, signature, tester, budget=budget, on_improvement=on_improvement)
            )
    finally:
        tester.sought = None
    return replace(result, conversions=tester.conversions - before)


def _certainly(case: Case, signature: Signature, tester: RemoteTester) -> Observation | None:
    """What is seen of the case with all samples of noise, when it shows the signature in one of some attempts."""
    for _ in range(_ATTEMPTS):
        [trial] = tester.test([case])
        for seen in trial.observations:
            if seen.signature == signature and seen.verdict is Verdict.BUG:
                return seen
    return None
