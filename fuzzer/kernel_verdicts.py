"""What the runtime variants of a quantized model say of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from fuzzer.runtimes.base import runtimes
from generators.frontends.base import Frontend
from generators.graph import Array, Case
from oracles.judge import Judged
from oracles.noise import Analyst
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.quantization import ErrorBounds, dissent, farther, judge_kernels

#: Runtime, variant, what was seen of it.
Wrong: TypeAlias = "tuple[str, str, Observation]"


class Judgeable(Protocol):
    """A case with what is expected of it."""

    case: Case
    expected: list[Array]
    analyst: Analyst


def held_together(
    frontend: Frontend,
    item: Judgeable,
    ran: Mapping[tuple[str, str], list[Array]],
    wrong: list[Wrong],
    bounds: ErrorBounds,
) -> tuple[list[Observation], list[Wrong], bool]:
    """What more is seen; those that are wrong, without any that nothing is to be said of; and whether they are wrong by
    the model and not by their kernels. ``ran`` are outputs by runtime and variant.

    A variant that agrees with the reference kernels is right about the model, whatever that is worth. One that does
    not is to blame, unless the reference kernels are the ones that are farther from the float model.
    """

    def kernels(want: list[Array], got: list[Array]) -> list[Judged]:
        return judge_kernels(frontend, item.case, want, got, bounds, analyst=item.analyst)

    seen: list[Observation] = []
    for name in dict.fromkeys(name for name, variant in ran if variant == bounds.baseline):
        reference = ran[name, bounds.baseline]
        own = [variant for runtime, variant in ran if runtime == name and variant != bounds.baseline]
        dissenting = {variant: judged for variant in own if (judged := kernels(reference, ran[name, variant]))}
        accused = {variant for runtime, variant, _ in wrong if runtime == name}
        if dissenting and all(farther(item.expected, reference, ran[name, variant]) for variant in dissenting):
            wrong = [one for one in wrong if one[0] != name or one[1] not in dissenting]
            if bounds.baseline not in accused:
                other = next(iter(dissenting))
                judged = kernels(ran[name, other], reference)
                seen.append(_observed(name, {bounds.baseline: judged or dissenting[other]}, other))
            continue
        alike: dict[Kind, dict[str, list[Judged]]] = {}
        for variant, judged in dissenting.items():
            if variant not in accused:
                alike.setdefault(judged[0].mismatch.kind, {})[variant] = judged
        seen += [_observed(name, group, bounds.baseline) for group in alike.values()]
        agreeing = [one for one in wrong if one[0] == name and one[1] not in dissenting]
        if agreeing:
            # The others are no better, only nearer to what they may be.
            return seen, agreeing, True
    return seen, wrong, False


def _observed(runtime: str, group: Mapping[str, Sequence[Judged]], other: str) -> Observation:
    """What is seen of variants that do not agree with another, in the same way: one defect, whether or not those that
    take turns were there."""
    judged = next(iter(group.values()))
    first = judged[0]
    occasional = runtimes()[runtime].occasional if runtime in runtimes() else ()
    standing = ", ".join(variant for variant in group if variant not in occasional)
    variants = ", ".join(group)
    return Observation(
        Signature(Stage.INFERENCE, runtime, first.mismatch.kind, dissent(standing or variants, other)),
        Verdict.BUG,
        f"{first.mismatch}, expected what the {other} kernels give",
        tuple(one.mismatch.output for one in judged),
        variants,
        first.numbers,
    )
