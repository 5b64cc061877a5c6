"""Keeping the signatures of ONNX operators, which the dynamo exporter derives again for every node that it makes.

Three things are functions of what is fixed once it is loaded, so their results are kept:

- ``onnx_ir.schemas.OpSignature.from_op_schema``, of an operator schema that onnx itself has registered: the schema is
  known by its name and the opset version that brought it, the signature and its parameters are read and not written,
  and a default that goes into a node is copied there.
- ``typing._get_protocol_attrs`` and ``typing._is_callable_members_only``, the members of a protocol class, asked for in
  every ``isinstance`` against one; newer Pythons keep them in the class. They are forgotten after each conversion.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_signatures: dict[tuple[str, int], Any] = {}


@contextmanager
def kept_signatures() -> Iterator[None]:
    """While active, signatures of ONNX's own operators and the members of protocols are derived once.

    Leaves out what it does not find. Not for use while another thread converts.
    """
    with ExitStack() as stack:
        stack.enter_context(_kept_schemas())
        for name in ("_get_protocol_attrs", "_is_callable_members_only"):
            stack.enter_context(_kept_of_classes(name))
        yield


@contextmanager
def _kept_schemas() -> Iterator[None]:
    try:
        from onnx_ir import schemas

        owner: Any = schemas.OpSignature
        derive = owner.__dict__["from_op_schema"]
    except (ImportError, AttributeError, KeyError):
        yield
        return

    def from_op_schema(cls: type[Any], op_schema: Any) -> Any:
        # Only onnx's own schemas tell the line of source they come from; others may share a name with one of them.
        if cls is not owner or op_schema.domain or not op_schema.line:
            return derive.__func__(cls, op_schema)
        key = (op_schema.name, op_schema.since_version)
        signature = _signatures.get(key)
        if signature is None:
            signature = _signatures[key] = derive.__func__(cls, op_schema)
        return signature

    owner.from_op_schema = classmethod(from_op_schema)
    try:
        yield
    finally:
        owner.from_op_schema = derive


@contextmanager
def _kept_of_classes(name: str) -> Iterator[None]:
    """Keeps the results of a function of typing's that takes a class."""
    function: Callable[[type], Any] | None = getattr(typing, name, None)
    if function is None:
        yield
        return
    results: dict[type, Any] = {}

    def kept(cls: type) -> Any:
        if cls not in results:
            results[cls] = function(cls)
        return results[cls]

    setattr(typing, name, kept)
    try:
        yield
    finally:
        setattr(typing, name, function)
