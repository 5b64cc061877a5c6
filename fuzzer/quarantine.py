"""Learning which kinds of node a converter or its runtimes refuse, so that they are drawn rarely.

A kind of node is its key (:func:`generators.random_graphs.node_key`: target and dtypes). It is group testing: every
key of a case that no subject refused is proven; a refused case must hold a guilty key among those not proven, and when
just one is left it is known. Keys are judged per converter, since its artifacts are what its runtimes refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

#: A key that is refused in this share of the cases that hold it, at least, is guilty although some cases passed: what
#: decides is then an argument or a value.
_MOSTLY = 0.8
_ENOUGH = 5


class Quarantine:
    """What has been learnt of one converter."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        #: Guilty keys with the reason (the subject's words).
        self.guilty: dict[str, str] = dict(known or {})
        self._passed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._open: list[tuple[frozenset[str], str]] = []

    def passed(self, keys: Iterable[str]) -> None:
        """A case with these keys was refused by nobody."""
        self._passed.update(keys)

    def refused(self, keys: Iterable[str], reason: str) -> None:
        """A case with these keys was refused."""
        keys = frozenset(keys)
        self._refused.update(keys)
        self._open.append((keys, reason))

    def deduce(self) -> dict[str, str]:
        """Keys newly found guilty with their reasons; they are added to ``guilty``.

        Refused cases that hold a guilty key are explained and forgotten, as are those whose keys are all proven.
        """
        found: dict[str, str] = {}
        for key, refusals in self._refused.items():
            total = refusals + self._passed[key]
            if key not in self.guilty and total >= _ENOUGH and refusals / total >= _MOSTLY:
                found[key] = next((reason for keys, reason in reversed(self._open) if key in keys), "refused")
        still_open: list[tuple[frozenset[str], str]] = []
        for keys, reason in self._open:
            if keys & (self.guilty.keys() | found.keys()):
                continue
            suspects = [key for key in keys if not self._passed[key]]
            if len(suspects) == 1:
                found[suspects[0]] = reason
            elif suspects:
                still_open.append((keys, reason))
        self._open = still_open[-500:]
        self.guilty.update(found)
        return found

    def avoid(self) -> tuple[str, ...]:
        """The guilty keys, sorted: what a batch is told to draw rarely."""
        return tuple(sorted(self.guilty))
