"""What a correctly quantized model may differ by: from the float model that it was made from, and between kernels.

An error bound is carried through the converted model, operator by operator, element by element where that is simple.
Three things make errors, each known from what the model records:

* A constant that is stored quantized is within half a step of what it was, a step being the scale recorded for it
  (of its channel, where there are several); one stored as float16 within half a unit in the last place.
* A result that is stored quantized is within half a step of what the kernel computed. The range of its integers is
  moved by up to half a step to make zero exact, at the ends of the range as much is cut off: one step for an operator
  that quantizes real numbers. The fixed-point multiplications of integer kernels are promised to be off by one at
  most: two steps for all others (TensorFlow Lite 8-bit quantization
  specification, https://ai.google.dev/edge/litert/models/quantization_spec; Jacob et al., Quantization and Training
  of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018, sections 2.2 to 2.4). An
  operator that only moves elements adds nothing where both sides have the same scale and zero point.
* A hybrid kernel (float operands, weights stored as int8) quantizes its operand as it runs, to 255 steps over its range
  or 127 over its magnitude; the larger of the two steps is the magnitude divided by 127.

What an operator does to the errors of its operands is in :mod:`oracles.error_rules`. Where nothing is known of an
operator, or its results jump, its bound is infinite, and nothing behind it is judged.

No error of saturation is allowed for: a model is calibrated on the very data that it is judged on, so its ranges hold
what it computes there. A range that does not is a defect.

Two kernels for one operator may differ by one step of its result's scale, two results of a hybrid kernel each by its
step; constants are the same for both. So a model of one quantized operator must be the same within one step of the
output's scale whatever kernels it runs on, and for longer ones that is carried through in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from generators.frontends.base import EvaluationError, Frontend
from generators.graph import Array, Case, dtype_name
from oracles.bounds import Bound
from oracles.compare import Mismatch, at_element, classes, compare, compare_one, differences, wide
from oracles.compare import finite as finite_array
from oracles.error_rules import Operation, Tensor, error_of
from oracles.judge import CERTAINTY, Judged, judge
from oracles.noise import FEW, Analyst
from oracles.outcome import Kind, Verdict
from oracles.tolerances import ROUNDED, TOLERANCES

#: Steps of its result's scale that an operator may be off: from real numbers, and from another kernel (as much from
#: real numbers that it quantizes).
_RESULT_STEPS, _KERNEL_STEPS = 2.0, 1.0
#: Parts of its magnitude that an operand may be off when a hybrid kernel quantizes it.
_HYBRID_STEP = 1 / 127
#: Noise bounds are those of the float model; a quantized one rounds the same numbers, which are somewhat others.
_NOISE = 2.0


#: The runtime variant whose kernels others are held against, unless bounds name another.
BASELINE = "reference"


def dissent(variant: str, other: str) -> str:
    """The detail of the signature of a runtime variant that does not agree with another."""
    return f"{variant} against {other}"


def against(detail: str) -> str:
    """The other variant of such a signature's detail; empty for any other detail."""
    return detail.partition(" against ")[2]


def farther(expected: Sequence[Array], one: Sequence[Array], other: Sequence[Array]) -> bool:
    """Whether ``one`` is farther from what is expected than ``other``, where either is farthest."""

    def farthest(actual: Sequence[Array]) -> float:
        pairs = zip(expected, actual, strict=False)
        return max((float(differences(want, got).max(initial=0.0)) for want, got in pairs if _alike_arrays(want, got)))

    return farthest(one) > farthest(other)


def _alike_arrays(left: Array, right: Array) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape


class Against(Enum):
    """What a bound is about: the float model, or the same model on other kernels."""

    FLOAT = "the float model"
    KERNELS = "other kernels"


