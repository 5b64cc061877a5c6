"""What a frontend says of its control flow: the operators, how a call of each is grown, and a few plain operators."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from generators.graph import FLOATING, INTEGRAL, Graph
from generators.handles import Call, Handle

if TYPE_CHECKING:
    from generators.control.bodies import Bodies
    from generators.draw import Draw

#: Element types that bodies take and return.
DTYPES_OF_BODIES = (*FLOATING, *INTEGRAL, "bool")


class ControlFlow(abc.ABC):
    """The control flow of one frontend. The plain operators make results fit where a body has to return a given type,
    and predicates; each takes a value and returns a call, what it needs besides made by ``draw``."""

    #: Operators that take bodies, with their weights.
    targets: ClassVar[Mapping[str, float]]
    #: Whether bodies may hold constants of their own.
    holds_constants = False

    @abc.abstractmethod
    def grow(self, target: str, bodies: Bodies) -> Call:
        """A call of the operator with bodies grown for it. Raises Rejected when there is none on the values at hand."""

    def suits(self, target: str) -> bool:
        """Whether an operator may be in a body."""
        return True

    def independent(self, value: Handle, others: Sequence[Handle]) -> bool:
        """Whether a result of a body shares no memory with the others, which some operators insist on."""
        return True

    def dense(self, value: Handle) -> bool:
        """Whether a value lies in memory as its type tells: some operators insist on that for what bodies return, and
        for what they carry on."""
        return True

    @abc.abstractmethod
    def cast(self, draw: Draw, x: Handle, dtype: str) -> Call:
        """The value in another element type."""

    @abc.abstractmethod
    def expand(self, draw: Draw, x: Handle, shape: tuple[int, ...]) -> Call:
        """The value broadcast to a shape."""

    @abc.abstractmethod
    def largest(self, draw: Draw, x: Handle) -> Call:
        """The largest element of a real value as a scalar; of a boolean one, whether there is a true one."""

    @abc.abstractmethod
    def compare(self, draw: Draw, x: Handle, operator: str, number: float) -> Call:
        """``x < number`` or ``x > number`` of real values, ``operator`` being the sign."""

    @abc.abstractmethod
    def negate(self, draw: Draw, x: Handle) -> Call:
        """The opposite of a boolean value."""

    @abc.abstractmethod
    def both(self, draw: Draw, x: Handle, y: Handle) -> Call:
        """Whether two boolean values are both true."""

    @abc.abstractmethod
    def add(self, draw: Draw, x: Handle, y: Handle | int) -> Call:
        """The sum of two values of one element type, or of a value and a number."""

    def densely(self, draw: Draw, x: Handle) -> Call:
        """The value, dense; a copy is where nothing else makes it so."""
        return self.copy(draw, x)

    @abc.abstractmethod
    def copy(self, draw: Draw, x: Handle) -> Call:
        """The value itself, as a result of its own."""


def nested(graph: Graph) -> int:
    """How deep bodies are nested in the graph: 0 without any."""
    return max((1 + nested(body) for node in graph.nodes for body in node.bodies()), default=0)
