"""The commands about toolchains, and those that run reproducers in several of them."""

from __future__ import annotations

import datetime
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fuzzer.cli_options import DEFAULT_CORPUS, Corpus, Database, Debug, Json

if TYPE_CHECKING:
    from fuzzer.toolchains import Toolchain

group = typer.Typer(no_args_is_help=True, help="Environments with other versions of packages, for workers to run in.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]


Finding = Annotated[str, typer.Argument(metavar="ID", help="The first digits of a finding's id.")]
Runs = Annotated[
    int | None,
    typer.Option(min=1, max=100, help="Runs with each version. Default: 1, and 5 of a finding that is flaky."),
]
Deadline = Annotated[float, typer.Option(min=1.0, help="Seconds that one run may take.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the toolchains that are made, for the next time.")]
Pre = Annotated[bool, typer.Option("--pre", help="Also pre-releases.")]
Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="REQUIREMENT",
        help="Also installed with each version, for versions that do not run with what is here (numpy==1.26.4); repeat "
        "for more.",
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Ask again what is known from earlier.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(group, name="toolchain")
    app.command()(bisect)
    app.command()(versions)


@group.command()
def add(
    name: Name,
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE==VERSION…", help="What it is to have.")],
    isolated: Annotated[
        bool,
        typer.Option(
            "--isolated", help="Complete, with nothing behind it: for packages whose pins contradict what is here."
        ),
    ] = False,
    python: Annotated[
        str, typer.Option(metavar="PATH", help="The interpreter of an isolated one. Default: this one.")
    ] = "",
    dependencies: Annotated[
        bool,
        typer.Option(
            "--deps/--no-deps", help="Also what they depend on, where it is not there. Conflicts are told either way."
        ),
    ] = True,
    debug: Debug = False,
) -> None:
    """Make a toolchain: the packages named, of those versions, over the ones that are installed here."""
    from fuzzer.toolchain_building import make
    from fuzzer.toolchains import size_mib

    made = make(name, packages, isolated=isolated, python=python, dependencies=dependencies, say=say)
    print(f"toolchain {name}: {size_mib(made.directory)} MiB in {made.directory}")
    _print_contents(made)


@group.command("list")
def list_toolchains(as_json: Json = False, debug: Debug = False) -> None:
    """List the toolchains that there are."""
    from fuzzer.cli_output import terminal
    from fuzzer.cli_text import toolchains_table
    from fuzzer.screen import to_json
    from fuzzer.toolchains import home, listed

    found = listed()
    if as_json:
        for one in found:
            print(to_json({**_record(one), "versions": one.versions()}))
    elif found:
        terminal().print(toolchains_table(found))
    else:
        print(f"no toolchains in {home()} (`convfuzz toolchain add NAME package==version`)")


@group.command()
def show(name: Name, as_json: Json = False, debug: Debug = False) -> None:
    """Show what a toolchain has and what contradicts what in it."""
    from fuzzer.screen import to_json
    from fuzzer.toolchains import find, size_mib

    found = find(name)
    if as_json:
        print(to_json({**_record(found), "versions": found.versions()}))
        return
    made = datetime.datetime.fromtimestamp(found.record.created).isoformat(" ", "minutes")
    kind = "isolated" if found.isolated else f"over {', '.join(found.record.base)}"
    print(f"toolchain {name}: {', '.join(found.record.requirements)}; {kind}")
    print(f"made {made}, {size_mib(found.directory)} MiB, {found.python}")
    _print_contents(found)
    if lacking := found.lacks():
        print(f"no longer has {', '.join(lacking)}: remove it and add it again")


@group.command()
def remove(name: Name, debug: Debug = False) -> None:
    """Remove a toolchain."""
    from fuzzer import toolchains

    print(f"removed {name}, {toolchains.remove(name)} MiB")


def bisect(
    finding: Finding,
    package: Annotated[str, typer.Option(metavar="NAME", help="The package whose versions are tried.")],
    good: Annotated[str, typer.Option(metavar="VERSION", help="One that does not show the defect.")] = "",
    bad: Annotated[str, typer.Option(metavar="VERSION", help="One that shows it. Default: the installed one.")] = "",
    pre: Pre = False,
    runs: Runs = None,
    deadline: Deadline = 360.0,
    keep: Keep = False,
    again: Again = False,
    beside: Beside = None,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find the first version of a package that shows a defect, or no longer shows it, by running its reproducer in
    environments with those versions. Without --good, both are looked for."""
    from fuzzer import cli_versions

    cli_versions.bisect(
        corpus,
        database,
        as_json,
        finding,
        package,
        good,
        bad,
        cli_versions.How(pre, runs, deadline, keep, again, tuple(beside or ())),
    )


def versions(
    finding: Finding,
    package: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this package; repeat for more. Default: those of its converter and runtime."
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest releases of each.")] = 6,
    pre: Pre = False,
    runs: Runs = None,
    deadline: Deadline = 360.0,
    keep: Keep = False,
    again: Again = False,
    beside: Beside = None,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a finding's reproducer with other versions of the packages that it is about, and show what each does."""
    from fuzzer import cli_versions

    cli_versions.versions(
        corpus,
        database,
        as_json,
        finding,
        package or [],
        last,
        cli_versions.How(pre, runs, deadline, keep, again, tuple(beside or ())),
    )


def say(line: str) -> None:
    """A line on what is being done, apart from what is asked for."""
    print(line, file=sys.stderr, flush=True)


def _record(one: Toolchain) -> dict[str, object]:
    import msgspec

    return {**msgspec.to_builtins(one.record), "python": one.python, "isolated": one.isolated}


def _print_contents(one: Toolchain) -> None:
    own = ", ".join(f"{package} {version}" for package, version in sorted(one.record.made.items()))
    print(f"of its own: {own or 'nothing: what is installed here has these versions'}")
    for line in one.record.conflicts:
        print(f"conflict: {line}")
