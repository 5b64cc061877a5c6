"""What native code of a runtime writes to standard output as a matter of course, kept away from the harness: there it
would count as a defect of the runtime."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class Console:
    """What was written, once the block that captures it has been left."""

    text = ""


@contextmanager
def console() -> Iterator[Console]:
    """Capture file descriptor 1 inside the block, at most a million characters of it."""
    written = Console()
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield written
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            written.text = file.read(1_000_000).decode(errors="replace")
