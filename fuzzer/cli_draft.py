"""What `convfuzz draft` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fuzzer.cli_text import relative
from fuzzer.errors import UsageError

if TYPE_CHECKING:
    from fuzzer.upstream.draft import Draft


def draft(
    corpus: Path,
    database: str,
    as_json: bool,
    prefix: str,
    to: str,
    output: Path | None,
    link: bool,
    known: Path | None,
    *,
    regression: bool = False,
    collect: bool = True,
) -> None:
    """Write the draft of an issue to a file, to standard output, or only its link. Nothing is filed. ``prefix`` is of a
    finding's id, or the name of a defect that is shipped (``regression``)."""
    from fuzzer.cli_output import write
    from fuzzer.screen import to_json

    compose = _of_regression if regression else _of_finding
    identifier, made = compose(corpus, database, prefix, to, known, collect)
    if as_json:
        record = {name: getattr(made, name) for name in ("title", "link", "left_out", "notes", "body")}
        print(to_json({"finding": identifier, "repository": made.project.repository, **record}))
    elif link:
        print(made.link)
    elif output is not None:
        write(output, made.markdown)
        print(f"written: {relative(output)}")
    else:
        print(made.markdown, end="")


def _of_finding(
    corpus: Path, database: str, prefix: str, to: str, known: Path | None, collect: bool
) -> tuple[str, Draft]:
    from corpus.store import Store
    from fuzzer.upstream.draft import choose, draft
    from fuzzer.upstream.known_issues import known_issues
    from fuzzer.upstream.projects import named

    with Store.open(corpus, write=False, database=database) as store:
        finding = store.find(prefix)
        project = named(to) if to else choose(finding)
        return finding.id, draft(store, finding, project, known_issues(store, known), collect=collect)


def _of_regression(
    corpus: Path, database: str, name: str, to: str, known: Path | None, collect: bool
) -> tuple[str, Draft]:
    from corpus.regressions import kept
    from fuzzer.rerunning import chosen
    from fuzzer.upstream.projects import named
    from fuzzer.upstream.shipped import draft, project_for

    found = chosen(kept(), [name])
    if len(found) > 1:
        raise UsageError(f"{name!r} is of {len(found)} defects", f"name one, such as {found[0].name}")
    [one] = found
    return one.name, draft(one, named(to) if to else project_for(one), known, collect=collect)
