"""Classes of arguments: what an argument is, not how large.

Two uses of an operator whose arguments are of the same classes take, for most converters, the same road: the sign of a
number, whether a tuple is uniform, which keyword is given decide more than sizes do. Buckets go by these classes, and
coverage counts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypeAlias

from generators.graph import Argument, DType, Graph, Node, Ref, Slice, Symbol

#: Scales and zero points as nodes of TFLite's operators hold them (:mod:`generators.frontends.tflite_nodes`).
_QUANTIZATION = re.compile(r"[\d.e+-]+(?:,[\d.e+-]+)*:-?\d+(?:,-?\d+)*(?:@\d)?")
Form: TypeAlias = "bool | int | float | str | list[Form] | dict[str, Form] | None"


def node_form(node: Node, names: Mapping[str, str]) -> Form:
    """Target and argument classes of a node; keywords in alphabetical order."""
    keywords = sorted(node.kwargs, key=lambda item: item[0])
    return {
        "target": node.target,
        "args": [argument_class(value, names) for value in node.args],
        "kwargs": [[key, argument_class(value, names)] for key, value in keywords],
    }


def argument_class(value: Argument, names: Mapping[str, str]) -> Form:
    """The class of an argument. ``names`` says what stands for the values that it refers to."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Ref):
        return names.get(value.name, "captured")
    if isinstance(value, (int, float)):
        sign = "negative" if value < 0 else "zero" if value == 0 else "positive" if value > 0 else "nan"
        return f"{'number' if isinstance(value, int) else 'real'} {sign}"
    if isinstance(value, DType):
        return f"dtype {dtype_kind(value.name)}"
    if isinstance(value, Symbol):
        return value.path
    if isinstance(value, Slice):
        return [argument_class(item, names) for item in (value.start, value.stop, value.step)]
    if isinstance(value, tuple):
        if any(isinstance(item, (Ref, tuple, Slice)) for item in value):
            return [argument_class(item, names) for item in value]
        classes: list[Form] = list(sorted({json.dumps(argument_class(item, names)) for item in value}))
        return {"tuple": classes, "mixed": len({repr(item) for item in value}) > 1}
    if isinstance(value, Graph):
        return [node_form(node, names) for node in value.nodes]
    if isinstance(value, str) and _QUANTIZATION.fullmatch(value):
        return "quantized by channel" if "@" in value else "quantized"
    return repr(value)


def dtype_kind(dtype: str) -> str:
    """``half``, ``float``, ``integer``, ``unsigned``, ``bool`` or ``complex``; eight-bit floats are as they are."""
    if dtype in ("float16", "bfloat16"):
        return "half"
    if dtype in ("float32", "float64"):
        return "float"
    for prefix, kind in (("complex", "complex"), ("int", "integer"), ("uint", "unsigned")):
        if dtype.startswith(prefix):
            return kind
    return dtype
