"""The process that runs torch's samples, and may die of one: ``python -m generators.harvest.child FIRST``.

Writes frames to standard output: a length of four bytes and a :class:`Message` as MessagePack. Each entry is announced
before it is begun.
"""

from __future__ import annotations

import os
import struct
import sys
import warnings
from typing import BinaryIO

import msgspec

from generators.harvest.records import Entry


class Message(msgspec.Struct, frozen=True):
    """``index`` is the number of the entry that is begun (``entry`` absent) or done, among ``total``. ``missing`` names
    a package that torch's test suite lacks."""

    index: int = -1
    total: int = 0
    name: str = ""
    kind: str = ""
    entry: Entry | None = None
    missing: str = ""


def main(first: int) -> None:
    """Collect the entries from number ``first`` on."""
    # What torch or its tests print goes to standard error: standard output is for frames.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    from generators.frontends.base import frontend
    from generators.harvest import collecting, modules

    # Before torch's test suite is imported, which forbids to change the settings that the frontend makes.
    torch = frontend("torch")
    try:
        operators = collecting.operator_entries()
        classes = modules.module_entries()
    except ImportError as error:
        _send(pipe, Message(missing=error.name or str(error)))
        return
    total = len(operators) + len(classes)
    for index in range(first, total):
        if index < len(operators):
            info = operators[index]
            name = str(info.formatted_name).replace(".", "_")
            _send(pipe, Message(index, total, name, "operator"))
            entry = collecting.collect_operator(torch, info)
        else:
            info = classes[index - len(operators)]
            _send(pipe, Message(index, total, str(info.name), "module"))
            entry = modules.collect_module(torch, info)
        _send(pipe, Message(index, total, entry.name, entry.kind, entry))


def _send(pipe: BinaryIO, message: Message) -> None:
    data = msgspec.msgpack.encode(message)
    pipe.write(struct.pack("<I", len(data)) + data)
    pipe.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
