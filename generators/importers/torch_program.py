"""Exported programs of torch (``.pt2``, or a module that is exported here) as graphs of the frontend ``torch``.

The nodes are the ATen operators that ``torch.export`` found, before any decomposition; parameters and buffers become
constants. Shapes are those of the example inputs.
"""

from __future__ import annotations

import importlib
import operator
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.export.graph_signature import InputKind, OutputKind

from generators.frontends.torch import TorchFrontend
from generators.graph import (
    Argument,
    Array,
    Case,
    Constant,
    DType,
    Graph,
    Input,
    Node,
    Ref,
    Symbol,
    TensorType,
    Value,
)
from generators.importers.archives import check_exported_program
from generators.importers.errors import ImportRefused

#: A case, and the outputs that the module itself gives for its feeds.
Read: TypeAlias = "tuple[Case, list[Array]]"
_UNKNOWN = TensorType("float32", ())
#: Nodes without a result that only check.
_CHECKS = ("_assert", "sym_constrain", "_check")


def read_file(path: Path, feeds: Sequence[Array] | None) -> Read:
    """The case of a file of ``torch.export.save``, fed with its own example inputs unless ``feeds`` are given.
    ImportRefused for a file that is damaged, holds anything but tensors, or holds what graphs cannot."""
    check_exported_program(path)
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise ImportRefused(
            f"torch {torch.__version__} cannot load {path.name}: {type(error).__name__}: {error}",
            "was it saved by a much older or newer torch?",
        ) from error
    if program.example_inputs is None and feeds is None:
        raise ImportRefused(f"{path.name} holds no example inputs", "give inputs with --inputs FILE.npz")
    args, kwargs = program.example_inputs or ((), {})
    return from_module(program.module(check_guards=False), args, kwargs, feeds, path.name)


def read_function(spec: str, feeds: Sequence[Array] | None) -> Read:
    """The case of ``module:function``: the function is called without arguments and returns a module and its example
    inputs (a tensor, a tuple, or a tuple and a dict of keyword arguments)."""
    name, _, function = spec.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(name), function)
    except (ImportError, AttributeError) as error:
        raise ImportRefused(f"{spec!r} cannot be imported: {error}", "name it as module:function") from error
    try:
        made = found()
    except Exception as error:
        raise ImportRefused(
            f"{spec} raises {type(error).__name__}: {error}", "it is called without arguments"
        ) from error
    if not isinstance(made, tuple) or len(made) not in (2, 3) or not isinstance(made[0], torch.nn.Module):
        raise ImportRefused(
            f"{spec} returns {type(made).__name__}", "return (module, inputs) or (module, inputs, keyword inputs)"
        )
    module, args, *rest = made
    args = args if isinstance(args, (tuple, list)) else (args,)
    return from_module(module.eval(), tuple(args), dict(rest[0]) if rest else {}, feeds, spec)


def from_module(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], feeds: Sequence[Array] | None, what: str
) -> Read:
    """The case of a module with its example inputs, and what it gives for them; ``feeds`` take the place of the tensors
    among these. ``what`` names it in words. ImportRefused where torch.export does not take it."""
    runner = TorchFrontend()
    flat, structure = torch.utils._pytree.tree_flatten((tuple(args), kwargs))
    if feeds is not None:
        places = [index for index, value in enumerate(flat) if isinstance(value, torch.Tensor)]
        if len(places) != len(feeds):
            raise ImportRefused(f"{what} takes {len(places)} tensors, {len(feeds)} are given")
        for index, feed in zip(places, feeds, strict=True):
            flat[index] = runner.to_native(feed)
        args, kwargs = torch.utils._pytree.tree_unflatten(flat, structure)
    try:
        with torch.no_grad():
            expected = module(*args, **kwargs)
            program = torch.export.export(module, args, kwargs, strict=False)
            if not _translatable(program):
                program = program.run_decompositions({})
    except Exception as error:
        raise ImportRefused(
            f"torch.export does not take {what}: {type(error).__name__}: {error}",
            "what it refuses cannot be converted by torch.onnx either",
        ) from error
    case = _Reader(program, runner, what).case([value for value in flat if isinstance(value, torch.Tensor)])
    tensors = [value for value in torch.utils._pytree.tree_leaves(expected) if isinstance(value, torch.Tensor)]
    return case, [np.array(runner.to_array(tensor), copy=True) for tensor in tensors]


def _mutates(node: Any) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _translatable(program: Any) -> bool:
    """Whether what writes in place writes into results that nothing else can see: ``relu_`` behind a convolution."""
    for node in program.graph.nodes:
        if node.op != "call_function" or not _mutates(node):
            continue
        written = node.args[0] if node.args else None
        name = node.target._schema.name
        plain = name.endswith("_") and hasattr(torch.ops.aten, name.removeprefix("aten::").removesuffix("_"))
        if not (isinstance(written, torch.fx.Node) and plain) or written.op != "call_function":
            return False
        if _aliases(written) or any(_aliases(user) for user in written.users):
            return False
    return True


