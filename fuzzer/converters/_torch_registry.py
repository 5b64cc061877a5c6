"""Keeping what the dynamo exporter rebuilds in every call.

``torch.onnx.export`` starts by building its registry of about a thousand ONNX functions, inferring the signature of
each one: about a second, and the same every time. The registry is a dictionary of lists of entries; the exporter
changes the dictionary and the lists (``custom_translation_table``, removal of entries above the opset), never an
entry. So each call gets a copy of dictionary and lists, and the entries are shared.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.RLock()
_pristine: dict[int, Any] = {}


@contextmanager
def warm_registry() -> Iterator[None]:
    """While active, ``ONNXRegistry.from_torchlib`` copies a registry built once per opset and process.

    Does nothing on a torch whose exporter is laid out differently: conversions are then as slow as torch makes them.
    Not for use while another thread exports.
    """
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

    with _lock:
        ONNXRegistry.from_torchlib = classmethod(from_torchlib)
        try:
            yield
        finally:
            ONNXRegistry.from_torchlib = build


def _copy(cls: type[Any], registry: Any) -> Any:
    copy = cls()
    vars(copy).update(vars(registry))
    copy.functions = {target: list(entries) for target, entries in registry.functions.items()}
    return copy
