"""Patterns of nodes: what quarantine goes by.

A pattern is written ``target``, ``target(float32,int64)`` with the dtypes of operands and dtype arguments in order, or
``target(~float,integer)`` with their kinds (:func:`generators.argument_classes.dtype_kind`). A JSON object may follow,
of conditions that must all hold:

* ``"dim": "number negative"``: the class of a literal argument (:func:`generators.argument_classes.argument_class`), by
  position or keyword; null stands for a keyword that is not given.
* ``"rank 0": 3``: the rank of the first operand, and so on.
* ``"role 1": "constant"``: what the second operand is (``input``, ``constant``, ``node``).
* ``"after 0": "torch.transpose"``: the operator that makes the first operand.
* ``"inside": "torch.cond"``: the operator whose body the node is in.
* ``"holds torch.relu": true``: an operator in one of the node's bodies.
* ``"empty": true``: an operand has no elements.
* ``"dtype": "bfloat16"``: an operand has that dtype.
* ``"setting opset": 9``: a setting of the converter other than its default.

The target ``*`` stands for any operator.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from generators.argument_classes import Form, argument_class, dtype_kind
from generators.graph import Argument, DType, Graph, Node, Ref, TensorType, all_constants, all_nodes, all_types

Conditions: TypeAlias = "dict[str, Form]"
#: No operand beyond this one is described: long lists of operands (concatenation) are all alike.
_OPERANDS = 4


@dataclass(frozen=True)
class Context:
    """What a node's operands are: their types by name, and the target that makes them (for those that a node makes),
    and which are constants; the settings of the converter that are not its defaults; and the target of the operator
    whose body the node is in."""

    types: Mapping[str, TensorType]
    makers: Mapping[str, str]
    constants: frozenset[str]
    settings: Mapping[str, Form] = field(default_factory=dict)
    inside: str = ""

    @classmethod
    def of(cls, graph: Graph, settings: Mapping[str, Form] | None = None, inside: str = "") -> Context:
        """The context of every node of a graph, or of a body of an operator ``inside`` which it is."""
        makers = {value.name: node.target for node in all_nodes(graph) for value in node.outputs}
        constants = frozenset(constant.name for constant in all_constants(graph))
        return cls(all_types(graph), makers, constants, settings or {}, inside)


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern. ``dtypes`` is empty when any will do, and holds kinds when ``kinds`` is set."""

    target: str
    dtypes: str = ""
    kinds: bool = False
    conditions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """The pattern that was written so. ValueError when the conditions are no JSON object."""
        head, brace, tail = text.partition("{")
        try:
            found = json.loads(brace + tail) if brace else {}
        except json.JSONDecodeError as error:
            raise ValueError(f"the conditions of pattern {text!r} are no JSON object: {error}") from error
        target, parenthesis, dtypes = head.partition("(")
        dtypes = dtypes.removesuffix(")")
        conditions = tuple((place, json.dumps(wanted, sort_keys=True)) for place, wanted in sorted(found.items()))
        # Empty parentheses are the dtypes of an operator without operands.
        named = dtypes or ("-" if parenthesis else "")
        return cls(target, named.removeprefix("~"), named.startswith("~"), conditions)


def described(node: Node, context: Context) -> Conditions:
    """All conditions that hold of a node."""
    found: Conditions = {}
    operands: list[str] = []
    for place, value in [*((str(index), value) for index, value in enumerate(node.args)), *node.kwargs]:
        operands += _references(value)
        if not isinstance(value, (Ref, DType, Graph)) and not (isinstance(value, tuple) and _references(value)):
            found[place] = argument_class(value, {})
    for index, name in enumerate(operands[:_OPERANDS]):
        found[f"rank {index}"] = context.types[name].rank
        found[f"role {index}"] = (
            "node" if name in context.makers else "constant" if name in context.constants else "input"
        )
        if name in context.makers:
            found[f"after {index}"] = context.makers[name]
    if any(context.types[name].size == 0 for name in operands):
        found["empty"] = True
    if context.inside:
        found["inside"] = context.inside
    found.update((f"holds {target}", True) for body in node.bodies() for target in body.operators())
    found.update((f"setting {name}", value) for name, value in context.settings.items())
    return found


def _dtypes(node: Node, context: Context) -> list[str]:
    """The distinct dtypes of a node's operands."""
    return list(dict.fromkeys(context.types[name].dtype for name in node.references()))


def candidates(node: Node, context: Context) -> tuple[str, ...]:
    """Patterns that the node matches: its target, its dtypes, each single condition without and with the dtypes, and
    each dtype for any operator. What one of them is guilty of, none that comes after it explains better."""
    key = node_key(node, {name: kind.dtype for name, kind in context.types.items()})
    conditions = [json.dumps({place: value}, sort_keys=True) for place, value in described(node, context).items()]
    return (
        node.target,
        key,
        *(f"{node.target}{condition}" for condition in conditions),
        *(f"{key}{condition}" for condition in conditions),
        *(f'*{{"dtype": "{dtype}"}}' for dtype in _dtypes(node, context)),
    )


def suspects(graph: Graph, settings: Mapping[str, Form] | None = None) -> tuple[tuple[str, ...], ...]:
    """The candidates of every node of a graph, in order."""
    return tuple(candidates(node, context) for node, context in in_context(graph, settings))


