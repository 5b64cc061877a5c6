"""Finding the fields of FlatBuffers quickly.

The TFLite converter decodes its model three times in Python, and every field of every table asks ``Table.Offset`` where
it is, which goes through three layers of checked reading for each of three numbers. The same numbers are read here
directly. What the checks are for does not get here: an address that is negative or outside of the buffer is left to the
original, which raises what it always raised.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_signed = struct.Struct("<i").unpack_from
_unsigned = struct.Struct("<H").unpack_from


@contextmanager
def quick_offsets() -> Iterator[None]:
    """While active, fields of FlatBuffers are found quickly. Leaves out what it does not find."""
    try:
        from flatbuffers import number_types
        from flatbuffers.table import Table

        original = Table.__dict__["Offset"]
        formats = (number_types.SOffsetTFlags.packer_type.format, number_types.VOffsetTFlags.packer_type.format)
    except (ImportError, AttributeError, KeyError):
        yield
        return
    if formats != ("<i", "<H"):
        yield
        return

    def offset(self: Any, vtableOffset: int) -> Any:
        data, position = self.Bytes, self.Pos
        try:
            table = position - _signed(data, position)[0]
            if position >= 0 and table >= 0:
                if vtableOffset >= _unsigned(data, table)[0]:
                    return 0
                if vtableOffset >= 0:
                    return _unsigned(data, table + vtableOffset)[0]
        except struct.error:
            pass  # outside of the buffer
        return original(self, vtableOffset)

    Table.Offset = offset
    try:
        yield
    finally:
        Table.Offset = original
