"""Who is at fault: from what each runtime variant made of an artifact to the observations of each case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fuzzer.kernel_verdicts import held_together
from fuzzer.prepared import Prepared, Refused, Results, Sized
from fuzzer.runtimes.base import runtimes
from generators.frontends.base import EvaluationError, Frontend
from generators.graph import Array, dtype_name
from generators.sizes import size_text
from oracles.compare import finite
from oracles.judge import CERTAINTY, SUSPICION, Judged, judge
from oracles.noise import FEW
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.quantization import ErrorBounds, judge_quantized

_INT32 = np.iinfo(np.int32)
#: Among the numbers of an observation: the runtime computed with fewer bits than the graph's values need.
NARROWED = "narrowed"
NARROW_WORDS = "computes with 32 bits, which some values of the graph do not fit in"
#: Among the numbers of an observation: it takes more samples of noise to be certain of it.
SUSPECTED = "suspected"
#: Kinds of mismatch in the order in which they hide each other.
SEVERITY = (Kind.COUNT, Kind.DTYPE, Kind.SHAPE, Kind.NONFINITE, Kind.VALUE)


class Verdicts:
    """Judges cases of a frontend that a ``converter`` (its name) was given; one that ``hands_on`` what it is given is
    at no fault."""

    def __init__(self, frontend: Frontend, converter: str, *, hands_on: bool = False) -> None:
        self._frontend = frontend
        self._converter = converter
        self._hands_on = hands_on
        self._sought: Signature | None = None
        self._found = False

    def seek(self, sought: Signature | None) -> None:
        """From now on, judge with few samples of noise once a case has shown this; None to judge all with many."""
        self._sought, self._found = sought, False

    def judged(self, size: Sized, actual: list[Array], bounds: ErrorBounds | None = None) -> list[Judged]:
        """What is wrong with the outputs at one size; of a quantized model, within the bounds on its errors."""
        given = (self._frontend, size.case, size.expected, actual)
        samples = SUSPICION if self._found else CERTAINTY
        return (
            judge(*given, analyst=size.analyst, samples=samples)
            if bounds is None
            else judge_quantized(*given, bounds, analyst=size.analyst, samples=samples)
        )

    def of(self, item: Prepared, outputs: list[Results], bounds: ErrorBounds | None) -> list[Observation]:
        """One observation per component that is at fault; see :meth:`seek`. Numbers of one that was judged with few
        samples have SUSPECTED."""
        suspected = self._found
        seen = self._of(item, outputs, bounds)
        if suspected:
            return [replace(one, numbers={**one.numbers, SUSPECTED: 1.0}) for one in seen]
        self._found = self._found or any(one.signature == self._sought and one.verdict is Verdict.BUG for one in seen)
        return seen

    def _of(self, item: Prepared, outputs: list[Results], bounds: ErrorBounds | None) -> list[Observation]:
        """One observation per component that is at fault.

        When every variant of every runtime is wrong, in whatever way, the converter is; else the runtime that differs.
        Of a quantized model, see :func:`fuzzer.kernel_verdicts.held_together`.
        """
        seen: list[Observation] = []
        wrong: list[tuple[str, str, Observation]] = []
        ran = 0
        for name, variant, results in outputs:
            seen += self._stable(item, refusals_of(item, results))
            if isinstance(results[0], Refused):
                continue
            worst = self._worst(item, results, name, variant, bounds)
            if worst is not None and NARROWED in worst.numbers:
                # It says nothing about the artifact, neither for the converter nor against it.
                seen.append(worst)
                continue
            ran += 1
            if worst is None:
                continue
            if worst.verdict is Verdict.INCONCLUSIVE:
                seen.append(worst)
            else:
                wrong.append((name, variant, worst))
        converted = len(wrong) == ran
        if bounds is not None:
            ran_at_first = {
                (name, variant): results[0] for name, variant, results in outputs if not isinstance(results[0], Refused)
            }
            found, wrong, agree = held_together(self._frontend, item.sizes[0], ran_at_first, wrong, bounds)
            seen += found
            converted = converted or agree
        if not wrong:
            return seen
        if converted and not self._hands_on:
            first = min((seen for _, _, seen in wrong), key=lambda seen: SEVERITY.index(seen.signature.kind))
            signature = Signature(Stage.CONVERT, self._converter, first.signature.kind)
            variants = ", ".join(f"{name} {variant}" for name, variant, _ in wrong)
            return [*seen, Observation(signature, Verdict.BUG, first.message, first.outputs, variants, first.numbers)]
        groups: dict[tuple[str, Kind], list[tuple[str, Observation]]] = {}
        for name, variant, observation in wrong:
            groups.setdefault((name, observation.signature.kind), []).append((variant, observation))
        for (name, kind), members in groups.items():
            first = members[0][1]
            variants = ", ".join(variant for variant, _ in members)
            # Which of those that take turns was there is no part of a defect that the others show.
            runtime = runtimes().get(name)
            occasional = runtime.occasional if runtime else ()
            standing = ", ".join(variant for variant, _ in members if variant not in occasional)
            signature = Signature(Stage.INFERENCE, name, kind, standing or variants)
            seen.append(Observation(signature, Verdict.BUG, first.message, first.outputs, variants, first.numbers))
        return seen

    def _stable(self, item: Prepared, refusals: list[Observation]) -> list[Observation]:
        """The refusals, those of a running model inconclusive where rounding decides on shapes: an operator behind
        ``Unique`` may be given other sizes by a correct implementation."""
        if not any(_raised(seen) for seen in refusals):
            return refusals
        try:
            varies = any(
                bound.reshapes for size in item.sizes for bound in size.analyst.bounds(samples=FEW).bounds.values()
            ) or any(size.analyst.refused for size in item.sizes)
        except EvaluationError:
            varies = True
        if not varies:
            return refusals
        note = "\n(rounding decides on shapes of this graph)"
        return [
            replace(seen, verdict=Verdict.INCONCLUSIVE, message=seen.message + note) if _raised(seen) else seen
            for seen in refusals
        ]

    def _worst(
        self, item: Prepared, results: list[list[Array] | Refused], name: str, variant: str, bounds: ErrorBounds | None
    ) -> Observation | None:
        """The gravest verdict on the outputs of one variant at any size; None when all pass."""
        judged = [
            (number, result)
            for number, (size, actual) in enumerate(zip(item.sizes, results, strict=True))
            if not isinstance(actual, Refused)
            for result in self.judged(size, actual, bounds)
        ]
        bugs = [pair for pair in judged if pair[1].verdict is Verdict.BUG]
        chosen = bugs or [pair for pair in judged if pair[1].verdict is Verdict.INCONCLUSIVE]
        if not chosen:
            return None
        kind = min((result.mismatch.kind for _, result in chosen), key=SEVERITY.index)
        same_kind = [pair for pair in chosen if pair[1].mismatch.kind is kind]
        number, first = same_kind[0]
        signature = Signature(Stage.INFERENCE, name, kind)
        outputs = tuple(dict.fromkeys(result.mismatch.output for _, result in same_kind))
        numbers = {**first.numbers, "defined": float(all(map(finite, item.sizes[number].expected)))}
        message = str(first.mismatch) + at_sizes(item, {number for number, _ in same_kind})
        verdict = first.verdict
        if verdict is Verdict.BUG and self.too_narrow(item.sizes[number], name):
            verdict = Verdict.INCONCLUSIVE
            message += f" ({name} {NARROW_WORDS})"
            numbers[NARROWED] = 1.0
        return Observation(signature, verdict, message, outputs, variant, numbers)

    def too_narrow(self, size: Sized, runtime: str) -> bool:
        """Whether the graph has values, of element types that the runtime of that name computes in 32 bits, that no
        32-bit integer holds. What the runtime gives then tells nothing."""
        narrowed = runtimes()[runtime].narrows if runtime in runtimes() else ()
        if not narrowed:
            return False
        try:
            values = [*size.analyst.eager().values(), *(constant.data for constant in size.case.graph.constants)]
        except EvaluationError:
            return True
        return any(
            bool(array.size) and (int(array.max()) > _INT32.max or int(array.min()) < _INT32.min)
            for array in values
            if dtype_name(array.dtype) in narrowed
        )


def _raised(seen: Observation) -> bool:
    """Whether a runtime raised while it ran a model."""
    signature = seen.signature
    return (signature.stage, signature.kind, seen.verdict) == (Stage.INFERENCE, Kind.EXCEPTION, Verdict.BUG)


def at_sizes(item: Prepared, numbers: set[int]) -> str:
    """At which of its sizes something was seen of a case with several, in parentheses."""
    if len(item.sizes) == 1:
        return ""
    texts = [size_text(item.case, number) for number in range(len(item.sizes))]
    where = " and ".join(text for number, text in enumerate(texts) if number in numbers)
    rest = " and ".join(text for number, text in enumerate(texts) if number not in numbers)
    return f" (at {where}, not at {rest}; converted with {texts[0]})" if rest else f" (at {where})"


def refusals_of(item: Prepared, results: list[list[Array] | Refused]) -> list[Observation]:
    """What was refused, each thing once, with the sizes."""
    numbers: dict[Signature, set[int]] = {}
    first: dict[Signature, Observation] = {}
    for number, result in enumerate(results):
        for seen in result.observations if isinstance(result, Refused) else ():
            numbers.setdefault(seen.signature, set()).add(number)
            first.setdefault(seen.signature, seen)
    if isinstance(results[0], Refused):
        return list(first.values())
    return [replace(seen, message=seen.message + at_sizes(item, numbers[key])) for key, seen in first.items()]


def by_case(prepared: list[Prepared], results: list[list[Array] | Refused]) -> list[list[list[Array] | Refused]]:
    """The results of a union at each size, taken apart: for each case those at its own sizes."""
    found = []
    start = 0
    for item in prepared:
        # The last case takes what is left over, so that a surplus of outputs is seen.
        stop = None if item is prepared[-1] else start + len(item.expected)
        found.append(
            [result if isinstance(result, Refused) else result[start:stop] for result in results[: len(item.sizes)]]
        )
        start += len(item.expected)
    return found


def dissenting(per_variant: list[Results]) -> list[Results]:
    """Results of a model that was converted by nobody: a size that every variant refuses is one that the model does not
    take, and that is no finding."""
    most = max((len(results) for _, _, results in per_variant), default=0)
    refused = [
        all(len(results) <= size or isinstance(results[size], Refused) for _, _, results in per_variant)
        for size in range(most)
    ]
    return [
        (
            name,
            variant,
            [
                _unsupported(result) if isinstance(result, Refused) and refused[size] else result
                for size, result in enumerate(results)
            ],
        )
        for name, variant, results in per_variant
    ]


def _unsupported(refusal: Refused) -> Refused:
    return Refused(
        *(
            replace(seen, signature=replace(seen.signature, kind=Kind.UNSUPPORTED), verdict=Verdict.PASS)
            for seen in refusal.observations
        ),
        bug=False,
    )