@dataclass(frozen=True)
class ErrorBounds:
    """Bounds on the error of each output of a graph, in order, in shapes that broadcast to the outputs': ``floats``
    against the float model, ``kernels`` between kernels. Infinite where none holds, with the ``reasons``. ``baseline``
    names the runtime variant whose kernels the others are held against."""

    floats: tuple[Array, ...]
    kernels: tuple[Array, ...]
    reasons: tuple[str, ...] = ()
    baseline: str = BASELINE

    def part(self, start: int, stop: int | None) -> ErrorBounds:
        """The bounds of some of the outputs."""
        return replace(self, floats=self.floats[start:stop], kernels=self.kernels[start:stop])


def no_bounds(outputs: int, reason: str, baseline: str = BASELINE) -> ErrorBounds:
    """Bounds that hold for nothing: every difference is inconclusive."""
    infinite = (np.asarray(np.inf),) * outputs
    return ErrorBounds(infinite, infinite, (reason,), baseline)


def carry(
    tensors: Mapping[int, Tensor], operations: Sequence[Operation], against: Against
) -> tuple[dict[int, Array], list[str]]:
    """The error bound of every tensor by index, and the kinds of the operators that none is known for. What is neither
    a constant nor made by an operation is an input, and exact."""
    errors = {index: constant_error(tensor) for index, tensor in tensors.items()}
    if against is Against.KERNELS:
        errors = dict.fromkeys(tensors, np.asarray(0.0))
    unknown: dict[str, None] = {}
    for operation in operations:
        operands = [tensors[index] if index >= 0 else None for index in operation.inputs]
        given = [errors[index] if index >= 0 else np.asarray(0.0) for index in operation.inputs]
        given = _hybrid(operation, operands, given, against)
        for place, index in enumerate(operation.outputs):
            result = tensors[index]
            with np.errstate(all="ignore"):
                error, moves = error_of(operation, operands, given, result, place)
                error = np.nan_to_num(error, nan=np.inf, posinf=np.inf)
                if result.step is not None and not (moves and all(_alike(one, result) for one in operands if one)):
                    first = operation.kind == "QUANTIZE" and operands[0] is not None and operands[0].step is None
                    steps = _KERNEL_STEPS if against is Against.KERNELS or first else _RESULT_STEPS
                    error = error + steps * np.max(result.step)
            if not np.isfinite(error).all():
                unknown.setdefault(operation.kind)
            errors[index] = np.asarray(error)
    return errors, list(unknown)


def constant_error(tensor: Tensor) -> Array:
    """How far what a constant stands for may be from what it was; zero for other tensors."""
    if not tensor.constant:
        return np.asarray(0.0)
    if tensor.step is not None:
        # A scale is itself rounded to float32, and so is what is divided by it.
        return np.asarray(0.5 * tensor.step * (1 + 1e-4))
    if tensor.half and tensor.values is not None:
        size = np.abs(tensor.values)
        # What is beyond the largest number is stored as that, or as infinity.
        return np.asarray(np.where(size < 65504, size * 2.0**-11 + 2.0**-25, np.inf))
    return np.asarray(0.0)


#: Operators that have hybrid kernels, with the places of the operand and of its weights.
HYBRID: Mapping[str, tuple[int, int]] = {
    "FULLY_CONNECTED": (0, 1),
    "CONV_2D": (0, 1),
    "DEPTHWISE_CONV_2D": (0, 1),
    "CONV_3D": (0, 1),
    "BATCH_MATMUL": (0, 1),
    "TRANSPOSE_CONV": (2, 1),
}


def _hybrid(
    operation: Operation, operands: Sequence[Tensor | None], errors: list[Array], against: Against
) -> list[Array]:
    """The operands' errors, those of a hybrid kernel's own quantization added."""
    places = HYBRID.get(operation.kind)
    if places is None or max(places) >= len(operands):
        return errors
    operand, weights = (operands[place] for place in places)
    if operand is None or weights is None or operand.step is not None or weights.step is None:
        return errors
    step = np.inf if operand.values is None else _HYBRID_STEP * np.max(np.abs(operand.values), initial=0.0)
    count = 2 if against is Against.KERNELS else 1
    return [error + count * step if place == places[0] else error for place, error in enumerate(errors)]


