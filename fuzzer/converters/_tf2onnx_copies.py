"""Copying graphs of tf2onnx quickly.

Its optimizer makes a deep copy of the whole graph before each of some fifty steps, to go back to when a step fails, and
``copy.deepcopy`` goes through every name of every node. That takes a quarter of a conversion. The copy that is made
here is the very same: objects of the classes ``Graph`` and ``Node`` get new ones with copies of their attributes,
lists, dictionaries and sets are filled in the same order, what is referred to twice is copied once, strings and numbers
are shared, and everything else is left to ``copy.deepcopy``. Copying less often would not be the same: a copied graph
holds the old addresses of its subgraphs, by which tf2onnx then looks for them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message

#: Types whose objects ``copy.deepcopy`` returns as they are.
_ATOMS = frozenset({str, int, float, bool, bytes, type(None), type, complex})


@contextmanager
def quick_copies() -> Iterator[None]:
    """While active, ``copy.deepcopy`` of a tf2onnx graph is done as described above.

    Leaves out what it does not find. Not for use while another thread converts.
    """
    try:
        from tf2onnx.graph import Graph, Node
    except ImportError:
        yield
        return
    special = ("__deepcopy__", "__reduce_ex__", "__reduce__", "__getstate__", "__setstate__", "__slots__")
    if any(name in vars(cls) for cls in (Graph, Node) for name in special):
        yield
        return
    classes = frozenset({Graph, Node})
    Graph.__deepcopy__ = lambda self, memo: _copied(self, memo, classes)
    try:
        yield
    finally:
        del Graph.__deepcopy__


def _copied(value: Any, memo: dict[int, Any], classes: frozenset[type]) -> Any:
    """As ``copy.deepcopy(value, memo)``. The originals outlive the copying, so that their addresses stay theirs."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    made = memo.get(id(value))
    if made is not None:
        return made
    if kind is list:
        made = memo[id(value)] = value[:]
        for position, item in enumerate(value):
            if type(item) not in _ATOMS:
                made[position] = _copied(item, memo, classes)
    elif kind is dict:
        made = memo[id(value)] = {}
        for key, item in value.items():
            made[key if type(key) in _ATOMS else _copied(key, memo, classes)] = (
                item if type(item) in _ATOMS else _copied(item, memo, classes)
            )
    elif kind is set and all(type(item) in _ATOMS for item in value):
        # By way of a list, as copy.deepcopy does it: in what order a set is gone through depends on how it was made.
        made = memo[id(value)] = set(list(value))
    elif kind in classes:
        made = memo[id(value)] = object.__new__(kind)
        vars(made).update(_copied(vars(value), memo, classes))
    elif isinstance(value, Message):
        made = memo[id(value)] = value.__deepcopy__(memo)
    else:
        made = copy.deepcopy(value, memo)
    return made
