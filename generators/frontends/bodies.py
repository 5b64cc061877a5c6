"""Bodies of control flow as functions: what the interpreter hands to an operator that takes functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from generators.graph import Array, Graph, Node, Ref

if TYPE_CHECKING:
    from generators.frontends.base import Frontend

#: Called with a body and the arrays of its inputs; gives those of its outputs.
BodyRunner: TypeAlias = "Callable[[Graph, Sequence[Array]], list[Array]]"


@dataclass(frozen=True)
class Running:
    """How bodies are run: by ``runner`` instead of the frontend itself when there is one. With ``inner``, native values
    of bodies are put there by name as they are when the body runs first, and every body runs at least once."""

    runner: BodyRunner | None = None
    inner: dict[str, Any] | None = None


PLAIN = Running()
#: A graph of a loop that makes more steps is refused: without what counts them, many a loop would never end.
MOST_STEPS = 64


class BodyFunction:
    """A body as a function of native tensors, nested in tuples or lists as its operator likes it. Values that the body
    captures are looked up in ``values``.

    Results are returned as the operator likes them, too (:meth:`generators.frontends.base.Frontend.arranged`).
    """

    def __init__(
        self, frontend: Frontend, node: Node, body: Graph, values: Mapping[str, Any], running: Running
    ) -> None:
        self._frontend = frontend
        self._node = node
        self._body = body
        self._values = values
        self._running = running
        self._steps = 0

    @property
    def always(self) -> bool:
        """Whether the body is to be run once even if the operator has no use for it."""
        return self._running.inner is not None

    def __call__(self, *arguments: Any) -> Any:
        given = flattened(arguments)
        body = self._body
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise ValueError(f"more than {MOST_STEPS} steps: no loop that is grown makes so many")
        if len(given) != len(body.inputs):
            raise ValueError(f"a body of {len(body.inputs)} inputs is called with {len(given)}")
        if self._running.runner is not None:
            arrays = self._running.runner(body, [self._frontend.to_array(native) for native in given])
            return self._returned([self._frontend.to_native(array) for array in arrays])
        values = {**self._values}
        values.update(zip((value.name for value in body.inputs), given, strict=True))
        values.update((constant.name, self._frontend.to_native(constant.data)) for constant in body.constants)
        for node in body.nodes:
            self._check_domain(node, values)
            outputs = self._frontend.outputs(node, values, self._running)
            if len(outputs) != len(node.outputs):
                raise ValueError(f"{node.target} returned {len(outputs)} tensors, {len(node.outputs)} expected")
            values.update(zip((output.name for output in node.outputs), outputs, strict=True))
        if self._running.inner is not None:
            for name, native in values.items():
                if name not in self._values:
                    self._running.inner.setdefault(name, native)
        return self._returned([values[name] for name in body.outputs])

    def _check_domain(self, node: Node, values: Mapping[str, Any]) -> None:
        """ValueError where the result of a node is undefined. Outside of bodies growth sees to that; what the second
        step of a loop gives to an operator, nobody has looked at."""
        domain = self._frontend.registry().domain(node.target)
        if domain is None:
            return
        given = [self._frontend.to_array(values[item.name]) if isinstance(item, Ref) else item for item in node.args]
        if problem := domain(given):
            raise ValueError(f"{node.target}: {problem}, which is undefined")

    def _returned(self, outputs: list[Any]) -> Any:
        return self._frontend.arranged(self._node, self._body, outputs)


def flattened(nested: Any) -> list[Any]:
    """The tensors in nested tuples and lists, in order."""
    if not isinstance(nested, (tuple, list)):
        return [nested]
    return [item for part in nested for item in flattened(part)]
