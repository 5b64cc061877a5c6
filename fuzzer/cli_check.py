"""The commands ``check`` and ``minimize``: a user's own model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fuzzer.cli_options import DEFAULT_CORPUS, FOUND, NOTHING_FOUND, Corpus, Database, Debug, Json
from fuzzer.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from corpus.records import Finding, FindingState
    from fuzzer.checking import Row


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A file (.onnx, .pt2, .keras, .tflite, a reproducer), a SavedModel's directory, or module:function, which "
        "returns a torch module and its inputs.",
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option(metavar="FILE", exists=True, help="Run it on these arrays (.npz), not on random ones."),
]
Dims = Annotated[
    list[str] | None, typer.Option("--dim", metavar="NAME=N", help="The extent of an unknown dimension; default 2.")
]
SignatureName = Annotated[str, typer.Option("--signature", help="Which signature of a SavedModel.")]
Minutes = Annotated[float, typer.Option(min=0.01, help="Minutes that minimizing one finding may take.")]
Workers = Annotated[int, typer.Option(min=1, max=256, help="Findings minimized at a time; spare workers help.")]
Deadline = Annotated[float, typer.Option(min=1.0, help="Seconds that one step may take.")]
Memory = Annotated[int, typer.Option(min=500, help="MiB that a process may hold.")]
Seed = Annotated[int, typer.Option(min=0, help="Of random inputs.")]


def check(
    model: Model,
    route: Annotated[
        list[str] | None, typer.Option(help="Only this route or converter; repeat for more. Default: all there are.")
    ] = None,
    inputs: Inputs = None,
    dim: Dims = None,
    signature: SignatureName = "serving_default",
    minimize: Annotated[bool, typer.Option(help="Minimize what fails, verify it, and write reproducers.")] = True,
    minutes: Minutes = 10.0,
    workers: Workers = 1,
    deadline: Deadline = 600.0,
    memory: Memory = 16000,
    seed: Seed = 0,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Convert your own model along every route, compare what it computes, and minimize what differs."""
    found = run_check(
        model,
        corpus,
        database,
        as_json,
        routes=tuple(route or ()),
        inputs=inputs,
        dims=tuple(dim or ()),
        signature=signature,
        seed=seed,
        minimize=minimize,
        minutes=minutes,
        workers=workers,
        deadline=deadline,
        memory=memory,
    )
    raise typer.Exit(FOUND if found else NOTHING_FOUND)


def minimize(
    model: Model,
    route: Annotated[list[str], typer.Option(help="The route or converter that fails; repeat for more.")],
    inputs: Inputs = None,
    dim: Dims = None,
    signature: SignatureName = "serving_default",
    minutes: Minutes = 30.0,
    workers: Workers = 1,
    deadline: Deadline = 600.0,
    memory: Memory = 16000,
    seed: Seed = 0,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Reduce your own model that a route gets wrong to the operators that matter, with a reproducer."""
    check(
        model,
        route,
        inputs,
        dim,
        signature,
        True,
        minutes,
        workers,
        deadline,
        memory,
        seed,
        corpus,
        database,
        as_json,
        debug,
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(check)
    app.command()(minimize)


def run_check(
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
    from corpus.store import Store
    from fuzzer import campaign as campaigns
    from fuzzer.checking import record, routes_of
    from fuzzer.cli_output import terminal
    from fuzzer.config import CampaignConfig
    from fuzzer.importing import read_model
    from fuzzer.installed_versions import versions_of
    from fuzzer.screen import listener_for, to_json
    from generators.graph import node_count

    console = terminal()

    def say(text: str) -> None:
        if not as_json:
            console.print(text, markup=False, soft_wrap=True)

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
    with Store.open(corpus, create=True, database=database) as store:
        names = sorted({route.converter for route in chosen} | {route.runtime for route in chosen})
        campaign = store.create_campaign(seed, config.to_builtins(), versions_of(*names))
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
            _hints(say, list(found.values()), FindingState.RAW, campaign.id)
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


def _hints(say: Callable[[str], None], findings: Sequence[Finding], raw: FindingState, campaign: str) -> None:
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