def _alike(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors hold the same integers for the same numbers; index operands, which hold no real numbers, are
    no part of the question."""
    if left.step is None:
        return left.values is not None and left.values.dtype.kind in "iub"
    return (
        right.step is not None
        and np.array_equal(left.step.reshape(-1), right.step.reshape(-1))
        and left.zero is not None
        and right.zero is not None
        and np.array_equal(left.zero.reshape(-1), right.zero.reshape(-1))
    )


# -- judging -----------------------------------------------------------------------------------------------------


def judge_quantized(
    frontend: Frontend,
    case: Case,
    expected: Sequence[Array],
    actual: Sequence[Array],
    error_bounds: ErrorBounds,
    *,
    analyst: Analyst | None = None,
    samples: Sequence[int] = CERTAINTY,
) -> list[Judged]:
    """Judge the outputs of a quantized model against those of eager mode; nothing for outputs that pass.

    Arguments are those of :func:`oracles.judge.judge`. Structure, and outputs that nothing quantized contributes to,
    are judged as there. A value is a bug when it differs by more than the bound of quantization, the customary
    tolerance and twice the bound of rounding noise together; inconclusive where no bound holds, or where the graph
    computes anything that is not finite, which no range can hold.
    """
    analyst = analyst or Analyst(frontend, case)
    mismatches = compare(expected, actual)
    suspects = [
        item
        for item in mismatches
        if item.kind in (Kind.VALUE, Kind.NONFINITE) and error_bounds.floats[item.output].any()
    ]
    found: list[Judged] = []
    if len(suspects) < len(mismatches):
        excused = {item.output for item in suspects}
        left = [
            want if place in excused else got for place, (want, got) in enumerate(zip(expected, actual, strict=False))
        ]
        found = judge(frontend, case, expected, [*left, *actual[len(left) :]], analyst=analyst, samples=samples)
    reasons = f"no bound on the error of quantization holds: {'; '.join(error_bounds.reasons) or 'not finite'}"
    beyond: dict[int, tuple[Mismatch, Array]] = {}
    for item in suspects:
        want, got = expected[item.output], actual[item.output]
        bound = np.broadcast_to(error_bounds.floats[item.output], want.shape)
        if _wrong(want, got, bound, customary(want, bound)).any():
            beyond[item.output] = item, bound
        elif not np.isfinite(bound).all() or classes(want).any():
            found.append(Judged(item, Verdict.INCONCLUSIVE, reasons))
    if beyond:
        found += _beyond(frontend, case, expected, actual, beyond, analyst)
    return sorted(found, key=lambda item: item.mismatch.output)


def _beyond(
    frontend: Frontend,
    case: Case,
    expected: Sequence[Array],
    actual: Sequence[Array],
    suspects: Mapping[int, tuple[Mismatch, Array]],
    analyst: Analyst,
) -> Iterator[Judged]:
    """Outputs that are beyond the bound of quantization: what the noise of rounding leaves of that."""
    try:
        analysis = analyst.bounds(suspects, FEW)
        finite = _computes_finite(frontend, case)
    except EvaluationError as error:
        problem = f"eager mode refuses the graph on a second run: {error}"
        yield from (Judged(item, Verdict.INCONCLUSIVE, problem) for item, _ in suspects.values())
        return
    for output, (item, bound) in suspects.items():
        want, got, noise = expected[output], actual[output], analysis.bounds[output]
        if not finite or noise.problem or noise.eager.shape != want.shape:
            yield Judged(item, Verdict.INCONCLUSIVE, noise.problem or "the graph computes what is not finite")
            continue
        limit = customary(want, bound) + _rounding(want, noise)
        wrong = _wrong(want, got, bound, limit) & ~noise.varies
        if wrong.any():
            yield _shown(item, want, got, wrong, limit)
        else:
            yield Judged(item, Verdict.INCONCLUSIVE, "rounding in the float model explains the difference")


def judge_kernels(
    frontend: Frontend,
    case: Case,
    reference: Sequence[Array],
    actual: Sequence[Array],
    error_bounds: ErrorBounds,
    *,
    analyst: Analyst | None = None,
) -> list[Judged]:
    """Hold the outputs of one quantized model on some kernels against those on the reference kernels: a bug for each
    output of real numbers that differs by more than the bound. Structure is not looked at, nor is a case in which the
    graph computes what is not finite: what integer a NaN becomes is nobody's promise."""
    analyst = analyst or Analyst(frontend, case)
    suspects: dict[int, tuple[Mismatch, Array]] = {}
    for output, (want, got, error) in enumerate(zip(reference, actual, error_bounds.kernels, strict=False)):
        if want.dtype != np.float32 or got.dtype != want.dtype or got.shape != want.shape or not error.any():
            continue
        bound = np.broadcast_to(error, want.shape)
        mismatch = compare_one(output, want, got)
        if mismatch is not None and _wrong(want, got, bound, customary(want, bound)).any():
            suspects[output] = mismatch, bound
    if not suspects:
        return []
    try:
        analysis = analyst.bounds(suspects, FEW)
        if not _computes_finite(frontend, case):
            return []
    except EvaluationError:
        return []
    found = []
    for output, (item, bound) in suspects.items():
        want, got, noise = reference[output], actual[output], analysis.bounds[output]
        if noise.problem or noise.eager.shape != want.shape:
            continue
        limit = customary(want, bound) + _NOISE * noise.limit
        wrong = _wrong(want, got, bound, limit) & ~noise.varies
        if wrong.any():
            found.append(_shown(item, want, got, wrong, limit))
    return found


def _computes_finite(frontend: Frontend, case: Case) -> bool:
    values = frontend.run(case.graph, case.feeds).values()
    return all(map(finite_array, (*case.feeds.values(), *values)))


def customary(want: Array, bound: Array) -> Array:
    """The bound of quantization and the customary tolerance together."""
    return np.asarray(bound + TOLERANCES[dtype_name(want.dtype)].limit(wide(want)) if _real(want) else bound)


def _rounding(want: Array, noise: Bound) -> Array:
    """What rounding in the float part of a graph adds to a bound. Integers either vary with it or do not."""
    return np.asarray(_NOISE * noise.limit if _real(want) else 0.0)


def _real(array: Array) -> bool:
    return dtype_name(array.dtype) in ROUNDED


def _wrong(want: Array, got: Array, bound: Array, limit: Array) -> Array:
    """The elements that are wrong for certain: where a bound holds and eager mode gives a number. An integer that
    follows from quantized numbers has no bound but none or infinity, one that is a quantized number itself a number of
    steps."""
    if not _real(want):
        return np.asarray(np.isfinite(bound) & (bound > 0) & (differences(want, got) > limit))
    known = np.isfinite(bound) & (classes(want) == 0)
    return np.asarray(known & ((classes(got) != 0) | (differences(want, got) > limit)))


def _shown(item: Mismatch, want: Array, got: Array, wrong: Array, limit: Array) -> Judged:
    """A bug as it shows at the wrong element that exceeds its limit most."""
    error = differences(want, got)
    with np.errstate(all="ignore"):
        badness = np.where(classes(got) != 0, np.inf, error / np.maximum(limit, np.finfo(np.float64).tiny))
    badness = np.where(wrong, badness, -1.0)
    element = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(badness)), badness.shape))
    kind = Kind.NONFINITE if classes(got)[element] else Kind.VALUE
    numbers = {
        "max_absolute": item.max_absolute,
        "max_relative": item.max_relative,
        "fraction": item.fraction,
        "error": float(error[element]),
        # What a script compares with: elements whose bound is higher are not what it shows.
        "bound": float(np.where(np.isfinite(limit), limit, 0.0).max(initial=0.0)),
    }
    if not numbers["error"] > numbers["bound"]:
        numbers["bound"] = float(limit[element])
    return Judged(at_element(item, kind, element, want, got), Verdict.BUG, "", numbers)
