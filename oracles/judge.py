"""Judging the outputs of a converted model in two steps.

First :func:`oracles.compare.compare`; what it lets pass costs nothing more. Then, for suspects only, the analysis of
:mod:`oracles.noise`, with few samples first and with many before anything is called a bug.

* A wrong count, element type or shape is a bug, but for a shape of the same rank that varies under noise.
* A NaN or infinity on one side only is a bug unless the kind of number at that element varies under noise or between
  the precisions.
* A wrong integer or boolean is a bug unless the element varies under noise and the result lies between the extremes
  seen (widened by one), or so many came up once only that others are to be expected.
* Another value is a bug when it exceeds the customary tolerance and, as a difference both to eager mode and to the
  reference in double precision, the bound of the noise analysis.

Nothing is a bug where eager mode, run again for the analysis, does not give the same result bit for bit.
Everything else that differs is inconclusive; that eager mode is the one which errs is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from generators.frontends.base import EvaluationError, Frontend
from generators.graph import Array, Case, dtype_name
from oracles.bounds import Bound, NoiseAnalysis
from oracles.compare import Mismatch, at_element, classes, compare, differences, exceeds_custom, same, wide
from oracles.noise import FEW, MANY, MOST, Analyst
from oracles.outcome import Kind, Verdict
from oracles.tolerances import ROUNDED, TOLERANCES

#: Samples of noise, one number after the other, that a bug must survive, and that a suspicion must.
CERTAINTY, SUSPICION = (FEW, MANY, MOST), (FEW,)
_STRUCTURE = frozenset({Kind.COUNT, Kind.DTYPE, Kind.SHAPE})


@dataclass(frozen=True, slots=True)
class Judged:
    """A mismatch with its verdict, BUG or INCONCLUSIVE. That of a bug shows an element that rounding cannot explain.

    ``note`` says what a reader should know: why it is inconclusive, or that eager mode is the less accurate side.
    ``numbers`` holds, where they are known, at the worst element ``error``, ``tolerance`` (the customary one),
    ``bound`` (of the noise), ``reference`` (result in double precision), ``reference_error`` (of the actual result
    against it) and ``eager_error`` (of eager mode's), and over the output ``max_absolute``, ``max_relative`` and
    ``fraction``.
    """

    mismatch: Mismatch
    verdict: Verdict
    note: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


def judge(
    frontend: Frontend,
    case: Case,
    expected: Sequence[Array],
    actual: Sequence[Array],
    *,
    analyst: Analyst | None = None,
    samples: Sequence[int] = CERTAINTY,
) -> list[Judged]:
    """Judge the outputs of one case against those of eager mode; nothing for outputs that pass.

    ``expected`` and ``actual`` hold an array for each graph output, in order. ``analyst`` is
    the case's; pass the same one for all runtimes, since it keeps what it has found out. With SUSPICION for
    ``samples``, what is called a bug is none for certain.
    """
    analyst = analyst or Analyst(frontend, case)
    mismatches = compare(expected, actual)
    verdicts = {item.output: Judged(item, Verdict.BUG, numbers=_numbers(item)) for item in mismatches}
    suspects = {
        item.output: item for item in mismatches if item.kind not in _STRUCTURE or _resized(item, expected, actual)
    }
    analysis = NoiseAnalysis()
    for number in samples:
        if number == MOST:
            # Where results jump from one number to another, as many samples as it takes to see most of the jumps.
            suspects = {output: item for output, item in suspects.items() if analysis.bounds[output].jumps}
        if not suspects:
            break
        try:
            analysis = analyst.bounds(suspects, number)
        except EvaluationError as error:
            for output, item in suspects.items():
                note = f"eager mode refuses the graph on a second run: {error}"
                verdicts[output] = Judged(item, Verdict.INCONCLUSIVE, note, _numbers(item))
            break
        for output, bound in analysis.bounds.items():
            if suspects[output].kind is Kind.SHAPE:
                if not bound.reshapes:
                    continue
                verdicts[output] = Judged(suspects[output], Verdict.INCONCLUSIVE, bound.problem)
            else:
                verdicts[output] = _decide(suspects[output], expected[output], actual[output], bound)
            if verdicts[output].verdict is not Verdict.BUG:
                del suspects[output]
    return [verdicts[item.output] for item in mismatches]


def _resized(mismatch: Mismatch, expected: Sequence[Array], actual: Sequence[Array]) -> bool:
    """Whether a shape is another one of the same rank: one that depends on data may be."""
    output = mismatch.output
    return mismatch.kind is Kind.SHAPE and expected[output].ndim == actual[output].ndim


def _decide(mismatch: Mismatch, expected: Array, actual: Array, bound: Bound) -> Judged:
    numbers = _numbers(mismatch)
    if bound.problem:
        return Judged(mismatch, Verdict.INCONCLUSIVE, bound.problem, numbers)
    if bound.eager.shape != expected.shape or bound.eager.dtype != expected.dtype:
        return Judged(mismatch, Verdict.INCONCLUSIVE, "eager mode gave another type on a second run", numbers)
    if not same(bound.eager, expected):
        # Kernels that read memory they never wrote exist (pytorch#169688): what they return is no reference.
        return Judged(mismatch, Verdict.INCONCLUSIVE, "eager mode gave another value on a second run", numbers)
    if dtype_name(expected.dtype) not in ROUNDED:
        return _decide_exact(mismatch, expected, actual, bound, numbers)
    odd = (classes(expected) != classes(actual)) & ~bound.varies
    limit = bound.limit
    error = differences(expected, actual)
    reference = np.asarray(bound.reference)
    with np.errstate(all="ignore"):
        reference_error = np.abs(wide(actual) - wide(reference)).astype(np.float64)
    # With no finite reference, only the distance to eager mode counts.
    reference_error = np.where(np.isfinite(reference_error), reference_error, np.inf)
    beyond = exceeds_custom(expected, actual) & (error > limit) & (reference_error > limit) & ~bound.varies
    wrong = odd | beyond
    element = _worst(wrong, odd, error, limit, mismatch)
    numbers.update(
        error=float(error[element]),
        tolerance=float(TOLERANCES[dtype_name(expected.dtype)].limit(wide(expected))[element]),
        bound=float(limit[element]),
        reference=float(np.real(wide(reference)[element])),
        reference_error=float(reference_error[element]),
        eager_error=float(bound.eager_error[element]),
    )
    if wrong.any():
        kind = Kind.NONFINITE if odd.any() else Kind.VALUE
        return Judged(at_element(mismatch, kind, element, expected, actual), Verdict.BUG, "", numbers)
    if reference_error[element] < 0.1 * bound.eager_error[element]:
        note = "eager mode is the less accurate side: double precision agrees with the converted model"
    else:
        note = "rounding explains the difference"
    return Judged(mismatch, Verdict.INCONCLUSIVE, note, numbers)


def _decide_exact(
    mismatch: Mismatch, expected: Array, actual: Array, bound: Bound, numbers: dict[str, float]
) -> Judged:
    wrong = np.asarray(expected != actual)
    kind = bound.low.dtype
    got = actual.astype(kind)
    # One less and one more, written so that neither extreme of the type wraps around.
    near = (got >= np.where(bound.low > np.iinfo(kind).min, bound.low - 1, bound.low)) & (
        got <= np.where(bound.high < np.iinfo(kind).max, bound.high + 1, bound.high)
    )
    excused = bound.varies & (near | bound.unsettled)
    error = differences(expected, actual)
    bad = wrong & ~excused
    element = _worst(bad, bad, error, np.zeros(error.shape), mismatch)
    numbers.update(
        error=float(error[element]),
        tolerance=0.0,
        bound=float(int(bound.high[element]) - int(bound.low[element])),
        reference=float(bound.reference[element]),
        reference_error=abs(float(actual[element]) - float(bound.reference[element])),
        eager_error=abs(float(expected[element]) - float(bound.reference[element])),
    )
    if bad.any():
        return Judged(at_element(mismatch, Kind.VALUE, element, expected, actual), Verdict.BUG, "", numbers)
    return Judged(mismatch, Verdict.INCONCLUSIVE, "the element varies with rounding", numbers)


def _worst(wrong: Array, odd: Array, error: Array, limit: Array, mismatch: Mismatch) -> tuple[int, ...]:
    """Of the wrong elements an odd one, else that which exceeds its bound most; the mismatch's when none is wrong."""
    if not wrong.any():
        return mismatch.element or ()
    with np.errstate(all="ignore"):
        badness = np.where(odd, np.inf, error / np.maximum(limit, np.finfo(np.float64).tiny))
    badness = np.where(wrong, badness, -1.0)
    return tuple(int(axis) for axis in np.unravel_index(int(np.argmax(badness)), badness.shape))


def _numbers(mismatch: Mismatch) -> dict[str, float]:
    if mismatch.kind in _STRUCTURE:
        return {}
    return {
        "max_absolute": mismatch.max_absolute,
        "max_relative": mismatch.max_relative,
        "fraction": mismatch.fraction,
    }
