"""The operators of each frontend: a target, its sampler, and what the oracle must know of its arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from generators.draw import Call, Draw
    from generators.graph import Node
    from generators.operators.domains import Given

Sampler: TypeAlias = "Callable[[Draw], Call]"


class Rounding(Enum):
    """How the results of an operator may differ between correct implementations.

    EXACT: not at all (data movement, comparison, selection, rounding to integers, integer arithmetic, sign changes).
    BASIC: each element that is not exactly representable may be rounded either way (one IEEE operation: add,
    multiply, divide, sqrt).
    COMPOSITE: several roundings inside (transcendental functions, reductions, convolutions, normalisations, floor
    division and remainder of floats): as if the inputs, too, had been rounded.
    """

    EXACT = "exact"
    BASIC = "basic"
    COMPOSITE = "composite"


@dataclass(frozen=True, slots=True)
class Operator:
    """A target with its sampler. ``weight`` is its base probability relative to 1; ``family`` groups statistics.
    ``tabulated`` tells of a call whether the framework takes its weights from a table (see :meth:`Registry.operator`),
    ``domain`` of the values of its positional arguments why the operator is not defined for them (empty: it is).
    """

    target: str
    sampler: Sampler
    family: str
    rounding: Rounding
    weight: float
    tabulated: Callable[[Node], bool] | None = None
    domain: Callable[[Given], str] | None = None


#: Families of operators that add terms up.
_SUMMING = frozenset(
    {"convolution", "cumulative", "harvested", "linalg", "linear", "matmul", "pooling", "reduction", "segment"}
)


class Registry:
    """The operators of one frontend by target."""

    def __init__(self, frontend: str) -> None:
        self.frontend = frontend
        self._operators: dict[str, Operator] = {}
        #: Domains of targets that have no operator here.
        self._domains: dict[str, Callable[[Given], str]] = {}

    def operator(
        self,
        *targets: str,
        family: str,
        rounding: Rounding = Rounding.COMPOSITE,
        weight: float = 1.0,
        tabulated: Callable[[Node], bool] | None = None,
        domain: Callable[[Given], str] | None = None,
    ) -> Callable[[Sampler], Sampler]:
        """Decorator: register the sampler for each of the targets. ValueError when a target has one already.

        ``tabulated`` is for operators whose reference itself is coarse, in every precision: calls for which it is true
        interpolate with weights looked up at positions that are rounded to a 1024th. ``domain`` is for operators that
        eager mode evaluates where their documentation leaves the result undefined.
        """

        def register(sampler: Sampler) -> Sampler:
            for target in targets:
                if target in self._operators:
                    raise ValueError(f"{self.frontend} has two samplers for {target}")
                self._operators[target] = Operator(target, sampler, family, rounding, weight, tabulated, domain)
            return sampler

        return register

    def add(self, operator: Operator, *, again: bool = False) -> None:
        """Register an operator as it is. ValueError when its target has one already, unless ``again``."""
        if operator.target in self._operators and not again:
            raise ValueError(f"{self.frontend} has two samplers for {operator.target}")
        self._operators[operator.target] = operator

    def declare(self, target: str, domain: Callable[[Given], str]) -> None:
        """The domain of a target without a sampler: graphs from elsewhere are held to it, too."""
        self._domains[target] = domain

    def __getitem__(self, target: str) -> Operator:
        return self._operators[target]

    def __contains__(self, target: object) -> bool:
        return target in self._operators

    def __len__(self) -> int:
        return len(self._operators)

    def targets(self) -> tuple[str, ...]:
        """All targets, sorted, so that the order of imports never changes what a seed generates."""
        return tuple(sorted(self._operators))

    def sums(self, target: str) -> bool:
        """Whether the operator adds terms up, be it a single one: where it starts from is its own affair. Of one
        without a sampler, or without a hand-written one, it is not known, so it may."""
        operator = self._operators.get(target)
        return operator is None or operator.family in _SUMMING

    def tabulated(self, node: Node) -> bool:
        """Whether the call takes its weights from a table, which makes the framework's own result a coarse one."""
        operator = self._operators.get(node.target)
        return bool(operator and operator.tabulated and operator.tabulated(node))

    def domain(self, target: str) -> Callable[[Given], str] | None:
        """Why the operator is undefined for values of its arguments, as a function; None if it never is."""
        operator = self._operators.get(target)
        return operator.domain if operator else self._domains.get(target)

    def rounding(self, target: str) -> Rounding:
        """The arithmetic class of a target; COMPOSITE, the most permissive, for one that has no sampler."""
        operator = self._operators.get(target)
        return operator.rounding if operator else Rounding.COMPOSITE
