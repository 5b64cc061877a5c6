"""What a graph takes and returns beside what it computes, which most failures do not need, and some are about: a value
returned twice, an input or a constant returned as it is, an input that nothing uses."""

from __future__ import annotations

from dataclasses import replace

from generators.graph import Case, Graph
from generators.sizes import remarked, static
from generators.transforms import drop_dead, with_graph


def idle_inputs(graph: Graph) -> frozenset[str]:
    """Names of the inputs that neither a node nor an output uses."""
    used = {name for node in graph.nodes for name in node.references()} | set(graph.outputs)
    return frozenset(value.name for value in graph.inputs if value.name not in used)


def unusual(graph: Graph) -> bool:
    """Whether there is an input that nothing uses, or an output that no node makes or that there is twice."""
    made = graph.producers().keys()
    outputs = set(graph.outputs)
    return len(outputs) < len(graph.outputs) or not outputs <= made or bool(idle_inputs(graph))


def trimmed(case: Case, graph: Graph) -> Case:
    """The case with another graph over the same values, without what that does not need; inputs that nothing used in
    the case before stay. What makes them go is an edit of its own."""
    idle = idle_inputs(case.graph)
    lean = drop_dead(graph)
    left = {value.name for value in lean.inputs} | idle
    inputs = tuple(value for value in graph.inputs if value.name in left)
    return with_graph(case, replace(lean, inputs=inputs))


def as_in(case: Case, part: Case) -> Case:
    """A part of the case (some of its nodes) with the outputs and inputs that the case has: what it returns of the
    part's values, of its inputs and of its constants, in its order, and what it does not use. Outputs that the part has
    besides follow."""
    graph = case.graph
    made = part.graph.producers().keys()
    passed = {value.name for value in graph.inputs} | {constant.name for constant in graph.constants}
    outputs = [name for name in graph.outputs if name in made or name in passed]
    outputs += [name for name in part.graph.outputs if name not in outputs]
    wanted = idle_inputs(graph) | set(outputs)
    present = {value.name for value in part.graph.inputs}
    # Values of the whole case come first, so that a returned input keeps its place.
    inputs = [
        *(value for value in graph.inputs if value.name in present or value.name in wanted),
        # What varies among them with the sizes is marked below, together with what varies alike.
        *(replace(value, dynamic=()) for value in part.graph.inputs if value.name not in passed),
    ]
    held = {constant.name for constant in part.graph.constants}
    constants = tuple(constant for constant in graph.constants if constant.name in held or constant.name in wanted)
    whole = replace(part.graph, inputs=tuple(inputs), constants=constants, outputs=tuple(outputs))
    feeds = {**case.feeds, **part.feeds}
    profiles = {**case.profiles, **part.profiles}
    if len(part.further) == len(case.further):
        both = zip(case.further, part.further, strict=True)
        result = Case(whole, feeds, profiles, tuple({**old, **new} for old, new in both))
        result = with_graph(result, whole)
        return remarked(result) if case.further else result
    # Sizes of the part are other ones: it is the whole at the first.
    first = static(Case(whole, feeds, profiles))
    return with_graph(first, first.graph)
