"""Workers of slots that have nothing left to do help the slots that still minimize."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fuzzer.supervisor import Worker

#: Returns the workers that help at this moment.
Helpers = Callable[[], list[Worker]]


def nobody() -> list[Worker]:
    """No worker helps."""
    return []


class Spare:
    """How many workers more there may be than slots are at work. Whoever asks first gets them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = 0

    def add(self) -> None:
        """A slot has ended, and its worker with it."""
        with self._lock:
            self._free += 1

    @contextmanager
    def borrowing(self, make: Callable[[], Worker], ended: Callable[[Worker], None]) -> Iterator[Helpers]:
        """Gives a function that returns the helpers; those that become spare meanwhile are among them from then on.
        ``make`` makes a worker, ``ended`` is told of each that was closed in the end."""
        workers: list[Worker] = []

        def helpers() -> list[Worker]:
            with self._lock:
                count, self._free = self._free, 0
            workers.extend(make() for _ in range(count))
            return list(workers)

        try:
            yield helpers
        finally:
            for worker in workers:
                worker.close()
                ended(worker)
            with self._lock:
                self._free += len(workers)
