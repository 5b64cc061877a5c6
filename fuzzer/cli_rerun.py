"""The command ``rerun``."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fuzzer.cli_options import DEFAULT_CORPUS, FOUND, NOTHING_FOUND, USAGE, Corpus, Database, Debug, Json, Toolchain
from fuzzer.errors import UsageError

if TYPE_CHECKING:
    from fuzzer.rerunning import Item, Rerun


class Expect(StrEnum):
    """What is hoped for."""

    FIXED = "fixed"
    FAILING = "failing"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(rerun)


def rerun(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CORPUS|ID|NAME]…",
            help="Directories of corpora, and findings of --corpus; with --regressions, names of what is shipped "
            "(such as 'tf2onnx-*') in place of findings. Default: all.",
        ),
    ] = None,
    regressions: Annotated[
        bool, typer.Option("--regressions", help="The defects that are shipped, found and judged real before.")
    ] = False,
    toolchain: Toolchain = "",
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write JUnit XML, anew after each that is done.")
    ] = None,
    expect: Annotated[
        Expect, typer.Option(help="What counts as a success: that a defect is fixed, or that it still fails.")
    ] = Expect.FIXED,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Scripts that run at a time.")] = 1,
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds that one run may take.")] = 360.0,
    corpus: Corpus = DEFAULT_CORPUS,
    database: Database = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run reproducers again and say of each defect whether it still fails, is fixed, or fails otherwise.

    Exit status: 1 when one is not as expected, else 2 when one cannot be run, else 0.
    """
    from collections import Counter

    from corpus.objects import write_durably
    from fuzzer.cli_text import clean, one_line
    from fuzzer.packages import installed
    from fuzzer.rerunning import Now, unexpected
    from fuzzer.rerunning import junit as as_junit
    from fuzzer.rerunning import rerun as run_again
    from fuzzer.screen import to_json
    from fuzzer.toolchain_building import packages_here
    from fuzzer.toolchains import find, interpreter

    items = _items(what or [], regressions, corpus, database)
    expected = Now.FIXED if expect is Expect.FIXED else Now.STILL
    done: list[Rerun] = []
    with interpreter(toolchain) as python:
        versions = find(toolchain).versions() if toolchain else installed(packages_here())

        # What is no file (a pipe, /dev/stdout) is written once, at the end.
        stream = junit is not None and junit.exists() and not junit.is_file()

        def save() -> None:
            if junit is not None:
                data = as_junit(done, expected, versions)
                try:
                    if stream:
                        junit.write_bytes(data)
                    else:
                        write_durably(junit.absolute(), data)
                except OSError as error:
                    raise UsageError(
                        f"{junit} cannot be written: {error.strerror}", "name another file with --junit"
                    ) from error

        # At once, so that nobody waits an hour to be told that it cannot be written; and what is done by then is
        # there when a server ends the job.
        if not stream:
            save()
        for one in run_again(items, python, jobs=jobs, deadline=deadline):
            done.append(one)
            if not stream or len(done) == len(items):
                save()
            if as_json:
                print(to_json(_record(one)), flush=True)
                continue
            print(f"{one.now:<11}  {one.item.id}  {one.item.component}: {one_line(one.item.title, 120)}", flush=True)
            if one.run.detail:
                print(f"{'':<11}  {clean(one.run.detail)}", flush=True)
    counts = Counter(one.now for one in done)
    if not as_json:
        print(f"{len(done)} reproducers: {', '.join(f'{counts[now]} {now}' for now in Now if counts[now])}")
    wrong = any(unexpected(one.now, expected) for one in done)
    raise typer.Exit(FOUND if wrong else USAGE if counts[Now.CANNOT] else NOTHING_FOUND)


def _items(what: list[str], regressions: bool, corpus: Path, database: str) -> list[Item]:
    from corpus.regressions import kept
    from corpus.store import Store
    from fuzzer.rerunning import of_findings, of_regressions

    directories = [Path(text) for text in what if Path(text).is_dir()]
    prefixes = [text for text in what if not Path(text).is_dir()]
    items: list[Item] = []
    if regressions:
        items = of_regressions(kept(), prefixes)
        prefixes = []
    with ExitStack() as stack:
        for directory in directories:
            items += of_findings(stack.enter_context(Store.open(directory, write=False)))
        if prefixes or (not directories and not regressions):
            store = stack.enter_context(Store.open(corpus, write=False, database=database))
            items += of_findings(store, [store.find(prefix) for prefix in prefixes])
    if not items:
        raise UsageError("there is nothing to rerun: no finding is verified", "`convfuzz findings --all` lists them")
    return items


def _record(one: Rerun) -> dict[str, object]:
    return {
        "id": one.item.id,
        "title": one.item.title,
        "component": one.item.component,
        "now": one.now,
        "detail": one.run.detail,
        "seconds": round(one.run.seconds, 3),
    }
