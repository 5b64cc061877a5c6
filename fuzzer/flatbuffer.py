"""What the readers of TFLite's FlatBuffers share."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def numbered(enumeration: str) -> dict[int, str]:
    """The names of an enumeration of the schema by their numbers."""
    from tensorflow.lite.python import schema_py_generated as schema

    members = vars(getattr(schema, enumeration)).items()
    return {number: name for name, number in members if isinstance(number, int)}


def operator_name(flat: Any, operator: Any) -> str:
    """The name of the builtin that an operator of the model is; empty for one that this schema does not know."""
    return code_name(flat.OperatorCodes(operator.OpcodeIndex()))


def code_name(code: Any) -> str:
    """The same of an operator code. Numbers that fit into a byte are in the field of old; newer ones have 127 there."""
    return numbered("BuiltinOperator").get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")
