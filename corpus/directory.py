"""The directory of a corpus: whose it is, and whether it can be written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from corpus.database import check_schema
from corpus.errors import CorpusError
from corpus.objects import write_durably
from corpus.tables import SCHEMA

MARKER = "convfuzz.json"


def claim_directory(directory: Path, *, create: bool) -> None:
    """Check that the directory is a corpus, made when ``create`` is set and it is absent or empty."""
    marker = directory / MARKER
    if marker.is_file():
        try:
            content = msgspec.json.decode(marker.read_bytes(), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise CorpusError(f"{marker} is damaged: {error}", "restore it, or choose another --corpus") from error
        if content.get("application") != "convfuzz":
            raise CorpusError(f"{directory} is not a corpus of convfuzz", "choose another directory with --corpus")
        check_schema(str(content.get("schema", "")), str(directory))
        return
    if directory.exists() and not directory.is_dir():
        raise CorpusError(f"{directory} is not a directory", "choose another path with --corpus")
    if not create:
        what = "is not a corpus of convfuzz" if directory.exists() else "does not exist"
        raise CorpusError(f"{directory} {what}", "run `convfuzz fuzz` first, or name the directory with --corpus")
    if directory.exists() and any(not entry.name.startswith(".writing-") for entry in directory.iterdir()):
        raise CorpusError(
            f"{directory} holds other files and is not a corpus of convfuzz",
            "choose an empty or new directory with --corpus",
        )
    directory.mkdir(parents=True, exist_ok=True)
    write_durably(marker, msgspec.json.format(msgspec.json.encode({"application": "convfuzz", "schema": SCHEMA})))


def probe(directory: Path) -> None:
    """Raise OSError unless a page can be written to the directory: better now than after an hour."""
    file = directory / f".probe-{os.getpid()}"
    try:
        write_durably(file, bytes(4096))
    finally:
        file.unlink(missing_ok=True)
