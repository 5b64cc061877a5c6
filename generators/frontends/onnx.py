"""ONNX: operators of the domain ``ai.onnx``, with no exporter in between.

Targets are ``onnx.<operator>``; positional arguments are the inputs (None for an optional one that is left out),
keyword arguments the attributes. An element type is a :class:`DType` also where ONNX has a number, a tensor a tuple
of element type, shape and elements, and ``outputs`` tells how many outputs a node has where that is not the number
that its schema requires. Nodes are written as opset :data:`~generators.frontends.onnx_schema.NEWEST` has them; a model
may be built for any opset in which its nodes mean the same.

A graph is run one node at a time by ONNX Runtime, each node a model of its own that is not optimized, and by
``onnx.reference`` where ONNX Runtime has no kernel. That is no independent truth: what it gives against the same
runtime's answer to the whole model are the defects of optimizers, fusions, memory planning and constant folding.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx

from generators.control.registry import ControlFlow
from generators.frontends.arrays import ArrayFrontend
from generators.frontends.base import EvaluationError, LoadedModel, feeds_of, widen_node
from generators.frontends.bodies import PLAIN, Running
from generators.frontends.onnx_control import controlled
from generators.frontends.onnx_eager import EAGER, RUN_CONTROL
from generators.frontends.onnx_nodes import (
    CONTROL_FLOW,
    Contradiction,
    Sessions,
    arguments,
    operator_of,
    output_count,
    run_or_infer,
    run_reference,
)
from generators.frontends.onnx_schema import NEWEST, element_type, has_kernel, lowest_opset, opsets, runs, schema
from generators.frontends.onnx_source import print_module
from generators.frontends.signatures import Optional
from generators.graph import Array, Case, Graph, Node, Ref, TensorType, all_constants, map_node, type_of
from generators.operators.registry import Registry

#: Operators whose kernels in ONNX Runtime give 0 for what is below 1e-16 or so, in double precision, too (1.31: Sigmoid
#: of -40; the formula of x * Sigmoid(x) likewise).
_SATURATING = frozenset(("onnx.Sigmoid", "onnx.Swish"))


class OnnxFrontend(ArrayFrontend):
    """The frontend ``onnx``. Native tensors are NumPy arrays; one thread."""

    name = "onnx"
    _stands_in = False

    def stand_in(self, active: bool) -> None:
        """``onnx.reference`` runs every node instead of ONNX Runtime, and what it does not run gives zeros."""
        self._stands_in = active

    def registry(self) -> Registry:
        from generators.operators.onnx import REGISTRY

        return REGISTRY

    def version(self) -> str:
        return str(onnx.__version__)

    def dtype(self, name: str) -> int:
        return element_type(name)

    def resolve(self, target: str) -> Any:
        """A function of arrays; keyword arguments are those of the node."""
        operator_of(target)

        def function(*args: Array | None, **kwargs: Any) -> list[Array]:
            names = [None if array is None else Ref(f"i{index}") for index, array in enumerate(args)]
            values = {f"i{index}": array for index, array in enumerate(args) if array is not None}
            return self.call(Node(target, tuple(names), tuple(kwargs.items()), ()), values)[0]

        return function

    def control_flow(self) -> ControlFlow:
        from generators.control.onnx import OnnxControl

        return OnnxControl()

    def symbol(self, path: str) -> Any:
        raise EvaluationError(f"ONNX has no objects to be named, such as {path!r}")

    def optional(self, target: str) -> Optional:
        """Optional inputs, and every attribute: None stands for one that is left out."""
        newest = schema(operator_of(target))
        places = [
            index
            for index, formal in enumerate(newest.inputs)
            if formal.option is onnx.defs.OpSchema.FormalParameterOption.Optional
        ]
        return frozenset((*places, *newest.attributes))

    def excluded(self, node: Node, types: Mapping[str, TensorType], settings: Mapping[str, Any]) -> str:
        if not has_kernel(operator_of(node.target)):
            return "without a kernel"
        wanted = settings.get("opset", NEWEST)
        if lowest_opset(node, types) > wanted:
            return "newer than the opset asked for"
        return "" if runs(node, types, wanted) else "without a kernel in the opset asked for"

    def call(self, node: Node, values: Mapping[str, Any], running: Running = PLAIN) -> tuple[list[Any], bool]:
        if node.target in CONTROL_FLOW:
            outputs = controlled(self, node, values, running, _namespace()["control_flow"])
            return outputs, output_count(node) > 1
        arrays = arguments(node, values)
        if problem := self._undefined(node, arrays):
            raise EvaluationError(f"{node.target}: {problem}, which is undefined")
        types = {argument.name: type_of(values[argument.name]) for argument in node.args if isinstance(argument, Ref)}
        _, opset = opsets(node, types)
        try:
            if self._stands_in:
                outputs = run_or_infer(node, opset, arrays)
            elif has_kernel(operator_of(node.target)):
                outputs = _sessions().run(node, opset, arrays)
            else:
                outputs = run_reference(node, NEWEST, arrays)
        except Contradiction:
            # The kernel is wrong, and what it gives cannot be the reference for itself.
            outputs = run_reference(node, opset, arrays)
        return outputs, output_count(node) > 1

    def arranged(self, node: Node, body: Graph, outputs: Sequence[Any]) -> Any:
        return list(outputs)

    def check_values(self, graph: Graph, values: Mapping[str, Array]) -> None:
        for node in graph.nodes:
            # Nodes of bodies were asked when they ran.
            if node.target not in CONTROL_FLOW and (problem := self._undefined(node, arguments(node, values))):
                raise EvaluationError(f"{node.target}: {problem}, which is undefined")

    @staticmethod
    def _undefined(node: Node, arrays: list[Array | None]) -> str:
        from generators.operators.onnx.domains import undefined

        return undefined(node, arrays)

    def evaluate(self, node: Node, inputs: Mapping[str, Array], *, double: bool = False) -> list[Array]:
        """As for other frontends. In double precision by ONNX Runtime where it has the kernel, else by
        ``onnx.reference``, which computes in the precision of what it is given: a reference that is wrong widens the
        bounds that it is used for, and accuses nobody."""
        dense = {name: self.to_native(array) for name, array in inputs.items()}
        if not double or node.target in CONTROL_FLOW:
            return self.call(widen_node(node) if double else node, dense)[0]
        wide = widen_node(map_node(node, Ref))
        arrays = arguments(wide, dense)
        try:
            if node.target in _SATURATING or self._stands_in:
                raise EvaluationError("the kernel for double precision is no better, or not to be asked")
            outputs = _sessions().run(wide, NEWEST, arrays)
        except EvaluationError:
            outputs = run_reference(wide, NEWEST, arrays)
        for output in outputs:
            if not isinstance(output, np.ndarray):
                raise EvaluationError(f"{node.target}: onnx.reference gives {type(output).__name__}, not a tensor")
        return outputs

    def source(self, graph: Graph, name: str = "Model") -> str:
        return print_module(graph, name)

    def load(self, case: Case) -> LoadedModel:
        """Print the graph, execute the source, make the inputs. ``native`` has ``proto(opset=…, symbolic=…)``, which
        builds the ``onnx.ModelProto``, and is called with arrays."""
        text = self.source(case.graph)
        namespace = {**_namespace(), "CONSTANTS": {item.name: item.data for item in all_constants(case.graph)}}
        # The source is printed from a graph by our own printer; it is the text that reproducers carry.
        exec(compile(text, "<printed graph>", "exec"), namespace)
        return LoadedModel(
            case.graph, text, namespace["Model"](), tuple(self.to_native(each) for each in feeds_of(case))
        )

    def execute(self, model: LoadedModel) -> list[Array]:
        if self._stands_in:
            feeds = {value.name: array for value, array in zip(model.graph.inputs, model.arguments, strict=True)}
            values = self.run(model.graph, feeds)
            return [values[name] for name in model.graph.outputs]
        outputs = model.native(*model.arguments)
        return [np.array(output, copy=True) for output in outputs]


@functools.cache
def _sessions() -> Sessions:
    return Sessions()


@functools.cache
def _namespace() -> dict[str, Any]:
    """What printed source finds around it."""
    import onnxruntime

    namespace: dict[str, Any] = {
        "np": np,
        "onnx": onnx,
        "onnxruntime": onnxruntime,
        "ml_dtypes": ml_dtypes,
        "ctypes": ctypes,
    }
    exec(compile(EAGER + RUN_CONTROL, "<eager ONNX>", "exec"), namespace)
    return namespace
