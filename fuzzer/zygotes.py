"""The zygotes of a campaign: what its workers and reproducers are forked from, started when first needed."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fuzzer import preload
from fuzzer.supervisor import worker_environment
from oracles.forking import Zygote, ZygoteError

#: How often one that ended is started again.
_MOST_STARTS = 3
_LOG = logging.getLogger(__name__)


@dataclass
class _Place:
    """Where the zygote of one kind is."""

    preload: Sequence[str]
    lock: threading.Lock = field(default_factory=threading.Lock)
    zygote: Zygote | None = None
    starts: int = 0
    seconds: float = 0.0


class Zygotes:
    """One for workers and one for reproducers of each frontend that is known here; others get none. They differ in
    their environment and in that a reproducer's knows nothing of convfuzz. Safe for use by several threads.

    ``python`` is the interpreter of all of them. Where Keras is among ``frontends``, TensorFlow shares what it has,
    which imports all that TensorFlow's own would.
    """

    def __init__(self, python: str = sys.executable, frontends: Collection[str] = ()) -> None:
        self._python = python
        self._workers = {
            "torch": _Place(["fuzzer.preload:torch_worker"]),
            "tensorflow": _Place(["fuzzer.preload:tensorflow_worker"]),
            "keras": _Place(["fuzzer.preload:keras_worker"]),
        }
        self._reproducers = {
            "torch": _Place(preload.TORCH),
            "tensorflow": _Place(preload.TENSORFLOW),
            "keras": _Place(preload.KERAS),
        }
        if "keras" in frontends:
            for places in (self._workers, self._reproducers):
                places["tensorflow"] = places["keras"]
        self._closed = False

    def for_worker(self, frontend: str) -> Zygote | None:
        """What workers of the frontend are forked from; None when there is none."""
        return self._get(self._workers.get(frontend), worker_environment(), scripts=False)

    def for_reproducer(self, frontend: str) -> Zygote | None:
        """What reproducers of the frontend's cases are forked from; None when there is none."""
        return self._get(self._reproducers.get(frontend), os.environ, scripts=True)

    def close(self) -> tuple[float, float]:
        """End them all. Returns the seconds of CPU time that those of workers and those of reproducers took
        themselves."""
        self._closed = True
        return self._close(self._workers), self._close(self._reproducers)

    def _get(self, place: _Place | None, environment: Mapping[str, str], *, scripts: bool) -> Zygote | None:
        if place is None:
            return None
        with place.lock:
            if place.zygote is not None and not place.zygote.usable:
                place.seconds += place.zygote.close()
                place.zygote = None
            if place.zygote is None and place.starts < _MOST_STARTS and not self._closed:
                place.starts += 1
                try:
                    place.zygote = Zygote(place.preload, environment, scripts=scripts, python=self._python)
                except ZygoteError as error:
                    _LOG.warning("processes are started plainly: %s", error)
            return place.zygote

    @staticmethod
    def _close(places: Mapping[str, _Place]) -> float:
        different = {id(place): place for place in places.values()}.values()
        for place in different:
            with place.lock:
                if place.zygote is not None:
                    place.seconds += place.zygote.close()
                    place.zygote = None
        return sum(place.seconds for place in different)
