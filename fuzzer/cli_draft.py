"""What `convfuzz draft` does."""

from __future__ import annotations

from pathlib import Path

from fuzzer.cli_text import relative


def draft(
    corpus: Path,
    database: str,
    as_json: bool,
    prefix: str,
    to: str,
    output: Path | None,
    link: bool,
    known: Path | None,
) -> None:
    """Write the draft of an issue to a file, to standard output, or only its link. Nothing is filed."""
    from corpus.store import Store
    from fuzzer.cli_output import write
    from fuzzer.screen import to_json
    from fuzzer.upstream.draft import choose
    from fuzzer.upstream.draft import draft as compose
    from fuzzer.upstream.known_issues import known_issues
    from fuzzer.upstream.projects import named

    with Store.open(corpus, write=False, database=database) as store:
        finding = store.find(prefix)
        project = named(to) if to else choose(finding)
        made = compose(store, finding, project, known_issues(store, known))
    if as_json:
        print(to_json({"finding": finding.id, "repository": project.repository, "title": made.title, "link": made.link,
                       "left_out": made.left_out, "notes": made.notes, "body": made.body}))  # fmt: skip
    elif link:
        print(made.link)
    elif output is not None:
        write(output, made.markdown)
        print(f"written: {relative(output)}")
    else:
        print(made.markdown, end="")
