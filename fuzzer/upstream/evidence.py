"""The experiments about who is to blame, as a table that a maintainer reads in one go."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fuzzer.upstream.environment import public
from oracles.blame import Evidence, Outcome, Role

#: Characters of what was seen in an experiment: the whole message stands above the table.
_LONGEST = 200


class Asked(msgspec.Struct, frozen=True):
    """A row: experiments of a kind that came to the same. ``details`` are what they differ in."""

    role: str
    component: str
    details: str
    outcome: str
    words: str


class Table(msgspec.Struct, frozen=True):
    """The rows, and how many experiments gave no vote and are left out of them."""

    rows: tuple[Asked, ...] = ()
    without_vote: int = 0

    def __bool__(self) -> bool:
        return bool(self.rows)


def table(evidence: Sequence[Evidence]) -> Table:
    """The experiments in their order. Those of one kind, about one component, with one outcome share a row; what all of
    them saw as the finding itself is not repeated; what gave no vote is only counted, since it says nothing about the
    subject (a witness that lacks an operator, or for which there was no time)."""
    found = {item.words for item in evidence if item.role is Role.CONTROL}
    rows: dict[tuple[str, ...], list[str]] = {}
    for item in evidence:
        if item.outcome is Outcome.ABSTAINS:
            continue
        repeated = item.role is not Role.CONTROL and item.outcome is Outcome.SAME and item.words in found
        words = "" if repeated else public(" ".join(item.words.split()))
        shown = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
        details = rows.setdefault((str(item.role), item.component, str(item.outcome), shown), [])
        if item.detail and item.detail not in details:
            details.append(item.detail)
    abstained = sum(item.outcome is Outcome.ABSTAINS for item in evidence)
    made = tuple(
        Asked(role, component, _joined(details), outcome, words)
        for (role, component, outcome, words), details in rows.items()
    )
    return Table(made, abstained)


def _joined(details: Sequence[str]) -> str:
    """Details in a row; those with commas of their own are told apart by semicolons."""
    return ("; " if any("," in detail for detail in details) else ", ").join(details)
