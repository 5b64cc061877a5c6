"""Files that commands write."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fuzzer.errors import UsageError


def write(path: Path, text: str) -> None:
    """Replace the file as a whole, so that a failure leaves what was there. UsageError without a directory for it."""
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no directory {path.parent}", "make it, or choose another")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
    try:
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
