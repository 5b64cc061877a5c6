"""Other ways to reduce a failing graph, for ``benchmarks.minimizer``: delta debugging, and PyTorch's minifier. Both ask
about one candidate at a time, put recorded values in the place of nodes, and stop when no node can go."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from generators.frontends.base import frontend
from generators.graph import Array, Case, Constant, Graph, Input, Node, Ref, node_count, type_of
from generators.transforms import extract, replace_references

#: Whether a case still fails.
Fails = Callable[[Case], bool]


@dataclass
class Reduced:
    """The nodes that are left, and how often was asked; ``case`` is the smallest one that failed."""

    case: Case
    nodes: int
    queries: int


@dataclass
class Asked:
    """Counts the questions; the same one is not asked twice."""

    fails: Fails
    queries: int = 0
    _answers: dict[tuple[int, ...], bool] = field(default_factory=dict)

    def about(self, indices: Sequence[int], case: Case, values: Mapping[str, Array]) -> bool:
        """Whether the nodes at these indices, fed with recorded values, fail."""
        key = tuple(indices)
        if key not in self._answers:
            self.queries += 1
            self._answers[key] = self.fails(extract(case, key, values))
        return self._answers[key]


def ddmin(case: Case, values: Mapping[str, Array], fails: Fails) -> Reduced:
    """Delta debugging of the nodes: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002),
    section 3.2. ``values`` are all values of the case's graph by name. What is left is 1-minimal."""
    asked = Asked(fails)
    nodes = list(range(len(case.graph.nodes)))
    parts = 2
    while len(nodes) > 1:
        bounds = [len(nodes) * number // parts for number in range(parts + 1)]
        subsets = [nodes[start:stop] for start, stop in itertools.pairwise(bounds)]
        found = next((subset for subset in subsets if asked.about(subset, case, values)), None)
        if found is not None:
            nodes, parts = found, 2
            continue
        complements = [[index for index in nodes if index not in set(subset)] for subset in subsets]
        found = next((rest for rest in complements if parts > 2 and asked.about(rest, case, values)), None)
        if found is not None:
            nodes, parts = found, max(parts - 1, 2)
        elif parts < len(nodes):
            parts = min(2 * parts, len(nodes))
        else:
            break
    return Reduced(extract(case, nodes, values), len(nodes), asked.queries)


def fx_minifier(case: Case, fails: Fails) -> Reduced:
    """PyTorch's ``torch._functorch.fx_minifier.minifier`` on a torch graph without control flow: a call of a target is
    one node of the FX graph, one that returns several tensors is followed by nodes that take them apart, as ever in FX.
    ``nodes`` does not count the latter. Raises what the minifier raises."""
    from torch._functorch.fx_minifier import minifier

    module, inputs, ours = _traced(case)
    queries = 0
    best: list[Case] = []

    def module_fails(candidate: Any, arguments: Sequence[Any]) -> bool:
        nonlocal queries
        queries += 1
        back = _case_of(candidate.graph, arguments, ours, case.graph)
        if back is None or not fails(back):
            return False
        best[:] = [back]
        return True

    with contextlib.redirect_stderr(io.StringIO()):
        minifier(module, inputs, module_fails, dump_state=lambda graph, arguments: None)
    return Reduced(best[0], node_count(best[0].graph), queries)


def _traced(case: Case) -> tuple[Any, list[Any], dict[str, Node]]:
    """The graph as an FX module, its inputs, and our node by the name of its function. Constants are inputs, too."""
    import operator

    import torch
    from torch import fx

    torch_frontend = frontend("torch")
    graph, env = fx.Graph(), dict[str, Any]()
    inputs, ours = [], {}
    held = [(constant.name, constant.data) for constant in case.graph.constants]
    for name, array in [*((value.name, case.feeds[value.name]) for value in case.graph.inputs), *held]:
        env[name] = graph.placeholder(name)
        inputs.append(torch_frontend.to_native(array))
    for number, node in enumerate(case.graph.nodes):
        references = list(dict.fromkeys(node.references()))
        function = _function(node, references, f"call_{number}")
        ours[function.__name__] = node
        made = graph.call_function(function, tuple(env[name] for name in references))
        if len(node.outputs) == 1 and not node.unpack:
            env[node.outputs[0].name] = made
            continue
        for place, value in enumerate(node.outputs):
            env[value.name] = graph.call_function(operator.getitem, (made, place))
    graph.output(tuple(env[name] for name in case.graph.outputs))
    return fx.GraphModule(torch.nn.Module(), graph), inputs, ours


def _function(node: Node, references: Sequence[str], name: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        results, several = frontend("torch").call(node, dict(zip(references, arguments, strict=True)))
        return tuple(results) if several else results[0]

    call.__name__ = call.__qualname__ = name
    return call


def _case_of(graph: Any, arguments: Sequence[Any], ours: Mapping[str, Node], whole: Graph) -> Case | None:
    """An FX graph as one of ours; None when nothing is computed or returned."""
    torch_frontend = frontend("torch")
    names: dict[Any, tuple[str, ...]] = {}
    inputs, feeds, nodes = [], {}, []
    given = iter(arguments)
    outputs: list[str] = []
    for item in graph.nodes:
        if item.op == "placeholder":
            array = torch_frontend.to_array(next(given))
            inputs.append(Input(item.name, type_of(array)))
            feeds[item.name] = array
            names[item] = (item.name,)
        elif item.op == "output":
            returned = item.args[0] if isinstance(item.args[0], (tuple, list)) else (item.args[0],)
            outputs = [name for one in returned for name in names[one]]
        elif item.target.__name__ == "getitem":
            source, place = item.args
            names[item] = (names[source][place],)
        else:
            node = ours[item.target.__name__]
            references = list(dict.fromkeys(node.references()))
            renamed = {old: Ref(names[new][0]) for old, new in zip(references, item.args, strict=True)}
            values = tuple(replace(value, name=f"{item.name}_{place}") for place, value in enumerate(node.outputs))
            names[item] = tuple(value.name for value in values)
            lone = Graph("torch", (), (), (node,), ())
            nodes.append(replace(replace_references(lone, renamed).nodes[0], outputs=values))
    made = {value.name for node in nodes for value in node.outputs}
    constants: tuple[Constant, ...] = ()
    if not nodes or not made & set(outputs):
        return None
    return Case(Graph(whole.frontend, tuple(inputs), constants, tuple(nodes), tuple(outputs)), feeds)
