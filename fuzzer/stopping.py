"""Stopping a campaign: asked once, it finishes the steps under way; asked twice, it stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """A request that the campaign looks at between steps (``soon``) and while it waits (``now``)."""

    def __init__(self) -> None:
        self._requests = 0

    def request(self) -> None:
        """Ask to stop; asking again means at once."""
        self._requests += 1

    def soon(self) -> bool:
        """Whether to begin nothing new."""
        return self._requests > 0

    def now(self) -> bool:
        """Whether to drop what is under way. A batch dropped stays issued and is judged when resumed."""
        return self._requests > 1


@contextmanager
def stopping_on_signals(stop: Stop, tell: Callable[[str], None]) -> Iterator[None]:
    """While active, SIGINT (Ctrl-C) and SIGTERM request a stop. ``tell`` is called with what happens next; a third
    signal has the effect that it has without this. Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        stop.request()
        if stop.now():
            for name, previous in before.items():
                signal.signal(name, previous)
            tell("stopping now")
        else:
            tell("finishing the steps under way; once more stops at once")

    before = {name: signal.signal(name, handle) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, previous in before.items():
            signal.signal(name, previous)
