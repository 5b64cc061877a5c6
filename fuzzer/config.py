"""What a campaign is configured with. Recorded with the campaign; together with a batch's number it fixes the batch."""

from __future__ import annotations

from typing import Any

import msgspec


class CampaignConfig(msgspec.Struct, frozen=True):
    """The configuration of a campaign.

    It ends after ``minutes`` of running or when ``graphs`` cases have been judged, whichever comes first; when both
    are None it runs until it is stopped. ``routes`` are names of routes, all available ones when empty. ``nodes`` is
    the wanted size of a graph, ``pack`` the graphs in one conversion (None: learnt from measurement), ``workers`` the
    processes beside this one. ``deadline_seconds`` is what a single step of a worker may take, ``memory_limit_mb`` its
    resident memory. One finding's minimization may take ``minimize_seconds`` and ``minimize_conversions``; its
    reproducer is run ``verify_runs`` times, each in a fresh process. Experiments that tell who is to
    blame for it may take ``blame_seconds``; 0 makes none. ``operators`` are patterns of the targets that graphs are
    made of, all targets when empty. Of findings with one signature, ``per_signature`` are handled in one run
    (a third as many of those that end a worker, and any number of mismatches, which all share their signature until
    they are minimized); the others wait for the next run, since they are most likely the same defect. ``quarantine``
    makes nodes rare that are known to fail, ``guidance`` prefers operators that have been drawn little. ``harvest`` is
    the fingerprint of the harvest (:mod:`generators.harvest`) whose operators are drawn, too, empty for none.
    ``toolchain`` is the one that workers and reproducers run in, this interpreter when empty. ``model`` is the user's
    model that was checked, instead of graphs that are generated; empty in campaigns.
    """

    seed: int
    minutes: float | None = None
    graphs: int | None = None
    routes: tuple[str, ...] = ()
    nodes: int = 10
    workers: int = 2
    pack: int | None = None
    deadline_seconds: float = 120.0
    memory_limit_mb: int = 6000
    minimize_seconds: float = 90.0
    minimize_conversions: int = 80
    verify_runs: int = 3
    blame_seconds: float = 60.0
    operators: tuple[str, ...] = ()
    per_signature: int = 6
    quarantine: bool = True
    guidance: bool = True
    harvest: str = ""
    toolchain: str = ""
    model: str = ""

    def to_builtins(self) -> dict[str, Any]:
        """As it is stored with the campaign."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    @classmethod
    def from_builtins(cls, stored: dict[str, Any]) -> CampaignConfig:
        """The configuration of a stored campaign. msgspec.ValidationError when it is not one."""
        return msgspec.convert(stored, cls)
