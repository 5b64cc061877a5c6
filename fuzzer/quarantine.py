"""Learning which nodes a converter or its runtimes refuse, so that they are drawn rarely.

It is group testing over patterns of nodes (:mod:`generators.patterns`). What is in a case that no subject refused is
proven, for every node with all of its patterns. A refused case must hold a guilty pattern among those not proven; when
they all are of one node, it is the most general of them. A subject that names the operator in its refusal
(``aten::float_power``) leaves only the nodes of that operator to suspect. Findings, once minimized, tell their patterns
themselves. What is learnt is per converter, since its artifacts are what its runtimes refuse.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from generators.patterns import target_of

#: A key that alone can be to blame in this share of the cases that hold it, at least, is guilty although some cases
#: passed: what decides is then a value, or two arguments together.
_MOSTLY = 0.8
_ENOUGH = 5
#: Cases that must hold a pattern with a condition before it is guilty: a single one leaves too many to choose from.
_CONDITIONAL = 2
#: Cases that must hold an operator before it is guilty when the refusal is a sentence: most sentences are about an
#: argument, whose other values may pass.
_SENTENCE = 3
#: Share of the unexplained refusals of a key that a condition must hold in.
_EXPLAINED = 0.6
#: Unexplained refusals that are kept.
_KEPT = 400
#: Weight of the latest node in the running share of refused ones, and that share before anything is known.
_WEIGHT = 0.004
_EXPECTED = 0.04

#: The patterns of one node, from the most general to the most specific (:func:`generators.patterns.candidates`).
Candidates = tuple[str, ...]


class Quarantine:
    """What has been learnt of one converter."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        #: Guilty patterns with the reason (the subject's words, or the defect).
        self.guilty: dict[str, str] = dict(known or {})
        self._proven: set[str] = set()
        self._passed: Counter[str] = Counter()
        self._open: deque[tuple[tuple[Candidates, ...], str]] = deque(maxlen=_KEPT)
        self._rate = _EXPECTED
        self._accused: Counter[str] = Counter()

    def refusal(self, nodes: int) -> float:
        """The expected share of graphs of this many nodes that are refused."""
        return float(1 - (1 - min(self._rate, 0.9)) ** nodes)

    def passed(self, keys: Iterable[str], patterns: Iterable[str], nodes: int) -> None:
        """A case of so many nodes was refused by nobody: the keys of its nodes, and all of their patterns that were not
        told of before. With 0 nodes the expected share of refusals stays what it is."""
        self._rate *= (1 - _WEIGHT) ** nodes
        self._passed.update(keys)
        self._proven.update(patterns)

    def refused(
        self, nodes: Sequence[Candidates], reason: str, *, splits: bool = True, representative: bool = True
    ) -> None:
        """A case with these nodes (none when something else may be to blame) was refused; ``reason`` is the subject's,
        with its name in front. ``splits`` tells
        whether a pack with it has to be split, which is what the expected share of refusals is about, and
        ``representative`` whether that share is to be learnt from it."""
        if representative:
            self._rate *= (1 - _WEIGHT) ** max(len(nodes) - splits, 0)
            self._rate += _WEIGHT * (1 - self._rate) * splits
        if not nodes:
            return
        mentioned = named((patterns[0] for patterns in nodes), reason)
        suspects = [
            # One that names types does not speak of the operator as such.
            patterns if mentioned[patterns[0]] else _with_types(patterns)
            for patterns in nodes
            if patterns[0] in mentioned
        ]
        if len(mentioned) > 1 and ", " in reason:
            # A list of what is not supported: each entry is guilty for itself.
            for target in mentioned:
                self._open.append((tuple(node for node in suspects if target_of(node[0]) == target), reason))
        else:
            self._open.append((tuple(suspects or nodes), reason))

    def deduce(self) -> dict[str, str]:
        """Patterns newly found guilty with their reasons; they are added to ``guilty``.

        Refused cases that hold a guilty pattern are explained and forgotten.
        """
        found: dict[str, str] = {}
        self._forget(found)
        support: Counter[str] = Counter()
        for nodes, reason in self._open:
            # A dtype that no operator ever passed with is guilty as such.
            for pattern in {pattern for node in nodes for pattern in node if pattern.startswith("*")}:
                support[pattern] += 1
                if support[pattern] >= _ENOUGH and pattern not in self._proven:
                    found[pattern] = reason
        support.clear()
        self._accused = Counter(key for nodes, _ in self._open for key in set(map(_key, nodes)))
        for nodes, _ in self._open:
            support.update({pattern for node in nodes for pattern in node if pattern not in self._proven})
        for nodes, reason in self._open:
            if self._explained(nodes, found):
                continue
            suspects = [node for node in nodes if any(pattern not in self._proven for pattern in node)]
            needed = 1 if bare(reason) else _SENTENCE
            if len(set(map(_key, suspects))) == 1 and (pattern := self._guilty(suspects[0], support, needed)):
                found[pattern] = reason
        self._forget(found)
        # Of a graph of several operators, the others may be to blame.
        keys = Counter(_key(nodes[0]) for nodes, _ in self._open if len(nodes) == 1)
        for key, refusals in keys.items():
            total = refusals + self._passed[key]
            if total >= _ENOUGH and refusals / total >= _MOSTLY:
                found[key] = next(
                    reason for nodes, reason in reversed(self._open) if any(key in node for node in nodes)
                )
        self.guilty.update(found)
        self._forget({})
        return found

    def _guilty(self, node: Candidates, support: Counter[str], needed: int) -> str:
        """The pattern of a node that explains most refusals, the most general of several; empty for none. One without
        a condition must be in so many refused cases."""
        unproven = [pattern for pattern in node if pattern not in self._proven and not pattern.startswith("*")]
        for pattern in unproven:
            if "{" not in pattern:
                return pattern if support[pattern] >= needed else ""
        best = max(unproven, key=lambda pattern: support[pattern], default="")
        enough = max(_CONDITIONAL, _EXPLAINED * self._accused[_key(node)])
        return best if support[best] >= enough else ""

    def _forget(self, found: Mapping[str, str]) -> None:
        kept = [entry for entry in self._open if not self._explained(entry[0], found)]
        self._open = deque(kept, maxlen=_KEPT)

    def _explained(self, nodes: Sequence[Candidates], found: Mapping[str, str]) -> bool:
        return any(pattern in known for node in nodes for pattern in node for known in (self.guilty, found))

    def proven(self, target: str) -> bool:
        """Whether the target has been in a case that nobody refused."""
        return target in self._proven

    def avoid(self) -> tuple[str, ...]:
        """The guilty patterns, sorted: what a batch is told to draw rarely."""
        return tuple(sorted(self.guilty))


