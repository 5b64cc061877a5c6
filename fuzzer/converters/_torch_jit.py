"""Sparing the TorchScript exporter the price of ends of iteration.

Iterators that pybind11 makes end by throwing a C++ exception, which takes longer than all they yield: two fifths of an
export of ten nodes.

- ``inputs()`` and ``outputs()`` of ``torch._C.Node`` give iterators over the same values, read by their numbers. (The
  exporter never changes a node's inputs while it goes through them, for which the originals have no defined result.)
- ``_split_tensor_list_constants`` asks every node for its blocks, for the sake of constants that are lists of tensors.
  It is not called when none of the constants, in no block, is one.
- The decorator of symbolic functions inspects their signatures at each call. They are remembered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fuzzer.converters._altered import altered

_signatures: dict[Callable[..., Any], inspect.Signature] = {}


@contextmanager
def sparing_iteration() -> Iterator[None]:
    """While active, ``torch.onnx.export(dynamo=False)`` does without the exceptions and look-ups named above.

    Leaves out what it does not find. Not for use while another thread exports.
    """
    with ExitStack() as stack:
        for part in (_values_by_number, _lists_only_where_some_are, _remembered_signatures):
            stack.enter_context(part())
        yield


@contextmanager
def _values_by_number() -> Iterator[None]:
    try:
        from torch._C import Node

        originals = Node.inputs, Node.outputs
        _ = Node.inputsAt, Node.inputsSize, Node.outputsAt, Node.outputsSize
    except (ImportError, AttributeError):
        yield
        return

    def inputs(self: Any) -> Iterator[Any]:
        at = self.inputsAt
        return iter([at(index) for index in range(self.inputsSize())])

    def outputs(self: Any) -> Iterator[Any]:
        at = self.outputsAt
        return iter([at(index) for index in range(self.outputsSize())])

    Node.inputs, Node.outputs = inputs, outputs  # type: ignore[method-assign]
    try:
        yield
    finally:
        Node.inputs, Node.outputs = originals  # type: ignore[method-assign]


@contextmanager
def _lists_only_where_some_are() -> Iterator[None]:
    try:
        from torch.onnx._internal.torchscript_exporter import utils

        split, holds_list = utils._split_tensor_list_constants, utils._is_constant_tensor_list
    except (ImportError, AttributeError):
        yield
        return

    def split_if_any(graph: Any, block: Any) -> None:
        # Found in the blocks of nodes, too.
        if any(holds_list(node) for node in graph.findAllNodes("prim::Constant")):
            split(graph, block)

    utils._split_tensor_list_constants = split_if_any
    try:
        yield
    finally:
        utils._split_tensor_list_constants = split


@contextmanager
def _remembered_signatures() -> Iterator[None]:
    try:
        from torch.onnx._internal.torchscript_exporter import symbolic_helper

        original = symbolic_helper.inspect
    except (ImportError, AttributeError):
        yield
        return

    def signature(function: Callable[..., Any]) -> inspect.Signature:
        known = _signatures.get(function)
        if known is None:
            known = _signatures[function] = original.signature(function)
        return known

    # The module sees an inspect module of its own, in which only this function differs.
    symbolic_helper.inspect = altered(original, signature=signature)
    try:
        yield
    finally:
        symbolic_helper.inspect = original
