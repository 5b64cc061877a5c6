"""Sparing tf2onnx most of what it does to graphs between its steps.

- Before each of some fifty steps its optimizer makes a deep copy of the graph, to go back to when the step fails. Here
  the step gets the graph itself, and when one fails (rarely) the conversion is done once more, with copies. One thing
  tells a copy from its original: a graph knows its subgraphs by their addresses, and a copy knows the copied subgraphs
  by the addresses of those that they were copied from, so that it does not find them again. What a copy would not find,
  the original is made not to find either.
- Every node is asked for its graph, subgraphs and inputs some hundred times, and writes its protobuf anew after each
  step. The methods that do so are replaced by ones that do the same in fewer instructions.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fuzzer.converters._altered import altered


class StepFailed(BaseException):
    """A step of the optimizer failed on a graph of which there is no copy: convert again without
    :func:`shared_graphs`. Not an Exception, which tf2onnx would catch."""


#: Addresses that no object has.
_nowhere = itertools.count(-1, -1)


@contextmanager
def shared_graphs() -> Iterator[None]:
    """While active, the optimizer of tf2onnx works without copies. Raises StepFailed, see there.

    Leaves out what it does not find. Not for use while another thread converts.
    """
    try:
        from tf2onnx import optimizer
        from tf2onnx.graph import Graph
        from tf2onnx.optimizer.optimizer_base import GraphOptimizerBase

        module, optimize = optimizer.copy, GraphOptimizerBase.optimize
        shared = [cls for cls in _subclasses(GraphOptimizerBase) if "optimize" in vars(cls)]
    except (ImportError, AttributeError):
        yield
        return
    if module is not copy or shared:
        yield
        return

    def deepcopy(value: Any, memo: dict[int, Any] | None = None) -> Any:
        if type(value) is not Graph:
            return copy.deepcopy(value, memo)
        _forget_addresses(value)
        return value

    def watched(self: Any, graph: Any, iteration: int) -> Any:
        try:
            return optimize(self, graph, iteration)
        except Exception as error:
            raise StepFailed(f"{type(self).__name__}: {error}") from error

    optimizer.copy, GraphOptimizerBase.optimize = altered(copy, deepcopy=deepcopy), watched
    try:
        yield
    finally:
        optimizer.copy, GraphOptimizerBase.optimize = copy, optimize


def _forget_addresses(graph: Any) -> None:
    """Let the graph and all graphs in it know their subgraphs by addresses that these do not have."""
    waiting, seen = [graph], {id(graph)}
    while waiting:
        current = waiting.pop()
        known = current._input_to_graph
        found = [body for bodies in current.contained_graphs.values() for body in bodies.values()]
        for name, graphs in known.items():
            found += graphs.values()
            known[name] = {next(_nowhere): body for body in graphs.values()}
        for body in found:
            if id(body) not in seen:
                seen.add(id(body))
                waiting.append(body)


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


@contextmanager
def quick_nodes() -> Iterator[None]:
    """While active, methods of tf2onnx's graphs and nodes do what they do in fewer instructions.

    Leaves out what it does not find. Not for use while another thread converts.
    """
    try:
        from tf2onnx.graph import Graph, Node

        originals = [
            (cls, name, getattr(cls, name))
            for cls, name in (
                (Node, "_graph_check"),
                (Node, "get_body_graphs"),
                (Node, "get_implicit_inputs"),
                (Node, "update_proto"),
                (Graph, "dump_node_statistics"),
                (Graph, "extract_sub_graph_nodes"),
                (Graph, "reset_nodes"),
            )
        ]
        check, _, implicit, update, statistics, extract, _ = (original for _, _, original in originals)
    except (ImportError, AttributeError):
        yield
        return

    def graph_check(self: Any) -> None:
        if self.graph is None:
            check(self)

    def get_body_graphs(self: Any) -> Any:
        if self.graph is None:
            check(self)
        contained = self.graph.contained_graphs
        return contained.get(self._op.name) if contained else None

    def get_implicit_inputs(self: Any, recursive: bool = True) -> Any:
        return implicit(self, recursive) if get_body_graphs(self) else []

    def update_proto(self: Any, external_tensor_storage: Any = None) -> None:
        if get_body_graphs(self):
            update(self, external_tensor_storage)
            return
        node = self._op
        del node.input[:]
        node.input.extend(self._input)
        del node.output[:]
        node.output.extend(self._output)
        del node.attribute[:]
        if self._attr:
            node.attribute.extend(self.get_onnx_attrs(external_tensor_storage).values())

    def dump_node_statistics(self: Any, include_attrs: bool = False, include_subgraphs: bool = True) -> Any:
        if include_attrs:
            return statistics(self, include_attrs, include_subgraphs)
        counts = Counter([node._op.op_type for node in self._nodes])
        if include_subgraphs and self.contained_graphs:
            for node in self._nodes:
                for body in (get_body_graphs(node) or {}).values():
                    counts += dump_node_statistics(body)
        return counts

    def extract_sub_graph_nodes(
        self: Any, outputs_name: Any, input_checker: Any = None, remove_unused_inputs: bool = True
    ) -> Any:
        if input_checker is not None:
            return extract(self, outputs_name, input_checker, remove_unused_inputs)
        # What is reached from the outputs together, in place of the union of what is reached from each.
        names = list(outputs_name)
        if not remove_unused_inputs:
            names += [node.output[0] for node in self.inputs]
        named, made_by = self._nodes_by_name.get, self._output_to_node_name.get
        found: set[Any] = set()
        while names:
            node = named(made_by(names.pop()))
            if node and node not in found:
                found.add(node)
                names += node._input
                names += get_implicit_inputs(node)
        return list(found)

    def reset_nodes(self: Any, ops: Any) -> None:
        dtypes, shapes, contained = self._dtypes, self._output_shapes, self.contained_graphs
        outputs = [(output, op._op.name) for op in ops for output in op._output]
        self._nodes = ops
        self.contained_graphs = {op._op.name: contained[op._op.name] for op in ops if op._op.name in contained}
        self._nodes_by_name = {op._op.name: op for op in ops}
        self._output_to_node_name = dict(outputs)
        self._output_to_consumers = consumers = {}
        if self.parent_graph is None:
            for op in ops:
                name = op._op.name
                for used in op._input:
                    if used not in consumers:
                        consumers[used] = {name}
                    else:
                        consumers[used].add(name)
        else:
            for op in ops:
                for used in op._input:
                    self._register_input_name(used, op)
        present = set(map(id, ops))
        for node in self.inputs:
            if id(node) not in present:
                raise ValueError("graph input '" + node.name + "' not exist")
        for output in self.outputs:
            if output not in self._output_to_node_name:
                raise ValueError("graph output '" + output.name + "' not exist")
        self._dtypes = {output: dtypes[output] for output, _ in outputs if output in dtypes}
        self._output_shapes = {output: shapes[output] for output, _ in outputs if output in shapes}

    replacements = (
        graph_check,
        get_body_graphs,
        get_implicit_inputs,
        update_proto,
        dump_node_statistics,
        extract_sub_graph_nodes,
        reset_nodes,
    )
    for (cls, name, _), replacement in zip(originals, replacements, strict=True):
        setattr(cls, name, replacement)
    try:
        yield
    finally:
        for cls, name, original in originals:
            setattr(cls, name, original)
