"""The command ``merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fuzzer.cli_options import Database, Debug


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(merge)


def merge(
    corpus: Annotated[
        Path, typer.Argument(metavar="CORPUS", help="The corpus that is to have it all; made if need be.")
    ],
    sources: Annotated[list[Path], typer.Argument(metavar="FROM…", help="The corpora to add; they stay as they are.")],
    database: Database = "",
    debug: Debug = False,
) -> None:
    """Make one corpus of several: campaigns keep their ids, defects that are the same become one."""
    from corpus.merge import MergedCampaign
    from corpus.store import Store
    from fuzzer.errors import UsageError

    def say(done: MergedCampaign) -> None:
        here = "nothing newer than what is there" if done.kept else f"{done.batches} batches"
        print(f"campaign {done.campaign}: {here}, {done.findings} new findings", flush=True)

    if any(source.resolve() == corpus.resolve() for source in sources):
        raise UsageError(f"{corpus} cannot be merged with itself", "name other corpora behind it")
    for source in sources:  # what is no corpus is refused before anything is changed
        Store.open(source, write=False).close()
    with Store.open(corpus, create=True, database=database) as store:
        before = len(store.all_buckets())
        for source in sources:
            with Store.open(source, write=False) as other:
                store.merge(other, say)
        print(f"{corpus}: {len(store.campaigns())} campaigns, {len(store.all_buckets())} buckets ({before} before)")
