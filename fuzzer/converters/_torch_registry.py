"""Keeping what the dynamo exporter rebuilds in every call.

Two things are the same in every conversion and cost more than converting a small graph:

- ``torch.onnx.export`` builds its registry of about a thousand ONNX functions, inferring the signature of each one.
  The registry is a dictionary of lists of entries; the exporter changes the dictionary and the lists
  (``custom_translation_table``, removal of entries above the opset), never an entry. So each call gets a copy of
  dictionary and lists, and the entries are shared.
- ``torch.export`` looks every operator of the C++ dispatcher up in ``torch.ops``, dozens of times in a conversion, to
  have them all materialised. That is done again here only when the dispatcher knows others than the time before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_lock = threading.RLock()
_pristine: dict[int, Any] = {}
_materialised: list[str] = []


@contextmanager
def warm_registry() -> Iterator[None]:
    """While active, ``ONNXRegistry.from_torchlib`` copies a registry built once per opset and process, and operators
    are materialised once.

    Leaves out what it does not find: on a torch that is laid out differently, conversions are as slow as torch makes
    them. Not for use while another thread exports.
    """
    with _lock, _shared_registry(), _materialising_once():
        yield


def prepare(opsets: Sequence[int]) -> None:
    """Build the registries of these opsets and materialise the operators ahead of the first conversion, as far as this
    torch is laid out as expected. Converts nothing and starts no thread."""
    with warm_registry():
        try:
            from torch._export.utils import _materialize_cpp_cia_ops
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            build = ONNXRegistry.from_torchlib
        except (ImportError, AttributeError):
            return
        for opset in opsets:
            build(opset)
        _materialize_cpp_cia_ops()


@contextmanager
def _shared_registry() -> Iterator[None]:
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        build = ONNXRegistry.__dict__["from_torchlib"]
        default = build.__func__.__defaults__[0]
    except (ImportError, AttributeError, KeyError, TypeError, IndexError):
        yield
        return

    def from_torchlib(cls: type[Any], opset_version: int = default) -> Any:
        if opset_version not in _pristine:
            _pristine[opset_version] = build.__func__(ONNXRegistry, opset_version)
        return _copy(cls, _pristine[opset_version])

    ONNXRegistry.from_torchlib = classmethod(from_torchlib)
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = build


@contextmanager
def _materialising_once() -> Iterator[None]:
    try:
        import torch
        from torch._export import utils

        materialise: Callable[[], None] = utils._materialize_cpp_cia_ops
        registered: Callable[[str], list[str]] = torch._C._dispatch_get_registrations_for_dispatch_key
    except (ImportError, AttributeError):
        yield
        return

    def materialise_new() -> None:
        known = registered("CompositeImplicitAutograd")
        if known != _materialised:
            materialise()
            _materialised[:] = known

    utils._materialize_cpp_cia_ops = materialise_new
    try:
        yield
    finally:
        utils._materialize_cpp_cia_ops = materialise


def _copy(cls: type[Any], registry: Any) -> Any:
    copy = cls()
    vars(copy).update(vars(registry))
    copy.functions = {target: list(entries) for target, entries in registry.functions.items()}
    return copy
