"""Learning which kinds of node a converter or its runtimes refuse, so that they are drawn rarely.

A kind of node is its key (:func:`generators.random_graphs.node_key`: target and dtypes). It is group testing: every
key of a case that no subject refused is proven; a refused case must hold a guilty key among those not proven, and when
just one is left it is known. A subject that names the operator in its refusal (``aten::float_power``) saves the
guessing: then the target is guilty with every dtype. What is learnt is per converter, since its artifacts are what its
runtimes refuse.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

#: A key that is refused, with nothing else to explain it, in this share of the cases that hold it, at least, is guilty
#: although some cases passed: what decides is then an argument or a value.
_MOSTLY = 0.8
_ENOUGH = 5
#: Weight of the latest case in the running share of refused cases, and that share before anything is known.
_WEIGHT = 0.03
_EXPECTED = 0.25


class Quarantine:
    """What has been learnt of one converter."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        #: Guilty keys with the reason (the subject's words).
        self.guilty: dict[str, str] = dict(known or {})
        self._passed: Counter[str] = Counter()
        self._open: list[tuple[frozenset[str], str]] = []
        self._passed_targets: Counter[str] = Counter()
        self._found: dict[str, str] = {}
        self._share = _EXPECTED

    @property
    def pack(self) -> int:
        """Graphs in a pack beyond which splitting it costs more than packing saves: a pack is split when one of its
        graphs is refused, so about one refusal in every two packs is borne."""
        return max(1, round(0.5 / max(self._share, 0.01)))

    def passed(self, keys: Iterable[str]) -> None:
        """A case with these keys was refused by nobody."""
        keys = tuple(keys)
        self._share *= 1 - _WEIGHT
        self._passed.update(keys)
        self._passed_targets.update({_target(key) for key in keys})

    def refused(self, keys: Iterable[str], reason: str) -> None:
        """A case with these keys was refused; ``reason`` is the subject's, with its name in front."""
        keys = frozenset(keys)
        self._share += _WEIGHT * (1 - self._share)
        for target, whole in named(keys, reason).items():
            if whole and not self._passed_targets[target]:
                self._found[target] = reason
                continue
            # It takes the operator with other dtypes.
            for key in keys:
                if _target(key) == target and not self._passed[key]:
                    self._found[key] = reason
        self._open.append((keys, reason))

    def deduce(self) -> dict[str, str]:
        """Keys newly found guilty with their reasons; they are added to ``guilty``.

        Refused cases that hold a guilty key are explained and forgotten.
        """
        found, self._found = {key: why for key, why in self._found.items() if key not in self.guilty}, {}
        for keys, reason in self._open:
            suspects = [key for key in keys if not self._passed[key]]
            if len(suspects) == 1 and not self._explained(keys, found):
                found[suspects[0]] = reason
        self._open = [(keys, reason) for keys, reason in self._open if not self._explained(keys, found)][-500:]
        refused = Counter(key for keys, _ in self._open for key in keys)
        for key, refusals in refused.items():
            total = refusals + self._passed[key]
            if total >= _ENOUGH and refusals / total >= _MOSTLY:
                found[key] = next(reason for keys, reason in reversed(self._open) if key in keys)
        self.guilty.update(found)
        return found

    def _explained(self, keys: frozenset[str], found: Mapping[str, str]) -> bool:
        return any(name in known for key in keys for name in (key, _target(key)) for known in (self.guilty, found))

    def avoid(self) -> tuple[str, ...]:
        """The guilty keys, sorted: what a batch is told to draw rarely."""
        return tuple(sorted(self.guilty))


def _target(key: str) -> str:
    return key.partition("(")[0]


def named(keys: Iterable[str], reason: str) -> dict[str, bool]:
    """The targets among the keys whose names the reason holds as words, case and underscores apart; whether the
    reason speaks of the operator as such and not of it with certain types, as ``Sin(bfloat16)`` does."""
    words = {
        word.replace("_", ""): not typed
        for word, typed in re.findall(r"([a-z][a-z0-9_]*)(\(?)", reason.partition(": ")[2].lower())
    }
    names = {_target(key): _target(key).rpartition(".")[2].lower().replace("_", "") for key in keys}
    return {target: words[name] for target, name in names.items() if name in words}
