"""The command line. Frameworks, and what needs them, are imported by the commands that use them."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fuzzer import cli_check, cli_merge, cli_rerun, cli_toolchain
from fuzzer import cli_commands as commands
from fuzzer import cli_draft as draft_commands
from fuzzer import cli_harvest as harvest_commands
from fuzzer import cli_installed as installed
from fuzzer import cli_matrix as matrix_commands
from fuzzer import cli_report as report_commands
from fuzzer import cli_taxonomy as taxonomy_commands
from fuzzer.cli_options import (
    DEFAULT_CORPUS,
    FOUND,
    INTERNAL,
    NOTHING_FOUND,
    USAGE,
    Corpus,
    Database,
    Debug,
    Json,
    Known,
    State,
    Toolchain,
)
from fuzzer.errors import UsageError

app = typer.Typer(
    name="convfuzz",
    help="Fuzz deep-learning model converters: find silent miscompilations, hand back minimal reproducers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:
    if value:
        installed.version()
        raise typer.Exit(NOTHING_FOUND)


@app.callback()
def _convfuzz(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Debug = False,
) -> None:
    pass


@app.command()
def fuzz(
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after this time; 2 when --graphs is not given either.")
    ] = None,
    graphs: Annotated[int | None, typer.Option(min=1, help="Stop when this many graphs have been judged.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Default: a new one, which is shown.")] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(help="Use this route, or the routes through this converter; repeat for more. Default: all."),
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, max=1000, help="Wanted nodes of a graph.")] = 10,
    operator: Annotated[
        list[str] | None,
        typer.Option(
            help="Make graphs of the operators that match this pattern (`convfuzz operators`); repeat for more."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Jobs at a time, each in processes of its own.")] = 2,
    pack: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Graphs in one conversion; default: learnt from what conversions cost."),
    ] = None,
    quarantine: Annotated[
        bool, typer.Option(help="Draw nodes that are known to fail rarely, so that other defects are met.")
    ] = True,
    guidance: Annotated[bool, typer.Option(help="Prefer operators that have been drawn little.")] = True,
    harvest: Annotated[
        bool, typer.Option(help="Draw from torch's own operator samples, too, once `convfuzz harvest` has been run.")
    ] = True,
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds that one step of a subject may take.")] = 120.0,
    memory: Annotated[int, typer.Option(min=500, help="MiB that a worker may hold.")] = 6000,
    toolchain: Toolchain = "",
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a campaign: generate graphs, convert, run, judge, minimize and verify what is found."""
    if minutes is None and graphs is None:
        minutes = 2.0
    found = commands.fuzz(
        corpus,
        database,
        as_json,
        harvested=harvest,
        seed=seed,
        minutes=minutes,
        graphs=graphs,
        routes=tuple(route or ()),
        operators=tuple(operator or ()),
        nodes=nodes,
        workers=workers,
        pack=pack,
        quarantine=quarantine,
        guidance=guidance,
        deadline_seconds=deadline,
        memory_limit_mb=memory,
        toolchain=toolchain,
    )
    raise typer.Exit(FOUND if found else NOTHING_FOUND)