def _with_types(node: Candidates) -> Candidates:
    return tuple(pattern for pattern in node if pattern.startswith((node[1], "*")))


def _key(node: Candidates) -> str:
    """The target with its dtypes: the most specific pattern without a condition."""
    return [pattern for pattern in node if "{" not in pattern][-1]


_BARE = re.compile(r"[\w.:]+(?:\([^()]*\))?(?:, [\w.:]+(?:\([^()]*\))?)*")


def bare(reason: str) -> bool:
    """Whether a reason is nothing but names of operators, with types or without, after the subject's name."""
    return _BARE.fullmatch(reason.partition(": ")[2]) is not None


#: A word in a message, with what makes it the name of an operator: a namespace before it, or types behind it.
_WORD = re.compile(r"(aten::|aten\.|prims::|tf\.|torch\.)?\b([A-Za-z][A-Za-z0-9_]*)(\(?)")


def named(patterns: Iterable[str], reason: str) -> dict[str, bool]:
    """The targets of the patterns that the reason names, case and underscores apart; whether it speaks of the operator
    as such and not of it with certain types, as ``Sin(bfloat16)`` does.

    A word is a name when it begins the reason or has a namespace, a capital or an underscore: ``add`` in the middle of
    a sentence is none.
    """
    words: dict[str, bool] = {}
    text = reason.partition(": ")[2]
    for match in _WORD.finditer(text):
        space, word, typed = match.groups()
        if space or match.start() == 0 or word[0].isupper() or "_" in word:
            words[word.lower().replace("_", "")] = not typed
    names = {target: target.rpartition(".")[2].lower().replace("_", "") for target in map(target_of, patterns)}
    return {target: words[name] for target, name in names.items() if name in words}