def in_context(graph: Graph, settings: Mapping[str, Form] | None = None) -> Iterator[tuple[Node, Context]]:
    """Every node of a graph with its context, those of bodies after their node."""

    def walk(nodes: Iterable[Node], context: Context) -> Iterator[tuple[Node, Context]]:
        for node in nodes:
            yield node, context
            for body in node.bodies():
                yield from walk(body.nodes, replace(context, inside=node.target))

    return walk(graph.nodes, Context.of(graph, settings))


class Avoided:
    """A set of patterns, ready to be matched against nodes as a graph grows."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._by_target: dict[str, list[Pattern]] = {}
        for text in patterns:
            pattern = Pattern.parse(text)
            self._by_target.setdefault(pattern.target, []).append(pattern)

    def __bool__(self) -> bool:
        return bool(self._by_target)

    def about(self, target: str) -> bool:
        """Whether any pattern is about this target: only then is there something to match."""
        return target in self._by_target or "*" in self._by_target

    def matches(self, node: Node, context: Context) -> bool:
        """Whether the node matches one of the patterns."""
        patterns = [*self._by_target.get(node.target, ()), *self._by_target.get("*", ())]
        key = kinds = ""
        facts: dict[str, str] | None = None
        for pattern in patterns:
            if pattern.dtypes:
                if not key:
                    key = _inside(node_key(node, {name: kind.dtype for name, kind in context.types.items()}))
                    kinds = kinds_of(key)
                if pattern.dtypes != (kinds if pattern.kinds else key):
                    continue
            if pattern.conditions:
                if facts is None:
                    held = described(node, context).items()
                    facts = {place: json.dumps(value, sort_keys=True) for place, value in held}
                if any(
                    wanted not in [json.dumps(dtype) for dtype in _dtypes(node, context)]
                    if place == "dtype"
                    else facts.get(place, "null") != wanted
                    for place, wanted in pattern.conditions
                ):
                    continue
            return True
        return False

    def in_graph(self, graph: Graph) -> bool:
        """Whether any node of a graph matches."""
        if not any(self.about(target) for target in graph.operators()):
            return False
        return any(self.matches(node, context) for node, context in in_context(graph))


#: Widths of :func:`generalised`.
WIDEST = 2


def generalised(graph: Graph, width: int) -> str:
    """The pattern of a minimized graph: the node that nothing consumes, after the operators that make what it uses.
    Empty when there is not one such node.

    Width 0: with the kinds of dtypes and the classes of all literal arguments, which after minimization are mostly
    needed; 1: with the kinds of dtypes; 2: the operators alone.
    """
    producers = graph.producers()
    consumed = {name for node in graph.nodes for name in node.references()}
    last = [node for node in graph.nodes if consumed.isdisjoint(value.name for value in node.outputs)]
    if len(last) != 1:
        return ""
    [node] = last
    context = Context.of(graph)
    operands = [name for value in (*node.args, *(value for _, value in node.kwargs)) for name in _references(value)]
    conditions: Conditions = {
        f"after {index}": graph.nodes[producers[name]].target
        for index, name in enumerate(operands[:_OPERANDS])
        if name in producers
    }
    # What is left in bodies is mostly needed, whatever it is that the failure is about.
    conditions |= {f"holds {target}": True for body in node.bodies() for target in body.operators()}
    if width == 0:
        facts = described(node, context)
        conditions |= {place: value for place, value in facts.items() if " " not in place and place != "empty"}
    key = node_key(node, {name: kind.dtype for name, kind in context.types.items()})
    head = node.target if width >= WIDEST else f"{node.target}(~{kinds_of(_inside(key))})"
    return head + (json.dumps(conditions, sort_keys=True) if conditions else "")


def node_key(node: Node, dtypes: Mapping[str, str]) -> str:
    """The target with the dtypes of the operands and the element-type arguments of a node, such as
    ``torch.add(float32,int64)``. ``dtypes`` gives the dtype of each value by name."""

    def parts(argument: Argument) -> Iterator[str]:
        if isinstance(argument, Ref):
            yield dtypes[argument.name]
        elif isinstance(argument, DType):
            yield argument.name
        elif isinstance(argument, tuple):
            found = [part for item in argument for part in parts(item)]
            # Operands in a list (concatenation) count once each way: their number is no kind of its own.
            yield from dict.fromkeys(found)

    arguments = (*node.args, *(value for _, value in node.kwargs))
    return f"{node.target}({','.join(part for argument in arguments for part in parts(argument))})"


def node_keys(graph: Graph) -> tuple[str, ...]:
    """The distinct keys of a graph's nodes, those of bodies included, sorted."""
    dtypes = {name: kind.dtype for name, kind in all_types(graph).items()}
    return tuple(sorted({node_key(node, dtypes) for node in all_nodes(graph)}))


def target_of(pattern: str) -> str:
    """The target that a pattern is about."""
    return pattern.partition("{")[0].partition("(")[0]


def kinds_of(dtypes: str) -> str:
    """The kinds of dtypes that are separated by commas."""
    return ",".join(dtype_kind(name) for name in dtypes.split(","))


def _inside(key: str) -> str:
    """What is between the parentheses of a key, ``-`` for nothing."""
    return key.partition("(")[2].removesuffix(")") or "-"


def _references(argument: Argument) -> list[str]:
    if isinstance(argument, Ref):
        return [argument.name]
    if isinstance(argument, tuple):
        return [name for item in argument for name in _references(item)]
    return []