@app.command()
def resume(
    campaign: Annotated[str, typer.Argument(help="Default: the newest campaign that has not finished.")] = "",
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Run for this long from now, whatever the campaign had left.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Default: as the campaign was started.")] = None,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Go on with a campaign that was stopped or killed."""
    found = commands.resume(corpus, database, as_json, campaign, minutes, workers)
    raise typer.Exit(FOUND if found else NOTHING_FOUND)


@app.command()
def findings(
    everything: Annotated[bool, typer.Option("--all", help="Also what is not verified, and the campaigns.")] = False,
    campaign: Annotated[str, typer.Option(help="Only those of this campaign.")] = "",
    known: Known = None,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List what was found: by default one line per defect, each verified by its reproducer."""
    commands.findings(corpus, database, as_json, campaign, everything, known)


@app.command()
def show(
    finding: Annotated[str, typer.Argument(metavar="ID", help="The first digits of a finding's id.")],
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show one finding: what differs, where, the minimized graph, and its reproducer."""
    commands.show(corpus, database, as_json, finding)


@app.command()
def blame(
    finding: Annotated[str, typer.Argument(metavar="ID", help="The first digits of a finding's id.")],
    seconds: Annotated[float, typer.Option(min=1.0, help="How long the experiments may take together.")] = 300.0,
    toolchain: Toolchain = "",
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the experiments that tell who is to blame for a finding (again), record and show what they gave."""
    commands.blame(corpus, database, as_json, finding, seconds, toolchain)


@app.command()
def reproduce(
    finding: Annotated[str, typer.Argument(metavar="ID", help="The first digits of a finding's id.")],
    runs: Annotated[int, typer.Option(min=1, max=1000, help="Fresh processes to run the script in.")] = 3,
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds that one run may take.")] = 360.0,
    toolchain: Toolchain = "",
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    debug: Debug = False,
) -> None:
    """Run a finding's reproducer in fresh processes; the exit status is 1 when the defect shows."""
    shown = commands.reproduce(corpus, database, finding, runs, deadline, toolchain)
    raise typer.Exit(FOUND if shown else NOTHING_FOUND)


@app.command()
def draft(
    finding: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The first digits of a finding's id; with --regression, the name of what is shipped."
        ),
    ],
    regression: Annotated[
        bool, typer.Option("--regression", help="Of a defect that is shipped (`convfuzz rerun --regressions`).")
    ] = False,
    to: Annotated[
        str, typer.Option(metavar="PROJECT", help="Another project, by its name or repository. Default: whose it is.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write to this file. Default: standard output."),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Only the link that opens a new issue with the text.")] = False,
    collect: Annotated[bool, typer.Option(help="Run the project's own script that describes the environment.")] = True,
    known: Known = None,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the draft of an issue for the project to blame. A person reads it and files it; convfuzz never does."""
    draft_commands.draft(
        corpus, database, as_json, finding, to, output, link, known, regression=regression, collect=collect
    )


@app.command()
def replay(
    campaign: Annotated[str, typer.Argument(help="The first digits of a campaign's id.")],
    batch: Annotated[int, typer.Argument(min=0, help="The batch's number.")],
    toolchain: Toolchain = "",
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate and judge a batch again, as it was issued. Nothing is recorded."""
    found = commands.replay(corpus, database, as_json, campaign, batch, toolchain)
    raise typer.Exit(FOUND if found else NOTHING_FOUND)


@app.command()
def coverage(
    campaign: Annotated[str, typer.Option(help="Only this campaign's batches.")] = "",
    converter: Annotated[str, typer.Option(help="Only batches for this converter.")] = "",
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what has been exercised: sequences of operators, operators and dtypes by outcome, classes of arguments."""
    commands.coverage(corpus, database, as_json, campaign, converter)


@app.command()
def matrix(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to this file. Default: standard output."),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="html, markdown or json. Default: as the suffix of --output says."
        ),
    ] = "",
    campaign: Annotated[str, typer.Option(help="Only this campaign.")] = "",
    converter: Annotated[str, typer.Option(help="Only batches for this converter.")] = "",
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    debug: Debug = False,
) -> None:
    """Write the support matrix: operators and element types by converter and runtime, as far as was tested."""
    matrix_commands.matrix(corpus, database, campaign, converter, kind, output)


@app.command()
def report(
    of: Annotated[
        str,
        typer.Argument(metavar="[CORPUS|CAMPAIGN]", help="A corpus, or a campaign of it. Default: the whole corpus."),
    ] = "",
    output: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Write to this file.")] = Path(
        "report.html"
    ),
    known: Known = None,
    convert: Annotated[
        bool,
        typer.Option(
            "--convert", help="Convert findings once more of which the corpus has no picture of the converted model."
        ),
    ] = False,
    collect: Annotated[
        bool, typer.Option(help="Run the projects' own scripts that describe the environment, for the drafts.")
    ] = True,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    debug: Debug = False,
) -> None:
    """Write a page of the findings: pictures, evidence, scripts, drafts. One file, without network."""
    report_commands.report(corpus, database, of, output, known, convert=convert, collect=collect)


@app.command()
def taxonomy(
    everything: Annotated[
        bool, typer.Option("--all", help="Count each finding, whatever its state, and not each verified defect once.")
    ] = False,
    kind: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text, markdown or json.")] = "text",
    campaign: Annotated[str, typer.Option(help="Only this campaign.")] = "",
    converter: Annotated[str, typer.Option(help="Only findings of this converter's routes.")] = "",
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    debug: Debug = False,
) -> None:
    """Count stages, symptoms and causes of what was found, beside those of 200 past failures, and print the funnel."""
    taxonomy_commands.taxonomy(corpus, database, campaign, converter, kind, everything)


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """List converters, runtimes and routes: versions, what is missing, and how to get it."""
    raise typer.Exit(installed.doctor(as_json))


@app.command()
def harvest(
    force: Annotated[bool, typer.Option("--force", help="Build it anew, whatever is there.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn the operator samples of torch's test suite into operators to draw from. Takes a few minutes, once for each
    version of torch."""
    harvest_commands.harvest(force, as_json)


@app.command()
def operators(
    counts: Annotated[
        bool, typer.Option("--counts", help="Only how many there are in each family, and how many are harvested.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the operators that graphs are made of."""
    installed.operators(counts, as_json)


cli_toolchain.register(app)
cli_check.register(app)
cli_merge.register(app)
cli_rerun.register(app)


def run(arguments: Sequence[str]) -> int:
    """Run a command line (without the program's name) and return its exit status; errors go to standard error."""
    State.debug = False
    try:
        status = typer.main.get_command(app).main(list(arguments), prog_name="convfuzz", standalone_mode=False)
    except KeyboardInterrupt:
        return _fail(130, "interrupted", "")
    except Exception as error:  # noqa: BLE001  (the one place where errors become words)
        return _explain(error)
    return status if isinstance(status, int) else NOTHING_FOUND


def _explain(error: Exception) -> int:
    """Say on standard error what happened, where, and what to do next; the exit status."""
    from corpus.errors import CorpusError
    from fuzzer.plugins import PluginError
    from generators.graph import GraphError
    from generators.harvest.records import HarvestError

    if isinstance(error, (UsageError, CorpusError, HarvestError)):
        return _fail(USAGE, error.message, error.remedy)
    if isinstance(error, typer.Abort):
        return _fail(USAGE, "aborted", "")
    if isinstance(error, _CLICK_ERROR):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "convfuzz"
        message: str = error.format_message()  # type: ignore[attr-defined]  # typer does not export the class
        return _fail(USAGE, message, f"`{command} --help` lists what can be given")
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone, as `head` does. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOTHING_FOUND
    if isinstance(error, OSError) and error.errno in _DISK:
        where = f": {error.filename}" if error.filename else ""
        return _fail(USAGE, f"{error.strerror}{where}", _DISK[error.errno])
    if isinstance(error, PluginError):
        return _fail(USAGE, str(error), "`convfuzz doctor` lists what is installed")
    if isinstance(error, GraphError):
        return _fail(USAGE, f"malformed graph: {error}", "the file is damaged or was written by another program")
    words = " ".join(str(error).split()) or "no message"
    return _fail(
        INTERNAL,
        f"internal error: {type(error).__name__}: {words[:300]}",
        "this is a defect of convfuzz; what was judged is kept. Run again with --debug and report the traceback",
    )


_CLICK_ERROR = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
_DISK = {
    errno.ENOSPC: "free some space, then run `convfuzz resume`; nothing judged is lost",
    errno.EROFS: "the disk is read-only: choose another directory",
    errno.EACCES: "you may not write or read there: choose another directory",
}


def _fail(status: int, message: str, remedy: str) -> int:
    if State.debug:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    if remedy:
        print(f"hint: {remedy}", file=sys.stderr)
    return status


def main() -> None:
    """The entry point of the command ``convfuzz``."""
    # TensorFlow greets on standard error as soon as it is imported; worker processes inherit this.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
