"""Sparing ``torch.export`` work whose result nobody looks at.

Tracing records where every node comes from, and registers a kernel for thousands of operators before it decomposes:

- ``torch.fx.traceback.NodeSource`` tells of the node that another was made from, and holds a deep copy of what that one
  was made from, and so on. It is never changed once made (its two caches aside, which are functions of the rest), so it
  may as well be shared: copying it deeply gives the very same object here.
- ``torch.utils._traceback`` reads the source line of each of some sixty frames for every node, of which only those of
  the model are kept. Here a line is read when it is asked for, from the same files.
- ``OpOverload.py_impl`` evaluates type annotations of an inner function each time it is called. The same source is
  compiled here with annotations left as text.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fuzzer.converters._altered import altered

_without_annotations: dict[types.CodeType, Callable[..., Any]] = {}


@contextmanager
def sparing_tracing() -> Iterator[None]:
    """While active, ``torch.export`` does without the copies and look-ups named above.

    Leaves out what it does not find. Not for use while another thread exports.
    """
    with ExitStack() as stack:
        for part in (_shared_provenance, _lines_when_asked, _annotations_as_text):
            stack.enter_context(part())
        yield


@contextmanager
def _shared_provenance() -> Iterator[None]:
    try:
        from torch.fx.traceback import NodeSource
    except ImportError:
        yield
        return
    if hasattr(NodeSource, "__deepcopy__"):
        yield
        return
    NodeSource.__deepcopy__ = lambda self, memo: self
    try:
        yield
    finally:
        del NodeSource.__deepcopy__


@contextmanager
def _lines_when_asked() -> Iterator[None]:
    try:
        from torch.utils import _traceback

        eager = _traceback.traceback
        summary = eager.FrameSummary
    except (ImportError, AttributeError):
        yield
        return

    def lazy(filename: str, lineno: int | None, name: str, **options: Any) -> Any:
        return summary(filename, lineno, name, **{"lookup_line": False, **options})

    # The module sees a traceback module of its own, in which only this class differs.
    _traceback.traceback = altered(eager, FrameSummary=lazy)
    try:
        yield
    finally:
        _traceback.traceback = eager


@contextmanager
def _annotations_as_text() -> Iterator[None]:
    try:
        from torch._ops import OperatorBase

        original = OperatorBase.__dict__["py_impl"]
        replacement = _recompiled(original)
    except (ImportError, KeyError):
        yield
        return
    if replacement is None:
        yield
        return
    OperatorBase.py_impl = replacement
    try:
        yield
    finally:
        OperatorBase.py_impl = original


def _recompiled(function: Any) -> Callable[..., Any] | None:
    """The function compiled again under ``from __future__ import annotations``. None where it cannot be told that it
    would be the same: without its source, with a decorator or a closure."""
    if not isinstance(function, types.FunctionType) or function.__closure__:
        return None
    if function.__code__ in _without_annotations:
        return _without_annotations[function.__code__]
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError):
        return None
    [*_, definition] = tree.body
    if not isinstance(definition, ast.FunctionDef) or definition.decorator_list or len(tree.body) > 1:
        return None
    ast.increment_lineno(tree, first - 1)
    flags = __future__.annotations.compiler_flag
    module = compile(tree, function.__code__.co_filename, "exec", flags=flags, dont_inherit=True)
    [code] = [part for part in module.co_consts if isinstance(part, types.CodeType)]
    code = code.replace(co_qualname=function.__code__.co_qualname)
    made = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    _without_annotations[function.__code__] = made
    return made
