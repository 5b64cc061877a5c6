"""Modules of ``torch.nn`` as calls: ``torch.nn.LSTM`` and the like are targets.

A node of such a target has the tensors (and other arguments) of ``forward`` as its positional arguments, the arguments
of the constructor as keywords, and one more keyword, ``state``: pairs of a name in the module's ``state_dict`` and the
constant that it holds. The keyword ``parametrization`` names a function of ``torch.nn.utils.parametrizations`` that the
module is put through, ``weight_norm`` or ``spectral_norm``. The module is evaluated in evaluation mode without
gradients; its results are flattened (an LSTM returns a tensor and a pair of them), absent ones left out.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, cast

import torch

from generators.frontends.signatures import Optional
from generators.graph import GraphError, Node, Ref, references

#: The keyword that holds the parameters and buffers.
STATE = "state"
#: The keyword for a function of :mod:`torch.nn.utils.parametrizations`, and which there are.
PARAMETRIZATION = "parametrization"
_PARAMETRIZATIONS = frozenset({"weight_norm", "spectral_norm"})
_TARGET = re.compile(r"torch\.nn\.[A-Z]\w*")


def is_module(target: str) -> bool:
    """Whether the target is a class of ``torch.nn``."""
    return bool(_TARGET.fullmatch(target))


def module_call(kind: type[torch.nn.Module]) -> Callable[..., Any]:
    """The function behind the target of a class of modules."""

    def call(*inputs: Any, state: Sequence[tuple[str, torch.Tensor]] = (), **arguments: Any) -> Any:
        module = _made(cast("Hashable", kind), tuple(sorted(arguments.items())), repr(arguments))
        # Parameters are assigned and not copied, so that they keep their type. All of them are, or this raises.
        module.load_state_dict(dict(state), assign=True)
        with torch.no_grad():
            result = module(*inputs)
        return flattened(result)

    call.__name__ = kind.__name__
    return call


@functools.lru_cache(maxsize=1024)
def _made(kind: Any, arguments: tuple[tuple[str, Any], ...], text: str) -> torch.nn.Module:
    """A module without memory for its parameters, but for those of a parametrization. Making one takes longer than most
    of them take to run, and in evaluation mode a module keeps nothing but its state, which every call sets. ``text``
    tells 1 from True."""
    given = dict(arguments)
    parametrization = given.pop(PARAMETRIZATION, "")
    with torch.device("meta"):
        module = kind(**given)
    if parametrization:
        if parametrization not in _PARAMETRIZATIONS:
            raise ValueError(f"no parametrization {parametrization!r}")
        # A spectral norm iterates when it is made, which without memory takes most of a second.
        module = getattr(torch.nn.utils.parametrizations, parametrization)(module.to_empty(device="cpu"))
    module.eval()
    return cast("torch.nn.Module", module)


def state_types(target: str, arguments: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    """Name, shape and element type of each parameter and buffer that a module made with these arguments has. Raises
    whatever its constructor raises."""
    kind = getattr(torch.nn, target.removeprefix("torch.nn."))
    module = _made(cast("Hashable", kind), tuple(sorted(arguments.items())), repr(arguments))
    return [(key, tuple(value.shape), value.dtype) for key, value in module.state_dict().items()]


def flattened(result: Any) -> Any:
    """A tensor as it is; the tensors in nested tuples as one tuple, without what is None."""
    if not isinstance(result, (tuple, list)):
        return result
    found: list[Any] = []
    for item in result:
        inner = flattened(item)
        if item is not None:
            found += inner if isinstance(inner, tuple) else [inner]
    return tuple(found)


def optional_of_module(kind: type[torch.nn.Module]) -> Optional:
    """Positions of ``forward`` and keywords of the constructor for which None is documented."""
    found: set[int | str] = set()
    for position, parameter in enumerate(list(inspect.signature(kind.forward).parameters.values())[1:]):
        if parameter.default is None or "None" in str(parameter.annotation):
            found.add(position)
    for parameter in inspect.signature(kind.__init__).parameters.values():
        if parameter.default is None or "None" in str(parameter.annotation):
            found.add(parameter.name)
    return frozenset((*found, PARAMETRIZATION))


def state_of(node: Node) -> tuple[tuple[str, str], ...]:
    """Pairs of a name in the module's ``state_dict`` and the name of the value that it holds; none for a node of
    another kind. GraphError when the state is no pairs of a name and a reference."""
    given = next((value for key, value in node.kwargs if key == STATE), ()) if is_module(node.target) else ()
    found: list[tuple[str, str]] = []
    for pair in given if isinstance(given, tuple) else (given,):
        match pair:
            case (str(key), Ref(name)):
                found.append((key, name))
            case _:
                raise GraphError(f"{node.target}: its {STATE} has {pair!r:.60} where a name and a value belong")
    return tuple(found)


def state_names(node: Node) -> tuple[str, ...]:
    """Names of the values that are a module's parameters and buffers; none for a node of another kind."""
    return tuple(name for _, name in state_of(node))


def data_names(node: Node) -> tuple[str, ...]:
    """Names of the values that a node uses, without a module's parameters and buffers."""
    arguments = [value for key, value in node.kwargs if key != STATE or not is_module(node.target)]
    return tuple(name for value in (*node.args, *arguments) for name in references(value))


__all__ = [
    "PARAMETRIZATION",
    "STATE",
    "data_names",
    "flattened",
    "is_module",
    "module_call",
    "optional_of_module",
    "state_names",
    "state_of",
    "state_types",
]
