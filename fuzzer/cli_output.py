"""What commands write: to the terminal, and to files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fuzzer.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


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


def terminal() -> Console:
    """Standard output, wide enough for paths where it is no terminal."""
    from rich.console import Console

    class PipeConsole(Console):
        """Leaves a reader that went away to the command line, where rich would exit with a status of its own."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    console = PipeConsole(highlight=False)
    # Not on a terminal: wide enough that no path is broken over two lines.
    return console if console.is_terminal else PipeConsole(highlight=False, width=160)
