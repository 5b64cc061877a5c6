"""Giving up on what takes too long, within the process that does it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def within(seconds: int, doing: str) -> Iterator[None]:
    """TimeoutError ("still ``doing`` after … s") where what is inside takes longer, if this is the main thread, as it
    is in a worker. A single call of compiled code is waited for. Not to be nested."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise TimeoutError(f"still {doing} after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