def _aliases(node: Any) -> bool:
    """Whether a node's result may share memory with its argument."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return bool(node.op == "call_function")
    return any(value.alias_info is not None and not value.alias_info.is_write for value in target._schema.returns)


class _Reader:
    """The graph of a program."""

    def __init__(self, program: Any, runner: TorchFrontend, what: str) -> None:
        self._program = program
        self._runner = runner
        self._what = what
        #: What a node of the program is in the graph: a value, several, or a literal.
        self._values: dict[str, Any] = {}

    def case(self, tensors: Sequence[torch.Tensor]) -> Case:
        signature = self._program.graph_signature
        kinds = {spec.arg.name: spec for spec in signature.input_specs}
        inputs: list[Input] = []
        constants: list[Constant] = []
        nodes: list[Node] = []
        feeds: dict[str, Array] = {}
        given = iter(tensors)
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                spec = kinds[node.name]
                if spec.kind is InputKind.USER_INPUT:
                    if not isinstance(node.meta.get("val"), torch.Tensor):
                        self._values[node.name] = getattr(spec.arg, "value", None)
                        continue
                    feeds[node.name] = np.array(self._runner.to_array(next(given)), copy=True)
                    inputs.append(Input(node.name, _type(feeds[node.name])))
                else:
                    constants.append(self._held(node.name, spec))
                self._values[node.name] = Ref(node.name)
            elif node.op == "call_function":
                nodes += self._node(node)
            elif node.op == "get_attr":
                raise self._refusal("has control flow", "only models without torch.cond and its like are read")
            elif node.op == "output":
                outputs = node.args[0]
        kept = [
            spec.arg.name
            for spec in signature.output_specs
            if spec.kind is OutputKind.USER_OUTPUT and hasattr(spec.arg, "name")
        ]
        returned = []
        for value in outputs:
            if isinstance(value, torch.fx.Node) and value.name in kept:
                found = self._values[value.name]
                if not isinstance(found, Ref):
                    raise self._refusal("returns something that is no tensor", "")
                returned.append(found.name)
        if not returned:
            raise self._refusal("returns no tensor", "")
        graph = Graph("torch", tuple(inputs), tuple(constants), tuple(nodes), tuple(returned))
        return Case(graph, feeds)

    def _refusal(self, what: str, remedy: str) -> ImportRefused:
        return ImportRefused(f"{self._what} {what}", remedy)

    def _held(self, name: str, spec: Any) -> Constant:
        program, target = self._program, spec.target
        found = program.state_dict.get(target) if spec.kind is not InputKind.CONSTANT_TENSOR else None
        found = program.constants.get(target) if found is None else found
        if not isinstance(found, torch.Tensor):
            raise self._refusal(f"holds {target!r}, which is no tensor", "")
        array = np.array(self._runner.to_array(found.detach()), copy=True)
        return Constant(name, array, trainable=spec.kind is InputKind.PARAMETER)

    def _node(self, node: Any) -> list[Node]:
        if node.target is operator.getitem:
            made = self._values[node.args[0].name]
            self._values[node.name] = made[node.args[1]]
            return []
        if not isinstance(node.target, torch._ops.OpOverload):
            raise self._refusal(
                f"has {getattr(node.target, '__name__', node.target)}, which is no operator on tensors",
                "sizes that depend on data, control flow and operators in Python are not read",
            )
        schema = node.target._schema
        namespace, _, name = schema.name.partition("::")
        if not schema.returns or name.startswith(_CHECKS):
            self._values[node.name] = None
            return []
        overload = schema.overload_name or "default"
        written = _mutates(node)
        target = f"{'aten' if namespace == 'aten' else f'torch.ops.{namespace}'}"
        target += f".{name.removesuffix('_') if written else name}.{overload}"
        result = node.meta.get("val")
        several = isinstance(result, (tuple, list))
        values = tuple(
            Value(node.name if not several else f"{node.name}_{index}", _UNKNOWN)
            for index in range(len(result) if several else 1)
        )
        args = tuple(self._argument(value) for value in node.args)
        kwargs = tuple(
            (key, self._argument(value)) for key, value in node.kwargs.items() if key not in ("device", "pin_memory")
        )
        references = [Ref(value.name) for value in values]
        self._values[node.name] = references if several else references[0]
        if written:
            # From here on, the written value is the result.
            self._values[node.args[0].name] = references[0]
        return [Node(target, args, kwargs, values, unpack=several)]

    def _argument(self, value: Any) -> Argument:
        if isinstance(value, torch.fx.Node):
            found = self._values[value.name]
            return tuple(found) if isinstance(found, list) else found
        if isinstance(value, (list, tuple)):
            return tuple(self._argument(item) for item in value)
        if isinstance(value, torch.dtype):
            return DType(str(value).removeprefix("torch."))
        if isinstance(value, (torch.memory_format, torch.layout)):
            return Symbol(str(value))
        if isinstance(value, torch.device) and value.type == "cpu":
            return "cpu"
        if value is None or isinstance(value, (bool, int, float, complex, str)):
            return value
        raise self._refusal(f"has an argument {value!r:.60} that graphs cannot hold", "")


def _type(array: Array) -> TensorType:
    return TensorType(str(array.dtype), tuple(array.shape))
