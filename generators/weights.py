"""The operators that graphs are drawn from, with their weights."""

from __future__ import annotations

import bisect
import fnmatch
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from generators.choices import Choices
from generators.frontends.base import Frontend
from generators.motifs.registry import names as motifs_of

#: Share of the graphs with control flow, of those drawn from all operators.
CONTROL_SHARE = 0.09


@dataclass(frozen=True)
class Weights:
    """Operators with their probabilities; ``factors`` multiply the base weights (0 excludes a target). ``motifs`` says
    whether graphs may have motifs and rare shapes too, which are made of operators of their own choice, as far as these
    are among the targets. ``control`` are operators that take bodies, which are no targets, with their weights, and
    ``share`` is that of the graphs which get one: in graphs of nothing else, each node is one."""

    targets: tuple[str, ...]
    cumulative: tuple[float, ...]
    motifs: bool = False
    control: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0
    #: What control flow must do without, too, when it makes results fit: targets whose factor is 0.
    excluded: frozenset[str] = frozenset()
    #: What motifs may be made of, as well as of the targets.
    placed: frozenset[str] = frozenset()
    #: The targets of each family.
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        frontend: Frontend,
        factors: Mapping[str, float] | None = None,
        *,
        only: Sequence[str] = (),
        motifs: bool = False,
    ) -> Weights:
        """The frontend's operators at their base weights times the factors; with ``only``, those whose target matches
        one of its patterns (``*`` and ``?`` are wildcards), and with ``motifs`` there are motifs nevertheless, made of
        all operators whose factor is not 0. ValueError when nothing is left."""
        registry = frontend.registry()
        factors = factors or {}

        def wanted(target: str) -> bool:
            return factors.get(target, 1.0) > 0 and (
                not only or any(fnmatch.fnmatchcase(target, pattern) for pattern in only)
            )

        weighted = {
            target: registry[target].weight * factors.get(target, 1.0)
            for target in registry.targets()
            if wanted(target)
        }
        vocabulary = frontend.control_flow()
        control = vocabulary.targets if vocabulary else {}
        control = {target: weight * factors.get(target, 1.0) for target, weight in control.items() if wanted(target)}
        share = CONTROL_SHARE if control else 0.0
        if control and only:
            share = max(share, len(control) / (len(control) + len(weighted)))
        if not weighted and control:
            # Bodies are drawn from all there is.
            weighted = {target: registry[target].weight for target in registry.targets()}
        if not weighted:
            raise ValueError(f"no operator of {frontend.name} is left to draw from")
        families: dict[str, list[str]] = {}
        for target in weighted:
            families.setdefault(registry[target].family, []).append(target)
        return cls(
            tuple(weighted),
            tuple(itertools.accumulate(weighted.values())),
            motifs=(motifs or not only) and bool(motifs_of(frontend.name)),
            control=control,
            share=share,
            excluded=frozenset(target for target, factor in factors.items() if factor <= 0),
            placed=frozenset(t for t in registry.targets() if factors.get(t, 1.0) > 0) if motifs else frozenset(),
            families={family: tuple(targets) for family, targets in families.items()},
        )

    def pick(self, choices: Choices) -> str:
        cumulative = self.cumulative
        # Rounding can make the product the sum of all weights; the last operator is meant then.
        return self.targets[bisect.bisect(cumulative, choices.fraction() * cumulative[-1], 0, len(cumulative) - 1)]
