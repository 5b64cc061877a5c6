"""Checks of model files before a framework reads them: names, sizes, pickles, paths to other files.

Frameworks trust their files. ``torch.export.load`` falls back to a full unpickling of what it finds in an archive and
evaluates the text of symbolic expressions; Keras and zip archives are unpacked to whatever size they claim; ONNX models
name files beside them. What is let through here can at worst be wrong.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from generators.importers.errors import ImportRefused

#: Bytes that the members of an archive may have together, and how many times their size in the archive: deflate
#: reaches 1,032 on zeros, and weights hardly compress.
MOST_BYTES = 16 << 30
MOST_RATIO = 200
#: Members of an archive.
MOST_MEMBERS = 100_000
#: Globals that a pickle of tensors refers to.
_TENSOR_GLOBALS = frozenset(
    (
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch.serialization _get_layout",
        "torch Size",
        "torch device",
        "_codecs encode",
    )
)
_STORAGE = re.compile(r"torch(?:\.storage)? (?:\w+Storage|\w*[a-z]+\d+)")
#: What formulas of sizes consist of: numbers, symbols, the functions that torch writes, and arithmetic.
_EXPRESSION = re.compile(
    r"(?:\b(?:[a-z]+\d+|FloorDiv|CleanDiv|CeilDiv|PythonMod|Mod|ModularIndexing|Max|Min|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not"
    r"|Where|IntTrueDiv|FloatTrueDiv|TruncToInt|ToFloat|Identity|PowByNatural|FloatPow|int_oo|oo|True|False)\b"
    r"|\d+(?:\.\d+)?|[\s()+\-*/%,<>=!&|~])*"
)


def check_archive(path: Path) -> list[str]:
    """Names of the members of a zip archive. ImportRefused for one that is damaged, leads out of its directory, holds a
    member twice, or is of a size that no weights have."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise ImportRefused(f"{path.name} is no zip archive: {error}", "is the file complete?") from error
    if len(members) > MOST_MEMBERS:
        raise ImportRefused(f"{path.name} has {len(members):,} members; {MOST_MEMBERS:,} are plenty for any model")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ImportRefused(f"{path.name} holds a member twice")
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or "\0" in member.filename:
            raise ImportRefused(f"{path.name}: member {member.filename!r:.80} leads out of the archive")
        if member.flag_bits & 1:
            raise ImportRefused(f"{path.name}: member {member.filename!r:.80} is encrypted")
    total = sum(member.file_size for member in members)
    packed = max(path.stat().st_size, 1)
    if total > MOST_BYTES or (total > 1 << 20 and total / packed > MOST_RATIO):
        raise ImportRefused(
            f"{path.name} would unpack to {total:,} bytes, {total / packed:.0f} times its size", "it may be a zip bomb"
        )
    return names


def check_exported_program(path: Path) -> None:
    """ImportRefused unless the file is an archive of ``torch.export.save`` that can be read without executing anything:
    its pickles hold tensors only, and its formulas are formulas."""
    with path.open("rb") as file:
        start = file.read(2)
    if start != b"PK":
        pickled = start[:1] == b"\x80"
        raise ImportRefused(
            f"{path.name} is {'a pickle' if pickled else 'no archive of torch.export.save'}",
            "save the model with torch.export.save(torch.export.export(module, arguments), 'model.pt2')"
            + ("; a pickle can execute anything and is not read" if pickled else ""),
        )
    names = check_archive(path)
    models = [name for name in names if re.search(r"(?:^|/)models/[^/]+\.json$", name)]
    if not models or not any(name.endswith("archive_format") for name in names):
        raise ImportRefused(f"{path.name} is no archive of torch.export.save", "torch.export.save writes one")
    with zipfile.ZipFile(path) as archive:
        for name in names:
            data = _member(archive, name, path)
            if name.endswith(".json"):
                _check_json(name, data, path)
            elif data[:2] == b"PK":
                _check_inner(name, data, path)
            elif data[:1] == b"\x80" and _is_pickle(data):
                _check_pickle(name, data, path)


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise ImportRefused(f"{path.name}: member {name!r:.80} is damaged: {error}") from error


def _check_inner(name: str, data: bytes, path: Path) -> None:
    """An archive of torch.save inside the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as inner:
            if sum(item.file_size for item in inner.infolist()) > MOST_RATIO * max(len(data), 1 << 20):
                raise ImportRefused(f"{path.name}: {name} would unpack to far more than it is", "it may be a zip bomb")
            for member in inner.namelist():
                if member.endswith(".pkl"):
                    _check_pickle(f"{name}/{member}", _member(inner, member, path), path)
    except zipfile.BadZipFile as error:
        raise ImportRefused(f"{path.name}: member {name!r:.80} is damaged: {error}") from error


def _check_json(name: str, data: bytes, path: Path) -> None:
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"{path.name}: {name} is no JSON: {error}") from error
    for key, value in _walk(tree):
        if key == "expr_str" and not (isinstance(value, str) and len(value) < 4096 and _EXPRESSION.fullmatch(value)):
            raise ImportRefused(f"{path.name}: {name} has a size that is no formula: {value!r:.80}")
        if key == "path_name" and isinstance(value, str) and not re.fullmatch(r"(?:weight|tensor)_\d+|", value):
            raise ImportRefused(
                f"{path.name}: {name} names the object {value!r:.60}", "only tensors are read; export the model again"
            )


def _walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """All entries of all objects of a JSON document."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _is_pickle(data: bytes) -> bool:
    """Whether the bytes begin as a pickle does; weights may begin with any byte."""
    return data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and data[-1:] == b"."


def _check_pickle(name: str, data: bytes, path: Path) -> None:
    """ImportRefused for a pickle that refers to anything but tensors."""
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                _check_global(str(argument), name, path)
            elif opcode.name == "STACK_GLOBAL":
                _check_global(" ".join(strings[-2:]), name, path)
            elif opcode.name in ("INST", "OBJ", "EXT1", "EXT2", "EXT4"):
                raise ImportRefused(f"{path.name}: {name} is a pickle with {opcode.name}", "only tensors are read")
            if isinstance(argument, str):
                strings.append(argument)
    except (ValueError, IndexError, KeyError, EOFError, OverflowError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path.name}: {name} is a damaged pickle: {error}") from error


def _check_global(text: str, name: str, path: Path) -> None:
    if text not in _TENSOR_GLOBALS and not _STORAGE.fullmatch(text):
        raise ImportRefused(
            f"{path.name}: {name} is a pickle that calls {text!r:.80}", "it could execute anything and is not read"
        )


def beside(path: Path, location: str) -> Path:
    """The file that a model at ``path`` calls ``location``. ImportRefused when that is not a plain file in the model's
    directory, or below it."""
    place = PurePosixPath(location.replace("\\", "/"))
    if not location or "\0" in location or place.is_absolute() or ".." in place.parts:
        raise ImportRefused(
            f"{path.name} keeps data in {location!r:.120}, which is no path beside it",
            "external data must lie in the model's directory",
        )
    directory = path.parent.resolve()
    found = (directory / place).resolve()
    if not found.is_relative_to(directory):
        raise ImportRefused(f"{path.name} keeps data in {location!r:.120}, a link out of its directory")
    if not found.is_file():
        raise ImportRefused(f"{path.name} keeps data in {location!r:.120}, which is not there", "copy that file, too")
    return found
