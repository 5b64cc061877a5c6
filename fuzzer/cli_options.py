"""Options that many commands have. Each command is declared with them, here or in the file of its group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: Exit statuses.
NOTHING_FOUND, FOUND, USAGE, INTERNAL = 0, 1, 2, 3


class State:
    """Whether errors are to come with a traceback."""

    debug = False


def _set_debug(value: bool) -> None:
    State.debug = State.debug or value


Debug = Annotated[bool, typer.Option("--debug", callback=_set_debug, help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Corpus = Annotated[
    Path,
    typer.Option("--corpus", envvar="CONVFUZZ_CORPUS", metavar="DIR", help="Where campaigns and findings are kept."),
]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="CONVFUZZ_DATABASE",
        metavar="URL",
        help="Keep the tables in a PostgreSQL database instead of the SQLite file in the corpus.",
        show_default="SQLite",
    ),
]
Known = Annotated[
    Path | None,
    typer.Option(
        "--known",
        metavar="FILE",
        help="A list of known issues that tags or suppresses findings. Default: known.toml in the corpus.",
        show_default=False,
    ),
]
DEFAULT_CORPUS = Path("convfuzz-corpus")
Toolchain = Annotated[
    str,
    typer.Option(
        "--toolchain", metavar="NAME", help="Run it with this interpreter and its packages (`convfuzz toolchain list`)."
    ),
]
