"""What `convfuzz check` and `convfuzz minimize` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fuzzer.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from corpus.records import Finding
    from fuzzer.checking import Row


def check(
    model: str,
    corpus: Path,
    database: str,
    as_json: bool,
    *,
    routes: Sequence[str],
    inputs: Path | None,
    dims: Sequence[str],
    signature: str,
    seed: int,
    minimize: bool,
    minutes: float,
    workers: int,
    deadline: float,
    memory: int,
) -> bool:
    """Judge a user's model along the routes, print a table, and minimize what fails. Returns whether any route is at
    fault."""
    from corpus.records import FindingState
    from fuzzer import campaign as campaigns
    from fuzzer.checking import record, routes_of
    from fuzzer.cli_commands import _console, _open, _versions_of
    from fuzzer.config import CampaignConfig
    from fuzzer.importing import read_model
    from fuzzer.screen import listener_for, to_json
    from generators.graph import node_count

    console = _console()
    say = (lambda text: None) if as_json else (lambda text: console.print(text, markup=False, soft_wrap=True))
    imported = read_model(
        model,
        inputs=inputs,
        extents=_extents(dims),
        signature=signature,
        seed=seed,
        deadline=deadline,
        memory_mb=memory,
    )
    graph = imported.case.graph
    elements = sum(constant.data.size for constant in graph.constants)
    say(f"{model}: {node_count(graph)} nodes of {graph.frontend}, {elements:,} elements in constants")
    for note in imported.notes:
        say(f"note: {note}")
    chosen = routes_of(graph.frontend, routes)
    config = CampaignConfig(
        seed=seed,
        graphs=0,
        routes=tuple(str(route) for route in chosen),
        nodes=max(1, node_count(graph)),
        workers=workers,
        deadline_seconds=deadline,
        memory_limit_mb=memory,
        minimize_seconds=60 * minutes,
        minimize_conversions=400,
        model=model,
    )
    with _open(corpus, database, create=True) as store:
        names = sorted({route.converter for route in chosen} | {route.runtime for route in chosen})
        campaign = store.create_campaign(seed, config.to_builtins(), _versions_of(*names))
        with console.status("judging along the routes") if not as_json else _Silent():
            rows = record(store, campaign, config, imported, chosen)
        if minimize and any(row.finding for row in rows):
            listener = listener_for(console, store.directory, as_json=as_json)
            try:
                campaigns.run(store, campaign.id, config, listener)
            finally:
                listener.close()
        found = {finding.id: finding for finding in store.list_findings(campaign=campaign.id)}
        shown = [_represented(row, found) for row in rows]
        if as_json:
            for row in shown:
                print(to_json(row))
        else:
            console.print(_table(shown))
            _hints(say, found.values(), FindingState.RAW, campaign.id)
        return any(row.finding for row in rows)


class _Silent:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _represented(row: Row, found: dict[str, Finding]) -> Row:
    """The row with the words of its finding as it is by now."""
    finding = found.get(row.finding)
    return replace(row, message=finding.title or finding.message) if finding else row


def _table(rows: Sequence[Row]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from fuzzer.cli_text import SHORT, one_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("converter", "runtime", "outcome", "what", "finding"):
        table.add_column(title, overflow="fold", no_wrap=title == "finding")
    last = ""
    grouped: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        runtime = row.variant.partition(" ")[0]
        grouped.setdefault((row.converter, runtime, row.outcome, row.message, row.finding), []).append(row)
    for (_, runtime, *_), members in grouped.items():
        row = members[0]
        variants = ", ".join(member.variant.partition(" ")[2] for member in members)
        table.add_row(
            row.converter if row.converter != last else "",
            f"{runtime} {variants}".strip(),
            row.outcome,
            Text(one_line(row.message, 160)),
            row.finding[:SHORT],
        )
        last = row.converter
    return table


def _hints(say: object, found: object, raw: object, campaign: str) -> None:
    assert callable(say)
    findings = list(found)  # type: ignore[call-overload]
    if not findings:
        say("nothing found")
        return
    first = next((one for one in findings if one.reproducer_object), findings[0])
    say(f"`convfuzz show {first.id[:6]}` shows a finding and its reproducer")
    if any(one.state is raw for one in findings):
        say(f"`convfuzz resume {campaign}` minimizes what has not been minimized")


def _extents(dims: Sequence[str]) -> dict[str, int]:
    """``batch=4`` as a mapping. UsageError for anything else."""
    found = {}
    for text in dims:
        name, equals, extent = text.rpartition("=")
        if not equals or not name or not extent.isdigit():
            raise UsageError(f"--dim {text!r} is no dimension", "give it as NAME=EXTENT, such as --dim batch=4")
        found[name] = int(extent)
    return found
